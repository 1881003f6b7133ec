#include "label/label_session.h"

#include "base/memory.h"
#include "base/text.h"
#include "experiment/yaml_edit.h"
#include "report/html.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ground[] =
#include "report/ground_css.inc"
    ;
static const char style[] =
#include "label/label_css.inc"
    ;
static const char page[] =
#include "label/label_html.inc"
    ;
static const char script[] =
#include "label/label_js.inc"
    ;

enum { SECONDS_MAX = 86400 };

struct dipp_label_session {
    dipp_store *store;
    const dipp_label_pairs *pairs;
    char *voter, *name, *nonce;
    size_t at;                  /* the pair that is shown; those before it have been judged, in this session */
    dipp_vote_winner *verdicts; /* [pairs->count] */
};

dipp_status dipp_label_session_create(const dipp_label_session_options *options, dipp_label_session **out,
                                      dipp_error *error)
{
    dipp_label_session *session = dipp_allocate_zeroed(1, sizeof *session);
    if (session) {
        session->store = options->store;
        session->pairs = options->pairs;
        session->voter = dipp_string_copy(options->voter);
        session->name = dipp_string_copy(options->name);
        session->nonce = dipp_string_copy(options->nonce);
        session->verdicts = dipp_allocate_zeroed(options->pairs->count, sizeof *session->verdicts);
    }
    if (!session || !session->voter || !session->name || !session->nonce || !session->verdicts) {
        dipp_label_session_destroy(&session);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a labelling session");
    }
    *out = session;
    return DIPP_OK;
}

void dipp_label_session_destroy(dipp_label_session **pointer)
{
    if (!*pointer)
        return;
    dipp_label_session *session = *pointer;
    dipp_release(session->voter);
    dipp_release(session->name);
    dipp_release(session->nonce);
    dipp_release(session->verdicts);
    dipp_release(session);
    *pointer = NULL;
}

dipp_label_totals dipp_label_session_totals(const dipp_label_session *session)
{
    dipp_label_totals totals = {.left = session->pairs->count - session->at};
    for (size_t i = 0; i < session->at; i++) {
        totals.skipped += session->verdicts[i] == DIPP_VOTE_SKIP;
        totals.ties += session->verdicts[i] == DIPP_VOTE_TIE;
    }
    totals.votes = session->at - totals.skipped;
    return totals;
}

/* ---- Replies ---- */

static dipp_label_reply reply_text(unsigned code, const char *type, dipp_text *text)
{
    dipp_label_reply reply = {.code = code, .type = type, .bytes = text->length};
    reply.body = dipp_text_finish(text);
    return reply;
}

