/* What this process takes of the machine's memory, and what there is of it. */
#ifndef DIPP_BASE_RESIDENT_H
#define DIPP_BASE_RESIDENT_H

#include <stddef.h>

/* Physical memory now, and the most so far, in bytes: code, libraries and files that are mapped count as far as they have
 * been touched. What malloc keeps of released memory is given back first, so that two answers can be compared. 0 where
 * the system does not say. [any thread] */
size_t dipp_resident_now(void);
size_t dipp_resident_most(void);

/* Memory of the machine that can be had without swapping, and all of it, in bytes; 0 where the system does not say.
 * [any thread] */
void dipp_machine_memory(size_t *available, size_t *total);

#endif
