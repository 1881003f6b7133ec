// The patches of pictures that a convolution's kernels meet, as rows of a matrix, and back. Row (n, i, j) of [N H' W', C k k]
// holds what output place (i, j) of sample n reads, channel by channel, tap by tap; places outside the picture are zeros.
#include "backend/cuda/kernels/device.cuh"

namespace dipp_cuda
{

// A thread to an element of a row: neighbours are taps of a channel.
__global__ void __launch_bounds__(THREADS)
    patches_of(const __grid_constant__ dipp_cuda_patches p, const void *x, void *rows)
{
    const int64_t taps = (int64_t)p.kernel * p.kernel, width = p.channels * taps;
    const int64_t total = p.samples * p.out_height * p.out_width * width;
    for (int64_t at = blockIdx.x * (int64_t)THREADS + threadIdx.x; at < total; at += (int64_t)gridDim.x * THREADS) {
        int64_t row = at / width, within = at % width, c = within / taps, tap = within % taps;
        int64_t j = row % p.out_width, i = row / p.out_width % p.out_height, n = row / (p.out_width * p.out_height);
        int64_t y = i * p.stride + tap / p.kernel - p.pad, x_at = j * p.stride + tap % p.kernel - p.pad;
        bool inside = y >= 0 && y < p.height && x_at >= 0 && x_at < p.width;
        store_one(rows, p.type, at,
                  inside ? load_one(x, p.type, ((n * p.channels + c) * p.height + y) * p.width + x_at) : 0.0f);
    }
}

// A thread to a place of the picture: it adds the taps that read it, in order.
__global__ void __launch_bounds__(THREADS)
    pictures_of(const __grid_constant__ dipp_cuda_patches p, const float *rows, void *x)
{
    const int64_t taps = (int64_t)p.kernel * p.kernel, width = p.channels * taps;
    const int64_t total = p.samples * p.channels * p.height * p.width;
    for (int64_t at = blockIdx.x * (int64_t)THREADS + threadIdx.x; at < total; at += (int64_t)gridDim.x * THREADS) {
        int64_t column = at % p.width, row = at / p.width % p.height, plane = at / (p.width * p.height);
        int64_t n = plane / p.channels, c = plane % p.channels;
        float sum = 0.0f;
        for (int64_t tap = 0; tap < taps; tap++) {
            int64_t y = row + p.pad - tap / p.kernel, x_at = column + p.pad - tap % p.kernel;
            if (y < 0 || x_at < 0 || y % p.stride || x_at % p.stride)
                continue;
            y /= p.stride, x_at /= p.stride;
            if (y < p.out_height && x_at < p.out_width)
                sum += rows[((n * p.out_height + y) * p.out_width + x_at) * width + c * taps + tap];
        }
        store_one(x, p.type, at, sum);
    }
}

} // namespace dipp_cuda

using namespace dipp_cuda;

cudaError_t dipp_cuda_launch_patches(cudaStream_t stream, const dipp_cuda_patches *p, const void *x, void *rows)
{
    int64_t total = p->samples * p->out_height * p->out_width * p->channels * p->kernel * p->kernel;
    run(patches_of, dipp_cuda_blocks(total, THREADS, 65536), THREADS, stream, *p, x, rows);
    return cudaGetLastError();
}

cudaError_t dipp_cuda_launch_pictures(cudaStream_t stream, const dipp_cuda_patches *p, const float *rows, void *x)
{
    int64_t total = p->samples * p->channels * p->height * p->width;
    run(pictures_of, dipp_cuda_blocks(total, THREADS, 65536), THREADS, stream, *p, rows, x);
    return cudaGetLastError();
}
