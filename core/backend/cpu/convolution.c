/* Convolutions of the op table as oneDNN's, which chooses the layouts it works in; see onednn_convolution.c. */
#include "backend/cpu/onednn.h"

/* Where an operand is among the arguments; -1: the node has none. */
typedef struct convolution_state {
    dipp_cpu_convolution *convolution;
    int x, w, bias, y, scratch;
} convolution_state;

static void run(void *state, void *const *args)
{
    const convolution_state *s = state;
    dipp_cpu_convolution_run(s->convolution, args[s->x], args[s->w], s->bias < 0 ? NULL : args[s->bias], args[s->y],
                             args[s->scratch]);
}

dipp_status dipp_cpu_prepare_convolution(dipp_cpu_context *context, const dipp_node_view *node, dipp_kernel *out,
                                         dipp_error *error)
{
    convolution_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_operand *in = node->inputs, *result = node->outputs, *x, *w, *y;
    dipp_cpu_convolved c = {.stride = (int32_t)node->attributes->stride,
                            .pad_before = (int32_t)node->attributes->pad_before,
                            .pad_after = (int32_t)node->attributes->pad_after};
    int first_out = (int)node->input_count;
    s->bias = -1;
    s->scratch = first_out + (int)node->output_count;
    if (node->op == DIPP_OP_CONV2D) { /* in x, w, bias; out y */
        c.leg = DIPP_CPU_FORWARD;
        c.bias = node->input_count > 2 && in[2].present;
        s->x = 0, s->w = 1, s->y = first_out, s->bias = c.bias ? 2 : -1;
        x = &in[0], w = &in[1], y = &result[0];
    } else if (node->op == DIPP_OP_CONV2D_BACKWARD_DATA) { /* in w, dy; out dx */
        c.leg = DIPP_CPU_BACKWARD_DATA;
        s->x = first_out, s->w = 0, s->y = 1;
        x = &result[0], w = &in[0], y = &in[1];
    } else { /* in x, dy; out dw, dbias */
        c.leg = DIPP_CPU_BACKWARD_WEIGHT;
        c.bias = node->output_count > 1 && result[1].present;
        c.accumulate = node->attributes->accumulate;
        s->x = 0, s->w = first_out, s->y = 1, s->bias = c.bias ? first_out + 1 : -1;
        x = &in[0], w = &result[0], y = &in[1];
    }
    c.samples = x->shape.dims[0], c.in_channels = x->shape.dims[1];
    c.height = x->shape.dims[2], c.width = x->shape.dims[3];
    c.out_channels = w->shape.dims[0], c.kernel = w->shape.dims[2];
    c.out_height = y->shape.dims[2], c.out_width = y->shape.dims[3];
    c.type = (int32_t)dipp_cpu_type_of(context, in[0].dtype);
    c.y_type = (int32_t)dipp_cpu_type_of(context, y->dtype);
    dipp_status status = dipp_cpu_convolution_get(context->onednn, &c, &s->convolution, error);
    if (status != DIPP_OK) {
        out->destroy(out->state);
        *out = (dipp_kernel){0};
        return status;
    }
    out->scratch_bytes = dipp_cpu_convolution_scratch(s->convolution);
    out->run = run;
    return DIPP_OK;
}
