// Elementwise ops: one kernel per op, any mix of stored types, broadcasting by index. Arithmetic in f32.
#include "backend/cuda/kernels/activation.cuh"
#include "tensor/op.h"

namespace dipp_cuda
{

struct numbers {
    float alpha, beta;
};

// 2 sqrt(2/pi) (x + 0.044715 x^3): x sigmoid(this) is 0.5 x (1 + tanh(this / 2)) without its cancellation.
__device__ __forceinline__ float gelu_tanh_argument(float x)
{
    return 1.595769122f * x * (1.0f + 0.044715f * x * x);
}

template <int OP> __device__ __forceinline__ float apply(float a, float b, float c, numbers p)
{
    if constexpr (OP == DIPP_OP_CAST || OP == DIPP_OP_BROADCAST)
        return a;
    else if constexpr (OP == DIPP_OP_ADD)
        return a + b;
    else if constexpr (OP == DIPP_OP_SUB)
        return a - b;
    else if constexpr (OP == DIPP_OP_MUL)
        return a * b;
    else if constexpr (OP == DIPP_OP_DIV)
        return a / b;
    else if constexpr (OP == DIPP_OP_MINIMUM)
        return a < b ? a : b;
    else if constexpr (OP == DIPP_OP_MAXIMUM)
        return a > b ? a : b;
    else if constexpr (OP == DIPP_OP_GREATER)
        return a > b ? 1.0f : 0.0f;
    else if constexpr (OP == DIPP_OP_WHERE)
        return a != 0.0f ? b : c;
    else if constexpr (OP == DIPP_OP_SCALE_ADD)
        return fmaf(p.alpha, a, p.beta);
    else if constexpr (OP == DIPP_OP_EXP)
        return expf(a);
    else if constexpr (OP == DIPP_OP_LOG)
        return logf(a);
    else if constexpr (OP == DIPP_OP_SQRT)
        return sqrtf(a);
    else if constexpr (OP == DIPP_OP_ABS)
        return fabsf(a);
    else if constexpr (OP == DIPP_OP_SIGN)
        return a > 0.0f ? 1.0f : a < 0.0f ? -1.0f : 0.0f;
    else if constexpr (OP == DIPP_OP_SIN)
        return sinf(a);
    else if constexpr (OP == DIPP_OP_COS)
        return cosf(a);
    else if constexpr (OP == DIPP_OP_TANH)
        return tanhf(a);
    else if constexpr (OP == DIPP_OP_SIGMOID)
        return sigmoid_of(a);
    else if constexpr (OP == DIPP_OP_SILU)
        return a * sigmoid_of(a);
    else if constexpr (OP == DIPP_OP_GELU_ERF)
        return a * normal_distribution(a);
    else if constexpr (OP == DIPP_OP_GELU_TANH)
        return a * sigmoid_of(gelu_tanh_argument(a));
    else if constexpr (OP == DIPP_OP_QUICK_GELU)
        return a * sigmoid_of(1.702f * a);
    else if constexpr (OP == DIPP_OP_ROUND)
        return rintf(a);
    else if constexpr (OP == DIPP_OP_CLAMP)
        return a < p.alpha ? p.alpha : a > p.beta ? p.beta : a;
    else if constexpr (OP == DIPP_OP_SILU_BACKWARD)
        return b * gated_slope(a, a);
    else if constexpr (OP == DIPP_OP_GELU_ERF_BACKWARD)
        return b * (normal_distribution(a) + a * normal_density(a));
    else if constexpr (OP == DIPP_OP_GELU_TANH_BACKWARD)
        return b * gated_slope(gelu_tanh_argument(a), 1.595769122f * a * (1.0f + 0.134145f * a * a));
    else {
        static_assert(OP == DIPP_OP_QUICK_GELU_BACKWARD, "an elementwise op without a formula");
        return b * gated_slope(1.702f * a, 1.702f * a);
    }
}

template <int OP>
__global__ void __launch_bounds__(THREADS)
    elementwise(const __grid_constant__ dipp_cuda_elementwise p, const void *a, const void *b, const void *c, void *out)
{
    const void *const in[DIPP_CUDA_OPERANDS] = {a, b, c};
    const numbers constants = {p.alpha, p.beta};
    const bool wide = p.walk.wide;
    for (int64_t group = blockIdx.x * (int64_t)THREADS + threadIdx.x; group < p.walk.groups;
         group += (int64_t)gridDim.x * THREADS) {
        uint32_t row = quotient((uint32_t)group, p.walk.groups_per_row);
        int64_t start = (int64_t)((uint32_t)group - row * p.walk.groups_per_row.divisor) * GROUP;
        int n = p.walk.inner - start < GROUP ? (int)(p.walk.inner - start) : GROUP;
        float v[DIPP_CUDA_OPERANDS][GROUP] = {};
#pragma unroll
        for (int k = 0; k < DIPP_CUDA_OPERANDS; k++) {
            if (k >= p.walk.operands)
                break;
            int64_t at = offset_of(p.walk.outer, k, row);
            if (p.walk.step[k]) {
                load_group(in[k], p.type[k], at + start, n, wide, v[k]);
            } else {
                float same = load_one(in[k], p.type[k], at);
#pragma unroll
                for (int i = 0; i < GROUP; i++)
                    v[k][i] = same;
            }
        }
        float result[GROUP];
#pragma unroll
        for (int i = 0; i < GROUP; i++)
            result[i] = apply<OP>(v[0][i], v[1][i], v[2][i], constants);
        store_group(out, p.out_type, (int64_t)row * p.walk.inner + start, n, wide, result);
    }
}

} // namespace dipp_cuda

using namespace dipp_cuda;

cudaError_t dipp_cuda_launch_elementwise(cudaStream_t stream, const dipp_cuda_elementwise *p, const void *a,
                                         const void *b, const void *c, void *out)
{
    uint32_t blocks = dipp_cuda_blocks(p->walk.groups, THREADS, 16384);
    switch (p->op) {
#define LAUNCH(op) \
    case DIPP_OP_##op: run(elementwise<DIPP_OP_##op>, blocks, THREADS, stream, *p, a, b, c, out); break;
        LAUNCH(CAST)
        LAUNCH(ADD)
        LAUNCH(SUB)
        LAUNCH(MUL)
        LAUNCH(DIV)
        LAUNCH(MINIMUM)
        LAUNCH(MAXIMUM)
        LAUNCH(GREATER)
        LAUNCH(WHERE)
        LAUNCH(SCALE_ADD)
        LAUNCH(EXP)
        LAUNCH(LOG)
        LAUNCH(SQRT)
        LAUNCH(ABS)
        LAUNCH(SIGN)
        LAUNCH(SIN)
        LAUNCH(COS)
        LAUNCH(TANH)
        LAUNCH(SIGMOID)
        LAUNCH(SILU)
        LAUNCH(GELU_ERF)
        LAUNCH(GELU_TANH)
        LAUNCH(QUICK_GELU)
        LAUNCH(ROUND)
        LAUNCH(CLAMP)
        LAUNCH(SILU_BACKWARD)
        LAUNCH(GELU_ERF_BACKWARD)
        LAUNCH(GELU_TANH_BACKWARD)
        LAUNCH(QUICK_GELU_BACKWARD)
#undef LAUNCH
    case DIPP_OP_BROADCAST: run(elementwise<DIPP_OP_CAST>, blocks, THREADS, stream, *p, a, b, c, out); break;
    default: return cudaErrorInvalidValue;
    }
    return cudaGetLastError();
}
