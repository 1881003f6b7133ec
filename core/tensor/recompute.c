/* Blocks of a recording, and computing them a second time. A value that only its own block reads need not be kept for the
 * backward pass: before a block is differentiated its nodes are recorded once more, reading what is kept, and the copies
 * are differentiated in place of the originals. No value changes: the copies are the same operations on the same
 * operands, and noise is a function of its key. */
#include "tensor/recompute.h"

#include "base/memory.h"

#include <string.h>

/* ---- Marks ------------------------------------------------------------------------------------------------------- */

void dipp_block_begin(dipp_graph *g)
{
    if (dipp_graph_failed(g) || g->block_depth++)
        return;
    if (!dipp_grow((void **)&g->blocks, &g->block_capacity, g->block_count + 1, sizeof *g->blocks)) {
        dipp_fail(&g->error, DIPP_E_MEMORY, "recording \"%s\": no memory for a block", g->name);
        return;
    }
    g->blocks[g->block_count++] = (dipp_node_range){g->node_count, g->node_count};
}

void dipp_block_end(dipp_graph *g)
{
    if (dipp_graph_failed(g))
        return;
    if (!g->block_depth) {
        dipp_graph_fail(g, "a block ends that has not begun");
        return;
    }
    if (!--g->block_depth)
        g->blocks[g->block_count - 1].end = g->node_count;
}

void dipp_graph_recompute_blocks(dipp_graph *g, bool recompute)
{
    g->recompute = recompute;
}

/* ---- What is kept ------------------------------------------------------------------------------------------------ */

/* 1 + index of the block that computes a value; 0: none does. */
static uint32_t home_of(const dipp_graph *g, const uint32_t *block_of, uint32_t id)
{
    return g->values[id].kind == DIPP_VALUE_COMPUTED ? block_of[g->values[id].node] : 0;
}

/* kept[n]: something outside its block reads an output of node n, or it is a named output. A view's source is kept with it,
 * for the two share their storage. */
static void mark_kept(dipp_gradient_walk *walk, const uint32_t *block_of)
{
    const dipp_graph *g = walk->g;
    for (size_t n = 0; n < g->node_count; n++) {
        const dipp_node *node = &g->nodes[n];
        for (uint32_t i = 0; i < node->input_count; i++) {
            uint32_t home = home_of(g, block_of, node->inputs[i]);
            if (home && home != block_of[n])
                walk->kept[g->values[node->inputs[i]].node] = true;
        }
        for (uint32_t i = 0; i < node->output_count; i++)
            walk->kept[n] = walk->kept[n] || g->values[node->outputs[i]].is_output;
    }
    for (size_t n = g->node_count; n-- > 0;) {
        const dipp_node *node = &g->nodes[n];
        if (walk->kept[n] && node->op == DIPP_OP_RESHAPE && home_of(g, block_of, node->inputs[0]))
            walk->kept[g->values[node->inputs[0]].node] = true;
    }
}

bool dipp_recompute_prepare(dipp_gradient_walk *walk)
{
    dipp_graph *g = walk->g;
    if (g->block_depth) {
        dipp_graph_fail(g, "gradients are asked for inside a block");
        return true;
    }
    if (!g->recompute || !g->block_count)
        return true;
    uint32_t *block_of = dipp_allocate_zeroed(g->node_count + 1, sizeof *block_of);
    walk->kept = dipp_allocate_zeroed(g->node_count + 1, sizeof *walk->kept);
    walk->again = dipp_allocate_zeroed(walk->size, sizeof *walk->again);
    bool good = block_of && walk->kept && walk->again;
    for (size_t b = 0; good && b < g->block_count; b++)
        for (size_t n = g->blocks[b].first; n < g->blocks[b].end; n++)
            block_of[n] = (uint32_t)b + 1;
    if (good)
        mark_kept(walk, block_of);
    dipp_release(block_of);
    return good;
}

void dipp_recompute_release(dipp_gradient_walk *walk)
{
    dipp_release(walk->kept);
    dipp_release(walk->again);
}

const dipp_node_range *dipp_recompute_block_ending_at(const dipp_gradient_walk *walk, size_t end)
{
    const dipp_graph *g = walk->g;
    for (size_t b = walk->kept ? g->block_count : 0; b-- > 0 && g->blocks[b].end >= end;)
        if (g->blocks[b].end == end && g->blocks[b].first < end)
            return &g->blocks[b];
    return NULL;
}

/* ---- The second recording ---------------------------------------------------------------------------------------- */

