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
    bool recomputed; /* a node of a block, recorded again for the backward pass */
} dipp_node;

/* Nodes first to end - 1. */
typedef struct dipp_node_range {
    size_t first, end;
} dipp_node_range;

enum { DIPP_MAX_ADAPTER_TARGETS = 32 };

/* Low-rank adaptation: y = base(x) + (alpha/rank) B(A x) for every layer that is meant. */
typedef struct dipp_lora_options {
    uint32_t rank; /* of A and B; 0: nothing is adapted */
    double alpha;
    /* A layer is meant when a target is its name or the end of its name after a dot. Not copied. */
    const char *targets[DIPP_MAX_ADAPTER_TARGETS];
    uint32_t target_count;
} dipp_lora_options;

/* What adapts the layers of a slot, and what it was asked for so far. */
typedef struct dipp_adapter {
    dipp_lora_options options;
    uint32_t overlay; /* the slot of A and B */
    bool met[DIPP_MAX_ADAPTER_TARGETS];
    const char **layers; /* full names of the layers recorded through the slot */
    size_t layer_count, layer_capacity;
} dipp_adapter;

typedef struct dipp_slot {
    const char *name;
    dipp_layout *layout; /* not owned */
    bool trainable;
    dipp_adapter *adapter; /* NULL: parameters are taken as they are; owned by the arena, its list by the graph */
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
    dipp_node_range *blocks; /* in order, apart from each other */
    size_t block_count, block_capacity;
    uint32_t block_depth;     /* blocks begun and not ended; the outermost is the last of blocks */
    bool recompute;           /* dipp_gradients computes blocks again */
    bool shares;              /* equal operations are recorded once (share.c) */
    uint32_t *shared_buckets; /* open hash of what was recorded meanwhile: index of the node + 1, 0 empty */
    size_t shared_bucket_count, shared_count;
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

/* From here on dipp_linear and dipp_conv2d through the slot base, for the layers that options mean, declare NAME.lora_A.weight
 * [rank, in(, k, k)] and NAME.lora_B.weight [out, rank(, 1, 1)] in the layout of the slot overlay and add (alpha/rank) B(A x) to
 * what they give. A starts as PEFT's does, uniform within 1/sqrt(in k k), and B at zero. Errors: no rank, no targets, slots that
 * are none or the same. */
void dipp_graph_adapt(dipp_graph *g, dipp_params base, dipp_params overlay, const dipp_lora_options *options);
/* Once the network of an adapted slot is recorded: a target that means none of its layers is an error that lists them. */
void dipp_graph_check_adapter(dipp_graph *g, dipp_params base);

/* What is recorded from here on is replayed by a call of its own (dipp_execute of the next segment). */
void dipp_graph_begin_segment(dipp_graph *g);

/* Whether dipp_gradients, from here on, computes the blocks of the recording (dipp_block_begin) a second time before it
 * differentiates them, so that between forward and backward only what leaves a block is kept. Changes no value. */
void dipp_graph_recompute_blocks(dipp_graph *g, bool recompute);

/* Whether an operation recorded from here on that equals one recorded since it was switched on (kind, operands, attributes,
 * segment; equal parameters are those of one slot) is that one. What has an effect is never shared, outputs stay values of their
 * own, and dipp_gradients records as if it were off, so that blocks can be computed again. */
void dipp_graph_share_equal(dipp_graph *g, bool share);

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
/* x itself when it has this shape, as a plugin has to record it; else fails, naming who gave it, and returns DIPP_NONE. */
dipp_tensor dipp_expect_shape(dipp_graph *g, dipp_tensor x, const dipp_shape *expected, const char *who);
/* The same, and that it is of compute or wide numbers. */
bool dipp_usable_float(dipp_graph *g, dipp_tensor x, const char *what);
/* Declares the parameters of a layer under its name and its other names: weight of the given shape [out, in, ...] and,
 * unless options->no_bias, bias [out]; writes them to weight_and_bias[0] and [1]. */
void dipp_layer_parameters(dipp_graph *g, dipp_params p, const char *name, dipp_shape shape,
                           const dipp_linear_options *options, dipp_tensor *weight_and_bias);
/* One parameter of a layer: NAME.part, which older files call ALIAS.part. */
dipp_tensor dipp_layer_parameter(dipp_graph *g, dipp_params p, const char *name, const char *part, dipp_shape shape,
                                 dipp_param_options options, const char *const *layer_aliases);
/* y, or y + (alpha/rank) B(A x) when the slot of p adapts the layer. x as the layer takes it (compute); weight: the shape of
 * the layer's own, of rank 2 for a linear layer and 4 for a convolution, whose stride and padding are in attributes. */
dipp_tensor dipp_adapt_layer(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, dipp_tensor y,
                             dipp_shape weight, const dipp_attributes *attributes, const char *const *aliases);
/* Where the graph shares: the outputs of an equal node recorded before (share.c); the last node is remembered (false: no memory);
 * an equal constant, or none. */
bool dipp_share_find(const dipp_graph *g, const dipp_node *node, const dipp_dtype *dtypes, const dipp_shape *shapes,
                     dipp_tensor *outputs);
bool dipp_share_note(dipp_graph *g);
dipp_tensor dipp_share_constant(const dipp_graph *g, const dipp_shape *shape, const double *data);
const dipp_value *dipp_value_of(const dipp_graph *g, dipp_tensor x);
/* The value that owns the storage of id, following views. */
uint32_t dipp_storage_of(const dipp_graph *g, uint32_t id);
bool dipp_same_shape(const dipp_shape *a, const dipp_shape *b);
/* "[2, 3]" in a rotating set of small buffers owned by the caller's text. */
const char *dipp_shape_text(const dipp_shape *shape, char *out, size_t size);
/* Sums x over the axes in which target is smaller, so that it has target's shape: the gradient of broadcasting. */
dipp_tensor dipp_sum_to(dipp_graph *g, dipp_tensor x, dipp_shape target);

#endif
