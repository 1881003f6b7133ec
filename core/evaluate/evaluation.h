/* Judging a generator (or the multi-step reference): draws prompts x samples under fixed noise and scores what it drew.
 *
 * Sample s of prompt p has noise number p*samples+s under one noise seed: the same for every arm, step and seed, so that
 * scores pair up. An autoencoder is judged by what it leaves of scenes that show what the prompts name, chosen by the
 * same numbers. Pictures are rounded to 8 bits before anything looks at them: what is scored is what is stored. In
 * spaces without pictures the vectors themselves are scored, and their mean and covariance are recorded. */
#ifndef DIPP_EVALUATE_EVALUATION_H
#define DIPP_EVALUATE_EVALUATION_H

#include "data/prompts.h"
#include "evaluate/picture_sizes.h"
#include "train/sampler.h"

#include <signal.h>

typedef enum dipp_metric_kind {
    DIPP_METRIC_GLYPH =
        0, /* 1 when the judge finds what the prompt names, else 0; prompts that name none are left out */
    DIPP_METRIC_BACKGROUND,
    DIPP_METRIC_PLACE,
    DIPP_METRIC_SIZE,
    DIPP_METRIC_GOLD,      /* the utility of evaluate/gold.h, of every picture; by the same verdict */
    DIPP_METRIC_DIVERSITY, /* of a prompt's samples; a number of the set and one for each prompt */
    DIPP_METRIC_REWARD     /* a reward plugin */
} dipp_metric_kind;

typedef struct dipp_evaluation_metric {
    const char *name;
    dipp_metric_kind kind;
    const dipp_plugin *plugin; /* REWARD */
    const dipp_parameters *parameters;
    const char *weights;      /* or NULL */
    const char *head_weights; /* a second file, for what the first lacks; or NULL */
} dipp_evaluation_metric;

/* Built-in metrics by name; false: not one of them. [any thread] */
bool dipp_metric_by_name(const char *name, dipp_metric_kind *kind);
/* What the built-in metrics are called, NULL-terminated. */
extern const char *const dipp_metric_names[];

typedef struct dipp_evaluation_options { /* everything borrowed for the life of the evaluation */
    dipp_models *models;                 /* NULL: pictures come from elsewhere, and only score_result is useful */
    dipp_backend *backend;               /* without models: computes the rewards */
    const dipp_picture_sizes *sizes;     /* without models: of prompt_count * samples pictures */
    const dipp_emoji_world *world;       /* needed by the judges */
    const dipp_prompt_line *prompts; /* what the texts name, for the judges and for scenes; may be NULL without them */
    const char *const *texts;
    uint32_t prompt_count, samples;
    uint32_t batch; /* samples at a time; 0: 64 */
    uint64_t noise_seed;
    const dipp_evaluation_metric *metrics;
    uint32_t metric_count;
    bool use_average;
    bool reconstruct; /* the reference is an autoencoder in training: scenes of the prompts are shown through it */
    uint32_t reference_steps; /* of the multi-step sampler */
    double reference_omega, reference_sigma_max;
    const volatile sig_atomic_t *stop; /* looked at between batches; may be NULL */
    /* May be NULL: told of every batch that a reward has scored, `done` of `count` in all. */
    void (*scored)(void *context, const char *metric, uint32_t done, uint32_t count);
    void *scored_context;
} dipp_evaluation_options;

typedef struct dipp_evaluation dipp_evaluation;

/* DIPP_E_INVALID: a metric that does not go with the space or the sizes, with the remedy. */
dipp_status dipp_evaluation_create(const dipp_evaluation_options *options, dipp_evaluation **out, dipp_error *error);
void dipp_evaluation_destroy(dipp_evaluation **evaluation);

typedef struct dipp_evaluation_score {
    uint32_t metric, prompt, sample;
    double value; /* NaN where the picture has a value that is not finite */
} dipp_evaluation_score;

enum { DIPP_EVALUATION_NAME_BYTES = 48 };

/* A number of the whole set (prompt -1) or of one prompt. */
typedef struct dipp_evaluation_set_score {
    char name[DIPP_EVALUATION_NAME_BYTES];
    int32_t metric; /* -1: mean and covariance, analytic or of the samples */
    int32_t prompt;
    double value;
    uint32_t samples;
} dipp_evaluation_set_score;

typedef struct dipp_evaluation_result {
    dipp_evaluation_score *scores;
    size_t score_count, score_capacity;
    dipp_evaluation_set_score *set_scores;
    size_t set_count, set_capacity;
    uint32_t count;    /* samples drawn: prompts x samples */
    uint32_t elements; /* of a sample */
    int side;          /* of a picture; 0 for vectors */
    uint8_t *rgb;      /* [count, side, side, 3]; pictures from elsewhere: as their dipp_picture_sizes say */
    float *vectors;    /* [count, d] */
    uint8_t *finite;   /* [count] */
} dipp_evaluation_result;

/* Draws with the generator, or with the reference, and scores. DIPP_E_INTERRUPTED when *stop became nonzero.
 * result is the caller's: dipp_evaluation_result_clear. */
dipp_status dipp_evaluation_run(dipp_evaluation *evaluation, bool reference, dipp_evaluation_result *result,
                                dipp_error *error);
/* The two halves of it, so that drawn samples can be kept: score expects what draw (of the same options) filled in, or,
 * without models, count, rgb and finite of pictures from elsewhere. Rewards see pictures of one size together. */
dipp_status dipp_evaluation_draw(dipp_evaluation *evaluation, bool reference, dipp_evaluation_result *result,
                                 dipp_error *error);
dipp_status dipp_evaluation_score_result(dipp_evaluation *evaluation, bool reference, dipp_evaluation_result *result,
                                         dipp_error *error);
void dipp_evaluation_result_clear(dipp_evaluation_result *result);

/* Makes what drawing needs ahead of the first draw. *device: bytes on the back-end for that and for rewards; *host: most
 * bytes of a result with its scores, and of what rewards keep of the prompts. */
dipp_status dipp_evaluation_prepare(dipp_evaluation *evaluation, bool generator, bool reference, size_t *device,
                                    size_t *host, dipp_error *error);

/* Bytes of one sample in rgb or vectors. */
size_t dipp_evaluation_sample_bytes(const dipp_evaluation *evaluation);

#endif
