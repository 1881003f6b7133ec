/* Parameters that are not trained, by patterns of their names. In a pattern, * stands for any run of characters and {a..b}
 * for a whole number from a to b: vision_model.encoder.layers.{0..12}.* is the first thirteen blocks. */
#ifndef DIPP_TENSOR_FREEZE_H
#define DIPP_TENSOR_FREEZE_H

#include "tensor/layout.h"

/* Whether the pattern means the whole name. DIPP_E_INVALID: a brace that is no range of numbers; *matches is false then.
 * [any thread] */
dipp_status dipp_name_matches(const char *pattern, const char *name, bool *matches, dipp_error *error);

/* Marks the entries that a pattern means as DIPP_PARAM_FROZEN; the layout is not sealed yet. *count: how many it means.
 * DIPP_E_INVALID: a bad pattern, or one that means none, with the nearest name. */
dipp_status dipp_layout_freeze(dipp_layout *layout, const char *pattern, uint32_t *count, dipp_error *error);

#endif
