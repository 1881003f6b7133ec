/* Text from a file as a person may safely see it in a terminal. */
#ifndef DIPP_EXPERIMENT_VISIBLE_H
#define DIPP_EXPERIMENT_VISIBLE_H

#include "base/text.h"

/* Appends at most `limit` characters (then "..."): tabs and line feeds become spaces, other control characters and
 * broken UTF-8 become '?'. [one thread at a time] */
void dipp_text_append_visible(dipp_text *text, const char *addition, size_t bytes, size_t limit);

#endif
