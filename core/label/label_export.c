#include "label/label_export.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "base/text.h"
#include "experiment/yaml_edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct exporting {
    char *store_folder;
    char *file_folder; /* as realpath says */
    dipp_text text;
    dipp_label_export_report *report;
} exporting;

/* The picture's absolute path, freed with free; NULL when it is not the file that was judged. */
static char *find_picture(const exporting *state, const dipp_vote_picture *picture)
{
    char hash[DIPP_SHA256_HEX_BYTES];
    char *joined = dipp_path_join(state->store_folder, picture->path), *whole = joined ? realpath(joined, NULL) : NULL;
    dipp_release(joined);
    if (whole && (dipp_sha256_file(whole, hash, NULL) != DIPP_OK || strcmp(hash, picture->sha256))) {
        free(whole);
        whole = NULL;
    }
    return whole;
}

static void write_image(exporting *state, const char *whole)
{
    size_t length = strlen(state->file_folder);
    bool below = !strncmp(whole, state->file_folder, length) && whole[length] == '/';
    dipp_json_write_string(&state->text, below ? whole + length + 1 : whole);
}

static int write_vote(void *user, const dipp_vote *vote)
{
    static const char *const labels[] = {"[1, 0]", "[0, 1]", "[0.5, 0.5]"};
    exporting *state = user;
    if (vote->winner == DIPP_VOTE_SKIP) {
        state->report->skipped++;
        return 0;
    }
    char *left = find_picture(state, &vote->left), *right = left ? find_picture(state, &vote->right) : NULL;
    if (right) {
        dipp_text_append(&state->text, "{\"prompt\": ");
        dipp_json_write_string(&state->text, vote->prompt);
        dipp_text_append(&state->text, ", \"images\": [");
        write_image(state, left);
        dipp_text_append(&state->text, ", ");
        write_image(state, right);
        dipp_text_printf(&state->text, "], \"labels\": %s, \"kind\": \"vote\", \"voter\": ", labels[vote->winner]);
        dipp_json_write_string(&state->text, vote->voter);
        dipp_text_append(&state->text, "}\n");
        state->report->written++;
    } else {
        state->report->lost++;
    }
    free(left);
    free(right);
    return state->text.failed;
}

dipp_status dipp_label_export(dipp_store *store, const char *voter, const char *path, dipp_label_export_report *report,
                              dipp_error *error)
{
    *report = (dipp_label_export_report){0};
    char *folder = dipp_path_folder(path);
    exporting state = {.store_folder = dipp_path_folder(dipp_store_path(store)),
                       .file_folder = folder ? realpath(folder, NULL) : NULL,
                       .report = report};
    dipp_status status = DIPP_OK;
    if (!folder || !state.store_folder)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for votes");
    else if (!state.file_folder)
        status = dipp_fail(error, DIPP_E_NOT_FOUND, "there is no folder %s", folder);
    if (status == DIPP_OK)
        status = dipp_store_each_vote(store, voter, write_vote, &state, error);
    if (status == DIPP_OK && state.text.failed)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for votes");
    if (status == DIPP_OK && !report->written)
        status = dipp_fail(
            error, DIPP_E_NOT_FOUND, "%s has no vote%s%s to write (%zu skipped, %zu on pictures that are gone)",
            dipp_store_path(store), voter ? " by " : "", voter ? voter : "", report->skipped, report->lost);
    if (status == DIPP_OK)
        status = dipp_file_write_atomic(path, state.text.data, state.text.length, error);
    dipp_text_discard(&state.text);
    dipp_release(state.store_folder);
    free(state.file_folder);
    dipp_release(folder);
    return status;
}
