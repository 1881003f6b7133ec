// A stand-in for a GPU, for tests where there is none: kernels are compiled for the host and run thread by thread, each
// thread a coroutine that gives way at barriers and shuffles. Work on a stream waits until somebody synchronises, as late
// as it may; captured work runs when its graph is launched. So the back-end's whole host side and the indices, barriers
// and arithmetic of every kernel are checked; not the device's own rounding of library functions, its speed, or races
// between threads, of which only those show that the order of threads brings out (EMULATED_ORDER=reverse turns it round).
// EMULATED_FAIL makes launches fail, EMULATED_MEMORY limits a block, EMULATED_LIBRARY=none takes the products away.
#include "cuda_runtime_api.h"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <ucontext.h>
#include <vector>

namespace
{

using work = std::function<void()>;

enum { MOST_THREADS = 256, WARP = 32, STACK = 128 << 10 };
enum state { READY, AT_BLOCK, AT_WARP, DONE };

struct coroutine {
    ucontext_t context;
    char *stack;
    state now = DONE;
    int vote;
    unsigned exchanges;
    uint64_t deposited[2];
};

coroutine threads[MOST_THREADS];
ucontext_t scheduler;
const work *body;
uint32_t thread_count;
int votes;

coroutine &self()
{
    return threads[threadIdx.x];
}

void give_way(state next)
{
    self().now = next;
    swapcontext(&self().context, &scheduler);
}

void live()
{
    for (;;) {
        (*body)();
        give_way(DONE);
    }
}

void wake(uint32_t i)
{
    coroutine &c = threads[i];
    threadIdx = dim3(i, 0, 0);
    if (!c.stack) {
        c.stack = static_cast<char *>(std::malloc(STACK));
        if (!c.stack || getcontext(&c.context))
            std::abort();
        c.context.uc_stack.ss_sp = c.stack;
        c.context.uc_stack.ss_size = STACK;
        c.context.uc_link = nullptr;
        makecontext(&c.context, live, 0);
    }
    swapcontext(&scheduler, &c.context);
}

/* Threads that have returned count as arrived at a barrier, and must not be missing in an exchange. */
bool all_are(uint32_t first, uint32_t end, state wanted)
{
    uint32_t here = 0, gone = 0;
    for (uint32_t i = first; i < end; i++) {
        here += threads[i].now == wanted;
        gone += threads[i].now == DONE && wanted == AT_BLOCK;
    }
    return here && here + gone == end - first;
}

void release(uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++)
        if (threads[i].now != DONE)
            threads[i].now = READY;
}

bool reversed()
{
    static const char *order = std::getenv("EMULATED_ORDER");
    return order && !std::strcmp(order, "reverse");
}

void run_block()
{
    for (uint32_t i = 0; i < thread_count; i++) {
        threads[i].now = READY;
        threads[i].exchanges = 0;
    }
    for (;;) {
        for (uint32_t i = 0; i < thread_count; i++) {
            uint32_t k = reversed() ? thread_count - 1 - i : i;
            if (threads[k].now == READY)
                wake(k);
        }
        bool released = false;
        for (uint32_t first = 0; first < thread_count; first += WARP)
            if (all_are(first, first + WARP, AT_WARP)) {
                release(first, first + WARP);
                released = true;
            }
        if (released)
            continue;
        if (all_are(0, thread_count, AT_BLOCK)) {
            votes = 0;
            for (uint32_t i = 0; i < thread_count; i++)
                votes |= threads[i].now == AT_BLOCK && threads[i].vote;
            release(0, thread_count);
            continue;
        }
        for (uint32_t i = 0; i < thread_count; i++)
            if (threads[i].now != DONE) {
                std::fprintf(stderr, "emulated kernel: threads wait at different barriers (thread %u, block %u)\n", i,
                             blockIdx.x);
                std::abort();
            }
        return;
    }
}

void run_grid(dim3 grid, uint32_t count, const work &kernel)
{
    body = &kernel;
    thread_count = count;
    gridDim = grid;
    uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    for (uint64_t b = 0; b < blocks; b++) {
        uint64_t at = reversed() ? blocks - 1 - b : b;
        blockIdx = dim3((uint32_t)(at % grid.x), (uint32_t)(at / grid.x % grid.y), (uint32_t)(at / grid.x / grid.y));
        run_block();
    }
}

