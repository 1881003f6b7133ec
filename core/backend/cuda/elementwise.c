/* Arithmetic, functions of one number, activations and their gradients, casts and broadcasts; gated GELU. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/kernels.h"

typedef struct elementwise_state {
    dipp_cuda_context *context;
    dipp_cuda_elementwise p;
    uint32_t operands;
} elementwise_state;

static void run(void *state, void *const *args)
{
    const elementwise_state *s = state;
    const void *b = s->operands > 1 ? args[1] : NULL, *c = s->operands > 2 ? args[2] : NULL;
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_elementwise(s->context->stream, &s->p, args[0], b, c, args[s->operands]),
                   dipp_op_infos[s->p.op].name);
}

dipp_status dipp_cuda_prepare_elementwise(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                          dipp_error *error)
{
    elementwise_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_shape *shapes[DIPP_CUDA_OPERANDS] = {NULL};
    s->context = context;
    s->operands = node->input_count;
    s->p.op = (int32_t)node->op;
    s->p.alpha = (float)node->attributes->alpha;
    s->p.beta = (float)node->attributes->beta;
    s->p.out_type = dipp_cuda_type_of(context, node->outputs[0].dtype);
    for (uint32_t k = 0; k < node->input_count; k++) {
        shapes[k] = &node->inputs[k].shape;
        s->p.type[k] = dipp_cuda_type_of(context, node->inputs[k].dtype);
    }
    if (node->op == DIPP_OP_BROADCAST && s->p.type[0] == DIPP_CUDA_I32)
        s->p.type[0] = s->p.out_type = DIPP_CUDA_F32; /* the bits are moved as they are */
    /* obstacle() in backend.c has seen to it that the groups fit. */
    dipp_cuda_walk_of(&s->p.walk, &node->outputs[0].shape, shapes, (int)node->input_count);
    out->run = run;
    return DIPP_OK;
}

typedef struct geglu_state {
    dipp_cuda_context *context;
    dipp_cuda_geglu p;
} geglu_state;

/* args: x, y */
static void run_geglu(void *state, void *const *args)
{
    const geglu_state *s = state;
    dipp_cuda_note(s->context, dipp_cuda_launch_geglu(s->context->stream, &s->p, args[0], args[1]), "geglu");
}

/* args: x, dy, dx */
static void run_geglu_backward(void *state, void *const *args)
{
    const geglu_state *s = state;
    dipp_cuda_note(s->context, dipp_cuda_launch_geglu_backward(s->context->stream, &s->p, args[0], args[1], args[2]),
                   "geglu_backward");
}

dipp_status dipp_cuda_prepare_geglu(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                    dipp_error *error)
{
    geglu_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_shape *x = &node->inputs[0].shape;
    s->context = context;
    s->p.type = dipp_cuda_type_of(context, node->inputs[0].dtype);
    s->p.width = x->dims[x->rank - 1] / 2;
    int64_t groups_per_row = (s->p.width + DIPP_CUDA_GROUP - 1) / DIPP_CUDA_GROUP;
    s->p.groups = dipp_cuda_rows(x, 1) * groups_per_row;
    s->p.groups_per_row = dipp_cuda_divisor_of(groups_per_row);
    out->run = node->op == DIPP_OP_GEGLU ? run_geglu : run_geglu_backward;
    return DIPP_OK;
}
