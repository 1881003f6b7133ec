/* Pictures through an autoencoder and back, for its evaluation: what it loses nothing later can draw. */
#ifndef DIPP_TRAIN_RECONSTRUCT_H
#define DIPP_TRAIN_RECONSTRUCT_H

#include "train/models.h"

typedef struct dipp_reconstructor dipp_reconstructor;

/* batch pictures at a time. models must outlive it and have been created with train_decoder; the weights are read at every
 * call, the averaged ones when use_average. DIPP_E_INVALID: the reference has no autoencoder. [one thread at a time] */
dipp_status dipp_reconstructor_create(dipp_models *models, uint32_t batch, bool use_average, dipp_reconstructor **out,
                                      dipp_error *error);
void dipp_reconstructor_destroy(dipp_reconstructor **reconstructor);

/* pictures [count, C, H, W] in [0, 1], any count -> decode(encode(pictures)), clamped to [0, 1], in their place. */
dipp_status dipp_reconstruct(dipp_reconstructor *reconstructor, float *pictures, uint32_t count, dipp_error *error);

#endif
