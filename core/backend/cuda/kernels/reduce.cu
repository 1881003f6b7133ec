// Sums over axes, and softmax with its backward. Sums are deterministic: every thread adds its terms in order, threads
// are added by a fixed tree, and splits of long sums are added in order by a second kernel. No atomics.
#include "backend/cuda/kernels/device.cuh"

namespace dipp_cuda
{

// The innermost dim is summed: PER threads to an output, grid (outputs, splits). to: out, or partial [output][split].
template <int PER>
__global__ void __launch_bounds__(THREADS)
    sum_rows(const __grid_constant__ dipp_cuda_sum p, int type, const void *in, float *to)
{
    int64_t output = blockIdx.x * (int64_t)(THREADS / PER) + threadIdx.x / PER;
    if (output >= p.outputs)
        return;
    int64_t base = offset_of(p.kept, 0, (uint32_t)output);
    int64_t start = blockIdx.y * p.terms_per_split;
    int64_t end = start + p.terms_per_split < p.terms ? start + p.terms_per_split : p.terms;
    float total = 0.0f;
    for (int64_t term = start + threadIdx.x % PER; term < end; term += PER)
        total += load_one(in, type, base + offset_of(p.reduced, 0, (uint32_t)term));
    total = across_row<PER>(total, add_two());
    if (threadIdx.x % PER == 0)
        to[output * p.splits + blockIdx.y] = total;
}

constexpr int LANES = 8;

// The innermost dim is kept: blocks of 32 outputs times 8 lanes, grid (outputs / 32, splits). to: [split][output].
__global__ void __launch_bounds__(THREADS)
    sum_columns(const __grid_constant__ dipp_cuda_sum p, int type, const void *in, float *to)
{
    __shared__ float parts[LANES][WARP];
    int64_t output = blockIdx.x * (int64_t)WARP + threadIdx.x % WARP;
    int lane = threadIdx.x / WARP;
    float total = 0.0f;
    if (output < p.outputs) {
        int64_t base = offset_of(p.kept, 0, (uint32_t)output);
        int64_t start = blockIdx.y * p.terms_per_split;
        int64_t end = start + p.terms_per_split < p.terms ? start + p.terms_per_split : p.terms;
        for (int64_t term = start + lane; term < end; term += LANES)
            total += load_one(in, type, base + offset_of(p.reduced, 0, (uint32_t)term));
    }
    parts[lane][threadIdx.x % WARP] = total;
    __syncthreads();
    if (lane || output >= p.outputs)
        return;
    for (int i = 1; i < LANES; i++)
        total += parts[i][threadIdx.x];
    to[blockIdx.y * p.outputs + output] = total;
}

// A warp to an output: its splits are neighbours.
__global__ void __launch_bounds__(THREADS)
    add_row_splits(int64_t outputs, int64_t splits, const float *part, float *out)
{
    int64_t output = blockIdx.x * (int64_t)(THREADS / WARP) + threadIdx.x / WARP;
    if (output >= outputs)
        return;
    float total = 0.0f;
    for (int64_t split = threadIdx.x % WARP; split < splits; split += WARP)
        total += part[output * splits + split];
    total = across_lanes<WARP>(total, add_two());
    if (threadIdx.x % WARP == 0)
        out[output] = total;
}

// A thread to an output: neighbours are outputs.
__global__ void __launch_bounds__(THREADS)
    add_column_splits(int64_t outputs, int64_t splits, const float *part, float *out)
{
    int64_t output = blockIdx.x * (int64_t)THREADS + threadIdx.x;
    if (output >= outputs)
        return;
    float total = 0.0f;
    for (int64_t split = 0; split < splits; split++)
        total += part[split * outputs + output];
    out[output] = total;
}

template <int PER>
__global__ void __launch_bounds__(THREADS)
    softmax_forward(int type, int64_t rows, int64_t width, const void *x, void *y)
{
    int64_t row = blockIdx.x * (int64_t)(THREADS / PER) + threadIdx.x / PER;
    if (row >= rows)
        return;
    int lane = threadIdx.x % PER;
    int64_t base = row * width;
    float largest = -INFINITY, total = 0.0f;
    for (int64_t i = lane; i < width; i += PER)
        largest = larger_of_two()(largest, load_one(x, type, base + i));
    largest = across_row<PER>(largest, larger_of_two());
    for (int64_t i = lane; i < width; i += PER)
        total += expf(load_one(x, type, base + i) - largest);
    total = across_row<PER>(total, add_two());
    for (int64_t i = lane; i < width; i += PER)
        store_one(y, type, base + i, expf(load_one(x, type, base + i) - largest) / total);
}

template <int PER>
__global__ void __launch_bounds__(THREADS)
    softmax_gradient(int type, int64_t rows, int64_t width, const void *y, const void *dy, void *dx)
{
    int64_t row = blockIdx.x * (int64_t)(THREADS / PER) + threadIdx.x / PER;
    if (row >= rows)
        return;
    int lane = threadIdx.x % PER;
    int64_t base = row * width;
    float dot = 0.0f;
    for (int64_t i = lane; i < width; i += PER)
        dot += load_one(y, type, base + i) * load_one(dy, type, base + i);
    dot = across_row<PER>(dot, add_two());
    for (int64_t i = lane; i < width; i += PER)
        store_one(dx, type, base + i, load_one(y, type, base + i) * (load_one(dy, type, base + i) - dot));
}

template <int PER>
static void launch_softmax(cudaStream_t stream, int backward, int type, int64_t rows, int64_t width, const void *first,
                           const void *second, void *out)
{
    uint32_t blocks = (uint32_t)((rows * PER + THREADS - 1) / THREADS);
    if (backward)
        run(softmax_gradient<PER>, blocks, THREADS, stream, type, rows, width, first, second, out);
    else
        run(softmax_forward<PER>, blocks, THREADS, stream, type, rows, width, first, out);
}

} // namespace dipp_cuda

