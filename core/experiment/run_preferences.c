#include "experiment/run_preferences.h"

#include "base/memory.h"
#include "base/philox.h"
#include "experiment/run_scene_pairs.h"
#include "experiment/run_settings.h"
#include "experiment/run_source.h"
#include "train/streams.h"

#include <math.h>
#include <string.h>

struct dipp_run_preferences {
    dipp_preferences train, validate;
    dipp_captions captions;
    dipp_run_shelf *shelf, *validation_shelf; /* of train or captions; of validate */
    dipp_scene_source *scenes;                /* captioned, for contrast */
    dipp_scene_pairs *scene_pairs;            /* rightly and wrongly captioned */
    uint32_t *usable;                         /* pairs to learn from; usable_count of them */
    size_t usable_count;
    int height, width;
};

static dipp_preference_format format_of(const dipp_config *config)
{
    const char *name = dipp_config_string(config, "preferences.format");
    int format = DIPP_PREFERENCES_JSONL; /* where captions are learnt from and pairs only validate */
    for (int i = 0; name && dipp_preference_formats[i]; i++)
        format = strcmp(name, dipp_preference_formats[i]) ? format : i;
    return (dipp_preference_format)format;
}

static size_t cache_bytes(const dipp_config *config)
{
    return (size_t)(dipp_config_float(config, "preferences.cache") * 1073741824.0);
}

/* Ties are learnt from by the loss alone that is made for them. */
static dipp_status choose_pairs(dipp_run_preferences *preferences, bool ties, const char *path, dipp_error *error)
{
    const dipp_preferences *set = &preferences->train;
    preferences->usable = dipp_allocate(set->pair_count * sizeof *preferences->usable);
    if (!preferences->usable)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu pairs", set->pair_count);
    for (size_t i = 0; i < set->pair_count; i++)
        if (ties || !set->pairs[i].tie)
            preferences->usable[preferences->usable_count++] = (uint32_t)i;
    if (!preferences->usable_count)
        return dipp_fail(error, DIPP_E_INVALID, "%s has ties alone, which only the loss kl_tie learns from", path);
    return DIPP_OK;
}

static dipp_status open_training(dipp_run_preferences *preferences, const dipp_config *config,
                                 const dipp_emoji_world *world, dipp_error *error)
{
    const char *path = dipp_config_string(config, "preferences.train");
    const char *captions = dipp_config_string(config, "preferences.captions");
    const char *loss = dipp_config_string(config, "learn.loss");
    int side = (int)dipp_config_int(config, "preferences.size");
    dipp_status status = DIPP_OK;
    if (world && !side)
        return dipp_fail(error, DIPP_E_INVALID,
                         "scenes of the emoji world are drawn in any size: name one (preferences: {size: 32})");
    if (world) {
        preferences->height = preferences->width = side;
        return loss && !strcmp(loss, "contrastive")
                   ? dipp_scene_source_create(world, side, &preferences->scenes, error)
                   : dipp_scene_pairs_create(world, side, &preferences->scene_pairs, error);
    }
    if (captions)
        status = dipp_captions_read(captions, &preferences->captions, error);
    else
        status = dipp_preferences_read(path, format_of(config), &preferences->train, error);
    if (status == DIPP_OK && !captions)
        status = choose_pairs(preferences, loss && !strcmp(loss, "kl_tie"), path, error);
    if (status == DIPP_OK)
        status = dipp_run_shelf_create(captions ? &preferences->captions.pictures : &preferences->train.pictures, side,
                                       cache_bytes(config), &preferences->shelf, error);
    if (status == DIPP_OK)
        dipp_run_shelf_size(preferences->shelf, &preferences->height, &preferences->width);
    return status;
}

/* Holds this share of the lines, spread evenly. */
static void hold_lines(dipp_preferences *set, double share)
{
    for (size_t i = 0; i < set->line_count; i++)
        set->lines[i].held = floor((double)(i + 1) * share) > floor((double)i * share);
}

