/* Sums over axes, and softmax with its backward. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/kernels.h"

typedef struct sum_state {
    dipp_cuda_context *context;
    dipp_cuda_sum plan;
    int32_t type;
} sum_state;

static void run_sum(void *state, void *const *args)
{
    const sum_state *s = state;
    dipp_cuda_note(s->context, dipp_cuda_launch_sum(s->context->stream, &s->plan, s->type, args[0], args[1], args[2]),
                   "sum");
}

dipp_status dipp_cuda_prepare_sum(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                  dipp_error *error)
{
    sum_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    s->context = context;
    s->type = dipp_cuda_type_of(context, node->inputs[0].dtype);
    dipp_cuda_sum_of(&s->plan, &node->inputs[0].shape, node->attributes->axes_mask);
    if (s->plan.splits > 1)
        out->scratch_bytes = dipp_cuda_round_up((size_t)(s->plan.outputs * s->plan.splits) * sizeof(float));
    out->run = run_sum;
    return DIPP_OK;
}

typedef struct softmax_state {
    dipp_cuda_context *context;
    int32_t backward, type;
    int64_t rows, width;
} softmax_state;

static void run_softmax(void *state, void *const *args)
{
    const softmax_state *s = state;
    const void *second = s->backward ? args[1] : NULL;
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_softmax(s->context->stream, s->backward, s->type, s->rows, s->width, args[0],
                                            second, args[s->backward ? 2 : 1]),
                   s->backward ? "softmax_backward" : "softmax");
}

dipp_status dipp_cuda_prepare_softmax(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                      dipp_error *error)
{
    softmax_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_shape *shape = &node->inputs[0].shape;
    s->context = context;
    s->backward = node->op == DIPP_OP_SOFTMAX_BACKWARD;
    s->type = dipp_cuda_type_of(context, node->inputs[0].dtype);
    s->width = shape->dims[shape->rank - 1];
    s->rows = dipp_cuda_rows(shape, 1);
    out->run = run_softmax;
    return DIPP_OK;
}
