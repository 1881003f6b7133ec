/* What people said of pairs of pictures (docs/labelling.md), as preferences. */
#ifndef DIPP_DATA_PREFERENCE_VOTES_H
#define DIPP_DATA_PREFERENCE_VOTES_H

#include "data/preferences.h"
#include "store/store.h"

typedef struct dipp_votes_taken {
    size_t taken;   /* a line each, ranked: 1 2, 2 1, and 1 1 for a tie; kind "vote" */
    size_t skipped; /* votes that say nothing of their pair */
    size_t lost;    /* votes on a picture that is gone or was changed since */
} dipp_votes_taken;

/* Adds the votes of voter (NULL: of all); the set is not finished. Pictures are held to the hashes of what was judged,
 * their paths are absolute. Errors: MEMORY, those of the store. [one thread at a time per store] */
dipp_status dipp_preferences_add_votes(dipp_preferences *set, dipp_store *store, const char *voter,
                                       dipp_votes_taken *taken, dipp_error *error);

#endif
