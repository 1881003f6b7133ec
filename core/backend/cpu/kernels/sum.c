/* Sums over any set of axes. The order of additions is fixed by the shape alone: parts of fixed size are summed in
 * f32 lanes, their results in double (innermost axis summed) or f32 (innermost axis kept), in order. A summed innermost axis
 * of few numbers has a way of its own, many results at a time. */
#include "backend/cpu/kernels/row.h"

enum { CHUNK = 1024, MOST_PARTS = 64, PART_ROWS = 64, NARROW = 16, ROWS_AT_ONCE = 4 };

typedef struct sum_state {
    int threads;
    dipp_cpu_type type;
    bool inner_summed;
    int kept_rank, summed_rank; /* of the outer dims */
    int64_t kept_dims[DIPP_MAX_RANK], kept_strides[DIPP_MAX_RANK];
    int64_t summed_dims[DIPP_MAX_RANK], summed_strides[DIPP_MAX_RANK];
    int64_t kept, units, parts; /* each kept index sums units, cut into parts */
    int64_t inner, pieces;      /* inner summed: a unit is one of pieces of a row; else a whole row */
    int64_t narrow, slices; /* results that are neighbours in the last kept dim, in how many slices; 0: not narrow */
} sum_state;

static int64_t offset_of(int64_t index, int rank, const int64_t *dims, const int64_t *strides)
{
    int64_t offset = 0;
    if (rank == 1) /* nearly always: nothing to divide */
        return index * strides[0];
    for (int d = rank - 1; d >= 0; d--) {
        offset += index % dims[d] * strides[d];
        index /= dims[d];
    }
    return offset;
}

static float sum_row(const float *x, int64_t n)
{
    float total = 0.0f;
    _Pragma("omp simd reduction(+ : total)") for (int64_t i = 0; i < n; i++) total += x[i];
    return total;
}

/* args: x, out, scratch with the parts. */
static void sum_scalars(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const sum_state *s = state;
    double *partial = args[2];
    float *out = args[1], buffer[CHUNK];
    for (int64_t item = begin; item < end; item++) {
        int64_t kept = item / s->parts, part = item % s->parts;
        int64_t base = offset_of(kept, s->kept_rank, s->kept_dims, s->kept_strides);
        int64_t last = s->units * (part + 1) / s->parts;
        double total = 0.0;
        for (int64_t unit = s->units * part / s->parts; unit < last; unit++) {
            int64_t start = unit % s->pieces * CHUNK, n = s->inner - start < CHUNK ? s->inner - start : CHUNK;
            int64_t row = offset_of(unit / s->pieces, s->summed_rank, s->summed_dims, s->summed_strides);
            total += (double)sum_row(row_load(args[0], s->type, base + row + start, n, buffer), n);
        }
        if (s->parts == 1)
            out[kept] = (float)total;
        else
            partial[item] = total;
    }
}

/* The same where the inner axis is narrow: x is [..., narrow, inner] and a slice of narrow results is summed together. One
 * item is a slice. */
static void sum_narrow(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const sum_state *s = state;
    float *out = args[1], buffer[CHUNK];
    double totals[CHUNK];
    int64_t most = CHUNK / s->inner; /* results of a slice */
    for (int64_t item = begin; item < end; item++) {
        int64_t first = item % s->slices * most, kept = item / s->slices * s->narrow + first;
        int64_t n = s->narrow - first < most ? s->narrow - first : most;
        int64_t base = offset_of(kept, s->kept_rank, s->kept_dims, s->kept_strides);
        for (int64_t i = 0; i < n; i++)
            totals[i] = 0.0;
        for (int64_t unit = 0; unit < s->units; unit++) {
            int64_t row = base + offset_of(unit, s->summed_rank, s->summed_dims, s->summed_strides);
            const float *x = row_load(args[0], s->type, row, n * s->inner, buffer);
            for (int64_t j = 0; j < s->inner; j++)
                for (int64_t i = 0; i < n; i++)
                    totals[i] += (double)x[i * s->inner + j];
        }
        for (int64_t i = 0; i < n; i++)
            out[kept + i] = (float)totals[i];
    }
}

/* to[i] += the numbers of `count` rows, ROWS_AT_ONCE of them in one pass over `to`. */
static void add_rows(const float *const *rows, int count, int64_t n, float *to)
{
    if (count == ROWS_AT_ONCE) {
        const float *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
        SIMD for (int64_t i = 0; i < n; i++) to[i] += (a[i] + b[i]) + (c[i] + d[i]);
        return;
    }
    for (int k = 0; k < count; k++) {
        const float *x = rows[k];
        SIMD for (int64_t i = 0; i < n; i++) to[i] += x[i];
    }
}

