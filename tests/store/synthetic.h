/* A small store whose every view has a known answer, and what the store's tests share: a temporary directory, fixed
 * hashes, one number out of a query. */
#ifndef DIPP_TEST_SYNTHETIC_H
#define DIPP_TEST_SYNTHETIC_H

#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* DIPP_OK, or the test fails with the message. */
#define assert_ok(call, error)               \
    do {                                     \
        if ((call) != DIPP_OK)               \
            fail_msg("%s", (error).message); \
    } while (0)

typedef struct test_directory {
    char path[256];
    char store[300]; /* path/store.db */
} test_directory;

int make_directory(void **state);   /* cmocka setup: *state is a test_directory */
int remove_directory(void **state); /* cmocka teardown */

/* 64 hexadecimal digits that differ for differing words; no real sha256. */
const char *fake_sha256(const char *word, char out[65]);

/* First column of the first row as a number, NaN for no row or NULL; fails the test when the SQL is wrong. */
double number_of(dipp_store *store, const char *sql);
/* First column of the first row as text into out, "" for no row or NULL. */
const char *text_of(dipp_store *store, const char *sql, char *out, size_t size);

/* An experiment of one name and one YAML with one queued run. */
void one_run(dipp_store *store, int64_t *experiment_id, int64_t *run_id);

/* Experiment emoji-rewards. Arms cfg-only (baseline) and reward (trained on border) with seeds 0, 1, 2; arm hps
 * (trained on the hps scorer) with seed 0 and one NaN score; reward seed 3 failed. Four prompts, two noises each,
 * evaluated at steps 0, 100, 200, one diversity per evaluation, IKL logged by cfg-only and measured at
 * evaluations by the others.
 * Per picture:
 *   hps    = 0.2 + 0.01 prompt + 0.001 sample + 0.002 seed + gain, gain 0 at step 0, half of the final at step 100,
 *            finally cfg-only 0.02; reward 0.05 0.05 0.01 0.02 by prompt; hps 0.06
 *   border = cfg-only 0, 0.1, 0.2; reward 0, 0.6, 0.9; hps 0, 0, 0 at the three steps
 * IKL: cfg-only 0, 1, 2; reward 0, 3, 5; hps 0, 1, 1. diversity 1 - IKL/10. The 20-step reference scores hps 0.3.
 * Arms reward and hps are watched by a monitor, the judge being hps: looks at steps 100 and 200 of evidence 0.5 + seed and
 * 1.5 + seed, and an alarm of reward/1 at step 200.
 * Run reward/0 starts from weights that a run of the experiment emoji-stage1 made. */
void fill_synthetic(dipp_store *store);

#endif
