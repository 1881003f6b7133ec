/* Parameter sets from files of weights in any published layout, and to safetensors files. */
#include "train/models.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "weights/original_names.h"
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

/* Where the numbers of an entry are: a tensor of the file, and where its layout is another, how they lie in it. */
typedef struct place {
    const dipp_weight_tensor *tensor; /* NULL: nowhere */
    bool transposed;
    uint32_t part, parts; /* rows of a stacked tensor; 0 of 1: it is the entry's alone */
} place;

/* Files that are read together: what the first lacks, the second has. */
typedef struct sources {
    dipp_weights *files[2];
    uint32_t count;
    dipp_block_counts blocks; /* of all networks that are read */
} sources;

/* By its name, its other names, with or without what training code puts before names, or as its first authors named it. */
static place find_in_file(const dipp_weights *weights, const dipp_block_counts *blocks, const dipp_layout_entry *entry)
{
    place found = {.tensor = dipp_weights_find(weights, entry->name), .parts = 1};
    for (const char *const *alias = entry->aliases; !found.tensor && alias && *alias; alias++)
        found.tensor = dipp_weights_find(weights, *alias);
    if (!found.tensor)
        found.tensor = dipp_weights_find_prefixed(weights, entry->name);
    dipp_original_name original;
    for (uint32_t i = 0; !found.tensor && dipp_original_name_of(entry->name, blocks, i, &original); i++)
        found = (place){dipp_weights_find_prefixed(weights, original.name), original.transposed, original.part,
                        original.parts};
    return found;
}

static place find_entry(const sources *from, const dipp_layout_entry *entry)
{
    place found = {.tensor = NULL, .parts = 1};
    for (uint32_t i = 0; i < from->count && !found.tensor; i++)
        found = find_in_file(from->files[i], &from->blocks, entry);
    return found;
}

/* The shape that the numbers at a place have once they are arranged as the network has them; rank 0 where that cannot be. */
static dipp_shape shape_at(const place *at)
{
    const dipp_weight_tensor *tensor = at->tensor;
    dipp_shape shape = {.rank = tensor->rank <= DIPP_MAX_RANK ? tensor->rank : 0};
    for (uint32_t k = 0; k < shape.rank; k++)
        shape.dims[k] = (int64_t)tensor->shape[k];
    if (shape.rank && shape.dims[0] % at->parts == 0)
        shape.dims[0] /= at->parts;
    if (at->transposed && shape.rank == 2)
        shape = DIPP_SHAPE(shape.dims[1], shape.dims[0]);
    return shape;
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

/* Whether what was found for an entry is its numbers; otherwise notes what is wrong. */
static bool check_entry(const place *at, const dipp_layout_entry *entry, dipp_text *problems)
{
    if (!at->tensor) {
        dipp_text_printf(problems, "\n  %s is missing", entry->name);
        return false;
    }
    dipp_shape shape = shape_at(at);
    if (at->tensor->rank <= DIPP_MAX_RANK && same_arrangement(&shape, &entry->shape))
        return true;
    char have[DIPP_SHAPE_TEXT_BYTES], want[128], times[32] = "";
    if (at->parts > 1)
        snprintf(times, sizeof times, "%u times ", at->parts);
    dipp_text_printf(problems, "\n  %s has shape %s, expected %s%s%s", at->tensor->name,
                     dipp_weight_shape_text(at->tensor->rank, at->tensor->shape, have), times,
                     at->transposed ? "the transpose of " : "", dipp_shape_text(&entry->shape, want, sizeof want));
    return false;
}

/* The numbers of an entry, count of them, in the network's arrangement. */
static dipp_status read_entry(const place *at, float *numbers, size_t count, dipp_error *error)
{
    dipp_weight_tensor part = *at->tensor;
    part.count /= at->parts;
    part.bytes /= at->parts;
    part.data = (const char *)part.data + at->part * part.bytes;
    if (!at->transposed)
        return dipp_weight_tensor_to_f32(&part, numbers, count, error);
    float *turned = dipp_allocate(count * sizeof *turned);
    if (!turned)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to transpose %s", part.name);
    dipp_status status = dipp_weight_tensor_to_f32(&part, turned, count, error);
    size_t rows = (size_t)part.shape[0], columns = (size_t)part.shape[1]; /* of the file */
    for (size_t i = 0; i < count && status == DIPP_OK; i++)
        numbers[i % columns * rows + i / columns] = turned[i];
    dipp_release(turned);
    return status;
}

/* Finds every entry of a set: places[entries]. false when some do not fit. */
static bool find_set(const sources *from, const dipp_layout *layout, place *places, dipp_text *problems)
{
    bool fits = true;
    for (uint32_t i = 0; i < dipp_layout_count(layout); i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(layout, i);
        places[i] = find_entry(from, entry);
        fits &= check_entry(&places[i], entry, problems);
    }
    return fits;
}

/* Entry by entry, so that no copy of a set is made. */
static dipp_status read_set(const place *places, dipp_parameter_set *set, dipp_error *error)
{
    int64_t largest = 0;
    for (uint32_t i = 0; i < dipp_layout_count(set->layout); i++) {
        int64_t elements = dipp_layout_entry_at(set->layout, i)->elements;
        largest = elements > largest ? elements : largest;
    }
    float *numbers = dipp_allocate((size_t)largest * sizeof *numbers);
    if (!numbers)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to load %s", set->name);
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < dipp_layout_count(set->layout) && status == DIPP_OK; i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(set->layout, i);
        size_t count = (size_t)entry->elements;
        status = read_entry(&places[i], numbers, count, error);
        if (status == DIPP_OK)
            dipp_parameter_set_write_part(set, DIPP_BLOCK_MASTER, (size_t)entry->offset, count, numbers, DIPP_HOST_F32);
    }
    dipp_release(numbers);
    return status == DIPP_OK ? dipp_parameter_set_refresh(set, error) : status;
}

