/* Nodes that only move elements: permute, concat, slice, pad, narrow broadcasts. Elements are 2 or 4 bytes; values are not looked at. */
#include "backend/cpu/cpu.h"

#include <string.h>

/* ---- concat, slice, pad: for every outer index one run of bytes per part ---- */

typedef struct runs_state {
    int threads;
    int parts; /* inputs that are copied */
    bool padded;
    int64_t outer;
    size_t out_stride, bytes[DIPP_MAX_INPUTS], in_stride[DIPP_MAX_INPUTS];
    size_t in_start[DIPP_MAX_INPUTS], out_start[DIPP_MAX_INPUTS];
} runs_state;

static void copy_runs(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const runs_state *s = state;
    char *out = args[s->parts];
    for (int64_t outer = begin; outer < end; outer++) {
        char *row = out + (size_t)outer * s->out_stride;
        if (s->padded) {
            size_t after = s->out_start[0] + s->bytes[0];
            memset(row, 0, s->out_start[0]);
            memset(row + after, 0, s->out_stride - after);
        }
        for (int part = 0; part < s->parts; part++)
            memcpy(row + s->out_start[part],
                   (const char *)args[part] + (size_t)outer * s->in_stride[part] + s->in_start[part], s->bytes[part]);
    }
}

static void run_runs(void *state, void *const *args)
{
    const runs_state *s = state;
    dipp_cpu_parallel(s->threads, s->outer, s->outer * (int64_t)(s->out_stride / 4), copy_runs, s, args);
}

static dipp_status prepare_runs(dipp_cpu_context *context, const dipp_node_view *node, dipp_kernel *out,
                                dipp_error *error)
{
    runs_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_shape *shape = &node->outputs[0].shape;
    int axis = node->attributes->axis;
    size_t inner = dipp_cpu_type_bytes(dipp_cpu_type_of(context, node->outputs[0].dtype)), position = 0;
    for (uint32_t d = (uint32_t)axis + 1; d < shape->rank; d++)
        inner *= (size_t)shape->dims[d];
    s->threads = context->threads;
    s->parts = (int)node->input_count;
    s->padded = node->op == DIPP_OP_PAD;
    s->outer = 1;
    for (int d = 0; d < axis; d++)
        s->outer *= shape->dims[d];
    s->out_stride = (size_t)shape->dims[axis] * inner;
    size_t start = (size_t)node->attributes->start * inner;
    for (int part = 0; part < s->parts; part++) {
        s->in_stride[part] = (size_t)node->inputs[part].shape.dims[axis] * inner;
        s->bytes[part] = node->op == DIPP_OP_SLICE ? s->out_stride : s->in_stride[part];
        s->in_start[part] = node->op == DIPP_OP_SLICE ? start : 0;
        s->out_start[part] = s->padded ? start : position;
        position += s->bytes[part];
    }
    out->run = run_runs;
    return DIPP_OK;
}

/* ---- permute, narrow broadcasts: a table of source offsets covers a block of trailing dims of the result ---- */

enum { MOST_TABLE = 16384, RUN = 8 };

typedef struct gather_state {
    int threads;
    size_t bytes;        /* of an element */
    int outer_rank;      /* dims of the result in front of the block */
    int64_t outer, run;  /* blocks; elements that are neighbours on both sides */
    int64_t table_count; /* runs in a block */
    int64_t dims[DIPP_MAX_RANK], strides[DIPP_MAX_RANK];
    int32_t table[]; /* source offset of each run, in elements */
} gather_state;

static void gather_blocks(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const gather_state *s = state;
    for (int64_t block = begin; block < end; block++) {
        int64_t rest = block, base = 0;
        for (int d = s->outer_rank - 1; d >= 0; d--) {
            base += rest % s->dims[d] * s->strides[d];
            rest /= s->dims[d];
        }
        const char *in = (const char *)args[0] + (size_t)base * s->bytes;
        size_t run_bytes = (size_t)s->run * s->bytes;
        char *out = (char *)args[1] + (size_t)block * (size_t)s->table_count * run_bytes;
        if (s->run > 1) {
            for (int64_t i = 0; i < s->table_count; i++)
                memcpy(out + (size_t)i * run_bytes, in + (size_t)s->table[i] * s->bytes, run_bytes);
        } else if (s->bytes == 4) {
            for (int64_t i = 0; i < s->table_count; i++)
                ((uint32_t *)out)[i] = ((const uint32_t *)in)[s->table[i]];
        } else {
            for (int64_t i = 0; i < s->table_count; i++)
                ((uint16_t *)out)[i] = ((const uint16_t *)in)[s->table[i]];
        }
    }
}

