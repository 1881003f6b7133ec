/* Scenes of the emoji world as pairs for a reward that cannot compare all pictures with all texts: a scene under a caption that
 * is right, and under the same caption with one thing wrong. The matching of pictures and texts that BLIP is pretrained by. */
#ifndef DIPP_EXPERIMENT_RUN_SCENE_PAIRS_H
#define DIPP_EXPERIMENT_RUN_SCENE_PAIRS_H

#include "data/scene.h"
#include "train/reward.h"

typedef struct dipp_scene_pairs dipp_scene_pairs;

/* world must outlive it. side is that of the pictures. */
dipp_status dipp_scene_pairs_create(const dipp_emoji_world *world, int side, dipp_scene_pairs **out, dipp_error *error);
void dipp_scene_pairs_destroy(dipp_scene_pairs **pairs);

/* The door that training takes; it borrows pairs. The first side is the right one, its label 1. */
dipp_pair_source dipp_scene_pairs_of(dipp_scene_pairs *pairs);

#endif
