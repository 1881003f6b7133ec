/* Rows of a table picked by number, their gradient, and sinusoids of times. */

/* An id outside the table reads as row 0, and its gradient goes there. */
static int64_t table_row(int32_t id, int64_t rows)
{
    return id < 0 || id >= rows ? 0 : id;
}

static void embedding(const reference_node *node, void *const *args)
{
    const dipp_shape *table = &node->view.inputs[0].shape;
    int64_t width = table->dims[1], ids = reference_elements(&node->view.inputs[1].shape);
    for (int64_t i = 0; i < ids; i++)
        memcpy((real *)args[2] + i * width,
               (const real *)args[0] + table_row(((const int32_t *)args[1])[i], table->dims[0]) * width,
               (size_t)width * sizeof(real));
}

/* Sums run over the ids in order, each rounded to real. */
static void embedding_backward(const reference_node *node, void *const *args)
{
    const dipp_shape *table = &node->view.outputs[0].shape;
    int64_t width = table->dims[1], ids = reference_elements(&node->view.inputs[0].shape);
    const real *dy = args[1];
    real *out = args[2];
    if (!node->attributes.accumulate)
        memset(out, 0, (size_t)reference_elements(table) * sizeof *out);
    for (int64_t i = 0; i < ids; i++) {
        real *row = out + table_row(((const int32_t *)args[0])[i], table->dims[0]) * width;
        for (int64_t c = 0; c < width; c++)
            row[c] = (real)((double)row[c] + dy[i * width + c]);
    }
}

/* Frequencies max_period^(-i / half), i in [0, half), half = width / 2; an odd width ends in a zero column. */
static void sinusoid(const reference_node *node, void *const *args)
{
    const dipp_shape *shape = &node->view.outputs[0].shape;
    int64_t width = reference_width(shape), half = width / 2;
    const real *t = args[0];
    real *out = args[1];
    for (int64_t n = 0; n < shape->dims[0]; n++, out += width) {
        if (width % 2)
            out[width - 1] = 0;
        for (int64_t i = 0; i < half; i++) {
            double angle = t[n] * pow(node->attributes.alpha, -(double)i / (double)half);
            out[node->attributes.sin_first ? half + i : i] = (real)cos(angle);
            out[node->attributes.sin_first ? i : half + i] = (real)sin(angle);
        }
    }
}
