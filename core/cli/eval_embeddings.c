#include "cli/eval_embeddings.h"

#include "base/file.h"
#include "base/sha256.h"
#include "cli/table.h"
#include "data/npy.h"
#include "evaluate/aesthetic_head.h"
#include "experiment/run_metric_names.h"

#include <stdio.h>

static dipp_status open_head(const char *path, dipp_aesthetic_head *head, char name[DIPP_METRIC_NAME_BYTES],
                             dipp_error *error)
{
    dipp_weights *weights = NULL;
    dipp_file_map map = {0};
    char digest[DIPP_SHA256_HEX_BYTES];
    dipp_status status = dipp_weights_open(path, &weights, error);
    if (status == DIPP_OK)
        status = dipp_aesthetic_head_load(weights, head, error);
    if (status == DIPP_OK)
        status = dipp_file_map_open(dipp_weights_file(weights, 0), &map, error);
    if (status == DIPP_OK) {
        dipp_sha256_hex(map.data, map.bytes, digest);
        dipp_metric_name_of_head(digest, path, name);
    }
    dipp_file_map_close(&map);
    dipp_weights_destroy(&weights);
    return status;
}

static dipp_status add_file(cli_table *table, const dipp_aesthetic_head *head, const char *path, dipp_error *error)
{
    dipp_npy embeddings = {0};
    dipp_status status = dipp_npy_read(path, &embeddings, error);
    if (status == DIPP_OK && embeddings.columns != head->layers[0].in)
        status = dipp_fail(error, DIPP_E_INVALID, "%s: embeddings of %zu numbers, and the head reads %zu", path,
                           embeddings.columns, head->layers[0].in);
    for (size_t row = 0; row < embeddings.rows && status == DIPP_OK; row++) {
        double score = 0;
        char number[24], value[40];
        status = dipp_aesthetic_head_score(head, embeddings.values + row * embeddings.columns, &score, error);
        if (status != DIPP_OK)
            dipp_error_context(error, "%s, row %zu", path, row);
        snprintf(number, sizeof number, "%zu", row);
        snprintf(value, sizeof value, "%.6f", score);
        if (status == DIPP_OK)
            cli_table_add(table, (const char *const[]){path, number, value});
    }
    dipp_npy_clear(&embeddings);
    return status;
}

dipp_status cli_eval_embeddings(const cli_list *files, const cli_list *more_files, const char *head_path,
                                dipp_error *error)
{
    dipp_aesthetic_head head = {0};
    cli_table table = {.columns = 3};
    char name[DIPP_METRIC_NAME_BYTES] = "";
    dipp_status status = open_head(head_path, &head, name, error);
    if (status == DIPP_OK)
        cli_table_add(&table, (const char *const[]){"embeddings", "row", name});
    for (size_t i = 0; i < files->count + more_files->count && status == DIPP_OK; i++)
        status =
            add_file(&table, &head, i < files->count ? files->items[i] : more_files->items[i - files->count], error);
    if (status == DIPP_OK && table.failed)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the table of scores");
    if (status == DIPP_OK)
        cli_table_print(&table, stdout, 0);
    cli_table_clear(&table);
    dipp_aesthetic_head_clear(&head);
    return status;
}