static dipp_status open_validation(dipp_run_preferences *preferences, const dipp_config *config, dipp_error *error)
{
    const char *path = dipp_config_string(config, "preferences.validate");
    int side = (int)dipp_config_int(config, "preferences.size"), height, width;
    if (!path)
        return DIPP_OK;
    dipp_status status = dipp_preferences_read(path, format_of(config), &preferences->validate, error);
    if (status == DIPP_OK)
        status = dipp_run_shelf_create(&preferences->validate.pictures, side, cache_bytes(config),
                                       &preferences->validation_shelf, error);
    if (status != DIPP_OK)
        return status;
    hold_lines(&preferences->validate, dipp_config_float(config, "learn.calibrate.share"));
    dipp_run_shelf_size(preferences->validation_shelf, &height, &width);
    if (height != preferences->height || width != preferences->width)
        return dipp_fail(
            error, DIPP_E_INVALID,
            "pictures to learn from are %d x %d and those to validate with %d x %d; name one size for both "
            "(preferences.size)",
            preferences->width, preferences->height, width, height);
    return DIPP_OK;
}

dipp_status dipp_run_preferences_create(const dipp_config *config, const dipp_emoji_world *world,
                                        dipp_run_preferences **out, dipp_error *error)
{
    dipp_run_preferences *preferences = dipp_allocate_zeroed(1, sizeof *preferences);
    if (!preferences)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for preferences");
    dipp_status status = open_training(preferences, config, world, error);
    if (status == DIPP_OK)
        status = open_validation(preferences, config, error);
    if (status != DIPP_OK)
        dipp_run_preferences_destroy(&preferences);
    *out = preferences;
    return status;
}

void dipp_run_preferences_destroy(dipp_run_preferences **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_run_preferences *preferences = *pointer;
    dipp_run_shelf_destroy(&preferences->shelf);
    dipp_run_shelf_destroy(&preferences->validation_shelf);
    dipp_scene_source_destroy(&preferences->scenes);
    dipp_scene_pairs_destroy(&preferences->scene_pairs);
    dipp_preferences_clear(&preferences->train);
    dipp_preferences_clear(&preferences->validate);
    dipp_captions_clear(&preferences->captions);
    dipp_release(preferences->usable);
    dipp_release(preferences);
    *pointer = NULL;
}

dipp_shape dipp_run_preferences_sample(const dipp_run_preferences *preferences)
{
    return DIPP_SHAPE(3, preferences->height, preferences->width);
}

size_t dipp_run_preferences_bytes(const dipp_run_preferences *preferences)
{
    return (preferences->shelf ? dipp_run_shelf_bytes(preferences->shelf) : 0) +
           (preferences->validation_shelf ? dipp_run_shelf_bytes(preferences->validation_shelf) : 0);
}

size_t dipp_run_preferences_count(const dipp_run_preferences *preferences)
{
    return preferences->usable_count + preferences->captions.count;
}

size_t dipp_run_preferences_validation_count(const dipp_run_preferences *preferences)
{
    return preferences->validate.pair_count;
}

dipp_status dipp_run_preferences_fill(dipp_run_preferences *preferences, dipp_error *error)
{
    dipp_status status = preferences->shelf ? dipp_run_shelf_fill(preferences->shelf, error) : DIPP_OK;
    return status == DIPP_OK && preferences->validation_shelf
               ? dipp_run_shelf_fill(preferences->validation_shelf, error)
               : status;
}

/* ---- Digests ---- */

static void digest_text(dipp_sha256 *hash, const char *text)
{
    dipp_sha256_update(hash, text, strlen(text) + 1);
}

static dipp_status digest_picture(dipp_sha256 *hash, const char *path, dipp_error *error)
{
    char sha256[DIPP_SHA256_HEX_BYTES];
    dipp_status status = dipp_sha256_file(path, sha256, error);
    if (status == DIPP_OK)
        digest_text(hash, sha256);
    return status;
}

/* Lines as they were read; pictures by their number, whose bytes follow. */
static void digest_lines(dipp_sha256 *hash, const dipp_preferences *set)
{
    for (size_t i = 0; i < set->line_count; i++) {
        const dipp_preference_line *line = &set->lines[i];
        digest_text(hash, set->kinds.texts[line->kind]);
        dipp_sha256_update(hash, &line->count, sizeof line->count);
        dipp_sha256_update(hash, &line->probability, sizeof line->probability);
        for (uint32_t k = line->first; k < line->first + line->count; k++) {
            const dipp_preference_item *item = &set->items[k];
            const double numbers[] = {item->share, item->rank};
            digest_text(hash, set->prompts.texts[item->prompt]);
            dipp_sha256_update(hash, &item->picture, sizeof item->picture);
            dipp_sha256_update(hash, numbers, sizeof numbers);
        }
    }
}

