// Copies between strided places: permute, concat, slice and pad. Bits are moved as they are, in the largest unit that
// divides every length and offset.
#include "backend/cuda/kernels/device.cuh"

namespace dipp_cuda
{

template <typename UNIT>
__global__ void __launch_bounds__(THREADS)
    copy_units(const __grid_constant__ dipp_cuda_copy p, const UNIT *__restrict__ in, UNIT *__restrict__ out)
{
    for (int64_t i = blockIdx.x * (int64_t)THREADS + threadIdx.x; i < p.units; i += (int64_t)gridDim.x * THREADS) {
        int64_t from = p.in_start, to = p.out_start;
        uint32_t index = (uint32_t)i;
        for (int d = p.dims.rank - 1; d >= 0; d--) {
            uint32_t q = quotient(index, p.dims.dims[d]);
            int64_t position = index - q * p.dims.dims[d].divisor;
            from += position * p.dims.strides[0][d];
            to += position * p.dims.strides[1][d];
            index = q;
        }
        out[to] = in[from];
    }
}

template <typename UNIT> static void launch(cudaStream_t stream, const dipp_cuda_copy *p, const void *in, void *out)
{
    uint32_t blocks = dipp_cuda_blocks(p->units, THREADS, 16384);
    run(copy_units<UNIT>, blocks, THREADS, stream, *p, static_cast<const UNIT *>(in), static_cast<UNIT *>(out));
}

} // namespace dipp_cuda

using namespace dipp_cuda;

cudaError_t dipp_cuda_launch_copy(cudaStream_t stream, const dipp_cuda_copy *p, const void *in, void *out)
{
    if (!p->units)
        return cudaSuccess;
    switch (p->unit) {
    case 16: launch<uint4>(stream, p, in, out); break;
    case 8: launch<uint2>(stream, p, in, out); break;
    case 4: launch<uint32_t>(stream, p, in, out); break;
    case 2: launch<uint16_t>(stream, p, in, out); break;
    default: return cudaErrorInvalidValue;
    }
    return cudaGetLastError();
}
