#include "tensor/graph.h"

#include "base/arena.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

dipp_status dipp_graph_create(const char *name, dipp_graph **out, dipp_error *error)
{
    dipp_graph *g = dipp_allocate_zeroed(1, sizeof *g);
    bool good = g && (g->arena = dipp_arena_create(0)) && (g->name = dipp_arena_string(g->arena, name)) &&
                dipp_grow((void **)&g->values, &g->value_capacity, 256, sizeof *g->values) &&
                dipp_grow((void **)&g->nodes, &g->node_capacity, 256, sizeof *g->nodes) &&
                dipp_grow((void **)&g->slots, &g->slot_capacity, 8, sizeof *g->slots) &&
                dipp_grow((void **)&g->prefixes, &g->prefix_capacity, 64, sizeof *g->prefixes);
    if (!good) {
        dipp_graph_destroy(&g);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the recording \"%s\"", name);
    }
    memset(&g->values[0], 0, sizeof g->values[0]);
    memset(&g->slots[0], 0, sizeof g->slots[0]);
    g->value_count = g->slot_count = g->prefix_count = g->segments = 1;
    g->prefixes[0] = "";
    *out = g;
    return DIPP_OK;
}

void dipp_graph_destroy(dipp_graph **graph)
{
    if (!graph || !*graph)
        return;
    dipp_graph *g = *graph;
    for (size_t i = 1; i < g->slot_count; i++)
        if (g->slots[i].adapter)
            dipp_release(g->slots[i].adapter->layers);
    dipp_arena_destroy(&g->arena);
    dipp_release(g->values);
    dipp_release(g->nodes);
    dipp_release(g->slots);
    dipp_release(g->prefixes);
    dipp_release(g->blocks);
    dipp_release(g->shared_buckets);
    dipp_release(g);
    *graph = NULL;
}

dipp_status dipp_graph_status(const dipp_graph *g, dipp_error *error)
{
    if (g->error.code != DIPP_OK && error)
        *error = g->error;
    return g->error.code;
}

bool dipp_graph_failed(const dipp_graph *g)
{
    return g->error.code != DIPP_OK;
}

dipp_tensor dipp_graph_fail(dipp_graph *g, const char *format, ...)
{
    if (g->error.code == DIPP_OK) {
        va_list arguments;
        va_start(arguments, format);
        dipp_fail_v(&g->error, DIPP_E_INVALID, format, arguments);
        va_end(arguments);
        dipp_error_context(&g->error, "recording \"%s\"", g->name);
    }
    return DIPP_NONE;
}

static dipp_tensor out_of_memory(dipp_graph *g)
{
    if (g->error.code == DIPP_OK)
        dipp_fail(&g->error, DIPP_E_MEMORY, "recording \"%s\": no memory", g->name);
    return DIPP_NONE;
}

dipp_params dipp_graph_slot(dipp_graph *g, const char *name, dipp_layout *layout, bool trainable)
{
    dipp_slot slot = {.name = dipp_arena_string(g->arena, name), .layout = layout, .trainable = trainable};
    if (!slot.name || !dipp_grow((void **)&g->slots, &g->slot_capacity, g->slot_count + 1, sizeof *g->slots)) {
        out_of_memory(g);
        return (dipp_params){0};
    }
    g->slots[g->slot_count] = slot;
    return (dipp_params){.slot = (uint32_t)g->slot_count++};
}

void dipp_graph_begin_segment(dipp_graph *g)
{
    g->segments++;
}

/* ---- Questions ---- */

const dipp_value *dipp_value_of(const dipp_graph *g, dipp_tensor x)
{
    return x.id < g->value_count ? &g->values[x.id] : &g->values[0];
}

dipp_shape dipp_shape_of(const dipp_graph *g, dipp_tensor x)
{
    return dipp_value_of(g, x)->shape;
}

int64_t dipp_dim(const dipp_graph *g, dipp_tensor x, int axis)
{
    const dipp_shape *shape = &dipp_value_of(g, x)->shape;
    if (axis < 0)
        axis += (int)shape->rank;
    return axis >= 0 && axis < (int)shape->rank ? shape->dims[axis] : 0;
}

dipp_dtype dipp_dtype_of(const dipp_graph *g, dipp_tensor x)
{
    return dipp_value_of(g, x)->dtype;
}

int64_t dipp_shape_elements(const dipp_shape *shape)
{
    int64_t elements = 1;
    for (uint32_t i = 0; i < shape->rank; i++)
        elements *= shape->dims[i];
    return elements;
}

bool dipp_same_shape(const dipp_shape *a, const dipp_shape *b)
{
    return a->rank == b->rank && !memcmp(a->dims, b->dims, a->rank * sizeof a->dims[0]);
}

const char *dipp_shape_text(const dipp_shape *shape, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (uint32_t i = 0; i < shape->rank && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? ", " : "", (long long)shape->dims[i]);
    if (used < size)
        snprintf(out + used, size - used, "]");
    return out;
}