static dipp_label_reply refuse(unsigned code, const char *format, ...) DIPP_PRINTF(2, 3);
static dipp_label_reply refuse(unsigned code, const char *format, ...)
{
    dipp_text text = {0};
    char message[DIPP_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    dipp_text_append(&text, "{\"error\":");
    dipp_json_write_string(&text, message);
    dipp_text_append(&text, "}");
    return reply_text(code, "application/json", &text);
}

/* Where the session stands, and the pair that comes next so that its pictures can be fetched meanwhile. */
static dipp_label_reply reply_state(const dipp_label_session *session, unsigned code)
{
    dipp_text text = {0};
    dipp_label_totals totals = dipp_label_session_totals(session);
    bool done = session->at == session->pairs->count;
    dipp_text_printf(&text,
                     "{\"pair\":%zu,\"pairs\":%zu,\"left\":%zu,\"votes\":%zu,\"ties\":%zu,\"skipped\":%zu,\"done\":%s",
                     session->at, session->pairs->count, totals.left, totals.votes, totals.ties, totals.skipped,
                     done ? "true" : "false");
    if (!done) {
        dipp_text_append(&text, ",\"prompt\":");
        dipp_json_write_string(&text, session->pairs->pictures[session->pairs->pairs[session->at].left].prompt);
    }
    dipp_text_append(&text, "}");
    return reply_text(code, "application/json", &text);
}

static dipp_label_reply reply_page(const dipp_label_session *session)
{
    static const char *const marks[] = {"@GROUND@", "@STYLE@", "@SCRIPT@", "@NONCE@", "@VOTER@", "@DATABASE@"};
    const char *const texts[] = {ground,         style,          script,
                                 session->nonce, session->voter, dipp_store_path(session->store)};
    dipp_text text = {0};
    for (const char *at = page; *at;) {
        size_t which = 0, plain = strcspn(at, "@");
        dipp_text_append_n(&text, at, plain);
        at += plain;
        while (which < 6 && strncmp(at, marks[which], strlen(marks[which])))
            which++;
        if (which < 4)
            dipp_text_append(&text, texts[which]);
        else if (which < 6)
            dipp_html_text(&text, texts[which]);
        else
            dipp_text_append_n(&text, at, *at != 0);
        at += which < 6 ? strlen(marks[which]) : (size_t)(*at != 0);
    }
    return reply_text(200, "text/html; charset=utf-8", &text);
}

/* "3/left" */
static dipp_label_reply reply_picture(const dipp_label_session *session, const char *path)
{
    char *end = NULL;
    unsigned long number = *path >= '0' && *path <= '9' && strlen(path) < 20 ? strtoul(path, &end, 10) : 0;
    bool left = end && !strcmp(end, "/left"), right = end && !strcmp(end, "/right");
    if ((!left && !right) || number >= session->pairs->count)
        return refuse(404, "there is no such picture");
    const dipp_label_pair *pair = &session->pairs->pairs[number];
    dipp_label_reply reply = {.code = 200, .keep = true};
    dipp_error error;
    if (dipp_label_picture_read(session->store, &session->pairs->pictures[left ? pair->left : pair->right], &reply.body,
                                &reply.bytes, &reply.type, &error) != DIPP_OK)
        return refuse(410, "%s", error.message);
    return reply;
}

/* ---- Votes ---- */

static dipp_status store_vote(const dipp_label_session *session, dipp_vote_winner winner, double seconds,
                              dipp_error *error)
{
    const dipp_label_picture *left = &session->pairs->pictures[session->pairs->pairs[session->at].left];
    const dipp_label_picture *right = &session->pairs->pictures[session->pairs->pairs[session->at].right];
    dipp_vote vote = {.prompt = left->prompt,
                      .left = {left->artifact_id, left->sha256, left->path},
                      .right = {right->artifact_id, right->sha256, right->path},
                      .winner = winner,
                      .voter = session->voter,
                      .session = session->name,
                      .seconds = seconds};
    return dipp_store_vote_put(session->store, &vote, error);
}

/* {"pair": 3, "winner": "left", "seconds": 1.5}. A pair that is not the one shown is a second click, or another window:
 * nothing is changed, and the answer says where things stand. */
static dipp_label_reply take_vote(dipp_label_session *session, const char *body, size_t bytes)
{
    dipp_vote_winner winner = DIPP_VOTE_SKIP;
    json_error_t wrong;
    json_t *object = json_loadb(body, bytes, JSON_REJECT_DUPLICATES, &wrong);
    const json_t *pair = json_object_get(object, "pair"), *seconds = json_object_get(object, "seconds");
    const char *name = json_string_value(json_object_get(object, "winner"));
    double taken = json_number_value(seconds);
    bool good = json_is_integer(pair) && json_is_number(seconds) && taken >= 0 && taken <= SECONDS_MAX && name &&
                dipp_vote_winner_by_name(name, &winner);
    bool shown = good && session->at < session->pairs->count && json_integer_value(pair) == (json_int_t)session->at;
    json_decref(object);
    if (!good)
        return refuse(400,
                      "expected {\"pair\": number, \"winner\": \"left\", \"right\", \"tie\" or \"skip\", \"seconds\": "
                      "0 to %d}",
                      SECONDS_MAX);
    if (!shown)
        return reply_state(session, 409);
    dipp_error error;
    if (store_vote(session, winner, taken, &error) != DIPP_OK)
        return refuse(503, "%s", error.message);
    session->verdicts[session->at++] = winner;
    return reply_state(session, 200);
}

static dipp_label_reply take_back(dipp_label_session *session)
{
    if (!session->at)
        return reply_state(session, 409);
    const dipp_label_pair *pair = &session->pairs->pairs[session->at - 1];
    const dipp_label_picture *left = &session->pairs->pictures[pair->left];
    dipp_error error;
    if (dipp_store_vote_remove(session->store, session->voter, left->prompt, left->sha256,
                               session->pairs->pictures[pair->right].sha256, &error) != DIPP_OK)
        return refuse(503, "%s", error.message);
    session->at--;
    return reply_state(session, 200);
}

dipp_label_reply dipp_label_session_answer(dipp_label_session *session, const char *method, const char *path,
                                           const char *body, size_t bytes)
{
    static const char pictures[] = "picture/";
    bool picture = !strncmp(path, pictures, sizeof pictures - 1), front = !*path, state = !strcmp(path, "state");
    bool vote = !strcmp(path, "vote"), undo = !strcmp(path, "undo");
    if (!picture && !front && !state && !vote && !undo)
        return refuse(404, "there is nothing here");
    const char *wanted = vote || undo ? "POST" : "GET";
    if (strcmp(method, wanted) && (strcmp(wanted, "GET") || strcmp(method, "HEAD"))) {
        dipp_label_reply reply = refuse(405, "expected %s", wanted);
        reply.allow = vote || undo ? "POST" : "GET, HEAD";
        return reply;
    }
    if (picture)
        return reply_picture(session, path + sizeof pictures - 1);
    if (vote)
        return take_vote(session, body, bytes);
    if (undo)
        return take_back(session);
    return front ? reply_page(session) : reply_state(session, 200);
}