dipp_status dipp_run_preferences_sha256(const dipp_config *config, const char *path, char out[DIPP_SHA256_HEX_BYTES],
                                        dipp_error *error)
{
    dipp_preferences set = {.captions_differ = false};
    dipp_captions captions = {.count = 0};
    dipp_sha256 hash;
    dipp_sha256_init(&hash);
    const char *captioned = dipp_config_string(config, "preferences.captions");
    bool of_captions = captioned && !strcmp(captioned, path);
    dipp_status status = of_captions ? dipp_captions_read(path, &captions, error)
                                     : dipp_preferences_read(path, format_of(config), &set, error);
    if (status == DIPP_OK)
        digest_lines(&hash, &set);
    for (size_t i = 0; i < captions.count && status == DIPP_OK; i++) {
        digest_text(&hash, captions.prompts.texts[captions.rows[i].prompt]);
        dipp_sha256_update(&hash, &captions.rows[i].picture, sizeof captions.rows[i].picture);
    }
    const dipp_string_pool *pictures = of_captions ? &captions.pictures : &set.pictures;
    for (uint32_t i = 0; i < pictures->count && status == DIPP_OK; i++)
        status = digest_picture(&hash, pictures->texts[i], error);
    dipp_sha256_final_hex(&hash, out);
    dipp_preferences_clear(&set);
    dipp_captions_clear(&captions);
    return status;
}

/* ---- Doors ---- */

/* Which of `count` things is number `sample` of this step. */
static size_t pick(uint64_t seed, uint32_t step, uint32_t sample, size_t count)
{
    return (size_t)(dipp_philox_uniform_double(seed, DIPP_STREAM_PAIRS, step, sample, 0) * (double)count);
}

static const dipp_preference_pair *pair_at(const dipp_run_preferences *preferences, uint64_t seed, int64_t step,
                                           uint32_t sample)
{
    size_t row = pick(seed, (uint32_t)step, sample, preferences->usable_count);
    return &preferences->train.pairs[preferences->usable[row]];
}

static dipp_status label_pairs(void *context, uint64_t seed, int64_t step, uint32_t count, double *labels,
                               double *weights, dipp_error *error)
{
    const dipp_run_preferences *preferences = context;
    for (uint32_t i = 0; i < count; i++) {
        const dipp_preference_pair *pair = pair_at(preferences, seed, step, i);
        labels[i] = pair->label;
        weights[i] = 1.0 / pair->of_prompt;
    }
    return DIPP_OK;
}

static size_t floats_of(const dipp_run_preferences *preferences)
{
    return (size_t)preferences->height * (size_t)preferences->width * 3;
}

static dipp_status draw_pairs(void *context, uint64_t seed, int64_t step, uint32_t first, uint32_t count,
                              float *samples, const char **prompts, dipp_error *error)
{
    dipp_run_preferences *preferences = context;
    const dipp_preferences *set = &preferences->train;
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < 2 * count && status == DIPP_OK; i++) {
        const dipp_preference_pair *pair = pair_at(preferences, seed, step, first + i % count);
        const dipp_preference_item *item = &set->items[pair->items[i / count]];
        prompts[i] = set->prompts.texts[item->prompt];
        status = dipp_run_shelf_take(preferences->shelf, item->picture, samples + i * floats_of(preferences), error);
    }
    return status;
}

bool dipp_run_preferences_pairs(dipp_run_preferences *preferences, dipp_pair_source *source)
{
    *source = preferences->scene_pairs ? dipp_scene_pairs_of(preferences->scene_pairs)
                                       : (dipp_pair_source){.context = preferences,
                                                            .captions_differ = preferences->train.captions_differ,
                                                            .label = label_pairs,
                                                            .draw = draw_pairs};
    return preferences->scene_pairs || preferences->usable_count;
}

