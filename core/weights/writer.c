#include "weights/writer.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/utf8.h"
#include "weights/safetensors.h"
#include "weights/weights.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 1 << 20 };

typedef struct pending_tensor {
    const char *name;
    dipp_weight_dtype dtype;
    uint32_t rank;
    uint64_t shape[DIPP_WEIGHT_MAX_RANK];
    uint64_t bytes;
    const void *stored;  /* in the stored format, or */
    const float *floats; /* to be converted, or */
    dipp_weights_fetch fetch;
    void *user;
} pending_tensor;

struct dipp_weights_writer {
    dipp_arena *arena;
    const char *path;
    const char *format; /* what the file says that it is; NULL: nothing */
    pending_tensor *tensors;
    size_t tensor_count, tensor_capacity;
    dipp_weight_note *notes;
    size_t note_count, note_capacity;
};

static dipp_status fail_memory(dipp_error *error, const char *path)
{
    return dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory while writing these weights", path);
}

void dipp_weights_writer_destroy(dipp_weights_writer **writer)
{
    if (!writer || !*writer)
        return;
    dipp_release((*writer)->tensors);
    dipp_release((*writer)->notes);
    dipp_arena_destroy(&(*writer)->arena);
    dipp_release(*writer);
    *writer = NULL;
}

static dipp_status create(const char *path, const char *format, dipp_weights_writer **writer, dipp_error *error)
{
    dipp_weights_writer *made = dipp_allocate_zeroed(1, sizeof *made);
    if (made && (!(made->arena = dipp_arena_create(0)) || !(made->path = dipp_arena_string(made->arena, path))))
        dipp_weights_writer_destroy(&made);
    if (!made)
        return fail_memory(error, path);
    made->format = format;
    *writer = made;
    return DIPP_OK;
}

dipp_status dipp_weights_writer_create(const char *path, dipp_weights_writer **writer, dipp_error *error)
{
    return create(path, "pt", writer, error); /* transformers opens no file that does not say so */
}

dipp_status dipp_weights_writer_create_state(const char *path, dipp_weights_writer **writer, dipp_error *error)
{
    return create(path, NULL, writer, error);
}

static bool valid_utf8(const char *text)
{
    return dipp_utf8_valid(text, strlen(text));
}

static void append_json_string(dipp_text *text, const char *string)
{
    dipp_text_append(text, "\"");
    for (const char *next = string; *next; next++) {
        if (*next == '"' || *next == '\\')
            dipp_text_printf(text, "\\%c", *next);
        else if ((unsigned char)*next < 32)
            dipp_text_printf(text, "\\u%04x", (unsigned)(unsigned char)*next);
        else
            dipp_text_append_n(text, next, 1);
    }
    dipp_text_append(text, "\"");
}

dipp_status dipp_weights_writer_metadata(dipp_weights_writer *writer, const char *key, const char *value,
                                         dipp_error *error)
{
    char quoted[DIPP_QUOTED_BYTES];
    if (!valid_utf8(key) || !valid_utf8(value))
        return dipp_fail(error, DIPP_E_INVALID, "%s: metadata %s: expected UTF-8 text", writer->path,
                         valid_utf8(key) ? dipp_weight_quote(key, quoted) : "(key)");
    dipp_weight_note note = {dipp_arena_string(writer->arena, key), dipp_arena_string(writer->arena, value)};
    if (!note.key || !note.value)
        return fail_memory(error, writer->path);
    for (size_t i = 0; i < writer->note_count; i++)
        if (!strcmp(writer->notes[i].key, key)) {
            writer->notes[i] = note;
            return DIPP_OK;
        }
    if (!dipp_grow((void **)&writer->notes, &writer->note_capacity, writer->note_count + 1, sizeof note))
        return fail_memory(error, writer->path);
    writer->notes[writer->note_count++] = note;
    return DIPP_OK;
}