static void run_gather(void *state, void *const *args)
{
    const gather_state *s = state;
    dipp_cpu_parallel(s->threads, s->outer, s->outer * s->table_count * s->run, gather_blocks, s, args);
}

/* Axes of the result, each with its stride in the source; 0 where a broadcast repeats it. */
typedef struct gathered_axis {
    int64_t length, stride;
} gathered_axis;

/* Returns how many. */
static int gathered_axes(const dipp_node_view *node, gathered_axis axes[DIPP_MAX_RANK])
{
    const dipp_shape *in = &node->inputs[0].shape, *out = &node->outputs[0].shape;
    int64_t strides[DIPP_MAX_RANK], stride = 1;
    for (int d = (int)in->rank - 1; d >= 0; d--) {
        strides[d] = stride;
        stride *= in->dims[d];
    }
    for (uint32_t k = 0; k < out->rank; k++) {
        int axis =
            node->op == DIPP_OP_PERMUTE ? node->attributes->permutation[k] : (int)(k + in->rank) - (int)out->rank;
        bool repeated = axis < 0 || (in->dims[axis] == 1 && out->dims[k] != 1);
        axes[k] = (gathered_axis){out->dims[k], repeated ? 0 : strides[axis]};
    }
    return (int)out->rank;
}

static dipp_status prepare_gather(dipp_cpu_context *context, const dipp_node_view *node, dipp_kernel *out,
                                  dipp_error *error)
{
    gathered_axis axes[DIPP_MAX_RANK];
    int64_t dims[DIPP_MAX_RANK + 1] = {1}, strides[DIPP_MAX_RANK + 1] = {1};
    int count = gathered_axes(node, axes), rank = 0;
    for (int k = 0; k < count; k++) { /* neighbours on both sides merge */
        if (axes[k].length == 1)
            continue;
        if (rank && strides[rank - 1] == axes[k].stride * axes[k].length)
            dims[rank - 1] *= axes[k].length, strides[rank - 1] = axes[k].stride;
        else
            dims[rank] = axes[k].length, strides[rank++] = axes[k].stride;
    }
    int64_t run = 1;
    if (rank && strides[rank - 1] == 1)
        run = dims[--rank];
    if (run > 1 && run < RUN) { /* a copy call per few elements costs more than moving them one by one */
        dims[rank] = run, strides[rank++] = 1;
        run = 1;
    }
    int outer_rank = rank;
    int64_t table_count = 1;
    while (outer_rank > 0 && (outer_rank == rank || table_count * dims[outer_rank - 1] <= MOST_TABLE) &&
           dims[outer_rank - 1] <= MOST_TABLE * 64 && table_count < 64)
        table_count *= dims[--outer_rank];
    gather_state *s = dipp_cpu_state(out, sizeof *s + (size_t)table_count * sizeof(int32_t), error);
    if (!s)
        return DIPP_E_MEMORY;
    s->threads = context->threads;
    s->bytes = dipp_cpu_type_bytes(dipp_cpu_type_of(context, node->inputs[0].dtype));
    s->outer_rank = outer_rank;
    s->run = run;
    s->table_count = table_count;
    s->outer = 1;
    for (int d = 0; d < outer_rank; d++) {
        s->dims[d] = dims[d];
        s->strides[d] = strides[d];
        s->outer *= dims[d];
    }
    for (int64_t i = 0; i < table_count; i++) {
        int64_t rest = i, offset = 0;
        for (int d = rank - 1; d >= outer_rank; d--) {
            offset += rest % dims[d] * strides[d];
            rest /= dims[d];
        }
        s->table[i] = (int32_t)offset;
    }
    out->run = run_gather;
    return DIPP_OK;
}

dipp_status dipp_cpu_prepare_copy(dipp_cpu_context *context, const dipp_node_view *node, dipp_kernel *out,
                                  dipp_error *error)
{
    bool gathers = node->op == DIPP_OP_PERMUTE || node->op == DIPP_OP_BROADCAST;
    return gathers ? prepare_gather(context, node, out, error) : prepare_runs(context, node, out, error);
}
