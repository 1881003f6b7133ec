/* Layer norm, group norm and gated residual, forward and backward. Scratch of the backwards: the sums of each split of rows,
 * or of each sample. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/kernels.h"

typedef struct norm_state {
    dipp_cuda_context *context;
    dipp_cuda_norm p;
} norm_state;

/* args: x, gain, bias, y, stats, scratch */
static void run_norm(void *state, void *const *args)
{
    const norm_state *s = state;
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_layer_norm(s->context->stream, &s->p, args[0], args[1], args[2], args[3], args[4]),
                   "layer_norm");
}

/* args: x, gain, stats, dy, dx, dgain, dbias, scratch */
static void run_norm_backward(void *state, void *const *args)
{
    const norm_state *s = state;
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_layer_norm_backward(s->context->stream, &s->p, args[0], args[1], args[2], args[3],
                                                        args[4], args[5], args[6], args[7]),
                   "layer_norm_backward");
}

dipp_status dipp_cuda_prepare_layer_norm(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                         dipp_error *error)
{
    norm_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_shape *x = &node->inputs[0].shape;
    const dipp_operand *gain = &node->inputs[1];
    bool backward = node->op == DIPP_OP_LAYER_NORM_BACKWARD;
    int64_t rows = dipp_cuda_rows(x, 1), groups = gain->present && gain->shape.rank > 1 ? x->dims[0] : 1;
    s->context = context;
    s->p.rows = rows;
    s->p.width = x->dims[x->rank - 1];
    s->p.shared = rows / groups;
    s->p.x_type = dipp_cuda_type_of(context, node->inputs[0].dtype);
    s->p.gain_type = dipp_cuda_type_of(context, gain->dtype);
    s->p.y_type = dipp_cuda_type_of(context, DIPP_COMPUTE); /* of dy, too */
    s->p.plus_one = node->attributes->plus_one;
    s->p.epsilon = (float)node->attributes->alpha;
    s->p.columns = dipp_cuda_columns_of(groups, s->p.shared, s->p.width);
    if (backward && gain->present && s->p.columns.splits > 1)
        out->scratch_bytes =
            dipp_cuda_round_up((size_t)(2 * groups * s->p.columns.splits * s->p.width) * sizeof(float));
    out->run = backward ? run_norm_backward : run_norm;
    return DIPP_OK;
}

typedef struct group_norm_state {
    dipp_cuda_context *context;
    dipp_cuda_group_norm p;
} group_norm_state;

/* args: x, gain, bias, y, stats */
static void run_group_norm(void *state, void *const *args)
{
    const group_norm_state *s = state;
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_group_norm(s->context->stream, &s->p, args[0], args[1], args[2], args[3], args[4]),
                   "group_norm");
}

/* args: x, gain, bias, stats, dy, dx, dgain, dbias, scratch */
static void run_group_norm_backward(void *state, void *const *args)
{
    const group_norm_state *s = state;
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_group_norm_backward(s->context->stream, &s->p, args[0], args[1], args[2], args[3],
                                                        args[4], args[5], args[6], args[7], args[8]),
                   "group_norm_backward");
}

dipp_status dipp_cuda_prepare_group_norm(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                         dipp_error *error)
{
    group_norm_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_shape *x = &node->inputs[0].shape;
    bool backward = node->op == DIPP_OP_GROUP_NORM_BACKWARD;
    s->context = context;
    s->p.samples = x->dims[0];
    s->p.groups = node->attributes->groups;
    s->p.channels = x->dims[1] / s->p.groups;
    s->p.places = dipp_cuda_elements(x) / (x->dims[0] * x->dims[1]);
    s->p.by_places = dipp_cuda_divisor_of(s->p.places);
    s->p.x_type = dipp_cuda_type_of(context, node->inputs[0].dtype);
    s->p.gain_type = dipp_cuda_type_of(context, node->inputs[1].dtype); /* of the bias, too */
    s->p.y_type = dipp_cuda_type_of(context, DIPP_COMPUTE);             /* of dy, too */
    s->p.silu = node->attributes->silu;
    s->p.epsilon = (float)node->attributes->alpha;
    if (backward)
        out->scratch_bytes = dipp_cuda_round_up((size_t)(2 * x->dims[0] * x->dims[1]) * sizeof(float));
    out->run = backward ? run_group_norm_backward : run_group_norm;
    return DIPP_OK;
}

typedef struct gated_state {
    dipp_cuda_context *context;
    dipp_cuda_gated p;
} gated_state;

/* args: x, gate, h, out */
static void run_gated(void *state, void *const *args)
{
    const gated_state *s = state;
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_gated_add(s->context->stream, &s->p, args[0], args[1], args[2], args[3]),
                   "gated_add");
}

/* args: gate, h, dy, dh, dgate, scratch */
static void run_gated_backward(void *state, void *const *args)
{
    const gated_state *s = state;
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_gated_add_backward(s->context->stream, &s->p, args[0], args[1], args[2], args[3],
                                                       args[4], args[5]),
                   "gated_add_backward");
}

dipp_status dipp_cuda_prepare_gated_add(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                        dipp_error *error)
{
    gated_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    bool backward = node->op == DIPP_OP_GATED_ADD_BACKWARD;
    /* forward: x, gate, h; backward: gate, h, dy */
    const dipp_operand *x = &node->inputs[backward ? 2 : 0], *gate = &node->inputs[backward ? 0 : 1];
    const dipp_operand *h = &node->inputs[backward ? 1 : 2];
    s->context = context;
    s->p.samples = h->shape.dims[0];
    s->p.width = h->shape.dims[h->shape.rank - 1];
    s->p.tokens = dipp_cuda_rows(&h->shape, 1) / s->p.samples;
    s->p.x_type = dipp_cuda_type_of(context, x->dtype);
    s->p.gate_type = dipp_cuda_type_of(context, gate->dtype);
    s->p.h_type = dipp_cuda_type_of(context, h->dtype);
    s->p.groups_per_row = dipp_cuda_divisor_of((s->p.width + DIPP_CUDA_GROUP - 1) / DIPP_CUDA_GROUP);
    s->p.columns = dipp_cuda_columns_of(s->p.samples, s->p.tokens, s->p.width);
    if (backward && s->p.columns.splits > 1)
        out->scratch_bytes =
            dipp_cuda_round_up((size_t)(s->p.samples * s->p.columns.splits * s->p.width) * sizeof(float));
    out->run = backward ? run_gated_backward : run_gated;
    return DIPP_OK;
}
