// Rows of a table picked by number and their gradient, sinusoids of times, and inverses of small matrices.
#include "backend/cuda/kernels/device.cuh"

namespace dipp_cuda
{

// An id outside the table reads as row 0, and its gradient goes there.
__device__ __forceinline__ int64_t table_row(int32_t id, int64_t entries)
{
    return id < 0 || id >= entries ? 0 : id;
}

template <typename UNIT>
__global__ void __launch_bounds__(THREADS)
    pick_rows(int64_t units, dipp_cuda_divisor units_per_row, int64_t entries, const UNIT *__restrict__ table,
              const int32_t *__restrict__ ids, UNIT *__restrict__ out)
{
    for (int64_t i = blockIdx.x * (int64_t)THREADS + threadIdx.x; i < units; i += (int64_t)gridDim.x * THREADS) {
        uint32_t row = quotient((uint32_t)i, units_per_row);
        uint32_t column = (uint32_t)i - row * units_per_row.divisor;
        out[i] = table[table_row(ids[row], entries) * units_per_row.divisor + column];
    }
}

template <typename UNIT>
static void launch_pick(cudaStream_t stream, int64_t ids_count, int64_t entries, int64_t row_bytes, const void *table,
                        const int32_t *ids, void *out)
{
    int64_t per_row = row_bytes / (int64_t)sizeof(UNIT);
    run(pick_rows<UNIT>, dipp_cuda_blocks(ids_count * per_row, THREADS, 16384), THREADS, stream, ids_count * per_row,
        dipp_cuda_divisor_of(per_row), entries, static_cast<const UNIT *>(table), ids, static_cast<UNIT *>(out));
}

constexpr int SCAN = 128;

// A block to a row of the table: it looks through all ids in order and adds the rows of dy that are its own. A thread
// keeps to its columns, so nothing races and the order of sums is that of the ids.
__global__ void __launch_bounds__(SCAN)
    add_picked_rows(int64_t ids_count, int64_t entries, int64_t width, int type, int accumulate,
                    const int32_t *__restrict__ ids, const void *__restrict__ dy, float *out)
{
    __shared__ int mine[SCAN];
    const int64_t entry = blockIdx.x;
    float *row = out + entry * width;
    if (!accumulate)
        for (int64_t column = threadIdx.x; column < width; column += SCAN)
            row[column] = 0.0f;
    for (int64_t start = 0; start < ids_count; start += SCAN) {
        int64_t at = start + threadIdx.x;
        int found = at < ids_count && table_row(ids[at], entries) == entry;
        mine[threadIdx.x] = found;
        if (!__syncthreads_or(found)) // also orders mine before its readers
            continue;
        for (int i = 0; i < SCAN; i++)
            if (mine[i])
                for (int64_t column = threadIdx.x; column < width; column += SCAN)
                    row[column] += load_one(dy, type, (start + i) * width + column);
        __syncthreads();
    }
}

// In double: a frequency or an angle in f32 would be off by many units in the last place of the result.
__global__ void __launch_bounds__(THREADS) sinusoid(int64_t count, int64_t width, double max_period, int sin_first,
                                                    const float *__restrict__ t, float *__restrict__ out)
{
    int64_t i = blockIdx.x * (int64_t)THREADS + threadIdx.x, half = width / 2;
    if (i >= count * width)
        return;
    int64_t n = i / width, column = i % width;
    if (column >= 2 * half) { // an odd width ends in a zero
        out[i] = 0.0f;
        return;
    }
    bool second = column >= half;
    double angle = (double)t[n] * pow(max_period, -(double)(second ? column - half : column) / (double)half);
    out[i] = (float)(second == (sin_first != 0) ? cos(angle) : sin(angle));
}

constexpr int LARGEST = 16;

// Gauss and Jordan on [a | 1] with partial pivoting, in double, a thread to a matrix. A singular matrix divides by its
// zero pivot.
__global__ void __launch_bounds__(64) invert(int64_t count, int size, const float *in, float *out)
{
    int64_t matrix = blockIdx.x * (int64_t)64 + threadIdx.x;
    if (matrix >= count)
        return;
    in += matrix * size * size;
    out += matrix * size * size;
    double rows[LARGEST][2 * LARGEST];
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            rows[i][j] = in[i * size + j];
            rows[i][size + j] = i == j ? 1.0 : 0.0;
        }
    for (int column = 0; column < size; column++) {
        int pivot = column;
        for (int i = column + 1; i < size; i++)
            if (fabs(rows[i][column]) > fabs(rows[pivot][column]))
                pivot = i;
        double scale = 1.0 / rows[pivot][column];
        for (int j = 0; j < 2 * size; j++) {
            double held = rows[column][j];
            rows[column][j] = rows[pivot][j] * scale;
            if (pivot != column)
                rows[pivot][j] = held;
        }
        for (int i = 0; i < size; i++) {
            double factor = rows[i][column];
            if (i != column)
                for (int j = 0; j < 2 * size; j++)
                    rows[i][j] -= factor * rows[column][j];
        }
    }
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++)
            out[i * size + j] = (float)rows[i][size + j];
}

} // namespace dipp_cuda

using namespace dipp_cuda;

cudaError_t dipp_cuda_launch_embedding(cudaStream_t stream, int64_t ids_count, int64_t entries, int64_t row_bytes,
                                       const void *table, const int32_t *ids, void *out)
{
    if (!ids_count || !row_bytes)
        return cudaSuccess;
    if (row_bytes % 16 == 0)
        launch_pick<uint4>(stream, ids_count, entries, row_bytes, table, ids, out);
    else if (row_bytes % 4 == 0)
        launch_pick<uint32_t>(stream, ids_count, entries, row_bytes, table, ids, out);
    else
        launch_pick<uint16_t>(stream, ids_count, entries, row_bytes, table, ids, out);
    return cudaGetLastError();
}

cudaError_t dipp_cuda_launch_embedding_backward(cudaStream_t stream, int64_t ids_count, int64_t entries, int64_t width,
                                                int32_t type, int32_t accumulate, const int32_t *ids, const void *dy,
                                                float *out)
{
    run(add_picked_rows, (uint32_t)entries, SCAN, stream, ids_count, entries, width, type, accumulate, ids, dy, out);
    return cudaGetLastError();
}

cudaError_t dipp_cuda_launch_sinusoid(cudaStream_t stream, int64_t count, int64_t width, double max_period,
                                      int32_t sin_first, const float *t, float *out)
{
    uint32_t blocks = (uint32_t)((count * width + THREADS - 1) / THREADS);
    run(sinusoid, blocks, THREADS, stream, count, width, max_period, sin_first, t, out);
    return cudaGetLastError();
}

cudaError_t dipp_cuda_launch_inverse(cudaStream_t stream, int64_t count, int64_t size, const float *in, float *out)
{
    run(invert, (uint32_t)((count + 63) / 64), 64, stream, count, (int)size, in, out);
    return cudaGetLastError();
}
