/* A store whose runs kept pictures: experiment "faces", arms plain and bold with two seeds each, three prompts with two
 * samples at the last step, one of each prompt at step 0, and one of the reference. */
#ifndef DIPP_TESTS_LABEL_FIXTURE_H
#define DIPP_TESTS_LABEL_FIXTURE_H

#include "store/store.h"

enum { LABEL_PROMPTS = 3, LABEL_PICTURES = 2 * 2 * 2 /* of a prompt, at the last step */ };
extern const char label_experiment[];
extern const char *const label_prompts[LABEL_PROMPTS];

/* Writes store.db and its pictures into folder, which exists. */
dipp_status fill_label_store(const char *folder, dipp_error *error);

#endif
