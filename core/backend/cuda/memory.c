/* Device memory and the way in and out of it. Uploads are copied into pinned memory and sent behind the work already on
 * the stream: the caller's array is free at once and nothing waits for the device, unless the ring has gone round. */
#include "backend/cuda/conversion.h"
#include "backend/cuda/cuda.h"

#include <math.h>
#include <string.h>

dipp_status dipp_cuda_staging_create(dipp_cuda_staging *staging, dipp_error *error)
{
    size_t bytes = (size_t)(DIPP_CUDA_SLOTS + 1) * DIPP_CUDA_SLOT_BYTES;
    cudaError_t result = cudaHostAlloc((void **)&staging->memory, bytes, cudaHostAllocDefault);
    if (result != cudaSuccess) {
        staging->memory = NULL;
        return dipp_fail(error, DIPP_E_MEMORY, "cuda back-end: no %zu bytes of pinned host memory: %s", bytes,
                         cudaGetErrorString(result));
    }
    for (int i = 0; i < DIPP_CUDA_SLOTS && result == cudaSuccess; i++)
        result = cudaEventCreateWithFlags(&staging->read[i], cudaEventDisableTiming);
    if (result != cudaSuccess)
        return dipp_fail(error, DIPP_E_INTERNAL, "cuda back-end: no event: %s", cudaGetErrorString(result));
    return DIPP_OK;
}

void dipp_cuda_staging_destroy(dipp_cuda_staging *staging)
{
    for (int i = 0; i < DIPP_CUDA_SLOTS; i++)
        if (staging->read[i])
            cudaEventDestroy(staging->read[i]);
    if (staging->memory)
        cudaFreeHost(staging->memory);
    *staging = (dipp_cuda_staging){0};
}

void *dipp_cuda_allocate(dipp_backend *backend, size_t bytes)
{
    dipp_cuda_context *context = (dipp_cuda_context *)backend;
    void *memory = NULL;
    size_t rounded = bytes > SIZE_MAX - 256 ? bytes : dipp_cuda_round_up(bytes ? bytes : 1);
    if (context->failed || cudaMalloc(&memory, rounded) != cudaSuccess) {
        (void)cudaGetLastError(); /* being out of memory is an answer, not a failure that sticks */
        return NULL;
    }
    dipp_cuda_note(context, cudaMemsetAsync(memory, 0, rounded, context->stream), "zeroing new memory");
    return memory;
}

void dipp_cuda_release(dipp_backend *backend, void *memory)
{
    dipp_cuda_context *context = (dipp_cuda_context *)backend;
    dipp_cuda_note(context, cudaFree(memory), "cudaFree");
}

/* Room for bytes <= DIPP_CUDA_SLOT_BYTES in the ring. */
static char *stage(dipp_cuda_context *context, size_t bytes)
{
    dipp_cuda_staging *s = &context->staging;
    if (s->used + bytes > DIPP_CUDA_SLOT_BYTES) {
        dipp_cuda_note(context, cudaEventRecord(s->read[s->slot], context->stream), "cudaEventRecord");
        s->slot = (s->slot + 1) % DIPP_CUDA_SLOTS;
        s->used = 0;
        /* An event that was never recorded counts as passed. */
        dipp_cuda_note(context, cudaEventSynchronize(s->read[s->slot]), "cudaEventSynchronize");
    }
    char *at = s->memory + (size_t)s->slot * DIPP_CUDA_SLOT_BYTES + s->used;
    s->used += dipp_cuda_round_up(bytes);
    return at;
}

void dipp_cuda_upload(dipp_backend *backend, void *device, dipp_dtype dtype, const void *host, dipp_host_type type,
                      size_t count)
{
    dipp_cuda_context *context = (dipp_cuda_context *)backend;
    int32_t stored = dipp_cuda_type_of(context, dtype);
    size_t size = (size_t)dipp_cuda_type_bytes(stored), most = DIPP_CUDA_SLOT_BYTES / size;
    for (size_t done = 0; done < count && !context->failed;) {
        size_t piece = count - done < most ? count - done : most;
        char *staged = stage(context, piece * size);
        dipp_cuda_encode(staged, stored, host, type, done, piece);
        dipp_cuda_note(context,
                       cudaMemcpyAsync((char *)device + done * size, staged, piece * size, cudaMemcpyHostToDevice,
                                       context->stream),
                       "upload");
        done += piece;
    }
}

/* What a download gives after a failure: numbers that nobody takes for results. */
static void poison(void *host, dipp_host_type type, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (type == DIPP_HOST_F32)
            ((float *)host)[i] = NAN;
        else if (type == DIPP_HOST_F64)
            ((double *)host)[i] = (double)NAN;
        else
            ((int32_t *)host)[i] = INT32_MIN;
    }
}

void dipp_cuda_download(dipp_backend *backend, void *host, dipp_host_type type, const void *device, dipp_dtype dtype,
                        size_t count)
{
    dipp_cuda_context *context = (dipp_cuda_context *)backend;
    int32_t stored = dipp_cuda_type_of(context, dtype);
    size_t size = (size_t)dipp_cuda_type_bytes(stored), most = DIPP_CUDA_SLOT_BYTES / size;
    char *staged = context->staging.memory + (size_t)DIPP_CUDA_SLOTS * DIPP_CUDA_SLOT_BYTES;
    for (size_t done = 0; done < count && !context->failed;) {
        size_t piece = count - done < most ? count - done : most;
        dipp_cuda_note(context,
                       cudaMemcpyAsync(staged, (const char *)device + done * size, piece * size, cudaMemcpyDeviceToHost,
                                       context->stream),
                       "download");
        dipp_cuda_note(context, cudaStreamSynchronize(context->stream), "download");
        dipp_cuda_decode(host, type, done, staged, stored, piece);
        done += piece;
    }
    if (context->failed)
        poison(host, type, count);
}

void dipp_cuda_zero(dipp_backend *backend, void *device, size_t bytes)
{
    dipp_cuda_context *context = (dipp_cuda_context *)backend;
    dipp_cuda_note(context, cudaMemsetAsync(device, 0, bytes, context->stream), "zero");
}

void dipp_cuda_synchronize(dipp_backend *backend)
{
    dipp_cuda_context *context = (dipp_cuda_context *)backend;
    dipp_cuda_note(context, cudaStreamSynchronize(context->stream), "synchronize");
}
