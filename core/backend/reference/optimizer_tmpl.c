/* Training state: gradient accumulation, the gradient norm, and the optimizer step of tensor/op.h. */

static void accumulate(const reference_node *node, void *const *args)
{
    int64_t elements = reference_elements(&node->view.inputs[0].shape);
    const real *x = args[0];
    real *out = args[1];
    for (int64_t i = 0; i < elements; i++)
        out[i] = (real)((double)out[i] + x[i]);
}

static void grad_norm(const reference_node *node, void *const *args)
{
    int64_t elements = reference_elements(&node->view.inputs[0].shape);
    const real *gradient = args[0];
    real *out = args[1];
    double total = 0;
    for (int64_t i = 0; i < elements; i++)
        total += (double)gradient[i] * gradient[i];
    out[0] = (real)sqrt(total);
    out[1] = isfinite(out[0]) ? 1 : 0;
}

static void optimizer_step(const reference_node *node, void *const *args)
{
    const real *norm_ok = args[0], *scalars = args[1];
    real *master = args[2], *gradient = args[3], *m = args[4], *v = args[5], *ema = args[6], *copy = args[7];
    const double lr = scalars[DIPP_OPT_LR], beta1 = scalars[DIPP_OPT_BETA1], beta2 = scalars[DIPP_OPT_BETA2];
    const double clip = scalars[DIPP_OPT_CLIP], scaled_norm = norm_ok[0] * (double)scalars[DIPP_OPT_GRAD_SCALE];
    const double decay = node->attributes.decay ? scalars[DIPP_OPT_WEIGHT_DECAY] : 0;
    const double scale = scalars[DIPP_OPT_GRAD_SCALE] * (clip > 0 && scaled_norm > clip ? clip / scaled_norm : 1);
    for (int64_t i = node->attributes.start; i < node->attributes.start + node->attributes.count; i++) {
        double g = scale * gradient[i], p = master[i];
        gradient[i] = 0;
        if (norm_ok[1] == 0)
            continue;
        if (node->attributes.optimizer == DIPP_OPTIMIZER_ADAMW) {
            double new_m = beta1 * m[i] + (1 - beta1) * g, new_v = beta2 * v[i] + (1 - beta2) * g * g;
            double direction = new_m * scalars[DIPP_OPT_CORRECTION1] /
                               (sqrt(new_v * scalars[DIPP_OPT_CORRECTION2]) + scalars[DIPP_OPT_EPSILON]);
            p -= lr * (direction + decay * p);
            m[i] = (real)new_m;
            v[i] = (real)new_v;
        } else {
            p -= lr * (g + decay * p);
        }
        master[i] = (real)p;
        if (ema)
            ema[i] = (real)(ema[i] + (1 - scalars[DIPP_OPT_EMA_DECAY]) * (p - ema[i]));
        if (copy)
            copy[i] = (real)p;
    }
}
