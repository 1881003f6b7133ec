/* Attention and its backward. Scratch of the backward: the products do . o of every query and head. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/kernels.h"

typedef struct attention_state {
    dipp_cuda_context *context;
    dipp_cuda_attention p;
} attention_state;

/* args: q, k, v, key_bias, o, logsumexp, scratch */
static void run_forward(void *state, void *const *args)
{
    const attention_state *s = state;
    dipp_cuda_note(
        s->context,
        dipp_cuda_launch_attention(s->context->stream, &s->p, args[0], args[1], args[2], args[3], args[4], args[5]),
        "attention");
}

/* args: q, k, v, key_bias, o, logsumexp, do, dq, dk, dv, scratch */
static void run_backward(void *state, void *const *args)
{
    const attention_state *s = state;
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_attention_backward(s->context->stream, &s->p, args[0], args[1], args[2], args[3],
                                                       args[4], args[5], args[6], args[7], args[8], args[9], args[10]),
                   "attention_backward");
}

dipp_status dipp_cuda_prepare_attention(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                        dipp_error *error)
{
    attention_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_shape *q = &node->inputs[0].shape, *k = &node->inputs[1].shape;
    int64_t heads = node->attributes->heads;
    s->context = context;
    s->p = (dipp_cuda_attention){.batches = (int32_t)q->dims[0],
                                 .queries = (int32_t)q->dims[1],
                                 .keys = (int32_t)k->dims[1],
                                 .heads = (int32_t)heads,
                                 .head_dim = (int32_t)(q->dims[2] / heads),
                                 .type = dipp_cuda_type_of(context, node->inputs[0].dtype),
                                 .causal = node->attributes->causal,
                                 .scale = (float)node->attributes->alpha};
    if (node->op == DIPP_OP_ATTENTION_BACKWARD)
        out->scratch_bytes = dipp_cuda_round_up((size_t)(q->dims[0] * heads * q->dims[1]) * sizeof(float));
    out->run = node->op == DIPP_OP_ATTENTION ? run_forward : run_backward;
    return DIPP_OK;
}
