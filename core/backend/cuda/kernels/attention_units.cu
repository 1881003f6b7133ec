// Attention and its backward on the matrix units: bf16 operands, head dims that are multiples of 8 up to 160. The same
// formulas and the same division of work as attention.cu: whoever computes a row of a result computes all of it, so nothing
// is added by atomics. Weights and their slopes are rounded to bf16 before they are multiplied again.
//
// A block has four warps, and a warp 16 rows (or twice 16) in registers; the columns that a row meets pass by in shared
// memory, a tile of them ahead. A head is padded with zeros to DIM, a multiple of 16. Logarithms and exponentials are to
// base 2, so a logit's factor is scale / ln 2.
#include "backend/cuda/kernels/matrix_units.cuh"

namespace dipp_cuda
{

constexpr int WARPS = 4, UNIT_THREADS = WARPS * WARP, STEP = 16; // STEP: rows, and depth, of one product
constexpr float PER_LN2 = 1.4426950408889634f, LN2 = 0.6931471805599453f;

// Where one head of one sample is in a [batch, tokens, width] array.
struct head_of {
    const uint16_t *at; // its first token
    int64_t width;
    int tokens, dim;
};

__device__ __forceinline__ head_of head_in(const void *array, const dipp_cuda_attention &p, int tokens, int batch,
                                           int head)
{
    const int64_t width = (int64_t)p.heads * p.head_dim;
    return {static_cast<const uint16_t *>(array) + (int64_t)batch * tokens * width + (int64_t)head * p.head_dim, width,
            tokens, p.head_dim};
}

// Rows first .. first + 15 as the left operands of DIM / 16 products; zeros outside.
template <int DIM> __device__ __forceinline__ void load_rows(uint32_t a[DIM / STEP][4], const head_of &x, int first)
{
    const int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int c = 0; c < DIM / STEP; c++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = first + g + 8 * (i % 2), column = STEP * c + 8 * (i / 2) + 2 * t;
            a[c][i] = row < x.tokens && column < x.dim
                          ? *reinterpret_cast<const uint32_t *>(x.at + row * x.width + column)
                          : 0;
        }
}

// Starts copying tokens first .. first + ROWS - 1 to rows of DIM + 8 numbers; zeros outside. The eight more keep the rows of a
// matrix in different banks.
template <int DIM, int ROWS> __device__ __forceinline__ void start_tile(uint16_t *to, const head_of &y, int first)
{
    constexpr int PIECES = DIM / 8;
    for (int i = threadIdx.x; i < ROWS * PIECES; i += UNIT_THREADS) {
        const int row = i / PIECES, column = 8 * (i % PIECES);
        const bool there = first + row < y.tokens && column < y.dim;
        start_copy(to + row * (DIM + 8) + column, there ? y.at + (first + row) * y.width + column : y.at, there);
    }
}

// Every part of d [16 x COLUMNS] = its 16 rows a times the COLUMNS rows of a tile: each with each. What is loaded of the tile
// serves all parts.
template <int DIM, int COLUMNS, int PARTS>
__device__ __forceinline__ void multiply_with_rows(float d[PARTS][COLUMNS / 8][4],
                                                   const uint32_t a[PARTS][DIM / STEP][4], const uint16_t *tile)
{
    const int lane = threadIdx.x % WARP;
    const uint16_t *row = tile + (lane % 8 + 8 * (lane / 16)) * (DIM + 8) + 8 * (lane / 8 % 2);
#pragma unroll
    for (int m = 0; m < PARTS; m++)
#pragma unroll
        for (int j = 0; j < COLUMNS / 8; j++)
            d[m][j][0] = d[m][j][1] = d[m][j][2] = d[m][j][3] = 0.0f;
#pragma unroll
    for (int c = 0; c < DIM / STEP; c++)
#pragma unroll
        for (int j = 0; j < COLUMNS / 8; j += 2) {
            uint32_t b[4];
            load_matrices(b, row + 8 * j * (DIM + 8) + STEP * c);
#pragma unroll
            for (int m = 0; m < PARTS; m++) {
                multiply_add(d[m][j], a[m][c], b[0], b[1]);
                multiply_add(d[m][j + 1], a[m][c], b[2], b[3]);
            }
        }
}

