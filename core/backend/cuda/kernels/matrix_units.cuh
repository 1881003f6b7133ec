// The matrix units as a warp sees them: products of 16 x 8 tiles, loads of their operands from shared memory, and copies into
// shared memory that run on while the warp computes. Compute capability 8.0 and newer. bf16 numbers are their bits.
//
// Where the numbers of a tile are: lane = 4 g + t of a warp holds
//   a [16 rows x 16]      a[0] row g, columns 2t and 2t + 1; a[1] row g + 8; a[2], a[3] the same, eight columns on
//   b [16 x 8 columns]    b0 rows 2t and 2t + 1 of column g; b1 eight rows on
//   d [16 rows x 8], f32  d[0], d[1] row g, columns 2t and 2t + 1; d[2], d[3] row g + 8
#ifndef DIPP_BACKEND_CUDA_MATRIX_UNITS_CUH
#define DIPP_BACKEND_CUDA_MATRIX_UNITS_CUH

#include "backend/cuda/kernels/device.cuh"

namespace dipp_cuda
{

// d += a b, summed in f32.
__device__ __forceinline__ void multiply_add(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
#ifdef __CUDACC__
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    emulated::multiply_add(d, a, b0, b1);
#endif
}

// Four matrices of 8 x 8 from shared memory: lane 8 m + i says where row i of matrix m begins, at a multiple of 16 bytes; r[m] is
// row g, columns 2t and 2t + 1 of matrix m.
__device__ __forceinline__ void load_matrices(uint32_t r[4], const uint16_t *row)
{
#ifdef __CUDACC__
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
#else
    emulated::load_matrices(r, row, false);
#endif
}

// The same of the transposed matrices: r[m] is column g, rows 2t and 2t + 1.
__device__ __forceinline__ void load_turned_matrices(uint32_t r[4], const uint16_t *row)
{
#ifdef __CUDACC__
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
#else
    emulated::load_matrices(r, row, true);
#endif
}

// Starts a copy of 16 bytes, both ends at multiples of 16, or of zeros where there is nothing to read; from is valid in either
// case.
__device__ __forceinline__ void start_copy(uint16_t *to, const uint16_t *from, bool there)
{
#ifdef __CUDACC__
    uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(there ? 16 : 0) : "memory");
#else
    emulated::start_copy(to, from, there);
#endif
}

// Ends a group of the copies started so far by this thread.
__device__ __forceinline__ void end_copies()
{
#ifdef __CUDACC__
    asm volatile("cp.async.commit_group;" ::: "memory");
#else
    emulated::end_copies();
#endif
}

// Until this thread's groups have arrived, all but the newest RUNNING. A barrier makes them visible to others.
template <int RUNNING> __device__ __forceinline__ void await_copies()
{
#ifdef __CUDACC__
    asm volatile("cp.async.wait_group %0;" ::"n"(RUNNING) : "memory");
#else
    emulated::await_copies(RUNNING);
#endif
}

// 2^x, to about two units in the last place; 0 for x of minus infinity.
__device__ __forceinline__ float power_of_two(float x)
{
#ifdef __CUDACC__
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return std::exp2(x);
#endif
}

} // namespace dipp_cuda

#endif
