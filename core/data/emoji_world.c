/* Building an emoji world: candidates from the names and the font, the subset rule, and the mip levels of its glyphs. */
#include "data/world_private.h"

#include "base/memory.h"
#include "data/cldr.h"
#include "data/emoji_font.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* sRGB bytes, far enough apart that the nearest one of a slightly wrong colour is still the right one. */
const dipp_background dipp_backgrounds[DIPP_BACKGROUND_COUNT] = {
    {"white", {248, 248, 248}}, {"gray", {128, 128, 128}},  {"black", {16, 16, 16}},  {"red", {208, 32, 40}},
    {"orange", {240, 136, 24}}, {"yellow", {248, 224, 64}}, {"green", {48, 152, 64}}, {"blue", {40, 80, 208}},
    {"purple", {128, 48, 168}}, {"pink", {248, 152, 192}},
};

/* The first entry whose prefix fits the subgroup names the kind of thing in captions. */
static const struct {
    const char *prefix, *kind;
} kinds[] = {
    {"animal-bird", "bird"},
    {"animal-bug", "bug"},
    {"animal", "animal"},
    {"cat-face", "animal"},
    {"monkey-face", "animal"},
    {"plant-flower", "flower"},
    {"plant", "plant"},
    {"food-fruit", "fruit"},
    {"food-vegetable", "vegetable"},
    {"food", "food"},
    {"drink", "drink"},
    {"dishware", "dish"},
    {"place-building", "building"},
    {"place", "place"},
    {"transport", "vehicle"},
    {"sky", "weather"},
    {"time", "time"},
    {"sport", "sport"},
    {"game", "game"},
    {"award", "award"},
    {"event", "event"},
    {"musical-instrument", "instrument"},
    {"music", "music"},
    {"face", "face"},
    {"body", "body"},
    {"person", "person"},
    {"clothing", "clothing"},
    {"tool", "tool"},
    {"computer", "machine"},
    {"phone", "phone"},
    {"book", "book"},
    {"emotion", "symbol"},
};

static const char *kind_of(const dipp_cldr_entry *entry)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strncmp(entry->subgroup, kinds[i].prefix, strlen(kinds[i].prefix)))
            return kinds[i].kind;
    return !strcmp(entry->group, "Symbols") ? "symbol" : !strcmp(entry->group, "Flags") ? "flag" : "object";
}

void dipp_emoji_world_options_default(dipp_emoji_world_options *options)
{
    *options = (dipp_emoji_world_options){
        .groups = "animal-,plant-,food-,drink,transport-,sky,musical-instrument,sport,game,household,tool",
        .glyph_limit = 32,
        .minimum_distance = 0.27,
        .name_words_max = 1,
        .coverage_min = 0.2,
        .coverage_max = 0.85,
        .detail_max = 1,
        .visibility_min = 0.2,
        .keywords_max = 3,
        .size_min = 0.75,
        .size_max = 1.0,
        .rotation_max = 0.15,
        .background_jitter = 0.05,
        .held_out = 0.1,
        .split_seed = 1,
        .mention_glyph = 0.85,
        .mention_background = 0.5,
        .mention_size = 0.5,
        .mention_place = 0.5,
        .keyword_share = 0.15,
        .kind_share = 0.1,
        .side_max = DIPP_SCENE_SIDE_MAX,
    };
}

static dipp_status check_range(const char *name, double value, double low, double high, dipp_error *error)
{
    if (value >= low && value <= high)
        return DIPP_OK;
    return dipp_fail(error, DIPP_E_INVALID, "emoji world: %s is %g; expected %g to %g", name, value, low, high);
}

