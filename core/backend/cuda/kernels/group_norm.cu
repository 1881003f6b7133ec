// Group norm with an optional SiLU, forward and backward: 32 threads, or a block of them, to a group of channels of one
// sample, which is channels x places numbers in one piece. Statistics in f32: a mean, then distances from it and their squares; the mean of
// those distances is what the mean lost by rounding, which counts where the numbers of a group are nearly alike.
#include "backend/cuda/kernels/activation.cuh"

namespace dipp_cuda
{

template <int PER>
__global__ void __launch_bounds__(THREADS)
    group_norm_forward(const __grid_constant__ dipp_cuda_group_norm p, const void *x, const void *gain,
                       const void *bias, void *y, float *stats)
{
    const int64_t block = blockIdx.x * (int64_t)(THREADS / PER) + threadIdx.x / PER;
    if (block >= p.samples * p.groups)
        return;
    const int64_t count = p.channels * p.places, base = block * count, lane = threadIdx.x % PER;
    const int64_t first_channel = block % p.groups * p.channels;
    float total = 0.0f, squares = 0.0f, left = 0.0f;
    for (int64_t i = lane; i < count; i += PER)
        total += load_one(x, p.x_type, base + i);
    const float mean = across_row<PER>(total, add_two()) / (float)count;
    for (int64_t i = lane; i < count; i += PER) {
        float distance = load_one(x, p.x_type, base + i) - mean;
        squares += distance * distance;
        left += distance;
    }
    const float rest = across_row<PER>(left, add_two()) / (float)count;
    const float variance = across_row<PER>(squares, add_two()) / (float)count - rest * rest;
    const float r = 1.0f / sqrtf(variance + p.epsilon);
    if (stats && lane == 0) {
        stats[2 * block] = mean;
        stats[2 * block + 1] = r;
    }
    for (int64_t i = lane; y && i < count; i += PER) {
        int64_t channel = first_channel + quotient((uint32_t)i, p.by_places);
        float factor = gain ? r * load_one(gain, p.gain_type, channel) : r;
        float shift = bias ? load_one(bias, p.gain_type, channel) : 0.0f;
        float u = ((load_one(x, p.x_type, base + i) - mean) - rest) * factor + shift;
        store_one(y, p.y_type, base + i, p.silu ? u * sigmoid_of(u) : u);
    }
}

// One element's part: normalised, and du, the gradient of u = normalised gain + bias.
__device__ __forceinline__ void group_norm_element(const dipp_cuda_group_norm &p, const void *x, const void *dy,
                                                   int64_t at, float mean, float r, float gain, float bias,
                                                   float *normalised, float *du)
{
    *normalised = (load_one(x, p.x_type, at) - mean) * r;
    *du = load_one(dy, p.y_type, at);
    if (p.silu) {
        float u = *normalised * gain + bias;
        *du *= gated_slope(u, u);
    }
}

// With h = du gain: dx = r (h - mean(h) - normalised mean(h normalised)). partial [N, C, 2]: sums of du and du normalised
// over the places of a channel.
template <int PER>
__global__ void __launch_bounds__(THREADS)
    group_norm_gradient(const __grid_constant__ dipp_cuda_group_norm p, const void *x, const void *gain,
                        const void *bias, const float *stats, const void *dy, void *dx, float *partial)
{
    const int64_t block = blockIdx.x * (int64_t)(THREADS / PER) + threadIdx.x / PER;
    if (block >= p.samples * p.groups)
        return;
    const int64_t count = p.channels * p.places, base = block * count, lane = threadIdx.x % PER;
    const int64_t first_channel = block % p.groups * p.channels;
    const float mean = stats[2 * block], r = stats[2 * block + 1];
    float sum_h = 0.0f, sum_hn = 0.0f, normalised, du;
    for (int64_t c = 0; c < p.channels; c++) {
        const float factor = gain ? load_one(gain, p.gain_type, first_channel + c) : 1.0f;
        const float shift = bias ? load_one(bias, p.gain_type, first_channel + c) : 0.0f;
        float total = 0.0f, dot = 0.0f;
        for (int64_t i = lane; i < p.places; i += PER) {
            group_norm_element(p, x, dy, base + c * p.places + i, mean, r, factor, shift, &normalised, &du);
            total += du;
            dot += du * normalised;
        }
        total = across_row<PER>(total, add_two());
        dot = across_row<PER>(dot, add_two());
        if (lane == 0) {
            partial[2 * (block * p.channels + c)] = total;
            partial[2 * (block * p.channels + c) + 1] = dot;
        }
        sum_h += total * factor;
        sum_hn += dot * factor;
    }
    const float mean_h = sum_h / (float)count, mean_hn = sum_hn / (float)count;
    for (int64_t i = lane; dx && i < count; i += PER) {
        int64_t channel = first_channel + quotient((uint32_t)i, p.by_places);
        const float factor = gain ? load_one(gain, p.gain_type, channel) : 1.0f;
        const float shift = bias ? load_one(bias, p.gain_type, channel) : 0.0f;
        group_norm_element(p, x, dy, base + i, mean, r, factor, shift, &normalised, &du);
        // Rounded as the sums were: the difference of equals must be zero.
        float h = __fmul_rn(du, factor);
        store_one(dx, p.x_type, base + i, r * (h - mean_h - normalised * mean_hn));
    }
}

// A thread to a channel; samples in order.
__global__ void __launch_bounds__(THREADS)
    group_norm_add_samples(int64_t samples, int64_t channels, const float *partial, float *d_gain, float *d_bias)
{
    int64_t channel = blockIdx.x * (int64_t)THREADS + threadIdx.x;
    if (channel >= channels)
        return;
    float of_gain = 0.0f, of_bias = 0.0f;
    for (int64_t n = 0; n < samples; n++) {
        of_bias += partial[2 * (n * channels + channel)];
        of_gain += partial[2 * (n * channels + channel) + 1];
    }
    if (d_gain)
        d_gain[channel] = of_gain;
    if (d_bias)
        d_bias[channel] = of_bias;
}

} // namespace dipp_cuda

