/* Convolutions as matrix products. The patches that the kernels meet are laid out as rows in scratch, [N H' W', C k k]; then
 * a convolution is a linear layer whose weight is [O, C k k], and its gradients are that layer's. What is already there does
 * the rest: products (matmul.c), turning [N, places, O] into [N, O, places] (copy.c), the sum for the bias (reduce.c).
 * Samples are taken a chunk at a time, so that scratch stays bounded whatever the batch is. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/kernels.h"
#include "base/memory.h"

typedef struct convolution_state {
    dipp_cuda_context *context;
    dipp_cuda_patches patches; /* of a chunk */
    int64_t chunks;
    size_t x_bytes, y_bytes;            /* from a chunk to the next */
    dipp_kernel turn, product, adding;  /* adding: the product of every chunk but the first, for weights */
    dipp_kernel bias;                   /* sum of dy over samples and places */
    size_t patches_at, turned_at, free; /* in scratch; free: of the inner kernels, used in turn */
} convolution_state;

static void run_inner(const dipp_kernel *kernel, const void *a, const void *b, const void *c, void *out, char *scratch)
{
    /* An absent third operand still has its place. */
    void *args[5] = {(void *)a, (void *)b, (void *)c, out, scratch};
    kernel->run(kernel->state, args);
}

static void run_inner_one(const dipp_kernel *kernel, const void *in, void *out, char *scratch)
{
    void *args[3] = {(void *)in, out, scratch};
    kernel->run(kernel->state, args);
}

static void run_inner_two(const dipp_kernel *kernel, const void *a, const void *b, void *out, char *scratch)
{
    void *args[4] = {(void *)a, (void *)b, out, scratch};
    kernel->run(kernel->state, args);
}

/* args: x, w, bias, y, scratch */
static void run_forward(void *state, void *const *args)
{
    const convolution_state *s = state;
    char *scratch = args[4], *rows = scratch + s->patches_at, *turned = scratch + s->turned_at;
    for (int64_t chunk = 0; chunk < s->chunks; chunk++) {
        const char *x = (const char *)args[0] + (size_t)chunk * s->x_bytes;
        dipp_cuda_note(s->context, dipp_cuda_launch_patches(s->context->stream, &s->patches, x, rows), "conv2d");
        run_inner(&s->product, rows, args[1], args[2], turned, scratch + s->free);
        run_inner_one(&s->turn, turned, (char *)args[3] + (size_t)chunk * s->y_bytes, scratch + s->free);
    }
}

/* args: w, dy, dx, scratch */
static void run_backward_data(void *state, void *const *args)
{
    const convolution_state *s = state;
    char *scratch = args[3];
    void *rows = scratch + s->patches_at, *turned = scratch + s->turned_at;
    for (int64_t chunk = 0; chunk < s->chunks; chunk++) {
        run_inner_one(&s->turn, (const char *)args[1] + (size_t)chunk * s->y_bytes, turned, scratch + s->free);
        run_inner_two(&s->product, turned, args[0], rows, scratch + s->free);
        char *dx = (char *)args[2] + (size_t)chunk * s->x_bytes;
        dipp_cuda_note(s->context, dipp_cuda_launch_pictures(s->context->stream, &s->patches, rows, dx),
                       "conv2d_backward_data");
    }
}

/* args: x, dy, dw, (dbias,) scratch */
static void run_weight_chunks(const convolution_state *s, void *const *args, char *scratch)
{
    char *rows = scratch + s->patches_at, *turned = scratch + s->turned_at;
    for (int64_t chunk = 0; chunk < s->chunks; chunk++) {
        const char *x = (const char *)args[0] + (size_t)chunk * s->x_bytes;
        dipp_cuda_note(s->context, dipp_cuda_launch_patches(s->context->stream, &s->patches, x, rows),
                       "conv2d_backward_weight");
        run_inner_one(&s->turn, (const char *)args[1] + (size_t)chunk * s->y_bytes, turned, scratch + s->free);
        run_inner_two(chunk ? &s->adding : &s->product, rows, turned, args[2], scratch + s->free);
    }
}