static void sum_rows(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const sum_state *s = state;
    float *totals = s->parts == 1 ? args[1] : args[2], buffers[ROWS_AT_ONCE][CHUNK];
    for (int64_t item = begin; item < end; item++) {
        int64_t kept = item / s->parts, part = item % s->parts;
        int64_t base = offset_of(kept, s->kept_rank, s->kept_dims, s->kept_strides);
        int64_t last = s->units * (part + 1) / s->parts;
        float *total = totals + item * s->inner;
        memset(total, 0, (size_t)s->inner * sizeof *total);
        for (int64_t unit = s->units * part / s->parts; unit < last; unit += ROWS_AT_ONCE) {
            int count = last - unit < ROWS_AT_ONCE ? (int)(last - unit) : ROWS_AT_ONCE;
            int64_t offsets[ROWS_AT_ONCE];
            for (int k = 0; k < count; k++)
                offsets[k] = base + offset_of(unit + k, s->summed_rank, s->summed_dims, s->summed_strides);
            for (int64_t start = 0; start < s->inner; start += CHUNK) {
                int64_t n = s->inner - start < CHUNK ? s->inner - start : CHUNK;
                const float *rows[ROWS_AT_ONCE];
                for (int k = 0; k < count; k++)
                    rows[k] = row_load(args[0], s->type, offsets[k] + start, n, buffers[k]);
                add_rows(rows, count, n, total + start);
            }
        }
    }
}

static void run(void *state, void *const *args)
{
    const sum_state *s = state;
    if (s->narrow) {
        dipp_cpu_parallel(s->threads, s->kept / s->narrow * s->slices, s->kept * s->units * s->inner, sum_narrow, s,
                          args);
        return;
    }
    int64_t elements =
        s->inner_summed ? s->kept * s->units * (s->inner < CHUNK ? s->inner : CHUNK) : s->kept * s->units * s->inner;
    dipp_cpu_parallel(s->threads, s->kept * s->parts, elements, s->inner_summed ? sum_scalars : sum_rows, s, args);
    if (s->parts == 1)
        return;
    float *out = args[1];
    for (int64_t kept = 0; kept < s->kept; kept++) {
        if (s->inner_summed) {
            const double *partial = (const double *)args[2] + kept * s->parts;
            double total = 0.0;
            for (int64_t part = 0; part < s->parts; part++)
                total += partial[part];
            out[kept] = (float)total;
            continue;
        }
        const float *partial = (const float *)args[2] + kept * s->parts * s->inner;
        float *to = out + kept * s->inner;
        memcpy(to, partial, (size_t)s->inner * sizeof *to);
        for (int64_t part = 1; part < s->parts; part++)
            SIMD for (int64_t i = 0; i < s->inner; i++) to[i] += partial[part * s->inner + i];
    }
}

dipp_cpu_prepare DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_sum) DIPP_CPU_HIDDEN;

dipp_status DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_sum)(dipp_cpu_context *context, const dipp_node_view *node,
                                                    dipp_kernel *out, dipp_error *error)
{
    sum_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_shape *shape = &node->inputs[0].shape;
    s->threads = context->threads;
    s->type = dipp_cpu_type_of(context, node->inputs[0].dtype);
    /* Merge neighbours of the same kind, outermost first, leaving out dims of size 1. */
    int64_t dims[DIPP_MAX_RANK + 1] = {1};
    bool summed[DIPP_MAX_RANK + 1] = {false};
    int count = 0;
    for (uint32_t d = 0; d < shape->rank; d++) {
        bool sum = node->attributes->axes_mask >> d & 1u;
        if (shape->dims[d] == 1)
            continue;
        if (count && summed[count - 1] == sum)
            dims[count - 1] *= shape->dims[d];
        else
            dims[count] = shape->dims[d], summed[count++] = sum;
    }
    if (!count)
        count = 1;
    s->inner_summed = summed[count - 1];
    s->inner = dims[count - 1];
    s->kept = 1;
    int64_t stride = s->inner, summed_rows = 1;
    for (int d = count - 2; d >= 0; d--) {
        if (summed[d])
            summed_rows *= dims[d];
        else
            s->kept *= dims[d];
    }
    for (int d = 0; d + 1 < count; d++)
        (void)(summed[d] ? (s->summed_dims[s->summed_rank++] = dims[d]) : (s->kept_dims[s->kept_rank++] = dims[d]));
    for (int d = count - 2, kept = s->kept_rank, sums = s->summed_rank; d >= 0; stride *= dims[d--])
        (void)(summed[d] ? (s->summed_strides[--sums] = stride) : (s->kept_strides[--kept] = stride));
    s->pieces = s->inner_summed && s->inner ? (s->inner + CHUNK - 1) / CHUNK : 1;
    s->units = summed_rows * s->pieces;
    /* Enough parts for any number of threads, not more than the result is worth. */
    int64_t wanted = s->kept >= MOST_PARTS ? 1 : MOST_PARTS / s->kept;
    int64_t possible = s->inner_summed ? s->units : s->units / PART_ROWS;
    s->parts = possible < wanted ? possible : wanted;
    if (s->parts < 1)
        s->parts = 1;
    if (s->parts == 1 && s->inner_summed && s->inner > 0 && s->inner <= NARROW && s->kept_rank) {
        s->narrow = s->kept_dims[s->kept_rank - 1];
        s->slices = (s->narrow + CHUNK / s->inner - 1) / (CHUNK / s->inner);
    }
    if (s->parts > 1)
        out->scratch_bytes = dipp_cpu_round_up((size_t)(s->kept * s->parts) *
                                               (s->inner_summed ? sizeof(double) : (size_t)s->inner * sizeof(float)));
    out->run = run;
    return DIPP_OK;
}
