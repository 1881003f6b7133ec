#include "weights/torch_file.h"
#include "weights/torch_state.h"
#include "weights/zip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The types whose bytes dipp understands. A bool is a byte that is 0 or 1. */
static const struct {
    const char *storage;
    dipp_weight_dtype dtype;
} types[] = {
    {"DoubleStorage", DIPP_WEIGHT_F64},    {"FloatStorage", DIPP_WEIGHT_F32}, {"HalfStorage", DIPP_WEIGHT_F16},
    {"BFloat16Storage", DIPP_WEIGHT_BF16}, {"LongStorage", DIPP_WEIGHT_I64},  {"IntStorage", DIPP_WEIGHT_I32},
    {"ByteStorage", DIPP_WEIGHT_U8},       {"BoolStorage", DIPP_WEIGHT_U8},
};

typedef struct torch_file {
    const char *path;
    dipp_arena *arena;
    dipp_arena *scratch; /* values of the pickle, the archive's list: gone when parsing is over */
    dipp_zip zip;
    const char *prefix; /* "archive" of archive/data.pkl */
    uint64_t may_copy;  /* bytes */
    dipp_error *error;
} torch_file;

static bool starts_with(const uint8_t *bytes, size_t size, const char *start, size_t length)
{
    return size >= length && !memcmp(bytes, start, length);
}

static bool is_zip(const uint8_t *bytes, size_t size)
{
    return starts_with(bytes, size, "PK\3\4", 4) || starts_with(bytes, size, "PK\5\6", 4);
}

bool dipp_torch_file_is(const uint8_t *bytes, size_t size)
{
    /* Before ZIP there were pickles one after the other, and before those tar archives. A safetensors file that starts
     * like a pickle would have a header of more than 2^24 bytes of a length that ends in 0x80. */
    return is_zip(bytes, size) || (size > 8 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5 && bytes[8] != '{') ||
           (size > 262 && starts_with(bytes + 257, size - 257, "ustar", 5));
}

static dipp_status fail_memory(const torch_file *f)
{
    return dipp_fail(f->error, DIPP_E_MEMORY, "%s: out of memory for its tensors", f->path);
}

/* PREFIX/NAME in the archive; *entry is NULL when there is none. */
static dipp_status find_entry(const torch_file *f, const char *folder, const char *name, size_t length,
                              const dipp_zip_entry **entry)
{
    size_t prefix = strlen(f->prefix), middle = strlen(folder);
    char *full = dipp_arena_allocate(f->scratch, prefix + middle + length + 1);
    if (!full)
        return fail_memory(f);
    memcpy(full, f->prefix, prefix);
    memcpy(full + prefix, folder, middle);
    memcpy(full + prefix + middle, name, length);
    full[prefix + middle + length] = 0;
    *entry = dipp_zip_find(&f->zip, full);
    return DIPP_OK;
}

static dipp_status check_stored(const torch_file *f, const dipp_zip_entry *entry)
{
    char quoted[DIPP_QUOTED_BYTES];
    return entry->data ? DIPP_OK
                       : dipp_fail(f->error, DIPP_E_UNSUPPORTED,
                                   "%s: %s is compressed or encrypted; torch.save stores plainly, so save it again",
                                   f->path, dipp_weight_quote(entry->name, quoted));
}

static dipp_status find_pickle(torch_file *f, const dipp_zip_entry **pickle)
{
    for (size_t i = 0; i < f->zip.count; i++) {
        const char *slash = strchr(f->zip.entries[i].name, '/');
        if (slash && !strcmp(slash, "/data.pkl")) {
            *pickle = &f->zip.entries[i];
            f->prefix = dipp_arena_string_n(f->scratch, (*pickle)->name, (size_t)(slash - (*pickle)->name));
            return f->prefix ? check_stored(f, *pickle) : fail_memory(f);
        }
    }
    return dipp_fail(f->error, DIPP_E_FORMAT,
                     "%s: a ZIP archive without data.pkl in its folder; expected what torch.save writes", f->path);
}

static dipp_status check_byte_order(const torch_file *f)
{
    const dipp_zip_entry *order = NULL;
    dipp_status status = find_entry(f, "/", "byteorder", 9, &order);
    if (status)
        return status;
    if (order && order->data && !starts_with(order->data, order->bytes, "little", 6))
        return dipp_fail(f->error, DIPP_E_UNSUPPORTED, "%s: its numbers are not little-endian", f->path);
    return DIPP_OK;
}

