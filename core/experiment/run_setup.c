#include "experiment/run_setup.h"

#include "backend/unbacked.h"
#include "base/file.h"
#include "base/memory.h"
#include "experiment/run_weights.h"
#include "train/adapter_io.h"
#include "train/streams.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Creation ---- */

static dipp_status choose(dipp_run_setup *setup, dipp_plugin_kind kind, const char *section,
                          const dipp_loaded_plugin **loaded, dipp_model_choice *choice, dipp_error *error)
{
    char path[64];
    snprintf(path, sizeof path, "%s.plugin", section);
    const char *name = dipp_config_string(setup->config, path);
    if (!name)
        return DIPP_OK;
    dipp_status status = dipp_plugins_find(setup->plugins, kind, name, loaded, error);
    if (status != DIPP_OK)
        return status;
    snprintf(path, sizeof path, "%s.params", section);
    *choice = (dipp_model_choice){(*loaded)->descriptor, dipp_config_parameters(setup->config, path)};
    return DIPP_OK;
}

static dipp_status choose_adapters(dipp_run_setup *setup, dipp_models_options *options, dipp_error *error)
{
    dipp_status status = dipp_run_start_find(setup->config, setup->hashes, &setup->start, error);
    if (status == DIPP_OK)
        status = dipp_run_lora(setup->config, "generator.lora", &options->generator_adapter.lora, error);
    if (status == DIPP_OK)
        status = dipp_run_lora(setup->config, "align.ta.lora", &options->ta_adapter.lora, error);
    options->generator_adapter.over_reference = setup->start.generator_over_reference;
    options->ta_adapter.over_reference = setup->start.ta_over_reference;
    return status;
}

static dipp_status find_reward_files(dipp_run_setup *setup, size_t i, dipp_weight_files *out, dipp_error *error)
{
    char path[48];
    snprintf(path, sizeof path, "rewards[%zu].weights", i);
    const char *weights = dipp_config_string(setup->config, path);
    snprintf(path, sizeof path, "rewards[%zu].head_weights", i);
    const char *head = dipp_config_string(setup->config, path);
    char *file = weights ? dipp_run_weights_file(weights, "model") : NULL;
    setup->reward_files[i] = file ? dipp_path_resolved(file) : NULL;
    setup->reward_heads[i] = head ? dipp_path_resolved(head) : NULL;
    dipp_release(file);
    *out = (dipp_weight_files){setup->reward_files[i], setup->reward_heads[i]};
    return (weights && !out->file) || (head && !out->head)
               ? dipp_fail(error, DIPP_E_MEMORY, "no memory for the path of a reward's weights")
               : DIPP_OK;
}

static dipp_status create_models(dipp_run_setup *setup, dipp_error *error)
{
    dipp_schedule schedule;
    bool scheduled = dipp_run_schedule(setup->config, &schedule);
    static const dipp_host host = {.struct_size = sizeof host};
    dipp_models_options options = {
        .schedule = scheduled ? &schedule : NULL,
        .train_reference = setup->pretrain && !setup->autoencoder,
        .train_decoder = setup->autoencoder,
        .train_generator = !setup->pretrain,
        .formats = dipp_run_formats(setup->config, setup->pretrain ? "pretrain.optimizer" : "align.optimizer"),
        .ta_formats = dipp_run_formats(setup->config, "align.ta.optimizer"),
        .host = &host};
    dipp_status status = setup->pretrain ? DIPP_OK : dipp_run_generator_steps(setup->config, &options.steps, error);
    if (status == DIPP_OK)
        status = choose(setup, DIPP_PLUGIN_REFERENCE, "reference", &setup->reference, &options.reference, error);
    if (status == DIPP_OK && !setup->pretrain)
        status = choose(setup, DIPP_PLUGIN_GENERATOR, "generator", &setup->generator, &options.generator, error);
    if (status == DIPP_OK && !setup->pretrain)
        status = choose(setup, DIPP_PLUGIN_REFERENCE, "align.ta", &setup->ta, &options.ta, error);
    if (status == DIPP_OK && !setup->pretrain)
        status = choose_adapters(setup, &options, error);
    size_t rewards = setup->pretrain ? 0 : dipp_config_length(setup->config, "rewards");
    if (status == DIPP_OK && rewards > DIPP_MAX_REWARDS)
        return dipp_fail(error, DIPP_E_INVALID, "%zu rewards are given; at most %d are possible", rewards,
                         DIPP_MAX_REWARDS);
    for (size_t i = 0; i < rewards && status == DIPP_OK; i++) {
        char section[32];
        snprintf(section, sizeof section, "rewards[%zu]", i);
        status = choose(setup, DIPP_PLUGIN_REWARD, section, &setup->rewards[i], &options.rewards[i], error);
        if (status == DIPP_OK)
            status = find_reward_files(setup, i, &options.reward_files[i], error);
        options.reward_count++;
    }
    return status == DIPP_OK ? dipp_models_create(setup->backend, &options, &setup->models, error) : status;
}

