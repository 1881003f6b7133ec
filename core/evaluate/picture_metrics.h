/* Numbers read off pictures without any network: border colour, colourfulness, diversity.
 *
 * Pictures are float [3, side, side] in [-1,1]; results are in the units said. All [any thread]. */
#ifndef DIPP_EVALUATE_PICTURE_METRICS_H
#define DIPP_EVALUATE_PICTURE_METRICS_H

#include <dipp/status.h>

/* Mean of the outermost `width` rings of pixels per channel, in [-1,1]; width 1..side/2. */
void dipp_border_mean(const float *planes, int side, int width, double rgb[3]);

/* Hasler and Suesstrunk, "Measuring colourfulness in natural images", 2003: sqrt(var rg + var yb) + 0.3 sqrt(mean rg^2 +
 * mean yb^2) with rg = R-G, yb = (R+G)/2-B, on the usual 0..255 scale. */
double dipp_colorfulness(const float *planes, int side);

/* Mean over all pairs of the rms difference of two pictures, 0..1 scale (so 1 is black against white); 0 for fewer than
 * two pictures. With `pool` > 1 the pictures are first averaged over pool x pool blocks (side must be a multiple), so that
 * texture and noise count less than what is where. Errors: INVALID (pool), MEMORY. */
dipp_status dipp_picture_diversity(const float *pictures, int count, int side, int pool, double *diversity,
                                   dipp_error *error);

#endif
