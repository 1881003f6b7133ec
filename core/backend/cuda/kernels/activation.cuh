// Functions that several kernels gate by.
#ifndef DIPP_BACKEND_CUDA_ACTIVATION_CUH
#define DIPP_BACKEND_CUDA_ACTIVATION_CUH

#include "backend/cuda/kernels/device.cuh"

namespace dipp_cuda
{

__device__ __forceinline__ float sigmoid_of(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

// Phi, the distribution function of the standard normal; erfc keeps its digits for negative x.
__device__ __forceinline__ float normal_distribution(float x)
{
    return 0.5f * erfcf(-0.707106781f * x);
}

__device__ __forceinline__ float normal_density(float x)
{
    return 0.398942280f * expf(-0.5f * x * x);
}

// Slope of x sigmoid(u(x)) when v = x u'(x): s(u) + v s(u) s(-u), both without overflow.
__device__ __forceinline__ float gated_slope(float u, float v)
{
    float gate = sigmoid_of(u);
    return gate + v * gate * sigmoid_of(-u);
}

} // namespace dipp_cuda

#endif
