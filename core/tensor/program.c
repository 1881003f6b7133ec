#include "tensor/program_internal.h"

#include "base/memory.h"

#include <string.h>

void dipp_node_view_of(const dipp_graph *g, const dipp_node *node, dipp_node_view *view)
{
    *view = (dipp_node_view){.op = node->op,
                             .input_count = node->input_count,
                             .output_count = node->output_count,
                             .attributes = &node->attributes};
    for (uint32_t i = 0; i < node->input_count; i++) {
        const dipp_value *value = &g->values[node->inputs[i]];
        view->inputs[i] = (dipp_operand){node->inputs[i] != 0, value->dtype, value->shape};
    }
    for (uint32_t i = 0; i < node->output_count; i++) {
        const dipp_value *value = &g->values[node->outputs[i]];
        view->outputs[i] = (dipp_operand){true, value->dtype, value->shape};
    }
}

/* Matrix products, convolutions and attention only: 2 flops a multiply-add, as the field counts. */
double dipp_node_flops(const dipp_node_view *view)
{
    const dipp_shape *a = &view->inputs[0].shape;
    double elements = view->output_count ? (double)dipp_shape_elements(&view->outputs[0].shape) : 0;
    switch (view->op) {
    case DIPP_OP_MATMUL: return 2.0 * elements * (double)a->dims[a->rank - (view->attributes->transpose_a ? 2 : 1)];
    case DIPP_OP_LINEAR: return 2.0 * elements * (double)a->dims[a->rank - 1];
    case DIPP_OP_LINEAR_BACKWARD_WEIGHT:
        return 2.0 * elements * (double)dipp_shape_elements(a) / (double)a->dims[a->rank - 1];
    case DIPP_OP_CONV2D: { /* taps that fall on padding count, as the field counts them */
        const dipp_shape *w = &view->inputs[1].shape;
        return 2.0 * elements * (double)(w->dims[1] * w->dims[2] * w->dims[3]);
    }
    case DIPP_OP_CONV2D_BACKWARD_DATA: {
        return 2.0 * (double)(a->dims[1] * a->dims[2] * a->dims[3]) *
               (double)dipp_shape_elements(&view->inputs[1].shape);
    }
    case DIPP_OP_CONV2D_BACKWARD_WEIGHT: {
        const dipp_shape *dy = &view->inputs[1].shape;
        return 2.0 * elements * (double)(dy->dims[0] * dy->dims[2] * dy->dims[3]);
    }
    case DIPP_OP_ATTENTION: return 4.0 * elements * (double)view->inputs[1].shape.dims[1];
    case DIPP_OP_ATTENTION_BACKWARD:
        return 10.0 * (double)dipp_shape_elements(a) * (double)view->inputs[1].shape.dims[1];
    default: return 0;
    }
}

/* How many nodes read a value directly (views count as readers). */
static uint32_t *count_readers(const dipp_graph *g)
{
    uint32_t *readers = dipp_allocate_zeroed(g->value_count, sizeof *readers);
    for (size_t n = 0; readers && n < g->node_count; n++)
        for (uint32_t i = 0; i < g->nodes[n].input_count; i++)
            readers[g->nodes[n].inputs[i]]++;
    return readers;
}

/* Where compute and wide are stored alike a cast between them is the same storage. */
static void alias_casts(dipp_graph *g, const dipp_backend *backend)
{
    for (size_t n = 0; backend->compute_is_wide && n < g->node_count; n++) {
        dipp_node *node = &g->nodes[n];
        if (node->op != DIPP_OP_CAST || g->values[node->inputs[0]].dtype == DIPP_INT32 ||
            g->values[node->outputs[0]].is_output)
            continue;
        node->op = DIPP_OP_RESHAPE;
        g->values[node->outputs[0]].view_of = node->inputs[0];
    }
}

/* ACCUMULATE(P(...)) becomes P with accumulate set where the back-end's kernel adds to its output: one pass over the
 * gradient less. Only when P's result has no other reader. */
