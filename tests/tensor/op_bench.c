/* Times the bench nodes of an op: useful operations and bytes that must move at least once, per second. */
#include "op_check.h"

#include <stdio.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double elements(const dipp_operand *operand)
{
    return (double)op_elements(operand);
}

/* Multiplications and additions of the definition; one per element for what is elementwise. */
static double operations(const op_case *c)
{
    const dipp_node_view *view = &c->view;
    const dipp_shape *first = &view->inputs[0].shape;
    double result = view->output_count ? elements(&view->outputs[0]) : (double)c->attributes.count;
    switch (view->op) {
    case DIPP_OP_MATMUL:
    case DIPP_OP_LINEAR:
    case DIPP_OP_LINEAR_BACKWARD_WEIGHT:
    case DIPP_OP_CONV2D:
    case DIPP_OP_CONV2D_BACKWARD_WEIGHT: return 2 * (double)c->terms * result;
    case DIPP_OP_CONV2D_BACKWARD_DATA: /* every output place meets every input channel's taps */
        return 2 * elements(&view->inputs[1]) * elements(&view->inputs[0]) / (double)first->dims[0];
    case DIPP_OP_INVERSE: return 2 * (double)c->terms * result;
    case DIPP_OP_ATTENTION:
    case DIPP_OP_ATTENTION_BACKWARD: {
        double pairs = (double)first->dims[0] * (double)first->dims[1] * (double)view->inputs[1].shape.dims[1];
        return (view->op == DIPP_OP_ATTENTION ? 4 : 10) * pairs * (double)first->dims[2];
    }
    default: return result > elements(&view->inputs[0]) ? result : elements(&view->inputs[0]);
    }
}

static double traffic(const dipp_backend *backend, const op_case *c)
{
    double bytes = 0;
    for (uint32_t k = 0; k < c->view.input_count; k++)
        bytes += elements(&c->view.inputs[k]) * (double)backend->element_size[c->view.inputs[k].dtype] *
                 (c->in_place >> k & 1 ? 2 : 1);
    for (uint32_t k = 0; k < c->view.output_count; k++)
        bytes += elements(&c->view.outputs[k]) * (double)backend->element_size[c->view.outputs[k].dtype] *
                 (c->outputs[k] ? 2 : 1);
    return bytes;
}

/* Seconds of the fastest of the runs that fit into about a third of a second. */
static double fastest(dipp_backend *backend, const dipp_kernel *kernel, const op_placement *place)
{
    double best = 1e30, start = now();
    int runs = 0;
    while (runs < 2 || (now() - start < 0.3 && runs < 1000)) {
        double before = now();
        if (backend->begin)
            backend->begin(backend);
        kernel->run(kernel->state, place->args);
        if (backend->end)
            backend->end(backend);
        backend->synchronize(backend);
        double taken = now() - before;
        best = taken < best ? taken : best;
        runs++;
    }
    return best;
}

bool op_bench(dipp_backend *backend, dipp_backend *oracle, dipp_op op)
{
    op_case_list list = op_cases_generate(op, 0, true, oracle);
    bool all = true;
    for (size_t k = 0; k < list.count; k++) {
        op_case *c = list.cases[k];
        dipp_kernel kernel = {0};
        dipp_error error = {0};
        op_case_fit(backend, c);
        if (c->attributes.accumulate && !backend->accumulates(backend, &c->view))
            continue;
        if (backend->prepare(backend, &c->view, &kernel, &error) != DIPP_OK) {
            printf("%-24s %s\n", op_name(op), error.message);
            all = false;
            continue;
        }
        op_placement place = op_place(backend, c, &kernel);
        op_place_load(backend, c, &place);
        double seconds = fastest(backend, &kernel, &place);
        printf("%-24s %9.3f ms %9.2f GFLOP/s %9.2f GB/s  %s\n", op_name(op), 1e3 * seconds,
               1e-9 * operations(c) / seconds, 1e-9 * traffic(backend, c) / seconds, c->label);
        op_place_free(backend, &place);
        if (kernel.destroy)
            kernel.destroy(kernel.state);
    }
    op_cases_free(&list);
    return all;
}
