/* Between the walk (gradient.c) and blocks that are computed a second time (recompute.c). */
#ifndef DIPP_TENSOR_RECOMPUTE_H
#define DIPP_TENSOR_RECOMPUTE_H

#include "tensor/gradient.h"

/* Finds out what blocks keep, where the graph's owner asked for recomputation. False: no memory. */
bool dipp_recompute_prepare(dipp_gradient_walk *walk);
void dipp_recompute_release(dipp_gradient_walk *walk);
/* The block to be recomputed whose last node is end - 1, or NULL. */
const dipp_node_range *dipp_recompute_block_ending_at(const dipp_gradient_walk *walk, size_t end);
/* Records the block again and differentiates the copies; nothing when no gradient is wanted in it. */
void dipp_recompute_differentiate(dipp_gradient_walk *walk, dipp_node_range block);

#endif