bool dipp_usable(dipp_graph *g, dipp_tensor x, const char *what)
{
    if (dipp_graph_failed(g))
        return false;
    if (x.id == 0 || x.id >= g->value_count) {
        dipp_graph_fail(g, "%s: an operand is missing", what);
        return false;
    }
    return true;
}

dipp_tensor dipp_expect_shape(dipp_graph *g, dipp_tensor x, const dipp_shape *expected, const char *who)
{
    char a[160], b[160];
    if (!dipp_usable(g, x, who))
        return DIPP_NONE;
    dipp_shape found = dipp_shape_of(g, x);
    if (dipp_same_shape(&found, expected))
        return x;
    return dipp_graph_fail(g, "%s gives %s; expected %s", who, dipp_shape_text(&found, a, sizeof a),
                           dipp_shape_text(expected, b, sizeof b));
}

bool dipp_usable_float(dipp_graph *g, dipp_tensor x, const char *what)
{
    if (!dipp_usable(g, x, what))
        return false;
    if (dipp_dtype_of(g, x) != DIPP_INT32)
        return true;
    dipp_graph_fail(g, "%s: an operand is of integers; cast it", what);
    return false;
}

uint32_t dipp_storage_of(const dipp_graph *g, uint32_t id)
{
    while (g->values[id].view_of)
        id = g->values[id].view_of;
    return id;
}

/* ---- Values and nodes ---- */

static dipp_tensor add_value(dipp_graph *g, const dipp_value *value)
{
    for (uint32_t i = 0; i < value->shape.rank; i++)
        if (value->shape.dims[i] < 1)
            return dipp_graph_fail(g, "a dimension of %lld elements", (long long)value->shape.dims[i]);
    if ((g->value_limit && g->value_count >= g->value_limit) ||
        !dipp_grow((void **)&g->values, &g->value_capacity, g->value_count + 1, sizeof *g->values))
        return out_of_memory(g);
    g->values[g->value_count] = *value;
    return (dipp_tensor){(uint32_t)g->value_count++};
}

void dipp_append_many(dipp_graph *g, dipp_op op, const dipp_tensor *inputs, uint32_t input_count,
                      const dipp_attributes *attributes, uint32_t output_count, const dipp_dtype *dtypes,
                      const dipp_shape *shapes, dipp_tensor *outputs)
{
    for (uint32_t i = 0; i < output_count; i++)
        outputs[i] = DIPP_NONE;
    if (dipp_graph_failed(g))
        return;
    if (!dipp_grow((void **)&g->nodes, &g->node_capacity, g->node_count + 1, sizeof *g->nodes)) {
        out_of_memory(g);
        return;
    }
    dipp_node node = {.op = op, .segment = g->segments - 1, .input_count = input_count, .output_count = output_count};
    if (attributes)
        node.attributes = *attributes;
    for (uint32_t i = 0; i < input_count; i++)
        node.inputs[i] = inputs[i].id;
    if (dipp_share_find(g, &node, dtypes, shapes, outputs))
        return;
    for (uint32_t i = 0; i < output_count; i++) {
        outputs[i] = add_value(g, &(dipp_value){.kind = DIPP_VALUE_COMPUTED,
                                                .dtype = dtypes[i],
                                                .shape = shapes[i],
                                                .node = (uint32_t)g->node_count,
                                                .output = i,
                                                .view_of = op == DIPP_OP_RESHAPE ? inputs[0].id : 0});
        node.outputs[i] = outputs[i].id;
    }
    if (dipp_graph_failed(g))
        return;
    g->nodes[g->node_count++] = node;
    if (!dipp_share_note(g))
        out_of_memory(g);
}

dipp_tensor dipp_append(dipp_graph *g, dipp_op op, const dipp_tensor *inputs, uint32_t input_count,
                        const dipp_attributes *attributes, dipp_dtype dtype, dipp_shape shape)
{
    dipp_tensor out;
    dipp_append_many(g, op, inputs, input_count, attributes, 1, &dtype, &shape, &out);
    return out;
}

/* ---- Leaves ---- */

dipp_tensor dipp_input(dipp_graph *g, const char *name, dipp_dtype dtype, dipp_shape shape)
{
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    for (size_t i = 1; i < g->value_count; i++)
        if (g->values[i].name && !strcmp(g->values[i].name, name))
            return dipp_graph_fail(g, "two values are named \"%s\"", name);
    char *copy = dipp_arena_string(g->arena, name);
    return copy ? add_value(g, &(dipp_value){.kind = DIPP_VALUE_INPUT, .dtype = dtype, .shape = shape, .name = copy})
                : out_of_memory(g);
}

dipp_tensor dipp_constant(dipp_graph *g, dipp_shape shape, const double *data)
{
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    dipp_tensor equal = dipp_share_constant(g, &shape, data);
    if (equal.id)
        return equal;
    size_t bytes = (size_t)dipp_shape_elements(&shape) * sizeof *data;
    double *copy = dipp_arena_allocate(g->arena, bytes);
    if (!copy)
        return out_of_memory(g);
    memcpy(copy, data, bytes);
    return add_value(g, &(dipp_value){.kind = DIPP_VALUE_CONSTANT, .dtype = DIPP_WIDE, .shape = shape, .data = copy});
}