/* The reward that is trained, for pictures of the size that there are. */
static dipp_status create_trainee(dipp_run_setup *setup, dipp_error *error)
{
    static const dipp_host host = {.struct_size = sizeof host};
    const dipp_yaml_node *patterns = dipp_config_node(setup->config, "learn.freeze");
    dipp_status status = dipp_run_preferences_create(setup->config, setup->world, &setup->preferences, error);
    if (status != DIPP_OK)
        return dipp_error_context(error, "preferences");
    dipp_trainee_options options = {.host = &host,
                                    .sample = dipp_run_preferences_sample(setup->preferences),
                                    .train = true,
                                    .formats = dipp_run_formats(setup->config, "learn.optimizer")};
    const char **freeze = dipp_allocate_zeroed(patterns ? patterns->count + 1 : 1, sizeof *freeze);
    if (!freeze)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a reward");
    for (size_t i = 0; patterns && i < patterns->count; i++)
        freeze[options.freeze_count++] = patterns->items[i]->text;
    options.freeze = freeze;
    status = choose(setup, DIPP_PLUGIN_REWARD, "reward", &setup->reward, &options.reward, error);
    if (status == DIPP_OK)
        status = dipp_trainee_create(setup->backend, &options, &setup->trainee, error);
    dipp_release(freeze);
    return status;
}