static dipp_status add(dipp_weights_writer *writer, const char *name, uint32_t rank, const uint64_t *shape,
                       pending_tensor tensor, dipp_error *error)
{
    char quoted[DIPP_QUOTED_BYTES];
    if (!valid_utf8(name) || !strcmp(name, "__metadata__"))
        return dipp_fail(error, DIPP_E_INVALID, "%s: expected a tensor name in UTF-8 other than __metadata__",
                         writer->path);
    if (rank > DIPP_WEIGHT_MAX_RANK)
        return dipp_fail(error, DIPP_E_INVALID, "%s: tensor %s: expected at most %d dimensions, found %u", writer->path,
                         dipp_weight_quote(name, quoted), (int)DIPP_WEIGHT_MAX_RANK, rank);
    tensor.bytes = dipp_weight_dtype_bytes(tensor.dtype);
    tensor.rank = rank;
    for (uint32_t i = 0; i < rank; i++) {
        tensor.shape[i] = shape[i];
        if (__builtin_mul_overflow(tensor.bytes, shape[i], &tensor.bytes) || tensor.bytes > INT64_MAX)
            return dipp_fail(error, DIPP_E_INVALID, "%s: tensor %s: the shape has more than 2^63 bytes", writer->path,
                             dipp_weight_quote(name, quoted));
    }
    if (tensor.bytes && !tensor.stored && !tensor.floats && !tensor.fetch)
        return dipp_fail(error, DIPP_E_INVALID, "%s: tensor %s: expected data, found NULL", writer->path,
                         dipp_weight_quote(name, quoted));
    tensor.name = dipp_arena_string(writer->arena, name);
    if (!tensor.name ||
        !dipp_grow((void **)&writer->tensors, &writer->tensor_capacity, writer->tensor_count + 1, sizeof tensor))
        return fail_memory(error, writer->path);
    writer->tensors[writer->tensor_count++] = tensor;
    return DIPP_OK;
}

dipp_status dipp_weights_writer_add_f32(dipp_weights_writer *writer, const char *name, dipp_weight_dtype dtype,
                                        uint32_t rank, const uint64_t *shape, const float *data, dipp_error *error)
{
    char quoted[DIPP_QUOTED_BYTES];
    if (!dipp_weight_from_f32(dtype, NULL, NULL, 0))
        return dipp_fail(error, DIPP_E_INVALID, "%s: tensor %s: floats can be stored as F32, BF16 or F64, not as %s",
                         writer->path, dipp_weight_quote(name, quoted), dipp_weight_dtype_name(dtype));
    return add(writer, name, rank, shape, (pending_tensor){.dtype = dtype, .floats = data}, error);
}

dipp_status dipp_weights_writer_add(dipp_weights_writer *writer, const char *name, dipp_weight_dtype dtype,
                                    uint32_t rank, const uint64_t *shape, const void *data, dipp_error *error)
{
    return add(writer, name, rank, shape, (pending_tensor){.dtype = dtype, .stored = data}, error);
}

dipp_status dipp_weights_writer_add_fetched(dipp_weights_writer *writer, const char *name, dipp_weight_dtype dtype,
                                            uint32_t rank, const uint64_t *shape, dipp_weights_fetch fetch, void *user,
                                            dipp_error *error)
{
    return add(writer, name, rank, shape, (pending_tensor){.dtype = dtype, .fetch = fetch, .user = user}, error);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const pending_tensor *)a)->name, ((const pending_tensor *)b)->name);
}

static int compare_layout(const void *a, const void *b)
{
    const pending_tensor *first = a, *second = b;
    size_t x = dipp_weight_dtype_bytes(first->dtype), y = dipp_weight_dtype_bytes(second->dtype);
    return x != y ? (x < y) - (x > y) : strcmp(first->name, second->name);
}

static int compare_notes(const void *a, const void *b)
{
    return strcmp(((const dipp_weight_note *)a)->key, ((const dipp_weight_note *)b)->key);
}

static void append_header(const dipp_weights_writer *writer, dipp_text *text)
{
    const char *separator = "";
    dipp_text_append(text, "{");
    if (writer->note_count) {
        dipp_text_append(text, "\"__metadata__\":{");
        for (size_t i = 0; i < writer->note_count; i++) {
            dipp_text_append(text, i ? "," : "");
            append_json_string(text, writer->notes[i].key);
            dipp_text_append(text, ":");
            append_json_string(text, writer->notes[i].value);
        }
        dipp_text_append(text, "}");
        separator = ",";
    }
    uint64_t offset = 0;
    for (size_t i = 0; i < writer->tensor_count; i++, separator = ",") {
        const pending_tensor *tensor = &writer->tensors[i];
        dipp_text_append(text, separator);
        append_json_string(text, tensor->name);
        dipp_text_printf(text, ":{\"dtype\":\"%s\",\"shape\":[", dipp_weight_dtype_name(tensor->dtype));
        for (uint32_t j = 0; j < tensor->rank; j++)
            dipp_text_printf(text, "%s%llu", j ? "," : "", (unsigned long long)tensor->shape[j]);
        dipp_text_printf(text, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)offset,
                         (unsigned long long)offset + tensor->bytes);
        offset += tensor->bytes;
    }
    dipp_text_append(text, "}");
    while (text->length % 8 && !text->failed)
        dipp_text_append(text, " ");
}

