#include "experiment/run_scene_pairs.h"

#include "base/memory.h"
#include "base/philox.h"
#include "train/streams.h"

#include <string.h>

struct dipp_scene_pairs {
    const dipp_emoji_world *world;
    int side;
    char (*captions)[DIPP_CAPTION_BYTES]; /* [2, count] of the last batch */
    size_t capacity;
};

/* What a caption names, and what it then names wrongly: shares of all captions. */
static const double background_named = 0.9, place_named = 0.3, size_named = 0.3;
static const double wrong_glyph = 0.5, wrong_background = 0.75, wrong_place = 0.9; /* cumulative; the rest is size */

dipp_status dipp_scene_pairs_create(const dipp_emoji_world *world, int side, dipp_scene_pairs **out, dipp_error *error)
{
    dipp_scene_pairs *pairs = dipp_allocate_zeroed(1, sizeof *pairs);
    if (!pairs)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for pairs of scenes");
    pairs->world = world;
    pairs->side = side;
    *out = pairs;
    return DIPP_OK;
}

void dipp_scene_pairs_destroy(dipp_scene_pairs **pairs)
{
    if (!pairs || !*pairs)
        return;
    dipp_release((*pairs)->captions);
    dipp_release(*pairs);
    *pairs = NULL;
}

/* Another of `count` values. */
static int32_t another(int32_t value, int count, double u)
{
    return (value + 1 + (int32_t)(u * (count - 1))) % count;
}

static dipp_status write_captions(const dipp_scene_pairs *pairs, const dipp_scene_attributes *scene, uint64_t seed,
                                  int64_t step, uint32_t number, char *right, char *wrong, dipp_error *error)
{
    double u[5];
    for (uint32_t i = 0; i < 5; i++)
        u[i] = dipp_philox_uniform_double(seed, DIPP_STREAM_PAIRS, (uint32_t)step, number, i);
    int32_t glyph = scene->glyph, background = u[0] < background_named ? scene->background : DIPP_NOT_NAMED;
    int32_t place = u[1] < place_named ? scene->place : DIPP_NOT_NAMED;
    int32_t size = u[2] < size_named ? scene->size_class : DIPP_NOT_NAMED;
    dipp_status status = dipp_scene_phrase(dipp_emoji_world_glyph(pairs->world, glyph)->name, background, size, place,
                                           right, DIPP_CAPTION_BYTES, error);
    if (u[3] >= wrong_place && size != DIPP_NOT_NAMED)
        size = another(size, DIPP_SIZE_CLASS_COUNT, u[4]);
    else if (u[3] >= wrong_background && u[3] < wrong_place && place != DIPP_NOT_NAMED)
        place = another(place, DIPP_PLACE_COUNT, u[4]);
    else if (u[3] >= wrong_glyph && u[3] < wrong_background && background != DIPP_NOT_NAMED)
        background = another(background, DIPP_BACKGROUND_COUNT, u[4]);
    else
        glyph = another(glyph, dipp_emoji_world_glyph_count(pairs->world), u[4]);
    return status == DIPP_OK ? dipp_scene_phrase(dipp_emoji_world_glyph(pairs->world, glyph)->name, background, size,
                                                 place, wrong, DIPP_CAPTION_BYTES, error)
                             : status;
}

static dipp_status label(void *context, uint64_t seed, int64_t step, uint32_t count, double *labels, double *weights,
                         dipp_error *error)
{
    for (uint32_t i = 0; i < count; i++)
        labels[i] = weights[i] = 1;
    return DIPP_OK;
}

static dipp_status draw(void *context, uint64_t seed, int64_t step, uint32_t first, uint32_t count, float *samples,
                        const char **prompts, dipp_error *error)
{
    dipp_scene_pairs *pairs = context;
    size_t floats = (size_t)pairs->side * (size_t)pairs->side * 3;
    if (!dipp_grow((void **)&pairs->captions, &pairs->capacity, 2 * (size_t)count, sizeof *pairs->captions))
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %u captions", 2 * count);
    for (uint32_t i = 0; i < count; i++) {
        dipp_scene_attributes scene;
        float *picture = samples + i * floats;
        dipp_emoji_scene_attributes(pairs->world, seed, (uint64_t)step << 32 | (first + i), &scene);
        dipp_status status = dipp_emoji_scene_draw(pairs->world, &scene, pairs->side, picture, error);
        if (status == DIPP_OK)
            status = write_captions(pairs, &scene, seed, step, first + i, pairs->captions[i],
                                    pairs->captions[count + i], error);
        if (status != DIPP_OK)
            return status;
        for (size_t k = 0; k < floats; k++) /* scenes are drawn in [-1, 1] */
            picture[k] = 0.5f * picture[k] + 0.5f;
        memcpy(samples + (count + i) * floats, picture, floats * sizeof *samples);
        prompts[i] = pairs->captions[i];
        prompts[count + i] = pairs->captions[count + i];
    }
    return DIPP_OK;
}

dipp_pair_source dipp_scene_pairs_of(dipp_scene_pairs *pairs)
{
    return (dipp_pair_source){.context = pairs, .captions_differ = true, .label = label, .draw = draw};
}
