#include "node.h"

#include <omp.h>

#include <time.h>

static void add_operand(bench_node *node, const dipp_operand *operand)
{
    size_t bytes = node->backend->element_size[operand->dtype] * (size_t)dipp_shape_elements(&operand->shape);
    node->args[node->count++] = node->backend->allocate(node->backend, bytes);
}

dipp_status bench_node_make(bench_node *node, dipp_backend *backend, const dipp_node_view *view, dipp_error *error)
{
    *node = (bench_node){.backend = backend};
    dipp_status status = backend->prepare(backend, view, &node->kernel, error);
    if (status != DIPP_OK)
        return status;
    for (uint32_t i = 0; i < view->input_count; i++)
        add_operand(node, &view->inputs[i]);
    for (uint32_t i = 0; i < view->output_count; i++)
        add_operand(node, &view->outputs[i]);
    node->args[node->count++] = backend->allocate(backend, node->kernel.scratch_bytes);
    return DIPP_OK;
}

void bench_node_run(void *state)
{
    bench_node *node = state;
    node->kernel.run(node->kernel.state, node->args);
}

void bench_node_destroy(bench_node *node)
{
    for (int i = 0; i < node->count; i++)
        node->backend->release(node->backend, node->args[i]);
    if (node->kernel.destroy)
        node->kernel.destroy(node->kernel.state);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(omp_get_max_threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_seconds_of(void (*run)(void *), void *state, int repeats)
{
    double start = now();
    for (int i = 0; i < repeats; i++)
        run(state);
    return (now() - start) / repeats;
}
