/* Between the walk (gradient.c) and the rules (gradient_rules.c). */
#ifndef DIPP_TENSOR_GRADIENT_H
#define DIPP_TENSOR_GRADIENT_H

#include "tensor/graph.h"

typedef struct dipp_gradient_walk {
    dipp_graph *g;
    size_t node_count;      /* nodes recorded before the walk began */
    size_t size;            /* of the two arrays below */
    dipp_tensor *gradients; /* by value id: the sum so far, or none */
    bool *needed;           /* by value id */
    /* Where blocks are recomputed, else NULL: */
    bool *kept;         /* by node: its outputs outlive the forward pass of its block */
    dipp_tensor *again; /* by id of a value recorded before the walk: its copy, or none yet */
} dipp_gradient_walk;

/* Adds to the gradient of value; ignored when nobody needs it. */
void dipp_gradient_add(dipp_gradient_walk *walk, dipp_tensor value, dipp_tensor gradient);

/* Differentiates one node when a gradient has come to it that somebody wants. */
void dipp_gradient_through(dipp_gradient_walk *walk, const dipp_node *node);

/* Applies the rule of one node whose output gradients are in walk->gradients. */
void dipp_gradient_of_node(dipp_gradient_walk *walk, const dipp_node *node);

#endif
