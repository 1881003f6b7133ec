/* C (+)= A B for the small f32 matrices of attention, held in the first cache levels. Rows of B and C are padded to
 * whole vectors; A may be walked in either direction. */
#ifndef DIPP_BACKEND_CPU_SMALL_GEMM_H
#define DIPP_BACKEND_CPU_SMALL_GEMM_H

#include "backend/cpu/kernels/row.h"

#if defined(__AVX512F__)
enum { VECTOR = 16, ROWS = 8 };
#elif defined(__AVX2__)
enum { VECTOR = 8, ROWS = 4 };
#else
enum { VECTOR = 4, ROWS = 4 };
#endif

typedef float vector __attribute__((vector_size(VECTOR * sizeof(float)), aligned(4), may_alias));

static inline int64_t padded(int64_t n)
{
    return (n + VECTOR - 1) / VECTOR * VECTOR;
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

static void multiply_small(small_gemm g, const float *a, const float *b, float *c)
{
    for (int64_t j = 0; j < g.n;) {
        int vectors = g.n - j >= 2 * VECTOR ? 2 : 1;
        int64_t i = 0;
        for (; i + ROWS <= g.m; i += ROWS) {
            if (vectors == 2)
                gemm_tile(&g, ROWS, 2, a + i * g.a_row, b + j, c + i * g.c_row + j);
            else
                gemm_tile(&g, ROWS, 1, a + i * g.a_row, b + j, c + i * g.c_row + j);
        }
        for (; i < g.m; i++) {
            if (vectors == 2)
                gemm_tile(&g, 1, 2, a + i * g.a_row, b + j, c + i * g.c_row + j);
            else
                gemm_tile(&g, 1, 1, a + i * g.a_row, b + j, c + i * g.c_row + j);
        }
        j += vectors * VECTOR;
    }
}

#endif
