/* Equal operations recorded once. While a graph shares, an operation whose kind, operands, attributes and results are those of
 * one that was recorded since sharing began gives that one's results, and equal constants are one. Towers that two
 * rewards have in common become one this way, and gradients meet where the two part. */
#include "tensor/graph.h"

#include "base/memory.h"

#include <string.h>

void dipp_graph_share_equal(dipp_graph *g, bool share)
{
    g->shares = share;
}

/* Whether doing it twice is doing it once: operations that change what they read or write in place are not. */
static bool is_pure(const dipp_graph *g, const dipp_node *node)
{
    if (node->op == DIPP_OP_GRAD_NORM || node->op == DIPP_OP_OPTIMIZER_STEP || node->attributes.accumulate)
        return false;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (g->values[node->inputs[i]].kind == DIPP_VALUE_GRADIENT ||
            g->values[node->inputs[i]].kind == DIPP_VALUE_BLOCK)
            return false;
    return true;
}

/* By bits: 0 is not -0. */
static bool same_number(double a, double b)
{
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): the bits are meant */
    return !memcmp(&a, &b, sizeof a);
}

static bool same_attributes(const dipp_attributes *a, const dipp_attributes *b)
{
    return same_number(a->alpha, b->alpha) && same_number(a->beta, b->beta) && a->start == b->start &&
           a->count == b->count && a->axis == b->axis && a->axes_mask == b->axes_mask && a->heads == b->heads &&
           a->groups == b->groups && a->stride == b->stride && a->pad_before == b->pad_before &&
           a->pad_after == b->pad_after && !memcmp(a->permutation, b->permutation, sizeof a->permutation) &&
           a->transpose_a == b->transpose_a && a->transpose_b == b->transpose_b && a->accumulate == b->accumulate &&
           a->causal == b->causal && a->plus_one == b->plus_one && a->sin_first == b->sin_first &&
           a->decay == b->decay && a->silu == b->silu && a->optimizer == b->optimizer && a->state == b->state &&
           a->stop == b->stop && a->straight_through == b->straight_through;
}

/* The same operation in the same segment; dtypes and shapes are those that the outputs of a are to have. */
static bool same_node(const dipp_graph *g, const dipp_node *a, const dipp_dtype *dtypes, const dipp_shape *shapes,
                      const dipp_node *b)
{
    if (a->op != b->op || a->segment != b->segment || a->input_count != b->input_count ||
        a->output_count != b->output_count || memcmp(a->inputs, b->inputs, sizeof a->inputs) ||
        !same_attributes(&a->attributes, &b->attributes))
        return false;
    for (uint32_t i = 0; i < a->output_count; i++) {
        const dipp_value *value = &g->values[b->outputs[i]];
        if (value->dtype != dtypes[i] || !dipp_same_shape(&value->shape, &shapes[i]))
            return false;
    }
    return true;
}

static size_t hash_node(const dipp_node *node)
{
    uint64_t hash = 1469598103934665603u; /* FNV-1a over what most often differs */
    hash = (hash ^ (uint64_t)node->op) * 1099511628211u;
    for (uint32_t i = 0; i < node->input_count; i++)
        hash = (hash ^ node->inputs[i]) * 1099511628211u;
    hash = (hash ^ (uint64_t)node->attributes.start) * 1099511628211u;
    return (size_t)(hash ^ hash >> 32);
}

bool dipp_share_find(const dipp_graph *g, const dipp_node *node, const dipp_dtype *dtypes, const dipp_shape *shapes,
                     dipp_tensor *outputs)
{
    if (!g->shares || !g->shared_bucket_count || !is_pure(g, node))
        return false;
    size_t mask = g->shared_bucket_count - 1;
    for (size_t at = hash_node(node) & mask; g->shared_buckets[at]; at = (at + 1) & mask) {
        const dipp_node *found = &g->nodes[g->shared_buckets[at] - 1];
        if (!same_node(g, node, dtypes, shapes, found))
            continue;
        for (uint32_t i = 0; i < found->output_count; i++)
            outputs[i] = (dipp_tensor){found->outputs[i]};
        return true;
    }
    return false;
}

static void enter(uint32_t *buckets, size_t count, const dipp_node *nodes, size_t index)
{
    size_t at = hash_node(&nodes[index]) & (count - 1);
    while (buckets[at])
        at = (at + 1) & (count - 1);
    buckets[at] = (uint32_t)index + 1;
}

bool dipp_share_note(dipp_graph *g)
{
    size_t index = g->node_count - 1, count = g->shared_bucket_count;
    if (!g->shares || !is_pure(g, &g->nodes[index]))
        return true;
    if (2 * (g->shared_count + 1) > count) {
        size_t wanted = count ? 2 * count : 256;
        uint32_t *buckets = dipp_allocate_zeroed(wanted, sizeof *buckets);
        if (!buckets)
            return false;
        for (size_t i = 0; i < count; i++)
            if (g->shared_buckets[i])
                enter(buckets, wanted, g->nodes, g->shared_buckets[i] - 1);
        dipp_release(g->shared_buckets);
        g->shared_buckets = buckets;
        g->shared_bucket_count = wanted;
    }
    enter(g->shared_buckets, g->shared_bucket_count, g->nodes, index);
    g->shared_count++;
    return true;
}

dipp_tensor dipp_share_constant(const dipp_graph *g, const dipp_shape *shape, const double *data)
{
    size_t bytes = (size_t)dipp_shape_elements(shape) * sizeof *data;
    for (size_t i = 1; g->shares && i < g->value_count; i++)
        if (g->values[i].kind == DIPP_VALUE_CONSTANT && dipp_same_shape(&g->values[i].shape, shape) &&
            !memcmp(g->values[i].data, data, bytes))
            return (dipp_tensor){(uint32_t)i};
    return DIPP_NONE;
}
