// What the kernels share: loads and stores of stored types, sums over the threads of a row, division by constants.
// Types are run-time numbers, the same for a whole grid: a branch that never diverges costs less than a kernel per mix.
#ifndef DIPP_BACKEND_CUDA_DEVICE_CUH
#define DIPP_BACKEND_CUDA_DEVICE_CUH

#include "backend/cuda/kernels/kernels.h"

namespace dipp_cuda
{

constexpr int THREADS = DIPP_CUDA_THREADS, GROUP = DIPP_CUDA_GROUP, WARP = 32;

// Puts a kernel on the stream. Compiled for the host, this is tests/backend_cuda/emulation, which runs the same kernels
// thread by thread where there is no GPU.
template <typename... P, typename... A>
static inline void run(void (*kernel)(P...), dim3 grid, uint32_t threads, cudaStream_t stream, A... args)
{
#ifdef __CUDACC__
    kernel<<<grid, threads, 0, stream>>>(args...);
#else
    emulated::launch(stream, grid, threads, [=] { kernel(args...); });
#endif
}

__device__ __forceinline__ uint32_t quotient(uint32_t n, const dipp_cuda_divisor &by)
{
    return (__umulhi(n, by.multiplier) + n) >> by.shift;
}

__device__ __forceinline__ int64_t offset_of(const dipp_cuda_dims &dims, int k, uint32_t index)
{
    int64_t offset = 0;
    for (int d = dims.rank - 1; d >= 0; d--) {
        uint32_t q = quotient(index, dims.dims[d]);
        offset += (int64_t)(index - q * dims.dims[d].divisor) * dims.strides[k][d];
        index = q;
    }
    return offset;
}

__device__ __forceinline__ float float_of_bf16(uint32_t bits)
{
    return __uint_as_float(bits << 16);
}

// To nearest even; not a number stays one. The first operand of the packed form is the upper half.
__device__ __forceinline__ uint16_t bf16_of(float x)
{
    uint16_t bits;
#ifdef __CUDACC__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
#else
    bits = emulated::bf16_of(x);
#endif
    return bits;
}

__device__ __forceinline__ uint32_t bf16_pair_of(float low, float high)
{
    uint32_t bits;
#ifdef __CUDACC__
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
#else
    bits = (uint32_t)emulated::bf16_of(high) << 16 | emulated::bf16_of(low);
#endif
    return bits;
}

__device__ __forceinline__ float load_one(const void *p, int type, int64_t i)
{
    if (type == DIPP_CUDA_F32)
        return static_cast<const float *>(p)[i];
    if (type == DIPP_CUDA_BF16)
        return float_of_bf16(static_cast<const uint16_t *>(p)[i]);
    return static_cast<float>(static_cast<const int32_t *>(p)[i]);
}

__device__ __forceinline__ void store_one(void *p, int type, int64_t i, float x)
{
    if (type == DIPP_CUDA_F32)
        static_cast<float *>(p)[i] = x;
    else
        static_cast<uint16_t *>(p)[i] = bf16_of(x);
}

// Elements i .. i + n - 1 of p, n <= 4; wide: i is a multiple of 4, so that four move at once. The rest of v is 0.
__device__ __forceinline__ void load_group(const void *p, int type, int64_t i, int n, bool wide, float v[GROUP])
{
    if (wide && n == GROUP) {
        if (type == DIPP_CUDA_F32) {
            float4 four = *reinterpret_cast<const float4 *>(static_cast<const float *>(p) + i);
            v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
        } else if (type == DIPP_CUDA_BF16) {
            uint2 four = *reinterpret_cast<const uint2 *>(static_cast<const uint16_t *>(p) + i);
            v[0] = float_of_bf16(four.x & 0xffffu), v[1] = float_of_bf16(four.x >> 16);
            v[2] = float_of_bf16(four.y & 0xffffu), v[3] = float_of_bf16(four.y >> 16);
        } else {
            int4 four = *reinterpret_cast<const int4 *>(static_cast<const int32_t *>(p) + i);
            v[0] = (float)four.x, v[1] = (float)four.y, v[2] = (float)four.z, v[3] = (float)four.w;
        }
        return;
    }
#pragma unroll
    for (int k = 0; k < GROUP; k++)
        v[k] = k < n ? load_one(p, type, i + k) : 0.0f;
}

__device__ __forceinline__ void store_group(void *p, int type, int64_t i, int n, bool wide, const float v[GROUP])
{
    if (wide && n == GROUP) {
        if (type == DIPP_CUDA_F32)
            *reinterpret_cast<float4 *>(static_cast<float *>(p) + i) = make_float4(v[0], v[1], v[2], v[3]);
        else
            *reinterpret_cast<uint2 *>(static_cast<uint16_t *>(p) + i) =
                make_uint2(bf16_pair_of(v[0], v[1]), bf16_pair_of(v[2], v[3]));
        return;
    }
#pragma unroll
    for (int k = 0; k < GROUP; k++)
        if (k < n)
            store_one(p, type, i + k, v[k]);
}

struct add_two {
    template <typename T> __device__ __forceinline__ T operator()(T a, T b) const
    {
        return a + b;
    }
};

struct larger_of_two {
    template <typename T> __device__ __forceinline__ T operator()(T a, T b) const
    {
        return a > b ? a : b;
    }
};

// The same number in every thread of a group of LANES (a power of two up to 32) neighbours.
template <int LANES, typename T, typename F> __device__ __forceinline__ T across_lanes(T x, F f)
{
#pragma unroll
    for (int step = LANES / 2; step > 0; step /= 2)
        x = f(x, __shfl_xor_sync(0xffffffffu, x, step));
    return x;
}

// The same number in every thread that shares a row: 32 or all 256 of a block, which must all come here.
template <int PER_ROW, typename T, typename F> __device__ __forceinline__ T across_row(T x, F f)
{
    x = across_lanes<WARP>(x, f);
    if constexpr (PER_ROW > WARP) {
        __shared__ T parts[PER_ROW / WARP];
        __syncthreads();
        if (threadIdx.x % WARP == 0)
            parts[threadIdx.x / WARP] = x;
        __syncthreads();
        x = parts[0];
#pragma unroll
        for (int i = 1; i < PER_ROW / WARP; i++)
            x = f(x, parts[i]);
    }
    return x;
}

} // namespace dipp_cuda

#endif
