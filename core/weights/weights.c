/* Opening: which files there are, and one sorted list of tensors over all of them. */
#include "weights/weights.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "base/text.h"
#include "weights/safetensors.h"
#include "weights/torch_file.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct weight_file {
    const char *path, *name; /* name: as the index spells it */
    dipp_file_map map;
    dipp_weight_content content;
} weight_file;

struct dipp_weights {
    dipp_arena *arena;
    weight_file *files;
    size_t file_count, file_capacity;
    dipp_weight_tensor *tensors; /* sorted by name */
    size_t tensor_count;
    dipp_weight_note *notes;
    size_t note_count;
};

/* What weights are called where they are published, the best first: whole numbers of bytes before halves, then PyTorch's own
 * files; of each kind the index of several before one. */
static const char *const folder_choices[] = {"model.safetensors.index.json",
                                             "diffusion_pytorch_model.safetensors.index.json",
                                             "model.safetensors",
                                             "diffusion_pytorch_model.safetensors",
                                             "model.bf16.safetensors",
                                             "diffusion_pytorch_model.bf16.safetensors",
                                             "model.safetensors.index.bf16.json",
                                             "diffusion_pytorch_model.safetensors.index.bf16.json",
                                             "model.fp16.safetensors",
                                             "diffusion_pytorch_model.fp16.safetensors",
                                             "model.safetensors.index.fp16.json",
                                             "diffusion_pytorch_model.safetensors.index.fp16.json",
                                             "pytorch_model.bin.index.json",
                                             "diffusion_pytorch_model.bin.index.json",
                                             "pytorch_model.bin",
                                             "diffusion_pytorch_model.bin",
                                             "pytorch_lora_weights.safetensors"};

static dipp_status fail_memory(dipp_error *error, const char *path)
{
    return dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory while opening these weights", path);
}

void dipp_weights_destroy(dipp_weights **weights)
{
    if (!weights || !*weights)
        return;
    for (size_t i = 0; i < (*weights)->file_count; i++)
        dipp_file_map_close(&(*weights)->files[i].map);
    dipp_release((*weights)->files);
    dipp_arena_destroy(&(*weights)->arena);
    dipp_release(*weights);
    *weights = NULL;
}

static dipp_status create_empty(const char *path, dipp_weights **weights, dipp_error *error)
{
    dipp_weights *made = dipp_allocate_zeroed(1, sizeof *made);
    if (made && !(made->arena = dipp_arena_create(0)))
        dipp_weights_destroy(&made);
    if (!made)
        return fail_memory(error, path);
    *weights = made;
    return DIPP_OK;
}

/* Adds a file that is not parsed yet; *file is valid until the next is added. */
static dipp_status add_file(dipp_weights *weights, const char *path, const char *name, weight_file **file,
                            dipp_error *error)
{
    weight_file made = {.path = dipp_arena_string(weights->arena, path),
                        .name = dipp_arena_string(weights->arena, name)};
    if (!made.path || !made.name ||
        !dipp_grow((void **)&weights->files, &weights->file_capacity, weights->file_count + 1, sizeof made))
        return fail_memory(error, path);
    weights->files[weights->file_count] = made;
    *file = &weights->files[weights->file_count++];
    return DIPP_OK;
}

/* What is kept in place of weights that did not arrive, or NULL. */
static const char *stand_in(const char *bytes, size_t size)
{
    static const char pointer[] = "version https://git-lfs.github.com/spec/";
    if (size >= sizeof pointer - 1 && !memcmp(bytes, pointer, sizeof pointer - 1))
        return "a pointer of Git LFS; `git lfs pull` in the clone fetches the file itself";
    return size && *bytes == '<' ? "a web page; the download was answered with a login or an error" : NULL;
}

/* The content says what it is, not the name: published names end in .pt, .pth, .bin, .ckpt. */
static dipp_status parse_file(dipp_weights *weights, const void *bytes, size_t size, weight_file *file,
                              dipp_error *error)
{
    const char *instead = stand_in(bytes, size);
    if (instead)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected weights, found %s", file->path, instead);
    return (dipp_torch_file_is(bytes, size) ? dipp_torch_file_parse : dipp_safetensors_parse)(
        bytes, size, file->path, weights->arena, &file->content, error);
}

static dipp_status add_mapped_file(dipp_weights *weights, const char *path, const char *name, weight_file **file,
                                   dipp_error *error)
{
    dipp_status status = add_file(weights, path, name, file, error);
    if (!status)
        status = dipp_file_map_open(path, &(*file)->map, error);
    if (!status)
        status = parse_file(weights, (*file)->map.data, (*file)->map.bytes, *file, error);
    return status;
}

