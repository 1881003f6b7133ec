/* Every number of the header is compared with what the file's size and the shapes allow before it is used. */
#include "weights/safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* A JSON number that is a whole number of at least 0. */
static bool take_size(const json_t *value, uint64_t *size)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *size = (uint64_t)json_integer_value(value);
    return true;
}

static dipp_status parse_tensor(const json_t *entry, const uint8_t *body, uint64_t body_bytes, const char *file,
                                dipp_weight_tensor *tensor, dipp_error *error)
{
    const char *name = tensor->name;
    const json_t *dtype = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_string(dtype) || !json_is_array(shape) || !json_is_array(offsets))
        return dipp_weight_fail(
            error, DIPP_E_FORMAT, file, name,
            "expected an object with dtype (text), shape (list) and data_offsets (list); %s is missing "
            "or of another type",
            !json_is_string(dtype) ? "dtype"
            : json_is_array(shape) ? "data_offsets"
                                   : "shape");
    char quoted[DIPP_QUOTED_BYTES];
    if (!dipp_weight_dtype_parse(json_string_value(dtype), &tensor->dtype))
        return dipp_weight_fail(
            error, DIPP_E_UNSUPPORTED, file, name,
            "expected one of the dtypes F64, F32, F16, BF16, I64, I32, U8, found %s; convert the file",
            dipp_weight_quote(json_string_value(dtype), quoted));
    if (json_array_size(shape) > DIPP_WEIGHT_MAX_RANK)
        return dipp_weight_fail(error, DIPP_E_UNSUPPORTED, file, name, "expected at most %d dimensions, found %zu",
                                (int)DIPP_WEIGHT_MAX_RANK, json_array_size(shape));
    tensor->rank = (uint32_t)json_array_size(shape);
    tensor->count = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        if (!take_size(json_array_get(shape, i), &tensor->shape[i]))
            return dipp_weight_fail(error, DIPP_E_FORMAT, file, name,
                                    "dimension %u of the shape is not a whole number of at least 0", i);
        if (__builtin_mul_overflow(tensor->count, tensor->shape[i], &tensor->count))
            return dipp_weight_fail(error, DIPP_E_FORMAT, file, name, "the shape has more than 2^64 elements");
    }
    size_t size = dipp_weight_dtype_bytes(tensor->dtype);
    if (__builtin_mul_overflow(tensor->count, size, &tensor->bytes))
        return dipp_weight_fail(error, DIPP_E_FORMAT, file, name, "the shape has more than 2^64 bytes");
    uint64_t begin, end;
    if (json_array_size(offsets) != 2 || !take_size(json_array_get(offsets, 0), &begin) ||
        !take_size(json_array_get(offsets, 1), &end))
        return dipp_weight_fail(error, DIPP_E_FORMAT, file, name,
                                "expected data_offsets of two whole numbers of at least 0");
    if (begin > end || end > body_bytes)
        return dipp_weight_fail(
            error, DIPP_E_FORMAT, file, name,
            "data_offsets [%llu, %llu] do not lie in the %llu bytes behind the header; the file is cut "
            "short or damaged, copy it again",
            (unsigned long long)begin, (unsigned long long)end, (unsigned long long)body_bytes);
    char text[DIPP_SHAPE_TEXT_BYTES];
    if (end - begin != tensor->bytes)
        return dipp_weight_fail(error, DIPP_E_FORMAT, file, name, "%s %s takes %llu bytes, data_offsets give %llu",
                                dipp_weight_dtype_name(tensor->dtype),
                                dipp_weight_shape_text(tensor->rank, tensor->shape, text),
                                (unsigned long long)tensor->bytes, (unsigned long long)(end - begin));
    tensor->data = body + begin;
    return DIPP_OK;
}

static int compare_places(const void *a, const void *b)
{
    const dipp_weight_tensor *first = *(dipp_weight_tensor *const *)a, *second = *(dipp_weight_tensor *const *)b;
    const uint8_t *x = first->data, *y = second->data;
    if (x != y)
        return x < y ? -1 : 1;
    return (first->bytes > second->bytes) - (first->bytes < second->bytes); /* empty tensors first */
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const dipp_weight_tensor *)a)->name, ((const dipp_weight_tensor *)b)->name);
}