// Every part of d [16 x DIM] += its weights w [16 x ROWS] times the ROWS rows of a tile.
template <int DIM, int ROWS, int PARTS>
__device__ __forceinline__ void add_rows(float d[PARTS][DIM / 8][4], const float w[PARTS][ROWS / 8][4],
                                         const uint16_t *tile)
{
    const int lane = threadIdx.x % WARP;
    const uint16_t *row = tile + lane % 16 * (DIM + 8) + 8 * (lane / 16);
#pragma unroll
    for (int c = 0; c < ROWS / STEP; c++) {
        uint32_t a[PARTS][4];
#pragma unroll
        for (int m = 0; m < PARTS; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) { // what a product leaves in its lanes is what the next one wants there
                const float *pair = &w[m][2 * c + i / 2][2 * (i % 2)];
                a[m][i] = bf16_pair_of(pair[0], pair[1]);
            }
#pragma unroll
        for (int j = 0; j < DIM / 8; j += 2) {
            uint32_t b[4];
            load_turned_matrices(b, row + STEP * c * (DIM + 8) + 8 * j);
#pragma unroll
            for (int m = 0; m < PARTS; m++) {
                multiply_add(d[m][j], a[m], b[0], b[1]);
                multiply_add(d[m][j + 1], a[m], b[2], b[3]);
            }
        }
    }
}

// Rows first + g and first + g + 8 times their factors.
template <int DIM>
__device__ __forceinline__ void store_rows(const float d[DIM / 8][4], const float factor[2], void *to,
                                           const dipp_cuda_attention &p, int tokens, int batch, int head, int first)
{
    const head_of x = head_in(to, p, tokens, batch, head);
    const int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int row = first + g + 8 * half;
        if (row >= tokens)
            continue;
        uint16_t *out = const_cast<uint16_t *>(x.at) + row * x.width;
#pragma unroll
        for (int j = 0; j < DIM / 8; j++)
            if (8 * j < x.dim)
                *reinterpret_cast<uint32_t *>(out + 8 * j + 2 * t) =
                    bf16_pair_of(d[j][2 * half] * factor[half], d[j][2 * half + 1] * factor[half]);
    }
}

// What is added to the logits of a key, to base 2: nothing that is beyond the last key has any weight.
__device__ __forceinline__ float bias_of(const float *key_bias, const dipp_cuda_attention &p, int batch, int key)
{
    if (key >= p.keys)
        return -INFINITY;
    return key_bias ? key_bias[(int64_t)batch * p.keys + key] * PER_LN2 : 0.0f;
}

