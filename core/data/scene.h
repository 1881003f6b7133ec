/* The emoji world: glyphs of an emoji font placed on flat backgrounds of named colours, with captions.
 *
 * A scene is a function of (world, seed, index) alone: its attributes come from Philox uniforms keyed by the seed and
 * counted by the index, and drawing them is exact arithmetic without library functions, so any scene of any run can be
 * drawn again, in any order, on any thread. A world is immutable after creation: every function below that takes a
 * const world is [any thread]. */
#ifndef DIPP_DATA_SCENE_H
#define DIPP_DATA_SCENE_H

#include <dipp/status.h>

enum {
    DIPP_BACKGROUND_COUNT = 10,
    DIPP_PLACE_COUNT = 5,
    DIPP_SIZE_CLASS_COUNT = 3,
    DIPP_SCENE_SIDE_MAX = 128, /* pictures are 8..128 pixels wide and high */
    DIPP_CAPTION_BYTES = 192,  /* always enough for a caption or prompt, with the terminator */
    DIPP_NOT_NAMED = -1        /* an attribute that a prompt does not mention */
};

typedef struct dipp_background {
    const char *name; /* one English word */
    uint8_t rgb[3];
} dipp_background;

extern const dipp_background dipp_backgrounds[DIPP_BACKGROUND_COUNT];
extern const char *const dipp_place_words[DIPP_PLACE_COUNT];     /* center left right top bottom */
extern const char *const dipp_size_words[DIPP_SIZE_CLASS_COUNT]; /* small medium large */

typedef struct dipp_emoji_glyph {
    uint32_t code_point;
    const char *name; /* "red apple" */
    const char *kind; /* the group word of captions: "fruit" */
    const char *group, *subgroup;
    const char *const *keywords;
    int keyword_count;
    float coverage; /* mean alpha over the glyph's square */
} dipp_emoji_glyph;

typedef struct dipp_emoji_world dipp_emoji_world;

typedef struct dipp_emoji_world_options {
    const char *font_path, *annotations_path, *labels_path; /* NULL: Debian's places */

    /* The glyph subset. Candidates are single code points that the font, the names and the groups have. */
    const char *groups;      /* comma-separated groups or subgroup prefixes: "Food & Drink,animal-,plant-" ; "" = all */
    int glyph_limit;         /* at most so many glyphs */
    double minimum_distance; /* rms RGBA difference at 16 x 16, 0..1, that every two glyphs keep */
    int name_words_max;      /* names of at most so many words; 0 = any */
    double coverage_min, coverage_max; /* bounds on the mean alpha over the glyph's square */
    double detail_max;                 /* at most so much is lost at 20 x 20 pixels (rms 0..1); 1 = any */
    double visibility_min; /* least rms difference to any of the backgrounds over the glyph, 0..1; 0 = any */
    int keywords_max;      /* keywords kept per glyph */

    /* Attributes. */
    double size_min, size_max; /* the glyph's square as a fraction of the picture's side, uniform */
    double rotation_max;       /* radians, uniform in +-, at most 0.8 */
    double
        background_jitter; /* each background channel moves uniformly by +- so much (0..1 scale); 0 = exactly the named colour */
    double held_out;     /* fraction of (glyph, background) pairs that are never drawn in training */
    uint64_t split_seed; /* which pairs these are */

    /* Captions: the probability that each attribute is mentioned, and by what word the glyph is. */
    double mention_glyph, mention_background, mention_size, mention_place;
    double keyword_share, kind_share; /* of the mentions of the glyph; the rest uses the name */

    int side_max; /* the largest picture that will be drawn; less saves memory */
} dipp_emoji_world_options;

typedef struct dipp_scene_attributes {
    int32_t glyph;            /* 0 .. glyph count - 1 */
    int32_t background;       /* 0 .. 9 */
    int32_t place;            /* 0 .. 4, a function of the centre */
    int32_t size_class;       /* 0 .. 2, a function of the size */
    float centre_x, centre_y; /* of the glyph's square, fractions of the side, y down */
    float size;               /* side of the glyph's square over the side of the picture */
    float rotation;           /* radians, clockwise on the screen */
    float background_rgb[3];  /* 0..1: the named colour, jitter included */
} dipp_scene_attributes;

