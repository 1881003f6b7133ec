/* Resizing as two products with matrices of weights, one per axis: linear, so its gradient is the transposed product; and
 * what published scorers do to a picture before their network sees it. */
#include "nn/resample.h"

#include <math.h>
#include <stdlib.h>

/* [in, out] of weights, in units of 2^-22 when eight_bit. */
static dipp_tensor weights(dipp_graph *g, dipp_resize_kernel kernel, bool eight_bit, int64_t in, int64_t out)
{
    const double unit = 1.0 / (1 << 22);
    double *matrix = calloc((size_t)(in * out), sizeof *matrix);
    double *taps = malloc((size_t)dipp_resample_most(kernel, in, out) * sizeof *taps);
    dipp_tensor result = DIPP_NONE;
    if (matrix && taps) {
        for (int64_t i = 0; i < out; i++) {
            dipp_taps at = dipp_resample_taps(kernel, in, out, i, taps);
            for (int64_t k = 0; k < at.count; k++)
                matrix[(at.first + k) * out + i] = eight_bit ? round(taps[k] / unit) * unit : taps[k];
        }
        result = dipp_constant(g, DIPP_SHAPE(in, out), matrix);
    } else {
        dipp_graph_fail(g, "no memory to resize from %lld to %lld", (long long)in, (long long)out);
    }
    free(matrix);
    free(taps);
    return result;
}

/* Whole numbers in [0, 255], halves upwards. */
static dipp_tensor to_bytes(dipp_graph *g, dipp_tensor x)
{
    const double nearly_half = 0.5 - 1.0 / (1 << 23);
    dipp_tensor even = dipp_round(g, x), rest = dipp_stop_gradient(g, dipp_sub(g, x, even));
    dipp_tensor up = dipp_greater(g, rest, dipp_constant(g, DIPP_SHAPE(1), &nearly_half));
    return dipp_clamp(g, dipp_add(g, even, up), 0.0, 255.0, DIPP_CLAMP_STRAIGHT_THROUGH);
}

dipp_tensor dipp_resize(dipp_graph *g, dipp_tensor x, int64_t height, int64_t width, dipp_resize_kernel kernel,
                        bool eight_bit)
{
    dipp_shape shape = dipp_shape_of(g, x);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    if (shape.rank != 4 || shape.dims[2] < 1 || shape.dims[3] < 1 || height < 1 || width < 1)
        return dipp_graph_fail(g,
                               "resize: pictures [N, C, H, W] and sizes of at least 1 are expected; found rank %u, "
                               "wanted %lld x %lld",
                               shape.rank, (long long)height, (long long)width);
    int64_t n = shape.dims[0], c = shape.dims[1], h = shape.dims[2], w = shape.dims[3];
    if (h == height && w == width && !eight_bit)
        return dipp_cast(g, x, DIPP_WIDE);
    x = dipp_scale_add(g, dipp_cast(g, x, DIPP_WIDE), eight_bit ? 255.0 : 1.0, 0.0);
    if (eight_bit)
        x = to_bytes(g, x);
    if (w != width) {
        x = dipp_matmul(g, x, weights(g, kernel, eight_bit, w, width), NULL); /* [N, C, H, width] */
        x = eight_bit ? to_bytes(g, x) : x;
    }
    if (h != height) {
        x = dipp_permute(g, dipp_reshape(g, x, DIPP_SHAPE(n * c, h, width)), (const int[]){0, 2, 1});
        x = dipp_matmul(g, x, weights(g, kernel, eight_bit, h, height), NULL); /* [N C, width, height] */
        x = eight_bit ? to_bytes(g, x) : x;
        x = dipp_reshape(g, dipp_permute(g, x, (const int[]){0, 2, 1}), DIPP_SHAPE(n, c, height, width));
    }
    return eight_bit ? dipp_scale_add(g, x, 1.0 / 255.0, 0.0) : x;
}

/* The size that a picture is resized to. */
static void fitted_size(dipp_fit fit, int64_t side, int64_t h, int64_t w, int64_t *height, int64_t *width)
{
    int64_t shorter = h < w ? h : w, longer = h < w ? w : h;
    *height = *width = side;
    if (fit == DIPP_FIT_CROP || fit == DIPP_FIT_CROP_DOWN) {
        int64_t other = (int64_t)((double)(side * longer) / (double)shorter);
        *(h < w ? width : height) = h == w ? side : other;
    }
    if (fit == DIPP_FIT_LETTERBOX) {
        double scale = (double)side / (double)longer;
        *height = (int64_t)rint((double)h * scale); /* half to even, as Python rounds */
        *width = (int64_t)rint((double)w * scale);
    }
}

/* Cuts or pads one axis to side. */
static dipp_tensor fit_axis(dipp_graph *g, dipp_tensor x, int axis, int64_t side, dipp_fit fit)
{
    int64_t have = dipp_dim(g, x, axis), extra = have - side;
    if (extra > 0) {
        int64_t start = fit == DIPP_FIT_CROP ? (int64_t)rint((double)extra / 2.0) : extra / 2;
        return dipp_slice(g, x, axis, start, side);
    }
    return extra < 0 ? dipp_pad(g, x, axis, -extra / 2, -extra - -extra / 2) : x;
}

dipp_tensor dipp_clip_pictures(dipp_graph *g, dipp_tensor pictures, int64_t side, dipp_fit fit,
                               dipp_resize_kernel kernel, bool eight_bit)
{
    static const double mean[3] = {0.48145466, 0.4578275, 0.40821073};
    static const double deviation[3] = {0.26862954, 0.26130258, 0.27577711};
    dipp_shape shape = dipp_shape_of(g, pictures);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    if (shape.rank != 4 || shape.dims[1] != 3 || shape.dims[2] < 1 || shape.dims[3] < 1 || side < 1)
        return dipp_graph_fail(g,
                               "clip: pictures must be [N, 3, H, W] and the side at least 1; found rank %u, side %lld",
                               shape.rank, (long long)side);
    int64_t height, width;
    fitted_size(fit, side, shape.dims[2], shape.dims[3], &height, &width);
    if (height < 1 || width < 1)
        return dipp_graph_fail(g, "clip: a picture of %lld x %lld is too narrow for a side of %lld",
                               (long long)shape.dims[2], (long long)shape.dims[3], (long long)side);
    dipp_tensor x = dipp_resize(g, pictures, height, width, kernel, eight_bit);
    x = fit_axis(g, fit_axis(g, x, 2, side, fit), 3, side, fit);
    x = dipp_sub(g, x, dipp_constant(g, DIPP_SHAPE(1, 3, 1, 1), mean));
    return dipp_div(g, x, dipp_constant(g, DIPP_SHAPE(1, 3, 1, 1), deviation));
}
