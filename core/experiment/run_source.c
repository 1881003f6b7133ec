#include "experiment/run_source.h"

#include "base/memory.h"

struct dipp_scene_source {
    const dipp_emoji_world *world;
    int side;
    char (*captions)[DIPP_CAPTION_BYTES];
    size_t capacity;
};

dipp_status dipp_scene_source_create(const dipp_emoji_world *world, int side, dipp_scene_source **out,
                                     dipp_error *error)
{
    dipp_scene_source *source = dipp_allocate_zeroed(1, sizeof *source);
    if (!source)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the source of scenes");
    source->world = world;
    source->side = side;
    *out = source;
    return DIPP_OK;
}

void dipp_scene_source_destroy(dipp_scene_source **source)
{
    if (!source || !*source)
        return;
    dipp_release((*source)->captions);
    dipp_release(*source);
    *source = NULL;
}

static dipp_status draw(void *context, uint64_t seed, uint64_t first, uint32_t count, float *pictures,
                        const char **captions, dipp_error *error)
{
    dipp_scene_source *source = context;
    size_t floats = (size_t)source->side * (size_t)source->side * 3;
    if (!dipp_grow((void **)&source->captions, &source->capacity, count, sizeof *source->captions))
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %u captions", count);
    for (uint32_t i = 0; i < count; i++) {
        dipp_scene_attributes attributes;
        float *picture = pictures + i * floats;
        dipp_emoji_scene_attributes(source->world, seed, first + i, &attributes);
        dipp_status status = dipp_emoji_scene_draw(source->world, &attributes, source->side, picture, error);
        if (status == DIPP_OK)
            status = dipp_emoji_scene_caption(source->world, seed, first + i, &attributes, source->captions[i],
                                              sizeof source->captions[i], error);
        if (status != DIPP_OK)
            return status;
        for (size_t k = 0; k < floats; k++) /* scenes are drawn in [-1, 1] */
            picture[k] = 0.5f * picture[k] + 0.5f;
        captions[i] = source->captions[i];
    }
    return DIPP_OK;
}

dipp_sample_source dipp_scene_source_of(dipp_scene_source *source)
{
    return (dipp_sample_source){.context = source, .draw = draw};
}
