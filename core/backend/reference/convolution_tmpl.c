/* Convolution of pictures [N, C, H, W] by square kernels [O, C, k, k], and its gradients, tap by tap: a tap (p, q) reads
 * place (i stride + p - pad_before, j stride + q - pad_before) for output place (i, j); places outside are zeros. */

typedef struct conv2d_sizes {
    int64_t samples, in_channels, height, width, out_channels, kernel, out_height, out_width;
    int64_t stride, pad;
} conv2d_sizes;

static conv2d_sizes conv2d_sizes_of(const reference_node *node, const dipp_shape *x, const dipp_shape *w,
                                    const dipp_shape *y)
{
    return (conv2d_sizes){x->dims[0],
                          x->dims[1],
                          x->dims[2],
                          x->dims[3],
                          w->dims[0],
                          w->dims[2],
                          y->dims[2],
                          y->dims[3],
                          node->attributes.stride,
                          node->attributes.pad_before};
}

/* Whether tap p of output row (or column) i is inside, and where. */
static bool conv2d_inside(const conv2d_sizes *s, int64_t i, int64_t p, int64_t length, int64_t *at)
{
    *at = i * s->stride + p - s->pad;
    return *at >= 0 && *at < length;
}

/* total[H' W'] += factor * the places of one input picture that tap (p, q) reads. */
static void conv2d_gather(const conv2d_sizes *s, double *total, const real *picture, double factor, int64_t p,
                          int64_t q)
{
    for (int64_t i = 0; i < s->out_height; i++)
        for (int64_t j = 0, row, column; j < s->out_width; j++)
            if (conv2d_inside(s, i, p, s->height, &row) && conv2d_inside(s, j, q, s->width, &column))
                total[i * s->out_width + j] += factor * picture[row * s->width + column];
}

/* The transpose: total[H W] += factor * an output picture, at the places that tap (p, q) reads. */
static void conv2d_scatter(const conv2d_sizes *s, double *total, const real *picture, double factor, int64_t p,
                           int64_t q)
{
    for (int64_t i = 0; i < s->out_height; i++)
        for (int64_t j = 0, row, column; j < s->out_width; j++)
            if (conv2d_inside(s, i, p, s->height, &row) && conv2d_inside(s, j, q, s->width, &column))
                total[row * s->width + column] += factor * picture[i * s->out_width + j];
}

/* Scratch: one output picture. */
static void conv2d(const reference_node *node, void *const *args)
{
    conv2d_sizes s =
        conv2d_sizes_of(node, &node->view.inputs[0].shape, &node->view.inputs[1].shape, &node->view.outputs[0].shape);
    int64_t in_picture = s.height * s.width, out_picture = s.out_height * s.out_width, taps = s.kernel * s.kernel;
    const real *x = args[0], *w = args[1], *bias = args[2];
    real *y = reference_output(node, args, 0);
    double *total = reference_scratch(node, args);
    for (int64_t n = 0; n < s.samples; n++)
        for (int64_t o = 0; o < s.out_channels; o++) {
            memset(total, 0, (size_t)out_picture * sizeof *total);
            for (int64_t c = 0; c < s.in_channels; c++)
                for (int64_t tap = 0; tap < taps; tap++)
                    conv2d_gather(&s, total, x + (n * s.in_channels + c) * in_picture,
                                  w[(o * s.in_channels + c) * taps + tap], tap / s.kernel, tap % s.kernel);
            for (int64_t i = 0; i < out_picture; i++)
                *y++ = (real)(total[i] + (bias ? bias[o] : 0));
        }
}

/* Scratch: one input picture. */
static void conv2d_backward_data(const reference_node *node, void *const *args)
{
    conv2d_sizes s =
        conv2d_sizes_of(node, &node->view.outputs[0].shape, &node->view.inputs[0].shape, &node->view.inputs[1].shape);
    int64_t in_picture = s.height * s.width, out_picture = s.out_height * s.out_width, taps = s.kernel * s.kernel;
    const real *w = args[0], *dy = args[1];
    real *dx = args[2];
    double *total = reference_scratch(node, args);
    for (int64_t n = 0; n < s.samples; n++)
        for (int64_t c = 0; c < s.in_channels; c++) {
            memset(total, 0, (size_t)in_picture * sizeof *total);
            for (int64_t o = 0; o < s.out_channels; o++)
                for (int64_t tap = 0; tap < taps; tap++)
                    conv2d_scatter(&s, total, dy + (n * s.out_channels + o) * out_picture,
                                   w[(o * s.in_channels + c) * taps + tap], tap / s.kernel, tap % s.kernel);
            for (int64_t i = 0; i < in_picture; i++)
                *dx++ = (real)total[i];
        }
}

/* Sum over samples and places of dy times what tap (p, q) of channel c reads. */
static double conv2d_weight_gradient(const conv2d_sizes *s, const real *x, const real *dy, int64_t o, int64_t c,
                                     int64_t p, int64_t q)
{
    double total = 0;
    for (int64_t n = 0; n < s->samples; n++) {
        const real *in = x + (n * s->in_channels + c) * s->height * s->width;
        const real *out = dy + (n * s->out_channels + o) * s->out_height * s->out_width;
        for (int64_t i = 0; i < s->out_height; i++)
            for (int64_t j = 0, row, column; j < s->out_width; j++)
                if (conv2d_inside(s, i, p, s->height, &row) && conv2d_inside(s, j, q, s->width, &column))
                    total += (double)out[i * s->out_width + j] * in[row * s->width + column];
    }
    return total;
}

static void conv2d_backward_weight(const reference_node *node, void *const *args)
{
    conv2d_sizes s =
        conv2d_sizes_of(node, &node->view.inputs[0].shape, &node->view.outputs[0].shape, &node->view.inputs[1].shape);
    const real *x = args[0], *dy = args[1];
    real *dw = reference_output(node, args, 0);
    real *d_bias = node->view.output_count > 1 ? reference_output(node, args, 1) : NULL;
    int64_t taps = s.kernel * s.kernel, out_picture = s.out_height * s.out_width;
    for (int64_t o = 0; dw && o < s.out_channels; o++)
        for (int64_t c = 0; c < s.in_channels; c++)
            for (int64_t tap = 0; tap < taps; tap++, dw++) {
                double total = conv2d_weight_gradient(&s, x, dy, o, c, tap / s.kernel, tap % s.kernel);
                *dw = (real)(total + (node->attributes.accumulate ? *dw : 0));
            }
    for (int64_t o = 0; d_bias && o < s.out_channels; o++) {
        double total = 0;
        for (int64_t n = 0; n < s.samples; n++)
            for (int64_t i = 0; i < out_picture; i++)
                total += dy[(n * s.out_channels + o) * out_picture + i];
        d_bias[o] = (real)total;
    }
}
