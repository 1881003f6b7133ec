/* The gold judge of the emoji world: what a picture shows, found by fitting scenes to it. Nobody trained it.
 *
 * The background is the median of the border. Every glyph is matched at every place, size and rotation of a coarse grid
 * at 16 x 16 (the composite's squared error, exact for the given background, from a bank of premultiplied templates);
 * the best glyphs are fitted at 16 x 16 and then at the picture's own resolution (at most 32 x 32) over place, size and
 * rotation by damped Gauss-Newton steps on the drawing itself. Verdicts are deterministic. */
#ifndef DIPP_EVALUATE_JUDGE_H
#define DIPP_EVALUATE_JUDGE_H

#include "data/scene.h"

typedef struct dipp_judge dipp_judge;

typedef struct dipp_verdict {
    dipp_scene_attributes
        fit;         /* the scene that fits best: glyph, place, size class, and the background that is named nearest */
    double distance; /* rms difference of picture and fitted scene per channel, 0..1 scale */
    int32_t second;  /* the next best glyph, or DIPP_NOT_NAMED */
    double second_distance;
    float border_rgb[3]; /* measured background, 0..1 */
} dipp_verdict;

/* Builds the template bank; the world is borrowed and must outlive the judge.
 * Errors: INVALID (the world's side_max is below 16, or side is not a multiple of 4 in 16..128), MEMORY. A created judge is immutable, so
 * dipp_judge_* calls on it are [any thread]. */
dipp_status dipp_judge_create(const dipp_emoji_world *world, int side, dipp_judge **judge, dipp_error *error);
void dipp_judge_destroy(dipp_judge **judge);

/* Judges one picture [3, side, side] in [-1,1] (values outside are clamped, NaN counts as -1). Errors: MEMORY, INTERNAL. */
dipp_status dipp_judge_planes(const dipp_judge *judge, const float *planes, dipp_verdict *verdict, dipp_error *error);
/* The same for RGB bytes [side, side, 3]. Evaluation scores the stored 8-bit picture, so this is the usual door. */
dipp_status dipp_judge_bytes(const dipp_judge *judge, const uint8_t *rgb, dipp_verdict *verdict, dipp_error *error);

/* The named background nearest to a colour (0..1 channels, squared difference). [any thread] */
int dipp_nearest_background(const float rgb[3]);

#endif
