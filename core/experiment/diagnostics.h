/* Collects every fault of an experiment, so that a person repairs a file once and not fault by fault. */
#ifndef DIPP_EXPERIMENT_DIAGNOSTICS_H
#define DIPP_EXPERIMENT_DIAGNOSTICS_H

#include "experiment/yaml_tree.h"

typedef enum dipp_severity { DIPP_SEVERITY_ERROR, DIPP_SEVERITY_WARNING } dipp_severity;

/* What is known of a fault besides its sentence; every field may be NULL or zero. Texts are copied. */
typedef struct dipp_fault {
    dipp_severity severity;
    const dipp_mark *mark;
    const char *path;     /* align.ta.updates */
    const char *expected; /* type, range or allowed values */
    const char *word;     /* what was written where one of `names` was expected: did you mean the nearest? */
    const char *const *names;
    size_t name_count;
    const char *elsewhere; /* to be proposed when no name is near */
    const char *hint;      /* the remedy, a sentence */
} dipp_fault;

/* NULL when memory is out. [any thread] */
dipp_diagnostics *dipp_diagnostics_create(void);
void dipp_diagnostics_destroy(dipp_diagnostics **diagnostics);

/* Renders `file:line:col: message`, the source line with an underline, and what the fault tells. A fault that renders
 * exactly as an earlier one is not added again. At most 50 faults are kept in full, the rest is counted.
 * [one thread at a time] */
void dipp_diagnostics_add(dipp_diagnostics *diagnostics, const dipp_fault *fault, const char *format, ...)
    DIPP_PRINTF(3, 4);

size_t dipp_diagnostics_errors(const dipp_diagnostics *diagnostics);
size_t dipp_diagnostics_warnings(const dipp_diagnostics *diagnostics);

/* Every fault in order of source, line and column, one blank line between two; "" when there is none. Owned by
 * diagnostics until the next call. NULL when memory is out. */
const char *dipp_diagnostics_text(dipp_diagnostics *diagnostics);

/* `file:line:col` of a mark, or the name of an override, or "default". */
void dipp_mark_describe(const dipp_mark *mark, char *out, size_t bytes);

#endif