/* Whether a gradient has come to the block that somebody wants inside it. */
static bool differentiated(const dipp_gradient_walk *walk, const dipp_node_range *block)
{
    for (size_t n = block->first; n < block->end; n++) {
        const dipp_node *node = &walk->g->nodes[n];
        for (uint32_t i = 0; i < node->output_count; i++)
            if (walk->needed[node->outputs[i]] && walk->gradients[node->outputs[i]].id)
                return true;
    }
    return false;
}

/* Room for gradients of everything recorded so far. */
static bool grow_walk(dipp_gradient_walk *walk)
{
    size_t size = walk->g->value_count;
    dipp_tensor *gradients = dipp_allocate_zeroed(size, sizeof *gradients);
    bool *needed = dipp_allocate_zeroed(size, sizeof *needed);
    if (!gradients || !needed) {
        dipp_release(gradients);
        dipp_release(needed);
        dipp_fail(&walk->g->error, DIPP_E_MEMORY, "recording \"%s\": no memory for gradients", walk->g->name);
        return false;
    }
    memcpy(gradients, walk->gradients, walk->size * sizeof *gradients);
    memcpy(needed, walk->needed, walk->size * sizeof *needed);
    dipp_release(walk->gradients);
    dipp_release(walk->needed);
    walk->gradients = gradients;
    walk->needed = needed;
    walk->size = size;
    return true;
}

/* Records node n again unless it is kept. What the walk shall differentiate in its place: the same operation, reading
 * copies where there are some. */
static dipp_node record_again(dipp_gradient_walk *walk, size_t n)
{
    dipp_graph *g = walk->g;
    dipp_node node = g->nodes[n];
    dipp_tensor inputs[DIPP_MAX_INPUTS], outputs[DIPP_MAX_OUTPUTS];
    dipp_dtype dtypes[DIPP_MAX_OUTPUTS];
    dipp_shape shapes[DIPP_MAX_OUTPUTS];
    for (uint32_t i = 0; i < node.input_count; i++) {
        uint32_t copy = walk->again[node.inputs[i]].id;
        node.inputs[i] = copy ? copy : node.inputs[i];
        inputs[i] = (dipp_tensor){node.inputs[i]};
    }
    if (walk->kept[n])
        return node;
    for (uint32_t i = 0; i < node.output_count; i++) {
        dtypes[i] = g->values[node.outputs[i]].dtype;
        shapes[i] = g->values[node.outputs[i]].shape;
    }
    dipp_append_many(g, node.op, inputs, node.input_count, &node.attributes, node.output_count, dtypes, shapes,
                     outputs);
    if (dipp_graph_failed(g))
        return node;
    g->nodes[g->node_count - 1].recomputed = true;
    for (uint32_t i = 0; i < node.output_count; i++) {
        walk->again[node.outputs[i]] = outputs[i];
        node.outputs[i] = outputs[i].id;
    }
    return node;
}

/* Hands the gradients of the block's values to their copies, or back. */
static void exchange(dipp_gradient_walk *walk, const dipp_node_range *block, bool back)
{
    for (size_t n = block->first; n < block->end; n++)
        for (uint32_t i = 0; i < walk->g->nodes[n].output_count; i++) {
            uint32_t id = walk->g->nodes[n].outputs[i], copy = walk->again[id].id;
            if (!copy)
                continue;
            walk->gradients[back ? id : copy] = walk->gradients[back ? copy : id];
            walk->needed[copy] = walk->needed[id];
        }
}

void dipp_recompute_differentiate(dipp_gradient_walk *walk, dipp_node_range block)
{
    if (!differentiated(walk, &block))
        return;
    size_t count = block.end - block.first;
    dipp_node *nodes = dipp_allocate_zeroed(count, sizeof *nodes);
    if (!nodes) {
        dipp_fail(&walk->g->error, DIPP_E_MEMORY, "recording \"%s\": no memory for a block", walk->g->name);
        return;
    }
    for (size_t i = 0; i < count && !dipp_graph_failed(walk->g); i++)
        nodes[i] = record_again(walk, block.first + i);
    if (!dipp_graph_failed(walk->g) && grow_walk(walk)) {
        exchange(walk, &block, false);
        for (size_t i = count; i-- > 0 && !dipp_graph_failed(walk->g);)
            dipp_gradient_through(walk, &nodes[i]);
        exchange(walk, &block, true); /* where a gradient to an inner value was asked for */
    }
    dipp_release(nodes);
}