static dipp_status write_tensor(const pending_tensor *tensor, dipp_file_writer *file, uint8_t *piece, dipp_error *error)
{
    if (tensor->stored)
        return dipp_file_writer_append(file, tensor->stored, tensor->bytes, error);
    size_t size = dipp_weight_dtype_bytes(tensor->dtype);
    for (uint64_t first = 0; first < tensor->bytes;) {
        size_t bytes = tensor->bytes - first < PIECE_BYTES ? (size_t)(tensor->bytes - first) : PIECE_BYTES;
        dipp_status status = DIPP_OK;
        if (tensor->floats)
            dipp_weight_from_f32(tensor->dtype, tensor->floats + first / size, piece, bytes / size);
        else
            status = tensor->fetch(tensor->user, first, piece, bytes, error);
        if (!status)
            status = dipp_file_writer_append(file, piece, bytes, error);
        if (status)
            return status;
        first += bytes;
    }
    return DIPP_OK;
}

static dipp_status write_file(dipp_weights_writer *writer, const char *header, uint64_t length, uint8_t *piece,
                              dipp_error *error)
{
    dipp_file_writer *file = NULL;
    dipp_status status = dipp_file_writer_create(writer->path, &file, error);
    if (!status)
        status = dipp_file_writer_append(file, &length, sizeof length, error);
    if (!status)
        status = dipp_file_writer_append(file, header, (size_t)length, error);
    for (size_t i = 0; !status && i < writer->tensor_count; i++)
        status = write_tensor(&writer->tensors[i], file, piece, error);
    if (!status)
        status = dipp_file_writer_commit(&file, error);
    dipp_file_writer_destroy(&file);
    return status;
}

dipp_status dipp_weights_writer_commit(dipp_weights_writer **writer, dipp_error *error)
{
    dipp_weights_writer *own = *writer;
    dipp_status status = own->format ? dipp_weights_writer_metadata(own, "format", own->format, error) : DIPP_OK;
    char quoted[DIPP_QUOTED_BYTES];
    if (own->tensor_count)
        qsort(own->tensors, own->tensor_count, sizeof *own->tensors, compare_names);
    uint64_t total = 0;
    for (size_t i = 0; !status && i < own->tensor_count; i++) {
        if (i && !strcmp(own->tensors[i].name, own->tensors[i - 1].name))
            status = dipp_fail(error, DIPP_E_INVALID, "%s: tensor %s was added twice", own->path,
                               dipp_weight_quote(own->tensors[i].name, quoted));
        else if (__builtin_add_overflow(total, own->tensors[i].bytes, &total) || total > INT64_MAX)
            status = dipp_fail(error, DIPP_E_INVALID, "%s: the tensors have more than 2^63 bytes together", own->path);
    }
    dipp_text text = {0};
    size_t length = 0;
    char *header = NULL;
    uint8_t *piece = NULL;
    if (!status) {
        if (own->tensor_count)
            qsort(own->tensors, own->tensor_count, sizeof *own->tensors, compare_layout);
        if (own->note_count)
            qsort(own->notes, own->note_count, sizeof *own->notes, compare_notes);
        append_header(own, &text);
        length = text.length;
        header = dipp_text_finish(&text);
        piece = dipp_allocate_aligned(PIECE_BYTES, 64);
        if (!header || !piece)
            status = fail_memory(error, own->path);
        else if (length > DIPP_SAFETENSORS_HEADER_LIMIT)
            status = dipp_fail(error, DIPP_E_INVALID, "%s: the header has %zu bytes, the format allows %d", own->path,
                               length, (int)DIPP_SAFETENSORS_HEADER_LIMIT);
        else
            status = write_file(own, header, length, piece, error);
    }
    dipp_release(header);
    dipp_release(piece);
    dipp_weights_writer_destroy(writer);
    return status;
}
