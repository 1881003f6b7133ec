// Layer norm and gated residual, forward and backward. Statistics and sums in f32: a mean, then the mean square distance
// from it, so that rows far from zero lose nothing. Sums over rows for gains, biases and gates go as in reduce.cu.
#include "backend/cuda/kernels/device.cuh"

namespace dipp_cuda
{

template <int PER>
__global__ void __launch_bounds__(THREADS) norm_forward(const __grid_constant__ dipp_cuda_norm p, const void *x,
                                                        const void *gain, const void *bias, void *y, float *stats)
{
    int64_t row = blockIdx.x * (int64_t)(THREADS / PER) + threadIdx.x / PER;
    if (row >= p.rows)
        return;
    const bool wide = p.width % GROUP == 0;
    const int64_t base = row * p.width, first = (int64_t)(threadIdx.x % PER) * GROUP;
    float v[GROUP], total = 0.0f;
    for (int64_t i = first; i < p.width; i += PER * GROUP) {
        int n = p.width - i < GROUP ? (int)(p.width - i) : GROUP;
        load_group(x, p.x_type, base + i, n, wide, v);
        total += (v[0] + v[1]) + (v[2] + v[3]);
    }
    const float mean = across_row<PER>(total, add_two()) / (float)p.width;
    total = 0.0f;
    for (int64_t i = first; i < p.width; i += PER * GROUP) {
        int n = p.width - i < GROUP ? (int)(p.width - i) : GROUP;
        load_group(x, p.x_type, base + i, n, wide, v);
        for (int k = 0; k < GROUP; k++)
            total += k < n ? (v[k] - mean) * (v[k] - mean) : 0.0f;
    }
    const float variance = across_row<PER>(total, add_two()) / (float)p.width;
    const float r = 1.0f / sqrtf(variance + p.epsilon);
    if (stats && threadIdx.x % PER == 0) {
        stats[2 * row] = mean;
        stats[2 * row + 1] = r;
    }
    if (!y)
        return;
    const int64_t modulation = row / p.shared * p.width;
    for (int64_t i = first; i < p.width; i += PER * GROUP) {
        int n = p.width - i < GROUP ? (int)(p.width - i) : GROUP;
        float factor[GROUP], shift[GROUP] = {};
        load_group(x, p.x_type, base + i, n, wide, v);
        if (gain)
            load_group(gain, p.gain_type, modulation + i, n, wide, factor);
        if (bias)
            load_group(bias, p.gain_type, modulation + i, n, wide, shift);
        for (int k = 0; k < GROUP; k++) {
            float scale = gain ? factor[k] + (p.plus_one ? 1.0f : 0.0f) : 1.0f;
            v[k] = (v[k] - mean) * r * scale + shift[k];
        }
        store_group(y, p.y_type, base + i, n, wide, v);
    }
}

// With n = (x - mean) r and h = dy gain: dx = r (h - mean(h) - n mean(h n)).
template <int PER>
__global__ void __launch_bounds__(THREADS)
    norm_input_gradient(const __grid_constant__ dipp_cuda_norm p, const void *x, const void *gain, const float *stats,
                        const void *dy, void *dx)
{
    int64_t row = blockIdx.x * (int64_t)(THREADS / PER) + threadIdx.x / PER;
    if (row >= p.rows)
        return;
    const bool wide = p.width % GROUP == 0;
    const int64_t base = row * p.width, first = (int64_t)(threadIdx.x % PER) * GROUP;
    const int64_t modulation = row / p.shared * p.width;
    const float mean = stats[2 * row], r = stats[2 * row + 1], plus = p.plus_one ? 1.0f : 0.0f;
    float v[GROUP], h[GROUP], factor[GROUP] = {}, sum_h = 0.0f, sum_hn = 0.0f;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = first; i < p.width; i += PER * GROUP) {
            int n = p.width - i < GROUP ? (int)(p.width - i) : GROUP;
            load_group(x, p.x_type, base + i, n, wide, v);
            load_group(dy, p.y_type, base + i, n, wide, h);
            if (gain)
                load_group(gain, p.gain_type, modulation + i, n, wide, factor);
            for (int k = 0; k < GROUP; k++) {
                h[k] *= gain ? factor[k] + plus : 1.0f;
                float normalised = (v[k] - mean) * r;
                if (pass == 0) {
                    sum_h += h[k]; // what lies behind the row was loaded as 0
                    sum_hn += h[k] * normalised;
                } else {
                    v[k] = r * (h[k] - sum_h - normalised * sum_hn);
                }
            }
            if (pass == 1)
                store_group(dx, p.x_type, base + i, n, wide, v);
        }
        if (pass == 0) {
            sum_h = across_row<PER>(sum_h, add_two()) / (float)p.width;
            sum_hn = across_row<PER>(sum_hn, add_two()) / (float)p.width;
        }
    }
}

