/* The one place where the CPU back-end starts threads of its own. oneDNN runs on the same OpenMP team. */
#include "backend/cpu/cpu.h"
#include "base/memory.h"

#include <omp.h>

void dipp_cpu_parallel(int threads, int64_t items, int64_t elements, dipp_cpu_body *body, const void *state,
                       void *const *args)
{
    if (threads < 2 || items < 2 || elements < DIPP_CPU_PARALLEL_ELEMENTS) {
        body(state, args, 0, 0, items);
        return;
    }
    /* Always the whole team: a team that changes its size between regions is rebuilt by the run time. */
#pragma omp parallel num_threads(threads)
    {
        int64_t thread = omp_get_thread_num(), count = omp_get_num_threads();
        int64_t begin = items * thread / count, end = items * (thread + 1) / count;
        if (begin < end)
            body(state, args, (int)thread, begin, end);
    }
}

void *dipp_cpu_state(dipp_kernel *out, size_t bytes, dipp_error *error)
{
    void *state = dipp_allocate_zeroed(1, bytes);
    if (!state) {
        dipp_fail(error, DIPP_E_MEMORY, "cpu back-end: no memory for the state of a node (%zu bytes)", bytes);
        return NULL;
    }
    out->state = state;
    out->destroy = dipp_release;
    return state;
}