static void run_backward_weight(void *state, void *const *args)
{
    if (args[2])
        run_weight_chunks(state, args, args[3]);
}

static void run_backward_weight_and_bias(void *state, void *const *args)
{
    const convolution_state *s = state;
    if (args[2])
        run_weight_chunks(s, args, args[4]);
    if (args[3])
        run_inner_one(&s->bias, args[1], args[3], (char *)args[4] + s->free);
}

static void destroy(void *state)
{
    convolution_state *s = state;
    dipp_kernel *inner[] = {&s->turn, &s->product, &s->adding, &s->bias};
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
        if (inner[i]->destroy)
            inner[i]->destroy(inner[i]->state);
    dipp_release(s);
}

/* ---- preparing ---- */

static dipp_operand operand(dipp_dtype dtype, dipp_shape shape)
{
    return (dipp_operand){true, dtype, shape};
}

/* What the leg looks like to its inner kernels. */
typedef struct sizes {
    int64_t samples, places, out_channels, width; /* of a chunk; width: C k k */
} sizes;

static void keep_most(size_t *most, const dipp_kernel *kernel)
{
    *most = kernel->scratch_bytes > *most ? kernel->scratch_bytes : *most;
}

/* [N, places, O] to [N, O, places], or back. */
static dipp_status prepare_turn(convolution_state *s, const sizes *z, bool forward, dipp_dtype dtype, dipp_error *error)
{
    dipp_attributes attributes = {.permutation = {0, 2, 1}};
    dipp_shape tall = DIPP_SHAPE(z->samples, z->places, z->out_channels);
    dipp_shape flat = DIPP_SHAPE(z->samples, z->out_channels, z->places);
    dipp_node_view node = {.op = DIPP_OP_PERMUTE, .input_count = 1, .output_count = 1, .attributes = &attributes};
    node.inputs[0] = operand(dtype, forward ? tall : flat);
    node.outputs[0] = operand(dtype, forward ? flat : tall);
    return dipp_cuda_prepare_copy(s->context, &node, &s->turn, error);
}

static dipp_status prepare_product(convolution_state *s, const dipp_node_view *conv, const sizes *z, bool accumulate,
                                   dipp_kernel *out, dipp_error *error)
{
    dipp_attributes attributes = {.accumulate = accumulate};
    dipp_node_view node = {.input_count = 2, .output_count = 1, .attributes = &attributes};
    dipp_shape rows = DIPP_SHAPE(z->samples * z->places, z->width);
    dipp_shape turned = DIPP_SHAPE(z->samples * z->places, z->out_channels);
    dipp_shape weight = DIPP_SHAPE(z->out_channels, z->width);
    dipp_dtype dtype = conv->inputs[0].dtype;
    if (conv->op == DIPP_OP_CONV2D) {
        node.op = DIPP_OP_LINEAR;
        node.input_count = 3;
        node.inputs[0] = operand(dtype, rows);
        node.inputs[1] = operand(dtype, weight);
        if (conv->input_count > 2)
            node.inputs[2] = conv->inputs[2];
        node.outputs[0] = operand(conv->outputs[0].dtype, turned);
    } else if (conv->op == DIPP_OP_CONV2D_BACKWARD_DATA) {
        node.op = DIPP_OP_MATMUL;
        node.inputs[0] = operand(dtype, turned);
        node.inputs[1] = operand(dtype, weight);
        node.outputs[0] = operand(DIPP_WIDE, rows);
    } else {
        node.op = DIPP_OP_LINEAR_BACKWARD_WEIGHT;
        node.inputs[0] = operand(dtype, rows);
        node.inputs[1] = operand(dtype, turned);
        node.outputs[0] = operand(DIPP_WIDE, weight);
    }
    return dipp_cuda_prepare_matmul(s->context, &node, out, error);
}