/* Nothing is written when anything is wrong, which problems say then. */
static dipp_status load_set(const sources *from, dipp_parameter_set *set, dipp_text *problems, dipp_error *error)
{
    place *places = dipp_allocate((dipp_layout_count(set->layout) + 1) * sizeof *places);
    dipp_status status = DIPP_OK;
    bool fits = places && find_set(from, set->layout, places, problems);
    if (!places || problems->failed)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory to load %s", set->name);
    else if (fits && !problems->length) /* nor when another set was wrong before */
        status = read_set(places, set, error);
    dipp_release(places);
    return status;
}

/* Buffers that published files hold beside the weights: CLIP's, and the tables of noise of Stable Diffusion's single file. */
static bool is_buffer(const char *name)
{
    static const char *const buffers[] = {"position_ids",
                                          "attn_mask",
                                          "input_resolution",
                                          "context_length",
                                          "vocab_size",
                                          "y_embedding",
                                          "betas",
                                          "alphas_cumprod",
                                          "alphas_cumprod_prev",
                                          "sqrt_alphas_cumprod",
                                          "sqrt_one_minus_alphas_cumprod",
                                          "log_one_minus_alphas_cumprod",
                                          "sqrt_recip_alphas_cumprod",
                                          "sqrt_recipm1_alphas_cumprod",
                                          "posterior_variance",
                                          "posterior_log_variance_clipped",
                                          "posterior_mean_coef1",
                                          "posterior_mean_coef2"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        if (!strcmp(dot ? dot + 1 : name, buffers[i]))
            return true;
    return false;
}

/* Marks the tensors of one file that the sets have been read from. */
static bool *mark_wanted(const sources *from, const dipp_weights *file, dipp_parameter_set *const *sets, uint32_t count)
{
    bool *wanted = dipp_allocate_zeroed(dipp_weights_count(file) + 1, sizeof *wanted);
    const dipp_weight_tensor *first = dipp_weights_at(file, 0);
    for (uint32_t s = 0; wanted && s < count; s++)
        for (uint32_t i = 0; sets[s] && i < dipp_layout_count(sets[s]->layout); i++) {
            place at = find_in_file(file, &from->blocks, dipp_layout_entry_at(sets[s]->layout, i));
            if (at.tensor)
                wanted[at.tensor - first] = true;
        }
    return wanted;
}

/* The first tensors of the files that nobody asked for: what is missing may be there under another name. */
static void note_unexpected(const sources *from, dipp_parameter_set *const *sets, uint32_t count, dipp_text *text)
{
    enum { MOST = 6 };
    uint32_t found = 0;
    for (uint32_t f = 0; f < from->count; f++) {
        bool *wanted = mark_wanted(from, from->files[f], sets, count);
        for (size_t i = 0; wanted && i < dipp_weights_count(from->files[f]) && found < MOST; i++) {
            const dipp_weight_tensor *tensor = dipp_weights_at(from->files[f], i);
            if (!is_buffer(tensor->name) && !wanted[i])
                dipp_text_printf(text, "%s %.100s", found++ ? "," : "\n  unexpected, the first of them:", tensor->name);
        }
        dipp_release(wanted);
    }
}

static void count_blocks(sources *from, dipp_parameter_set *const *sets, uint32_t count)
{
    for (uint32_t s = 0; s < count; s++)
        for (uint32_t i = 0; sets[s] && i < dipp_layout_count(sets[s]->layout); i++)
            dipp_block_counts_note(&from->blocks, dipp_layout_entry_at(sets[s]->layout, i)->name);
}

static dipp_status open_sources(const char *file, const char *head, sources *out, dipp_error *error)
{
    *out = (sources){.count = 0};
    dipp_status status = dipp_weights_open(file, &out->files[0], error);
    out->count = status == DIPP_OK;
    if (status == DIPP_OK && head) {
        status = dipp_weights_open(head, &out->files[1], error);
        out->count += status == DIPP_OK;
    }
    return status;
}

static dipp_status read_files(const char *file, const char *head, dipp_parameter_set *const *sets, uint32_t count,
                              dipp_error *error)
{
    sources from;
    dipp_text problems = {0}, unexpected = {0};
    dipp_status status = open_sources(file, head, &from, error);
    count_blocks(&from, sets, count);
    for (uint32_t i = 0; i < count && status == DIPP_OK; i++)
        if (sets[i])
            status = load_set(&from, sets[i], &problems, error);
    if (status == DIPP_OK && problems.length) {
        note_unexpected(&from, sets, count, &unexpected);
        status = dipp_fail(error, DIPP_E_FORMAT, "%s%s%s does not hold the weights of this configuration:%.1000s%.500s",
                           file, head ? " with " : "", head ? head : "", problems.data ? problems.data : "",
                           unexpected.data ? unexpected.data : "");
    }
    dipp_text_discard(&problems);
    dipp_text_discard(&unexpected);
    for (uint32_t i = 0; i < from.count; i++)
        dipp_weights_destroy(&from.files[i]);
    return status;
}

dipp_status dipp_weights_read_sets(const char *path, const char *name, dipp_parameter_set *const *sets, uint32_t count,
                                   dipp_error *error)
{
    char *file = file_of(path, name);
    if (!file)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to open %s", path);
    dipp_status status = read_files(file, NULL, sets, count, error);
    dipp_release(file);
    return status;
}

dipp_status dipp_weights_read_with_head(const char *file, const char *head, dipp_parameter_set *set, dipp_error *error)
{
    return read_files(file, head, &set, 1, error);
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