constexpr int LANES = 8;

// Adds a thread's sums over the lanes of its column; valid in lane 0. parts is [LANES][WARP].
__device__ __forceinline__ float across_column(float x, float (*parts)[WARP])
{
    int column = threadIdx.x % WARP, lane = threadIdx.x / WARP;
    __syncthreads();
    parts[lane][column] = x;
    __syncthreads();
    for (int i = 1; lane == 0 && i < LANES; i++)
        x += parts[i][column];
    return x;
}

// Grid (width / 32, splits, groups). The results of a split lie at [group][split][column].
__global__ void __launch_bounds__(THREADS)
    norm_modulation_gradient(const __grid_constant__ dipp_cuda_norm p, const void *x, const float *stats,
                             const void *dy, float *d_gain, float *d_bias)
{
    __shared__ float parts[LANES][WARP];
    const dipp_cuda_columns &c = p.columns;
    int64_t column = blockIdx.x * (int64_t)WARP + threadIdx.x % WARP, group = blockIdx.z;
    int64_t start = blockIdx.y * c.rows_per_split;
    int64_t end = start + c.rows_per_split < c.shared ? start + c.rows_per_split : c.shared;
    float gain_total = 0.0f, bias_total = 0.0f;
    if (column < c.width)
        for (int64_t i = start + threadIdx.x / WARP; i < end; i += LANES) {
            int64_t row = group * c.shared + i;
            float slope = load_one(dy, p.y_type, row * c.width + column);
            float value = load_one(x, p.x_type, row * c.width + column);
            gain_total += slope * ((value - stats[2 * row]) * stats[2 * row + 1]);
            bias_total += slope;
        }
    gain_total = across_column(gain_total, parts);
    bias_total = across_column(bias_total, parts);
    if (threadIdx.x >= WARP || column >= c.width)
        return;
    int64_t at = (group * c.splits + blockIdx.y) * c.width + column;
    if (d_gain)
        d_gain[at] = gain_total;
    if (d_bias)
        d_bias[at] = bias_total;
}

// out [group][column] = sum over splits, in order.
__global__ void __launch_bounds__(THREADS)
    add_splits(const __grid_constant__ dipp_cuda_columns c, const float *part, float *out)
{
    int64_t i = blockIdx.x * (int64_t)THREADS + threadIdx.x;
    if (i >= c.groups * c.width)
        return;
    int64_t group = i / c.width, column = i % c.width;
    float total = 0.0f;
    for (int64_t split = 0; split < c.splits; split++)
        total += part[(group * c.splits + split) * c.width + column];
    out[i] = total;
}

__global__ void __launch_bounds__(THREADS)
    gated_forward(const __grid_constant__ dipp_cuda_gated p, const void *x, const void *gate, const void *h, void *out)
{
    const bool wide = p.width % GROUP == 0;
    const int64_t groups = p.samples * p.tokens * p.groups_per_row.divisor;
    for (int64_t group = blockIdx.x * (int64_t)THREADS + threadIdx.x; group < groups;
         group += (int64_t)gridDim.x * THREADS) {
        uint32_t row = quotient((uint32_t)group, p.groups_per_row);
        int64_t start = (int64_t)((uint32_t)group - row * p.groups_per_row.divisor) * GROUP;
        int n = p.width - start < GROUP ? (int)(p.width - start) : GROUP;
        float a[GROUP], g[GROUP], b[GROUP];
        load_group(x, p.x_type, row * p.width + start, n, wide, a);
        load_group(gate, p.gate_type, row / (uint32_t)p.tokens * p.width + start, n, wide, g);
        load_group(h, p.h_type, row * p.width + start, n, wide, b);
        for (int k = 0; k < GROUP; k++)
            a[k] = fmaf(g[k], b[k], a[k]);
        store_group(out, p.x_type, row * p.width + start, n, wide, a);
    }
}