// PARTS times 16 queries a warp, COLUMNS keys a tile.
template <int DIM, int PARTS, int COLUMNS>
__global__ void __launch_bounds__(UNIT_THREADS)
    attention_forward_units(const __grid_constant__ dipp_cuda_attention p, const void *q, const void *k, const void *v,
                            const float *key_bias, void *o, float *logsumexp)
{
    constexpr int TILE_NUMBERS = COLUMNS * (DIM + 8), ROWS = WARPS * PARTS * STEP;
    __shared__ uint4 memory[2][2][TILE_NUMBERS / 8]; // of a tile and the next: keys, values
    __shared__ float biases[2][COLUMNS];
    const int tiles = (p.queries + ROWS - 1) / ROWS;
    const int block_row = (int)(blockIdx.x % tiles) * ROWS, pair = (int)(blockIdx.x / tiles);
    const int batch = pair / p.heads, head = pair % p.heads, lane = threadIdx.x % WARP, t = lane % 4;
    const int first = block_row + (int)threadIdx.x / WARP * PARTS * STEP; // of the warp
    const head_of queries = head_in(q, p, p.queries, batch, head), keys = head_in(k, p, p.keys, batch, head),
                  values = head_in(v, p, p.keys, batch, head);
    const int end = p.causal ? min(p.keys, block_row + ROWS) : p.keys, steps = (end + COLUMNS - 1) / COLUMNS;
    const float factor = p.scale * PER_LN2;
    auto start = [&](int step) {
        start_tile<DIM, COLUMNS>(reinterpret_cast<uint16_t *>(memory[step % 2][0]), keys, step * COLUMNS);
        start_tile<DIM, COLUMNS>(reinterpret_cast<uint16_t *>(memory[step % 2][1]), values, step * COLUMNS);
        end_copies();
        if (threadIdx.x < COLUMNS)
            biases[step % 2][threadIdx.x] = bias_of(key_bias, p, batch, step * COLUMNS + (int)threadIdx.x);
    };

    uint32_t a[PARTS][DIM / STEP][4];
    float out[PARTS][DIM / 8][4] = {}, largest[PARTS][2], sum[PARTS][2] = {};
#pragma unroll
    for (int m = 0; m < PARTS; m++) {
        load_rows<DIM>(a[m], queries, first + m * STEP);
        largest[m][0] = largest[m][1] = -INFINITY;
    }
    start(0);
    for (int step = 0; step < steps; step++) {
        if (step + 1 < steps) {
            start(step + 1);
            await_copies<1>();
        } else {
            await_copies<0>();
        }
        __syncthreads();
        const uint16_t *key_tile = reinterpret_cast<const uint16_t *>(memory[step % 2][0]);
        const uint16_t *value_tile = reinterpret_cast<const uint16_t *>(memory[step % 2][1]);
        const float *bias = biases[step % 2];
        float w[PARTS][COLUMNS / 8][4];
        multiply_with_rows<DIM, COLUMNS, PARTS>(w, a, key_tile);
#pragma unroll
        for (int m = 0; m < PARTS; m++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int query = first + m * STEP + lane / 4 + 8 * half;
                float tile_largest = -INFINITY, tile_sum = 0.0f;
#pragma unroll
                for (int j = 0; j < COLUMNS / 8; j++)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; i++) {
                        const int column = 8 * j + 2 * t + i % 2;
                        float logit = fmaf(w[m][j][i], factor, bias[column]);
                        if (p.causal && step * COLUMNS + column > query)
                            logit = -INFINITY;
                        w[m][j][i] = logit;
                        tile_largest = fmaxf(tile_largest, logit);
                    }
                const float now = fmaxf(largest[m][half], across_lanes<4>(tile_largest, larger_of_two()));
                const float from = now == -INFINITY ? 0.0f : now; // nothing seen so far: all weights are 0
                const float shrink = power_of_two(largest[m][half] - from);
#pragma unroll
                for (int j = 0; j < COLUMNS / 8; j++)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; i++) {
                        w[m][j][i] = power_of_two(w[m][j][i] - from);
                        tile_sum += w[m][j][i];
                    }
                sum[m][half] = sum[m][half] * shrink + tile_sum; // of this lane's columns
                largest[m][half] = now;
#pragma unroll
                for (int j = 0; j < DIM / 8; j++)
                    out[m][j][2 * half] *= shrink, out[m][j][2 * half + 1] *= shrink;
            }
        add_rows<DIM, COLUMNS, PARTS>(out, w, value_tile);
        __syncthreads(); // before the next but one is copied over it
    }
#pragma unroll
    for (int m = 0; m < PARTS; m++) {
        float over[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float all = across_lanes<4>(sum[m][half], add_two());
            const int query = first + m * STEP + lane / 4 + 8 * half;
            over[half] = 1.0f / all;
            if (logsumexp && t == 0 && query < p.queries)
                logsumexp[((int64_t)batch * p.heads + head) * p.queries + query] =
                    fmaf(largest[m][half], LN2, logf(all));
        }
        if (o)
            store_rows<DIM>(out[m], over, o, p, p.queries, batch, head, first + m * STEP);
    }
}

enum { SLOPES = 1, WEIGHTS = 2 }; // what is multiplied again

