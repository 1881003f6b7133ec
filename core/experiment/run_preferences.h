/* What a reward learns from and is judged by, as `preferences` of the configuration says: pairs, or captioned pictures. */
#ifndef DIPP_EXPERIMENT_RUN_PREFERENCES_H
#define DIPP_EXPERIMENT_RUN_PREFERENCES_H

#include "base/sha256.h"
#include "data/preferences.h"
#include "data/scene.h"
#include "evaluate/preference_metrics.h"
#include "experiment/config.h"
#include "experiment/run_shelf.h"
#include "train/reward.h"
#include "train/scorer.h"

#include <signal.h>

typedef struct dipp_run_preferences dipp_run_preferences;

/* Reads preferences.*; world is borrowed, and NULL where the pictures are not scenes of it. Errors as of data/preferences.h
 * and run_shelf.h; DIPP_E_INVALID: scenes without a size, only ties, samples of another size to validate with. */
dipp_status dipp_run_preferences_create(const dipp_config *config, const dipp_emoji_world *world,
                                        dipp_run_preferences **out, dipp_error *error);
void dipp_run_preferences_destroy(dipp_run_preferences **preferences);

/* [3, height, width] of every picture. [any thread] */
dipp_shape dipp_run_preferences_sample(const dipp_run_preferences *preferences);
/* Bytes of pictures that are kept in memory. [any thread] */
size_t dipp_run_preferences_bytes(const dipp_run_preferences *preferences);
/* How many pairs, or captioned pictures (0: scenes without end), there are to learn from, and pairs to validate with. */
size_t dipp_run_preferences_count(const dipp_run_preferences *preferences);
size_t dipp_run_preferences_validation_count(const dipp_run_preferences *preferences);

/* Reads all pictures. Errors as of dipp_run_shelf_fill. */
dipp_status dipp_run_preferences_fill(dipp_run_preferences *preferences, dipp_error *error);

/* The digest of what a file (or folder) that preferences.* names says, with the bytes of every picture in it: wherever they
 * lie and however the file is written. Errors as of reading it; NOT_FOUND for a picture. */
dipp_status dipp_run_preferences_sha256(const dipp_config *config, const char *path, char out[DIPP_SHA256_HEX_BYTES],
                                        dipp_error *error);

/* The doors that training takes; they borrow preferences. false: it has the other kind. */
bool dipp_run_preferences_pairs(dipp_run_preferences *preferences, dipp_pair_source *source);
bool dipp_run_preferences_captions(dipp_run_preferences *preferences, dipp_sample_source *source);

/* ---- Judging scores by pairs ---- */

/* Scores every item of the set and measures all kinds and each: take(context, kind, values), kind "" for all. stop may be
 * NULL: DIPP_E_INTERRUPTED when it becomes nonzero. */
typedef void (*dipp_take_preference_metrics)(void *context, const char *kind, const double *values);
dipp_status dipp_run_preferences_judge(const dipp_preferences *set, dipp_run_shelf *shelf, dipp_scorer *scorer,
                                       const volatile sig_atomic_t *stop, dipp_take_preference_metrics take,
                                       void *context, dipp_error *error);
/* The same of the pairs to validate with, less the lines that are held for calibration (learn.calibrate.share); nothing is taken where there are none. */
dipp_status dipp_run_preferences_validate(dipp_run_preferences *preferences, dipp_scorer *scorer,
                                          const volatile sig_atomic_t *stop, dipp_take_preference_metrics take,
                                          void *context, dipp_error *error);
/* The factor of dipp_preference_sharpness by the lines that are held. */
dipp_status dipp_run_preferences_sharpness(dipp_run_preferences *preferences, dipp_scorer *scorer,
                                           const volatile sig_atomic_t *stop, double *factor, dipp_error *error);

#endif
