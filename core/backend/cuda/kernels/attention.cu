// Attention and its backward by tiles of 64 queries and 64 keys in shared memory, arithmetic in f32, head dims up to 512
// in chunks: for f32, and for heads that attention_units.cu does not serve. Forward: running maximum and sum (Dao et al. 2022, algorithm 1). Backward: dq, dk and dv each by a pass of
// their own that owns the rows it writes, so nothing is added by atomics and the order is fixed.
//
// A block has 256 threads: thread (ty, tx) of 16 x 16 holds rows 4 ty .. 4 ty + 3 and columns tx, tx + 16, tx + 32, ...
// of a tile. The 16 threads of a row are neighbours within a warp.
#include "backend/cuda/kernels/device.cuh"

namespace dipp_cuda
{

constexpr int TILE = 64, CHUNK = 32, PITCH = CHUNK + 1, SIDE = 16, PER = TILE / SIDE;
static_assert(SIDE * SIDE == THREADS, "a tile is shared out over a square of threads");

struct tile_memory {
    union {
        float operands[2][TILE * PITCH]; // rows of two factors, CHUNK columns of them
        float values[TILE * TILE];       // 64 rows of a third, 64 columns of them
    };
    float weights[TILE * (TILE + 1)];
};

// 64 rows times COLUMNS columns from column first of a [.., width] array; zeros outside rows and head_dim.
template <int COLUMNS, int TO_PITCH>
__device__ __forceinline__ void load_tile(float *to, const void *from, int type, int64_t base, int64_t width, int rows,
                                          int first, int head_dim)
{
    for (int i = threadIdx.x; i < TILE * COLUMNS; i += THREADS) {
        int row = i / COLUMNS, column = i % COLUMNS;
        bool inside = row < rows && first + column < head_dim;
        to[row * TO_PITCH + column] = inside ? load_one(from, type, base + row * width + first + column) : 0.0f;
    }
}

// acc[i][j] = row 4 ty + i of x times row tx + 16 j of y.
__device__ __forceinline__ void multiply_rows(float acc[PER][PER], tile_memory &memory, const void *x, int64_t x_base,
                                              int x_rows, const void *y, int64_t y_base, int y_rows,
                                              const dipp_cuda_attention &p, int64_t width)
{
    const int ty = threadIdx.x / SIDE, tx = threadIdx.x % SIDE;
#pragma unroll
    for (int i = 0; i < PER; i++)
#pragma unroll
        for (int j = 0; j < PER; j++)
            acc[i][j] = 0.0f;
    for (int first = 0; first < p.head_dim; first += CHUNK) {
        __syncthreads();
        load_tile<CHUNK, PITCH>(memory.operands[0], x, p.type, x_base, width, x_rows, first, p.head_dim);
        load_tile<CHUNK, PITCH>(memory.operands[1], y, p.type, y_base, width, y_rows, first, p.head_dim);
        __syncthreads();
#pragma unroll 8
        for (int d = 0; d < CHUNK; d++) {
            float a[PER], b[PER];
#pragma unroll
            for (int i = 0; i < PER; i++) {
                a[i] = memory.operands[0][(ty * PER + i) * PITCH + d];
                b[i] = memory.operands[1][(tx + SIDE * i) * PITCH + d];
            }
#pragma unroll
            for (int i = 0; i < PER; i++)
#pragma unroll
                for (int j = 0; j < PER; j++)
                    acc[i][j] = fmaf(a[i], b[j], acc[i][j]);
        }
    }
}

// out[i][j] += sum over c of weights[4 ty + i][c] z[c][tx + 16 j]; OUT columns of 16 cover the head.
template <int OUT>
__device__ __forceinline__ void add_weighted_rows(float out[PER][OUT], tile_memory &memory, const void *z,
                                                  int64_t z_base, int z_rows, const dipp_cuda_attention &p,
                                                  int64_t width)
{
    const int ty = threadIdx.x / SIDE, tx = threadIdx.x % SIDE;
#pragma unroll
    for (int chunk = 0; chunk < OUT; chunk += PER) {
        __syncthreads();
        load_tile<TILE, TILE>(memory.values, z, p.type, z_base, width, z_rows, chunk * SIDE, p.head_dim);
        __syncthreads();
#pragma unroll 4
        for (int c = 0; c < TILE; c++) {
            float weight[PER];
#pragma unroll
            for (int i = 0; i < PER; i++)
                weight[i] = memory.weights[(ty * PER + i) * (TILE + 1) + c];
#pragma unroll
            for (int j = 0; j < PER; j++) {
                if (chunk + j >= OUT)
                    break;
                float value = memory.values[c * TILE + tx + SIDE * j];
#pragma unroll
                for (int i = 0; i < PER; i++)
                    out[i][chunk + j] = fmaf(weight[i], value, out[i][chunk + j]);
            }
        }
    }
}

template <int OUT>
__device__ __forceinline__ void store_rows(const float out[PER][OUT], const float factor[PER], void *to, int64_t base,
                                           int rows, const dipp_cuda_attention &p, int64_t width)
{
    const int ty = threadIdx.x / SIDE, tx = threadIdx.x % SIDE;
#pragma unroll
    for (int i = 0; i < PER; i++) {
        int row = ty * PER + i;
        if (row >= rows)
            continue;
#pragma unroll
        for (int j = 0; j < OUT; j++)
            if (tx + SIDE * j < p.head_dim)
                store_one(to, p.type, base + row * width + tx + SIDE * j, out[i][j] * factor[i]);
    }
}

template <int OUT>
__global__ void __launch_bounds__(THREADS)
    attention_forward(const __grid_constant__ dipp_cuda_attention p, const void *q, const void *k, const void *v,
                      const float *key_bias, void *o, float *logsumexp)
{
    __shared__ tile_memory memory;
    const int ty = threadIdx.x / SIDE, tx = threadIdx.x % SIDE;
    const int tiles = (p.queries + TILE - 1) / TILE;
    const int first_query = (int)(blockIdx.x % tiles) * TILE, pair = (int)(blockIdx.x / tiles);
    const int batch = pair / p.heads, head = pair % p.heads;
    const int rows = min(TILE, p.queries - first_query);
    const int64_t width = (int64_t)p.heads * p.head_dim;
    const int64_t q_base = ((int64_t)batch * p.queries + first_query) * width + (int64_t)head * p.head_dim;
    const int keys = p.causal ? min(p.keys, first_query + TILE) : p.keys;
    float out[PER][OUT] = {}, largest[PER], sum[PER] = {};
#pragma unroll
    for (int i = 0; i < PER; i++)
        largest[i] = -INFINITY;
    for (int first_key = 0; first_key < keys; first_key += TILE) {
        const int columns = min(TILE, p.keys - first_key);
        const int64_t k_base = ((int64_t)batch * p.keys + first_key) * width + (int64_t)head * p.head_dim;
        float logits[PER][PER];
        multiply_rows(logits, memory, q, q_base, rows, k, k_base, columns, p, width);
#pragma unroll
        for (int i = 0; i < PER; i++) {
            const int query = first_query + ty * PER + i;
            float tile_largest = -INFINITY, tile_sum = 0.0f;
#pragma unroll
            for (int j = 0; j < PER; j++) {
                int column = tx + SIDE * j;
                bool visible = column < columns && (!p.causal || first_key + column <= query);
                float bias = key_bias && visible ? key_bias[(int64_t)batch * p.keys + first_key + column] : 0.0f;
                logits[i][j] = visible ? fmaf(logits[i][j], p.scale, bias) : -INFINITY;
                tile_largest = fmaxf(tile_largest, logits[i][j]);
            }
            const float now = fmaxf(largest[i], across_lanes<SIDE>(tile_largest, larger_of_two()));
            const float shrink = now == -INFINITY ? 1.0f : expf(largest[i] - now);
#pragma unroll
            for (int j = 0; j < PER; j++) {
                float weight = logits[i][j] == -INFINITY ? 0.0f : expf(logits[i][j] - now);
                memory.weights[(ty * PER + i) * (TILE + 1) + tx + SIDE * j] = weight;
                tile_sum += weight;
            }
            sum[i] = sum[i] * shrink + across_lanes<SIDE>(tile_sum, add_two());
            largest[i] = now;
#pragma unroll
            for (int j = 0; j < OUT; j++)
                out[i][j] *= shrink;
        }
        add_weighted_rows<OUT>(out, memory, v, k_base, columns, p, width);
    }
    float factor[PER];
#pragma unroll
    for (int i = 0; i < PER; i++) {
        factor[i] = 1.0f / sum[i];
        int row = ty * PER + i;
        if (logsumexp && tx == 0 && row < rows)
            logsumexp[((int64_t)batch * p.heads + head) * p.queries + first_query + row] = largest[i] + logf(sum[i]);
    }
    if (o)
        store_rows<OUT>(out, factor, o, q_base, rows, p, width);
}

// delta [batch][head][query] = do . o: a warp to a number.
__global__ void __launch_bounds__(THREADS)
    attention_delta(const __grid_constant__ dipp_cuda_attention p, const void *o, const void *d_o, float *delta)
{
    int64_t index = blockIdx.x * (int64_t)(THREADS / WARP) + threadIdx.x / WARP;
    if (index >= (int64_t)p.batches * p.heads * p.queries)
        return;
    int64_t query = index % p.queries, pair = index / p.queries, head = pair % p.heads, batch = pair / p.heads;
    int64_t base = ((batch * p.queries + query) * p.heads + head) * p.head_dim;
    float total = 0.0f;
    for (int d = threadIdx.x % WARP; d < p.head_dim; d += WARP)
        total += load_one(o, p.type, base + d) * load_one(d_o, p.type, base + d);
    total = across_lanes<WARP>(total, add_two());
    if (threadIdx.x % WARP == 0)
        delta[index] = total;
}

enum target { TO_QUERY, TO_KEY, TO_VALUE };

// P = exp(logit - logsumexp), dS = P (do . v - delta): dq = scale dS k, dk = scale dS^T q, dv = P^T do. Rows of the tile are
// the rows of the result: queries for dq, keys for dk and dv.
template <int OUT, int TARGET>
__global__ void __launch_bounds__(THREADS)
    attention_gradient(const __grid_constant__ dipp_cuda_attention p, const void *q, const void *k, const void *v,
                       const float *key_bias, const float *logsumexp, const void *d_o, const float *delta, void *to)
{
    __shared__ tile_memory memory;
    const int ty = threadIdx.x / SIDE, tx = threadIdx.x % SIDE;
    const int row_count = TARGET == TO_QUERY ? p.queries : p.keys;
    const int column_count = TARGET == TO_QUERY ? p.keys : p.queries;
    const int tiles = (row_count + TILE - 1) / TILE;
    const int first_row = (int)(blockIdx.x % tiles) * TILE, pair = (int)(blockIdx.x / tiles);
    const int batch = pair / p.heads, head = pair % p.heads;
    const int rows = min(TILE, row_count - first_row);
    const int64_t width = (int64_t)p.heads * p.head_dim;
    const int64_t row_base = ((int64_t)batch * row_count + first_row) * width + (int64_t)head * p.head_dim;
    const void *x = TARGET == TO_QUERY ? q : k, *y = TARGET == TO_QUERY ? k : q;
    const void *dx = TARGET == TO_QUERY ? d_o : v, *dy = TARGET == TO_QUERY ? v : d_o;
    const void *z = TARGET == TO_QUERY ? k : TARGET == TO_KEY ? q : d_o;
    const int begin = TARGET != TO_QUERY && p.causal ? first_row : 0;
    const int end = TARGET == TO_QUERY && p.causal ? min(column_count, first_row + TILE) : column_count;
    float out[PER][OUT] = {};
    for (int first_column = begin; first_column < end; first_column += TILE) {
        const int columns = min(TILE, column_count - first_column);
        const int64_t column_base = ((int64_t)batch * column_count + first_column) * width + (int64_t)head * p.head_dim;
        float logits[PER][PER], slopes[PER][PER] = {};
        multiply_rows(logits, memory, x, row_base, rows, y, column_base, columns, p, width);
        if (TARGET != TO_VALUE)
            multiply_rows(slopes, memory, dx, row_base, rows, dy, column_base, columns, p, width);
#pragma unroll
        for (int i = 0; i < PER; i++)
#pragma unroll
            for (int j = 0; j < PER; j++) {
                const int row = ty * PER + i, column = tx + SIDE * j;
                const int query = TARGET == TO_QUERY ? first_row + row : first_column + column;
                const int key = TARGET == TO_QUERY ? first_column + column : first_row + row;
                float weight = 0.0f;
                if (row < rows && column < columns && (!p.causal || key <= query)) {
                    const int64_t at = ((int64_t)batch * p.heads + head) * p.queries + query;
                    float bias = key_bias ? key_bias[(int64_t)batch * p.keys + key] : 0.0f;
                    weight = expf(fmaf(logits[i][j], p.scale, bias) - logsumexp[at]);
                    if (TARGET != TO_VALUE)
                        weight *= slopes[i][j] - delta[at];
                }
                memory.weights[row * (TILE + 1) + column] = weight;
            }
        add_weighted_rows<OUT>(out, memory, z, column_base, columns, p, width);
    }
    float factor[PER];
#pragma unroll
    for (int i = 0; i < PER; i++)
        factor[i] = TARGET == TO_VALUE ? 1.0f : p.scale;
    store_rows<OUT>(out, factor, to, row_base, rows, p, width);
}

struct pointers {
    const void *q, *k, *v;
    const float *key_bias;
    const void *o;
    const float *logsumexp;
    const void *d_o;
    void *dq, *dk, *dv;
    float *delta;
};

static uint32_t tile_blocks(const dipp_cuda_attention *p, int64_t rows)
{
    return (uint32_t)((rows + TILE - 1) / TILE * p->batches * p->heads);
}

template <int OUT> static cudaError_t launch_gradients(cudaStream_t stream, const dipp_cuda_attention *p, pointers a)
{
    cudaError_t result = cudaSuccess;
    if (a.dq) {
        run(attention_gradient<OUT, TO_QUERY>, tile_blocks(p, p->queries), THREADS, stream, *p, a.q, a.k, a.v,
            a.key_bias, a.logsumexp, a.d_o, a.delta, a.dq);
        result = cudaGetLastError();
    }
    if (a.dk && result == cudaSuccess) {
        run(attention_gradient<OUT, TO_KEY>, tile_blocks(p, p->keys), THREADS, stream, *p, a.q, a.k, a.v, a.key_bias,
            a.logsumexp, a.d_o, a.delta, a.dk);
        result = cudaGetLastError();
    }
    if (a.dv && result == cudaSuccess) {
        run(attention_gradient<OUT, TO_VALUE>, tile_blocks(p, p->keys), THREADS, stream, *p, a.q, a.k, a.v, a.key_bias,
            a.logsumexp, a.d_o, a.delta, a.dv);
        result = cudaGetLastError();
    }
    return result;
}

// f.operator()<OUT>() with the fewest columns of 16 that cover the head.
template <typename F> static cudaError_t with_columns(int head_dim, F f)
{
    if (head_dim <= 32)
        return f.template operator()<2>();
    if (head_dim <= 64)
        return f.template operator()<4>();
    if (head_dim <= 80)
        return f.template operator()<5>();
    if (head_dim <= 128)
        return f.template operator()<8>();
    if (head_dim <= 160)
        return f.template operator()<10>();
    return f.template operator()<32>();
}

struct forward_launch {
    cudaStream_t stream;
    const dipp_cuda_attention *p;
    const void *q, *k, *v;
    const float *key_bias;
    void *o;
    float *logsumexp;
    template <int OUT> cudaError_t operator()() const
    {
        run(attention_forward<OUT>, tile_blocks(p, p->queries), THREADS, stream, *p, q, k, v, key_bias, o, logsumexp);
        return cudaGetLastError();
    }
};

struct backward_launch {
    cudaStream_t stream;
    const dipp_cuda_attention *p;
    pointers all;
    template <int OUT> cudaError_t operator()() const
    {
        return launch_gradients<OUT>(stream, p, all);
    }
};

// Whether attention_units.cu serves it.
static bool on_matrix_units(const dipp_cuda_attention *p)
{
    return p->type == DIPP_CUDA_BF16 && p->head_dim % 8 == 0 && p->head_dim <= DIPP_CUDA_UNITS_HEAD_DIM;
}

} // namespace dipp_cuda

