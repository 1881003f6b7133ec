/* Sets a cell up as a worker would, without running it: says whether it can run and what memory it will take. */
#ifndef DIPP_EXPERIMENT_RUN_CHECK_H
#define DIPP_EXPERIMENT_RUN_CHECK_H

#include "experiment/experiment.h"
#include "plugin/plugin_host.h"
#include "train/align.h"

enum { DIPP_CHECK_ROLES = 32 };

typedef struct dipp_check_report {
    char backend[48]; /* "cpu bf16, 2 threads, avx512_core_amx" */
    /* On the back-end, and on the host where its memory is the same: then the roles' sum is what the run takes beyond
     * what the program takes before it has networks. */
    struct {
        char name[48];
        size_t bytes;
        int64_t parameters;                      /* -1: not a parameter set */
        size_t weights, copy, gradient, moments; /* of a parameter set: what bytes are made of */
    } roles[DIPP_CHECK_ROLES];
    size_t role_count, total_bytes;
    size_t host_bytes;               /* beside total_bytes, where the back-end has memory of its own */
    size_t free_bytes, memory_bytes; /* of the memory that total_bytes are in, before any is taken; 0: not known */
    char peak_program[64], peak_op[64];
    size_t peak_bytes, peak_step, temporaries_sum;
    double flops;            /* useful, of an iteration */
    double recomputed_flops; /* of blocks that are computed again, of an iteration */
    dipp_align_texts texts;  /* encoded once, before the first */
    uint32_t prompts, evaluation_prompts, samples;
    size_t pairs, validation_pairs; /* of a reward that is trained; 0 pairs: scenes without end */
} dipp_check_report;

/* What takes less memory, for who has too little: "smaller align.micro_batch ..." */
extern const char dipp_run_takes_less[];

/* weights: also read every weight file; without, no memory is taken for numbers and any size can be planned. Errors are those that the run would end with. */
dipp_status dipp_run_check(const dipp_cell *cell, dipp_plugins *plugins, bool weights, dipp_check_report *report,
                           dipp_error *error);

/* So that what takes all memory there is fails by itself: this process gets no more private memory than planned bytes, and
 * 512 MiB that no plan counts (program, libraries and their scratch, host copies, threads' stacks), beside what it has now.
 * DIPP_E_IO. [main] */
dipp_status dipp_run_limit_memory(size_t planned, dipp_error *error);

/* The total of dipp_run_check without weights, found by a child process of so limited memory, since plugins run: *bytes is 0
 * when the child crashed or took longer than ten minutes, which the run itself will end with. DIPP_E_MEMORY when the limit does
 * not do, and what dipp_run_check says. No thread may run yet. [main] */
dipp_status dipp_run_check_apart(const dipp_cell *cell, dipp_plugins *plugins, size_t limit, size_t *bytes,
                                 dipp_error *error);

#endif
