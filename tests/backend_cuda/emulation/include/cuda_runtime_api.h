/* The part of the CUDA runtime that the cuda back-end uses, on the host: see ../emulation.cpp. C and C++. */
#ifndef DIPP_EMULATED_CUDA_RUNTIME_API_H
#define DIPP_EMULATED_CUDA_RUNTIME_API_H

#include <stddef.h>
#include <stdint.h>

#define CUDART_VERSION 13000

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cudaError {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorNoDevice = 100,
    cudaErrorIllegalAddress = 700,
    cudaErrorStreamCaptureUnsupported = 900
} cudaError_t;

typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;
typedef struct CUgraph_st *cudaGraph_t;
typedef struct CUgraphExec_st *cudaGraphExec_t;
typedef enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 } cudaMemcpyKind;
typedef enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 } cudaStreamCaptureMode;
typedef enum cudaDeviceAttr {
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76
} cudaDeviceAttr;
enum { cudaHostAllocDefault = 0, cudaEventDisableTiming = 2, cudaStreamNonBlocking = 1 };

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
const char *cudaGetErrorString(cudaError_t error);
const char *cudaGetErrorName(cudaError_t error);
cudaError_t cudaGetLastError(void);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total);
cudaError_t cudaMalloc(void **memory, size_t bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *memory);
cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);

#ifdef __cplusplus
}

/* ---- what kernels are written in ---- */

#include <cmath>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__      static /* one block runs at a time */
#define __grid_constant__
#define __launch_bounds__(...)

struct dim3 {
    uint32_t x, y, z;
    dim3(uint32_t x = 1, uint32_t y = 1, uint32_t z = 1) : x(x), y(y), z(z)
    {
    }
};

struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct alignas(16) int4 {
    int32_t x, y, z, w;
};
struct alignas(8) uint2 {
    uint32_t x, y;
};

static inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

static inline uint2 make_uint2(uint32_t x, uint32_t y)
{
    return {x, y};
}

extern dim3 threadIdx, blockIdx, gridDim;

namespace emulated
{
void launch(cudaStream_t stream, dim3 grid, uint32_t threads, std::function<void()> kernel);
void meet_block();
int meet_block_or(int value);
uint64_t exchange(uint64_t bits, uint32_t lane_mask);
uint16_t bf16_of(float x); /* to nearest even, one canonical NaN, as the device's cvt.rn */
/* What a warp does together: mma.m16n8k16, ldmatrix.x4, and cp.async, whose copies are made as late as they may. */
void multiply_add(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1);
void load_matrices(uint32_t r[4], const uint16_t *row, bool transposed);
void start_copy(uint16_t *to, const uint16_t *from, bool there);
void end_copies();
void await_copies(unsigned running);
} // namespace emulated

static inline float __fmul_rn(float a, float b)
{
    return a * b; // the tests are compiled with -ffp-contract=off
}

static inline uint32_t __umulhi(uint32_t a, uint32_t b)
{
    return (uint32_t)((uint64_t)a * b >> 32);
}

static inline float __uint_as_float(uint32_t bits)
{
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

static inline void __syncthreads()
{
    emulated::meet_block();
}

static inline int __syncthreads_or(int value)
{
    return emulated::meet_block_or(value);
}

template <typename T> static inline T __shfl_xor_sync(uint32_t, T value, int lane_mask)
{
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = emulated::exchange(bits, (uint32_t)lane_mask);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

static inline int min(int a, int b)
{
    return a < b ? a : b;
}

using std::isfinite;
#endif
#endif
