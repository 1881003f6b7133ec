#include "train/scores.h"

#include "train/claims.h"

#include <stddef.h>

bool dipp_reward_encodes(const dipp_reward *vtable)
{
    size_t needed = offsetof(dipp_reward, record_encoded) + sizeof vtable->record_encoded;
    return vtable->struct_size >= needed && vtable->encode_text && vtable->record_encoded;
}

dipp_tensor dipp_record_scores(const dipp_reward *vtable, void *self, dipp_graph *g, dipp_params p, dipp_tensor samples,
                               dipp_prompt text, dipp_reward_mode mode)
{
    if (!dipp_reward_encodes(vtable))
        return vtable->record(self, g, p, samples, text, mode);
    dipp_condition c = vtable->encode_text(self, g, p, text);
    return vtable->record_encoded(self, g, p, samples, dipp_expect_condition(g, c, dipp_dim(g, samples, 0)), mode);
}
