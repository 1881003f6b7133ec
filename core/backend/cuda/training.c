/* Training state: accumulation into gradients, the norm of a gradient block, and the optimizer's step. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/kernels.h"

typedef struct training_state {
    dipp_cuda_context *context;
    int64_t count;
    int32_t type;
    dipp_cuda_step step;
} training_state;

/* args: x, out */
static void run_accumulate(void *state, void *const *args)
{
    const training_state *s = state;
    dipp_cuda_note(s->context, dipp_cuda_launch_accumulate(s->context->stream, s->count, s->type, args[0], args[1]),
                   "accumulate");
}

/* args: gradient, out, scratch */
static void run_grad_norm(void *state, void *const *args)
{
    const training_state *s = state;
    dipp_cuda_note(s->context, dipp_cuda_launch_grad_norm(s->context->stream, s->count, args[0], args[1], args[2]),
                   "grad_norm");
}

/* args: norm and ok, scalars, weights, gradient, m, v, ema, compute copy, key */
static void run_packed_step(void *state, void *const *args)
{
    const training_state *s = state;
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_packed_step(s->context->stream, &s->step, args[0], args[1], args[2], args[3],
                                                args[4], args[5], args[6], args[7], args[8]),
                   "optimizer_step");
}

/* The same; there is no key. */
static void run_step(void *state, void *const *args)
{
    const training_state *s = state;
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_optimizer_step(s->context->stream, &s->step, args[0], args[1], args[2], args[3],
                                                   args[4], args[5], args[6], args[7]),
                   "optimizer_step");
}

dipp_status dipp_cuda_prepare_training(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                       dipp_error *error)
{
    training_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    s->context = context;
    s->count = dipp_cuda_elements(&node->inputs[0].shape);
    s->type = dipp_cuda_type_of(context, node->inputs[0].dtype);
    if (node->op == DIPP_OP_ACCUMULATE) {
        out->run = run_accumulate;
        return DIPP_OK;
    }
    if (node->op == DIPP_OP_GRAD_NORM) {
        out->scratch_bytes = DIPP_CUDA_NORM_BLOCKS * sizeof(double);
        out->run = run_grad_norm;
        return DIPP_OK;
    }
    s->step = (dipp_cuda_step){.start = node->attributes->start,
                               .count = node->attributes->count,
                               .elements = dipp_cuda_elements(&node->inputs[3].shape),
                               .adamw = node->attributes->optimizer == DIPP_OPTIMIZER_ADAMW,
                               .decay = node->attributes->decay,
                               .copy_type = dipp_cuda_type_of(context, DIPP_COMPUTE),
                               .state = node->attributes->state,
                               .random_weights = node->inputs[2].dtype != DIPP_WIDE,
                               .weight_type = dipp_cuda_type_of(context, node->inputs[2].dtype)};
    out->run = s->step.state != DIPP_STATE_F32 || s->step.random_weights ? run_packed_step : run_step;
    return DIPP_OK;
}
