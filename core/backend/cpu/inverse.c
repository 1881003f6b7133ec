/* Inverses of small square matrices by Gauss and Jordan with partial pivoting, in double. A singular matrix gives
 * entries that are not finite. */
#include "backend/cpu/cpu.h"

#include <math.h>

enum { LARGEST = 16 };

typedef struct inverse_state {
    int64_t count, size;
} inverse_state;

static void invert(const float *in, float *out, int64_t n)
{
    double rows[LARGEST][2 * LARGEST];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            rows[i][j] = (double)in[i * n + j];
            rows[i][n + j] = i == j;
        }
    for (int64_t column = 0; column < n; column++) {
        int64_t pivot = column;
        for (int64_t i = column + 1; i < n; i++)
            if (fabs(rows[i][column]) > fabs(rows[pivot][column]))
                pivot = i;
        for (int64_t j = 0; j < 2 * n; j++) {
            double held = rows[column][j];
            rows[column][j] = rows[pivot][j];
            rows[pivot][j] = held;
        }
        double scale = 1.0 / rows[column][column];
        for (int64_t j = 0; j < 2 * n; j++)
            rows[column][j] *= scale;
        for (int64_t i = 0; i < n; i++) {
            double factor = rows[i][column];
            if (i == column)
                continue;
            for (int64_t j = 0; j < 2 * n; j++)
                rows[i][j] -= factor * rows[column][j];
        }
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            out[i * n + j] = (float)rows[i][n + j];
}

static void run(void *state, void *const *args)
{
    const inverse_state *s = state;
    for (int64_t i = 0; i < s->count; i++)
        invert((const float *)args[0] + i * s->size * s->size, (float *)args[1] + i * s->size * s->size, s->size);
}

dipp_status dipp_cpu_prepare_inverse(dipp_cpu_context *context, const dipp_node_view *node, dipp_kernel *out,
                                     dipp_error *error)
{
    inverse_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_shape *shape = &node->inputs[0].shape;
    s->size = shape->dims[shape->rank - 1];
    s->count = s->size ? dipp_cpu_elements(shape) / (s->size * s->size) : 0;
    out->run = run;
    return DIPP_OK;
}