using namespace dipp_cuda;

static uint32_t ceil_blocks(int64_t items, int64_t per_block)
{
    return (uint32_t)((items + per_block - 1) / per_block);
}

cudaError_t dipp_cuda_launch_group_norm(cudaStream_t stream, const dipp_cuda_group_norm *p, const void *x,
                                        const void *gain, const void *bias, void *y, float *stats)
{
    const int64_t groups = p->samples * p->groups;
    if (dipp_cuda_threads_per_row(p->channels * p->places) == WARP)
        run(group_norm_forward<WARP>, ceil_blocks(groups, THREADS / WARP), THREADS, stream, *p, x, gain, bias, y,
            stats);
    else
        run(group_norm_forward<THREADS>, (uint32_t)groups, THREADS, stream, *p, x, gain, bias, y, stats);
    return cudaGetLastError();
}

cudaError_t dipp_cuda_launch_group_norm_backward(cudaStream_t stream, const dipp_cuda_group_norm *p, const void *x,
                                                 const void *gain, const void *bias, const float *stats, const void *dy,
                                                 void *dx, float *d_gain, float *d_bias, float *partial)
{
    const int64_t channels = p->groups * p->channels, groups = p->samples * p->groups;
    if (dipp_cuda_threads_per_row(p->channels * p->places) == WARP)
        run(group_norm_gradient<WARP>, ceil_blocks(groups, THREADS / WARP), THREADS, stream, *p, x, gain, bias, stats,
            dy, dx, partial);
    else
        run(group_norm_gradient<THREADS>, (uint32_t)groups, THREADS, stream, *p, x, gain, bias, stats, dy, dx, partial);
    cudaError_t result = cudaGetLastError();
    if (result != cudaSuccess || !gain || (!d_gain && !d_bias))
        return result;
    run(group_norm_add_samples, ceil_blocks(channels, THREADS), THREADS, stream, p->samples, channels, partial, d_gain,
        d_bias);
    return cudaGetLastError();
}
