/* Networks that are trained whole, and networks that are adapted: a frozen base and an overlay, in two slots. */
#include "train/models.h"

static dipp_trained trained(const dipp_overlay *overlay, dipp_layout *layout, dipp_parameter_set *set,
                            dipp_parameter_set *average)
{
    if (overlay->layout)
        return (dipp_trained){overlay->layout, overlay->set, overlay->average};
    return (dipp_trained){layout, set, average};
}

dipp_trained dipp_trained_generator(const dipp_models *models)
{
    return trained(&models->generator_overlay, models->generator_layout, models->generator_set, models->generator_ema);
}

dipp_trained dipp_trained_ta(const dipp_models *models)
{
    return trained(&models->ta_overlay, models->ta_layout, models->ta_set, NULL);
}

static dipp_params slots(dipp_graph *g, const char *name, const char *overlay_name, dipp_layout *layout,
                         const dipp_overlay *overlay, bool trainable)
{
    dipp_params network = dipp_graph_slot(g, name, layout, trainable && !overlay->layout);
    if (overlay->layout)
        dipp_graph_adapt(g, network, dipp_graph_slot(g, overlay_name, overlay->layout, trainable), &overlay->lora);
    return network;
}

dipp_params dipp_generator_slots(const dipp_models *models, dipp_graph *g, bool trainable)
{
    return slots(g, "generator", "generator overlay", models->generator_layout, &models->generator_overlay, trainable);
}

dipp_params dipp_ta_slots(const dipp_models *models, dipp_graph *g, bool trainable)
{
    return slots(g, "ta", "ta overlay", models->ta_layout, &models->ta_overlay, trainable);
}

static uint32_t bind(const dipp_overlay *overlay, dipp_parameter_set *set, dipp_parameter_set *own,
                     dipp_binding out[DIPP_NETWORK_SLOTS])
{
    out[0] = (dipp_binding){overlay->layout ? set : own, NULL};
    out[1] = (dipp_binding){overlay->layout ? own : NULL, NULL};
    return overlay->layout ? 2 : 1;
}

uint32_t dipp_bind_generator(const dipp_models *models, bool average, dipp_binding out[DIPP_NETWORK_SLOTS])
{
    dipp_trained theta = dipp_trained_generator(models);
    return bind(&models->generator_overlay, models->generator_set, average && theta.average ? theta.average : theta.set,
                out);
}

uint32_t dipp_bind_ta(const dipp_models *models, dipp_binding out[DIPP_NETWORK_SLOTS])
{
    return bind(&models->ta_overlay, models->ta_set, dipp_trained_ta(models).set, out);
}