static dipp_status draw_captions(void *context, uint64_t seed, uint64_t first, uint32_t count, float *pictures,
                                 const char **captions, dipp_error *error)
{
    dipp_run_preferences *preferences = context;
    const dipp_captions *set = &preferences->captions;
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < count && status == DIPP_OK; i++) {
        uint64_t number = first + i;
        const dipp_captioned *row = &set->rows[pick(seed, (uint32_t)(number >> 32), (uint32_t)number, set->count)];
        captions[i] = set->prompts.texts[row->prompt];
        status = dipp_run_shelf_take(preferences->shelf, row->picture, pictures + i * floats_of(preferences), error);
    }
    return status;
}

bool dipp_run_preferences_captions(dipp_run_preferences *preferences, dipp_sample_source *source)
{
    *source = preferences->scenes ? dipp_scene_source_of(preferences->scenes)
                                  : (dipp_sample_source){.context = preferences, .draw = draw_captions};
    return preferences->scenes || preferences->captions.count;
}

/* ---- Judging ---- */

static dipp_status score_items(const dipp_preferences *set, dipp_run_shelf *shelf, dipp_scorer *scorer,
                               const volatile sig_atomic_t *stop, double *scores, dipp_error *error)
{
    int height, width;
    uint32_t batch = dipp_scorer_batch(scorer);
    dipp_run_shelf_size(shelf, &height, &width);
    size_t floats = (size_t)height * (size_t)width * 3;
    float *samples = dipp_allocate(batch * floats * sizeof *samples);
    const char **prompts = dipp_allocate_zeroed(batch, sizeof *prompts);
    dipp_status status =
        samples && prompts ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for %u pictures", batch);
    for (size_t first = 0; first < set->item_count && status == DIPP_OK; first += batch) {
        uint32_t count = set->item_count - first < batch ? (uint32_t)(set->item_count - first) : batch;
        if (stop && *stop)
            status = dipp_fail(error, DIPP_E_INTERRUPTED, "interrupted while preferences were judged");
        for (uint32_t i = 0; i < count && status == DIPP_OK; i++) {
            prompts[i] = set->prompts.texts[set->items[first + i].prompt];
            status = dipp_run_shelf_take(shelf, set->items[first + i].picture, samples + i * floats, error);
        }
        if (status == DIPP_OK)
            status = dipp_scorer_score(scorer, samples, prompts, count, scores + first, error);
    }
    dipp_release(samples);
    dipp_release(prompts);
    return status;
}

dipp_status dipp_run_preferences_judge(const dipp_preferences *set, dipp_run_shelf *shelf, dipp_scorer *scorer,
                                       const volatile sig_atomic_t *stop, dipp_take_preference_metrics take,
                                       void *context, dipp_error *error)
{
    double values[DIPP_PREFERENCE_METRICS], *scores = dipp_allocate_zeroed(set->item_count, sizeof *scores);
    dipp_status status = scores ? score_items(set, shelf, scorer, stop, scores, error)
                                : dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu scores", set->item_count);
    for (int64_t kind = -1; kind < (int64_t)set->kinds.count && status == DIPP_OK; kind++) {
        if (kind == 0)
            continue; /* pairs without a kind are no kind */
        status = dipp_preference_metrics(set, scores, kind, values, error);
        if (status == DIPP_OK)
            take(context, kind < 0 ? "" : set->kinds.texts[kind], values);
    }
    dipp_release(scores);
    return status;
}

dipp_status dipp_run_preferences_validate(dipp_run_preferences *preferences, dipp_scorer *scorer,
                                          const volatile sig_atomic_t *stop, dipp_take_preference_metrics take,
                                          void *context, dipp_error *error)
{
    if (!preferences->validation_shelf)
        return DIPP_OK;
    return dipp_run_preferences_judge(&preferences->validate, preferences->validation_shelf, scorer, stop, take,
                                      context, error);
}

dipp_status dipp_run_preferences_sharpness(dipp_run_preferences *preferences, dipp_scorer *scorer,
                                           const volatile sig_atomic_t *stop, double *factor, dipp_error *error)
{
    const dipp_preferences *set = &preferences->validate;
    double *scores = dipp_allocate_zeroed(set->item_count, sizeof *scores);
    dipp_status status = scores ? score_items(set, preferences->validation_shelf, scorer, stop, scores, error)
                                : dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu scores", set->item_count);
    if (status == DIPP_OK)
        status = dipp_preference_sharpness(set, scores, factor, error);
    dipp_release(scores);
    return status;
}
