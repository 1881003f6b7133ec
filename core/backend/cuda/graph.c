/* Replays as CUDA graphs. The first replay of a list runs its calls one by one, so that every kernel and library is
 * loaded; the second records the same calls into a graph; from then on one launch is the whole list. Pointers in the
 * lists never change, and what changes from step to step lies in device memory that the pointers lead to. A list that
 * cannot be captured is run call by call for ever. */
#include "backend/cuda/cuda.h"

#include "base/memory.h"

typedef struct remembered {
    cudaGraphExec_t graph;
    bool ran, refused;
} remembered;

static void run_all(const dipp_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        calls[i].run(calls[i].state, calls[i].args);
}

/* Captures without running. false: nothing was captured, and the context is as before. */
static bool capture(dipp_cuda_context *context, const dipp_call *calls, size_t count, cudaGraphExec_t *out)
{
    cudaGraph_t graph = NULL;
    if (cudaStreamBeginCapture(context->stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
        (void)cudaGetLastError();
        return false;
    }
    run_all(calls, count);
    bool good = cudaStreamEndCapture(context->stream, &graph) == cudaSuccess && graph && !context->failed;
    good = good && cudaGraphInstantiate(out, graph, 0) == cudaSuccess;
    if (graph)
        cudaGraphDestroy(graph);
    if (!good) {
        (void)cudaGetLastError();
        context->failed = false; /* replay only captures while nothing has failed */
    }
    return good;
}

void dipp_cuda_replay(dipp_backend *backend, void **memory, const dipp_call *calls, size_t count)
{
    dipp_cuda_context *context = (dipp_cuda_context *)backend;
    if (!count || context->failed)
        return;
    remembered *list = *memory;
    if (!list && context->graphs)
        list = *memory = dipp_allocate_zeroed(1, sizeof *list);
    if (list && list->ran && !list->graph && !list->refused) {
        list->refused = !capture(context, calls, count, &list->graph);
        if (list->refused)
            list->graph = NULL;
    }
    if (list && list->graph) {
        dipp_cuda_note(context, cudaGraphLaunch(list->graph, context->stream), "cudaGraphLaunch");
        return;
    }
    run_all(calls, count);
    if (list)
        list->ran = true;
}

void dipp_cuda_forget(dipp_backend *backend, void *memory)
{
    remembered *list = memory;
    if (!list)
        return;
    if (list->graph) { /* it may still be running */
        dipp_cuda_synchronize(backend);
        cudaGraphExecDestroy(list->graph);
    }
    dipp_release(list);
}