static const dipp_weight_tensor *find_in(const dipp_weight_tensor *tensors, size_t count, const char *name)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(tensors[middle].name, name);
        if (!order)
            return &tensors[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static const char *find_note(const dipp_weight_note *notes, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(notes[i].key, key))
            return notes[i].value;
    return NULL;
}

/* One file: its lists are the lists. */
static void take_only_file(dipp_weights *weights)
{
    const dipp_weight_content *content = &weights->files[0].content;
    weights->tensors = content->tensors;
    weights->tensor_count = content->tensor_count;
    weights->notes = content->notes;
    weights->note_count = content->note_count;
}

static int compare_tensors(const void *a, const void *b)
{
    return strcmp(((const dipp_weight_tensor *)a)->name, ((const dipp_weight_tensor *)b)->name);
}

/* The file of the index entry name -> shard, opened when it is met first. */
static dipp_status shard_file(dipp_weights *weights, const char *path, const char *folder, const char *shard,
                              weight_file **file, dipp_error *error)
{
    for (size_t i = weights->file_count; i-- > 0;)
        if (!strcmp(weights->files[i].name, shard)) {
            *file = &weights->files[i];
            return DIPP_OK;
        }
    char quoted[DIPP_QUOTED_BYTES];
    if (!*shard || strchr(shard, '/') || !strcmp(shard, ".") || !strcmp(shard, ".."))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected the name of a file beside the index, found %s", path,
                         dipp_weight_quote(shard, quoted));
    char *full = dipp_path_join(folder, shard);
    if (!full)
        return fail_memory(error, path);
    dipp_status status = add_mapped_file(weights, full, shard, file, error);
    dipp_release(full);
    if (status && error)
        dipp_error_context(error, "%s", path);
    return status;
}

static dipp_status merge_notes(dipp_weights *weights, const char *path, dipp_error *error)
{
    size_t most = 0;
    for (size_t i = 0; i < weights->file_count; i++)
        most += weights->files[i].content.note_count;
    weights->notes = dipp_arena_allocate_zeroed(weights->arena, most, sizeof *weights->notes);
    if (!weights->notes)
        return fail_memory(error, path);
    for (size_t i = 0; i < weights->file_count; i++) {
        const dipp_weight_content *content = &weights->files[i].content;
        for (size_t j = 0; j < content->note_count; j++)
            if (!find_note(weights->notes, weights->note_count, content->notes[j].key))
                weights->notes[weights->note_count++] = content->notes[j];
    }
    return DIPP_OK;
}

static dipp_status take_index(dipp_weights *weights, const json_t *root, const char *path, const char *folder,
                              dipp_error *error)
{
    const json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected an object \"weight_map\" from tensor names to files",
                         path);
    weights->tensors = dipp_arena_allocate_zeroed(weights->arena, json_object_size(map), sizeof *weights->tensors);
    if (!weights->tensors)
        return fail_memory(error, path);
    const char *name;
    json_t *shard;
    json_object_foreach((json_t *)(uintptr_t)map, name, shard)
    {
        char quoted[DIPP_QUOTED_BYTES];
        if (!json_is_string(shard))
            return dipp_fail(error, DIPP_E_FORMAT, "%s: weight_map: expected a file name for %s", path,
                             dipp_weight_quote(name, quoted));
        weight_file *file = NULL;
        dipp_status status = shard_file(weights, path, folder, json_string_value(shard), &file, error);
        if (status)
            return status;
        const dipp_weight_tensor *tensor = find_in(file->content.tensors, file->content.tensor_count, name);
        if (!tensor)
            return dipp_fail(error, DIPP_E_FORMAT,
                             "%s: weight_map says that tensor %s is in %s, which does not have it", path,
                             dipp_weight_quote(name, quoted), file->path);
        weights->tensors[weights->tensor_count++] = *tensor;
    }
    qsort(weights->tensors, weights->tensor_count, sizeof *weights->tensors, compare_tensors);
    return merge_notes(weights, path, error);
}

