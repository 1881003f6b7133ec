/* Scenes: attributes from Philox uniforms, and the drawing. Only + - * / and comparisons on doubles and floats are used,
 * no library functions, so the same attributes and pixels come out of every machine. */
#include "data/world_private.h"

#include "base/philox.h"
#include "data/image.h"

#include <string.h>

const char *const dipp_place_words[DIPP_PLACE_COUNT] = {"center", "left", "right", "top", "bottom"};
const char *const dipp_size_words[DIPP_SIZE_CLASS_COUNT] = {"small", "medium", "large"};

/* How far the centre may be from the middle, in sides, and still be called center. */
static const float center_reach = 0.05f;

void dipp_world_random(uint64_t seed, uint64_t index, enum world_stream stream, uint32_t block, uint32_t out[4])
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {block, (uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream};
    dipp_philox4x32(key, counter, out);
}

int dipp_emoji_pair_held_out(const dipp_emoji_world *world, int glyph, int background)
{
    /* Keyed by the code point, so a glyph keeps its split when the subset around it changes. Background `kept` is always
     * drawn: every glyph and every colour is seen in training. */
    uint32_t code_point = world->glyphs[glyph].code_point, bits[4], which[4];
    dipp_world_random(world->options.split_seed, code_point, STREAM_SPLIT, 0, which);
    int kept = world_pick(which[0], DIPP_BACKGROUND_COUNT);
    dipp_world_random(world->options.split_seed, code_point, STREAM_SPLIT, 1 + (uint32_t)background, bits);
    return background != kept && world_uniform(bits[0]) < world->options.held_out;
}

int dipp_scene_place_of(float centre_x, float centre_y)
{
    float x = centre_x - 0.5f, y = centre_y - 0.5f;
    float across = x < 0 ? -x : x, along = y < 0 ? -y : y;
    if (across < center_reach && along < center_reach)
        return 0;
    if (across >= along)
        return x < 0 ? 1 : 2;
    return y < 0 ? 3 : 4;
}

int dipp_scene_size_class_of(const dipp_emoji_world *world, float size)
{
    double span = world->options.size_max - world->options.size_min;
    double part = span > 0 ? ((double)size - world->options.size_min) / span : 0.5;
    return part < 1.0 / 3 ? 0 : part < 2.0 / 3 ? 1 : 2;
}

void dipp_world_background(const dipp_emoji_world *world, uint64_t seed, uint64_t index, int background, float rgb[3])
{
    uint32_t random[4];
    dipp_world_random(seed, index, STREAM_ATTRIBUTES, 2, random);
    for (int k = 0; k < 3; k++) {
        double value = dipp_backgrounds[background].rgb[k] / 255.0 +
                       world->options.background_jitter * (2 * world_uniform(random[k]) - 1);
        rgb[k] = (float)(value < 0 ? 0 : value > 1 ? 1 : value);
    }
}

void dipp_emoji_scene_attributes(const dipp_emoji_world *world, uint64_t seed, uint64_t index,
                                 dipp_scene_attributes *attributes)
{
    const dipp_emoji_world_options *o = &world->options;
    uint32_t a[4], b[4];
    dipp_world_random(seed, index, STREAM_ATTRIBUTES, 0, a);
    dipp_world_random(seed, index, STREAM_ATTRIBUTES, 1, b);
    dipp_scene_attributes scene = {.glyph = world_pick(a[0], world->glyph_count)};
    /* Uniform over the backgrounds that are not held out for this glyph. */
    int allowed[DIPP_BACKGROUND_COUNT] = {0}, count = 0;
    for (int k = 0; k < DIPP_BACKGROUND_COUNT; k++)
        if (!dipp_emoji_pair_held_out(world, scene.glyph, k))
            allowed[count++] = k;
    scene.background = allowed[world_pick(a[1], count)];
    double size = o->size_min + (o->size_max - o->size_min) * world_uniform(a[2]);
    double room = 1 - size; /* the unrotated square stays inside the picture */
    scene.size = (float)size;
    scene.rotation = (float)(o->rotation_max * (2 * world_uniform(a[3]) - 1));
    scene.centre_x = (float)(0.5 + room * (world_uniform(b[0]) - 0.5));
    scene.centre_y = (float)(0.5 + room * (world_uniform(b[1]) - 0.5));
    dipp_world_background(world, seed, index, scene.background, scene.background_rgb);
    scene.place = dipp_scene_place_of(scene.centre_x, scene.centre_y);
    scene.size_class = dipp_scene_size_class_of(world, scene.size);
    *attributes = scene;
}

typedef float vector4 __attribute__((vector_size(16)));
typedef uint8_t bytes4 __attribute__((vector_size(4)));

static inline vector4 texel(const uint8_t *at)
{
    bytes4 raw;
    memcpy(&raw, at, sizeof raw);
    return __builtin_convertvector(raw, vector4);
}

