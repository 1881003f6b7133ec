// Gated GELU and its gradient: rows of x are a then b, each as wide as y; y = a gelu(b).
#include "backend/cuda/kernels/activation.cuh"

namespace dipp_cuda
{

__global__ void __launch_bounds__(THREADS)
    geglu_forward(const __grid_constant__ dipp_cuda_geglu p, const void *x, void *y)
{
    const bool wide = p.width % GROUP == 0;
    for (int64_t group = blockIdx.x * (int64_t)THREADS + threadIdx.x; group < p.groups;
         group += (int64_t)gridDim.x * THREADS) {
        int64_t row = quotient((uint32_t)group, p.groups_per_row);
        int64_t start = (group - row * p.groups_per_row.divisor) * GROUP;
        int n = p.width - start < GROUP ? (int)(p.width - start) : GROUP;
        float a[GROUP], b[GROUP];
        load_group(x, p.type, 2 * row * p.width + start, n, wide, a);
        load_group(x, p.type, (2 * row + 1) * p.width + start, n, wide, b);
        for (int k = 0; k < GROUP; k++)
            a[k] *= b[k] * normal_distribution(b[k]);
        store_group(y, p.type, row * p.width + start, n, wide, a);
    }
}

__global__ void __launch_bounds__(THREADS)
    geglu_gradient(const __grid_constant__ dipp_cuda_geglu p, const void *x, const void *dy, void *dx)
{
    const bool wide = p.width % GROUP == 0;
    for (int64_t group = blockIdx.x * (int64_t)THREADS + threadIdx.x; group < p.groups;
         group += (int64_t)gridDim.x * THREADS) {
        int64_t row = quotient((uint32_t)group, p.groups_per_row);
        int64_t start = (group - row * p.groups_per_row.divisor) * GROUP;
        int n = p.width - start < GROUP ? (int)(p.width - start) : GROUP;
        const int64_t at_a = 2 * row * p.width + start, at_b = at_a + p.width;
        float a[GROUP], b[GROUP], slope[GROUP];
        load_group(x, p.type, at_a, n, wide, a);
        load_group(x, p.type, at_b, n, wide, b);
        load_group(dy, p.type, row * p.width + start, n, wide, slope);
        for (int k = 0; k < GROUP; k++) {
            float gate = normal_distribution(b[k]), density = normal_density(b[k]), of_a = slope[k] * (b[k] * gate);
            b[k] = slope[k] * a[k] * (gate + b[k] * density);
            a[k] = of_a;
        }
        store_group(dx, p.type, at_a, n, wide, a);
        store_group(dx, p.type, at_b, n, wide, b);
    }
}

} // namespace dipp_cuda

using namespace dipp_cuda;

cudaError_t dipp_cuda_launch_geglu(cudaStream_t stream, const dipp_cuda_geglu *p, const void *x, void *y)
{
    run(geglu_forward, dipp_cuda_blocks(p->groups, THREADS, 16384), THREADS, stream, *p, x, y);
    return cudaGetLastError();
}

cudaError_t dipp_cuda_launch_geglu_backward(cudaStream_t stream, const dipp_cuda_geglu *p, const void *x,
                                            const void *dy, void *dx)
{
    run(geglu_gradient, dipp_cuda_blocks(p->groups, THREADS, 16384), THREADS, stream, *p, x, dy, dx);
    return cudaGetLastError();
}
