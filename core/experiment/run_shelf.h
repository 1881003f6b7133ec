/* The pictures of a set of preferences, all of one size: kept as bytes where they fit into the memory that is allowed, else
 * read when they are asked for.
 *
 * A picture of another size is resized to cover the size wanted (Pillow's bicubic kernel, rounded to bytes after each
 * axis), and its middle is cut out. */
#ifndef DIPP_EXPERIMENT_RUN_SHELF_H
#define DIPP_EXPERIMENT_RUN_SHELF_H

#include "data/image.h"
#include "data/string_pool.h"

typedef struct dipp_run_shelf dipp_run_shelf;

/* The pool's paths are borrowed. side 0: every picture gets the first one's height and width; else side x side. limit: bytes
 * that may be kept. Errors as of dipp_image_read of the first picture; MEMORY. */
dipp_status dipp_run_shelf_create(const dipp_string_pool *paths, int side, size_t limit, dipp_run_shelf **out,
                                  dipp_error *error);
void dipp_run_shelf_destroy(dipp_run_shelf **shelf);

void dipp_run_shelf_size(const dipp_run_shelf *shelf, int *height, int *width);
size_t dipp_run_shelf_bytes(const dipp_run_shelf *shelf); /* that it will keep at most */

/* Reads every picture once, so that what is missing or damaged is known before anything is trained, and keeps them where
 * they fit. Errors as of dipp_image_read. */
dipp_status dipp_run_shelf_fill(dipp_run_shelf *shelf, dipp_error *error);

/* planes [3, height, width] in [0, 1]. Errors as of dipp_image_read. [one thread at a time] */
dipp_status dipp_run_shelf_take(dipp_run_shelf *shelf, uint32_t picture, float *planes, dipp_error *error);

/* image (consumed and replaced) as it is put on a shelf. [any thread] */
dipp_status dipp_image_cover(dipp_image *image, int height, int width, dipp_error *error);

#endif
