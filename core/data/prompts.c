/* Prompt sets of the emoji world. */
#include "data/prompts.h"

#include "base/memory.h"
#include "data/cldr.h"
#include "data/world_private.h"

#include <stdio.h>
#include <string.h>

enum { SCENE_ATTEMPTS = 10000 };

/* What a prompt says besides the pair: nothing, a size, a place, or small and a place (a large glyph has no room to be
 * anywhere but in the middle). */
typedef struct variant {
    int size_class, place;
} variant;

enum { VARIANTS = 1 + DIPP_SIZE_CLASS_COUNT + 2 * DIPP_PLACE_COUNT };

static variant variant_of(int index)
{
    if (index == 0)
        return (variant){DIPP_NOT_NAMED, DIPP_NOT_NAMED};
    if (index <= DIPP_SIZE_CLASS_COUNT)
        return (variant){index - 1, DIPP_NOT_NAMED};
    index -= 1 + DIPP_SIZE_CLASS_COUNT;
    return index < DIPP_PLACE_COUNT ? (variant){DIPP_NOT_NAMED, index} : (variant){0, index - DIPP_PLACE_COUNT};
}

static dipp_status add_prompt(dipp_prompt_set *set, const char *text, dipp_prompt_line named, dipp_error *error)
{
    named.text = dipp_string_copy(text);
    if (!named.text)
        return dipp_fail(error, DIPP_E_MEMORY, "prompts: out of memory");
    set->prompts[set->count++] = named;
    return DIPP_OK;
}

dipp_status dipp_emoji_prompts(const dipp_emoji_world *world, dipp_prompt_split split, int count, uint64_t seed,
                               dipp_prompt_set *out, dipp_error *error)
{
    int room = world->glyph_count * DIPP_BACKGROUND_COUNT, pairs = 0;
    int *order = dipp_allocate((size_t)room * sizeof *order);
    if (!order)
        return dipp_fail(error, DIPP_E_MEMORY, "prompts: out of memory");
    for (int i = 0; i < room; i++)
        if (dipp_emoji_pair_held_out(world, i / DIPP_BACKGROUND_COUNT, i % DIPP_BACKGROUND_COUNT) ==
            (split == DIPP_SPLIT_EVAL))
            order[pairs++] = i;
    if (count < 1 || count > pairs * VARIANTS) {
        dipp_release(order);
        return dipp_fail(error, DIPP_E_INVALID,
                         "prompts: %d wanted; expected 1 to %d (%d pairs of glyph and background in this split)", count,
                         pairs * VARIANTS, pairs);
    }
    for (int i = pairs - 1; i > 0; i--) { /* Fisher-Yates */
        uint32_t bits[4];
        dipp_world_random(seed, (uint64_t)i, STREAM_PROMPT, (uint32_t)split, bits);
        int j = world_pick(bits[0], i + 1), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    dipp_prompt_set set = {.prompts = dipp_allocate_zeroed((size_t)count, sizeof *set.prompts)};
    dipp_status status = set.prompts ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "prompts: out of memory");
    for (int i = 0; i < count && status == DIPP_OK; i++) {
        int pair = order[i % pairs], cycle = i / pairs;
        /* From the second cycle on, each pair walks through the variants from a place of its own. */
        variant said = variant_of(cycle == 0 ? 0 : 1 + (cycle - 1 + pair) % (VARIANTS - 1));
        dipp_prompt_line named = {.glyph = pair / DIPP_BACKGROUND_COUNT,
                                  .background = pair % DIPP_BACKGROUND_COUNT,
                                  .size_class = said.size_class,
                                  .place = said.place};
        char text[DIPP_CAPTION_BYTES];
        status = dipp_scene_phrase(world->glyphs[named.glyph].name, named.background, said.size_class, said.place, text,
                                   sizeof text, error);
        if (status == DIPP_OK)
            status = add_prompt(&set, text, named, error);
    }
    dipp_release(order);
    if (status != DIPP_OK)
        dipp_prompt_set_clear(&set);
    else
        *out = set;
    return status;
}

dipp_status dipp_emoji_prompt_scene(const dipp_emoji_world *world, const dipp_prompt_line *prompt, uint64_t seed,
                                    uint64_t index, dipp_scene_attributes *attributes, dipp_error *error)
{
    for (uint64_t attempt = 0; attempt < SCENE_ATTEMPTS; attempt++) {
        uint64_t at = index ^ attempt << 40; /* scenes far from those that are asked for */
        dipp_emoji_scene_attributes(world, seed, at, attributes);
        if ((prompt->size_class != DIPP_NOT_NAMED && prompt->size_class != attributes->size_class) ||
            (prompt->place != DIPP_NOT_NAMED && prompt->place != attributes->place))
            continue;
        if (prompt->glyph != DIPP_NOT_NAMED)
            attributes->glyph = prompt->glyph;
        if (prompt->background != DIPP_NOT_NAMED) {
            attributes->background = prompt->background;
            dipp_world_background(world, seed, at, prompt->background, attributes->background_rgb);
        }
        return DIPP_OK;
    }
    return dipp_fail(error, DIPP_E_INVALID, "prompts: none of %d scenes is as \"%.200s\" says", (int)SCENE_ATTEMPTS,
                     prompt->text);
}

void dipp_prompt_set_shorten(dipp_prompt_set *set, int count)
{
    while (set->count > count) {
        dipp_release(set->prompts[--set->count].text);
        if (set->categories)
            dipp_release(set->categories[set->count]);
    }
}

void dipp_prompt_set_clear(dipp_prompt_set *set)
{
    if (!set)
        return;
    dipp_prompt_set_shorten(set, 0);
    dipp_release(set->prompts);
    dipp_release(set->categories);
    *set = (dipp_prompt_set){0};
}

typedef struct phrase_list {
    const char **phrases; /* NULL while counting */
    size_t count;
} phrase_list;

static int take_phrase(void *user, const char *phrase)
{
    phrase_list *list = user;
    if (list->phrases)
        list->phrases[list->count] = phrase;
    list->count++;
    return 0;
}

dipp_status dipp_emoji_vocabulary(const dipp_emoji_world *world, int limit, dipp_word_vocabulary **vocabulary,
                                  dipp_error *error)
{
    phrase_list list = {0};
    dipp_emoji_world_words(world, take_phrase, &list);
    list.phrases = dipp_allocate(list.count * sizeof *list.phrases);
    if (!list.phrases)
        return dipp_fail(error, DIPP_E_MEMORY, "vocabulary: out of memory");
    list.count = 0;
    dipp_emoji_world_words(world, take_phrase, &list);
    dipp_status status = dipp_word_vocabulary_create(list.phrases, list.count, limit, vocabulary, error);
    dipp_release(list.phrases);
    return status;
}
