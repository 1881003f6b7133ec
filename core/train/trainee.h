/* A reward plugin whose parameters are trained, or that scores as training sees it: an instance, its layout, the trained set
 * and its average. Everything is recorded in DIPP_REWARD_TRAIN mode. */
#ifndef DIPP_TRAIN_TRAINEE_H
#define DIPP_TRAIN_TRAINEE_H

#include "train/models.h"

typedef struct dipp_trainee {
    dipp_backend *backend; /* borrowed */
    dipp_reward_model reward;
    dipp_parameter_set *average; /* NULL where nothing is trained */
    dipp_shape sample;           /* of one sample: [3, H, W] or [d] */
} dipp_trainee;

typedef struct dipp_trainee_options {
    dipp_model_choice reward;
    const dipp_host *host;
    dipp_shape sample;
    bool train; /* gradients, moments and an average are kept */
    dipp_formats formats;
    const char *const *freeze; /* patterns of names that are not trained (tensor/freeze.h); freeze_count of them */
    uint32_t freeze_count;
} dipp_trainee_options;

/* Creates and declares the reward and allocates its sets, zeroed. DIPP_E_INVALID: an opaque reward, one without parameters
 * where train is asked, samples it does not score, a pattern that means nothing, or nothing left to train. */
dipp_status dipp_trainee_create(dipp_backend *backend, const dipp_trainee_options *options, dipp_trainee **out,
                                dipp_error *error);
void dipp_trainee_destroy(dipp_trainee **trainee);

/* Whether its scores are of encoded text; whether it can be trained by contrast. [any thread] */
bool dipp_trainee_encodes(const dipp_trainee *trainee);
bool dipp_trainee_contrasts(const dipp_trainee *trainee);

/* Inputs "tokens" and "mask" of so many rows; none where the reward takes no text. */
dipp_prompt dipp_trainee_text(const dipp_trainee *trainee, dipp_graph *g, int64_t rows);
/* samples [N, ...] and their text, of N rows, or of N/2 where both halves of the samples have it -> scores [N], wide. */
dipp_tensor dipp_trainee_scores(const dipp_trainee *trainee, dipp_graph *g, dipp_params p, dipp_tensor samples,
                                dipp_prompt text);
/* samples [N, ...] against their N texts -> logits [N, N], wide. */
dipp_tensor dipp_trainee_contrast(const dipp_trainee *trainee, dipp_graph *g, dipp_params p, dipp_tensor samples,
                                  dipp_prompt text);
/* Shape [batch, sample...]. */
dipp_shape dipp_trainee_batch_shape(const dipp_trainee *trainee, int64_t batch);

/* Multiplies differences of scores by factor (above 0) in a set of the trainee: logit_scale grows by its logarithm, or, with a
 * layer, its weight and bias are multiplied, which must be all that stands between it and the score. DIPP_E_INVALID without
 * such parameters; factor 1 changes nothing and only looks whether they are there. */
dipp_status dipp_trainee_sharpen(const dipp_trainee *trainee, dipp_parameter_set *set, const char *layer, double factor,
                                 dipp_error *error);

#endif
