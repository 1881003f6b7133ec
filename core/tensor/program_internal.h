/* Shared by program.c, plan.c and executable.c. */
#ifndef DIPP_TENSOR_PROGRAM_INTERNAL_H
#define DIPP_TENSOR_PROGRAM_INTERNAL_H

#include "tensor/program.h"

enum { DIPP_MAX_SEGMENTS = 8 };

/* A live node, in order of replay. */
typedef struct dipp_instruction {
    uint32_t node; /* index into graph->nodes */
    dipp_kernel kernel;
    double flops;
} dipp_instruction;

struct dipp_program {
    dipp_graph *graph; /* owned */
    dipp_backend *backend;
    dipp_instruction *instructions[DIPP_MAX_SEGMENTS];
    size_t counts[DIPP_MAX_SEGMENTS];
    bool *read;         /* by value: some live node reads it (or a view of it), or it is a named output */
    uint32_t *last_use; /* [value * segments + segment]: 1 + index of the last instruction that touches it; 0 never */
    uint32_t segments;
};

/* The named input or output, or 0. */
uint32_t dipp_program_value(const dipp_program *program, const char *name);
/* What the back-end is told about a node. */
void dipp_node_view_of(const dipp_graph *g, const dipp_node *node, dipp_node_view *view);
double dipp_node_flops(const dipp_node_view *view);

typedef struct dipp_interval {
    uint32_t first, last; /* positions in the iteration, inclusive */
} dipp_interval;

/* Something that needs arena memory: a temporary, a scratchpad or a shared buffer. */
typedef struct dipp_item {
    size_t bytes, offset;
    uint32_t interval_start, interval_count; /* into plan->intervals; 0 intervals of a whole item */
    bool whole;                              /* lives through the iteration */
} dipp_item;

typedef struct dipp_plan_program {
    dipp_program *program;
    int32_t *value_items;                      /* by value: item index or -1 */
    int32_t *value_buffers;                    /* by value: buffer index or -1 */
    int32_t *scratch_items[DIPP_MAX_SEGMENTS]; /* by instruction: item index or -1 */
    size_t *constant_offsets;                  /* by value, into constants */
    void *constants;                           /* device, owned */
    size_t constant_bytes;
} dipp_plan_program;

typedef struct dipp_plan_step_record {
    uint32_t program, segment, base; /* base: position of its first instruction */
} dipp_plan_step_record;

typedef struct dipp_plan_buffer_record {
    char *name;
    dipp_dtype dtype;
    dipp_shape shape;
    bool transient;
    uint32_t item;
} dipp_plan_buffer_record;

struct dipp_plan {
    dipp_backend *backend;
    dipp_plan_program *programs;
    size_t program_count, program_capacity;
    dipp_plan_step_record *steps;
    size_t step_count, step_capacity;
    dipp_plan_buffer_record *buffers;
    size_t buffer_count, buffer_capacity;
    dipp_item *items;
    size_t item_count, item_capacity;
    dipp_interval *intervals;
    size_t interval_count, interval_capacity;
    uint32_t positions;
    size_t arena_bytes;
    char *arena; /* device, owned */
    bool solved;
};

/* The plan's record of a program, or NULL when no step runs it. */
dipp_plan_program *dipp_plan_find(const dipp_plan *plan, const dipp_program *program);

#endif