static dipp_status open_index(dipp_weights *weights, const char *path, dipp_error *error)
{
    char *text = NULL, *folder = NULL;
    size_t bytes = 0;
    dipp_status status = dipp_file_read(path, DIPP_SAFETENSORS_HEADER_LIMIT, &text, &bytes, error);
    if (status)
        return status;
    json_error_t trouble;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &trouble);
    char quoted[DIPP_QUOTED_BYTES];
    if (!root)
        status = dipp_fail(error, DIPP_E_FORMAT, "%s:%d:%d: not JSON with distinct names: %s", path, trouble.line,
                           trouble.column, dipp_weight_quote(trouble.text, quoted));
    else if (!(folder = dipp_path_folder(path)))
        status = fail_memory(error, path);
    else
        status = take_index(weights, root, path, folder, error);
    json_decref(root);
    dipp_release(folder);
    dipp_release(text);
    return status;
}

dipp_status dipp_weights_in_folder(const char *folder, char **path, dipp_error *error)
{
    enum { CHOICES = sizeof folder_choices / sizeof *folder_choices };
    for (size_t i = 0; i < CHOICES; i++) {
        char *choice = dipp_path_join(folder, folder_choices[i]);
        if (!choice)
            return fail_memory(error, folder);
        if (dipp_path_exists(choice)) {
            *path = choice;
            return DIPP_OK;
        }
        dipp_release(choice);
    }
    dipp_fail(error, DIPP_E_NOT_FOUND, "%s: no weights in this folder; expected one of", folder);
    for (size_t i = 0; error && i < CHOICES; i++) {
        size_t used = strlen(error->message);
        snprintf(error->message + used, sizeof error->message - used, "%s %s", i ? "," : "", folder_choices[i]);
    }
    return DIPP_E_NOT_FOUND;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && !strcmp(text + length - tail, end);
}

dipp_status dipp_weights_open(const char *path, dipp_weights **weights, dipp_error *error)
{
    char *inside = NULL;
    dipp_status status = DIPP_OK;
    if (dipp_path_is_directory(path))
        status = dipp_weights_in_folder(path, &inside, error);
    const char *found = inside ? inside : path;
    dipp_weights *made = NULL;
    if (!status)
        status = create_empty(found, &made, error);
    if (!status && ends_with(found, ".json")) {
        status = open_index(made, found, error);
    } else if (!status) {
        weight_file *file;
        status = add_mapped_file(made, found, dipp_path_name(found), &file, error);
        if (!status)
            take_only_file(made);
    }
    dipp_release(inside);
    if (status)
        dipp_weights_destroy(&made);
    else
        *weights = made;
    return status;
}

dipp_status dipp_weights_open_memory(const void *data, size_t bytes, const char *label, dipp_weights **weights,
                                     dipp_error *error)
{
    dipp_weights *made = NULL;
    weight_file *file = NULL;
    dipp_status status = create_empty(label, &made, error);
    if (!status)
        status = add_file(made, label, label, &file, error);
    if (!status)
        status = parse_file(made, data, bytes, file, error);
    if (status) {
        dipp_weights_destroy(&made);
        return status;
    }
    take_only_file(made);
    *weights = made;
    return DIPP_OK;
}

size_t dipp_weights_count(const dipp_weights *weights)
{
    return weights->tensor_count;
}

const dipp_weight_tensor *dipp_weights_at(const dipp_weights *weights, size_t index)
{
    return &weights->tensors[index];
}

const dipp_weight_tensor *dipp_weights_find(const dipp_weights *weights, const char *name)
{
    return find_in(weights->tensors, weights->tensor_count, name);
}

const char *dipp_weights_metadata(const dipp_weights *weights, const char *key)
{
    return find_note(weights->notes, weights->note_count, key);
}

size_t dipp_weights_metadata_count(const dipp_weights *weights)
{
    return weights->note_count;
}

void dipp_weights_metadata_at(const dipp_weights *weights, size_t index, const char **key, const char **value)
{
    *key = weights->notes[index].key;
    *value = weights->notes[index].value;
}

const dipp_weight_tensor *dipp_weights_find_prefixed(const dipp_weights *weights, const char *name)
{
    static const char *const prefixes[] = {
        "module.", "model.", "blip.", "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."};
    enum { PREFIXES = sizeof prefixes / sizeof *prefixes };
    const dipp_weight_tensor *found = dipp_weights_find(weights, name);
    for (size_t i = 0; i < PREFIXES && !found; i++) {
        char longer[256];
        size_t length = strlen(prefixes[i]);
        if ((size_t)snprintf(longer, sizeof longer, "%s%s", prefixes[i], name) < sizeof longer)
            found = dipp_weights_find(weights, longer);
        if (!found && !strncmp(name, prefixes[i], length))
            found = dipp_weights_find(weights, name + length);
    }
    return found;
}

