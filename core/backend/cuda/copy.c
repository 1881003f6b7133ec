/* Permute, concat, slice and pad: strided copies, one per part. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/kernels.h"

typedef struct copy_state {
    dipp_cuda_context *context;
    dipp_op op;
    uint32_t parts;
    size_t clear_bytes; /* pad: the result is cleared first */
    dipp_cuda_copy part[DIPP_MAX_INPUTS];
} copy_state;

static void run(void *state, void *const *args)
{
    const copy_state *s = state;
    cudaStream_t stream = s->context->stream;
    void *out = args[s->parts];
    cudaError_t result = cudaSuccess;
    if (s->clear_bytes)
        result = cudaMemsetAsync(out, 0, s->clear_bytes, stream);
    for (uint32_t k = 0; k < s->parts && result == cudaSuccess; k++)
        result = dipp_cuda_launch_copy(stream, &s->part[k], args[k], out);
    dipp_cuda_note(s->context, result, dipp_op_infos[s->op].name);
}

/* outer runs of length elements each; runs lie in_pitch and out_pitch elements apart. */
static bool runs(dipp_cuda_copy *copy, int64_t outer, int64_t length, int64_t in_pitch, int64_t out_pitch,
                 int64_t in_start, int64_t out_start, int64_t element_bytes)
{
    return dipp_cuda_copy_of(copy, 2, (int64_t[]){outer, length}, (int64_t[]){in_pitch, 1}, (int64_t[]){out_pitch, 1},
                             in_start, out_start, element_bytes);
}

static void prepare_runs(copy_state *s, const dipp_node_view *node, int64_t element_bytes)
{
    const dipp_shape *out = &node->outputs[0].shape;
    int32_t axis = node->attributes->axis;
    int64_t outer = 1, inner = 1, position = 0;
    for (int32_t d = 0; d < axis; d++)
        outer *= out->dims[d];
    for (uint32_t d = (uint32_t)axis + 1; d < out->rank; d++)
        inner *= out->dims[d];
    int64_t out_pitch = out->dims[axis] * inner, start = node->attributes->start * inner;
    for (uint32_t k = 0; k < node->input_count; k++) {
        int64_t in_pitch = node->inputs[k].shape.dims[axis] * inner;
        if (node->op == DIPP_OP_SLICE)
            runs(&s->part[k], outer, out_pitch, in_pitch, out_pitch, start, 0, element_bytes);
        else
            runs(&s->part[k], outer, in_pitch, in_pitch, out_pitch, 0, node->op == DIPP_OP_PAD ? start : position,
                 element_bytes);
        position += in_pitch;
    }
    if (node->op == DIPP_OP_PAD)
        s->clear_bytes = (size_t)(dipp_cuda_elements(out) * element_bytes);
}

dipp_status dipp_cuda_prepare_copy(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                   dipp_error *error)
{
    copy_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    int64_t element_bytes = dipp_cuda_type_bytes(dipp_cuda_type_of(context, node->inputs[0].dtype));
    s->context = context;
    s->op = node->op;
    s->parts = node->input_count;
    /* obstacle() in backend.c has seen to it that the units fit. */
    if (node->op == DIPP_OP_PERMUTE)
        dipp_cuda_permutation_of(&s->part[0], &node->inputs[0].shape, node->attributes->permutation, element_bytes);
    else
        prepare_runs(s, node, element_bytes);
    out->run = run;
    return DIPP_OK;
}