static dipp_status read_prompts(dipp_run_setup *setup, dipp_error *error)
{
    dipp_status status = dipp_run_prompts_read(setup->config, "prompts", setup->world, &setup->prompts, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_run_prompts_read_evaluation(setup->config, setup->world, &setup->evaluation, error);
    if (status != DIPP_OK)
        return status;
    if (!setup->pretrain && !setup->prompts.configured && dipp_config_float(setup->config, "align.cfg_omega") != 1.0)
        return dipp_fail(error, DIPP_E_INVALID,
                         "align.cfg_omega is %g, but there are no prompts, and guidance is towards a prompt; give "
                         "prompts (set, file or list) or align.cfg_omega 1",
                         dipp_config_float(setup->config, "align.cfg_omega"));
    return DIPP_OK;
}

static dipp_status create_world(dipp_run_setup *setup, dipp_error *error)
{
    dipp_emoji_world_options options;
    if (!dipp_run_needs_world(setup->config))
        return DIPP_OK;
    dipp_run_world_options(setup->config, &options);
    return dipp_emoji_world_create(&options, &setup->world, error);
}

static dipp_status create(const dipp_config *config, dipp_plugins *plugins, uint32_t threads, bool memory,
                          dipp_run_setup **out, dipp_error *error)
{
    dipp_run_setup *setup = dipp_allocate_zeroed(1, sizeof *setup);
    if (!setup)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a run");
    setup->config = config;
    setup->plugins = plugins;
    setup->pretrain = dipp_run_pretrains(config);
    setup->autoencoder = dipp_run_autoencodes(config);
    dipp_status status = dipp_run_hashes_create(&setup->hashes, error);
    if (status == DIPP_OK)
        status = dipp_run_backend_create(config, threads, &setup->backend, error);
    if (status == DIPP_OK && !memory)
        dipp_backend_forgo_memory(setup->backend);
    bool reward = dipp_run_learns_reward(config);
    if (status == DIPP_OK && !reward)
        status = create_models(setup, error);
    if (status == DIPP_OK)
        status = create_world(setup, error);
    if (status == DIPP_OK)
        status = reward ? create_trainee(setup, error) : read_prompts(setup, error);
    if (status != DIPP_OK)
        dipp_run_setup_destroy(&setup);
    *out = setup;
    return status;
}

dipp_status dipp_run_setup_create(const dipp_config *config, dipp_plugins *plugins, uint32_t threads,
                                  dipp_run_setup **out, dipp_error *error)
{
    return create(config, plugins, threads, true, out, error);
}

dipp_status dipp_run_setup_create_unbacked(const dipp_config *config, dipp_plugins *plugins, dipp_run_setup **out,
                                           dipp_error *error)
{
    return create(config, plugins, 0, false, out, error);
}

void dipp_run_setup_destroy(dipp_run_setup **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_run_setup *setup = *pointer;
    dipp_run_prompts_clear(&setup->prompts);
    dipp_run_prompts_clear(&setup->evaluation);
    dipp_models_destroy(&setup->models);
    dipp_trainee_destroy(&setup->trainee);
    dipp_run_preferences_destroy(&setup->preferences);
    dipp_emoji_world_destroy(&setup->world);
    dipp_backend_destroy(&setup->backend);
    dipp_run_hashes_destroy(&setup->hashes);
    dipp_run_start_clear(&setup->start);
    for (uint32_t i = 0; i < setup->input_count; i++)
        dipp_release(setup->inputs[i].path);
    for (uint32_t i = 0; i < DIPP_MAX_REWARDS; i++)
        dipp_release(setup->reward_files[i]), dipp_release(setup->reward_heads[i]);
    dipp_release(setup);
    *pointer = NULL;
}

/* ---- Weights ---- */

/* The next input: this file (taken over) in this role; its hash is filled in by whoever reads it. */
static dipp_status note_input(dipp_run_setup *setup, const char *role, char *file, dipp_run_input **out,
                              dipp_error *error)
{
    dipp_run_input *input = &setup->inputs[setup->input_count];
    struct stat information;
    if (!file)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to load %s", role);
    *input = (dipp_run_input){.path = file};
    snprintf(input->role, sizeof input->role, "%s", role);
    input->bytes = stat(file, &information) == 0 ? (int64_t)information.st_size : 0;
    setup->input_count++;
    *out = input;
    return DIPP_OK;
}

/* Reads a file (taken over) into sets and notes it as an input. */
static dipp_status read_input(dipp_run_setup *setup, const char *role, char *file, dipp_parameter_set *const *sets,
                              uint32_t count, dipp_error *error)
{
    dipp_run_input *input = NULL;
    dipp_status status = note_input(setup, role, file, &input, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_weights_read_sets(file, "model", sets, count, error);
    if (status == DIPP_OK)
        status = dipp_run_hashes_of(setup->hashes, file, input->sha256, error);
    return status == DIPP_OK ? status : dipp_error_context(error, "%s", role);
}

/* Reads one part of a path of weights; remedy: what else could be named in its place. */
static dipp_status read_part(dipp_run_setup *setup, const char *role, const char *path, dipp_weights_part part,
                             const char *remedy, dipp_parameter_set *const *sets, uint32_t count, dipp_error *error)
{
    char *file = dipp_run_weights_part(path, part);
    if (file && dipp_run_weights_is_pipeline(path) && (!dipp_path_exists(file) || dipp_path_is_directory(file))) {
        dipp_fail(error, DIPP_E_NOT_FOUND, "%s: the pipeline in %s lacks this part, expected at %s; %s", role, path,
                  file, remedy);
        dipp_release(file);
        return DIPP_E_NOT_FOUND;
    }
    return read_input(setup, role, file, sets, count, error);
}

/* Everything that reference.weights is to give: one file holds it all, a pipeline has a file for each part. */
static dipp_status load_weights(dipp_run_setup *setup, const char *path, bool with_decoder, dipp_error *error)
{
    dipp_models *models = setup->models;
    dipp_parameter_set *sets[] = {models->reference_set, models->text_set, models->decoder_set};
    uint32_t first = setup->autoencoder ? 2 : 0;
    if (!dipp_run_weights_is_pipeline(path))
        return read_input(setup, "reference", dipp_run_weights_file(path, "model"), sets + first,
                          (with_decoder ? 3 : 2) - first, error);
    dipp_status status = DIPP_OK;
    if (!setup->autoencoder)
        status = read_part(setup, "reference", path, DIPP_PART_NETWORK, "the network is in unet/ or transformer/",
                           &sets[0], 1, error);
    if (status == DIPP_OK && !setup->autoencoder && dipp_layout_count(models->text_layout))
        status = read_part(setup, "text", path, DIPP_PART_TEXT,
                           "a reference with a vocabulary of its own needs weights for its text encoder", &sets[1], 1,
                           error);
    if (status == DIPP_OK && with_decoder && dipp_layout_count(models->decoder_layout))
        status = read_part(setup, "decoder", path, DIPP_PART_AUTOENCODER, "name other weights (reference.decoder)",
                           &sets[2], 1, error);
    return status;
}

/* An adapter: into the overlay, or added to weights that are all trained. */
static dipp_status read_adapter(dipp_run_setup *setup, const char *role, const char *file, const char *base,
                                const dipp_overlay *overlay, dipp_parameter_set *whole, dipp_error *error)
{
    dipp_run_input *input = NULL;
    dipp_status status = dipp_run_check_adapter_base(file, base, error);
    if (status == DIPP_OK)
        status = note_input(setup, role, dipp_string_copy(file), &input, error);
    if (status == DIPP_OK && overlay->layout)
        status = dipp_adapter_read(file, overlay->set, &overlay->lora, error);
    else if (status == DIPP_OK)
        status = dipp_adapter_merge(file, whole, error);
    if (status == DIPP_OK)
        status = dipp_run_hashes_of(setup->hashes, file, input->sha256, error);
    return status == DIPP_OK ? status : dipp_error_context(error, "%s", role);
}

/* The hash of the file that was read in this role, or NULL. */
static const char *hash_of(const dipp_run_setup *setup, const char *role)
{
    for (uint32_t i = 0; i < setup->input_count; i++)
        if (!strcmp(setup->inputs[i].role, role))
            return setup->inputs[i].sha256;
    return NULL;
}

static dipp_status load_reference(dipp_run_setup *setup, dipp_error *error)
{
    dipp_models *models = setup->models;
    const char *path = dipp_config_string(setup->config, "reference.weights");
    const char *decoder = dipp_config_string(setup->config, "reference.decoder");
    dipp_status status = DIPP_OK;
    if (path && !(setup->autoencoder && decoder))
        status = load_weights(setup, path, !decoder, error);
    if (status == DIPP_OK && decoder)
        status = read_part(setup, "decoder", decoder, DIPP_PART_AUTOENCODER, "name its file", &models->decoder_set, 1,
                           error);
    if (status == DIPP_OK && !path && !decoder && !setup->autoencoder && dipp_layout_count(models->decoder_layout))
        return dipp_fail(
            error, DIPP_E_INVALID,
            "the reference %s decodes its samples with a network that this stage does not train; name its weights "
            "(reference.decoder), which stage pretrain-autoencoder makes",
            setup->reference->descriptor->name);
    if (status == DIPP_OK && models->reference_ema)
        status = dipp_parameter_set_copy(models->reference_ema, models->reference_set, error);
    if (status == DIPP_OK && models->text_ema)
        status = dipp_parameter_set_copy(models->text_ema, models->text_set, error);
    if (status == DIPP_OK && models->decoder_ema)
        status = dipp_parameter_set_copy(models->decoder_ema, models->decoder_set, error);
    return status;
}

/* to's entries from from's namesakes. */
static dipp_status copy_by_name(dipp_parameter_set *to, const dipp_parameter_set *from, dipp_error *error)
{
    enum { PIECE = 1024 };
    double numbers[PIECE];
    for (uint32_t i = 0; i < dipp_layout_count(to->layout); i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(to->layout, i);
        uint32_t other = 0;
        dipp_layout_find(from->layout, entry->name, &other);
        size_t source = (size_t)dipp_layout_entry_at(from->layout, other)->offset, target = (size_t)entry->offset;
        for (size_t at = 0, count = (size_t)entry->elements; at < count; at += PIECE) {
            size_t part = count - at < PIECE ? count - at : PIECE;
            dipp_parameter_set_read_part(from, DIPP_BLOCK_MASTER, source + at, part, numbers, DIPP_HOST_F64);
            dipp_parameter_set_write_part(to, DIPP_BLOCK_MASTER, target + at, part, numbers, DIPP_HOST_F64);
        }
    }
    return dipp_parameter_set_refresh(to, error);
}

static dipp_status load_generator(dipp_run_setup *setup, dipp_error *error)
{
    dipp_models *models = setup->models;
    const dipp_run_start *start = &setup->start;
    dipp_trained trained = dipp_trained_generator(models);
    bool shared = models->generator_set == models->reference_set;
    dipp_status status = DIPP_OK;
    if (start->generator && !shared) {
        status = read_input(setup, "generator", dipp_string_copy(start->generator), &models->generator_set, 1, error);
        setup->generator_base = hash_of(setup, "generator");
    } else if (shared || (start->generator_over_reference &&
                          dipp_layouts_agree(models->generator_layout, models->reference_layout))) {
        status = shared ? DIPP_OK : copy_by_name(models->generator_set, models->reference_set, error);
        setup->generator_base = hash_of(setup, "reference");
    }
    if (status == DIPP_OK && start->generator_adapter)
        status = read_adapter(setup, "generator.adapter", start->generator_adapter, setup->generator_base,
                              &models->generator_overlay, models->generator_set, error);
    if (status == DIPP_OK)
        status = dipp_parameter_set_copy(trained.average, trained.set, error);
    return status;
}

static dipp_status load_ta(dipp_run_setup *setup, dipp_error *error)
{
    dipp_models *models = setup->models;
    const dipp_run_start *start = &setup->start;
    dipp_status status = DIPP_OK;
    if (start->ta) {
        status = read_input(setup, "ta", dipp_string_copy(start->ta), &models->ta_set, 1, error);
        setup->ta_base = hash_of(setup, "ta");
    } else if (start->ta_over_reference) {
        if (models->ta_set != models->reference_set)
            status = dipp_parameter_set_copy(models->ta_set, models->reference_set, error);
        setup->ta_base = hash_of(setup, "reference");
    }
    if (status == DIPP_OK && start->ta_adapter)
        status = read_adapter(setup, "ta.adapter", start->ta_adapter, setup->ta_base, &models->ta_overlay,
                              models->ta_set, error);
    return status;
}

/* One reward's weights (file is taken over) and, where it has one, the file of its head. What has its parameters in another
 * reward's set was read with those. */
static dipp_status read_reward(dipp_run_setup *setup, uint32_t index, char *file, const char *head, dipp_error *error)
{
    dipp_models *models = setup->models;
    dipp_reward_model *reward = &models->rewards[index], *list[DIPP_MAX_REWARDS];
    char role[24];
    for (uint32_t i = 0; i < models->reward_count; i++)
        list[i] = &models->rewards[i];
    dipp_run_input *inputs[2] = {NULL, NULL};
    snprintf(role, sizeof role, "reward[%u]", index);
    dipp_status status = note_input(setup, role, file, &inputs[0], error);
    snprintf(role, sizeof role, "reward[%u].head", index);
    if (status == DIPP_OK && head)
        status = note_input(setup, role, dipp_string_copy(head), &inputs[1], error);
    if (status == DIPP_OK && reward->home == reward)
        status = dipp_weights_read_with_head(file, dipp_reward_head_at(list, models->reward_count, reward), reward->set,
                                             error);
    if (status == DIPP_OK)
        status = dipp_run_hashes_of(setup->hashes, file, inputs[0]->sha256, error);
    if (status == DIPP_OK && head)
        status = dipp_run_hashes_of(setup->hashes, head, inputs[1]->sha256, error);
    return status == DIPP_OK ? status : dipp_error_context(error, "reward[%u]", index);
}

static dipp_status load_rewards(dipp_run_setup *setup, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < setup->models->reward_count && status == DIPP_OK; i++) {
        char path[48], head_path[48];
        snprintf(path, sizeof path, "rewards[%u].weights", i);
        snprintf(head_path, sizeof head_path, "rewards[%u].head_weights", i);
        const char *weights = dipp_config_string(setup->config, path);
        const char *head = dipp_config_string(setup->config, head_path);
        if (weights && setup->models->rewards[i].info.opaque)
            return dipp_fail(error, DIPP_E_INVALID, "%s: the opaque reward %s takes no weights; leave them out", path,
                             setup->models->rewards[i].plugin->name);
        if (head && !weights)
            return dipp_fail(error, DIPP_E_INVALID, "%s: a second file stands beside a first; give %s", head_path,
                             path);
        if (weights)
            status = read_reward(setup, i, dipp_run_weights_file(weights, "model"), head, error);
    }
    return status;
}

static dipp_status load_trainee(dipp_run_setup *setup, int64_t seed, dipp_error *error)
{
    dipp_trainee *trainee = setup->trainee;
    const char *weights = dipp_config_string(setup->config, "reward.weights");
    dipp_status status =
        dipp_parameter_set_initialise(trainee->reward.set, (uint64_t)seed, DIPP_STREAM_REWARD_INIT, error);
    if (status == DIPP_OK && weights)
        status = read_input(setup, "reward", dipp_run_weights_file(weights, "model"), &trainee->reward.set, 1, error);
    if (status == DIPP_OK)
        status = dipp_parameter_set_copy(trainee->average, trainee->reward.set, error);
    return status == DIPP_OK ? dipp_run_preferences_fill(setup->preferences, error) : status;
}

dipp_status dipp_run_setup_load(dipp_run_setup *setup, int64_t seed, dipp_error *error)
{
    if (setup->trainee)
        return load_trainee(setup, seed, error);
    dipp_status status = dipp_models_initialise(setup->models, (uint64_t)seed, error);
    if (status == DIPP_OK)
        status = load_reference(setup, error);
    if (status == DIPP_OK && setup->models->generator)
        status = load_generator(setup, error);
    if (status == DIPP_OK && setup->models->ta_set)
        status = load_ta(setup, error);
    return status == DIPP_OK ? load_rewards(setup, error) : status;
}
