/* See geometry.h. */
#include "backend/cuda/geometry.h"

#include <string.h>

enum { SUM_ROW_SPLIT = 4096, SUM_COLUMN_SPLIT = 128, MOST_ROW_SPLITS = 1024, MOST_COLUMN_SPLITS = 256 };

dipp_cuda_divisor dipp_cuda_divisor_of(int64_t divisor)
{
    if (divisor < 1) /* an empty dim: nothing is divided by it */
        divisor = 1;
    uint32_t shift = 0;
    while (((int64_t)1 << shift) < divisor)
        shift++;
    uint64_t multiplier = (((uint64_t)1 << 32) * (((uint64_t)1 << shift) - (uint64_t)divisor)) / (uint64_t)divisor + 1;
    return (dipp_cuda_divisor){(uint32_t)divisor, (uint32_t)multiplier, shift};
}

static int64_t ceil_divide(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

uint32_t dipp_cuda_blocks(int64_t items, int64_t per_block, uint32_t most)
{
    int64_t blocks = ceil_divide(items, per_block);
    return blocks < 1 ? 1 : blocks > most ? most : (uint32_t)blocks;
}

/* Dims with strides per operand, of which neighbours that every operand walks as one are merged. */
typedef struct merged {
    int rank;
    int64_t dims[DIPP_MAX_RANK], strides[DIPP_CUDA_OPERANDS][DIPP_MAX_RANK];
} merged;

static void append_dim(merged *m, int operands, int64_t dim, const int64_t strides[DIPP_CUDA_OPERANDS])
{
    if (dim == 1)
        return;
    bool same = m->rank > 0;
    for (int k = 0; k < operands && same; k++)
        same = m->strides[k][m->rank - 1] == strides[k] * dim;
    if (!same)
        m->dims[m->rank++] = 1;
    m->dims[m->rank - 1] *= dim;
    for (int k = 0; k < operands; k++)
        m->strides[k][m->rank - 1] = strides[k];
}

static void seal_dims(dipp_cuda_dims *out, const merged *m, int rank, int operands)
{
    memset(out, 0, sizeof *out);
    out->rank = rank;
    for (int d = 0; d < rank; d++) {
        out->dims[d] = dipp_cuda_divisor_of(m->dims[d]);
        for (int k = 0; k < operands; k++)
            out->strides[k][d] = m->strides[k][d];
    }
}

bool dipp_cuda_walk_of(dipp_cuda_walk *walk, const dipp_shape *out, const dipp_shape *const *in, int operands)
{
    merged m = {0};
    int64_t strides[DIPP_MAX_RANK][DIPP_CUDA_OPERANDS] = {{0}};
    memset(walk, 0, sizeof *walk);
    walk->operands = operands;
    for (int k = 0; k < operands; k++) {
        int64_t stride = 1;
        for (uint32_t from_right = 0; from_right < in[k]->rank; from_right++) {
            int64_t dim = in[k]->dims[in[k]->rank - 1 - from_right];
            strides[out->rank - 1 - from_right][k] = dim == 1 ? 0 : stride;
            stride *= dim;
        }
    }
    for (uint32_t d = 0; d < out->rank; d++)
        append_dim(&m, operands, out->dims[d], strides[d]);
    walk->inner = 1;
    int64_t rows = 1;
    if (m.rank) {
        m.rank--;
        walk->inner = m.dims[m.rank];
        for (int k = 0; k < operands; k++)
            walk->step[k] = m.strides[k][m.rank] != 0;
    }
    walk->wide = m.rank == 0 || walk->inner % DIPP_CUDA_GROUP == 0;
    for (int d = 0; d < m.rank; d++) {
        rows *= m.dims[d];
        for (int k = 0; k < operands; k++)
            walk->wide = walk->wide && (!walk->step[k] || m.strides[k][d] % DIPP_CUDA_GROUP == 0);
    }
    int64_t groups_per_row = ceil_divide(walk->inner, DIPP_CUDA_GROUP);
    walk->groups = rows * groups_per_row;
    if (walk->groups > INT32_MAX)
        return false;
    walk->groups_per_row = dipp_cuda_divisor_of(groups_per_row ? groups_per_row : 1);
    seal_dims(&walk->outer, &m, m.rank, operands);
    return true;
}

bool dipp_cuda_copy_of(dipp_cuda_copy *copy, int rank, const int64_t *dims, const int64_t *in_strides,
                       const int64_t *out_strides, int64_t in_start, int64_t out_start, int64_t element_bytes)
{
    merged m = {0};
    memset(copy, 0, sizeof *copy);
    for (int d = 0; d < rank; d++)
        append_dim(&m, 2, dims[d], (int64_t[DIPP_CUDA_OPERANDS]){in_strides[d], out_strides[d], 0});
    /* The innermost run, when both sides move by one element in it, is moved in the largest unit that divides
     * everything: its length, the other strides and the starts. */
    bool run = m.rank && m.strides[0][m.rank - 1] == 1 && m.strides[1][m.rank - 1] == 1;
    int64_t per_unit = run ? 16 / element_bytes : 1;
    for (; per_unit > 1; per_unit /= 2) {
        bool fits = m.dims[m.rank - 1] % per_unit == 0 && in_start % per_unit == 0 && out_start % per_unit == 0;
        for (int d = 0; d + 1 < m.rank; d++)
            fits = fits && m.strides[0][d] % per_unit == 0 && m.strides[1][d] % per_unit == 0;
        if (fits)
            break;
    }
    if (run)
        m.dims[m.rank - 1] /= per_unit;
    for (int d = 0; d + 1 < m.rank; d++) {
        m.strides[0][d] /= per_unit;
        m.strides[1][d] /= per_unit;
    }
    copy->units = 1;
    for (int d = 0; d < m.rank; d++)
        copy->units *= m.dims[d];
    if (copy->units > INT32_MAX)
        return false;
    seal_dims(&copy->dims, &m, copy->units ? m.rank : 0, 2);
    copy->in_start = in_start / per_unit;
    copy->out_start = out_start / per_unit;
    copy->unit = (int32_t)(per_unit * element_bytes);
    return true;
}

bool dipp_cuda_permutation_of(dipp_cuda_copy *copy, const dipp_shape *in, const uint8_t *permutation,
                              int64_t element_bytes)
{
    int64_t all[DIPP_MAX_RANK] = {0}, dims[DIPP_MAX_RANK], from[DIPP_MAX_RANK], to[DIPP_MAX_RANK], stride = 1;
    for (uint32_t d = in->rank; d-- > 0; stride *= in->dims[d])
        all[d] = stride;
    stride = 1;
    for (uint32_t d = in->rank; d-- > 0; stride *= dims[d]) {
        dims[d] = in->dims[permutation[d]];
        from[d] = all[permutation[d]];
        to[d] = stride;
    }
    return dipp_cuda_copy_of(copy, (int)in->rank, dims, from, to, 0, 0, element_bytes);
}

bool dipp_cuda_sum_of(dipp_cuda_sum *sum, const dipp_shape *in, uint32_t axes_mask)
{
    merged kept = {0}, reduced = {0};
    int64_t strides[DIPP_MAX_RANK], stride = 1;
    bool inner_reduced = true, inner_known = false;
    memset(sum, 0, sizeof *sum);
    for (uint32_t d = in->rank; d-- > 0; stride *= in->dims[d]) {
        strides[d] = stride;
        if (in->dims[d] != 1 && !inner_known) {
            inner_known = true;
            inner_reduced = axes_mask >> d & 1;
        }
    }
    sum->outputs = sum->terms = 1;
    for (uint32_t d = 0; d < in->rank; d++) {
        bool summed = axes_mask >> d & 1;
        *(summed ? &sum->terms : &sum->outputs) *= in->dims[d];
        append_dim(summed ? &reduced : &kept, 1, in->dims[d], (int64_t[DIPP_CUDA_OPERANDS]){strides[d], 0, 0});
    }
    if (sum->outputs > INT32_MAX || sum->terms > INT32_MAX)
        return false;
    bool empty = !sum->outputs || !sum->terms;
    seal_dims(&sum->kept, &kept, empty ? 0 : kept.rank, 1);
    seal_dims(&sum->reduced, &reduced, empty ? 0 : reduced.rank, 1);
    sum->by_rows = inner_reduced;
    sum->threads_per_output = inner_reduced ? dipp_cuda_threads_per_row(sum->terms) : 1;
    int64_t least = inner_reduced ? SUM_ROW_SPLIT : SUM_COLUMN_SPLIT;
    int64_t most = inner_reduced ? MOST_ROW_SPLITS : MOST_COLUMN_SPLITS;
    sum->terms_per_split = ceil_divide(sum->terms, most);
    if (sum->terms_per_split < least)
        sum->terms_per_split = least;
    sum->splits = empty ? 1 : ceil_divide(sum->terms, sum->terms_per_split);
    return true;
}

dipp_cuda_columns dipp_cuda_columns_of(int64_t groups, int64_t shared, int64_t width)
{
    dipp_cuda_columns c = {.groups = groups, .shared = shared, .width = width};
    c.rows_per_split = ceil_divide(shared, MOST_COLUMN_SPLITS);
    if (c.rows_per_split < SUM_COLUMN_SPLIT)
        c.rows_per_split = SUM_COLUMN_SPLIT;
    c.splits = shared ? ceil_divide(shared, c.rows_per_split) : 1;
    return c;
}

int32_t dipp_cuda_threads_per_row(int64_t width)
{
    return width <= 1024 ? 32 : DIPP_CUDA_THREADS;
}
