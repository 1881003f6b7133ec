/* C (+)= A B for the small f32 matrices of attention, held in the first cache levels, and transposition. Rows of B and
 * C are padded to whole vectors; A may be walked in either direction. */
#ifndef DIPP_BACKEND_CPU_SMALL_GEMM_H
#define DIPP_BACKEND_CPU_SMALL_GEMM_H

#include "backend/cpu/kernels/row.h"

#if defined(__AVX512F__)
#define VECTOR 16
#define ROWS   8
#elif defined(__AVX2__)
#define VECTOR 8
#define ROWS   4
#else
#define VECTOR 4
#define ROWS   4
#endif

typedef float vector __attribute__((vector_size(VECTOR * sizeof(float)), aligned(4), may_alias));

/* In floats; the most that is added is VECTOR - 1. */
static inline int64_t padded(int64_t n)
{
    return (n + VECTOR - 1) / VECTOR * VECTOR;
}

#if VECTOR == 16
#define LANES(f, s)                                                                                               \
    f(0, s), f(1, s), f(2, s), f(3, s), f(4, s), f(5, s), f(6, s), f(7, s), f(8, s), f(9, s), f(10, s), f(11, s), \
        f(12, s), f(13, s), f(14, s), f(15, s)
#elif VECTOR == 8
#define LANES(f, s) f(0, s), f(1, s), f(2, s), f(3, s), f(4, s), f(5, s), f(6, s), f(7, s)
#else
#define LANES(f, s) f(0, s), f(1, s), f(2, s), f(3, s)
#endif
#define UPPER(lane, s) ((lane) & (s) ? VECTOR + (lane) - (s) : (lane))
#define LOWER(lane, s) ((lane) & (s) ? VECTOR + (lane) : (lane) + (s))

/* Exchanges the off-diagonal squares of side s in every square of side 2 s. */
#define EXCHANGE(rows, s)                                                   \
    for (int i = 0; i < VECTOR; i++)                                        \
        if (!(i & (s))) {                                                   \
            vector a = rows[i], b = rows[i + (s)];                          \
            rows[i] = __builtin_shufflevector(a, b, LANES(UPPER, s));       \
            rows[i + (s)] = __builtin_shufflevector(a, b, LANES(LOWER, s)); \
        }

/* out[c][r] = in[r][c] of one square of side VECTOR. */
static inline void transpose_square(const float *in, int64_t in_row, float *out, int64_t out_row)
{
    vector rows[VECTOR];
    for (int i = 0; i < VECTOR; i++)
        rows[i] = *(const vector *)(in + i * in_row);
    EXCHANGE(rows, 1)
    EXCHANGE(rows, 2)
#if VECTOR > 4
    EXCHANGE(rows, 4)
#endif
#if VECTOR > 8
    EXCHANGE(rows, 8)
#endif
    for (int i = 0; i < VECTOR; i++)
        *(vector *)(out + i * out_row) = rows[i];
}

typedef struct small_gemm {
    int64_t m, n, k;      /* n is a multiple of VECTOR */
    int64_t a_row, a_col; /* strides of A */
    int64_t b_row, c_row;
    bool add;
} small_gemm;

static inline __attribute__((always_inline)) void gemm_tile(const small_gemm *g, int rows, int vectors, const float *a,
                                                            const float *b, float *c)
{
    vector sum[ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sum[r][v] = g->add ? *(const vector *)(c + r * g->c_row + v * VECTOR) : (vector){0};
    for (int64_t k = 0; k < g->k; k++) {
        for (int r = 0; r < rows; r++) {
            float value = a[r * g->a_row + k * g->a_col];
            for (int v = 0; v < vectors; v++)
                sum[r][v] += value * *(const vector *)(b + k * g->b_row + v * VECTOR);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            *(vector *)(c + r * g->c_row + v * VECTOR) = sum[r][v];
}

/* All rows of C, `vectors` wide: tiles of ROWS, and of 4, 2 and 1 for the rest. A tile of one row waits for its sums. */
static inline __attribute__((always_inline)) void gemm_columns(const small_gemm *g, int vectors, const float *a,
                                                               const float *b, float *c)
{
    int64_t i = 0;
    for (; i + ROWS <= g->m; i += ROWS)
        gemm_tile(g, ROWS, vectors, a + i * g->a_row, b, c + i * g->c_row);
    if (ROWS > 4 && g->m - i >= 4) {
        gemm_tile(g, 4, vectors, a + i * g->a_row, b, c + i * g->c_row);
        i += 4;
    }
    if (g->m - i >= 2) {
        gemm_tile(g, 2, vectors, a + i * g->a_row, b, c + i * g->c_row);
        i += 2;
    }
    if (i < g->m)
        gemm_tile(g, 1, vectors, a + i * g->a_row, b, c + i * g->c_row);
}

static void multiply_small(small_gemm g, const float *a, const float *b, float *c)
{
    int64_t j = 0;
    for (; j + 2 * VECTOR <= g.n; j += 2 * VECTOR)
        gemm_columns(&g, 2, a, b + j, c + j);
    if (j < g.n)
        gemm_columns(&g, 1, a, b + j, c + j);
}

#endif