// With P = exp(logit - logsumexp) and dS = P (do . v - delta): dq = scale dS k, dk = scale dS^T q, dv = P^T do. Rows of the
// tile are the rows of the result: keys for dk and dv (KEYS), queries for dq. x and dx are of rows, y and dy of columns:
// SLOPES gives scale dS y (of keys, transposed), WEIGHTS P dy.
template <int DIM, int COLUMNS, bool KEYS, int WHAT>
__global__ void __launch_bounds__(UNIT_THREADS)
    attention_backward_units(const __grid_constant__ dipp_cuda_attention p, const void *x, const void *dx,
                             const void *y, const void *dy, const float *key_bias, const float *logsumexp,
                             const float *delta, void *from_slopes, void *from_weights)
{
    constexpr int TILE_NUMBERS = COLUMNS * (DIM + 8), ROWS = WARPS * STEP;
    __shared__ uint4 memory[2][2][TILE_NUMBERS / 8]; // of a tile and the next: y, dy
    __shared__ float shifts[2][COLUMNS], deltas[2][COLUMNS];
    const int row_count = KEYS ? p.keys : p.queries, column_count = KEYS ? p.queries : p.keys;
    const int tiles = (row_count + ROWS - 1) / ROWS;
    const int block_row = (int)(blockIdx.x % tiles) * ROWS, pair = (int)(blockIdx.x / tiles);
    const int batch = pair / p.heads, head = pair % p.heads, lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    const int first = block_row + (int)threadIdx.x / WARP * STEP;
    const int64_t queries_before = ((int64_t)batch * p.heads + head) * p.queries;
    const head_of columns = head_in(y, p, column_count, batch, head),
                  slopes = head_in(dy, p, column_count, batch, head);
    const int begin = KEYS && p.causal ? block_row / COLUMNS : 0;
    const int end = !KEYS && p.causal ? min(column_count, block_row + ROWS) : column_count;
    const int steps = (end + COLUMNS - 1) / COLUMNS;
    const float factor = p.scale * PER_LN2;
    // Added to a logit: bias - logsumexp, of which a row knows one and a column the other.
    auto shift_of = [&](bool is_key, int index) {
        if (is_key)
            return bias_of(key_bias, p, batch, index);
        return index < p.queries ? -logsumexp[queries_before + index] * PER_LN2 : -INFINITY;
    };
    auto delta_of = [&](int query) {
        return (WHAT & SLOPES) && query < p.queries ? delta[queries_before + query] : 0.0f;
    };
    auto start = [&](int step) {
        start_tile<DIM, COLUMNS>(reinterpret_cast<uint16_t *>(memory[step % 2][0]), columns, step * COLUMNS);
        start_tile<DIM, COLUMNS>(reinterpret_cast<uint16_t *>(memory[step % 2][1]), slopes, step * COLUMNS);
        end_copies();
        if (threadIdx.x < COLUMNS) {
            const int column = step * COLUMNS + (int)threadIdx.x;
            shifts[step % 2][threadIdx.x] = shift_of(!KEYS, column);
            deltas[step % 2][threadIdx.x] = KEYS ? delta_of(column) : 0.0f;
        }
    };

    uint32_t a[1][DIM / STEP][4], da[1][DIM / STEP][4];
    float of_slopes[1][DIM / 8][4] = {}, of_weights[1][DIM / 8][4] = {};
    load_rows<DIM>(a[0], head_in(x, p, row_count, batch, head), first);
    if constexpr (WHAT & SLOPES)
        load_rows<DIM>(da[0], head_in(dx, p, row_count, batch, head), first);
    const float row_shift[2] = {shift_of(KEYS, first + g), shift_of(KEYS, first + g + 8)};
    const float row_delta[2] = {KEYS ? 0.0f : delta_of(first + g), KEYS ? 0.0f : delta_of(first + g + 8)};
    if (begin < steps)
        start(begin);
    for (int step = begin; step < steps; step++) {
        if (step + 1 < steps) {
            start(step + 1);
            await_copies<1>();
        } else {
            await_copies<0>();
        }
        __syncthreads();
        const uint16_t *tile = reinterpret_cast<const uint16_t *>(memory[step % 2][0]);
        const uint16_t *slope_tile = reinterpret_cast<const uint16_t *>(memory[step % 2][1]);
        float w[1][COLUMNS / 8][4];
        multiply_with_rows<DIM, COLUMNS, 1>(w, a, tile);
#pragma unroll
        for (int j = 0; j < COLUMNS / 8; j++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int row = first + g + 8 * (i / 2), column = 8 * j + 2 * t + i % 2;
                const int query = KEYS ? step * COLUMNS + column : row, key = KEYS ? row : step * COLUMNS + column;
                const float logit = fmaf(w[0][j][i], factor, row_shift[i / 2] + shifts[step % 2][column]);
                // A weight is at most 1, however coarsely a huge bias was rounded.
                w[0][j][i] = p.causal && key > query ? 0.0f : power_of_two(logit > 0.0f ? 0.0f : logit);
            }
        if constexpr (WHAT & WEIGHTS)
            add_rows<DIM, COLUMNS, 1>(of_weights, w, slope_tile);
        if constexpr (WHAT & SLOPES) {
            float s[1][COLUMNS / 8][4];
            multiply_with_rows<DIM, COLUMNS, 1>(s, da, slope_tile);
#pragma unroll
            for (int j = 0; j < COLUMNS / 8; j++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const float less = KEYS ? deltas[step % 2][8 * j + 2 * t + i % 2] : row_delta[i / 2];
                    w[0][j][i] *= s[0][j][i] - less;
                }
            add_rows<DIM, COLUMNS, 1>(of_slopes, w, tile);
        }
        __syncthreads(); // before the next but one is copied over it
    }
    const float scale[2] = {p.scale, p.scale}, one[2] = {1.0f, 1.0f};
    if constexpr (WHAT & SLOPES)
        store_rows<DIM>(of_slopes[0], scale, from_slopes, p, row_count, batch, head, first);
    if constexpr (WHAT & WEIGHTS)
        store_rows<DIM>(of_weights[0], one, from_weights, p, row_count, batch, head, first);
}

