/* Scenes of the emoji world as training samples of a reference. */
#ifndef DIPP_EXPERIMENT_RUN_SOURCE_H
#define DIPP_EXPERIMENT_RUN_SOURCE_H

#include "data/scene.h"
#include "train/pretrain.h"

typedef struct dipp_scene_source dipp_scene_source;

/* world must outlive it. side is that of the pictures. */
dipp_status dipp_scene_source_create(const dipp_emoji_world *world, int side, dipp_scene_source **out,
                                     dipp_error *error);
void dipp_scene_source_destroy(dipp_scene_source **source);

/* The door that pretraining takes; it borrows source. */
dipp_sample_source dipp_scene_source_of(dipp_scene_source *source);

#endif