static dipp_status take_storage(const torch_file *f, const dipp_pickle_value *storage, dipp_weight_tensor *tensor,
                                const dipp_zip_entry **entry)
{
    size_t type = 0, most = sizeof types / sizeof *types;
    while (type < most && strcmp(types[type].storage, storage->storage.type) != 0)
        type++;
    if (type == most)
        return dipp_weight_fail(f->error, DIPP_E_UNSUPPORTED, f->path, tensor->name,
                                "expected one of the dtypes F64, F32, F16, BF16, I64, I32, U8, found torch.%s; convert "
                                "the file",
                                storage->storage.type);
    tensor->dtype = types[type].dtype;
    const dipp_pickle_value *key = storage->storage.key;
    dipp_status status = find_entry(f, "/data/", key->text.bytes, key->text.length, entry);
    if (status)
        return status;
    if (!*entry)
        return dipp_weight_fail(f->error, DIPP_E_FORMAT, f->path, tensor->name,
                                "its numbers are missing from the archive; the file is damaged");
    uint64_t bytes;
    if (!(*entry)->data)
        return check_stored(f, *entry);
    if (__builtin_mul_overflow((uint64_t)storage->storage.count, dipp_weight_dtype_bytes(tensor->dtype), &bytes) ||
        bytes != (*entry)->bytes)
        return dipp_weight_fail(f->error, DIPP_E_FORMAT, f->path, tensor->name,
                                "expected %lld numbers of %zu bytes, found %llu bytes; the file is damaged",
                                (long long)storage->storage.count, dipp_weight_dtype_bytes(tensor->dtype),
                                (unsigned long long)(*entry)->bytes);
    return DIPP_OK;
}

/* Shape, count and bytes; *extent is how many elements of the storage the tensor spans from its offset on. */
static dipp_status take_shape(const torch_file *f, const dipp_pickle_value *value, dipp_weight_tensor *tensor,
                              uint64_t strides[DIPP_WEIGHT_MAX_RANK], bool *contiguous, uint64_t *extent)
{
    const dipp_pickle_value *shape = value->tensor.shape;
    if (shape->list.count > DIPP_WEIGHT_MAX_RANK)
        return dipp_weight_fail(f->error, DIPP_E_UNSUPPORTED, f->path, tensor->name,
                                "expected at most %d dimensions, found %zu", (int)DIPP_WEIGHT_MAX_RANK,
                                shape->list.count);
    tensor->rank = (uint32_t)shape->list.count;
    tensor->count = 1;
    *contiguous = true;
    uint64_t last = 0, step;
    bool overflow = false;
    for (uint32_t i = tensor->rank; i-- > 0;) {
        tensor->shape[i] = (uint64_t)shape->list.items[i]->integer;
        strides[i] = (uint64_t)value->tensor.strides->list.items[i]->integer;
        *contiguous &= tensor->shape[i] == 1 || strides[i] == tensor->count;
        overflow |= __builtin_mul_overflow(tensor->count, tensor->shape[i], &tensor->count);
        if (tensor->shape[i])
            overflow |= __builtin_mul_overflow(tensor->shape[i] - 1, strides[i], &step) ||
                        __builtin_add_overflow(last, step, &last);
    }
    overflow |= __builtin_mul_overflow(tensor->count, dipp_weight_dtype_bytes(tensor->dtype), &tensor->bytes);
    *contiguous |= !tensor->count;
    *extent = tensor->count ? last + 1 : 0;
    if (overflow || last == UINT64_MAX)
        return dipp_weight_fail(f->error, DIPP_E_FORMAT, f->path, tensor->name, "its shape or strides overflow 2^64");
    return DIPP_OK;
}

/* Row-major order out of strides. */
static dipp_status copy_strided(torch_file *f, dipp_weight_tensor *tensor, const uint8_t *from,
                                const uint64_t strides[DIPP_WEIGHT_MAX_RANK])
{
    size_t size = dipp_weight_dtype_bytes(tensor->dtype);
    if (tensor->bytes > f->may_copy)
        return dipp_weight_fail(f->error, DIPP_E_UNSUPPORTED, f->path, tensor->name,
                                "it is not contiguous, and such tensors take more bytes together than the file has; "
                                "save .contiguous() copies");
    f->may_copy -= tensor->bytes;
    uint8_t *to = dipp_arena_allocate(f->arena, (size_t)tensor->bytes);
    if (!to)
        return fail_memory(f);
    uint64_t index[DIPP_WEIGHT_MAX_RANK] = {0}, place = 0;
    for (uint64_t i = 0; i < tensor->count; i++) {
        memcpy(to + i * size, from + place * size, size);
        for (uint32_t d = tensor->rank; d-- > 0;) {
            place += strides[d];
            if (++index[d] < tensor->shape[d])
                break;
            place -= index[d] * strides[d];
            index[d] = 0;
        }
    }
    tensor->data = to;
    return DIPP_OK;
}