using namespace dipp_cuda;

static uint32_t ceil_blocks(int64_t items, int64_t per_block)
{
    return (uint32_t)((items + per_block - 1) / per_block);
}

cudaError_t dipp_cuda_launch_sum(cudaStream_t stream, const dipp_cuda_sum *p, int32_t in_type, const void *in,
                                 float *out, float *scratch)
{
    float *to = p->splits > 1 ? scratch : out;
    if (!p->by_rows) {
        dim3 grid(ceil_blocks(p->outputs, WARP), (uint32_t)p->splits);
        run(sum_columns, grid, THREADS, stream, *p, in_type, in, to);
    } else if (p->threads_per_output == WARP) {
        dim3 grid(ceil_blocks(p->outputs, THREADS / WARP), (uint32_t)p->splits);
        run(sum_rows<WARP>, grid, THREADS, stream, *p, in_type, in, to);
    } else {
        dim3 grid((uint32_t)p->outputs, (uint32_t)p->splits);
        run(sum_rows<THREADS>, grid, THREADS, stream, *p, in_type, in, to);
    }
    cudaError_t result = cudaGetLastError();
    if (result != cudaSuccess || p->splits == 1)
        return result;
    if (p->by_rows)
        run(add_row_splits, ceil_blocks(p->outputs, THREADS / WARP), THREADS, stream, p->outputs, p->splits, scratch,
            out);
    else
        run(add_column_splits, ceil_blocks(p->outputs, THREADS), THREADS, stream, p->outputs, p->splits, scratch, out);
    return cudaGetLastError();
}

cudaError_t dipp_cuda_launch_softmax(cudaStream_t stream, int32_t backward, int32_t type, int64_t rows, int64_t width,
                                     const void *first, const void *second, void *out)
{
    if (dipp_cuda_threads_per_row(width) == WARP)
        launch_softmax<WARP>(stream, backward, type, rows, width, first, second, out);
    else
        launch_softmax<THREADS>(stream, backward, type, rows, width, first, second, out);
    return cudaGetLastError();
}
