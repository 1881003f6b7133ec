#include "train/checkpoint.h"

#include "base/memory.h"
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

dipp_status dipp_checkpoint_write(const char *path, const char *kind, const char *identity,
                                  const dipp_checkpoint_block *blocks, uint32_t block_count,
                                  const dipp_checkpoint_counter *counters, uint32_t counter_count, char *sha256,
                                  dipp_error *error)
{
    dipp_weights_writer *writer = NULL;
    void **copies = dipp_allocate_zeroed(block_count + 1, sizeof *copies);
    dipp_status status = copies ? dipp_weights_writer_create(path, &writer, error)
                                : dipp_fail(error, DIPP_E_MEMORY, "no memory for a checkpoint");
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
        const dipp_parameter_set *set = blocks[i].set;
        uint64_t count = (uint64_t)dipp_layout_elements(set->layout);
        bool wide = is_double(set);
        copies[i] = dipp_allocate(count * (wide ? sizeof(double) : sizeof(float)) + 1);
        if (!copies[i]) {
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for a checkpoint");
            break;
        }
        dipp_parameter_set_read(set, blocks[i].block, copies[i], wide ? DIPP_HOST_F64 : DIPP_HOST_F32);
        status = dipp_weights_writer_add(writer, blocks[i].name, wide ? DIPP_WEIGHT_F64 : DIPP_WEIGHT_F32, 1, &count,
                                         copies[i], error);
    }
    if (status == DIPP_OK)
        status = dipp_weights_writer_commit(&writer, error);
    dipp_weights_writer_destroy(&writer);
    for (uint32_t i = 0; copies && i < block_count; i++)
        dipp_release(copies[i]);
    dipp_release(copies);
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
    bool wide = is_double(block->set);
    uint64_t count = (uint64_t)dipp_layout_elements(block->set->layout);
    if (!tensor || tensor->count != count || tensor->dtype != (wide ? DIPP_WEIGHT_F64 : DIPP_WEIGHT_F32))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: %s is %s", path, block->name,
                         tensor ? "of another size or dtype" : "missing");
    if (!take)
        return DIPP_OK;
    void *copy = dipp_allocate(tensor->bytes + 1);
    if (!copy)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to read a checkpoint");
    memcpy(copy, tensor->data, tensor->bytes); /* the file's data need not be aligned */
    dipp_parameter_set_write(block->set, block->block, copy, wide ? DIPP_HOST_F64 : DIPP_HOST_F32);
    dipp_release(copy);
    return block->block == DIPP_BLOCK_MASTER ? dipp_parameter_set_refresh(block->set, error) : DIPP_OK;
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
