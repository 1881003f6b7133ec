/* The losses of reward training, so written that neither large nor equal scores cost a digit of the gradient. */
#include "train/reward.h"

#include "base/memory.h"

/* ln(1 + e^x) = ln(1 + e^min(x, 30)) + max(x - 30, 0), to the precision of either dtype. x [n] wide -> [n]. */
static dipp_tensor softplus(dipp_graph *g, dipp_tensor x)
{
    static const double turn = 30.0;
    dipp_tensor below = dipp_clamp(g, x, -1e30, turn, DIPP_CLAMP_HARD);
    dipp_tensor above = dipp_clamp(g, dipp_scale_add(g, x, 1.0, -turn), 0.0, 1e30, DIPP_CLAMP_HARD);
    return dipp_add(g, dipp_log(g, dipp_scale_add(g, dipp_exp(g, below), 1.0, 1.0)), above);
}

dipp_tensor dipp_record_pair_losses(dipp_graph *g, dipp_tensor differences, dipp_tensor labels, dipp_tensor weights)
{
    dipp_tensor first = dipp_mul(g, labels, softplus(g, dipp_scale_add(g, differences, -1.0, 0.0)));
    dipp_tensor second = dipp_mul(g, dipp_scale_add(g, labels, -1.0, 1.0), softplus(g, differences));
    return dipp_mul(g, weights, dipp_add(g, first, second));
}

/* Cross-entropies of one direction: ln sum_j exp(l_ij - l_ii), summed over `axis`; own [n, 1] or [1, n]. What is wrong by
 * more than e^80 counts as that, with the gradient it would have. */
static dipp_tensor direction(dipp_graph *g, dipp_tensor logits, dipp_tensor own, int axis)
{
    dipp_tensor over = dipp_clamp(g, dipp_sub(g, logits, own), -1e30, 80.0, DIPP_CLAMP_STRAIGHT_THROUGH);
    return dipp_log(g, dipp_sum(g, dipp_exp(g, over), 1u << axis, false));
}

dipp_tensor dipp_record_contrastive_losses(dipp_graph *g, dipp_tensor logits)
{
    int64_t n = dipp_dim(g, logits, 0);
    double *eye = dipp_allocate_zeroed((size_t)(n * n), sizeof *eye);
    if (!eye)
        return dipp_graph_fail(g, "no memory for a batch of %lld", (long long)n);
    for (int64_t i = 0; i < n; i++)
        eye[i * n + i] = 1.0;
    dipp_tensor diagonal = dipp_constant(g, DIPP_SHAPE(n, n), eye);
    dipp_release(eye);
    dipp_tensor own = dipp_sum(g, dipp_mul(g, logits, diagonal), 1u << 1, false); /* [n] */
    dipp_tensor texts = direction(g, logits, dipp_reshape(g, own, DIPP_SHAPE(n, 1)), 1);
    dipp_tensor samples = direction(g, logits, dipp_reshape(g, own, DIPP_SHAPE(1, n)), 0);
    return dipp_scale_add(g, dipp_add(g, texts, samples), 0.5 / (double)n, 0.0);
}