static uint32_t blocks_of(const dipp_cuda_attention *p, int64_t tokens, int64_t rows)
{
    return (uint32_t)((tokens + rows - 1) / rows * p->batches * p->heads);
}

// f.operator()<DIM>() with the smallest DIM that holds a head.
template <typename F> static cudaError_t with_dim(int head_dim, F f)
{
    if (head_dim <= 32)
        return f.template operator()<32>();
    if (head_dim <= 48)
        return f.template operator()<48>();
    if (head_dim <= 64)
        return f.template operator()<64>();
    if (head_dim <= 80)
        return f.template operator()<80>();
    if (head_dim <= 96)
        return f.template operator()<96>();
    if (head_dim <= 128)
        return f.template operator()<128>();
    return f.template operator()<160>();
}

struct forward_units {
    cudaStream_t stream;
    const dipp_cuda_attention *p;
    const void *q, *k, *v;
    const float *key_bias;
    void *o;
    float *logsumexp;
    template <int DIM> cudaError_t operator()() const
    {
        // As many rows and columns as registers hold; two tiles of keys and values fit 48 KiB.
        constexpr int PARTS = DIM <= 80 ? 2 : 1, COLUMNS = DIM <= 48 ? 64 : 32;
        run(attention_forward_units<DIM, PARTS, COLUMNS>, blocks_of(p, p->queries, WARPS * PARTS * STEP), UNIT_THREADS,
            stream, *p, q, k, v, key_bias, o, logsumexp);
        return cudaGetLastError();
    }
};

struct backward_units {
    cudaStream_t stream;
    const dipp_cuda_attention *p;
    const void *q, *k, *v;
    const float *key_bias, *logsumexp;
    const void *d_o;
    void *dq, *dk, *dv;
    const float *delta;
    template <int DIM, int COLUMNS, int WHAT> void to_keys() const
    {
        run(attention_backward_units<DIM, COLUMNS, true, WHAT>, blocks_of(p, p->keys, WARPS * STEP), UNIT_THREADS,
            stream, *p, k, v, q, d_o, key_bias, logsumexp, delta, dk, dv);
    }
    template <int DIM> cudaError_t operator()() const
    {
        constexpr int COLUMNS = 32;
        cudaError_t result = cudaSuccess;
        if (dq) {
            run(attention_backward_units<DIM, COLUMNS, false, SLOPES>, blocks_of(p, p->queries, WARPS * STEP),
                UNIT_THREADS, stream, *p, q, d_o, k, v, key_bias, logsumexp, delta, dq, (void *)nullptr);
            result = cudaGetLastError();
        }
        if (result != cudaSuccess || !(dk || dv))
            return result;
        if (DIM <= 96 && dk && dv) { // wider heads leave no registers for both
            to_keys<DIM, COLUMNS, DIM <= 96 ? SLOPES | WEIGHTS : SLOPES>();
            return cudaGetLastError();
        }
        if (dk) {
            to_keys<DIM, COLUMNS, SLOPES>();
            result = cudaGetLastError();
        }
        if (dv && result == cudaSuccess) {
            to_keys<DIM, COLUMNS, WEIGHTS>();
            result = cudaGetLastError();
        }
        return result;
    }
};

} // namespace dipp_cuda

using namespace dipp_cuda;

cudaError_t dipp_cuda_launch_attention_units(cudaStream_t stream, const dipp_cuda_attention *p, const void *q,
                                             const void *k, const void *v, const float *key_bias, void *o,
                                             float *logsumexp)
{
    return with_dim(p->head_dim, forward_units{stream, p, q, k, v, key_bias, o, logsumexp});
}

cudaError_t dipp_cuda_launch_attention_backward_units(cudaStream_t stream, const dipp_cuda_attention *p, const void *q,
                                                      const void *k, const void *v, const float *key_bias,
                                                      const float *logsumexp, const void *d_o, void *dq, void *dk,
                                                      void *dv, const float *delta)
{
    return with_dim(p->head_dim, backward_units{stream, p, q, k, v, key_bias, logsumexp, d_o, dq, dk, dv, delta});
}
