/* Layer norm and gated residual, with their backwards. x is [B, ..., C]; a gain, bias or gate is [C] for all rows or
 * [B, C], shared by the tokens of a sample. */

/* Rows of x that share one row of a modulation: all rows for [C], a sample's tokens for [B, C]. */
static int64_t rows_per_modulation(const dipp_shape *x, const dipp_shape *modulation)
{
    return modulation->rank < 2 ? reference_rows(x) : reference_rows(x) / x->dims[0];
}

static void layer_norm(const reference_node *node, void *const *args)
{
    const dipp_shape *shape = &node->view.inputs[0].shape;
    int64_t width = reference_width(shape);
    const real *x = args[0], *gain = args[1], *bias = args[2];
    real *y = reference_output(node, args, 0), *stats = reference_output(node, args, 1);
    for (int64_t row = 0; row < reference_rows(shape); row++, x += width) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < width; i++)
            mean += x[i];
        mean /= (double)width;
        for (int64_t i = 0; i < width; i++)
            variance += (x[i] - mean) * (x[i] - mean);
        variance /= (double)width;
        double inverse_deviation = 1 / sqrt(variance + node->attributes.alpha);
        if (stats) {
            stats[2 * row] = (real)mean;
            stats[2 * row + 1] = (real)inverse_deviation;
        }
        if (!y)
            continue;
        const real *row_gain = gain, *row_bias = bias;
        if (gain)
            row_gain += row / rows_per_modulation(shape, &node->view.inputs[1].shape) * width;
        if (bias)
            row_bias += row / rows_per_modulation(shape, &node->view.inputs[2].shape) * width;
        for (int64_t i = 0; i < width; i++) {
            double factor = gain ? row_gain[i] + (node->attributes.plus_one ? 1.0 : 0.0) : 1.0;
            y[row * width + i] = (real)((x[i] - mean) * inverse_deviation * factor + (bias ? row_bias[i] : 0));
        }
    }
}

/* With n = (x - mean) r and h = dy gain: dx = r (h - mean(h) - n mean(h n)). */
static void layer_norm_backward_input(const reference_node *node, void *const *args, real *dx)
{
    const dipp_shape *shape = &node->view.inputs[0].shape;
    int64_t width = reference_width(shape);
    const real *x = args[0], *gain = args[1], *stats = args[2], *dy = args[3];
    for (int64_t row = 0; row < reference_rows(shape); row++, x += width, dy += width, dx += width) {
        double mean = stats[2 * row], r = stats[2 * row + 1], mean_h = 0, mean_hn = 0;
        const real *row_gain = gain;
        double plus = node->attributes.plus_one ? 1 : 0;
        if (gain)
            row_gain += row / rows_per_modulation(shape, &node->view.inputs[1].shape) * width;
        for (int64_t i = 0; i < width; i++) {
            double h = dy[i] * (gain ? row_gain[i] + plus : 1.0);
            mean_h += h;
            mean_hn += h * (x[i] - mean) * r;
        }
        mean_h /= (double)width;
        mean_hn /= (double)width;
        for (int64_t i = 0; i < width; i++) {
            double h = dy[i] * (gain ? row_gain[i] + plus : 1.0);
            dx[i] = (real)(r * (h - mean_h - (x[i] - mean) * r * mean_hn));
        }
    }
}

/* dgain = sum of dy n and dbias = sum of dy over the rows that share them. Scratch: two rows of accumulators. */
static void layer_norm_backward(const reference_node *node, void *const *args)
{
    const dipp_shape *shape = &node->view.inputs[0].shape, *gain_shape = &node->view.inputs[1].shape;
    real *dx = reference_output(node, args, 0), *d_gain = reference_output(node, args, 1);
    real *d_bias = reference_output(node, args, 2);
    if (dx)
        layer_norm_backward_input(node, args, dx);
    if (!args[1] || (!d_gain && !d_bias))
        return;
    int64_t width = reference_width(shape), shared = rows_per_modulation(shape, gain_shape);
    const real *x = args[0], *stats = args[2], *dy = args[3];
    double *gain_total = reference_scratch(node, args), *bias_total = gain_total + width;
    for (int64_t m = 0; m < reference_rows(gain_shape); m++) {
        memset(gain_total, 0, 2 * (size_t)width * sizeof *gain_total);
        for (int64_t row = m * shared; row < (m + 1) * shared; row++)
            for (int64_t i = 0; i < width; i++) {
                double normalised = (x[row * width + i] - (double)stats[2 * row]) * stats[2 * row + 1];
                gain_total[i] += dy[row * width + i] * normalised;
                bias_total[i] += dy[row * width + i];
            }
        for (int64_t i = 0; i < width; i++) {
            if (d_gain)
                d_gain[m * width + i] = (real)gain_total[i];
            if (d_bias)
                d_bias[m * width + i] = (real)bias_total[i];
        }
    }
}

static void gated_add(const reference_node *node, void *const *args)
{
    const dipp_shape *shape = &node->view.inputs[0].shape;
    int64_t width = reference_width(shape), tokens = reference_rows(shape) / shape->dims[0];
    const real *x = args[0], *gate = args[1], *h = args[2];
    real *out = args[3];
    for (int64_t row = 0; row < reference_rows(shape); row++)
        for (int64_t i = 0; i < width; i++)
            out[row * width + i] =
                (real)(x[row * width + i] + (double)gate[row / tokens * width + i] * h[row * width + i]);
}

/* Scratch: one row of accumulators. */
static void gated_add_backward(const reference_node *node, void *const *args)
{
    const dipp_shape *shape = &node->view.inputs[1].shape;
    int64_t width = reference_width(shape), samples = shape->dims[0], tokens = reference_rows(shape) / samples;
    const real *gate = args[0], *h = args[1], *dy = args[2];
    real *d_h = reference_output(node, args, 0), *d_gate = reference_output(node, args, 1);
    double *total = reference_scratch(node, args);
    for (int64_t sample = 0; sample < samples; sample++) {
        memset(total, 0, (size_t)width * sizeof *total);
        for (int64_t row = sample * tokens; row < (sample + 1) * tokens; row++)
            for (int64_t i = 0; i < width; i++) {
                if (d_h)
                    d_h[row * width + i] = (real)((double)gate[sample * width + i] * dy[row * width + i]);
                total[i] += (double)h[row * width + i] * dy[row * width + i];
            }
        for (int64_t i = 0; i < width && d_gate; i++)
            d_gate[sample * width + i] = (real)total[i];
    }
}
