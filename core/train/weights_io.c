/* Parameter sets to and from safetensors files. */
#include "train/models.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "weights/weights.h"
#include "weights/writer.h"

#include <stdio.h>
#include <string.h>

/* A folder stands for NAME.safetensors in it. */
static char *file_of(const char *path, const char *name)
{
    if (!dipp_path_is_directory(path))
        return dipp_string_copy(path);
    char file[128];
    snprintf(file, sizeof file, "%s.safetensors", name);
    return dipp_path_join(path, file);
}

static const dipp_weight_tensor *find_entry(const dipp_weights *weights, const dipp_layout_entry *entry)
{
    const dipp_weight_tensor *tensor = dipp_weights_find(weights, entry->name);
    for (const char *const *alias = entry->aliases; !tensor && alias && *alias; alias++)
        tensor = dipp_weights_find(weights, *alias);
    return tensor;
}

/* Sizes that are not 1; a published 1 x 1 convolution is a matrix here. */
static dipp_shape without_ones(const dipp_shape *shape)
{
    dipp_shape rest = {.rank = 0};
    for (uint32_t k = 0; k < shape->rank; k++)
        if (shape->dims[k] != 1)
            rest.dims[rest.rank++] = shape->dims[k];
    return rest;
}

/* Whether numbers of one shape are those of the other in the same order: equal but for sizes of 1, or a convolution
 * [out, in, height, width] for a matrix [out, in * height * width]. As many numbers otherwise arranged are not. */
static bool same_arrangement(const dipp_shape *file, const dipp_shape *layout)
{
    dipp_shape a = without_ones(file), b = without_ones(layout);
    if (dipp_shape_elements(file) != dipp_shape_elements(layout))
        return false;
    if (a.rank == b.rank)
        return !memcmp(a.dims, b.dims, a.rank * sizeof *a.dims);
    return a.rank && b.rank && a.dims[0] == b.dims[0];
}

static dipp_status load_entry(const dipp_weight_tensor *tensor, const dipp_layout_entry *entry, float *block,
                              dipp_text *problems, dipp_error *error)
{
    dipp_shape shape = {.rank = tensor->rank <= DIPP_MAX_RANK ? tensor->rank : 0};
    for (uint32_t k = 0; k < shape.rank; k++)
        shape.dims[k] = (int64_t)tensor->shape[k];
    if (tensor->rank > DIPP_MAX_RANK || !same_arrangement(&shape, &entry->shape)) {
        char have[128], want[128];
        dipp_text_printf(problems, "\n  %s has shape %s, expected %s", entry->name,
                         dipp_shape_text(&shape, have, sizeof have), dipp_shape_text(&entry->shape, want, sizeof want));
        return DIPP_OK;
    }
    return dipp_weight_tensor_to_f32(tensor, block + entry->offset, (size_t)entry->elements, error);
}

static dipp_status load_set(const dipp_weights *weights, dipp_parameter_set *set, dipp_text *problems,
                            dipp_error *error)
{
    size_t count = (size_t)dipp_layout_elements(set->layout);
    float *block = dipp_allocate_zeroed(count + 1, sizeof *block);
    if (!block)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to load %s", set->name);
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < dipp_layout_count(set->layout) && status == DIPP_OK; i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(set->layout, i);
        const dipp_weight_tensor *tensor = find_entry(weights, entry);
        if (!tensor)
            dipp_text_printf(problems, "\n  %s is missing", entry->name);
        else
            status = load_entry(tensor, entry, block, problems, error);
    }
    if (status == DIPP_OK && !problems->length) {
        dipp_parameter_set_write(set, DIPP_BLOCK_MASTER, block, DIPP_HOST_F32);
        status = dipp_parameter_set_refresh(set, error);
    }
    dipp_release(block);
    return status;
}

dipp_status dipp_weights_read_sets(const char *path, const char *name, dipp_parameter_set *const *sets, uint32_t count,
                                   char *sha256, dipp_error *error)
{
    char *file = file_of(path, name);
    dipp_weights *weights = NULL;
    dipp_text problems = {0};
    dipp_status status =
        file ? dipp_weights_open(file, &weights, error) : dipp_fail(error, DIPP_E_MEMORY, "no memory to open %s", path);
    for (uint32_t i = 0; i < count && status == DIPP_OK; i++)
        if (sets[i])
            status = load_set(weights, sets[i], &problems, error);
    if (status == DIPP_OK && problems.length)
        status = dipp_fail(error, DIPP_E_FORMAT, "%s does not hold the weights of this configuration:%.1500s", file,
                           problems.data ? problems.data : "");
    if (status == DIPP_OK && sha256)
        status = dipp_weights_sha256(file, sha256, error);
    dipp_text_discard(&problems);
    dipp_weights_destroy(&weights);
    dipp_release(file);
    return status;
}

static dipp_status write_set(dipp_weights_writer *writer, const dipp_parameter_set *set, float *block, bool bf16,
                             dipp_error *error)
{
    dipp_parameter_set_read(set, DIPP_BLOCK_MASTER, block, DIPP_HOST_F32);
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < dipp_layout_count(set->layout) && status == DIPP_OK; i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(set->layout, i);
        uint64_t shape[DIPP_MAX_RANK];
        for (uint32_t k = 0; k < entry->shape.rank; k++)
            shape[k] = (uint64_t)entry->shape.dims[k];
        status = dipp_weights_writer_add_f32(writer, entry->name, bf16 ? DIPP_WEIGHT_BF16 : DIPP_WEIGHT_F32,
                                             entry->shape.rank, shape, block + entry->offset, error);
    }
    return status;
}

dipp_status dipp_weights_write_sets(const char *path, const dipp_parameter_set *const *sets, uint32_t count, bool bf16,
                                    const char *const *metadata, dipp_error *error)
{
    dipp_weights_writer *writer = NULL;
    float *blocks[8] = {0};
    dipp_status status = count <= 8 ? dipp_weights_writer_create(path, &writer, error)
                                    : dipp_fail(error, DIPP_E_INTERNAL, "too many sets for %s", path);
    for (; status == DIPP_OK && metadata && *metadata; metadata += 2)
        status = dipp_weights_writer_metadata(writer, metadata[0], metadata[1], error);
    for (uint32_t i = 0; i < count && status == DIPP_OK; i++) {
        if (!sets[i])
            continue;
        blocks[i] = dipp_allocate((size_t)dipp_layout_elements(sets[i]->layout) * sizeof(float) + 1);
        status = blocks[i] ? write_set(writer, sets[i], blocks[i], bf16, error)
                           : dipp_fail(error, DIPP_E_MEMORY, "no memory to write %s", path);
    }
    if (status == DIPP_OK)
        status = dipp_weights_writer_commit(&writer, error);
    dipp_weights_writer_destroy(&writer);
    for (int i = 0; i < 8; i++)
        dipp_release(blocks[i]);
    return status;
}
