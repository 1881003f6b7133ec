// The matrix product for which the library offers no algorithm (odd types, empty sums): tiles of 16 x 16, f32 sums, any
// strides. A net under matmul.c, not the road.
#include "backend/cuda/kernels/device.cuh"

namespace dipp_cuda
{

constexpr int SIDE = 16;

__global__ void __launch_bounds__(SIDE *SIDE)
    plain_product(const __grid_constant__ dipp_cuda_plain_product p, int64_t column_tiles, const void *a, const void *b,
                  const void *bias, void *out)
{
    __shared__ float left[SIDE][SIDE + 1], right[SIDE][SIDE + 1];
    const int ty = threadIdx.x / SIDE, tx = threadIdx.x % SIDE;
    const int64_t tiles = (p.m + SIDE - 1) / SIDE * column_tiles, batch = blockIdx.x / tiles, tile = blockIdx.x % tiles;
    const int64_t row = tile / column_tiles * SIDE + ty, column = tile % column_tiles * SIDE + tx;
    float total = 0.0f;
    for (int64_t first = 0; first < p.k; first += SIDE) {
        bool in_a = row < p.m && first + tx < p.k, in_b = column < p.n && first + ty < p.k;
        left[ty][tx] =
            in_a ? load_one(a, p.a_type, batch * p.a_batch + row * p.a_row + (first + tx) * p.a_column) : 0.0f;
        right[ty][tx] =
            in_b ? load_one(b, p.b_type, batch * p.b_batch + (first + ty) * p.b_row + column * p.b_column) : 0.0f;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < SIDE; i++)
            total = fmaf(left[ty][i], right[i][tx], total);
        __syncthreads();
    }
    if (row >= p.m || column >= p.n)
        return;
    const int64_t at = (batch * p.m + row) * p.n + column;
    if (bias)
        total += load_one(bias, p.bias_type, column);
    if (p.accumulate)
        total += load_one(out, p.out_type, at);
    store_one(out, p.out_type, at, total);
}

} // namespace dipp_cuda

using namespace dipp_cuda;

cudaError_t dipp_cuda_launch_plain_product(cudaStream_t stream, const dipp_cuda_plain_product *p, const void *a,
                                           const void *b, const void *bias, void *out)
{
    int64_t column_tiles = (p->n + SIDE - 1) / SIDE, blocks = (p->m + SIDE - 1) / SIDE * column_tiles * p->batch;
    run(plain_product, (uint32_t)blocks, SIDE * SIDE, stream, *p, column_tiles, a, b, bias, out);
    return cudaGetLastError();
}
