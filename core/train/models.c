#include "train/models.h"

#include "base/memory.h"
#include "train/claims.h"
#include "train/program_io.h"
#include "train/scores.h"
#include "train/streams.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

dipp_network dipp_reference_network(const dipp_models *models)
{
    return (dipp_network){models->reference->predict, models->reference_self, models->space.parameterisation,
                          models->space.sigma_data};
}

dipp_network dipp_ta_network(const dipp_models *models)
{
    return (dipp_network){models->ta->predict, models->ta_self, models->ta_space.parameterisation,
                          models->ta_space.sigma_data};
}

static dipp_shape batch_of(const dipp_shape *one, int64_t batch)
{
    dipp_shape shape = {.rank = one->rank + 1, .dims = {batch}};
    for (uint32_t i = 0; i < one->rank; i++)
        shape.dims[i + 1] = one->dims[i];
    return shape;
}

dipp_shape dipp_batch_shape(const dipp_models *models, int64_t batch)
{
    return batch_of(&models->space.sample, batch);
}

dipp_shape dipp_picture_batch_shape(const dipp_models *models, int64_t batch)
{
    return batch_of(&models->picture, batch);
}

dipp_prompt dipp_text_inputs(const dipp_models *models, dipp_graph *g, const char *prefix, int64_t batch)
{
    return dipp_prompt_inputs(g, prefix, batch, models->space.token_length);
}

dipp_condition dipp_encode_text(const dipp_models *models, dipp_graph *g, dipp_params p, dipp_prompt text)
{
    if (!models->space.token_length)
        return (dipp_condition){0};
    if (dipp_graph_failed(g))
        return (dipp_condition){0};
    return dipp_expect_condition(g, models->reference->encode_text(models->reference_self, g, p, text),
                                 dipp_dim(g, text.tokens, 0));
}

