/* An alignment of exact models, with the metrics it reports. */
#ifndef DIPP_TEST_TRAIN_RUNNER_H
#define DIPP_TEST_TRAIN_RUNNER_H

#include "exact.h"
#include "train/align.h"

enum { RUNNER_METRICS = 48 };

typedef struct runner {
    exact e;
    dipp_prompt_table *prompts;
    dipp_align *align;
    size_t metric_count; /* of the last iteration */
    char names[RUNNER_METRICS][80];
    double values[RUNNER_METRICS], sums[RUNNER_METRICS]; /* sums over iterations after count_from */
    int64_t count_from;
} runner;

/* SGD without averaging, batch 128, TA of plain x0 error: what tests change is what they are about. */
dipp_align_settings runner_settings(const scenario *s);

/* Affine models with a linear reward of b = 0.8; and a mixture of the labels plus and minus with generator (0.3, 0.8). */
extern const exact_choice runner_plain, runner_mixed;

/* With Adam, micro-batches, guidance 1.5, TA warm-up, average, clipping and a cosine: 12 steps of 16. */
dipp_align_settings runner_rich(void);

/* label: the only prompt, or NULL. */
void runner_open(runner *r, const exact_choice *choice, const char *label, const dipp_align_settings *settings);
/* Runs to the end of the settings. */
void runner_run(runner *r);
void runner_close(runner *r);

/* Mean of a metric over the iterations after count_from. */
double runner_mean(const runner *r, const char *metric, int64_t iterations);
bool runner_metric(const runner *r, const char *metric, double *value);

/* The dipp_align_observer that fills the metrics. */
dipp_align_observer runner_observer(runner *r);

/* One number of the generator, its average or the TA in one dimension. */
double runner_number(const dipp_parameter_set *set, const char *entry);

/* All numbers of generator, its average and TA, moments included; count receives how many. Free with test_free. */
double *runner_state(const runner *r, size_t *count);

/* An observer's context and after_step: saves once, after iteration `at`. */
typedef struct runner_saver {
    const char *path;
    int64_t at;
} runner_saver;
dipp_status runner_save_at(void *context, dipp_align *align, int64_t step, dipp_error *error);

#endif
