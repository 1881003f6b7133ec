#include "tensor/parameter_set.h"

#include "base/bf16.h"
#include "base/memory.h"
#include "base/philox.h"
#include "tensor/state_format.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Elements that pass through the host at a time: copies need no second set of memory. */
enum { CHUNK = 1 << 15 };

static dipp_dtype block_dtype(dipp_block block)
{
    return block == DIPP_BLOCK_COMPUTE ? DIPP_COMPUTE : DIPP_WIDE;
}

/* Whether MASTER ends after the wide elements. */
static bool is_split(const dipp_parameter_set *set)
{
    return set->formats.bf16_weights && !set->backend->compute_is_wide;
}

bool dipp_formats_round(dipp_formats formats)
{
    return formats.bf16_weights || formats.state == DIPP_STATE_BF16;
}

bool dipp_parameter_set_has_master(const dipp_parameter_set *set, uint32_t entry)
{
    return !is_split(set) || dipp_layout_entry_at(set->layout, entry)->flags & DIPP_PARAM_WIDE;
}

size_t dipp_parameter_set_words(const dipp_parameter_set *set, dipp_block block)
{
    size_t count = (size_t)dipp_layout_elements(set->layout);
    if (block != DIPP_BLOCK_MOMENT1 && block != DIPP_BLOCK_MOMENT2)
        return 0;
    switch (set->formats.state) {
    case DIPP_STATE_F32: return 0;
    case DIPP_STATE_BF16: return count / 2;
    case DIPP_STATE_8BIT: return count / 4 + count / DIPP_STATE_BLOCK;
    }
    return 0;
}

static size_t bytes_of(const dipp_parameter_set *set, dipp_block block)
{
    size_t count = (size_t)dipp_layout_elements(set->layout), words = dipp_parameter_set_words(set, block);
    if (words)
        return words * sizeof(int32_t);
    if (block == DIPP_BLOCK_MASTER && is_split(set))
        count = (size_t)dipp_layout_wide_elements(set->layout);
    size_t bytes = count * set->backend->element_size[block_dtype(block)];
    return bytes ? bytes : 256; /* a block without elements has an address, too */
}

static bool allocate_block(dipp_parameter_set *set, dipp_block block)
{
    set->blocks[block] = set->backend->allocate(set->backend, bytes_of(set, block));
    return set->blocks[block] != NULL;
}

static dipp_status create(const char *name, dipp_layout *layout, dipp_backend *backend, bool trainable,
                          dipp_formats formats, dipp_parameter_set **out, dipp_error *error)
{
    dipp_layout_seal(layout);
    dipp_parameter_set *set = dipp_allocate_zeroed(1, sizeof *set);
    bool good = set != NULL;
    size_t bytes = 0;
    if (good) {
        *set = (dipp_parameter_set){.layout = layout, .backend = backend, .trainable = trainable, .formats = formats};
        for (int block = 0; block <= (trainable ? DIPP_BLOCK_MOMENT2 : DIPP_BLOCK_COMPUTE); block++)
            if (block != DIPP_BLOCK_COMPUTE || !backend->compute_is_wide)
                bytes += bytes_of(set, (dipp_block)block);
        good = (set->name = dipp_string_copy(name)) && allocate_block(set, DIPP_BLOCK_MASTER);
        if (good && backend->compute_is_wide)
            set->blocks[DIPP_BLOCK_COMPUTE] = set->blocks[DIPP_BLOCK_MASTER];
        else
            good = good && allocate_block(set, DIPP_BLOCK_COMPUTE);
        for (int block = DIPP_BLOCK_GRADIENT; good && trainable && block <= DIPP_BLOCK_MOMENT2; block++)
            good = allocate_block(set, (dipp_block)block);
    }
    if (!good) {
        dipp_parameter_set_destroy(&set);
        char what[160];
        snprintf(what, sizeof what, "the parameters of %s", name);
        return dipp_backend_no_memory(backend, bytes, what, error);
    }
    *out = set;
    return DIPP_OK;
}

dipp_status dipp_parameter_set_create(const char *name, dipp_layout *layout, dipp_backend *backend, bool trainable,
                                      dipp_parameter_set **out, dipp_error *error)
{
    return create(name, layout, backend, trainable, (dipp_formats){0}, out, error);
}

