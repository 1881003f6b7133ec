/* Group norm of x [N, C, ...] with an optional SiLU, and its gradients. A group is neighbouring channels of one sample, so
 * it lies in one piece: [channels, places]. */

typedef struct group_sizes {
    int64_t samples, groups, channels, places; /* channels of a group */
} group_sizes;

static group_sizes group_sizes_of(const reference_node *node)
{
    const dipp_shape *x = &node->view.inputs[0].shape;
    int64_t groups = node->attributes.groups;
    return (group_sizes){x->dims[0], groups, x->dims[1] / groups, reference_elements(x) / (x->dims[0] * x->dims[1])};
}

static void group_norm(const reference_node *node, void *const *args)
{
    group_sizes s = group_sizes_of(node);
    int64_t count = s.channels * s.places;
    const real *x = args[0], *gain = args[1], *bias = args[2];
    real *y = reference_output(node, args, 0), *stats = reference_output(node, args, 1);
    for (int64_t block = 0; block < s.samples * s.groups; block++, x += count) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < count; i++)
            mean += x[i];
        mean /= (double)count;
        for (int64_t i = 0; i < count; i++)
            variance += (x[i] - mean) * (x[i] - mean);
        double inverse_deviation = 1 / sqrt(variance / (double)count + node->attributes.alpha);
        if (stats) {
            stats[2 * block] = (real)mean;
            stats[2 * block + 1] = (real)inverse_deviation;
        }
        for (int64_t i = 0; y && i < count; i++) {
            int64_t channel = block % s.groups * s.channels + i / s.places;
            double u = (x[i] - mean) * inverse_deviation * (gain ? gain[channel] : 1.0) + (bias ? bias[channel] : 0.0);
            *y++ = (real)(node->attributes.silu ? u * sigmoid_of(u) : u);
        }
    }
}

/* With n = (x - mean) r, du = dy (times the slope of SiLU at u = n gain + bias) and h = du gain:
 * dx = r (h - mean(h) - n mean(h n)); dgain and dbias sum du n and du. Scratch: those two for every channel. */
static void group_norm_backward(const reference_node *node, void *const *args)
{
    group_sizes s = group_sizes_of(node);
    int64_t count = s.channels * s.places, all_channels = s.groups * s.channels;
    const real *x = args[0], *gain = args[1], *bias = args[2], *stats = args[3], *dy = args[4];
    real *dx = reference_output(node, args, 0);
    real *d_gain = reference_output(node, args, 1), *d_bias = reference_output(node, args, 2);
    double *gain_total = reference_scratch(node, args), *bias_total = gain_total + all_channels;
    memset(gain_total, 0, 2 * (size_t)all_channels * sizeof *gain_total);
    for (int64_t block = 0; block < s.samples * s.groups; block++, x += count, dy += count) {
        double mean = stats[2 * block], r = stats[2 * block + 1], mean_h = 0, mean_hn = 0;
        for (int pass = 0; pass < 2; pass++) { /* the sums, then dx from them */
            for (int64_t i = 0; i < count; i++) {
                int64_t channel = block % s.groups * s.channels + i / s.places;
                double n = (x[i] - mean) * r, factor = gain ? gain[channel] : 1.0, du = dy[i];
                if (node->attributes.silu)
                    du *= swish_slope(n * factor + (bias ? bias[channel] : 0.0), 1);
                if (pass) {
                    *dx++ = (real)(r * (du * factor - mean_h - n * mean_hn));
                    continue;
                }
                gain_total[channel] += du * n;
                bias_total[channel] += du;
                mean_h += du * factor / (double)count;
                mean_hn += du * factor * n / (double)count;
            }
            if (!dx)
                break;
        }
    }
    for (int64_t channel = 0; gain && channel < all_channels; channel++) {
        if (d_gain)
            d_gain[channel] = (real)gain_total[channel];
        if (d_bias)
            d_bias[channel] = (real)bias_total[channel];
    }
}
