#include "data/preference_votes.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/sha256.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct votes_reader {
    dipp_preferences *set;
    const char *database;
    char *folder; /* of the database */
    dipp_votes_taken *taken;
    dipp_status status;
    dipp_error *error;
} votes_reader;

/* The picture's absolute path, freed with free; NULL when it is not the file that was judged. */
static char *find_picture(votes_reader *reader, const dipp_vote_picture *picture)
{
    char hash[DIPP_SHA256_HEX_BYTES];
    char *joined = dipp_path_join(reader->folder, picture->path), *whole = joined ? realpath(joined, NULL) : NULL;
    if (!joined)
        reader->status = dipp_fail(reader->error, DIPP_E_MEMORY, "no memory for votes");
    dipp_release(joined);
    if (whole && (dipp_sha256_file(whole, hash, NULL) != DIPP_OK || strcmp(hash, picture->sha256) != 0)) {
        free(whole);
        whole = NULL;
    }
    return whole;
}

static int take_vote(void *user, const dipp_vote *vote)
{
    votes_reader *reader = user;
    if (vote->winner == DIPP_VOTE_SKIP) {
        reader->taken->skipped++;
        return 0;
    }
    char *left = find_picture(reader, &vote->left), *right = left ? find_picture(reader, &vote->right) : NULL;
    if (right) {
        const char *images[2] = {left, right}, *prompts[2] = {vote->prompt, vote->prompt};
        double ranks[2] = {vote->winner == DIPP_VOTE_RIGHT ? 2 : 1, vote->winner == DIPP_VOTE_LEFT ? 2 : 1};
        dipp_preference_entry entry = {
            .count = 2, .images = images, .prompts = prompts, .ranks = ranks, .kind = "vote", .probability = NAN};
        reader->status = dipp_preferences_add(reader->set, &entry, reader->database, reader->error);
        reader->taken->taken++;
    } else {
        reader->taken->lost++;
    }
    free(left);
    free(right);
    return reader->status != DIPP_OK;
}

dipp_status dipp_preferences_add_votes(dipp_preferences *set, dipp_store *store, const char *voter,
                                       dipp_votes_taken *taken, dipp_error *error)
{
    *taken = (dipp_votes_taken){0};
    votes_reader reader = {.set = set,
                           .database = dipp_store_path(store),
                           .folder = dipp_path_folder(dipp_store_path(store)),
                           .taken = taken,
                           .status = DIPP_OK,
                           .error = error};
    if (!reader.folder)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for votes");
    dipp_status status = dipp_store_each_vote(store, voter, take_vote, &reader, error);
    dipp_release(reader.folder);
    return status == DIPP_OK ? reader.status : status;
}
