/* dipp label: a person says which of two pictures is better; the votes become preferences that a reward learns from. */
#include "cli/commands.h"
#include "cli/label_server.h"
#include "cli/stop.h"

#include "base/memory.h"
#include "base/utf8.h"
#include "data/preference_votes.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

const char cli_label_details[] =
    "dipp label EXPERIMENT|RUN ...   serves a page on this machine's loopback interface that shows two pictures of "
    "one\n"
    "    prompt at a time, from the pictures that these runs kept at their last step, without saying whose they are.\n"
    "    Votes go into the database at once; the same command goes on where it was left. Ctrl-C ends it.\n"
    "dipp label --export FILE.jsonl   writes the votes as preferences for dipp reward train.\n"
    "Exit codes: 0 every pair is judged, or written; 3 there is nothing to compare or to write; 75 pairs are left.";

enum { VOTER_BYTES = 64 };

typedef struct label_options {
    const char *database, *voter, *pairs, *export_to;
    long port, count, seed;
    bool all;
    cli_list names;
} label_options;

/* 128 random bits as 32 digits. */
static dipp_status random_digits(char out[CLI_LABEL_TOKEN_BYTES], dipp_error *error)
{
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return dipp_fail(error, DIPP_E_IO, "the system gives no random numbers");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return DIPP_OK;
}

/* A name that can be told from others and shown. */
static bool is_name(const char *text)
{
    size_t length = strlen(text);
    if (!length || length > VOTER_BYTES || !dipp_utf8_valid(text, length))
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return true;
}

/* --voter, else the user's name; the latter is written to out. */
static const char *voter_of(const label_options *options, char out[VOTER_BYTES + 1])
{
    struct passwd entry, *user = NULL;
    char texts[2048];
    if (options->voter)
        return options->voter;
    bool found = getpwuid_r(geteuid(), &entry, texts, sizeof texts, &user) == 0 && user && is_name(user->pw_name);
    snprintf(out, VOTER_BYTES + 1, "%s", found ? user->pw_name : "anonymous");
    return out;
}

static void say_address(void *user, const char *url)
{
    const dipp_label_pairs *pairs = user;
    printf("%zu pairs to judge", pairs->count);
    if (pairs->judged)
        printf(", %zu are judged already", pairs->judged);
    if (pairs->unread)
        printf(", %zu left out, for pictures that are gone or were changed", pairs->unread);
    printf("\nopen %s\nCtrl-C ends it; every vote is kept\n", url);
    fflush(stdout);
}

static void say_totals(const dipp_label_session *session, const char *voter, const char *database)
{
    dipp_label_totals totals = dipp_label_session_totals(session);
    printf("%zu vote%s by %s (%zu tie%s), %zu skipped, %zu pair%s left; in %s\n", totals.votes,
           totals.votes == 1 ? "" : "s", voter, totals.ties, totals.ties == 1 ? "" : "s", totals.skipped, totals.left,
           totals.left == 1 ? "" : "s", database);
}

static dipp_status serve(dipp_store *store, const label_options *options, int *code, dipp_error *error)
{
    char token[CLI_LABEL_TOKEN_BYTES], nonce[CLI_LABEL_TOKEN_BYTES], name[CLI_LABEL_TOKEN_BYTES], user[VOTER_BYTES + 1];
    dipp_label_pairs pairs = {0};
    dipp_label_session *session = NULL;
    dipp_label_request request = {.names = options->names.items,
                                  .name_count = options->names.count,
                                  .file = options->pairs,
                                  .all = options->all,
                                  .count = (uint32_t)options->count,
                                  .seed = (uint64_t)options->seed,
                                  .voter = voter_of(options, user)};
    dipp_label_session_options about = {
        .store = store, .pairs = &pairs, .voter = request.voter, .name = name, .nonce = nonce};
    cli_label_server_options server = {.port = (uint16_t)options->port,
                                       .token = token,
                                       .nonce = nonce,
                                       .stop = &cli_stop,
                                       .ready = say_address,
                                       .user = &pairs};
    dipp_status status = dipp_label_pairs_choose(store, &request, &pairs, error);
    if (status == DIPP_OK)
        status = random_digits(token, error);
    if (status == DIPP_OK)
        status = random_digits(nonce, error);
    if (status == DIPP_OK)
        status = random_digits(name, error);
    if (status == DIPP_OK)
        status = dipp_label_session_create(&about, &session, error);
    if (status == DIPP_OK) {
        server.session = session;
        cli_catch_stop();
        status = cli_label_serve(&server, error);
    }
    if (status == DIPP_OK) {
        say_totals(session, request.voter, dipp_store_path(store));
        *code = dipp_label_session_totals(session).left ? CLI_INTERRUPTED : CLI_OK;
    }
    dipp_label_session_destroy(&session);
    dipp_label_pairs_clear(&pairs);
    return status;
}

