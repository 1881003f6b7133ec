/* Embeddings, sinusoids, inverses of small matrices, and random numbers. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/kernels.h"

typedef struct lookup_state {
    dipp_cuda_context *context;
    int64_t count, entries, width; /* ids or times or matrices; rows of the table; columns */
    int32_t type, accumulate, first;
    double period;
} lookup_state;

/* args: table, ids, out */
static void run_embedding(void *state, void *const *args)
{
    const lookup_state *s = state;
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_embedding(s->context->stream, s->count, s->entries,
                                              s->width * dipp_cuda_type_bytes(s->type), args[0], args[1], args[2]),
                   "embedding");
}

/* args: ids, dy, out */
static void run_embedding_backward(void *state, void *const *args)
{
    const lookup_state *s = state;
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_embedding_backward(s->context->stream, s->count, s->entries, s->width, s->type,
                                                       s->accumulate, args[0], args[1], args[2]),
                   "embedding_backward");
}

dipp_status dipp_cuda_prepare_embedding(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                        dipp_error *error)
{
    lookup_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    bool backward = node->op == DIPP_OP_EMBEDDING_BACKWARD;
    const dipp_shape *table = backward ? &node->outputs[0].shape : &node->inputs[0].shape;
    s->context = context;
    s->entries = table->dims[0];
    s->width = table->dims[1];
    s->count = dipp_cuda_elements(&node->inputs[backward ? 0 : 1].shape);
    s->type = dipp_cuda_type_of(context, node->inputs[backward ? 1 : 0].dtype);
    s->accumulate = node->attributes->accumulate;
    out->run = backward ? run_embedding_backward : run_embedding;
    return DIPP_OK;
}

static void run_sinusoid(void *state, void *const *args)
{
    const lookup_state *s = state;
    dipp_cuda_note(
        s->context,
        dipp_cuda_launch_sinusoid(s->context->stream, s->count, s->width, s->period, s->first, args[0], args[1]),
        "sinusoid");
}

dipp_status dipp_cuda_prepare_sinusoid(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                       dipp_error *error)
{
    lookup_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    s->context = context;
    s->count = node->outputs[0].shape.dims[0];
    s->width = node->outputs[0].shape.dims[1];
    s->period = node->attributes->alpha;
    s->first = node->attributes->sin_first;
    out->run = run_sinusoid;
    return DIPP_OK;
}

static void run_inverse(void *state, void *const *args)
{
    const lookup_state *s = state;
    dipp_cuda_note(s->context, dipp_cuda_launch_inverse(s->context->stream, s->count, s->width, args[0], args[1]),
                   "inverse");
}

dipp_status dipp_cuda_prepare_inverse(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                      dipp_error *error)
{
    lookup_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_shape *shape = &node->inputs[0].shape;
    s->context = context;
    s->width = shape->dims[shape->rank - 1];
    s->count = dipp_cuda_rows(shape, 2);
    out->run = run_inverse;
    return DIPP_OK;
}

/* args: key, out */
static void run_random(void *state, void *const *args)
{
    const lookup_state *s = state;
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_random(s->context->stream, s->first, s->count, s->width, args[0], args[1]),
                   "philox");
}

dipp_status dipp_cuda_prepare_random(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                     dipp_error *error)
{
    lookup_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_shape *shape = &node->outputs[0].shape;
    s->context = context;
    s->count = shape->dims[0];
    s->width = dipp_cuda_elements(shape) / s->count;
    s->first = node->op == DIPP_OP_PHILOX_NORMAL;
    out->run = run_random;
    return DIPP_OK;
}