static void fuse_accumulation(dipp_graph *g, dipp_backend *backend, const uint32_t *readers)
{
    for (size_t n = 0; n < g->node_count; n++) {
        dipp_node *sink = &g->nodes[n];
        if (sink->op != DIPP_OP_ACCUMULATE)
            continue;
        uint32_t id = sink->inputs[0];
        while (g->values[id].view_of && readers[id] == 1 && !g->values[id].is_output)
            id = g->values[id].view_of;
        const dipp_value *value = &g->values[id];
        if (value->kind != DIPP_VALUE_COMPUTED || value->view_of || readers[id] != 1 || value->is_output ||
            value->dtype != DIPP_WIDE || value->output != 0)
            continue;
        dipp_node *producer = &g->nodes[value->node];
        dipp_attributes saved = producer->attributes;
        producer->attributes.accumulate = true;
        dipp_node_view view;
        dipp_node_view_of(g, producer, &view);
        if (producer->segment != sink->segment || !backend->accumulates(backend, &view)) {
            producer->attributes = saved;
            continue;
        }
        /* The gradient's value takes the producer's shape: a view between the two does not move elements. */
        uint32_t gradient = sink->outputs[0];
        g->values[gradient].shape = value->shape;
        producer->outputs[0] = gradient;
        sink->op = DIPP_OP_LEAF;
        sink->input_count = sink->output_count = 0;
    }
}

static bool is_root(const dipp_graph *g, const dipp_node *node)
{
    if (node->op == DIPP_OP_OPTIMIZER_STEP)
        return true;
    for (uint32_t i = 0; i < node->output_count; i++) {
        const dipp_value *value = &g->values[node->outputs[i]];
        if (value->kind == DIPP_VALUE_GRADIENT || value->is_output)
            return true;
    }
    return false;
}

/* live nodes, and which values somebody reads. */
static void mark_live(dipp_program *program, bool *live)
{
    dipp_graph *g = program->graph;
    for (size_t n = g->node_count; n-- > 0;) {
        const dipp_node *node = &g->nodes[n];
        live[n] = is_root(g, node);
        for (uint32_t i = 0; i < node->output_count; i++)
            live[n] = live[n] || program->read[node->outputs[i]];
        if (node->op == DIPP_OP_LEAF)
            live[n] = false;
        for (uint32_t i = 0; live[n] && i < node->input_count; i++)
            program->read[node->inputs[i]] = true;
    }
    for (size_t v = 1; v < g->value_count; v++)
        if (g->values[v].is_output || g->values[v].kind == DIPP_VALUE_GRADIENT)
            program->read[v] = true;
}

static dipp_status prepare_instruction(dipp_program *program, uint32_t n, dipp_error *error)
{
    const dipp_node *node = &program->graph->nodes[n];
    uint32_t segment = node->segment;
    dipp_node_view view;
    dipp_node_view_of(program->graph, node, &view);
    dipp_instruction instruction = {.node = n, .flops = dipp_node_flops(&view)};
    if (!program->backend->supports(program->backend, &view))
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "recording \"%s\": the %s back-end (%s) has no %s for these operands", program->graph->name,
                         program->backend->name, program->backend->precision, dipp_op_infos[node->op].name);
    dipp_status status = program->backend->prepare(program->backend, &view, &instruction.kernel, error);
    if (status != DIPP_OK) {
        dipp_error_context(error, "recording \"%s\": %s", program->graph->name, dipp_op_infos[node->op].name);
        return status;
    }
    uint32_t index = (uint32_t)program->counts[segment];
    program->instructions[segment][program->counts[segment]++] = instruction;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i])
            program->last_use[dipp_storage_of(program->graph, node->inputs[i]) * program->segments + segment] =
                index + 1;
    for (uint32_t i = 0; i < node->output_count; i++) {
        uint32_t *last = &program->last_use[node->outputs[i] * program->segments + segment];
        if (!*last)
            *last = index + 1;
    }
    return DIPP_OK;
}

