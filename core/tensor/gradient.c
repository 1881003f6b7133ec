/* Reverse mode over a recording. The rules are in gradient_rules.c; this file walks the nodes backwards and sums. */
#include "tensor/recompute.h"

#include "base/memory.h"

#include <string.h>

void dipp_gradient_add(dipp_gradient_walk *walk, dipp_tensor value, dipp_tensor gradient)
{
    if (!value.id || !gradient.id || dipp_graph_failed(walk->g) || !walk->needed[value.id])
        return;
    dipp_tensor *sum = &walk->gradients[value.id];
    *sum = sum->id ? dipp_add(walk->g, *sum, gradient) : gradient;
}

/* needed[v]: v depends on something that a gradient is wanted for, so that whole branches are never differentiated. */
static void mark_needed(dipp_gradient_walk *walk, size_t value_count, uint32_t wrt_count, const dipp_tensor *wrt)
{
    dipp_graph *g = walk->g;
    for (size_t i = 1; i < value_count; i++) {
        const dipp_value *value = &g->values[i];
        if (value->kind == DIPP_VALUE_PARAMETER)
            walk->needed[i] =
                g->slots[value->slot].trainable &&
                !(dipp_layout_entry_at(g->slots[value->slot].layout, value->entry)->flags & DIPP_PARAM_FROZEN);
    }
    for (uint32_t i = 0; i < wrt_count; i++)
        walk->needed[wrt[i].id] = true;
    for (size_t n = 0; n < walk->node_count; n++) {
        const dipp_node *node = &g->nodes[n];
        bool needed = false;
        for (uint32_t i = 0; i < node->input_count; i++)
            needed = needed || (node->inputs[i] && walk->needed[node->inputs[i]]);
        if (node->op == DIPP_OP_RESHAPE && node->attributes.stop)
            needed = false;
        for (uint32_t i = 0; i < node->output_count; i++)
            walk->needed[node->outputs[i]] = walk->needed[node->outputs[i]] || needed;
    }
}

void dipp_gradient_through(dipp_gradient_walk *walk, const dipp_node *node)
{
    bool wanted = false, reached = false;
    if (node->op == DIPP_OP_RESHAPE && node->attributes.stop)
        return; /* also where a gradient to its own output was asked for */
    for (uint32_t i = 0; i < node->output_count; i++) {
        wanted = wanted || walk->needed[node->outputs[i]];
        reached = reached || walk->gradients[node->outputs[i]].id;
    }
    if (wanted && reached)
        dipp_gradient_of_node(walk, node);
}

static void walk_back(dipp_gradient_walk *walk)
{
    dipp_graph *g = walk->g;
    for (size_t n = walk->node_count; n > 0 && !dipp_graph_failed(g);) {
        const dipp_node_range *block = dipp_recompute_block_ending_at(walk, n);
        if (block) {
            n = block->first;
            dipp_recompute_differentiate(walk, *block);
            continue;
        }
        dipp_node node = g->nodes[--n]; /* a copy: rules append nodes and may move the array */
        dipp_gradient_through(walk, &node);
    }
}

/* Parameters of trainable slots collect their gradients in the slot's gradient block. */
static void accumulate_parameters(dipp_gradient_walk *walk, size_t value_count)
{
    dipp_graph *g = walk->g;
    for (size_t i = 1; i < value_count && !dipp_graph_failed(g); i++) {
        if (g->values[i].kind != DIPP_VALUE_PARAMETER || !walk->gradients[i].id ||
            !g->slots[g->values[i].slot].trainable)
            continue;
        dipp_tensor gradient = walk->gradients[i];
        dipp_shape shape = g->values[i].shape;
        uint32_t slot = g->values[i].slot, entry = g->values[i].entry;
        dipp_tensor out =
            dipp_append(g, DIPP_OP_ACCUMULATE, &gradient, 1, &(dipp_attributes){.accumulate = true}, DIPP_WIDE, shape);
        if (!out.id)
            return;
        g->values[out.id].kind = DIPP_VALUE_GRADIENT;
        g->values[out.id].slot = slot;
        g->values[out.id].entry = entry;
    }
}

void dipp_gradients(dipp_graph *g, uint32_t count, const dipp_tensor *y, const dipp_tensor *dy, uint32_t wrt_count,
                    const dipp_tensor *wrt, dipp_tensor *wrt_gradients)
{
    for (uint32_t i = 0; i < wrt_count; i++)
        wrt_gradients[i] = DIPP_NONE;
    for (uint32_t i = 0; i < count; i++)
        if (!dipp_usable(g, y[i], "gradients: y"))
            return;
    for (uint32_t i = 0; i < wrt_count; i++)
        if (!dipp_usable(g, wrt[i], "gradients: wrt"))
            return;
    bool shares = g->shares; /* a block that is computed again would find itself */
    g->shares = false;
    size_t value_count = g->value_count;
    dipp_gradient_walk walk = {.g = g, .node_count = g->node_count, .size = value_count};
    walk.gradients = dipp_allocate_zeroed(value_count, sizeof *walk.gradients);
    walk.needed = dipp_allocate_zeroed(value_count, sizeof *walk.needed);
    if (!walk.gradients || !walk.needed || !dipp_recompute_prepare(&walk)) {
        dipp_fail(&g->error, DIPP_E_MEMORY, "recording \"%s\": no memory for gradients", g->name);
        goto done;
    }
    mark_needed(&walk, value_count, wrt_count, wrt);
    for (uint32_t i = 0; i < count; i++) {
        dipp_tensor seed = dy ? dy[i] : DIPP_NONE;
        dipp_shape shape = dipp_shape_of(g, y[i]);
        if (!seed.id && dipp_shape_elements(&shape) != 1) {
            dipp_graph_fail(g, "gradients: y of more than one number needs its own gradient");
            goto done;
        }
        if (!seed.id)
            seed = dipp_constant(g, shape, &(double){1.0});
        dipp_gradient_add(&walk, y[i], seed);
    }
    walk_back(&walk);
    accumulate_parameters(&walk, value_count);
    for (uint32_t i = 0; i < wrt_count && !dipp_graph_failed(g); i++) {
        wrt_gradients[i] = walk.gradients[wrt[i].id];
        if (!wrt_gradients[i].id)
            wrt_gradients[i] =
                dipp_broadcast_to(g, dipp_constant(g, (dipp_shape){0}, &(double){0.0}), dipp_shape_of(g, wrt[i]));
    }
done:
    g->shares = shares;
    dipp_recompute_release(&walk);
    dipp_release(walk.gradients);
    dipp_release(walk.needed);
}
