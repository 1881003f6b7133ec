#include "experiment/run_pictures.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/grid.h"
#include "experiment/yaml_edit.h"

#include <stdio.h>
#include <string.h>

enum { GRID_PROMPTS = 64, GRID_SAMPLES = 8 }; /* of the grid, which people look at */

char *dipp_picture_name(bool reference, int64_t step, uint32_t prompt, uint32_t sample,
                        char out[DIPP_PICTURE_NAME_BYTES])
{
    if (reference)
        snprintf(out, DIPP_PICTURE_NAME_BYTES, "pictures/reference/p%03u-s%u.png", prompt, sample);
    else
        snprintf(out, DIPP_PICTURE_NAME_BYTES, "pictures/step-%08lld/p%03u-s%u.png", (long long)step, prompt, sample);
    return out;
}

static dipp_status make_folder(const dipp_run_pictures *pictures, dipp_error *error)
{
    char name[DIPP_PICTURE_NAME_BYTES];
    char *path =
        dipp_run_record_path(pictures->record, dipp_picture_name(pictures->reference, pictures->step, 0, 0, name));
    char *folder = path ? dipp_path_folder(path) : NULL;
    dipp_status status =
        folder ? dipp_make_directories(folder, error) : dipp_fail(error, DIPP_E_MEMORY, "no memory to keep pictures");
    dipp_release(folder);
    dipp_release(path);
    return status;
}

static dipp_status store_one(const dipp_run_pictures *pictures, const dipp_evaluation_result *result, uint32_t prompt,
                             uint32_t sample, int64_t *artifact, dipp_error *error)
{
    char name[DIPP_PICTURE_NAME_BYTES];
    size_t bytes = (size_t)result->side * (size_t)result->side * 3;
    dipp_image image = {result->side, result->side, result->rgb + (prompt * pictures->samples + sample) * bytes};
    dipp_text json = {0};
    dipp_text_printf(&json, "{\"prompt\":%u,\"sample\":%u,\"subject\":\"%s\",\"text\":", prompt, sample,
                     pictures->reference ? "reference" : "generator");
    dipp_json_write_string(&json, pictures->prompts->texts[prompt]);
    dipp_text_append(&json, "}");
    char *meta = dipp_text_finish(&json);
    char *path = dipp_run_record_path(pictures->record,
                                      dipp_picture_name(pictures->reference, pictures->step, prompt, sample, name));
    dipp_status status = path && meta ? dipp_image_write_png(path, &image, error)
                                      : dipp_fail(error, DIPP_E_MEMORY, "no memory to keep pictures");
    if (status == DIPP_OK)
        status = dipp_run_record_artifact(pictures->record, pictures->step, "image", name, meta, NULL, artifact, error);
    dipp_release(path);
    dipp_release(meta);
    return status;
}

static dipp_status store_grid(const dipp_run_pictures *pictures, const dipp_evaluation_result *result, uint32_t kept,
                              dipp_error *error)
{
    uint32_t prompts = kept < GRID_PROMPTS ? kept : GRID_PROMPTS;
    uint32_t per_cell = pictures->samples < GRID_SAMPLES ? pictures->samples : GRID_SAMPLES;
    size_t bytes = (size_t)result->side * (size_t)result->side * 3;
    const uint8_t **cells = dipp_allocate_zeroed((size_t)prompts * per_cell, sizeof *cells);
    if (!cells)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a grid of pictures");
    for (uint32_t p = 0; p < prompts; p++)
        for (uint32_t s = 0; s < per_cell; s++)
            cells[p * per_cell + s] = result->rgb + (p * pictures->samples + s) * bytes;
    char name[48], title[64];
    snprintf(name, sizeof name, pictures->reference ? "grid-reference.png" : "grid-%08lld.png",
             (long long)pictures->step);
    snprintf(title, sizeof title, pictures->reference ? "multi-step reference" : "step %lld",
             (long long)pictures->step);
    dipp_grid_options grid = {.rows = (int)prompts,
                              .columns = 1,
                              .per_cell = (int)per_cell,
                              .side = result->side,
                              .title = title,
                              .row_labels = pictures->prompts->texts,
                              .pictures = cells};
    char *path = dipp_run_record_path(pictures->record, name);
    dipp_status status = path ? dipp_grid_write(&grid, path, error)
                              : dipp_fail(error, DIPP_E_MEMORY, "no memory for a grid of pictures");
    dipp_release(path);
    dipp_release(cells);
    return status == DIPP_OK
               ? dipp_run_record_artifact(pictures->record, pictures->step, "grid", name, NULL, NULL, NULL, error)
               : status;
}

dipp_status dipp_run_pictures_store(const dipp_run_pictures *pictures, const dipp_evaluation_result *result,
                                    int64_t *artifacts, dipp_error *error)
{
    uint32_t prompts = (uint32_t)dipp_config_int(pictures->config, "evaluate.pictures");
    uint32_t kept = (uint32_t)dipp_config_int(pictures->config, "evaluate.grid_samples");
    if (prompts > pictures->prompts->count)
        prompts = pictures->prompts->count;
    if (kept > pictures->samples)
        kept = pictures->samples;
    if (!prompts)
        return DIPP_OK;
    dipp_status status = make_folder(pictures, error);
    for (uint32_t p = 0; p < prompts && status == DIPP_OK; p++)
        for (uint32_t s = 0; s < kept && status == DIPP_OK; s++)
            status = store_one(pictures, result, p, s, &artifacts[p * pictures->samples + s], error);
    return status == DIPP_OK ? store_grid(pictures, result, prompts, error) : status;
}

