/* Scoring pictures that no generator of ours drew: files of any model, beside a list of prompts. */
#ifndef DIPP_EXPERIMENT_RUN_SCORE_FILES_H
#define DIPP_EXPERIMENT_RUN_SCORE_FILES_H

#include "experiment/run_metrics.h"

#include <signal.h>

typedef struct dipp_score_files_request {
    const char *folder; /* of the pictures */
    const char
        *manifest;       /* lines PROMPT<tab>SAMPLE<tab>FILE, numbers from 0, files relative to folder; NULL: by name */
    const char *prompts; /* a file of prompts; NULL: those of config */
    const dipp_config *config;  /* whose metrics, scorers, prompts, world and device count; NULL: none of these */
    const char *const *metrics; /* more metrics by name */
    size_t metric_count;
    const dipp_given_scorer *given; /* one more, or NULL */
    const char *experiment, *arm;   /* under which the run is stored; arm NULL: the folder's name */
    uint32_t threads;
    const volatile sig_atomic_t *stop;
    /* May be NULL: told how far a reward has come with the pictures. */
    void (*scored)(void *context, const char *metric, uint32_t done, uint32_t count);
    void *scored_context;
} dipp_score_files_request;

typedef struct dipp_score_files_report {
    int64_t run_id;
    uint32_t prompts, samples;
    bool known; /* the same pictures were scored before: the same run, scores replaced */
} dipp_score_files_report;

/* Without a manifest a file is called by its prompt and sample: p003-s1.png (as dipp sample and runs write them),
 * 3-1.png, 00003_01.png, or 00003.png where each prompt has one; .jpg, .jpeg and .webp likewise. Every prompt needs
 * the same number of samples. Rewards take pictures of any sizes, those of one size together; judges and diversity want
 * squares of one size. Pictures become a run of stage `evaluate` with subject `files`: the same bytes give the same run.
 * All are in memory at once. Errors: NOT_FOUND (folder, file, metric), INVALID (names that say no number, gaps, sizes,
 * no metrics; says which), FORMAT (no picture), those of scoring and storing. */
dipp_status dipp_run_score_files(dipp_store *store, const dipp_score_files_request *request, dipp_plugins *plugins,
                                 dipp_score_files_report *report, dipp_error *error);

#endif