dipp_status dipp_parameter_set_create_in(const char *name, dipp_layout *layout, dipp_backend *backend,
                                         dipp_formats formats, dipp_parameter_set **out, dipp_error *error)
{
    return create(name, layout, backend, true, formats, out, error);
}

void dipp_parameter_set_destroy(dipp_parameter_set **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_parameter_set *set = *pointer;
    for (int block = 0; block < DIPP_BLOCK_COUNT; block++) {
        bool shared = block == DIPP_BLOCK_COMPUTE && set->blocks[block] == set->blocks[DIPP_BLOCK_MASTER];
        if (set->blocks[block] && !shared)
            set->backend->release(set->backend, set->blocks[block]);
    }
    dipp_release((void *)set->name);
    dipp_release(set);
    *pointer = NULL;
}

/* fan_in and fan_out of [out, in, k...]. */
static void fans(const dipp_shape *shape, double *fan_in, double *fan_out)
{
    double receptive = 1;
    for (uint32_t i = 2; i < shape->rank; i++)
        receptive *= (double)shape->dims[i];
    *fan_out = (double)(shape->rank > 0 ? shape->dims[0] : 1) * receptive;
    *fan_in = (double)(shape->rank > 1 ? shape->dims[1] : 1) * receptive;
}

static void initial_values(const dipp_layout_entry *entry, uint64_t seed, uint32_t stream, uint32_t index, float *noise,
                           double *out)
{
    size_t count = (size_t)entry->elements;
    double fan_in, fan_out, scale;
    switch (entry->init) {
    case DIPP_INIT_ZEROS: memset(out, 0, count * sizeof *out); return;
    case DIPP_INIT_ONES:
    case DIPP_INIT_CONSTANT:
        for (size_t i = 0; i < count; i++)
            out[i] = entry->init == DIPP_INIT_ONES ? 1.0 : entry->value;
        return;
    case DIPP_INIT_NORMAL:
        dipp_philox_normal_fill(noise, count, 1, seed, stream, index, 0);
        for (size_t i = 0; i < count; i++)
            out[i] = entry->value * noise[i];
        return;
    case DIPP_INIT_UNIFORM:
    case DIPP_INIT_XAVIER:
        fans(&entry->shape, &fan_in, &fan_out);
        scale = entry->init == DIPP_INIT_UNIFORM
                    ? entry->value
                    : sqrt(6.0 / (fan_in + fan_out)) * (entry->value != 0.0 ? entry->value : 1.0);
        dipp_philox_uniform_fill(noise, count, 1, seed, stream, index, 0);
        for (size_t i = 0; i < count; i++)
            out[i] = scale * (2.0 * noise[i] - 1.0);
        return;
    case DIPP_INIT_IDENTITY:
        memset(out, 0, count * sizeof *out);
        for (int64_t i = 0; i < entry->shape.dims[0] && i < entry->shape.dims[1]; i++)
            out[i * entry->shape.dims[1] + i] = entry->value != 0.0 ? entry->value : 1.0;
        return;
    case DIPP_INIT_DATA: memcpy(out, entry->data, count * sizeof *out); return;
    }
}

dipp_status dipp_parameter_set_initialise(dipp_parameter_set *set, uint64_t seed, uint32_t stream, dipp_error *error)
{
    int64_t largest = 1;
    for (uint32_t i = 0; i < dipp_layout_count(set->layout); i++)
        if (dipp_layout_entry_at(set->layout, i)->elements > largest)
            largest = dipp_layout_entry_at(set->layout, i)->elements;
    float *noise = dipp_allocate((size_t)largest * sizeof *noise);
    double *values = dipp_allocate((size_t)largest * sizeof *values);
    if (!noise || !values) {
        dipp_release(noise);
        dipp_release(values);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to initialise %s", set->name);
    }
    for (uint32_t i = 0; i < dipp_layout_count(set->layout); i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(set->layout, i);
        initial_values(entry, seed, stream, i, noise, values);
        dipp_parameter_set_write_part(set, DIPP_BLOCK_MASTER, (size_t)entry->offset, (size_t)entry->elements, values,
                                      DIPP_HOST_F64);
    }
    dipp_release(noise);
    dipp_release(values);
    return dipp_parameter_set_refresh(set, error);
}

