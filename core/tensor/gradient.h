/* Between the walk (gradient.c) and the rules (gradient_rules.c). */
#ifndef DIPP_TENSOR_GRADIENT_H
#define DIPP_TENSOR_GRADIENT_H

#include "tensor/graph.h"

typedef struct dipp_gradient_walk {
    dipp_graph *g;
    size_t node_count;      /* nodes recorded before the walk began */
    dipp_tensor *gradients; /* by value id: the sum so far, or none */
    bool *needed;           /* by value id */
} dipp_gradient_walk;

/* Adds to the gradient of value; ignored when nobody needs it. */
void dipp_gradient_add(dipp_gradient_walk *walk, dipp_tensor value, dipp_tensor gradient);

/* Applies the rule of one node whose output gradients are in walk->gradients. */
void dipp_gradient_of_node(dipp_gradient_walk *walk, const dipp_node *node);

#endif