static dipp_status build(dipp_program *program, dipp_error *error)
{
    dipp_graph *g = program->graph;
    alias_casts(g, program->backend);
    uint32_t *readers = count_readers(g);
    bool *live = dipp_allocate_zeroed(g->node_count + 1, sizeof *live);
    program->read = dipp_allocate_zeroed(g->value_count, sizeof *program->read);
    program->last_use = dipp_allocate_zeroed(g->value_count * program->segments, sizeof *program->last_use);
    dipp_status status = DIPP_OK;
    bool good = readers && live && program->read && program->last_use;
    for (uint32_t s = 0; good && s < program->segments; s++)
        good = (program->instructions[s] = dipp_allocate_zeroed(g->node_count + 1, sizeof *program->instructions[s])) !=
               NULL;
    if (!good)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the program \"%s\"", g->name);
    if (status == DIPP_OK) {
        fuse_accumulation(g, program->backend, readers);
        mark_live(program, live);
    }
    for (size_t n = 0; status == DIPP_OK && n < g->node_count; n++)
        if (live[n] && g->nodes[n].op != DIPP_OP_RESHAPE)
            status = prepare_instruction(program, (uint32_t)n, error);
    dipp_release(readers);
    dipp_release(live);
    return status;
}

dipp_status dipp_program_create(dipp_graph **graph, dipp_backend *backend, dipp_program **out, dipp_error *error)
{
    dipp_graph *g = *graph;
    *graph = NULL;
    dipp_program *program = NULL;
    dipp_status status = dipp_graph_status(g, error);
    if (status == DIPP_OK && g->segments > DIPP_MAX_SEGMENTS)
        status =
            dipp_fail(error, DIPP_E_INVALID, "recording \"%s\" has more than %d segments", g->name, DIPP_MAX_SEGMENTS);
    if (status == DIPP_OK && !(program = dipp_allocate_zeroed(1, sizeof *program)))
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the program \"%s\"", g->name);
    if (status != DIPP_OK) {
        dipp_graph_destroy(&g);
        return status;
    }
    *program = (dipp_program){.graph = g, .backend = backend, .segments = g->segments};
    status = build(program, error);
    if (status != DIPP_OK)
        dipp_program_destroy(&program);
    *out = program;
    return status;
}

void dipp_program_destroy(dipp_program **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_program *program = *pointer;
    for (uint32_t s = 0; s < program->segments; s++) {
        for (size_t i = 0; program->instructions[s] && i < program->counts[s]; i++)
            if (program->instructions[s][i].kernel.destroy)
                program->instructions[s][i].kernel.destroy(program->instructions[s][i].kernel.state);
        dipp_release(program->instructions[s]);
    }
    dipp_release(program->read);
    dipp_release(program->last_use);
    dipp_graph_destroy(&program->graph);
    dipp_release(program);
    *pointer = NULL;
}

const char *dipp_program_name(const dipp_program *program)
{
    return program->graph->name;
}

uint32_t dipp_program_segments(const dipp_program *program)
{
    return program->segments;
}

size_t dipp_program_node_count(const dipp_program *program, uint32_t segment)
{
    return program->counts[segment];
}

static double flops_of(const dipp_program *program, uint32_t segment, bool recomputed)
{
    double flops = 0;
    for (size_t i = 0; i < program->counts[segment]; i++) {
        const dipp_instruction *instruction = &program->instructions[segment][i];
        if (program->graph->nodes[instruction->node].recomputed == recomputed)
            flops += instruction->flops;
    }
    return flops;
}

double dipp_program_flops(const dipp_program *program, uint32_t segment)
{
    return flops_of(program, segment, false);
}

double dipp_program_recomputed_flops(const dipp_program *program, uint32_t segment)
{
    return flops_of(program, segment, true);
}

uint32_t dipp_program_value(const dipp_program *program, const char *name)
{
    for (size_t v = 1; v < program->graph->value_count; v++)
        if (program->graph->values[v].name && !strcmp(program->graph->values[v].name, name))
            return (uint32_t)v;
    return 0;
}

dipp_status dipp_program_find(const dipp_program *program, const char *name, dipp_dtype *dtype, dipp_shape *shape,
                              dipp_error *error)
{
    uint32_t id = dipp_program_value(program, name);
    if (!id)
        return dipp_fail(error, DIPP_E_NOT_FOUND, "program \"%s\" has no input or output \"%s\"", program->graph->name,
                         name);
    *dtype = program->graph->values[id].dtype;
    *shape = program->graph->values[id].shape;
    return DIPP_OK;
}
