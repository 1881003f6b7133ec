#include "tensor/parameter_set.h"

#include "base/memory.h"
#include "base/philox.h"

#include <math.h>
#include <string.h>

static dipp_dtype block_dtype(dipp_block block)
{
    return block == DIPP_BLOCK_COMPUTE ? DIPP_COMPUTE : DIPP_WIDE;
}

static bool allocate_block(dipp_parameter_set *set, dipp_block block)
{
    size_t bytes = (size_t)dipp_layout_elements(set->layout) * set->backend->element_size[block_dtype(block)];
    set->blocks[block] = set->backend->allocate(set->backend, bytes ? bytes : 256);
    return set->blocks[block] != NULL;
}

dipp_status dipp_parameter_set_create(const char *name, dipp_layout *layout, dipp_backend *backend, bool trainable,
                                      dipp_parameter_set **out, dipp_error *error)
{
    dipp_layout_seal(layout);
    dipp_parameter_set *set = dipp_allocate_zeroed(1, sizeof *set);
    bool good = set != NULL;
    if (good) {
        *set = (dipp_parameter_set){.layout = layout, .backend = backend, .trainable = trainable};
        good = (set->name = dipp_string_copy(name)) && allocate_block(set, DIPP_BLOCK_MASTER);
        if (good && backend->compute_is_wide)
            set->blocks[DIPP_BLOCK_COMPUTE] = set->blocks[DIPP_BLOCK_MASTER];
        else
            good = good && allocate_block(set, DIPP_BLOCK_COMPUTE);
        for (int block = DIPP_BLOCK_GRADIENT; good && trainable && block <= DIPP_BLOCK_MOMENT2; block++)
            good = allocate_block(set, (dipp_block)block);
    }
    if (!good) {
        double mib = (double)dipp_layout_elements(layout) * (double)backend->element_size[DIPP_WIDE] / 1048576.0;
        dipp_parameter_set_destroy(&set);
        return dipp_fail(error, DIPP_E_MEMORY, "no %s memory for the parameters of %s (%.1f MiB a block, %d blocks)",
                         backend->name, name, mib, trainable ? 5 : 2);
    }
    *out = set;
    return DIPP_OK;
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
    size_t size = set->backend->element_size[DIPP_WIDE];
    for (uint32_t i = 0; i < dipp_layout_count(set->layout); i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(set->layout, i);
        initial_values(entry, seed, stream, i, noise, values);
        set->backend->upload(set->backend, (char *)set->blocks[DIPP_BLOCK_MASTER] + (size_t)entry->offset * size,
                             DIPP_WIDE, values, DIPP_HOST_F64, (size_t)entry->elements);
    }
    dipp_release(noise);
    dipp_release(values);
    return dipp_parameter_set_refresh(set, error);
}

static dipp_status copy_block(dipp_parameter_set *to, dipp_block to_block, const dipp_parameter_set *from,
                              dipp_block from_block, dipp_error *error)
{
    size_t count = (size_t)dipp_layout_elements(to->layout);
    double *host = dipp_allocate((count ? count : 1) * sizeof *host);
    if (!host)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to copy the parameters of %s", to->name);
    dipp_parameter_set_read(from, from_block, host, DIPP_HOST_F64);
    dipp_parameter_set_write(to, to_block, host, DIPP_HOST_F64);
    dipp_release(host);
    return DIPP_OK;
}

dipp_status dipp_parameter_set_refresh(dipp_parameter_set *set, dipp_error *error)
{
    if (set->backend->compute_is_wide)
        return DIPP_OK;
    return copy_block(set, DIPP_BLOCK_COMPUTE, set, DIPP_BLOCK_MASTER, error);
}

dipp_status dipp_parameter_set_copy(dipp_parameter_set *set, const dipp_parameter_set *other, dipp_error *error)
{
    if (set->layout != other->layout)
        return dipp_fail(error, DIPP_E_INTERNAL, "%s and %s have different layouts", set->name, other->name);
    dipp_status status = copy_block(set, DIPP_BLOCK_MASTER, other, DIPP_BLOCK_MASTER, error);
    return status == DIPP_OK ? dipp_parameter_set_refresh(set, error) : status;
}

void dipp_parameter_set_read(const dipp_parameter_set *set, dipp_block block, void *host, dipp_host_type type)
{
    set->backend->download(set->backend, host, type, set->blocks[block], block_dtype(block),
                           (size_t)dipp_layout_elements(set->layout));
}

void dipp_parameter_set_write(dipp_parameter_set *set, dipp_block block, const void *host, dipp_host_type type)
{
    set->backend->upload(set->backend, set->blocks[block], block_dtype(block), host, type,
                         (size_t)dipp_layout_elements(set->layout));
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
    size_t size = set->backend->element_size[DIPP_WIDE];
    set->backend->download(set->backend, out, DIPP_HOST_F64,
                           (const char *)set->blocks[DIPP_BLOCK_MASTER] + (size_t)entry->offset * size, DIPP_WIDE,
                           count);
    return DIPP_OK;
}

size_t dipp_parameter_set_bytes(const dipp_parameter_set *set)
{
    size_t bytes = 0, count = (size_t)dipp_layout_elements(set->layout);
    for (int block = 0; block < DIPP_BLOCK_COUNT; block++)
        if (set->blocks[block] && !(block == DIPP_BLOCK_COMPUTE && set->backend->compute_is_wide))
            bytes += count * set->backend->element_size[block_dtype((dipp_block)block)];
    return bytes;
}