/* The first count elements. */
static dipp_status copy_block(dipp_parameter_set *to, dipp_block to_block, const dipp_parameter_set *from,
                              dipp_block from_block, size_t count, dipp_error *error)
{
    double *host = dipp_allocate(CHUNK * sizeof *host);
    if (!host)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to copy the parameters of %s", to->name);
    for (size_t first = 0; first < count; first += CHUNK) {
        size_t part = count - first < CHUNK ? count - first : CHUNK;
        dipp_parameter_set_read_part(from, from_block, first, part, host, DIPP_HOST_F64);
        dipp_parameter_set_write_part(to, to_block, first, part, host, DIPP_HOST_F64);
    }
    dipp_release(host);
    return DIPP_OK;
}

dipp_status dipp_parameter_set_refresh(dipp_parameter_set *set, dipp_error *error)
{
    if (set->backend->compute_is_wide)
        return DIPP_OK;
    int64_t copied = is_split(set) ? dipp_layout_wide_elements(set->layout) : dipp_layout_elements(set->layout);
    return copy_block(set, DIPP_BLOCK_COMPUTE, set, DIPP_BLOCK_MASTER, (size_t)copied, error);
}

dipp_status dipp_parameter_set_copy(dipp_parameter_set *set, const dipp_parameter_set *other, dipp_error *error)
{
    if (set->layout != other->layout)
        return dipp_fail(error, DIPP_E_INTERNAL, "%s and %s have different layouts", set->name, other->name);
    dipp_status status =
        copy_block(set, DIPP_BLOCK_MASTER, other, DIPP_BLOCK_MASTER, (size_t)dipp_layout_elements(set->layout), error);
    return status == DIPP_OK ? dipp_parameter_set_refresh(set, error) : status;
}

/* ---- To and from the host ---- */

static size_t host_size(dipp_host_type type)
{
    return type == DIPP_HOST_F64 ? sizeof(double) : sizeof(float);
}

static void *element_of(const dipp_parameter_set *set, dipp_block block, size_t first)
{
    return (char *)set->blocks[block] + first * set->backend->element_size[block_dtype(block)];
}

/* How many of count elements from first are wide parameters. */
static size_t wide_part(const dipp_parameter_set *set, size_t first, size_t count)
{
    size_t wide = (size_t)dipp_layout_wide_elements(set->layout);
    if (first + count <= wide)
        return count;
    return first < wide ? wide - first : 0;
}

static void put_number(void *host, dipp_host_type type, size_t i, float value)
{
    if (type == DIPP_HOST_F64)
        ((double *)host)[i] = value;
    else
        ((float *)host)[i] = value;
}

static int32_t word_at(const dipp_parameter_set *set, dipp_block block, size_t at)
{
    int32_t word;
    dipp_parameter_set_read_words(set, block, at, 1, &word);
    return word;
}

/* Element by element: for tests and people. */
static void read_packed(const dipp_parameter_set *set, dipp_block block, size_t first, size_t count, void *host,
                        dipp_host_type type)
{
    size_t codes = (size_t)dipp_layout_elements(set->layout) / 4;
    for (size_t i = 0; i < count; i++) {
        size_t e = first + i;
        float value;
        if (set->formats.state == DIPP_STATE_BF16) {
            uint32_t word = (uint32_t)word_at(set, block, e / 2);
            value = dipp_float_of_bits(e % 2 ? word & 0xffff0000u : word << 16);
        } else {
            uint32_t code = (uint32_t)word_at(set, block, e / 4) >> (8 * (e % 4)) & 255u;
            uint32_t scale = (uint32_t)word_at(set, block, codes + e / DIPP_STATE_BLOCK);
            value = dipp_code_value(block == DIPP_BLOCK_MOMENT1, code) * dipp_float_of_bits(scale);
        }
        put_number(host, type, i, value);
    }
}

void dipp_parameter_set_read_part(const dipp_parameter_set *set, dipp_block block, size_t first, size_t count,
                                  void *host, dipp_host_type type)
{
    if (dipp_parameter_set_words(set, block)) {
        read_packed(set, block, first, count, host, type);
        return;
    }
    size_t own = block == DIPP_BLOCK_MASTER && is_split(set) ? wide_part(set, first, count) : count;
    if (own)
        set->backend->download(set->backend, host, type, element_of(set, block, first), block_dtype(block), own);
    if (own < count)
        set->backend->download(set->backend, (char *)host + own * host_size(type), type,
                               element_of(set, DIPP_BLOCK_COMPUTE, first + own), DIPP_COMPUTE, count - own);
}

