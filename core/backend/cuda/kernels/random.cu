// Philox normals and uniforms, a thread to a block of four: the arithmetic of core/base/philox_math.h, word for word that
// of the host. This file is compiled with -fmad=false, so that no product is fused that the header does not fuse.
#include "backend/cuda/kernels/device.cuh"
#include "base/philox_math.h"

namespace dipp_cuda
{

// Element e of row n is lane e % 4 of the block with counter {e / 4, first + n, step, stream}.
template <bool NORMAL>
__global__ void __launch_bounds__(THREADS) philox(int64_t blocks, dipp_cuda_divisor blocks_per_sample, int64_t width,
                                                  const uint32_t *__restrict__ key, float *__restrict__ out)
{
    for (int64_t i = blockIdx.x * (int64_t)THREADS + threadIdx.x; i < blocks; i += (int64_t)gridDim.x * THREADS) {
        uint32_t sample = quotient((uint32_t)i, blocks_per_sample);
        uint32_t block = (uint32_t)i - sample * blocks_per_sample.divisor;
        uint32_t words[4];
        float values[4];
        dipp_philox_block(key[0], key[1], block, key[4] + sample, key[3], key[2], &words[0], &words[1], &words[2],
                          &words[3]);
        if (NORMAL)
            dipp_normals_of_bits(words, values);
        else
            for (int lane = 0; lane < 4; lane++)
                values[lane] = dipp_uniform_of_bits(words[lane]);
        int64_t start = (int64_t)block * 4, left = width - start;
        store_group(out, DIPP_CUDA_F32, sample * width + start, left < 4 ? (int)left : 4, width % 4 == 0, values);
    }
}

} // namespace dipp_cuda

using namespace dipp_cuda;

cudaError_t dipp_cuda_launch_random(cudaStream_t stream, int32_t normal, int64_t samples, int64_t width,
                                    const uint32_t *key, float *out)
{
    int64_t per_sample = (width + 3) / 4, blocks = samples * per_sample;
    uint32_t grid = dipp_cuda_blocks(blocks, THREADS, 16384);
    dipp_cuda_divisor by = dipp_cuda_divisor_of(per_sample);
    if (normal)
        run(philox<true>, grid, THREADS, stream, blocks, by, width, key, out);
    else
        run(philox<false>, grid, THREADS, stream, blocks, by, width, key, out);
    return cudaGetLastError();
}