using namespace dipp_cuda;

cudaError_t dipp_cuda_launch_attention(cudaStream_t stream, const dipp_cuda_attention *p, const void *q, const void *k,
                                       const void *v, const float *key_bias, void *o, float *logsumexp)
{
    if (on_matrix_units(p))
        return dipp_cuda_launch_attention_units(stream, p, q, k, v, key_bias, o, logsumexp);
    return with_columns(p->head_dim, forward_launch{stream, p, q, k, v, key_bias, o, logsumexp});
}

cudaError_t dipp_cuda_launch_attention_backward(cudaStream_t stream, const dipp_cuda_attention *p, const void *q,
                                                const void *k, const void *v, const float *key_bias, const void *o,
                                                const float *logsumexp, const void *d_o, void *dq, void *dk, void *dv,
                                                float *delta)
{
    if (dq || dk) {
        int64_t numbers = (int64_t)p->batches * p->heads * p->queries;
        uint32_t blocks = (uint32_t)((numbers + THREADS / WARP - 1) / (THREADS / WARP));
        run(attention_delta, blocks, THREADS, stream, *p, o, d_o, delta);
        cudaError_t result = cudaGetLastError();
        if (result != cudaSuccess)
            return result;
    }
    if (on_matrix_units(p))
        return dipp_cuda_launch_attention_backward_units(stream, p, q, k, v, key_bias, logsumexp, d_o, dq, dk, dv,
                                                         delta);
    return with_columns(p->head_dim,
                        backward_launch{stream, p, {q, k, v, key_bias, o, logsumexp, d_o, dq, dk, dv, delta}});
}