size_t dipp_weights_file_count(const dipp_weights *weights)
{
    return weights->file_count;
}

const char *dipp_weights_file(const dipp_weights *weights, size_t index)
{
    return weights->files[index].path;
}

dipp_status dipp_weights_sha256(const char *path, char *out, dipp_error *error)
{
    char digest[DIPP_SHA256_HEX_BYTES];
    dipp_weights *weights = NULL;
    dipp_sha256 hash;
    if (!ends_with(path, ".json"))
        return dipp_sha256_file(path, out, error);
    dipp_sha256_init(&hash);
    dipp_status status = dipp_weights_open(path, &weights, error);
    for (size_t i = 0; status == DIPP_OK && i < weights->file_count; i++) {
        status = dipp_sha256_file(weights->files[i].path, digest, error);
        dipp_sha256_update(&hash, digest, strlen(digest));
    }
    if (status == DIPP_OK)
        dipp_sha256_final_hex(&hash, out);
    dipp_weights_destroy(&weights);
    return status;
}

static dipp_status check_float(const dipp_weight_tensor *tensor, dipp_error *error)
{
    char quoted[DIPP_QUOTED_BYTES];
    if (dipp_weight_dtype_is_float(tensor->dtype))
        return DIPP_OK;
    return dipp_fail(error, DIPP_E_INVALID, "%s: tensor %s: expected F64, F32, F16 or BF16, found %s", tensor->file,
                     dipp_weight_quote(tensor->name, quoted), dipp_weight_dtype_name(tensor->dtype));
}

dipp_status dipp_weight_tensor_to_f32(const dipp_weight_tensor *tensor, float *out, uint64_t count, dipp_error *error)
{
    char quoted[DIPP_QUOTED_BYTES];
    dipp_status status = check_float(tensor, error);
    if (status)
        return status;
    if (count != tensor->count)
        return dipp_fail(error, DIPP_E_INVALID, "%s: tensor %s: expected %llu elements, found %llu", tensor->file,
                         dipp_weight_quote(tensor->name, quoted), (unsigned long long)count,
                         (unsigned long long)tensor->count);
    dipp_weight_to_f32(tensor->dtype, tensor->data, out, (size_t)count);
    return DIPP_OK;
}

static dipp_status fail_missing(const dipp_weights *weights, const char *name, dipp_error *error)
{
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < weights->tensor_count; i++) {
        size_t distance = dipp_edit_distance(name, weights->tensors[i].name);
        if (distance < least) {
            least = distance;
            nearest = weights->tensors[i].name;
        }
    }
    char wanted[DIPP_QUOTED_BYTES], near[DIPP_QUOTED_BYTES];
    const char *file = weights->file_count ? weights->files[0].path : "these weights";
    if (!nearest)
        return dipp_fail(error, DIPP_E_NOT_FOUND, "%s: expected a tensor %s, found no tensors", file,
                         dipp_weight_quote(name, wanted));
    return dipp_fail(error, DIPP_E_NOT_FOUND, "%s%s: expected a tensor %s among the %zu found; the nearest name is %s",
                     file, weights->file_count > 1 ? " and its sister files" : "", dipp_weight_quote(name, wanted),
                     weights->tensor_count, dipp_weight_quote(nearest, near));
}

dipp_status dipp_weights_load_f32(const dipp_weights *weights, const char *name, uint32_t rank, const uint64_t *shape,
                                  float *out, dipp_error *error)
{
    const dipp_weight_tensor *tensor = dipp_weights_find(weights, name);
    if (!tensor)
        return fail_missing(weights, name, error);
    dipp_status status = check_float(tensor, error);
    if (status)
        return status;
    if (rank != tensor->rank || (rank && memcmp(shape, tensor->shape, rank * sizeof *shape))) {
        char quoted[DIPP_QUOTED_BYTES], expected[DIPP_SHAPE_TEXT_BYTES], found[DIPP_SHAPE_TEXT_BYTES];
        return dipp_fail(error, DIPP_E_INVALID, "%s: tensor %s: expected shape %s, found %s", tensor->file,
                         dipp_weight_quote(name, quoted), dipp_weight_shape_text(rank, shape, expected),
                         dipp_weight_shape_text(tensor->rank, tensor->shape, found));
    }
    dipp_weight_to_f32(tensor->dtype, tensor->data, out, (size_t)tensor->count);
    return DIPP_OK;
}