// Grid (width / 32, splits, samples): dh = gate dy where it is passed by, and the sums of h dy.
__global__ void __launch_bounds__(THREADS) gated_gradient(const __grid_constant__ dipp_cuda_gated p, const void *gate,
                                                          const void *h, const void *dy, void *dh, float *d_gate)
{
    __shared__ float parts[LANES][WARP];
    const dipp_cuda_columns &c = p.columns;
    int64_t column = blockIdx.x * (int64_t)WARP + threadIdx.x % WARP, sample = blockIdx.z;
    int64_t start = blockIdx.y * c.rows_per_split;
    int64_t end = start + c.rows_per_split < c.shared ? start + c.rows_per_split : c.shared;
    float total = 0.0f;
    if (column < c.width) {
        float factor = load_one(gate, p.gate_type, sample * c.width + column);
        for (int64_t i = start + threadIdx.x / WARP; i < end; i += LANES) {
            int64_t at = (sample * c.shared + i) * c.width + column;
            float slope = load_one(dy, p.x_type, at);
            if (dh)
                store_one(dh, p.h_type, at, factor * slope);
            if (d_gate)
                total += load_one(h, p.h_type, at) * slope;
        }
    }
    total = across_column(total, parts);
    if (d_gate && threadIdx.x < WARP && column < c.width)
        d_gate[(sample * c.splits + blockIdx.y) * c.width + column] = total;
}

} // namespace dipp_cuda

using namespace dipp_cuda;

static uint32_t ceil_blocks(int64_t items, int64_t per_block)
{
    return (uint32_t)((items + per_block - 1) / per_block);
}

static dim3 column_grid(const dipp_cuda_columns *c)
{
    return dim3(ceil_blocks(c->width, WARP), (uint32_t)c->splits, (uint32_t)c->groups);
}

static cudaError_t launch_add_splits(cudaStream_t stream, const dipp_cuda_columns *c, const float *part, float *out)
{
    run(add_splits, ceil_blocks(c->groups * c->width, THREADS), THREADS, stream, *c, part, out);
    return cudaGetLastError();
}

cudaError_t dipp_cuda_launch_layer_norm(cudaStream_t stream, const dipp_cuda_norm *p, const void *x, const void *gain,
                                        const void *bias, void *y, float *stats)
{
    if (dipp_cuda_threads_per_row(p->width) == WARP)
        run(norm_forward<WARP>, ceil_blocks(p->rows, THREADS / WARP), THREADS, stream, *p, x, gain, bias, y, stats);
    else
        run(norm_forward<THREADS>, (uint32_t)p->rows, THREADS, stream, *p, x, gain, bias, y, stats);
    return cudaGetLastError();
}

cudaError_t dipp_cuda_launch_layer_norm_backward(cudaStream_t stream, const dipp_cuda_norm *p, const void *x,
                                                 const void *gain, const float *stats, const void *dy, void *dx,
                                                 float *d_gain, float *d_bias, float *scratch)
{
    if (dx && dipp_cuda_threads_per_row(p->width) == WARP)
        run(norm_input_gradient<WARP>, ceil_blocks(p->rows, THREADS / WARP), THREADS, stream, *p, x, gain, stats, dy,
            dx);
    else if (dx)
        run(norm_input_gradient<THREADS>, (uint32_t)p->rows, THREADS, stream, *p, x, gain, stats, dy, dx);
    cudaError_t result = cudaGetLastError();
    if (result != cudaSuccess || !gain || (!d_gain && !d_bias))
        return result;
    const dipp_cuda_columns *c = &p->columns;
    float *gain_to = d_gain, *bias_to = d_bias;
    if (c->splits > 1) {
        gain_to = d_gain ? scratch : NULL;
        bias_to = d_bias ? scratch + c->groups * c->splits * c->width : NULL;
    }
    run(norm_modulation_gradient, column_grid(c), THREADS, stream, *p, x, stats, dy, gain_to, bias_to);
    result = cudaGetLastError();
    if (result == cudaSuccess && c->splits > 1 && d_gain)
        result = launch_add_splits(stream, c, gain_to, d_gain);
    if (result == cudaSuccess && c->splits > 1 && d_bias)
        result = launch_add_splits(stream, c, bias_to, d_bias);
    return result;
}

cudaError_t dipp_cuda_launch_gated_add(cudaStream_t stream, const dipp_cuda_gated *p, const void *x, const void *gate,
                                       const void *h, void *out)
{
    int64_t groups = p->samples * p->tokens * p->groups_per_row.divisor;
    run(gated_forward, dipp_cuda_blocks(groups, THREADS, 16384), THREADS, stream, *p, x, gate, h, out);
    return cudaGetLastError();
}

cudaError_t dipp_cuda_launch_gated_add_backward(cudaStream_t stream, const dipp_cuda_gated *p, const void *gate,
                                                const void *h, const void *dy, void *dh, float *d_gate, float *scratch)
{
    const dipp_cuda_columns *c = &p->columns;
    float *to = c->splits > 1 && d_gate ? scratch : d_gate;
    run(gated_gradient, column_grid(c), THREADS, stream, *p, gate, h, dy, dh, to);
    cudaError_t result = cudaGetLastError();
    if (result == cudaSuccess && c->splits > 1 && d_gate)
        result = launch_add_splits(stream, c, to, d_gate);
    return result;
}
