/* What the parts of the report share: arms, runs and scores of one experiment, read once from the store's views. */
#ifndef DIPP_REPORT_REPORT_DATA_H
#define DIPP_REPORT_REPORT_DATA_H

#include "base/arena.h"
#include "report/html.h"
#include "store/store.h"

enum { DIPP_REPORT_NONE = -1 };

/* Runs of one arm and configuration. */
typedef struct dipp_report_arm {
    const char *name, *config; /* config: 64 hexadecimal digits */
    const char *label;         /* the name without its keys' paths, with the configuration where two would be alike */
    const char *rewards;       /* "border x0.3", "" for none */
    double reward_scale;       /* sum of |scale| of its rewards: with omega, how strongly it is aligned */
    double omega;              /* cfg_omega; 1 where it is not set */
    int64_t steps, images;     /* of the completed run that went furthest, else of any */
    double seconds;            /* spent by all its runs */
    size_t runs, completed;
    int64_t first_run;
    int place; /* among the arms that took a step, for colours and panels; NONE: did not */
    int found; /* place among the arms in order of their first run */
} dipp_report_arm;

typedef struct dipp_report_run {
    int64_t run_id, seed, step;
    int arm; /* index */
    bool completed;
    const char *name, *uuid, *status, *error; /* error or NULL */
    int64_t attempts, warnings;
} dipp_report_run;

/* One metric by one scorer on one prompt set under one protocol: what may be compared. */
typedef struct dipp_report_measure {
    int64_t metric_id, scorer_id, prompt_set_id;
    const char *metric, *scorer, *prompt_set, *protocol, *description;
    const char *label; /* the metric, with what tells it from others of that name */
    int direction;     /* +1 more is better, -1 less, 0 not ranked */
    bool set_level;    /* a number of the whole set, not of single pictures */
    int trained_arms;  /* arms that were trained on it */
} dipp_report_measure;

typedef enum dipp_report_point { DIPP_REPORT_START, DIPP_REPORT_FINAL, DIPP_REPORT_REFERENCE } dipp_report_point;

typedef struct dipp_report_score {
    int run, measure;
    dipp_report_point point;
    int64_t step, images, samples, nonfinite;
    double value; /* NaN: not finite */
    bool trained_on;
    const char *protocol;
} dipp_report_score;

/* Arms stand in order of alignment: total reward scale, then omega, then as first run. measures: the ranked ones first,
 * in order of their metric. */
typedef struct dipp_report {
    dipp_store *store; /* borrowed */
    dipp_arena *arena; /* of all texts */
    dipp_text out;     /* the page so far */
    const char *name;
    char id[24];          /* experiment_id as the queries take it */
    int baseline;         /* index of an arm that has completed runs */
    bool baseline_chosen; /* the experiment's baseline is no arm with completed runs: the least aligned
                             arm of its grid, or of all, was taken */
    dipp_report_arm *arms;
    dipp_report_run *runs;
    dipp_report_measure *measures;
    dipp_report_score *scores;
    size_t arm_count, run_count, measure_count, score_count;
    size_t arm_capacity, run_capacity, measure_capacity, score_capacity;
    dipp_status status; /* of the reading callbacks */
    dipp_error error;
} dipp_report;

/* Fills everything above; on an error the caller still clears. */
dipp_status dipp_report_load(dipp_report *report, dipp_store *store, const char *experiment, dipp_error *error);
void dipp_report_clear(dipp_report *report);

/* A query whose ?1 is the experiment's id; each gets the report as user and may leave a status in it. */
dipp_status dipp_report_query(dipp_report *report, const char *sql, dipp_store_row_fn each, void *user,
                              dipp_error *error);

/* The arm's mean over the completed seeds at that point, for REFERENCE over all runs (arm is ignored). */
typedef struct dipp_report_mean {
    size_t seeds;
    double mean, sd; /* sd NaN below two seeds */
    int64_t nonfinite, images;
    bool trained_on;
} dipp_report_mean;
bool dipp_report_mean_of(const dipp_report *report, int arm, int measure, dipp_report_point point,
                         dipp_report_mean *out);

/* The score of a run; NULL when it has none. */
const dipp_report_score *dipp_report_score_of(const dipp_report *report, int run, int measure, dipp_report_point point);

int dipp_report_find_run(const dipp_report *report, int64_t run_id);
int dipp_report_find_arm(const dipp_report *report, const char *name, const char *config);
int dipp_report_find_measure(const dipp_report *report, int64_t metric, int64_t scorer, int64_t prompt_set,
                             const char *protocol);

/* Texts of a row: NaN, 0 and "" for NULL. */
double dipp_report_real(const char *value);
int64_t dipp_report_integer(const char *value);

/* "c3": the arm's colour class; the baseline is "base", an arm that took no step "idle". */
const char *dipp_report_colour(const dipp_report *report, int arm);

/* A heading of the page, with what the reader should know about the part below. */
void dipp_report_heading(dipp_report *report, const char *id, const char *title, const char *note);

/* "arm" with its colour's swatch. */
void dipp_report_arm_name(dipp_report *report, int arm);

/* The arms that took a step, with their swatches; with_reference: and the line of the reference. */
void dipp_report_legend(dipp_report *report, bool with_reference);

/* The metric's label; a dagger where it was trained on. */
void dipp_report_measure_name(dipp_report *report, int measure, bool trained_on);

/* A number in a table's cell. */
void dipp_report_number(dipp_report *report, double value, int digits, bool signed_always);

#endif
