/* Captions of scenes: which attributes are mentioned and by what words. */
#include "data/world_private.h"

#include <stdio.h>
#include <string.h>

/* "grapes" and "chopsticks" take no article; "cactus", "bus" and "compass" do. */
static int is_plural(const char *words)
{
    size_t length = strlen(words);
    if (length < 3 || words[length - 1] != 's')
        return 0;
    char before = words[length - 2];
    return before != 's' && before != 'u' && before != 'i';
}

static const char *article(const char *first)
{
    return strchr("aeiou", first[0]) && strncmp(first, "uni", 3) != 0 ? "an " : "a ";
}

dipp_status dipp_scene_phrase(const char *glyph_words, int background, int size_class, int place, char *out,
                              size_t size, dipp_error *error)
{
    if (size < DIPP_CAPTION_BYTES)
        return dipp_fail(error, DIPP_E_INVALID, "caption: a buffer of %zu bytes; expected at least %d", size,
                         DIPP_CAPTION_BYTES);
    if (background >= DIPP_BACKGROUND_COUNT || size_class >= DIPP_SIZE_CLASS_COUNT || place >= DIPP_PLACE_COUNT)
        return dipp_fail(error, DIPP_E_INVALID, "caption: background %d, size %d, place %d; expected below %d, %d, %d",
                         background, size_class, place, DIPP_BACKGROUND_COUNT, DIPP_SIZE_CLASS_COUNT, DIPP_PLACE_COUNT);
    const char *thing = glyph_words ? glyph_words : "picture";
    const char *size_word = size_class >= 0 ? dipp_size_words[size_class] : "";
    const char *lead = is_plural(thing) ? "" : article(size_class >= 0 ? size_word : thing);
    int used = snprintf(out, size, "%s%s%s%.80s", lead, size_word, size_class >= 0 ? " " : "", thing);
    if (background >= 0)
        used += snprintf(out + used, size - (size_t)used, " on %s%s background",
                         article(dipp_backgrounds[background].name), dipp_backgrounds[background].name);
    if (place >= 0)
        snprintf(out + used, size - (size_t)used, ", %s", dipp_place_words[place]);
    return DIPP_OK;
}

dipp_status dipp_emoji_scene_caption(const dipp_emoji_world *world, uint64_t seed, uint64_t index,
                                     const dipp_scene_attributes *scene, char *out, size_t size, dipp_error *error)
{
    if (scene->glyph < 0 || scene->glyph >= world->glyph_count)
        return dipp_fail(error, DIPP_E_INVALID, "caption: glyph %d; expected 0 to %d", scene->glyph,
                         world->glyph_count - 1);
    const dipp_emoji_world_options *o = &world->options;
    const dipp_emoji_glyph *glyph = &world->glyphs[scene->glyph];
    uint32_t a[4], b[4];
    dipp_world_random(seed, index, STREAM_CAPTION, 0, a);
    dipp_world_random(seed, index, STREAM_CAPTION, 1, b);
    const char *words = NULL;
    if (world_uniform(a[0]) < o->mention_glyph) {
        double share = world_uniform(b[0]);
        words = share < o->kind_share ? glyph->kind
                : share < o->kind_share + o->keyword_share && glyph->keyword_count
                    ? glyph->keywords[world_pick(b[1], glyph->keyword_count)]
                    : glyph->name;
    }
    int background = world_uniform(a[1]) < o->mention_background ? scene->background : DIPP_NOT_NAMED;
    int size_class = world_uniform(a[2]) < o->mention_size ? scene->size_class : DIPP_NOT_NAMED;
    int place = world_uniform(a[3]) < o->mention_place ? scene->place : DIPP_NOT_NAMED;
    return dipp_scene_phrase(words, background, size_class, place, out, size, error);
}

int dipp_emoji_world_words(const dipp_emoji_world *world, int (*visit)(void *user, const char *phrase), void *user)
{
    int stop = visit(user, "a an on background picture");
    for (int i = 0; !stop && i < DIPP_BACKGROUND_COUNT; i++)
        stop = visit(user, dipp_backgrounds[i].name);
    for (int i = 0; !stop && i < DIPP_PLACE_COUNT; i++)
        stop = visit(user, dipp_place_words[i]);
    for (int i = 0; !stop && i < DIPP_SIZE_CLASS_COUNT; i++)
        stop = visit(user, dipp_size_words[i]);
    for (int i = 0; !stop && i < world->glyph_count; i++) {
        stop = visit(user, world->glyphs[i].name);
        if (!stop)
            stop = visit(user, world->glyphs[i].kind);
        for (int k = 0; !stop && k < world->glyphs[i].keyword_count; k++)
            stop = visit(user, world->glyphs[i].keywords[k]);
    }
    return stop;
}
