// A stand-in for a GPU, for tests where there is none: kernels are compiled for the host and run thread by thread, each
// thread a coroutine that gives way at barriers and shuffles. Work on a stream waits until somebody synchronises, as late
// as it may; captured work runs when its graph is launched. So the back-end's whole host side and the indices, barriers
// and arithmetic of every kernel are checked; not the device's own rounding of library functions, its speed, or races
// between threads, of which only those show that the order of threads brings out: usually warps go on together, and copies into
// shared memory are made as late as they may; with EMULATED_ORDER=reverse a warp goes as far as it can, the last one first,
// and copies are made at once.
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

struct copy {
    uint16_t *to;
    const uint16_t *from; /* NULL: zeros */
};

struct coroutine {
    ucontext_t context;
    char *stack;
    state now = DONE;
    int vote;
    unsigned exchanges;
    uint64_t deposited[2];
    uint32_t operands[2][6];              /* of a product: a, b */
    std::vector<copy> started;            /* since the last group ended */
    std::deque<std::vector<copy>> groups; /* the oldest first */
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

/* Each thread until it gives way; whether the warp goes on from there. */
bool run_warp(uint32_t first)
{
    for (uint32_t i = 0; i < WARP; i++) {
        uint32_t k = first + (reversed() ? WARP - 1 - i : i);
        if (threads[k].now == READY)
            wake(k);
    }
    bool together = all_are(first, first + WARP, AT_WARP);
    if (together)
        release(first, first + WARP);
    return together;
}

void run_block()
{
    for (uint32_t i = 0; i < thread_count; i++) {
        threads[i].now = READY;
        threads[i].exchanges = 0;
        if (!threads[i].started.empty() || !threads[i].groups.empty()) {
            std::fprintf(stderr, "emulated kernel: thread %u ended without waiting for its copies\n", i);
            std::abort();
        }
    }
    for (;;) {
        bool moved = false;
        for (uint32_t w = 0; w < thread_count / WARP; w++) {
            uint32_t first = (reversed() ? thread_count / WARP - 1 - w : w) * WARP;
            bool goes_on = run_warp(first);
            moved = moved || goes_on;
            while (goes_on && reversed())
                goes_on = run_warp(first);
        }
        if (moved)
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

static float half_of(uint32_t pair, int which)
{
    uint32_t bits = which ? pair & 0xffff0000u : pair << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

void emulated::multiply_add(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    unsigned turn = self().exchanges++ % 2;
    uint32_t *mine = self().operands[turn];
    std::memcpy(mine, a, 4 * sizeof *a);
    mine[4] = b0, mine[5] = b1;
    give_way(AT_WARP);
    const coroutine *warp = threads + threadIdx.x / WARP * WARP;
    int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; i++) {
        int row = g + 8 * (i / 2), column = 2 * t + i % 2;
        float sum = d[i];
        for (int k = 0; k < 16; k++) {
            const uint32_t *left = warp[row % 8 * 4 + k % 8 / 2].operands[turn];
            const uint32_t *right = warp[column * 4 + k % 8 / 2].operands[turn];
            sum += half_of(left[row / 8 + 2 * (k / 8)], k % 2) * half_of(right[4 + k / 8], k % 2);
        }
        d[i] = sum;
    }
}

void emulated::load_matrices(uint32_t r[4], const uint16_t *row, bool transposed)
{
    if ((uintptr_t)row % 16) {
        std::fprintf(stderr, "emulated kernel: a matrix's row is not at a multiple of 16 bytes\n");
        std::abort();
    }
    unsigned turn = self().exchanges++ % 2;
    self().deposited[turn] = (uint64_t)(uintptr_t)row;
    give_way(AT_WARP);
    const coroutine *warp = threads + threadIdx.x / WARP * WARP;
    int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    for (int m = 0; m < 4; m++) {
        auto at = [&](int i, int j) { return ((const uint16_t *)(uintptr_t)warp[8 * m + i].deposited[turn])[j]; };
        uint16_t low = transposed ? at(2 * t, g) : at(g, 2 * t),
                 high = transposed ? at(2 * t + 1, g) : at(g, 2 * t + 1);
        r[m] = (uint32_t)high << 16 | low;
    }
    give_way(AT_WARP); /* nobody writes there before all have read */
}

static void make(const copy &c)
{
    if (c.from)
        std::memcpy(c.to, c.from, 16);
    else
        std::memset(c.to, 0, 16);
}

void emulated::start_copy(uint16_t *to, const uint16_t *from, bool there)
{
    if ((uintptr_t)to % 16 || (uintptr_t)from % 16) {
        std::fprintf(stderr, "emulated kernel: a copy is not between multiples of 16 bytes\n");
        std::abort();
    }
    self().started.push_back({to, there ? from : nullptr});
    if (reversed()) /* as early as it may */
        make(self().started.back());
}

void emulated::end_copies()
{
    self().groups.push_back(std::move(self().started));
    self().started.clear();
}

void emulated::await_copies(unsigned running)
{
    std::deque<std::vector<copy>> &groups = self().groups;
    for (; groups.size() > running; groups.pop_front())
        for (const copy &c : groups.front())
            if (!reversed())
                make(c);
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

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    const char *most = std::getenv("EMULATED_MEMORY");
    *free_bytes = *total = most ? std::strtoull(most, nullptr, 10) : (size_t)64 << 30;
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