/* sin(x) and cos(x)-1 by their series; |x| <= 1, error below 1e-12. */
static void rotate_by(double x, double *sine, double *cosine)
{
    double square = x * x, s = 0, c = 0;
    for (int k = 15; k >= 3; k -= 2)
        s = (1 + s) * (-square / (k * (k - 1)));
    for (int k = 16; k >= 2; k -= 2)
        c = (1 + c) * (-square / (k * (k - 1)));
    *sine = x * (1 + s);
    *cosine = 1 + c;
}

/* The coarsest level that still has a texel for each pixel across the glyph. */
static const world_level *level_for(const dipp_emoji_world *world, double pixels)
{
    int k = world->level_count - 1;
    while (k > 0 && world->levels[k].side < pixels)
        k--;
    return &world->levels[k];
}

dipp_status dipp_emoji_scene_draw(const dipp_emoji_world *world, const dipp_scene_attributes *scene, int side,
                                  float *out, dipp_error *error)
{
    if (side < 8 || side > world->options.side_max)
        return dipp_fail(error, DIPP_E_INVALID, "scene: a picture of side %d; expected 8 to the world's side_max %d",
                         side, world->options.side_max);
    if (scene->glyph < 0 || scene->glyph >= world->glyph_count)
        return dipp_fail(error, DIPP_E_INVALID, "scene: glyph %d; expected 0 to %d", scene->glyph,
                         world->glyph_count - 1);
    if (!(scene->size >= 0.05f && scene->size <= 2) || !(scene->rotation >= -1 && scene->rotation <= 1) ||
        !(scene->centre_x >= -1 && scene->centre_x <= 2) || !(scene->centre_y >= -1 && scene->centre_y <= 2))
        return dipp_fail(error, DIPP_E_INVALID,
                         "scene: size %g, rotation %g, centre (%g, %g); expected 0.05 to 2, -1 to 1, and -1 to 2",
                         (double)scene->size, (double)scene->rotation, (double)scene->centre_x,
                         (double)scene->centre_y);
    const world_level *level = level_for(world, (double)scene->size * side);
    const uint8_t *texels = world->texels + (size_t)scene->glyph * world->glyph_bytes + level->offset;
    size_t stride = (size_t)(level->side + 2) * 4, area = (size_t)side * (size_t)side;
    const vector4 ground = {scene->background_rgb[0], scene->background_rgb[1], scene->background_rgb[2], 0};
    for (int c = 0; c < 3; c++) {
        float flat = 2 * scene->background_rgb[c] - 1;
        for (size_t i = 0; i < area; i++)
            out[(size_t)c * area + i] = flat;
    }
    double sine, cosine, texels_per_pixel = level->side / ((double)scene->size * side);
    rotate_by(scene->rotation, &sine, &cosine);
    /* Texel coordinates of pixel centre (x+.5, y+.5), the border texel being 0: u = u0 + ux x + uy y, and so v. */
    float ux = (float)(cosine * texels_per_pixel), uy = (float)(sine * texels_per_pixel),
          middle = 0.5f * (float)level->side + 0.5f;
    float limit = (float)level->side + 1;
    for (int y = 0; y < side; y++) {
        float from_x = 0.5f - scene->centre_x * (float)side, from_y = (float)y + 0.5f - scene->centre_y * (float)side;
        float u = ux * from_x + uy * from_y + middle, v = ux * from_y - uy * from_x + middle;
        float *row = out + (size_t)y * (size_t)side;
        for (int x = 0; x < side; x++, u += ux, v -= uy) {
            if (!(u > 0 && v > 0 && u < limit && v < limit))
                continue;
            int left = (int)u, top = (int)v;
            float fu = u - (float)left, fv = v - (float)top;
            const uint8_t *at = texels + (size_t)top * stride + (size_t)left * 4;
            vector4 upper = texel(at) * (1 - fu) + texel(at + 4) * fu;
            vector4 lower = texel(at + stride) * (1 - fu) + texel(at + stride + 4) * fu;
            vector4 glyph = (upper * (1 - fv) + lower * fv) * (1.0f / 255.0f);
            vector4 value = 2 * (glyph + (1 - glyph[3]) * ground) - 1;
            row[x] = value[0];
            row[area + (size_t)x] = value[1];
            row[2 * area + (size_t)x] = value[2];
        }
    }
    return DIPP_OK;
}

dipp_status dipp_emoji_scene_draw_bytes(const dipp_emoji_world *world, const dipp_scene_attributes *scene, int side,
                                        uint8_t *rgb, dipp_error *error)
{
    float planes[3 * DIPP_SCENE_SIDE_MAX * DIPP_SCENE_SIDE_MAX];
    dipp_status status = dipp_emoji_scene_draw(world, scene, side, planes, error);
    if (status == DIPP_OK)
        dipp_image_from_planes(planes, side, rgb);
    return status;
}
