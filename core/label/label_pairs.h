/* Which pairs of pictures a person is shown, and in what order. Every pair is two different files of one prompt. Which
 * pairs are taken depends on the seed alone, so that several people judge the same ones; their order and sides depend on
 * the seed and the voter. docs/labelling.md. */
#ifndef DIPP_LABEL_LABEL_PAIRS_H
#define DIPP_LABEL_LABEL_PAIRS_H

#include "base/sha256.h"
#include "store/store.h"

typedef struct dipp_label_picture {
    char *prompt;
    char *path; /* relative to the store's folder, or absolute */
    char *arm;  /* of which experiment, arm and configuration it is; "" in a file of pairs. Nobody is shown it */
    char sha256[DIPP_SHA256_HEX_BYTES];
    int64_t artifact_id; /* 0: not of a run of the store */
    uint32_t line;       /* of the file of pairs, 0: from the store. Pictures of different lines are not compared */
} dipp_label_picture;

typedef struct dipp_label_pair {
    uint32_t left, right; /* into pictures */
} dipp_label_pair;

typedef struct dipp_label_pairs { /* starts from {0}; ends with dipp_label_pairs_clear */
    dipp_label_picture *pictures;
    size_t picture_count, picture_capacity;
    dipp_label_pair *pairs; /* still to be judged by this voter, in the order of showing */
    size_t count;
    size_t judged; /* pairs of the choice that the voter has judged before */
    size_t unread; /* pairs left out because a picture is gone, was changed since, or is no PNG, JPEG or WebP */
} dipp_label_pairs;

typedef struct dipp_label_request {
    const char *const *names; /* experiments, or runs as dipp_store_find_run takes them */
    size_t name_count;
    const char *file; /* or NULL: a JSONL of {"prompt": ..., "images": [a, b, ...]}, paths relative to its folder */
    bool all;         /* also pictures of the multi-step reference and of step 0 */
    uint32_t count;   /* pairs at most, judged ones included; 0 = all there are */
    uint64_t seed;
    const char *voter;
} dipp_label_request;

enum { DIPP_LABEL_PAIRS_MAX = 1 << 21, DIPP_LABEL_PICTURE_BYTES = 32 << 20 };

/* Takes, prompt after prompt, a random pair of each, then a second, and so on; pairs of two arms come before pairs of
 * one. Of a run count the pictures that it kept at its last step.
 * Errors: NOT_FOUND (no such run or file; no prompt has two pictures), INVALID (more pairs than DIPP_LABEL_PAIRS_MAX),
 * FORMAT (the file, with its line), MEMORY, and those of the store. [one thread at a time per store] */
dipp_status dipp_label_pairs_choose(dipp_store *store, const dipp_label_request *request, dipp_label_pairs *pairs,
                                    dipp_error *error);
void dipp_label_pairs_clear(dipp_label_pairs *pairs);

/* Reads a picture's file and sees that it is the one that was recorded. *bytes is freed with dipp_release; *type is
 * static, "image/png" and so on. NOT_FOUND, IO, FORMAT (another content, or no picture), MEMORY. */
dipp_status dipp_label_picture_read(const dipp_store *store, const dipp_label_picture *picture, char **bytes,
                                    size_t *count, const char **type, dipp_error *error);

/* Adds the pictures of a file of pairs. Errors as above. */
dipp_status dipp_label_pairs_read_file(const char *path, dipp_label_pairs *pairs, dipp_error *error);

/* Adds one picture; the texts are copied. MEMORY. */
dipp_status dipp_label_pairs_add(dipp_label_pairs *pairs, const dipp_label_picture *picture, dipp_error *error);

#endif
