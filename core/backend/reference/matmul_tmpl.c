/* Linear algebra: matmul, linear and its weight gradient, inverse of small matrices. Scratch: one row of accumulators. */

/* One row of a product: total[n] = sum over k of a[k * a_stride] b[k * b_row + n * b_column], k ascending. */
static void row_times_matrix(double *total, int64_t n_count, int64_t k_count, const real *a, int64_t a_stride,
                             const real *b, int64_t b_row, int64_t b_column)
{
    for (int64_t n = 0; n < n_count; n++)
        total[n] = 0;
    for (int64_t k = 0; k < k_count; k++) {
        double factor = a[k * a_stride];
        for (int64_t n = 0; n < n_count; n++)
            total[n] += factor * b[k * b_row + n * b_column];
    }
}

/* out[batch, m, n]; a is [batch, M, K] or stored [batch, K, M]; b is [batch, K, N] or stored [batch, N, K], or one
 * matrix shared by the batch. */
static void matmul(const reference_node *node, void *const *args)
{
    const dipp_shape *a_shape = &node->view.inputs[0].shape, *b_shape = &node->view.inputs[1].shape;
    const dipp_shape *out_shape = &node->view.outputs[0].shape;
    const dipp_attributes *attributes = &node->attributes;
    int64_t m_count = out_shape->dims[out_shape->rank - 2], n_count = reference_width(out_shape);
    int64_t k_count = attributes->transpose_a ? a_shape->dims[a_shape->rank - 2] : reference_width(a_shape);
    int64_t batches = reference_rows(out_shape) / m_count;
    int64_t b_batch = b_shape->rank == 2 ? 0 : k_count * n_count;
    double *total = reference_scratch(node, args);
    real *out = args[2];
    for (int64_t batch = 0; batch < batches; batch++) {
        const real *a = (const real *)args[0] + batch * m_count * k_count;
        const real *b = (const real *)args[1] + batch * b_batch;
        for (int64_t m = 0; m < m_count; m++) {
            row_times_matrix(total, n_count, k_count, attributes->transpose_a ? a + m : a + m * k_count,
                             attributes->transpose_a ? m_count : 1, b, attributes->transpose_b ? 1 : n_count,
                             attributes->transpose_b ? k_count : 1);
            for (int64_t n = 0; n < n_count; n++)
                *out++ = (real)total[n];
        }
    }
}

static void linear(const reference_node *node, void *const *args)
{
    const dipp_shape *w_shape = &node->view.inputs[1].shape;
    int64_t rows = reference_rows(&node->view.inputs[0].shape), in = w_shape->dims[1], outputs = w_shape->dims[0];
    const real *x = args[0], *w = args[1], *bias = args[2];
    real *out = reference_output(node, args, 0);
    for (int64_t row = 0; row < rows; row++, x += in)
        for (int64_t o = 0; o < outputs; o++) {
            double total = 0;
            for (int64_t i = 0; i < in; i++)
                total += (double)x[i] * w[o * in + i];
            *out++ = (real)(total + (bias ? bias[o] : 0));
        }
}

static void linear_backward_weight(const reference_node *node, void *const *args)
{
    const dipp_shape *x_shape = &node->view.inputs[0].shape, *out_shape = &node->view.outputs[0].shape;
    int64_t rows = reference_rows(x_shape), in = out_shape->dims[1], outputs = out_shape->dims[0];
    const real *x = args[0], *dy = args[1];
    real *out = args[2];
    double *total = reference_scratch(node, args);
    for (int64_t o = 0; o < outputs; o++, out += in) {
        row_times_matrix(total, in, rows, dy + o, outputs, x, in, 1);
        for (int64_t i = 0; i < in; i++)
            out[i] = (real)(total[i] + (node->attributes.accumulate ? out[i] : 0));
    }
}

enum { LARGEST_INVERSE = 16 };

/* Gauss-Jordan on [a | 1] with partial pivoting. A singular matrix divides by a zero pivot: not finite. */
static void invert(const real *a, real *out, int64_t d)
{
    double left[LARGEST_INVERSE][LARGEST_INVERSE], right[LARGEST_INVERSE][LARGEST_INVERSE];
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++) {
            left[i][j] = a[i * d + j];
            right[i][j] = i == j;
        }
    for (int64_t column = 0; column < d; column++) {
        int64_t pivot = column;
        for (int64_t i = column + 1; i < d; i++)
            if (fabs(left[i][column]) > fabs(left[pivot][column]))
                pivot = i;
        for (int64_t j = 0; j < d; j++) {
            double swapped = left[column][j];
            left[column][j] = left[pivot][j];
            left[pivot][j] = swapped;
            swapped = right[column][j];
            right[column][j] = right[pivot][j];
            right[pivot][j] = swapped;
        }
        double scale = 1 / left[column][column];
        for (int64_t j = 0; j < d; j++) {
            left[column][j] *= scale;
            right[column][j] *= scale;
        }
        for (int64_t i = 0; i < d; i++) {
            double factor = left[i][column];
            if (i == column)
                continue;
            for (int64_t j = 0; j < d; j++) {
                left[i][j] -= factor * left[column][j];
                right[i][j] -= factor * right[column][j];
            }
        }
    }
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++)
            out[i * d + j] = (real)right[i][j];
}

static void inverse(const reference_node *node, void *const *args)
{
    const dipp_shape *shape = &node->view.inputs[0].shape;
    int64_t d = reference_width(shape), matrices = reference_rows(shape) / d;
    for (int64_t i = 0; i < matrices; i++)
        invert((const real *)args[0] + i * d * d, (real *)args[1] + i * d * d, d);
}