static dipp_status write_votes(dipp_store *store, const label_options *options, dipp_error *error)
{
    dipp_votes_taken taken;
    dipp_preferences set = {.captions_differ = false};
    dipp_status status = dipp_preferences_add_votes(&set, store, options->voter, &taken, error);
    if (status == DIPP_OK && !taken.taken)
        status = dipp_fail(error, DIPP_E_NOT_FOUND,
                           "%s has no vote%s%s to write (%zu skipped, %zu on pictures that are gone)",
                           dipp_store_path(store), options->voter ? " by " : "", options->voter ? options->voter : "",
                           taken.skipped, taken.lost);
    if (status == DIPP_OK)
        status = dipp_preferences_write(&set, options->export_to, error);
    dipp_preferences_clear(&set);
    if (status != DIPP_OK)
        return status;
    printf("%s: %zu vote%s", options->export_to, taken.taken, taken.taken == 1 ? "" : "s");
    if (taken.skipped)
        printf(", without %zu skipped", taken.skipped);
    if (taken.lost)
        printf(", without %zu on pictures that are gone or were changed", taken.lost);
    printf("\n");
    return DIPP_OK;
}

static int check_usage(const label_options *options, const cli_command *self)
{
    if (options->export_to && (options->names.count || options->pairs))
        return cli_usage_error(self, "--export goes with --db and --voter alone");
    if (!options->export_to && !options->names.count && !options->pairs)
        return cli_usage_error(self, "an experiment or runs are needed, or --pairs FILE, or --export FILE");
    if (options->port < 0 || options->port > 65535)
        return cli_usage_error(self, "--port is 0 to 65535");
    if (options->count < 0 || options->count > DIPP_LABEL_PAIRS_MAX)
        return cli_usage_error(self, "--count is 0 (all) to %d", (int)DIPP_LABEL_PAIRS_MAX);
    if (options->voter && !is_name(options->voter))
        return cli_usage_error(self, "--voter is 1 to %d bytes of text on one line", (int)VOTER_BYTES);
    return CLI_OK;
}

int cli_label(int argc, char **argv)
{
    label_options options = {.count = 100};
    const cli_option table[] = {
        CLI_DATABASE_OPTION(options.database),
        {"voter", 'v', CLI_TEXT, "NAME", "who votes, default your user name; with --export whose votes, default all",
         &options.voter},
        {"count", 'n', CLI_NUMBER, "N", "pairs, default 100; 0: all there are", &options.count},
        {"seed", 0, CLI_NUMBER, "N", "chooses the pairs and shuffles them, default 0", &options.seed},
        {"all", 'a', CLI_FLAG, NULL, "pictures of the reference and of step 0, too", &options.all},
        {"pairs", 0, CLI_TEXT, "FILE", "pairs from a JSONL, {\"prompt\": ..., \"images\": [a, b]} a line",
         &options.pairs},
        {"port", 'p', CLI_NUMBER, "N", "where to listen, default 0: any free port", &options.port},
        {"export", 0, CLI_TEXT, "FILE", "write the votes as preferences", &options.export_to},
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("label");
    if (!cli_parse(self, table, argc, argv, &options.names, &code))
        return code;
    code = check_usage(&options, self);
    if (code == CLI_OK) {
        dipp_error error;
        dipp_store *store = NULL;
        dipp_store_options open = {.mode = options.export_to     ? DIPP_STORE_READ
                                           : options.names.count ? DIPP_STORE_WRITE
                                                                 : DIPP_STORE_CREATE};
        dipp_status status = dipp_store_open(cli_database(options.database, NULL), &open, &store, &error);
        if (status == DIPP_OK)
            status = options.export_to ? write_votes(store, &options, &error) : serve(store, &options, &code, &error);
        if (status != DIPP_OK)
            code = cli_fail(&error);
        dipp_store_close(&store);
    }
    cli_list_clear(&options.names);
    return code;
}
