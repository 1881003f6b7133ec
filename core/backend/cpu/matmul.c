/* Matrix products of the op table as oneDNN products on the operands where they lie: transposes are strides. Operands
 * of unlike types (rare: a wide gradient against a compute activation) are first widened into scratch. */
#include "backend/cpu/onednn.h"
#include "base/memory.h"

/* OPERANDS: a, b, bias. From PACKED_ROWS on, packing a weight costs less than it saves. */
enum { OPERANDS = 3, PACKED_ROWS = 1024 };

typedef struct matmul_state {
    dipp_cpu_matmul *matmul;
    int argument[OPERANDS], out_argument; /* -1: absent */
    dipp_kernel widen[OPERANDS];          /* run is NULL where the operand is used as it is */
    size_t offset[OPERANDS], library;     /* of the widened operands and oneDNN's scratchpad in scratch */
} matmul_state;

static void run(void *state, void *const *args)
{
    matmul_state *s = state;
    const void *operand[OPERANDS];
    char *scratch = args[s->out_argument + 1];
    for (int i = 0; i < OPERANDS; i++) {
        operand[i] = s->argument[i] < 0 ? NULL : args[s->argument[i]];
        if (!s->widen[i].run)
            continue;
        void *widen_args[] = {(void *)operand[i], scratch + s->offset[i], NULL};
        s->widen[i].run(s->widen[i].state, widen_args);
        operand[i] = scratch + s->offset[i];
    }
    dipp_cpu_matmul_run(s->matmul, operand[0], operand[1], operand[2], args[s->out_argument], scratch + s->library);
}

static void destroy(void *state)
{
    matmul_state *s = state;
    for (int i = 0; i < OPERANDS; i++)
        if (s->widen[i].destroy)
            s->widen[i].destroy(s->widen[i].state);
    dipp_release(s);
}

static int64_t rows_before(const dipp_shape *shape, uint32_t trailing)
{
    int64_t rows = 1;
    for (uint32_t d = 0; d + trailing < shape->rank; d++)
        rows *= shape->dims[d];
    return rows;
}

static dipp_cpu_product shape_matmul(const dipp_node_view *node)
{
    const dipp_shape *a = &node->inputs[0].shape, *b = &node->inputs[1].shape;
    const dipp_attributes *attributes = node->attributes;
    int64_t a0 = a->dims[a->rank - 2], a1 = a->dims[a->rank - 1], b0 = b->dims[b->rank - 2], b1 = b->dims[b->rank - 1];
    dipp_cpu_product p = {.batch = rows_before(a, 2), .a_batch = a0 * a1};
    p.m = attributes->transpose_a ? a1 : a0;
    p.k = attributes->transpose_a ? a0 : a1;
    p.n = attributes->transpose_b ? b0 : b1;
    p.a_row = attributes->transpose_a ? 1 : a1;
    p.a_col = attributes->transpose_a ? a1 : 1;
    p.b_row = attributes->transpose_b ? 1 : b1;
    p.b_col = attributes->transpose_b ? b1 : 1;
    p.b_batch = b->rank > 2 ? b0 * b1 : 0;
    if (b->rank == 2 && !attributes->transpose_a) {
        p.m *= p.batch;
        p.batch = 1;
    }
    return p;
}

static dipp_cpu_product shape_linear(const dipp_node_view *node)
{
    const dipp_shape *x = &node->inputs[0].shape, *w = &node->inputs[1].shape;
    return (dipp_cpu_product){.batch = 1,
                              .m = rows_before(x, 1),
                              .n = w->dims[0],
                              .k = w->dims[1],
                              .a_row = w->dims[1],
                              .a_col = 1,
                              .b_row = 1,
                              .b_col = w->dims[1]};
}

/* out [O, I] = dy^T x: A is dy [rows, O] turned, B is x [rows, I]. */
static dipp_cpu_product shape_backward_weight(const dipp_node_view *node)
{
    const dipp_shape *x = &node->inputs[0].shape, *w = &node->outputs[0].shape;
    return (dipp_cpu_product){.batch = 1,
                              .m = w->dims[0],
                              .n = w->dims[1],
                              .k = rows_before(x, 1),
                              .a_row = 1,
                              .a_col = w->dims[0],
                              .b_row = w->dims[1],
                              .b_col = 1};
}

/* Has the operand widened into scratch; offset is the scratch used so far. */
static dipp_status widen_operand(dipp_cpu_context *context, const dipp_operand *operand, matmul_state *s, int which,
                                 size_t *offset, dipp_error *error)
{
    static const dipp_attributes none;
    dipp_node_view cast = {.op = DIPP_OP_CAST, .input_count = 1, .output_count = 1, .attributes = &none};
    cast.inputs[0] = cast.outputs[0] = *operand;
    cast.outputs[0].dtype = DIPP_WIDE;
    s->offset[which] = *offset;
    *offset += dipp_cpu_round_up((size_t)dipp_cpu_elements(&operand->shape) * sizeof(float));
    return context->level->elementwise(context, &cast, &s->widen[which], error);
}

dipp_status dipp_cpu_prepare_matmul(dipp_cpu_context *context, const dipp_node_view *node, dipp_kernel *out,
                                    dipp_error *error)
{
    matmul_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    out->destroy = destroy;
    bool is_weight = node->op == DIPP_OP_LINEAR_BACKWARD_WEIGHT;
    dipp_cpu_product p = node->op == DIPP_OP_MATMUL ? shape_matmul(node)
                         : is_weight                ? shape_backward_weight(node)
                                                    : shape_linear(node);
    s->argument[0] = is_weight ? 1 : 0;
    s->argument[1] = is_weight ? 0 : 1;
    s->argument[2] = node->op == DIPP_OP_LINEAR && node->input_count > 2 && node->inputs[2].present ? 2 : -1;
    s->out_argument = (int)node->input_count;
    dipp_cpu_type a = dipp_cpu_type_of(context, node->inputs[0].dtype);
    dipp_cpu_type b = dipp_cpu_type_of(context, node->inputs[1].dtype);
    p.ab_type = a == b ? (int32_t)a : DIPP_CPU_F32;
    p.c_type = (int32_t)dipp_cpu_type_of(context, node->outputs[0].dtype);
    p.accumulate = node->attributes->accumulate;
    p.packed = node->op == DIPP_OP_LINEAR && p.m >= PACKED_ROWS && !p.accumulate;
    size_t offset = 0;
    dipp_status status = DIPP_OK;
    for (int i = 0; i < OPERANDS && status == DIPP_OK; i++) {
        if (s->argument[i] < 0)
            continue;
        const dipp_operand *operand = &node->inputs[s->argument[i]];
        dipp_cpu_type type = dipp_cpu_type_of(context, operand->dtype);
        if (i == 2)
            p.has_bias = 1, p.bias_type = (int32_t)(p.ab_type == DIPP_CPU_F32 ? DIPP_CPU_F32 : type);
        if (p.ab_type == DIPP_CPU_F32 && type == DIPP_CPU_BF16)
            status = widen_operand(context, operand, s, i, &offset, error);
    }
    if (status == DIPP_OK)
        status = dipp_cpu_matmul_get(context->onednn, &p, &s->matmul, error);
    if (status != DIPP_OK) {
        destroy(s);
        *out = (dipp_kernel){0};
        return status;
    }
    s->library = offset;
    out->scratch_bytes = dipp_cpu_round_up(offset + dipp_cpu_matmul_scratch(s->matmul));
    out->run = run;
    return DIPP_OK;
}