static dipp_status take_tensor(torch_file *f, const dipp_pickle_value *value, dipp_weight_tensor *tensor)
{
    const dipp_zip_entry *entry = NULL;
    uint64_t strides[DIPP_WEIGHT_MAX_RANK] = {0}, extent = 0, offset = (uint64_t)value->tensor.offset;
    bool contiguous = false;
    dipp_status status = take_storage(f, value->tensor.storage, tensor, &entry);
    if (!status)
        status = take_shape(f, value, tensor, strides, &contiguous, &extent);
    if (status)
        return status;
    uint64_t stored = (uint64_t)value->tensor.storage->storage.count;
    if (offset > stored || extent > stored - offset)
        return dipp_weight_fail(f->error, DIPP_E_FORMAT, f->path, tensor->name,
                                "it takes the numbers from %llu to %llu of a storage of %llu; the file is damaged",
                                (unsigned long long)offset, (unsigned long long)offset + extent,
                                (unsigned long long)stored);
    tensor->data = entry->data + offset * dipp_weight_dtype_bytes(tensor->dtype);
    return contiguous ? DIPP_OK : copy_strided(f, tensor, tensor->data, strides);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const dipp_weight_tensor *)a)->name, ((const dipp_weight_tensor *)b)->name);
}

static dipp_status take_state(torch_file *f, const dipp_torch_state *state, dipp_weight_content *out)
{
    out->tensors = dipp_arena_allocate_zeroed(f->arena, state->count, sizeof *out->tensors);
    if (!out->tensors)
        return fail_memory(f);
    for (size_t i = 0; i < state->count; i++) {
        out->tensors[i].name = state->items[i].name;
        out->tensors[i].file = f->path;
        dipp_status status = take_tensor(f, state->items[i].tensor, &out->tensors[i]);
        if (status)
            return status;
    }
    out->tensor_count = state->count;
    qsort(out->tensors, out->tensor_count, sizeof *out->tensors, compare_names);
    for (size_t i = 1; i < out->tensor_count; i++)
        if (!strcmp(out->tensors[i - 1].name, out->tensors[i].name))
            return dipp_weight_fail(f->error, DIPP_E_FORMAT, f->path, out->tensors[i].name, "it is there twice");
    return DIPP_OK;
}

dipp_status dipp_torch_file_parse(const uint8_t *bytes, size_t size, const char *file, dipp_arena *arena,
                                  dipp_weight_content *out, dipp_error *error)
{
    if (!is_zip(bytes, size))
        return dipp_fail(
            error, DIPP_E_UNSUPPORTED,
            "%s: a pickle or tar archive as PyTorch wrote before 1.6; load it in a newer PyTorch and save it "
            "again with torch.save or as safetensors",
            file);
    torch_file f = {
        .path = file, .arena = arena, .scratch = dipp_arena_create(0), .may_copy = (uint64_t)size, .error = error};
    if (!f.scratch)
        return fail_memory(&f);
    const dipp_zip_entry *pickle = NULL;
    const dipp_pickle_value *root = NULL;
    dipp_torch_state state = {0};
    dipp_weight_content parsed = {0};
    dipp_status status = dipp_zip_parse(bytes, size, file, f.scratch, &f.zip, error);
    if (!status)
        status = find_pickle(&f, &pickle);
    if (!status)
        status = check_byte_order(&f);
    if (!status)
        status = dipp_pickle_load(pickle->data, (size_t)pickle->bytes, file, f.scratch, &root, error);
    if (!status)
        status = dipp_torch_state_find(root, (size_t)pickle->bytes, file, arena, f.scratch, &state, error);
    if (!status)
        status = take_state(&f, &state, &parsed);
    dipp_arena_destroy(&f.scratch);
    if (!status)
        *out = parsed;
    return status;
}
