/* Recording of low-rank adapters: what a layer gives, plus two small products whose parameters are in another slot. The
 * layer's own slot is then recorded without gradients, so its weights cost none and its input is kept only where A needs it. */
#include "tensor/graph.h"

#include "base/arena.h"
#include "base/memory.h"
#include "base/text.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static dipp_tensor no_memory(dipp_graph *g)
{
    if (!dipp_graph_failed(g))
        dipp_fail(&g->error, DIPP_E_MEMORY, "recording \"%s\": no memory", g->name);
    return DIPP_NONE;
}

void dipp_graph_adapt(dipp_graph *g, dipp_params base, dipp_params overlay, const dipp_lora_options *options)
{
    if (dipp_graph_failed(g))
        return;
    bool slots = base.slot && base.slot < g->slot_count && overlay.slot && overlay.slot < g->slot_count;
    if (!slots || base.slot == overlay.slot) {
        dipp_graph_fail(g, "an adapter needs a slot to adapt and another one for its parameters");
        return;
    }
    if (!options->rank || !options->target_count || options->target_count > DIPP_MAX_ADAPTER_TARGETS) {
        dipp_graph_fail(g, "an adapter of rank %u for %u targets; it needs a rank and 1 to %d targets", options->rank,
                        options->target_count, DIPP_MAX_ADAPTER_TARGETS);
        return;
    }
    dipp_adapter *adapter = dipp_arena_allocate_zeroed(g->arena, 1, sizeof *adapter);
    if (!adapter) {
        no_memory(g);
        return;
    }
    adapter->options = *options;
    adapter->overlay = overlay.slot;
    g->slots[base.slot].adapter = adapter;
}

/* "to_q" means "blocks.0.attn1.to_q" and "to_q", not "into_q". */
static bool means(const char *target, const char *layer)
{
    size_t length = strlen(layer), tail = strlen(target);
    return length >= tail && !strcmp(layer + length - tail, target) &&
           (length == tail || layer[length - tail - 1] == '.');
}

/* Notes the layer; whether a target means it. */
static bool adapts(dipp_graph *g, dipp_adapter *adapter, const char *layer)
{
    bool adapted = false;
    for (uint32_t i = 0; i < adapter->options.target_count; i++)
        if (means(adapter->options.targets[i], layer))
            adapted = adapter->met[i] = true;
    const char *copy = dipp_arena_string(g->arena, layer);
    if (!copy || !dipp_grow((void **)&adapter->layers, &adapter->layer_capacity, adapter->layer_count + 1,
                            sizeof *adapter->layers)) {
        no_memory(g);
        return false;
    }
    adapter->layers[adapter->layer_count++] = copy;
    return adapted;
}

dipp_tensor dipp_adapt_layer(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, dipp_tensor y,
                             dipp_shape weight, const dipp_attributes *attributes, const char *const *aliases)
{
    if (dipp_graph_failed(g) || !g->slots[p.slot].adapter)
        return y;
    dipp_adapter *adapter = g->slots[p.slot].adapter;
    char full[512];
    snprintf(full, sizeof full, "%s%s", g->prefixes[p.prefix], name); /* dipp_param has checked its length */
    if (!adapts(g, adapter, full))
        return y;
    bool convolution = weight.rank == 4;
    int64_t rank = adapter->options.rank, out = weight.dims[0];
    dipp_shape a = weight, b = convolution ? DIPP_SHAPE(out, rank, 1, 1) : DIPP_SHAPE(out, rank);
    a.dims[0] = rank;
    int64_t fan_in = dipp_shape_elements(&weight) / out; /* exact */
    dipp_params overlay = {.slot = adapter->overlay, .prefix = p.prefix};
    dipp_param_options uniform = {.init = DIPP_INIT_UNIFORM, .value = 1.0 / sqrt((double)fan_in)};
    dipp_param_options zeros = {.init = DIPP_INIT_ZEROS};
    dipp_tensor down[3] = {x, dipp_layer_parameter(g, overlay, name, "lora_A.weight", a, uniform, aliases)};
    dipp_tensor up[3] = {DIPP_NONE, dipp_layer_parameter(g, overlay, name, "lora_B.weight", b, zeros, aliases)};
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    dipp_shape wide = dipp_shape_of(g, y),
               narrow = wide; /* [..., out] and [..., rank]; channels are axis 1 of pictures */
    narrow.dims[convolution ? 1 : narrow.rank - 1] = rank;
    dipp_attributes one = {.stride = 1};
    dipp_op op = convolution ? DIPP_OP_CONV2D : DIPP_OP_LINEAR;
    up[0] = dipp_append(g, op, down, 3, attributes, DIPP_COMPUTE, narrow);
    double scale = adapter->options.alpha / (double)rank;
    if (scale != 1.0) /* of the two products' results the smaller one is scaled */
        up[0] = dipp_scale_add(g, up[0], scale, 0.0);
    return dipp_add(g, y, dipp_append(g, op, up, 3, convolution ? &one : NULL, dipp_dtype_of(g, y), wide));
}

/* A layer without the NAME.NUMBER. that tell it from its like: "attn1.to_q" of "blocks.3.attn1.to_q". */
static const char *kind_of(const char *layer)
{
    for (;;) {
        const char *number = strchr(layer, '.'), *end = number ? number + 1 : NULL;
        while (end && isdigit((unsigned char)*end))
            end++;
        if (!end || end == number + 1 || *end != '.')
            return layer;
        layer = end + 1;
    }
}

/* Every kind of layer once. */
static void list_kinds(const dipp_adapter *adapter, dipp_text *text)
{
    for (size_t i = 0; i < adapter->layer_count; i++) {
        bool again = false;
        for (size_t k = 0; k < i && !again; k++)
            again = !strcmp(kind_of(adapter->layers[k]), kind_of(adapter->layers[i]));
        if (!again)
            dipp_text_printf(text, "%s%s", text->length ? ", " : "", kind_of(adapter->layers[i]));
    }
}

void dipp_graph_check_adapter(dipp_graph *g, dipp_params base)
{
    if (dipp_graph_failed(g) || !g->slots[base.slot].adapter)
        return;
    const dipp_adapter *adapter = g->slots[base.slot].adapter;
    for (uint32_t i = 0; i < adapter->options.target_count; i++) {
        if (adapter->met[i])
            continue;
        dipp_text kinds = {0};
        list_kinds(adapter, &kinds);
        dipp_graph_fail(g, "the target %s of %s's adapter means no layer; %s%.1600s", adapter->options.targets[i],
                        g->slots[base.slot].name,
                        adapter->layer_count ? "there are " : "the network has none that can be adapted",
                        kinds.data ? kinds.data : "");
        dipp_text_discard(&kinds);
        return;
    }
}