/* The condition of one sample, recorded and thrown away: its parts' dtypes and shapes. */
static dipp_status condition_of_one(const dipp_models *models, dipp_dtype dtypes[4], dipp_shape shapes[4],
                                    uint32_t *count, dipp_error *error)
{
    dipp_graph *g = NULL;
    *count = 0;
    if (!models->space.token_length)
        return DIPP_OK;
    dipp_status status = dipp_graph_create("condition", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params p = dipp_graph_slot(g, "text", models->text_layout, false);
    dipp_condition c = dipp_encode_text(models, g, p, dipp_text_inputs(models, g, "", 1));
    for (; *count < c.count; ++*count) {
        dtypes[*count] = dipp_dtype_of(g, c.parts[*count]);
        shapes[*count] = dipp_shape_of(g, c.parts[*count]);
    }
    status = dipp_graph_status(g, error);
    dipp_graph_destroy(&g);
    if (status == DIPP_OK && !*count)
        status = dipp_fail(error, DIPP_E_PLUGIN, "the reference takes text, but encode_text gives no condition");
    return status;
}

void dipp_condition_part(const dipp_models *models, uint32_t i, int64_t batch, dipp_dtype *dtype, dipp_shape *shape)
{
    dipp_dtype dtypes[4] = {0};
    dipp_shape shapes[4] = {0};
    uint32_t count;
    condition_of_one(models, dtypes, shapes, &count, NULL);
    *dtype = dtypes[i];
    *shape = shapes[i];
    shape->dims[0] = batch;
}

dipp_condition dipp_condition_inputs(const dipp_models *models, dipp_graph *g, const char *name, int64_t batch)
{
    dipp_condition c = {.count = models->condition_parts};
    for (uint32_t i = 0; i < c.count; i++) {
        char text[64];
        dipp_dtype dtype;
        dipp_shape shape;
        snprintf(text, sizeof text, "%s.%u", name, i);
        dipp_condition_part(models, i, batch, &dtype, &shape);
        c.parts[i] = dipp_input(g, text, dtype, shape);
    }
    return c;
}

/* [batch] of one number. */
static dipp_tensor constant_level(dipp_graph *g, int64_t batch, double value)
{
    return dipp_broadcast_to(g, dipp_constant(g, DIPP_SHAPE(1), &value), DIPP_SHAPE(batch));
}

static dipp_level fixed_level(const dipp_models *models, dipp_graph *g, int64_t batch, double t, double *alpha,
                              double *sigma)
{
    dipp_schedule_at(&models->schedule, t, alpha, sigma);
    double network_time = dipp_network_time(models->generator_info.parameterisation, t, *alpha, *sigma);
    return (dipp_level){constant_level(g, batch, network_time), constant_level(g, batch, *alpha),
                        constant_level(g, batch, *sigma)};
}

dipp_tensor dipp_record_generator_from(const dipp_models *models, dipp_graph *g, dipp_params p, dipp_condition c,
                                       const dipp_tensor *z)
{
    const dipp_generator_info *info = &models->generator_info;
    const dipp_generator_steps *steps = &models->steps;
    if (info->takes_noise) {
        dipp_shape shape = dipp_shape_of(g, z[0]);
        dipp_tensor made = models->generator->generate(models->generator_self, g, p, z[0], (dipp_level){0}, c);
        return dipp_cast(g, dipp_expect_shape(g, made, &shape, "the generator"), DIPP_WIDE);
    }
    dipp_network network = {models->generator->generate, models->generator_self, info->parameterisation,
                            info->sigma_data};
    int64_t batch = dipp_dim(g, z[0], 0);
    dipp_tensor x0 = DIPP_NONE;
    for (uint32_t k = 0; k < steps->count; k++) {
        double alpha, sigma, t = dipp_schedule_time_of(&models->schedule, steps->levels[k]);
        dipp_level level = fixed_level(models, g, batch, t, &alpha, &sigma);
        dipp_tensor x = info->unit_noise ? z[0] : dipp_scale_add(g, z[0], sigma, 0.0);
        if (k > 0)
            x = dipp_add_noise(g, steps->last_only ? dipp_stop_gradient(g, x0) : x0, z[k], level);
        x0 = dipp_denoise(&network, g, p, x, level, c);
    }
    return x0;
}

dipp_tensor dipp_record_generator(const dipp_models *models, dipp_graph *g, dipp_params p, dipp_condition c,
                                  int64_t batch)
{
    dipp_tensor z[DIPP_MAX_GENERATOR_STEPS] = {DIPP_NONE};
    for (uint32_t k = 0; k < models->steps.count; k++) {
        char name[32] = "z_key";
        if (k > 0)
            snprintf(name, sizeof name, "z_key.%u", k);
        z[k] = dipp_philox_normal(g, dipp_input(g, name, DIPP_INT32, DIPP_SHAPE(6)), dipp_batch_shape(models, batch));
    }
    return dipp_record_generator_from(models, g, p, c, z);
}

dipp_tensor dipp_record_pictures(const dipp_models *models, dipp_graph *g, dipp_params decoder, dipp_tensor x0,
                                 int clamp)
{
    dipp_tensor pictures = x0;
    if (models->reference->decode) {
        pictures = models->reference->decode(models->reference_self, g, decoder, x0);
        dipp_shape expected = dipp_picture_batch_shape(models, dipp_dim(g, x0, 0)); /* known once declared */
        if (models->picture.rank)
            dipp_expect_shape(g, pictures, &expected, "the reference's decode");
    }
    if (!models->space.images || clamp == 0)
        return pictures;
    return dipp_clamp(g, pictures, 0.0, 1.0, clamp == 1 ? DIPP_CLAMP_HARD : DIPP_CLAMP_STRAIGHT_THROUGH);
}

/* ---- Creation ---- */

static dipp_status create_reward(dipp_models *models, const dipp_models_options *options, dipp_error *error)
{
    const dipp_model_choice *choice = &options->rewards[models->reward_count];
    dipp_reward_model *reward = &models->rewards[models->reward_count];
    dipp_status status = dipp_reward_open(reward, *choice, options->host, error);
    reward->files = options->reward_files[models->reward_count++]; /* from here on destroy knows it */
    if (status == DIPP_OK && reward->info.images != models->space.images)
        return dipp_fail(error, DIPP_E_INVALID, "reward %s scores %s, but the reference gives %s", choice->plugin->name,
                         reward->info.images ? "pictures" : "vectors", models->space.images ? "pictures" : "vectors");
    if (status != DIPP_OK)
        dipp_error_context(error, "reward %s", choice->plugin->name);
    return status;
}

/* Fills up the levels and checks that they fall from sigma_init and that the generator can take several steps. */
static dipp_status arrange_steps(dipp_models *models, const dipp_generator_steps *asked, dipp_error *error)
{
    dipp_generator_steps *steps = &models->steps;
    *steps = *asked;
    if (!steps->count)
        steps->count = 1;
    if (steps->count > DIPP_MAX_GENERATOR_STEPS)
        return dipp_fail(error, DIPP_E_INVALID, "%u generator steps; at most %d are possible", steps->count,
                         DIPP_MAX_GENERATOR_STEPS);
    if (steps->count > 1 && models->generator_info.takes_noise)
        return dipp_fail(error, DIPP_E_INVALID,
                         "the generator makes samples from noise in one go and cannot take %u steps", steps->count);
    if (steps->level_count && steps->level_count != steps->count - 1)
        return dipp_fail(error, DIPP_E_INVALID,
                         "%u generator steps start at sigma_init and need %u more levels, not %u", steps->count,
                         steps->count - 1, steps->level_count);
    steps->levels[0] = models->generator_info.sigma_init;
    for (uint32_t k = 1; k < steps->count; k++) {
        if (!steps->level_count)
            steps->levels[k] = 0.4 * steps->levels[k - 1];
        if (!(steps->levels[k] > 0 && steps->levels[k] < steps->levels[k - 1]))
            return dipp_fail(error, DIPP_E_INVALID,
                             "the levels of generator steps must fall from sigma_init %g and stay above 0; level %u is "
                             "%g after %g",
                             steps->levels[0], k + 1, steps->levels[k], steps->levels[k - 1]);
        double alpha, sigma;
        dipp_schedule_at(&models->schedule, dipp_schedule_time_of(&models->schedule, steps->levels[k]), &alpha, &sigma);
        if (!(fabs(sigma / alpha - steps->levels[k]) <= 1e-3 * steps->levels[k]))
            return dipp_fail(error, DIPP_E_INVALID,
                             "level %u of the generator's steps, sigma/alpha = %g, is outside the noise schedule; give "
                             "other levels or fewer steps",
                             k + 1, steps->levels[k]);
    }
    return DIPP_OK;
}

static dipp_status create_instances(dipp_models *models, const dipp_models_options *options, dipp_error *error)
{
    models->reference = options->reference.plugin->vtable;
    dipp_status status =
        models->reference->create(options->reference.parameters, options->host, &models->reference_self, error);
    models->space.struct_size = sizeof models->space;
    if (status == DIPP_OK)
        status = models->reference->space(models->reference_self, &models->space, error);
    if (status == DIPP_OK)
        status = dipp_check_space(models->reference, &models->space, error);
    if (status != DIPP_OK)
        return dipp_error_context(error, "reference %s", options->reference.plugin->name);
    models->schedule = models->space.schedule;
    if (models->schedule.kind == DIPP_SCHEDULE_ANY) {
        if (!options->schedule)
            return dipp_fail(error, DIPP_E_INVALID,
                             "reference %s works with any noise schedule: name one (schedule: {name: ve})",
                             options->reference.plugin->name);
        models->schedule = *options->schedule;
    }
    models->ta = models->reference;
    models->ta_self = models->reference_self;
    models->ta_space = models->space;
    if (options->ta.plugin) {
        models->own_ta = true;
        models->ta = options->ta.plugin->vtable;
        models->ta_self = NULL;
        models->ta_space = (dipp_space){.struct_size = sizeof models->ta_space};
        status = models->ta->create(options->ta.parameters, options->host, &models->ta_self, error);
        if (status == DIPP_OK)
            status = models->ta->space(models->ta_self, &models->ta_space, error);
        if (status == DIPP_OK)
            status = dipp_check_space(models->ta, &models->ta_space, error);
        if (status != DIPP_OK)
            return dipp_error_context(error, "TA %s", options->ta.plugin->name);
        if (!dipp_same_shape(&models->ta_space.sample, &models->space.sample))
            return dipp_fail(error, DIPP_E_INVALID, "the TA %s and the reference %s work in different spaces",
                             options->ta.plugin->name, options->reference.plugin->name);
    }
    if (options->generator.plugin) {
        models->generator = options->generator.plugin->vtable;
        status =
            models->generator->create(options->generator.parameters, options->host, &models->generator_self, error);
        models->generator_info.struct_size = sizeof models->generator_info;
        if (status == DIPP_OK)
            status = models->generator->info(models->generator_self, &models->generator_info, error);
        if (status == DIPP_OK)
            status = dipp_check_generator_info(&models->generator_info, error);
        if (status != DIPP_OK)
            return dipp_error_context(error, "generator %s", options->generator.plugin->name);
        if (!dipp_same_shape(&models->generator_info.sample, &models->space.sample)) {
            char a[96], b[96];
            return dipp_fail(error, DIPP_E_INVALID, "the generator makes samples %s, the reference knows %s",
                             dipp_shape_text(&models->generator_info.sample, a, sizeof a),
                             dipp_shape_text(&models->space.sample, b, sizeof b));
        }
        status = arrange_steps(models, &options->steps, error);
        if (status != DIPP_OK)
            return dipp_error_context(error, "generator %s", options->generator.plugin->name);
    }
    for (uint32_t i = 0; i < options->reward_count && status == DIPP_OK; i++)
        status = create_reward(models, options, error);
    return status;
}

/* Notes the shape of a picture; records the encoder too where something is learnt from pictures. */
static void declare_pictures(dipp_models *models, dipp_graph *g, dipp_params decoder, dipp_tensor pictures,
                             bool encodes)
{
    dipp_shape shape = dipp_shape_of(g, pictures), sample = dipp_batch_shape(models, 1);
    bool good = models->space.images ? shape.rank == 4 && shape.dims[1] == 3 : shape.rank > 1;
    if (!dipp_graph_failed(g) && (!good || shape.dims[0] != 1)) {
        char text[160];
        dipp_graph_fail(g, "the reference's decode gives %s for one sample; expected [1, %s]",
                        dipp_shape_text(&shape, text, sizeof text), models->space.images ? "3, height, width" : "...");
    }
    if (dipp_graph_failed(g))
        return;
    models->picture = (dipp_shape){.rank = shape.rank - 1};
    for (uint32_t i = 0; i < models->picture.rank; i++)
        models->picture.dims[i] = shape.dims[i + 1];
    if (!encodes || !models->reference->encode)
        return;
    dipp_tensor back =
        models->reference->encode(models->reference_self, g, decoder, dipp_input(g, "pictures", DIPP_WIDE, shape));
    dipp_shape found = dipp_shape_of(g, back);
    char a[96], b[96];
    if (!dipp_graph_failed(g) && !dipp_same_shape(&found, &sample))
        dipp_graph_fail(g, "the reference encodes a picture as %s, and its samples are %s",
                        dipp_shape_text(&found, a, sizeof a), dipp_shape_text(&sample, b, sizeof b));
}

/* Records every network once with one sample, so that the layouts know all parameters. */
static dipp_status declare(dipp_models *models, bool encodes, dipp_error *error)
{
    dipp_graph *g;
    dipp_dtype dtypes[4];
    dipp_shape shapes[4];
    dipp_status status = condition_of_one(models, dtypes, shapes, &models->condition_parts, error);
    if (status == DIPP_OK)
        status = dipp_graph_create("declaration", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params reference = dipp_graph_slot(g, "reference", models->reference_layout, false);
    bool apart = models->own_ta || models->ta_overlay.layout;
    dipp_params ta = apart ? dipp_ta_slots(models, g, false) : reference;
    dipp_params decoder = dipp_graph_slot(g, "decoder", models->decoder_layout, false);
    dipp_condition c = dipp_condition_inputs(models, g, "condition", 1);
    dipp_tensor x = dipp_input(g, "x_t", DIPP_WIDE, dipp_batch_shape(models, 1));
    dipp_level level = dipp_level_inputs(g, "level", 1);
    dipp_network network = dipp_reference_network(models), ta_network = dipp_ta_network(models);
    dipp_tensor x0 = dipp_denoise(&network, g, reference, x, level, c);
    if (apart)
        dipp_denoise(&ta_network, g, ta, x, level, c);
    dipp_graph_check_adapter(g, ta);
    if (models->generator) {
        dipp_params generator = dipp_generator_slots(models, g, false);
        x0 = dipp_record_generator(models, g, generator, c, 1);
        dipp_graph_check_adapter(g, generator);
    }
    dipp_tensor pictures = dipp_record_pictures(models, g, decoder, x0, 1);
    declare_pictures(models, g, decoder, pictures, encodes);
    for (uint32_t i = 0; i < models->reward_count && !dipp_graph_failed(g); i++) {
        dipp_reward_model *reward = &models->rewards[i];
        if (reward->info.opaque) /* nothing to record */
            continue;
        char name[32];
        snprintf(name, sizeof name, "reward%u.", i);
        dipp_prompt text = dipp_prompt_inputs(g, name, 1, reward->info.token_length);
        dipp_tensor score =
            dipp_record_scores(reward->vtable, reward->self, g, dipp_graph_slot(g, "reward", reward->layout, false),
                               pictures, text, DIPP_REWARD_ALIGN);
        char who[96];
        snprintf(who, sizeof who, "reward %s", reward->plugin->name);
        dipp_expect_shape(g, score, &DIPP_SHAPE(1), who);
    }
    status = dipp_graph_status(g, error);
    dipp_graph_destroy(&g);
    return status;
}

/* Where the frozen base of a network is the reference, both have one layout and one set. */
static void share_bases(dipp_models *models, const dipp_models_options *options)
{
    if (models->ta_overlay.layout && options->ta_adapter.over_reference && !models->own_ta)
        models->ta_set = models->reference_set;
    if (models->generator_overlay.layout && options->generator_adapter.over_reference &&
        dipp_layouts_agree(models->generator_layout, models->reference_layout) &&
        dipp_layouts_agree(models->reference_layout, models->generator_layout)) {
        dipp_layout_destroy(&models->generator_layout);
        models->generator_layout = models->reference_layout;
        models->generator_set = models->reference_set;
    }
}

static dipp_status create_sets(dipp_models *models, const dipp_models_options *options, dipp_error *error)
{
    bool trains = options->train_generator;
    dipp_overlay *generator = &models->generator_overlay, *ta = &models->ta_overlay;
    dipp_status status = options->train_reference
                             ? dipp_parameter_set_create_in("reference", models->reference_layout, models->backend,
                                                            options->formats, &models->reference_set, error)
                             : dipp_parameter_set_create("reference", models->reference_layout, models->backend, false,
                                                         &models->reference_set, error);
    if (status == DIPP_OK)
        share_bases(models, options);
    struct {
        const char *name;
        dipp_layout *layout;
        bool trainable, wanted;
        dipp_parameter_set **set;
    } wanted[] = {
        {"text encoder", models->text_layout, options->train_reference, true, &models->text_set},
        {"decoder", models->decoder_layout, options->train_decoder, true, &models->decoder_set},
        {"reference average", models->reference_layout, false, options->train_reference, &models->reference_ema},
        {"text encoder average", models->text_layout, false, options->train_reference, &models->text_ema},
        {"decoder average", models->decoder_layout, false, options->train_decoder, &models->decoder_ema},
        {"TA", models->ta_layout, !ta->layout, trains && !models->ta_set, &models->ta_set},
        {"TA overlay", ta->layout, true, trains && ta->layout, &ta->set},
        {"generator", models->generator_layout, trains && !generator->layout,
         models->generator && !models->generator_set, &models->generator_set},
        {"generator average", models->generator_layout, false, trains && !generator->layout, &models->generator_ema},
        {"generator overlay", generator->layout, trains, generator->layout != NULL, &generator->set},
        {"generator overlay average", generator->layout, false, trains && generator->layout, &generator->average},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && status == DIPP_OK; i++) {
        bool of_ta = wanted[i].set == &models->ta_set || wanted[i].set == &ta->set;
        if (wanted[i].wanted && wanted[i].trainable)
            status = dipp_parameter_set_create_in(wanted[i].name, wanted[i].layout, models->backend,
                                                  of_ta ? options->ta_formats : options->formats, wanted[i].set, error);
        else if (wanted[i].wanted)
            status = dipp_parameter_set_create(wanted[i].name, wanted[i].layout, models->backend, false, wanted[i].set,
                                               error);
    }
    for (uint32_t i = 0; i < models->reward_count && status == DIPP_OK; i++)
        status = dipp_reward_create_set(&models->rewards[i], models->backend, error);
    return status;
}

static dipp_status settle_rewards(dipp_models *models, dipp_error *error)
{
    dipp_reward_model *list[DIPP_MAX_REWARDS];
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < models->reward_count && status == DIPP_OK; i++) {
        list[i] = &models->rewards[i];
        status = dipp_reward_settle(list, i, error);
    }
    return status;
}

dipp_status dipp_models_create(dipp_backend *backend, const dipp_models_options *options, dipp_models **out,
                               dipp_error *error)
{
    dipp_models *models = dipp_allocate_zeroed(1, sizeof *models);
    if (!models)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the models");
    models->backend = backend;
    dipp_status status = create_instances(models, options, error);
    struct {
        const char *name;
        dipp_layout **layout;
    } layouts[] = {{"the reference", &models->reference_layout},
                   {"the text encoder", &models->text_layout},
                   {"the decoder", &models->decoder_layout},
                   {"the generator", &models->generator_layout}};
    for (size_t i = 0; i < 4 && status == DIPP_OK; i++)
        status = dipp_layout_create(layouts[i].name, layouts[i].layout, error);
    models->generator_overlay.lora = options->generator_adapter.lora;
    models->ta_overlay.lora = options->ta_adapter.lora;
    if (status == DIPP_OK && models->generator && models->generator_overlay.lora.rank)
        status = dipp_layout_create("the generator's overlay", &models->generator_overlay.layout, error);
    if (status == DIPP_OK && models->ta_overlay.lora.rank)
        status = dipp_layout_create("the TA's overlay", &models->ta_overlay.layout, error);
    if (status == DIPP_OK && models->own_ta)
        status = dipp_layout_create("the TA", &models->ta_layout, error);
    else
        models->ta_layout = models->reference_layout;
    for (uint32_t i = 0; i < models->reward_count && status == DIPP_OK; i++)
        status = dipp_layout_create(models->rewards[i].plugin->name, &models->rewards[i].layout, error);
    if (status == DIPP_OK)
        status = declare(models, options->train_reference || options->train_decoder, error);
    if (status == DIPP_OK)
        status = settle_rewards(models, error);
    if (status == DIPP_OK)
        status = create_sets(models, options, error);
    if (status != DIPP_OK)
        dipp_models_destroy(&models);
    *out = models;
    return status;
}

void dipp_models_destroy(dipp_models **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_models *models = *pointer;
    if (models->ta_set == models->reference_set)
        models->ta_set = NULL;
    if (models->generator_set == models->reference_set)
        models->generator_set = NULL;
    dipp_parameter_set **sets[] = {&models->reference_set,
                                   &models->ta_set,
                                   &models->text_set,
                                   &models->decoder_set,
                                   &models->generator_set,
                                   &models->generator_ema,
                                   &models->reference_ema,
                                   &models->text_ema,
                                   &models->decoder_ema,
                                   &models->generator_overlay.set,
                                   &models->generator_overlay.average,
                                   &models->ta_overlay.set};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        dipp_parameter_set_destroy(sets[i]);
    for (uint32_t i = models->reward_count; i-- > 0;)
        dipp_reward_clear(&models->rewards[i]);
    if (models->own_ta) {
        dipp_layout_destroy(&models->ta_layout);
        if (models->ta_self)
            models->ta->destroy(models->ta_self);
    }
    if (models->generator_layout != models->reference_layout)
        dipp_layout_destroy(&models->generator_layout);
    dipp_layout_destroy(&models->reference_layout);
    dipp_layout_destroy(&models->text_layout);
    dipp_layout_destroy(&models->decoder_layout);
    dipp_layout_destroy(&models->generator_overlay.layout);
    dipp_layout_destroy(&models->ta_overlay.layout);
    if (models->generator_self)
        models->generator->destroy(models->generator_self);
    if (models->reference_self)
        models->reference->destroy(models->reference_self);
    dipp_release(models);
    *pointer = NULL;
}

dipp_status dipp_models_initialise(dipp_models *models, uint64_t seed, dipp_error *error)
{
    struct {
        dipp_parameter_set *set;
        uint32_t stream;
    } sets[] = {
        {models->reference_set, DIPP_STREAM_REFERENCE_INIT},
        {models->text_set, DIPP_STREAM_TEXT_INIT},
        {models->decoder_set, DIPP_STREAM_REFERENCE_INIT},
        {models->reference_ema, DIPP_STREAM_REFERENCE_INIT},
        {models->text_ema, DIPP_STREAM_TEXT_INIT},
        {models->decoder_ema, DIPP_STREAM_REFERENCE_INIT},
        {models->ta_set == models->reference_set ? NULL : models->ta_set, DIPP_STREAM_REFERENCE_INIT},
        {models->generator_set == models->reference_set ? NULL : models->generator_set, DIPP_STREAM_GENERATOR_INIT},
        {models->generator_ema, DIPP_STREAM_GENERATOR_INIT},
        {models->generator_overlay.set, DIPP_STREAM_GENERATOR_OVERLAY},
        {models->generator_overlay.average, DIPP_STREAM_GENERATOR_OVERLAY},
        {models->ta_overlay.set, DIPP_STREAM_TA_OVERLAY}};
    dipp_status status = DIPP_OK;
    for (size_t i = 0; i < sizeof sets / sizeof *sets && status == DIPP_OK; i++)
        if (sets[i].set)
            status = dipp_parameter_set_initialise(sets[i].set, seed, sets[i].stream, error);
    for (uint32_t i = 0; i < models->reward_count && status == DIPP_OK; i++)
        if (models->rewards[i].home == &models->rewards[i])
            status = dipp_parameter_set_initialise(models->rewards[i].set, seed, DIPP_STREAM_REWARD_INIT + i, error);
    return status;
}
