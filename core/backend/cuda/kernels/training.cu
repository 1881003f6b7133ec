// Training state: accumulation, the norm of a gradient block, and the optimizer's step in one pass over memory. What
// changes from step to step (scalars, norm, ok) is read from device memory, so that a captured graph stays valid.
#include "backend/cuda/kernels/device.cuh"
#include "tensor/op.h"

namespace dipp_cuda
{

__global__ void __launch_bounds__(THREADS) accumulate(int64_t count, int type, const void *x, float *out)
{
    const int64_t step = (int64_t)gridDim.x * THREADS * GROUP;
    for (int64_t i = (blockIdx.x * (int64_t)THREADS + threadIdx.x) * GROUP; i < count; i += step) {
        int n = count - i < GROUP ? (int)(count - i) : GROUP;
        float a[GROUP], b[GROUP];
        load_group(out, DIPP_CUDA_F32, i, n, true, a);
        load_group(x, type, i, n, true, b);
        for (int k = 0; k < GROUP; k++)
            a[k] += b[k];
        store_group(out, DIPP_CUDA_F32, i, n, true, a);
    }
}

// Sums of squares in double. The number of blocks is fixed, so the order depends on count alone.
__global__ void __launch_bounds__(THREADS) square_blocks(int64_t count, const float *gradient, double *part)
{
    const int64_t step = (int64_t)gridDim.x * THREADS * GROUP;
    double total = 0.0;
    for (int64_t i = (blockIdx.x * (int64_t)THREADS + threadIdx.x) * GROUP; i < count; i += step) {
        int n = count - i < GROUP ? (int)(count - i) : GROUP;
        float g[GROUP];
        load_group(gradient, DIPP_CUDA_F32, i, n, true, g);
        for (int k = 0; k < GROUP; k++)
            total += (double)g[k] * (double)g[k];
    }
    total = across_row<THREADS>(total, add_two());
    if (threadIdx.x == 0)
        part[blockIdx.x] = total;
}

__global__ void __launch_bounds__(THREADS) finish_norm(int blocks, const double *part, float *out)
{
    double total = 0.0;
    for (int i = threadIdx.x; i < blocks; i += THREADS)
        total += part[i];
    total = across_row<THREADS>(total, add_two());
    if (threadIdx.x == 0) {
        float norm = (float)sqrt(total);
        out[0] = norm;
        out[1] = isfinite(norm) ? 1.0f : 0.0f;
    }
}

// See tensor/op.h for the formulas.
__global__ void __launch_bounds__(THREADS)
    optimizer_step(const __grid_constant__ dipp_cuda_step p, const float *__restrict__ norm_ok,
                   const float *__restrict__ scalars, float *master, float *gradient, float *m, float *v, float *ema,
                   void *copy)
{
    const float lr = scalars[DIPP_OPT_LR], beta1 = scalars[DIPP_OPT_BETA1], beta2 = scalars[DIPP_OPT_BETA2];
    const float epsilon = scalars[DIPP_OPT_EPSILON], decay = p.decay ? scalars[DIPP_OPT_WEIGHT_DECAY] : 0.0f;
    const float correction1 = scalars[DIPP_OPT_CORRECTION1], correction2 = scalars[DIPP_OPT_CORRECTION2];
    const float clip = scalars[DIPP_OPT_CLIP], grad_scale = scalars[DIPP_OPT_GRAD_SCALE];
    const float toward = 1.0f - scalars[DIPP_OPT_EMA_DECAY], scaled_norm = norm_ok[0] * grad_scale;
    const float scale = grad_scale * (clip > 0.0f && scaled_norm > clip ? clip / scaled_norm : 1.0f);
    const bool ok = norm_ok[1] != 0.0f;
    const int64_t step = (int64_t)gridDim.x * THREADS * GROUP, end = p.start + p.count;
    const bool wide = p.start % GROUP == 0;
    const float zeros[GROUP] = {};
    for (int64_t i = p.start + (blockIdx.x * (int64_t)THREADS + threadIdx.x) * GROUP; i < end; i += step) {
        int n = end - i < GROUP ? (int)(end - i) : GROUP;
        float g[GROUP], x[GROUP], first[GROUP], second[GROUP], average[GROUP];
        load_group(gradient, DIPP_CUDA_F32, i, n, wide, g);
        store_group(gradient, DIPP_CUDA_F32, i, n, wide, zeros);
        if (!ok)
            continue;
        load_group(master, DIPP_CUDA_F32, i, n, wide, x);
        if (p.adamw) {
            load_group(m, DIPP_CUDA_F32, i, n, wide, first);
            load_group(v, DIPP_CUDA_F32, i, n, wide, second);
        }
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            float slope = scale * g[k];
            if (p.adamw) {
                first[k] = beta1 * first[k] + (1.0f - beta1) * slope;
                second[k] = beta2 * second[k] + (1.0f - beta2) * slope * slope;
                slope = first[k] * correction1 / (sqrtf(second[k] * correction2) + epsilon);
            }
            x[k] -= lr * (slope + decay * x[k]);
        }
        store_group(master, DIPP_CUDA_F32, i, n, wide, x);
        if (p.adamw) {
            store_group(m, DIPP_CUDA_F32, i, n, wide, first);
            store_group(v, DIPP_CUDA_F32, i, n, wide, second);
        }
        if (ema) {
            load_group(ema, DIPP_CUDA_F32, i, n, wide, average);
#pragma unroll
            for (int k = 0; k < GROUP; k++)
                average[k] += toward * (x[k] - average[k]);
            store_group(ema, DIPP_CUDA_F32, i, n, wide, average);
        }
        if (copy)
            store_group(copy, p.copy_type, i, n, wide, x);
    }
}

} // namespace dipp_cuda

using namespace dipp_cuda;

cudaError_t dipp_cuda_launch_accumulate(cudaStream_t stream, int64_t count, int32_t type, const void *x, float *out)
{
    run(accumulate, dipp_cuda_blocks(count, THREADS * GROUP, 16384), THREADS, stream, count, type, x, out);
    return cudaGetLastError();
}

cudaError_t dipp_cuda_launch_grad_norm(cudaStream_t stream, int64_t count, const float *gradient, float *out,
                                       double *scratch)
{
    uint32_t blocks = dipp_cuda_blocks(count, THREADS * GROUP, DIPP_CUDA_NORM_BLOCKS);
    run(square_blocks, blocks, THREADS, stream, count, gradient, scratch);
    cudaError_t result = cudaGetLastError();
    if (result != cudaSuccess)
        return result;
    run(finish_norm, 1, THREADS, stream, (int)blocks, scratch, out);
    return cudaGetLastError();
}

cudaError_t dipp_cuda_launch_optimizer_step(cudaStream_t stream, const dipp_cuda_step *p, const float *norm_ok,
                                            const float *scalars, float *master, float *gradient, float *m, float *v,
                                            float *ema, void *copy)
{
    uint32_t blocks = dipp_cuda_blocks(p->count, THREADS * GROUP, 16384);
    run(optimizer_step, blocks, THREADS, stream, *p, norm_ok, scalars, master, gradient, m, v, ema, copy);
    return cudaGetLastError();
}
