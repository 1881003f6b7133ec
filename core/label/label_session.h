/* One person at the labelling page: what is shown, what was said, and the answers to the page's requests, whoever carries
 * them. docs/labelling.md has the requests. */
#ifndef DIPP_LABEL_LABEL_SESSION_H
#define DIPP_LABEL_LABEL_SESSION_H

#include "label/label_pairs.h"

typedef struct dipp_label_session dipp_label_session;

typedef struct dipp_label_session_options { /* texts are copied */
    dipp_store *store;                      /* borrowed for the life of the session */
    const dipp_label_pairs *pairs;          /* the same */
    const char *voter;
    const char *name;  /* of the session, for the rows */
    const char *nonce; /* lets the page's own script run and no other */
} dipp_label_session_options;

/* DIPP_E_MEMORY. */
dipp_status dipp_label_session_create(const dipp_label_session_options *options, dipp_label_session **session,
                                      dipp_error *error);
void dipp_label_session_destroy(dipp_label_session **session);

typedef struct dipp_label_reply {
    unsigned code;     /* of HTTP */
    const char *type;  /* static */
    const char *allow; /* 405: the methods; else NULL */
    char *body;        /* freed with dipp_release; NULL: no memory */
    size_t bytes;
    bool keep; /* a picture: stays the same as long as its address */
} dipp_label_reply;

/* Answers a request for `path`, which is what stands behind the token's slash: "", "state", "picture/3/left", "vote",
 * "undo". body [bytes] is that of a POST. Votes are in the store when this returns. Never fails: what is wrong is in the
 * reply. [one thread at a time] */
dipp_label_reply dipp_label_session_answer(dipp_label_session *session, const char *method, const char *path,
                                           const char *body, size_t bytes);

typedef struct dipp_label_totals {
    size_t votes, ties, skipped; /* of this session; votes are without the skipped ones */
    size_t left;                 /* pairs */
} dipp_label_totals;
dipp_label_totals dipp_label_session_totals(const dipp_label_session *session);

#endif