cudaError_t last_error;

cudaError_t answer(cudaError_t error)
{
    if (error != cudaSuccess)
        last_error = error;
    return error;
}

} // namespace

dim3 threadIdx, blockIdx, gridDim;

struct CUgraph_st {
    std::vector<work> nodes;
};

struct CUgraphExec_st {
    std::vector<work> nodes;
};

struct CUstream_st {
    std::deque<work> waiting;
    uint64_t enqueued = 0, done = 0;
    CUgraph_st *capture = nullptr;
    void put(work w)
    {
        if (capture) {
            capture->nodes.push_back(std::move(w));
            return;
        }
        waiting.push_back(std::move(w));
        enqueued++;
    }
    void run_until(uint64_t count)
    {
        while (done < count) {
            work next = std::move(waiting.front());
            waiting.pop_front();
            done++;
            next();
        }
    }
};

struct CUevent_st {
    CUstream_st *stream = nullptr;
    uint64_t position = 0;
};

static std::vector<CUstream_st *> streams;

void emulated::launch(cudaStream_t stream, dim3 grid, uint32_t count, work kernel)
{
    if (std::getenv("EMULATED_FAIL")) {
        answer(cudaErrorIllegalAddress);
        return;
    }
    if (count > MOST_THREADS || count % WARP || !grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535) {
        answer(cudaErrorInvalidValue);
        return;
    }
    stream->put([=] { run_grid(grid, count, kernel); });
}

void emulated::meet_block()
{
    meet_block_or(0);
}

int emulated::meet_block_or(int value)
{
    self().vote = value;
    give_way(AT_BLOCK);
    return votes;
}

uint64_t emulated::exchange(uint64_t bits, uint32_t lane_mask)
{
    unsigned turn = self().exchanges++ % 2;
    self().deposited[turn] = bits;
    give_way(AT_WARP);
    return threads[threadIdx.x ^ lane_mask].deposited[turn];
}

uint16_t emulated::bf16_of(float x)
{
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return 0x7fff;
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int)
{
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int)
{
    *value = attribute == cudaDevAttrComputeCapabilityMajor ? 9 : 0;
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaErrorMemoryAllocation ? "out of memory" : "emulated failure";
}

const char *cudaGetErrorName(cudaError_t error)
{
    return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaErrorEmulated";
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

/* Garbage, so that nobody relies on zeros; EMULATED_MEMORY is the most bytes of one block. */
cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    const char *most = std::getenv("EMULATED_MEMORY");
    if (most && bytes > std::strtoull(most, nullptr, 10))
        return answer(cudaErrorMemoryAllocation);
    *memory = bytes > PTRDIFF_MAX - 256 ? nullptr : std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (!*memory)
        return answer(cudaErrorMemoryAllocation);
    std::memset(*memory, 0xa5, bytes);
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory)
{
    for (CUstream_st *stream : streams)
        stream->run_until(stream->enqueued);
    std::free(memory);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned)
{
    *memory = std::malloc(bytes);
    return *memory ? cudaSuccess : answer(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void *memory)
{
    std::free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    stream->put([=] { std::memset(memory, value, bytes); });
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t stream)
{
    stream->put([=] { std::memcpy(to, from, bytes); });
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    *stream = new CUstream_st;
    streams.push_back(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    stream->run_until(stream->enqueued);
    for (auto at = streams.begin(); at != streams.end(); ++at)
        if (*at == stream) {
            streams.erase(at);
            break;
        }
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (stream->capture)
        return answer(cudaErrorStreamCaptureUnsupported);
    stream->run_until(stream->enqueued);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = new CUevent_st;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    event->stream = stream;
    event->position = stream->enqueued;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (event->stream)
        event->stream->run_until(event->position);
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    if (stream->capture)
        return answer(cudaErrorStreamCaptureUnsupported);
    stream->capture = new CUgraph_st;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    *graph = stream->capture;
    stream->capture = nullptr;
    return *graph ? cudaSuccess : answer(cudaErrorStreamCaptureUnsupported);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long)
{
    *out = new CUgraphExec_st{graph->nodes};
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream)
{
    stream->put([graph] {
        for (const work &node : graph->nodes)
            node();
    });
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph)
{
    delete graph;
    return cudaSuccess;
}