/* The format allows neither overlap nor holes: sorted by place, each tensor starts where the one before ended. */
static dipp_status check_places(const dipp_weight_content *all, const uint8_t *body, uint64_t body_bytes,
                                const char *file, dipp_arena *arena, dipp_error *error)
{
    dipp_weight_tensor **places = dipp_arena_allocate(arena, all->tensor_count * sizeof(dipp_weight_tensor *));
    if (!places)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory for %zu tensors", file, all->tensor_count);
    for (size_t i = 0; i < all->tensor_count; i++)
        places[i] = &all->tensors[i];
    qsort(places, all->tensor_count, sizeof *places, compare_places);
    uint64_t expected = 0;
    for (size_t i = 0; i < all->tensor_count; i++) {
        uint64_t begin = (uint64_t)((const uint8_t *)places[i]->data - body);
        char quoted[DIPP_QUOTED_BYTES];
        if (begin < expected)
            return dipp_weight_fail(error, DIPP_E_FORMAT, file, places[i]->name,
                                    "starts at %llu and overlaps %s, which ends at %llu", (unsigned long long)begin,
                                    dipp_weight_quote(places[i - 1]->name, quoted), (unsigned long long)expected);
        if (begin > expected)
            return dipp_weight_fail(
                error, DIPP_E_FORMAT, file, places[i]->name,
                "expected to start at %llu where the one before ends, found %llu: the format allows no "
                "holes",
                (unsigned long long)expected, (unsigned long long)begin);
        expected = begin + places[i]->bytes;
    }
    if (expected != body_bytes)
        return dipp_fail(error, DIPP_E_FORMAT,
                         "%s: the tensors end after %llu bytes, %llu follow the header: the format allows no rest",
                         file, (unsigned long long)expected, (unsigned long long)body_bytes);
    return DIPP_OK;
}

static dipp_status parse_notes(const json_t *metadata, const char *file, dipp_arena *arena, dipp_weight_content *out,
                               dipp_error *error)
{
    if (!json_is_object(metadata))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected __metadata__ to be an object of texts", file);
    out->notes = dipp_arena_allocate(arena, json_object_size(metadata) * sizeof *out->notes);
    if (!out->notes)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory for __metadata__", file);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value)
    {
        char quoted[DIPP_QUOTED_BYTES];
        if (!json_is_string(value))
            return dipp_fail(error, DIPP_E_FORMAT, "%s: __metadata__ %s is not a text", file,
                             dipp_weight_quote(key, quoted));
        dipp_weight_note note = {dipp_arena_string(arena, key), dipp_arena_string(arena, json_string_value(value))};
        if (!note.key || !note.value)
            return dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory for __metadata__", file);
        out->notes[out->note_count++] = note;
    }
    return DIPP_OK;
}

static dipp_status parse_header(const json_t *root, const uint8_t *body, uint64_t body_bytes, const char *file,
                                dipp_arena *arena, dipp_weight_content *out, dipp_error *error)
{
    if (!json_is_object(root))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected the header to be a JSON object", file);
    out->tensors = dipp_arena_allocate_zeroed(arena, json_object_size(root), sizeof *out->tensors);
    if (!out->tensors)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory for %zu tensors", file, json_object_size(root));
    const char *name;
    json_t *entry;
    json_object_foreach((json_t *)(uintptr_t)root, name, entry)
    {
        dipp_status status;
        if (!strcmp(name, "__metadata__")) {
            status = parse_notes(entry, file, arena, out, error);
        } else {
            dipp_weight_tensor *tensor = &out->tensors[out->tensor_count++];
            tensor->name = dipp_arena_string(arena, name);
            tensor->file = file;
            status = tensor->name ? parse_tensor(entry, body, body_bytes, file, tensor, error)
                                  : dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory for names", file);
        }
        if (status)
            return status;
    }
    dipp_status status = check_places(out, body, body_bytes, file, arena, error);
    if (!status)
        qsort(out->tensors, out->tensor_count, sizeof *out->tensors, compare_names);
    return status;
}

dipp_status dipp_safetensors_parse(const uint8_t *bytes, size_t size, const char *file, dipp_arena *arena,
                                   dipp_weight_content *out, dipp_error *error)
{
    uint64_t length;
    if (size < sizeof length)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected a safetensors file, found only %zu bytes", file, size);
    memcpy(&length, bytes, sizeof length);
    if (length > DIPP_SAFETENSORS_HEADER_LIMIT)
        return dipp_fail(error, DIPP_E_FORMAT,
                         "%s: expected a safetensors header of at most %d bytes, found a length of %llu; this is not a "
                         "safetensors file",
                         file, (int)DIPP_SAFETENSORS_HEADER_LIMIT, (unsigned long long)length);
    if (length > size - sizeof length)
        return dipp_fail(error, DIPP_E_FORMAT,
                         "%s: the header takes %llu bytes, the file has %zu; it is cut short, copy it again", file,
                         (unsigned long long)length, size);
    const uint8_t *header = bytes + sizeof length, *body = header + length;
    if (!length || *header != '{')
        return dipp_fail(error, DIPP_E_FORMAT,
                         "%s: expected '{' at the start of the header; this is not a safetensors file", file);
    json_error_t trouble;
    json_t *root = json_loadb((const char *)header, (size_t)length, JSON_REJECT_DUPLICATES, &trouble);
    if (!root) {
        char quoted[DIPP_QUOTED_BYTES];
        return dipp_fail(error, json_error_code(&trouble) == json_error_out_of_memory ? DIPP_E_MEMORY : DIPP_E_FORMAT,
                         "%s: the header is not JSON with distinct names, at byte %d: %s", file, trouble.position,
                         dipp_weight_quote(trouble.text, quoted));
    }
    dipp_weight_content parsed = {0};
    dipp_status status = parse_header(root, body, size - sizeof length - (size_t)length, file, arena, &parsed, error);
    json_decref(root);
    if (!status)
        *out = parsed;
    return status;
}
