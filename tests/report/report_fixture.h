/* A store with what a report must bear: hostile texts in every place that takes one, several arms and seeds, pictures,
 * a failed run, values that are not finite. */
#ifndef DIPP_TESTS_REPORT_FIXTURE_H
#define DIPP_TESTS_REPORT_FIXTURE_H

#include "store/store.h"

/* The name of the experiment, itself hostile. */
extern const char report_experiment[];

/* The texts of its prompts, in order, hostile ones among them. */
enum { REPORT_PROMPTS = 8 };
extern const char *const report_prompts[REPORT_PROMPTS];

/* Fills the store at folder/NAME.db and writes the pictures below folder. Arms: none, cfg-only (baseline), weak, and
 * "strong <script>"; the last two were trained on border. Seeds 0, 1, 2; seed 2 of strong failed at step 40. Four
 * samples of each prompt at steps 0, 50, 100. border = 0.4 + 0.01 prompt + 0.001 sample + 0.01 seed + gain * step/100
 * * (1 + 0.1 seed), gain 0, 0.005, 0.05, 0.2; glyph  = 1, but for strong at step 100: 0 where (prompt + sample + seed)
 * is a multiple of 3 diversity = 0.2 - gain/2 * step/100 + 0.001 seed; ikl = 20 gain (1 + 0.1 seed) at step 100 glyph
 * of cfg-only's seed 0, prompt 0, sample 0 at step 100 is NaN. Every step has train/reward.border, with one NaN. */
dipp_status fill_report_store(dipp_store *store, const char *folder, dipp_error *error);

#endif
