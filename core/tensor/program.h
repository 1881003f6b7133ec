/* From a recording to something that runs.
 *
 *   program     a recording with dead nodes removed and kernels prepared on one back-end; no memory, no bindings
 *   plan        the iteration: which segments of which programs run in which order, what they share, and where every
 *               temporary lies in one arena. Loops are counted once.
 *   executable  a program with its plan's memory and a parameter set bound to each slot: replaying it neither allocates
 *               nor looks at a shape
 *
 * Lifetime: graph >= program creation; back-end >= program >= plan >= executable; parameter sets >= executable. */
#ifndef DIPP_TENSOR_PROGRAM_H
#define DIPP_TENSOR_PROGRAM_H

#include "tensor/parameter_set.h"

typedef struct dipp_program dipp_program;
typedef struct dipp_plan dipp_plan;
typedef struct dipp_executable dipp_executable;

/* ---- Programs ---- */

/* Takes the recording's content (the graph is destroyed and set to NULL, also on failure). */
dipp_status dipp_program_create(dipp_graph **graph, dipp_backend *backend, dipp_program **out, dipp_error *error);
void dipp_program_destroy(dipp_program **program);
const char *dipp_program_name(const dipp_program *program);
uint32_t dipp_program_segments(const dipp_program *program);
size_t dipp_program_node_count(const dipp_program *program, uint32_t segment);
/* Multiplications and additions of the matrix products and attentions of a segment: the useful work, without what is
 * computed a second time. */
double dipp_program_flops(const dipp_program *program, uint32_t segment);
/* The same of what is computed a second time (dipp_graph_recompute_blocks). */
double dipp_program_recomputed_flops(const dipp_program *program, uint32_t segment);
/* Shape and dtype of a named input or output. */
dipp_status dipp_program_find(const dipp_program *program, const char *name, dipp_dtype *dtype, dipp_shape *shape,
                              dipp_error *error);

/* ---- The plan of an iteration ---- */

dipp_status dipp_plan_create(dipp_backend *backend, dipp_plan **out, dipp_error *error);
void dipp_plan_destroy(dipp_plan **plan);

/* Appends a step: this segment of this program runs here. A segment may run at several steps. */
dipp_status dipp_plan_step(dipp_plan *plan, dipp_program *program, uint32_t segment, dipp_error *error);

/* A buffer that programs share. transient: its content matters only from the first to the last step that touches it,
 * so its memory may serve others outside; otherwise it lives through the whole iteration (what the host writes or reads). */
typedef struct dipp_buffer {
    uint32_t id;
} dipp_buffer;
dipp_status dipp_plan_buffer(dipp_plan *plan, const char *name, dipp_dtype dtype, dipp_shape shape, bool transient,
                             dipp_buffer *out, dipp_error *error);

/* A program's named input reads from, or its named output writes to, the buffer. Unconnected ones get memory of their own
 * that lives through the iteration. */
dipp_status dipp_plan_connect(dipp_plan *plan, dipp_program *program, const char *name, dipp_buffer buffer,
                              dipp_error *error);

typedef struct dipp_plan_report {
    size_t arena_bytes;     /* what build allocates for temporaries and buffers */
    size_t temporaries_sum; /* what they would need without sharing */
    size_t constant_bytes;
    size_t peak_bytes; /* most alive at one node; arena_bytes minus this is fragmentation */
    const char *peak_program;
    const char *peak_op;
    size_t peak_step, values;
} dipp_plan_report;

/* What dipp_plan_allocate allocates. */
size_t dipp_plan_bytes(const dipp_plan_report *report);

/* Places everything. limit: most bytes the arena may take, 0 for none; when it does not fit the error says what would. */
dipp_status dipp_plan_solve(dipp_plan *plan, size_t limit, dipp_plan_report *report, dipp_error *error);
/* Allocates the arena and uploads constants. */
dipp_status dipp_plan_allocate(dipp_plan *plan, dipp_error *error);

/* Host access to a buffer; count must be its number of elements. */
void dipp_buffer_write(dipp_plan *plan, dipp_buffer buffer, const void *host, dipp_host_type type, size_t count);
void dipp_buffer_read(dipp_plan *plan, dipp_buffer buffer, void *host, dipp_host_type type, size_t count);
void dipp_buffer_clear(dipp_plan *plan, dipp_buffer buffer); /* all zeros */

/* ---- Executables ---- */

typedef struct dipp_binding {
    dipp_parameter_set *set;
    dipp_parameter_set *ema; /* where the optimizer keeps the average, or NULL */
} dipp_binding;

/* bindings[i] belongs to the i-th slot of the recording, in order of dipp_graph_slot calls. */
dipp_status dipp_executable_create(dipp_plan *plan, dipp_program *program, const dipp_binding *bindings,
                                   uint32_t binding_count, dipp_executable **out, dipp_error *error);
void dipp_executable_destroy(dipp_executable **executable);

/* Replays a segment. */
void dipp_execute(dipp_executable *executable, uint32_t segment);

/* Seconds, calls and flops by op; filled by dipp_execute_timed, which synchronises after every node. */
typedef struct dipp_ledger {
    double seconds[DIPP_OP_COUNT], flops[DIPP_OP_COUNT];
    uint64_t calls[DIPP_OP_COUNT];
} dipp_ledger;
void dipp_execute_timed(dipp_executable *executable, uint32_t segment, dipp_ledger *ledger);
/* dipp_execute, or dipp_execute_timed when ledger is not NULL. */
void dipp_execute_maybe_timed(dipp_executable *executable, uint32_t segment, dipp_ledger *ledger);

/* Host access to a named input or output of a program that is not connected to a buffer, or is. */
dipp_status dipp_executable_write(dipp_executable *executable, const char *name, const void *host, dipp_host_type type,
                                  size_t count, dipp_error *error);
dipp_status dipp_executable_read(dipp_executable *executable, const char *name, void *host, dipp_host_type type,
                                 size_t count, dipp_error *error);

#endif
