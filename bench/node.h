/* One node on a back-end, ready to be run and timed: what the benches of single layers share. */
#ifndef DIPP_BENCH_NODE_H
#define DIPP_BENCH_NODE_H

#include "tensor/backend.h"

typedef struct bench_node {
    dipp_backend *backend; /* borrowed */
    dipp_kernel kernel;
    void *args[DIPP_MAX_INPUTS + DIPP_MAX_OUTPUTS + 1]; /* inputs, outputs, scratch */
    int count;
} bench_node;

/* Prepares view with zeroed operands; attributes must outlive the node. bench_node_destroy also after a failure. */
dipp_status bench_node_make(bench_node *node, dipp_backend *backend, const dipp_node_view *view, dipp_error *error);
/* state is a bench_node. */
void bench_node_run(void *state);
void bench_node_destroy(bench_node *node);

/* Seconds of one run, over so many: of the processor where OpenMP has one thread, of the clock otherwise. */
double bench_seconds_of(void (*run)(void *), void *state, int repeats);

#endif
