/* Published weight files by their content. Two files may be called alike and differ, and one may lie under two names
 * (HPS_v2_1.pt of the space xswu/HPSv2 is version 2.0), so only the hash tells what a file is. Page: docs/reward-plugins.md. */
#ifndef DIPP_WEIGHTS_PUBLISHED_H
#define DIPP_WEIGHTS_PUBLISHED_H

#include <stdbool.h>

typedef struct dipp_published_file {
    const char *sha256;
    const char *file;    /* where it is published, on huggingface.co unless said otherwise */
    const char *what;    /* for people: "HPS v2.1" */
    const char *metric;  /* the name that is reserved for what it measures; NULL: it is a network only */
    const char *network; /* of a CLIP that scores are built on: "l14", as the reward plugins call it; or NULL */
} dipp_published_file;

/* NULL when no published file has this hash (64 hexadecimal digits, lower case). Static. [any thread] */
const dipp_published_file *dipp_published_find(const char *sha256);

/* Whether a metric's name is one of those that the files have reserved. [any thread] */
bool dipp_published_reserves(const char *metric);

#endif
