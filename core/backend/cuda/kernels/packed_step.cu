// The optimizer's step with weights in bf16 or moments in bf16 or 8 bits (tensor/state_format.h): a block of threads takes
// 256 elements, those that share a scale, so that the new scale is one reduction away.
#include "backend/cuda/kernels/device.cuh"
#include "tensor/op.h"
#include "tensor/state_format.h"

namespace dipp_cuda
{

static_assert(THREADS == DIPP_STATE_BLOCK, "a thread an element of what shares a scale");

// Sixteen bits for element e.
__device__ __forceinline__ uint32_t random_half(const uint32_t *key, uint32_t part, int64_t e)
{
    uint32_t words[4];
    dipp_rounding_words(key, part, e, words);
    uint32_t low = e % 8 / 2 < 1 ? words[0] : e % 8 / 2 < 2 ? words[1] : e % 8 / 2 < 3 ? words[2] : words[3];
    return low >> (16 * (e % 2)) & 0xffffu;
}

__device__ __forceinline__ float load_moment(const dipp_cuda_step &p, const void *words, const float *values, int64_t i)
{
    if (p.state == DIPP_STATE_F32)
        return static_cast<const float *>(words)[i];
    if (p.state == DIPP_STATE_BF16)
        return float_of_bf16(static_cast<const uint16_t *>(words)[i]);
    return values[static_cast<const uint8_t *>(words)[i]] *
           static_cast<const float *>(words)[p.elements / 4 + i / DIPP_STATE_BLOCK];
}

// All threads of the block must come here; here: whether this one has an element.
template <bool SIGNED>
__device__ __forceinline__ void store_moment(const dipp_cuda_step &p, void *words, float x, int64_t i, bool here,
                                             const uint32_t *key)
{
    if (p.state == DIPP_STATE_8BIT) {
        float scale = across_row<THREADS>(here ? fabsf(x) : 0.0f, larger_of_two());
        float u = scale > 0.0f ? x / scale : 0.0f;
        if (threadIdx.x == 0)
            static_cast<float *>(words)[p.elements / 4 + i / DIPP_STATE_BLOCK] = scale;
        if (here)
            static_cast<uint8_t *>(words)[i] = (uint8_t)(SIGNED ? dipp_signed_code(u) : dipp_unsigned_code(u, x));
    } else if (here && p.state == DIPP_STATE_BF16) {
        uint32_t random = random_half(key, SIGNED ? DIPP_ROUND_MOMENT1 : DIPP_ROUND_MOMENT2, i);
        static_cast<uint16_t *>(words)[i] = (uint16_t)dipp_bf16_at_random(x, random);
    } else if (here) {
        static_cast<float *>(words)[i] = x;
    }
}

// See tensor/op.h for the formulas.
__global__ void __launch_bounds__(THREADS)
    packed_step(const __grid_constant__ dipp_cuda_step p, const float *__restrict__ norm_ok,
                const float *__restrict__ scalars, void *weights, float *gradient, void *m, void *v, float *ema,
                void *copy, const uint32_t *__restrict__ key)
{
    __shared__ float values[2][DIPP_STATE_BLOCK];
    if (p.state == DIPP_STATE_8BIT) {
        values[0][threadIdx.x] = dipp_code_value(1, threadIdx.x);
        values[1][threadIdx.x] = dipp_code_value(0, threadIdx.x);
    }
    __syncthreads();
    const float lr = scalars[DIPP_OPT_LR], beta1 = scalars[DIPP_OPT_BETA1], beta2 = scalars[DIPP_OPT_BETA2];
    const float epsilon = scalars[DIPP_OPT_EPSILON], decay = p.decay ? scalars[DIPP_OPT_WEIGHT_DECAY] : 0.0f;
    const float correction1 = scalars[DIPP_OPT_CORRECTION1], correction2 = scalars[DIPP_OPT_CORRECTION2];
    const float clip = scalars[DIPP_OPT_CLIP], grad_scale = scalars[DIPP_OPT_GRAD_SCALE];
    const float toward = 1.0f - scalars[DIPP_OPT_EMA_DECAY], scaled_norm = norm_ok[0] * grad_scale;
    const float scale = grad_scale * (clip > 0.0f && scaled_norm > clip ? clip / scaled_norm : 1.0f);
    const bool ok = norm_ok[1] != 0.0f;
    for (int64_t at = (int64_t)blockIdx.x * THREADS; at < p.count; at += (int64_t)gridDim.x * THREADS) {
        const bool here = at + threadIdx.x < p.count;
        const int64_t i = p.start + at + threadIdx.x;
        float slope = here ? scale * gradient[i] : 0.0f, x = here ? load_one(weights, p.weight_type, i) : 0.0f;
        if (here)
            gradient[i] = 0.0f;
        if (!ok)
            continue;
        if (p.adamw) {
            float first = here ? load_moment(p, m, values[0], i) : 0.0f;
            float second = here ? load_moment(p, v, values[1], i) : 0.0f;
            first = beta1 * first + (1.0f - beta1) * slope;
            second = beta2 * second + (1.0f - beta2) * slope * slope;
            slope = first * correction1 / (sqrtf(second * correction2) + epsilon);
            store_moment<true>(p, m, first, i, here, key);
            store_moment<false>(p, v, second, i, here, key);
        }
        if (!here)
            continue;
        x -= lr * (slope + decay * x);
        if (p.random_weights)
            x = float_of_bf16(dipp_bf16_at_random(x, random_half(key, DIPP_ROUND_WEIGHT, i)));
        store_one(weights, p.weight_type, i, x);
        if (ema)
            ema[i] += toward * (x - ema[i]);
        if (copy)
            store_one(copy, p.copy_type, i, x);
    }
}

} // namespace dipp_cuda

using namespace dipp_cuda;

cudaError_t dipp_cuda_launch_packed_step(cudaStream_t stream, const dipp_cuda_step *p, const float *norm_ok,
                                         const float *scalars, void *weights, float *gradient, void *m, void *v,
                                         float *ema, void *copy, const uint32_t *key)
{
    uint32_t blocks = dipp_cuda_blocks(p->count, THREADS, 16384);
    run(packed_step, blocks, THREADS, stream, *p, norm_ok, scalars, weights, gradient, m, v, ema, copy, key);
    return cudaGetLastError();
}