/* The demo world: 32 glyphs, sizes 0.75 to 1, rotation 0.15, backgrounds moved by up to 0.05, a tenth of the pairs held
 * out: what two cores without matrix units learn to draw in about an hour. */
void dipp_emoji_world_options_default(dipp_emoji_world_options *options);

/* Builds a world (about half a second: it looks at every candidate glyph). The caller destroys it.
 * Errors: NOT_FOUND (font or names missing; the text names the Debian package), INVALID (an option out of range, or
 * fewer than two glyphs pass), FORMAT, MEMORY. [any thread] */
dipp_status dipp_emoji_world_create(const dipp_emoji_world_options *options, dipp_emoji_world **world,
                                    dipp_error *error);
void dipp_emoji_world_destroy(dipp_emoji_world **world);

int dipp_emoji_world_glyph_count(const dipp_emoji_world *world);
const dipp_emoji_glyph *dipp_emoji_world_glyph(const dipp_emoji_world *world,
                                               int glyph); /* lives as long as the world */
const dipp_emoji_world_options *
dipp_emoji_world_options_of(const dipp_emoji_world *world); /* its paths and groups are NULL */
/* The distance that minimum_distance bounds, between two glyphs of the world. */
double dipp_emoji_world_distance(const dipp_emoji_world *world, int a, int b);
/* A 64-bit hash of everything that scenes and captions depend on: options, code points, names, texels. Two worlds with
 * the same fingerprint draw the same scenes. */
uint64_t dipp_emoji_world_fingerprint(const dipp_emoji_world *world);
/* The glyph with this name, or DIPP_NOT_NAMED. */
int dipp_emoji_world_find(const dipp_emoji_world *world, const char *name);

/* Whether scenes never show this glyph on this background, so that prompts naming the pair are unseen combinations. */
int dipp_emoji_pair_held_out(const dipp_emoji_world *world, int glyph, int background);

/* The words that thresholds give: place from the centre, size class from the size. */
int dipp_scene_place_of(float centre_x, float centre_y);
int dipp_scene_size_class_of(const dipp_emoji_world *world, float size);

/* Attributes of training scene `index` of `seed`. */
void dipp_emoji_scene_attributes(const dipp_emoji_world *world, uint64_t seed, uint64_t index,
                                 dipp_scene_attributes *attributes);

/* Draws [3, side, side] floats in [-1,1], planes R, G, B, sRGB values. Where the glyph's alpha is zero the value is
 * exactly 2*background_rgb-1. side is 8..side_max. Errors: INVALID (side, glyph index, size outside 0.05..2). */
dipp_status dipp_emoji_scene_draw(const dipp_emoji_world *world, const dipp_scene_attributes *attributes, int side,
                                  float *out, dipp_error *error);
/* The same as 8-bit RGB [side, side, 3]; rounds what dipp_emoji_scene_draw gives. */
dipp_status dipp_emoji_scene_draw_bytes(const dipp_emoji_world *world, const dipp_scene_attributes *attributes,
                                        int side, uint8_t *rgb, dipp_error *error);

/* The caption of that scene, such as "a large red apple on a blue background, left"; which attributes it mentions is a
 * function of (seed, index) too. Lower case. Errors: INVALID (size below DIPP_CAPTION_BYTES). */
dipp_status dipp_emoji_scene_caption(const dipp_emoji_world *world, uint64_t seed, uint64_t index,
                                     const dipp_scene_attributes *attributes, char *out, size_t size,
                                     dipp_error *error);

/* A caption that mentions exactly what is given: glyph_words (a name, keyword or kind) or NULL, and indices or
 * DIPP_NOT_NAMED. Errors: INVALID. */
dipp_status dipp_scene_phrase(const char *glyph_words, int background, int size_class, int place, char *out,
                              size_t size, dipp_error *error);

/* Calls visit for every phrase of words a caption of this world can hold (names, keywords, kinds, colours, sizes, places,
 * function words), in a fixed order, repeats included. Stops early when visit returns non-zero, and returns that. */
int dipp_emoji_world_words(const dipp_emoji_world *world, int (*visit)(void *user, const char *phrase), void *user);

#endif
