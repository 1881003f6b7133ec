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

/* Notes what is wrong with a tensor for an entry. */
static void check_entry(const dipp_weight_tensor *tensor, const dipp_layout_entry *entry, dipp_text *problems)
{
    if (!tensor) {
        dipp_text_printf(problems, "\n  %s is missing", entry->name);
        return;
    }
    dipp_shape shape = {.rank = tensor->rank <= DIPP_MAX_RANK ? tensor->rank : 0};
    for (uint32_t k = 0; k < shape.rank; k++)
        shape.dims[k] = (int64_t)tensor->shape[k];
    if (tensor->rank > DIPP_MAX_RANK || !same_arrangement(&shape, &entry->shape)) {
        char have[128], want[128];
        dipp_text_printf(problems, "\n  %s has shape %s, expected %s", entry->name,
                         dipp_shape_text(&shape, have, sizeof have), dipp_shape_text(&entry->shape, want, sizeof want));
    }
}

/* Entry by entry, so that no copy of a set is made; nothing is written when anything is wrong. */
static dipp_status load_set(const dipp_weights *weights, dipp_parameter_set *set, dipp_text *problems,
                            dipp_error *error)
{
    int64_t largest = 0;
    for (uint32_t i = 0; i < dipp_layout_count(set->layout); i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(set->layout, i);
        check_entry(find_entry(weights, entry), entry, problems);
        largest = entry->elements > largest ? entry->elements : largest;
    }
    if (problems->length)
        return DIPP_OK;
    float *numbers = dipp_allocate((size_t)largest * sizeof *numbers);
    if (!numbers)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to load %s", set->name);
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < dipp_layout_count(set->layout) && status == DIPP_OK; i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(set->layout, i);
        size_t count = (size_t)entry->elements;
        status = dipp_weight_tensor_to_f32(find_entry(weights, entry), numbers, count, error);
        if (status == DIPP_OK)
            dipp_parameter_set_write_part(set, DIPP_BLOCK_MASTER, (size_t)entry->offset, count, numbers, DIPP_HOST_F32);
    }
    dipp_release(numbers);
    return status == DIPP_OK ? dipp_parameter_set_refresh(set, error) : status;
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

/* An entry on its way to the file. */
typedef struct outgoing {
    const dipp_parameter_set *set;
    const dipp_layout_entry *entry;
    dipp_weight_dtype dtype;
} outgoing;

static dipp_status fetch_entry(void *user, uint64_t first, void *buffer, size_t bytes, dipp_error *error)
{
    enum { PIECE = 2048 };
    const outgoing *from = user;
    float numbers[PIECE];
    size_t size = dipp_weight_dtype_bytes(from->dtype), count = bytes / size;
    size_t start = (size_t)from->entry->offset + (size_t)first / size;
    for (size_t at = 0; at < count; at += PIECE) {
        size_t part = count - at < PIECE ? count - at : PIECE;
        dipp_parameter_set_read_part(from->set, DIPP_BLOCK_MASTER, start + at, part, numbers, DIPP_HOST_F32);
        dipp_weight_from_f32(from->dtype, numbers, (char *)buffer + at * size, part);
    }
    return DIPP_OK;
}

static dipp_status write_set(dipp_weights_writer *writer, const dipp_parameter_set *set, outgoing *entries, bool bf16,
                             dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < dipp_layout_count(set->layout) && status == DIPP_OK; i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(set->layout, i);
        uint64_t shape[DIPP_MAX_RANK];
        for (uint32_t k = 0; k < entry->shape.rank; k++)
            shape[k] = (uint64_t)entry->shape.dims[k];
        entries[i] = (outgoing){set, entry, bf16 ? DIPP_WEIGHT_BF16 : DIPP_WEIGHT_F32};
        status = dipp_weights_writer_add_fetched(writer, entry->name, entries[i].dtype, entry->shape.rank, shape,
                                                 fetch_entry, &entries[i], error);
    }
    return status;
}

dipp_status dipp_weights_write_sets(const char *path, const dipp_parameter_set *const *sets, uint32_t count, bool bf16,
                                    const char *const *metadata, dipp_error *error)
{
    dipp_weights_writer *writer = NULL;
    size_t entry_count = 0;
    for (uint32_t i = 0; i < count; i++)
        entry_count += sets[i] ? dipp_layout_count(sets[i]->layout) : 0;
    outgoing *entries = dipp_allocate_zeroed(entry_count + 1, sizeof *entries), *at = entries;
    dipp_status status = entries ? dipp_weights_writer_create(path, &writer, error)
                                 : dipp_fail(error, DIPP_E_MEMORY, "no memory to write %s", path);
    for (; status == DIPP_OK && metadata && *metadata; metadata += 2)
        status = dipp_weights_writer_metadata(writer, metadata[0], metadata[1], error);
    for (uint32_t i = 0; i < count && status == DIPP_OK; i++) {
        if (!sets[i])
            continue;
        status = write_set(writer, sets[i], at, bf16, error);
        at += dipp_layout_count(sets[i]->layout);
    }
    if (status == DIPP_OK)
        status = dipp_weights_writer_commit(&writer, error);
    dipp_weights_writer_destroy(&writer);
    dipp_release(entries);
    return status;
}