/* ---- The reference's samples, shared by the runs of a database ---- */

static dipp_status reference_key(const dipp_run_setup *setup, char out[DIPP_SHA256_HEX_BYTES], dipp_error *error)
{
    static const char *const paths[] = {"reference", "schedule", "evaluate.samples", "evaluate.noise_seed",
                                        "reference.params"};
    dipp_text text = {0};
    dipp_text_printf(&text, "%s %s %s %s %s %s\n", setup->reference->descriptor->name,
                     setup->reference->descriptor->version, setup->reference->sha256, setup->backend->name,
                     setup->backend->precision, setup->evaluation.sha256);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const dipp_yaml_node *node = dipp_config_node(setup->config, paths[i]);
        if (node)
            dipp_yaml_write_json(&text, node, true);
        dipp_text_append(&text, "\n");
    }
    for (uint32_t i = 0; i < setup->input_count; i++)
        if (!strcmp(setup->inputs[i].role, "reference"))
            dipp_text_append(&text, setup->inputs[i].sha256);
    if (text.failed) {
        dipp_text_discard(&text);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the reference's samples");
    }
    dipp_sha256_hex(text.data, text.length, out);
    dipp_text_discard(&text);
    return DIPP_OK;
}

/* The file: samples, then a byte each for finite, then the digest of both in hexadecimal. */
static bool read_samples(const char *path, size_t bytes, dipp_evaluation_result *result)
{
    char *data = NULL, hash[DIPP_SHA256_HEX_BYTES];
    size_t found = 0, content = bytes + result->count;
    if (dipp_file_read(path, content + DIPP_SHA256_HEX_BYTES, &data, &found, NULL) != DIPP_OK)
        return false;
    bool good = found == content + DIPP_SHA256_HEX_BYTES - 1;
    if (good) {
        dipp_sha256_hex(data, content, hash);
        good = !memcmp(data + content, hash, DIPP_SHA256_HEX_BYTES - 1);
    }
    void *samples = good ? dipp_allocate(bytes) : NULL;
    result->finite = good ? dipp_allocate(result->count) : NULL;
    if (samples && result->finite) {
        memcpy(samples, data, bytes);
        memcpy(result->finite, data + bytes, result->count);
        if (result->side)
            result->rgb = samples;
        else
            result->vectors = samples;
    } else {
        dipp_release(samples);
        dipp_release(result->finite);
        result->finite = NULL;
        good = false;
    }
    dipp_release(data);
    return good;
}

static dipp_status write_samples(const char *path, size_t bytes, const dipp_evaluation_result *result,
                                 dipp_error *error)
{
    size_t content = bytes + result->count;
    char *data = dipp_allocate(content + DIPP_SHA256_HEX_BYTES);
    if (!data)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to keep the reference's samples");
    memcpy(data, result->side ? (const void *)result->rgb : (const void *)result->vectors, bytes);
    memcpy(data + bytes, result->finite, result->count);
    dipp_sha256_hex(data, content, data + content);
    dipp_status status = dipp_file_write_atomic(path, data, content + DIPP_SHA256_HEX_BYTES - 1, error);
    dipp_release(data);
    return status;
}

dipp_status dipp_run_reference_samples(dipp_run_setup *setup, const dipp_run_record *record,
                                       dipp_evaluation *evaluation, dipp_evaluation_result *result, dipp_error *error)
{
    char key[DIPP_SHA256_HEX_BYTES];
    dipp_text name = {0};
    dipp_status status = reference_key(setup, key, error);
    if (status != DIPP_OK)
        return status;
    /* NAME/runs/UUID -> NAME/cache */
    dipp_text_printf(&name, "%.*s/cache", (int)(strrchr(record->prefix, '/') - record->prefix) - 5, record->prefix);
    char *folder = name.data ? dipp_path_join(record->root, name.data) : NULL;
    dipp_text_discard(&name);
    dipp_text_printf(&name, "reference-%.16s.samples", key);
    char *path = folder && name.data ? dipp_path_join(folder, name.data) : NULL;
    dipp_text_discard(&name);
    uint32_t count = setup->evaluation.count * (uint32_t)dipp_config_int(setup->config, "evaluate.samples");
    size_t bytes = dipp_evaluation_sample_bytes(evaluation) * count;
    *result = (dipp_evaluation_result){.count = count,
                                       .elements = (uint32_t)dipp_shape_elements(&setup->models->picture),
                                       .side = setup->models->space.images ? (int)setup->models->picture.dims[1] : 0};
    if (!path)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the reference's samples");
    else if (!read_samples(path, bytes, result)) {
        status = dipp_evaluation_draw(evaluation, true, result, error);
        if (status == DIPP_OK)
            status = dipp_make_directories(folder, error);
        if (status == DIPP_OK)
            status = write_samples(path, bytes, result, error);
    }
    dipp_release(path);
    dipp_release(folder);
    return status;
}
