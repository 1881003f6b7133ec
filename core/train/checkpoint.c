#include "train/checkpoint.h"

#include "base/sha256.h"
#include "weights/weights.h"
#include "weights/writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_double(const dipp_parameter_set *set)
{
    return set->backend->element_size[DIPP_WIDE] == sizeof(double);
}

/* As a block is stored: packed moments by words, the rest as the set's wide numbers. */
static dipp_weight_dtype stored_as(const dipp_checkpoint_block *block, uint64_t *count)
{
    size_t words = dipp_parameter_set_words(block->set, block->block);
    *count = words ? words : (uint64_t)dipp_layout_elements(block->set->layout);
    if (words)
        return DIPP_WEIGHT_I32;
    return is_double(block->set) ? DIPP_WEIGHT_F64 : DIPP_WEIGHT_F32;
}

/* A piece of a block on its way to the file, so that no copy of a set is ever made. */
static dipp_status fetch(void *user, uint64_t first, void *buffer, size_t bytes, dipp_error *error)
{
    const dipp_checkpoint_block *block = user;
    uint64_t count;
    dipp_weight_dtype dtype = stored_as(block, &count);
    size_t size = dipp_weight_dtype_bytes(dtype), at = (size_t)first / size;
    if (dtype == DIPP_WEIGHT_I32)
        dipp_parameter_set_read_words(block->set, block->block, at, bytes / size, buffer);
    else
        dipp_parameter_set_read_part(block->set, block->block, at, bytes / size, buffer,
                                     dtype == DIPP_WEIGHT_F64 ? DIPP_HOST_F64 : DIPP_HOST_F32);
    return DIPP_OK;
}

dipp_status dipp_checkpoint_write(const char *path, const char *kind, const char *identity,
                                  const dipp_checkpoint_block *blocks, uint32_t block_count,
                                  const dipp_checkpoint_counter *counters, uint32_t counter_count, char *sha256,
                                  dipp_error *error)
{
    dipp_weights_writer *writer = NULL;
    dipp_status status = dipp_weights_writer_create_state(path, &writer, error);
    if (status == DIPP_OK)
        status = dipp_weights_writer_metadata(writer, "dipp.kind", kind, error);
    if (status == DIPP_OK)
        status = dipp_weights_writer_metadata(writer, "dipp.identity", identity, error);
    for (uint32_t i = 0; i < counter_count && status == DIPP_OK; i++) {
        char value[32];
        if (counters[i].number)
            snprintf(value, sizeof value, "%.17g", *counters[i].number);
        else
            snprintf(value, sizeof value, "%lld", (long long)*counters[i].value);
        status = dipp_weights_writer_metadata(writer, counters[i].name, value, error);
    }
    for (uint32_t i = 0; i < block_count && status == DIPP_OK; i++) {
        uint64_t count;
        dipp_weight_dtype dtype = stored_as(&blocks[i], &count);
        status =
            dipp_weights_writer_add_fetched(writer, blocks[i].name, dtype, 1, &count, fetch, (void *)&blocks[i], error);
    }
    if (status == DIPP_OK)
        status = dipp_weights_writer_commit(&writer, error);
    dipp_weights_writer_destroy(&writer);
    return status == DIPP_OK && sha256 ? dipp_sha256_file(path, sha256, error) : status;
}

static dipp_status check_metadata(const dipp_weights *weights, const char *path, const char *key, const char *expected,
                                  dipp_error *error)
{
    const char *found = dipp_weights_metadata(weights, key);
    if (found && !strcmp(found, expected))
        return DIPP_OK;
    return dipp_fail(error, DIPP_E_FORMAT, "%s is not a checkpoint of this run: %s is %s, expected %s", path, key,
                     found ? found : "absent", expected);
}

/* Checks how a counter stands in a file, to its last character, and takes it over when asked. */
static dipp_status read_counter(const dipp_weights *weights, const char *path, const dipp_checkpoint_counter *counter,
                                bool take, dipp_error *error)
{
    const char *text = dipp_weights_metadata(weights, counter->name);
    char *end = NULL;
    errno = 0;
    double number = counter->number && text ? strtod(text, &end) : 0.0;
    int64_t value = !counter->number && text ? strtoll(text, &end, 10) : 0;
    if (!text && counter->may_lack)
        return DIPP_OK;
    if (!text || end == text || *end || (!counter->number && errno == ERANGE))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: %s is %s", path, counter->name, text ? "no number" : "missing");
    if (take && counter->number)
        *counter->number = number;
    else if (take)
        *counter->value = value;
    return DIPP_OK;
}

static dipp_status read_block(const dipp_weights *weights, const char *path, const dipp_checkpoint_block *block,
                              bool take, dipp_error *error)
{
    const dipp_weight_tensor *tensor = dipp_weights_find(weights, block->name);
    uint64_t count;
    dipp_weight_dtype dtype = stored_as(block, &count);
    if (!tensor || tensor->count != count || tensor->dtype != dtype)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: %s is %s", path, block->name,
                         tensor ? "of another size or dtype" : "missing");
    if (!take)
        return DIPP_OK;
    union {
        double numbers[512];
        int32_t words[1024];
    } piece; /* the file's data need not be aligned */
    size_t size = dipp_weight_dtype_bytes(dtype), most = sizeof piece / size;
    for (size_t first = 0; first < count; first += most) {
        size_t part = count - first < most ? (size_t)count - first : most;
        memcpy(&piece, (const char *)tensor->data + first * size, part * size);
        if (dtype == DIPP_WEIGHT_I32)
            dipp_parameter_set_write_words(block->set, block->block, first, part, piece.words);
        else
            dipp_parameter_set_write_part(block->set, block->block, first, part, &piece,
                                          dtype == DIPP_WEIGHT_F64 ? DIPP_HOST_F64 : DIPP_HOST_F32);
    }
    return block->block == DIPP_BLOCK_MASTER ? dipp_parameter_set_refresh(block->set, error) : DIPP_OK;
}

void dipp_checkpoint_formats(const dipp_parameter_set *set, char *out, size_t size)
{
    static const char *const states[] = {"f32", "bf16", "8bit"};
    snprintf(out, size, "%s weights with %s moments", set->formats.bf16_weights ? "bf16" : "f32",
             states[set->formats.state]);
}

dipp_status dipp_checkpoint_read(const char *path, const char *kind, const char *identity,
                                 const dipp_checkpoint_block *blocks, uint32_t block_count,
                                 const dipp_checkpoint_counter *counters, uint32_t counter_count, dipp_error *error)
{
    dipp_weights *weights = NULL;
    dipp_status status = dipp_weights_open(path, &weights, error);
    if (status == DIPP_OK)
        status = check_metadata(weights, path, "dipp.kind", kind, error);
    if (status == DIPP_OK)
        status = check_metadata(weights, path, "dipp.identity", identity, error);
    for (int take = 0; take < 2; take++) { /* all is looked at before anything is changed */
        for (uint32_t i = 0; i < counter_count && status == DIPP_OK; i++)
            status = read_counter(weights, path, &counters[i], take, error);
        for (uint32_t i = 0; i < block_count && status == DIPP_OK; i++)
            status = read_block(weights, path, &blocks[i], take, error);
    }
    dipp_weights_destroy(&weights);
    return status;
}