static dipp_status check_options(const dipp_emoji_world_options *o, dipp_error *error)
{
    const struct {
        const char *name;
        double value, low, high;
    } ranges[] = {
        {"glyph_limit", o->glyph_limit, 2, 4096},
        {"minimum_distance", o->minimum_distance, 0, 1},
        {"name_words_max", o->name_words_max, 0, 100},
        {"coverage_min", o->coverage_min, 0, 1},
        {"coverage_max", o->coverage_max, o->coverage_min, 1},
        {"detail_max", o->detail_max, 0, 1},
        {"visibility_min", o->visibility_min, 0, 1},
        {"keywords_max", o->keywords_max, 0, 100},
        {"size_min", o->size_min, 0.1, 1},
        {"size_max", o->size_max, o->size_min, 1},
        {"rotation_max", o->rotation_max, 0, 0.8},
        {"background_jitter", o->background_jitter, 0, 0.5},
        {"held_out", o->held_out, 0, 0.9},
        {"mention_glyph", o->mention_glyph, 0, 1},
        {"mention_background", o->mention_background, 0, 1},
        {"mention_size", o->mention_size, 0, 1},
        {"mention_place", o->mention_place, 0, 1},
        {"keyword_share", o->keyword_share, 0, 1},
        {"kind_share", o->kind_share, 0, 1 - o->keyword_share},
        {"side_max", o->side_max, 8, DIPP_SCENE_SIDE_MAX},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (check_range(ranges[i].name, ranges[i].value, ranges[i].low, ranges[i].high, error) != DIPP_OK)
            return DIPP_E_INVALID;
    return DIPP_OK;
}

/* Whether a comma-separated list of groups and subgroup prefixes admits an entry. */
static int admits(const char *groups, const dipp_cldr_entry *entry)
{
    if (!groups || !*groups)
        return 1;
    for (const char *item = groups; *item;) {
        size_t length = strcspn(item, ",");
        if (length && ((strlen(entry->group) == length && !strncmp(entry->group, item, length)) ||
                       !strncmp(entry->subgroup, item, length)))
            return 1;
        item += length + (item[length] == ',');
    }
    return 0;
}

static int word_count(const char *text)
{
    int words = 0, inside = 0;
    for (; *text; text++) {
        int letter = *text != ' ' && *text != '-';
        words += letter && !inside;
        inside = letter;
    }
    return words;
}

static int passes(const dipp_emoji_world_options *o, const dipp_glyph_feature *feature)
{
    if (feature->coverage < o->coverage_min || feature->coverage > o->coverage_max || feature->detail > o->detail_max)
        return 0;
    for (int b = 0; b < DIPP_BACKGROUND_COUNT; b++) {
        float rgb[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = dipp_backgrounds[b].rgb[c] / 255.0f;
        if (dipp_glyph_visibility(feature, rgb) < o->visibility_min)
            return 0;
    }
    return 1;
}

/* Words that would say something else about the scene if they stood for the glyph. */
static int is_attribute_word(const char *text)
{
    for (int i = 0; i < DIPP_BACKGROUND_COUNT; i++)
        if (!strcasecmp(text, dipp_backgrounds[i].name))
            return 1;
    for (int i = 0; i < DIPP_PLACE_COUNT; i++)
        if (!strcasecmp(text, dipp_place_words[i]))
            return 1;
    for (int i = 0; i < DIPP_SIZE_CLASS_COUNT; i++)
        if (!strcasecmp(text, dipp_size_words[i]))
            return 1;
    return !strcasecmp(text, "big") || !strcasecmp(text, "background");
}

static int good_keyword(const dipp_cldr_entry *entry, const char *keyword)
{
    size_t length = strlen(keyword);
    return length >= 3 && length <= 24 && word_count(keyword) <= 2 && strcasecmp(keyword, entry->name) != 0 &&
           !is_attribute_word(keyword);
}

static const char *keep_string(char **at, const char *text)
{
    char *start = *at;
    for (; *text; text++)
        *(*at)++ = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
    *(*at)++ = 0;
    return start;
}

/* Copies names, kinds and keywords of the chosen entries into the world. */
static dipp_status keep_words(dipp_emoji_world *world, const dipp_cldr_entry *const *entries, dipp_error *error)
{
    size_t bytes = 0, keywords = 0;
    for (int i = 0; i < world->glyph_count; i++) {
        bytes += strlen(entries[i]->name) + strlen(entries[i]->group) + strlen(entries[i]->subgroup) + 3;
        for (int k = 0; k < entries[i]->keyword_count; k++, keywords++)
            bytes += strlen(entries[i]->keywords[k]) + 1;
    }
    char *at = world->strings = dipp_allocate(bytes);
    const char **list = world->keyword_list = dipp_allocate((keywords + 1) * sizeof *list);
    if (!at || !list)
        return dipp_fail(error, DIPP_E_MEMORY, "emoji world: out of memory");
    for (int i = 0; i < world->glyph_count; i++) {
        dipp_emoji_glyph *glyph = &world->glyphs[i];
        *glyph = (dipp_emoji_glyph){.code_point = entries[i]->code_point,
                                    .kind = kind_of(entries[i]),
                                    .keywords = list,
                                    .coverage = world->features[i].coverage};
        glyph->name = keep_string(&at, entries[i]->name);
        char *group = at;
        at = stpcpy(at, entries[i]->group) + 1;
        glyph->subgroup = at;
        at = stpcpy(at, entries[i]->subgroup) + 1;
        glyph->group = group;
        for (int k = 0; k < entries[i]->keyword_count && glyph->keyword_count < world->options.keywords_max; k++)
            if (good_keyword(entries[i], entries[i]->keywords[k])) {
                *list++ = keep_string(&at, entries[i]->keywords[k]);
                glyph->keyword_count++;
            }
    }
    return DIPP_OK;
}

static void plan_levels(dipp_emoji_world *world)
{
    double side = DIPP_SCENE_SIDE_MAX;
    size_t offset = 0;
    for (int k = 0; k < WORLD_LEVELS_MAX; k++, side /= sqrt(2.0)) {
        int rounded = (int)(side + 0.5);
        if (rounded > 2 * world->options.side_max)
            continue; /* finer than any picture asks for */
        world->levels[world->level_count++] = (world_level){.side = rounded, .offset = offset};
        offset += (size_t)(rounded + 2) * (size_t)(rounded + 2) * 4;
    }
    world->glyph_bytes = offset;
}

static dipp_status keep_texels(dipp_emoji_world *world, dipp_emoji_font *font, dipp_error *error)
{
    plan_levels(world);
    world->texels = dipp_allocate_zeroed((size_t)world->glyph_count, world->glyph_bytes);
    if (!world->texels)
        return dipp_fail(error, DIPP_E_MEMORY, "emoji world: out of memory for %d glyphs of %zu bytes",
                         world->glyph_count, world->glyph_bytes);
    for (int i = 0; i < world->glyph_count; i++) {
        dipp_glyph_bitmap bitmap = {0};
        if (dipp_emoji_font_glyph(font, world->glyphs[i].code_point, &bitmap, error) != DIPP_OK)
            return error ? error->code : DIPP_E_FORMAT;
        for (int k = 0; k < world->level_count; k++) {
            int side = world->levels[k].side, stride = side + 2;
            uint8_t *inside =
                world->texels + (size_t)i * world->glyph_bytes + world->levels[k].offset + ((size_t)stride + 1) * 4;
            dipp_glyph_resample(&bitmap, side, inside, stride);
        }
        dipp_glyph_bitmap_clear(&bitmap);
    }
    return DIPP_OK;
}

/* 64-bit FNV-1a. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): it cannot see the bytes of a double */
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
    return hash;
}

static void set_fingerprint(dipp_emoji_world *world)
{
    const dipp_emoji_world_options *o = &world->options;
    const double numbers[] = {o->size_min,     o->size_max,           o->rotation_max,  o->background_jitter,
                              o->held_out,     (double)o->split_seed, o->mention_glyph, o->mention_background,
                              o->mention_size, o->mention_place,      o->keyword_share, o->kind_share};
    uint64_t hash = hash_bytes(0xcbf29ce484222325u, numbers, sizeof numbers);
    for (int b = 0; b < DIPP_BACKGROUND_COUNT; b++)
        hash = hash_bytes(hash_bytes(hash, dipp_backgrounds[b].rgb, 3), dipp_backgrounds[b].name,
                          strlen(dipp_backgrounds[b].name));
    for (int i = 0; i < world->glyph_count; i++) {
        const dipp_emoji_glyph *glyph = &world->glyphs[i];
        hash = hash_bytes(hash, &glyph->code_point, sizeof glyph->code_point);
        hash = hash_bytes(hash_bytes(hash, glyph->name, strlen(glyph->name) + 1), glyph->kind, strlen(glyph->kind) + 1);
        for (int k = 0; k < glyph->keyword_count; k++)
            hash = hash_bytes(hash, glyph->keywords[k], strlen(glyph->keywords[k]) + 1);
    }
    /* The finest levels depend on side_max; the feature texels speak for the drawing. */
    for (int i = 0; i < world->glyph_count; i++)
        hash = hash_bytes(hash, world->features[i].texels, sizeof world->features[i].texels);
    world->fingerprint = hash;
}

/* Candidates, subset, and everything the world keeps of it; *entries and *features are scratch of the caller. */
static dipp_status choose_glyphs(dipp_emoji_world *world, const dipp_cldr *names, dipp_emoji_font *font,
                                 const dipp_cldr_entry **entries, dipp_glyph_feature *features, int *chosen,
                                 dipp_error *error)
{
    const dipp_emoji_world_options *o = &world->options;
    int candidates = 0;
    for (int i = 0; i < names->count; i++) {
        const dipp_cldr_entry *entry = &names->entries[i];
        if (entry->code_point < 0x2000 || !*entry->group || !admits(o->groups, entry) || strlen(entry->name) > 40 ||
            (o->name_words_max && word_count(entry->name) > o->name_words_max))
            continue;
        dipp_glyph_bitmap bitmap = {0};
        if (dipp_emoji_font_glyph(font, entry->code_point, &bitmap, NULL) != DIPP_OK)
            continue; /* the font is older than the names: not a candidate */
        int visible = dipp_glyph_feature_of(&bitmap, &features[candidates]);
        dipp_glyph_bitmap_clear(&bitmap);
        if (visible && passes(o, &features[candidates]))
            entries[candidates++] = entry;
    }
    world->glyph_count = dipp_glyph_choose(features, candidates, o->glyph_limit, o->minimum_distance, chosen);
    if (world->glyph_count < 0)
        return dipp_fail(error, DIPP_E_MEMORY, "emoji world: out of memory");
    if (world->glyph_count < 2)
        return dipp_fail(
            error, DIPP_E_INVALID,
            "emoji world: %d of %d candidate glyphs pass; expected at least 2: widen groups (\"%s\"), detail_max or "
            "coverage, or lower minimum_distance or visibility_min",
            world->glyph_count, candidates, o->groups ? o->groups : "");
    world->glyphs = dipp_allocate_zeroed((size_t)world->glyph_count, sizeof *world->glyphs);
    world->features = dipp_allocate_zeroed((size_t)world->glyph_count, sizeof *world->features);
    if (!world->glyphs || !world->features)
        return dipp_fail(error, DIPP_E_MEMORY, "emoji world: out of memory");
    for (int i = 0; i < world->glyph_count; i++) {
        world->features[i] = features[chosen[i]];
        entries[i] = entries[chosen[i]]; /* chosen is ascending, so nothing is overwritten before it is read */
    }
    dipp_status status = keep_words(world, entries, error);
    return status == DIPP_OK ? keep_texels(world, font, error) : status;
}

dipp_status dipp_emoji_world_create(const dipp_emoji_world_options *options, dipp_emoji_world **out, dipp_error *error)
{
    dipp_status status = check_options(options, error);
    if (status != DIPP_OK)
        return status;
    dipp_error local = {0};
    dipp_error *report = error ? error : &local;
    dipp_emoji_font *font = NULL;
    dipp_cldr *names = NULL;
    status = dipp_emoji_font_create(options->font_path, &font, report);
    if (status == DIPP_OK)
        status = dipp_cldr_create(options->annotations_path, options->labels_path, &names, report);
    dipp_emoji_world *world = dipp_allocate_zeroed(1, sizeof *world);
    size_t room = names ? (size_t)names->count : 1;
    const dipp_cldr_entry **entries = dipp_allocate(room * sizeof *entries);
    dipp_glyph_feature *features = dipp_allocate(room * sizeof *features);
    int *chosen = dipp_allocate(room * sizeof *chosen);
    if (status == DIPP_OK && (!world || !entries || !features || !chosen))
        status = dipp_fail(report, DIPP_E_MEMORY, "emoji world: out of memory");
    if (status == DIPP_OK) {
        world->options = *options;
        status = choose_glyphs(world, names, font, entries, features, chosen, report);
    }
    dipp_release(entries);
    dipp_release(features);
    dipp_release(chosen);
    dipp_cldr_destroy(&names);
    dipp_emoji_font_destroy(&font);
    if (status != DIPP_OK) {
        dipp_emoji_world_destroy(&world);
        return status;
    }
    /* The caller's strings need not outlive this call. */
    world->options.font_path = world->options.annotations_path = world->options.labels_path = world->options.groups =
        NULL;
    set_fingerprint(world);
    *out = world;
    return DIPP_OK;
}

void dipp_emoji_world_destroy(dipp_emoji_world **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_emoji_world *world = *pointer;
    dipp_release(world->glyphs);
    dipp_release(world->features);
    dipp_release(world->texels);
    dipp_release(world->strings);
    dipp_release(world->keyword_list);
    dipp_release(world);
    *pointer = NULL;
}

int dipp_emoji_world_glyph_count(const dipp_emoji_world *world)
{
    return world->glyph_count;
}

const dipp_emoji_glyph *dipp_emoji_world_glyph(const dipp_emoji_world *world, int glyph)
{
    return glyph >= 0 && glyph < world->glyph_count ? &world->glyphs[glyph] : NULL;
}

const dipp_emoji_world_options *dipp_emoji_world_options_of(const dipp_emoji_world *world)
{
    return &world->options;
}

double dipp_emoji_world_distance(const dipp_emoji_world *world, int a, int b)
{
    return dipp_glyph_distance(&world->features[a], &world->features[b]);
}

uint64_t dipp_emoji_world_fingerprint(const dipp_emoji_world *world)
{
    return world->fingerprint;
}

int dipp_emoji_world_find(const dipp_emoji_world *world, const char *name)
{
    for (int i = 0; i < world->glyph_count; i++)
        if (!strcmp(world->glyphs[i].name, name))
            return i;
    return DIPP_NOT_NAMED;
}
