/* A reward's scores, whichever of the two ways its plugin records them. */
#ifndef DIPP_TRAIN_SCORES_H
#define DIPP_TRAIN_SCORES_H

#include <dipp/plugin.h>

/* Whether the vtable has encode_text and record_encoded; an older one ends before them. [any thread] */
bool dipp_reward_encodes(const dipp_reward *vtable);

/* samples [N, ...] with their prompts (tokens [N, L], mask [N, L]; nothing where the reward takes no text) -> scores [N], as
 * the plugin gives them: a caller that cannot trust it looks at the shape. [one thread at a time per graph] */
dipp_tensor dipp_record_scores(const dipp_reward *vtable, void *self, dipp_graph *g, dipp_params p, dipp_tensor samples,
                               dipp_prompt text, dipp_reward_mode mode);

#endif
