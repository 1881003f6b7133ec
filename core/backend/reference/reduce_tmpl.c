/* Reductions: sum over a set of axes, softmax over the last axis and its backward. */

/* Scratch: one double per element of the result. */
static void sum(const reference_node *node, void *const *args)
{
    const dipp_shape *shape = &node->view.inputs[0].shape;
    int64_t out_stride[DIPP_MAX_RANK] = {0}, running = 1;
    for (uint32_t k = shape->rank; k-- > 0;) {
        bool reduced = node->attributes.axes_mask >> k & 1;
        out_stride[k] = reduced ? 0 : running;
        running *= reduced ? 1 : shape->dims[k];
    }
    const real *in = args[0];
    real *out = args[1];
    double *total = reference_scratch(node, args);
    for (int64_t o = 0; o < running; o++)
        total[o] = 0;
    int64_t elements = reference_elements(shape);
    for (int64_t i = 0; i < elements; i++) {
        int64_t rest = i, o = 0;
        for (uint32_t k = shape->rank; k-- > 0;) {
            o += rest % shape->dims[k] * out_stride[k];
            rest /= shape->dims[k];
        }
        total[o] += in[i];
    }
    for (int64_t o = 0; o < running; o++)
        out[o] = (real)total[o];
}

static void softmax(const reference_node *node, void *const *args)
{
    const dipp_shape *shape = &node->view.inputs[0].shape;
    int64_t width = reference_width(shape);
    const real *x = args[0];
    real *y = args[1];
    for (int64_t row = 0; row < reference_rows(shape); row++, x += width, y += width) {
        double largest = x[0], total = 0;
        for (int64_t i = 1; i < width; i++)
            largest = x[i] > largest ? x[i] : largest;
        for (int64_t i = 0; i < width; i++)
            total += exp(x[i] - largest);
        for (int64_t i = 0; i < width; i++)
            y[i] = (real)(exp(x[i] - largest) / total);
    }
}

static void softmax_backward(const reference_node *node, void *const *args)
{
    const dipp_shape *shape = &node->view.inputs[0].shape;
    int64_t width = reference_width(shape);
    const real *y = args[0], *dy = args[1];
    real *dx = args[2];
    for (int64_t row = 0; row < reference_rows(shape); row++, y += width, dy += width, dx += width) {
        double dot = 0;
        for (int64_t i = 0; i < width; i++)
            dot += (double)y[i] * dy[i];
        for (int64_t i = 0; i < width; i++)
            dx[i] = (real)(y[i] * (dy[i] - dot));
    }
}