void dipp_output(dipp_graph *g, const char *name, dipp_tensor x)
{
    if (!dipp_usable(g, x, name))
        return;
    for (size_t i = 1; i < g->value_count; i++)
        if (g->values[i].name && !strcmp(g->values[i].name, name)) {
            dipp_graph_fail(g, "two values are named \"%s\"", name);
            return;
        }
    const dipp_value *value = dipp_value_of(g, x);
    const dipp_value *storage = &g->values[dipp_storage_of(g, x.id)];
    /* An output owns its storage, so that it can be connected to a buffer that other programs read. */
    bool shares = g->shares;
    g->shares = false;
    if (storage->kind != DIPP_VALUE_COMPUTED || value->view_of || value->is_output)
        x = dipp_append(g, DIPP_OP_SCALE_ADD, &x, 1, &(dipp_attributes){.alpha = 1.0}, value->dtype, value->shape);
    g->shares = shares;
    char *copy = dipp_arena_string(g->arena, name);
    if (!copy) {
        out_of_memory(g);
        return;
    }
    if (dipp_graph_failed(g))
        return;
    g->values[x.id].name = copy;
    g->values[x.id].is_output = true;
}

dipp_tensor dipp_state(dipp_graph *g, dipp_params p, dipp_block block, size_t words)
{
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    const dipp_layout *layout = g->slots[p.slot].layout;
    if (!dipp_layout_sealed(layout))
        return dipp_graph_fail(g, "the layout of %s is not sealed", dipp_layout_name(layout));
    if (!dipp_layout_elements(layout))
        return dipp_graph_fail(g, "%s has no parameters", dipp_layout_name(layout));
    dipp_dtype dtype = block == DIPP_BLOCK_COMPUTE ? DIPP_COMPUTE : DIPP_WIDE;
    return add_value(g, &(dipp_value){.kind = DIPP_VALUE_BLOCK,
                                      .dtype = words ? DIPP_INT32 : dtype,
                                      .shape = DIPP_SHAPE(words ? (int64_t)words : dipp_layout_elements(layout)),
                                      .slot = p.slot,
                                      .block = block});
}

/* ---- Parameters ---- */

dipp_params dipp_scope(dipp_graph *g, dipp_params p, const char *format, ...)
{
    if (dipp_graph_failed(g))
        return p;
    char piece[256], full[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    int used = snprintf(full, sizeof full, "%s%s.", g->prefixes[p.prefix], piece);
    if (used < 0 || (size_t)used >= sizeof full) {
        dipp_graph_fail(g, "a parameter name is longer than %zu characters", sizeof full - 1);
        return p;
    }
    for (size_t i = g->prefix_count; i-- > 0;)
        if (!strcmp(g->prefixes[i], full))
            return (dipp_params){.slot = p.slot, .prefix = (uint32_t)i};
    char *copy = dipp_arena_string(g->arena, full);
    if (!copy || !dipp_grow((void **)&g->prefixes, &g->prefix_capacity, g->prefix_count + 1, sizeof *g->prefixes)) {
        out_of_memory(g);
        return p;
    }
    g->prefixes[g->prefix_count] = copy;
    return (dipp_params){.slot = p.slot, .prefix = (uint32_t)g->prefix_count++};
}

dipp_tensor dipp_param(dipp_graph *g, dipp_params p, const char *name, dipp_shape shape,
                       const dipp_param_options *options)
{
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    if (p.slot == 0 || p.slot >= g->slot_count)
        return dipp_graph_fail(g, "parameter \"%s\" is declared without a parameter set", name);
    char full[512];
    int used = snprintf(full, sizeof full, "%s%s", g->prefixes[p.prefix], name);
    if (used < 0 || (size_t)used >= sizeof full)
        return dipp_graph_fail(g, "a parameter name is longer than %zu characters", sizeof full - 1);
    for (uint32_t i = 0; i < shape.rank; i++)
        if (shape.dims[i] < 1)
            return dipp_graph_fail(g, "parameter \"%s\" has a dimension of %lld elements", full,
                                   (long long)shape.dims[i]);
    uint32_t index;
    dipp_error error = {0};
    dipp_status status =
        dipp_layout_declare(g->slots[p.slot].layout, full, shape, options, g->prefixes[p.prefix], &index, &error);
    if (status != DIPP_OK) {
        g->error = error;
        dipp_error_context(&g->error, "recording \"%s\"", g->name);
        return DIPP_NONE;
    }
    bool wide = options && (options->flags & DIPP_PARAM_WIDE);
    for (size_t i = 1; i < g->value_count; i++) {
        const dipp_value *value = &g->values[i];
        if (value->kind == DIPP_VALUE_PARAMETER && value->slot == p.slot && value->entry == index)
            return (dipp_tensor){(uint32_t)i};
    }
    return add_value(g, &(dipp_value){.kind = DIPP_VALUE_PARAMETER,
                                      .dtype = wide ? DIPP_WIDE : DIPP_COMPUTE,
                                      .shape = shape,
                                      .slot = p.slot,
                                      .entry = index});
}