/* What is no wide parameter, through bf16 numbers. */
static void write_bf16(dipp_parameter_set *set, size_t first, size_t count, const void *host, dipp_host_type type)
{
    enum { PIECE = 1024 };
    float piece[PIECE];
    dipp_block block = is_split(set) ? DIPP_BLOCK_COMPUTE : DIPP_BLOCK_MASTER;
    for (size_t at = 0; at < count; at += PIECE) {
        size_t part = count - at < PIECE ? count - at : PIECE;
        for (size_t i = 0; i < part; i++) {
            float value = type == DIPP_HOST_F64 ? (float)((const double *)host)[at + i] : ((const float *)host)[at + i];
            piece[i] = dipp_bf16_widen(dipp_bf16_round(value));
        }
        set->backend->upload(set->backend, element_of(set, block, first + at), block_dtype(block), piece, DIPP_HOST_F32,
                             part);
    }
}

void dipp_parameter_set_write_part(dipp_parameter_set *set, dipp_block block, size_t first, size_t count,
                                   const void *host, dipp_host_type type)
{
    size_t own = block == DIPP_BLOCK_MASTER && set->formats.bf16_weights ? wide_part(set, first, count) : count;
    if (own)
        set->backend->upload(set->backend, element_of(set, block, first), block_dtype(block), host, type, own);
    if (own < count)
        write_bf16(set, first + own, count - own, (const char *)host + own * host_size(type), type);
}

void dipp_parameter_set_read(const dipp_parameter_set *set, dipp_block block, void *host, dipp_host_type type)
{
    dipp_parameter_set_read_part(set, block, 0, (size_t)dipp_layout_elements(set->layout), host, type);
}

void dipp_parameter_set_write(dipp_parameter_set *set, dipp_block block, const void *host, dipp_host_type type)
{
    dipp_parameter_set_write_part(set, block, 0, (size_t)dipp_layout_elements(set->layout), host, type);
}

void dipp_parameter_set_read_words(const dipp_parameter_set *set, dipp_block block, size_t first, size_t count,
                                   int32_t *words)
{
    set->backend->download(set->backend, words, DIPP_HOST_I32, (const int32_t *)set->blocks[block] + first, DIPP_INT32,
                           count);
}

void dipp_parameter_set_write_words(dipp_parameter_set *set, dipp_block block, size_t first, size_t count,
                                    const int32_t *words)
{
    set->backend->upload(set->backend, (int32_t *)set->blocks[block] + first, DIPP_INT32, words, DIPP_HOST_I32, count);
}

dipp_status dipp_parameter_set_read_entry(const dipp_parameter_set *set, const char *name, double *out, size_t count,
                                          dipp_error *error)
{
    uint32_t index;
    if (!dipp_layout_find(set->layout, name, &index))
        return dipp_fail(error, DIPP_E_NOT_FOUND, "%s has no parameter \"%s\"", set->name, name);
    const dipp_layout_entry *entry = dipp_layout_entry_at(set->layout, index);
    if ((size_t)entry->elements != count)
        return dipp_fail(error, DIPP_E_INVALID, "parameter \"%s\" has %lld elements, not %zu", name,
                         (long long)entry->elements, count);
    dipp_parameter_set_read_part(set, DIPP_BLOCK_MASTER, (size_t)entry->offset, count, out, DIPP_HOST_F64);
    return DIPP_OK;
}

size_t dipp_parameter_set_block_bytes(const dipp_parameter_set *set, dipp_block block)
{
    bool shared = block == DIPP_BLOCK_COMPUTE && set->backend->compute_is_wide;
    return set->blocks[block] && !shared ? bytes_of(set, block) : 0;
}

size_t dipp_parameter_set_bytes(const dipp_parameter_set *set)
{
    size_t bytes = 0;
    for (int block = 0; block < DIPP_BLOCK_COUNT; block++)
        bytes += dipp_parameter_set_block_bytes(set, (dipp_block)block);
    return bytes;
}
