/* The prompts of a run: from the emoji world, a file, or the experiment itself. */
#ifndef DIPP_EXPERIMENT_RUN_PROMPTS_H
#define DIPP_EXPERIMENT_RUN_PROMPTS_H

#include "base/sha256.h"
#include "data/prompts.h"
#include "experiment/config.h"
#include "store/store.h"

typedef struct dipp_run_prompts {
    const char *name;    /* of the set, for the store */
    dipp_prompt_set set; /* texts and what they name; at least one prompt, "" when none are configured */
    const char **texts;  /* [count], the same texts */
    uint32_t count;
    bool configured;                    /* false: the single null prompt stands in */
    bool at_most;                       /* a count above what there is takes all */
    char sha256[DIPP_SHA256_HEX_BYTES]; /* of the texts, and of their categories where there are any */
} dipp_run_prompts;

/* Reads the section ("prompts" or "evaluate.prompts"). world may be NULL where set is not emoji. Errors as of
 * data/prompts.h; DIPP_E_INVALID for an unknown set or split, or a count above what there is. */
dipp_status dipp_run_prompts_read(const dipp_config *config, const char *section, const dipp_emoji_world *world,
                                  dipp_run_prompts *prompts, dipp_error *error);
/* Those to evaluate with: evaluate.prompts, else the ones to train with. */
dipp_status dipp_run_prompts_read_evaluation(const dipp_config *config, const dipp_emoji_world *world,
                                             dipp_run_prompts *prompts, dipp_error *error);
/* Those that the monitor draws: the first of monitor.prompts, else of the ones to train with. */
dipp_status dipp_run_prompts_read_monitor(const dipp_config *config, const dipp_emoji_world *world,
                                          dipp_run_prompts *prompts, dipp_error *error);
/* The same of a file outside any configuration; path is kept as the set's name, borrowed. */
dipp_status dipp_run_prompts_from_file(const char *path, dipp_run_prompts *prompts, dipp_error *error);
void dipp_run_prompts_clear(dipp_run_prompts *prompts);

/* Finds or adds the set in the store, with what each prompt names in the world (NULL: nothing is known). */
dipp_status dipp_run_prompts_store(const dipp_run_prompts *prompts, const dipp_emoji_world *world, dipp_store *store,
                                   int64_t *prompt_set_id, dipp_error *error);

#endif
