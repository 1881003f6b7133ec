/* A recording: values and the nodes that make them, in the order they were recorded (which is a topological order).
 * The owner creates the graph, hands it to model code (dipp/tensor.h), asks for gradients, and gives it to a program. */
#ifndef DIPP_TENSOR_GRAPH_H
#define DIPP_TENSOR_GRAPH_H

#include "tensor/layout.h"
#include "tensor/op.h"

struct dipp_arena;

typedef enum dipp_value_kind {
    DIPP_VALUE_COMPUTED = 0, /* an output of a node */
    DIPP_VALUE_INPUT,
    DIPP_VALUE_CONSTANT,
    DIPP_VALUE_PARAMETER, /* one entry of a slot's set, master or compute copy by dtype */
    DIPP_VALUE_GRADIENT,  /* the gradient of one entry */
    DIPP_VALUE_BLOCK      /* a whole block of a slot's set */
} dipp_value_kind;

/* The contiguous blocks of a parameter set (which of them hold what: tensor/parameter_set.h). EMA is another set of the same layout: its master. */
typedef enum dipp_block {
    DIPP_BLOCK_MASTER = 0,
    DIPP_BLOCK_COMPUTE,
    DIPP_BLOCK_GRADIENT,
    DIPP_BLOCK_MOMENT1,
    DIPP_BLOCK_MOMENT2,
    DIPP_BLOCK_EMA,
    DIPP_BLOCK_COUNT
} dipp_block;

typedef struct dipp_value {
    dipp_value_kind kind;
    dipp_dtype dtype;
    dipp_shape shape;
    uint32_t node;      /* COMPUTED: producer, index into nodes */
    uint32_t output;    /* COMPUTED: which of its outputs */
    uint32_t slot;      /* PARAMETER, GRADIENT, BLOCK: 1-based */
    uint32_t entry;     /* PARAMETER, GRADIENT: index into the slot's layout */
    dipp_block block;   /* BLOCK */
    const char *name;   /* INPUT, and values given a name by dipp_output */
    const double *data; /* CONSTANT */
    uint32_t view_of;   /* the value whose storage this one shares (RESHAPE), or 0 */
    bool is_output;
} dipp_value;

typedef struct dipp_node {
    dipp_op op;
    uint32_t segment;
    uint32_t input_count, output_count;
    uint32_t inputs[DIPP_MAX_INPUTS];   /* value ids; 0 absent */
    uint32_t outputs[DIPP_MAX_OUTPUTS]; /* value ids */
    dipp_attributes attributes;
} dipp_node;

typedef struct dipp_slot {
    const char *name;
    dipp_layout *layout; /* not owned */
    bool trainable;
} dipp_slot;

struct dipp_graph {
    struct dipp_arena *arena;
    const char *name;
    dipp_value *values; /* [0] unused: id 0 is none */
    size_t value_count, value_capacity;
    dipp_node *nodes;
    size_t node_count, node_capacity;
    dipp_slot *slots; /* [0] unused */
    size_t slot_count, slot_capacity;
    const char **prefixes; /* [0] is "" */
    size_t prefix_count, prefix_capacity;
    uint32_t segments; /* number of segments begun, at least 1 */
    dipp_error error;  /* sticky */
    /* 0, or the most values there is memory for: by it the plugin kit makes each operation fail once. */
    size_t value_limit;
};

/* [one thread at a time] name appears in messages. */
dipp_status dipp_graph_create(const char *name, dipp_graph **out, dipp_error *error);
void dipp_graph_destroy(dipp_graph **graph);

/* DIPP_OK, or the first error of the recording. */
dipp_status dipp_graph_status(const dipp_graph *g, dipp_error *error);

/* A parameter set that the recording will be bound to. When trainable, dipp_gradients() accumulates into its gradient. */
dipp_params dipp_graph_slot(dipp_graph *g, const char *name, dipp_layout *layout, bool trainable);

/* What is recorded from here on is replayed by a call of its own (dipp_execute of the next segment). */
void dipp_graph_begin_segment(dipp_graph *g);

/* A whole block of a slot's set, [elements] wide (compute for DIPP_BLOCK_COMPUTE); the layout must be sealed. words above 0:
 * a block of so many int32 words. */
dipp_tensor dipp_state(dipp_graph *g, dipp_params slot, dipp_block block, size_t words);

/* Reverse mode. y[i] with the gradient dy[i] (none: y must be one number, gradient 1). Accumulates into the gradients of all
 * trainable slots and returns in wrt_gradients[j] the gradient to wrt[j] (zeros when y does not depend on it). First order
 * only: differentiating a fused backward op is an error that names it. */
void dipp_gradients(dipp_graph *g, uint32_t count, const dipp_tensor *y, const dipp_tensor *dy, uint32_t wrt_count,
                    const dipp_tensor *wrt, dipp_tensor *wrt_gradients);

struct dipp_parameter_set;

/* Records the update of a trainable slot from its gradient, in the formats of a set that will be bound to it: grad norm, then
 * one pass over each range of the layout. scalars [DIPP_OPT_SCALARS] wide; key int32 [6] where the set's formats round
 * at random (dipp_formats_round), else none; ema: whether the binding has an EMA set. Returns the grad norm's output
 * [2]. */
dipp_tensor dipp_record_optimizer(dipp_graph *g, dipp_params slot, const struct dipp_parameter_set *set,
                                  dipp_tensor scalars, dipp_tensor key, int optimizer, bool ema);

/* ---- For the recording files of this folder ---- */

/* Appends a node with one output of the given dtype and shape. Absent inputs are DIPP_NONE. */
dipp_tensor dipp_append(dipp_graph *g, dipp_op op, const dipp_tensor *inputs, uint32_t input_count,
                        const dipp_attributes *attributes, dipp_dtype dtype, dipp_shape shape);
/* Several outputs. */
void dipp_append_many(dipp_graph *g, dipp_op op, const dipp_tensor *inputs, uint32_t input_count,
                      const dipp_attributes *attributes, uint32_t output_count, const dipp_dtype *dtypes,
                      const dipp_shape *shapes, dipp_tensor *outputs);
/* Checks that x is a live handle of g; records an error naming what otherwise. */
bool dipp_usable(dipp_graph *g, dipp_tensor x, const char *what);
/* The same, and that it is of compute or wide numbers. */
bool dipp_usable_float(dipp_graph *g, dipp_tensor x, const char *what);
/* Declares the parameters of a layer under its name and its other names: weight of the given shape [out, in, ...] and,
 * unless options->no_bias, bias [out]; writes them to weight_and_bias[0] and [1]. */
void dipp_layer_parameters(dipp_graph *g, dipp_params p, const char *name, dipp_shape shape,
                           const dipp_linear_options *options, dipp_tensor *weight_and_bias);
const dipp_value *dipp_value_of(const dipp_graph *g, dipp_tensor x);
/* The value that owns the storage of id, following views. */
uint32_t dipp_storage_of(const dipp_graph *g, uint32_t id);
bool dipp_same_shape(const dipp_shape *a, const dipp_shape *b);
/* "[2, 3]" in a rotating set of small buffers owned by the caller's text. */
const char *dipp_shape_text(const dipp_shape *shape, char *out, size_t size);
/* Sums x over the axes in which target is smaller, so that it has target's shape: the gradient of broadcasting. */
dipp_tensor dipp_sum_to(dipp_graph *g, dipp_tensor x, dipp_shape target);

#endif