static dipp_status prepare_bias(convolution_state *s, const dipp_node_view *conv, dipp_error *error)
{
    dipp_attributes attributes = {.axes_mask = 1u << 0 | 1u << 2 | 1u << 3};
    dipp_node_view node = {.op = DIPP_OP_SUM, .input_count = 1, .output_count = 1, .attributes = &attributes};
    node.inputs[0] = conv->inputs[1];
    node.outputs[0] = conv->outputs[1];
    return dipp_cuda_prepare_sum(s->context, &node, &s->bias, error);
}

dipp_status dipp_cuda_prepare_convolution(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                          dipp_error *error)
{
    convolution_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    out->destroy = destroy;
    bool forward = node->op == DIPP_OP_CONV2D, data = node->op == DIPP_OP_CONV2D_BACKWARD_DATA;
    bool has_bias = !forward && !data && node->output_count > 1 && node->outputs[1].present;
    const dipp_shape *x = data ? &node->outputs[0].shape : &node->inputs[0].shape;
    const dipp_operand *y = forward ? &node->outputs[0] : &node->inputs[1];
    const dipp_shape *w = forward ? &node->inputs[1].shape : data ? &node->inputs[0].shape : &node->outputs[0].shape;
    int32_t type = dipp_cuda_type_of(context, DIPP_COMPUTE);
    sizes z = {1, y->shape.dims[2] * y->shape.dims[3], w->dims[0], w->dims[1] * w->dims[2] * w->dims[3]};
    /* Equal chunks, so that one set of kernels serves them all. */
    size_t row_bytes = data ? sizeof(float) : (size_t)dipp_cuda_type_bytes(type);
    for (int64_t samples = 1; samples <= x->dims[0]; samples++)
        if (x->dims[0] % samples == 0 && samples * z.places * z.width * (int64_t)row_bytes <= context->patch_bytes)
            z.samples = samples;
    s->context = context;
    s->chunks = x->dims[0] / z.samples;
    s->patches = (dipp_cuda_patches){.samples = z.samples,
                                     .channels = x->dims[1],
                                     .height = x->dims[2],
                                     .width = x->dims[3],
                                     .out_height = y->shape.dims[2],
                                     .out_width = y->shape.dims[3],
                                     .kernel = (int32_t)w->dims[2],
                                     .stride = (int32_t)node->attributes->stride,
                                     .pad = (int32_t)node->attributes->pad_before,
                                     .type = type};
    size_t y_size = (size_t)dipp_cuda_type_bytes(dipp_cuda_type_of(context, y->dtype));
    s->x_bytes = (size_t)(z.samples * x->dims[1] * x->dims[2] * x->dims[3]) * (size_t)dipp_cuda_type_bytes(type);
    s->y_bytes = (size_t)(z.samples * z.places * z.out_channels) * y_size;
    s->turned_at = dipp_cuda_round_up((size_t)(z.samples * z.places * z.width) * row_bytes);
    s->free = s->turned_at + dipp_cuda_round_up(s->y_bytes);
    dipp_status status = prepare_turn(s, &z, forward, y->dtype, error);
    bool accumulate = node->attributes->accumulate;
    if (status == DIPP_OK)
        status = prepare_product(s, node, &z, accumulate, &s->product, error);
    if (status == DIPP_OK && s->chunks > 1 && !forward && !data)
        status = prepare_product(s, node, &z, true, &s->adding, error);
    if (status == DIPP_OK && has_bias)
        status = prepare_bias(s, node, error);
    if (status != DIPP_OK) {
        destroy(s);
        *out = (dipp_kernel){0};
        return status;
    }
    size_t most = 0;
    keep_most(&most, &s->turn), keep_most(&most, &s->product), keep_most(&most, &s->adding);
    keep_most(&most, &s->bias);
    out->scratch_bytes = s->free + most;
    out->run = forward    ? run_forward
               : data     ? run_backward_data
               : has_bias ? run_backward_weight_and_bias
                          : run_backward_weight;
    return DIPP_OK;
}
