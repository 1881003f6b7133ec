/* Cases of attention and its backward: head dims 8 to 512, single queries and keys, causal, masked keys, equal rows,
 * large logits, zeros, and samples whose keys are all masked (must stay finite). */
#include "case_builder.h"

#include <math.h>

enum { PLAIN = 0, CAUSAL = 1, MASKED = 2, EQUAL = 4, LARGE = 8, ZEROS = 16, ALL_MASKED = 32, BIASED = 64 };

typedef struct attention_row {
    int64_t batch, queries, keys, heads, head_dim;
    int flags;
} attention_row;

static const attention_row rows[] = {{1, 1, 1, 1, 8, PLAIN},
                                     {2, 5, 7, 2, 16, MASKED},
                                     {1, 77, 77, 2, 64, CAUSAL},
                                     {2, 16, 16, 3, 24, PLAIN},
                                     {1, 33, 77, 2, 40, MASKED},
                                     {2, 64, 64, 4, 32, PLAIN},
                                     {1, 17, 17, 2, 72, CAUSAL | MASKED},
                                     {1, 4, 9, 1, 160, PLAIN},
                                     {1, 3, 5, 1, 512, PLAIN},
                                     {2, 31, 1, 2, 8, PLAIN},
                                     {1, 1, 64, 2, 32, MASKED},
                                     {2, 9, 11, 2, 16, EQUAL},
                                     {2, 9, 11, 2, 16, LARGE},
                                     {1, 9, 11, 2, 16, LARGE | MASKED},
                                     {1, 6, 6, 2, 8, ZEROS | CAUSAL},
                                     {3, 19, 23, 1, 32, BIASED},
                                     {2, 5, 7, 2, 16, ALL_MASKED}};
static const attention_row large_row = {16, 256, 256, 4, 64, PLAIN};

static void fill_tokens(case_builder *b, double *x, int64_t tokens, int64_t width, int flags, double scale)
{
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t i = 0; i < width; i++) {
            if (t > 0 && (flags & EQUAL))
                x[t * width + i] = x[i];
            else
                x[t * width + i] = flags & ZEROS ? 0 : (float)(scale * random_normal(b));
        }
}

static op_case *attention_case(case_builder *b, const attention_row *row)
{
    op_case *c = add_case(b, "heads %d flags %d", (int)row->heads, row->flags);
    int64_t width = row->heads * row->head_dim;
    dipp_shape q = DIPP_SHAPE(row->batch, row->queries, width), k = DIPP_SHAPE(row->batch, row->keys, width);
    double scale = row->flags & LARGE ? 5 : 1;
    fill_tokens(b, add_input(c, DIPP_COMPUTE, q), row->batch * row->queries, width, row->flags, scale);
    fill_tokens(b, add_input(c, DIPP_COMPUTE, k), row->batch * row->keys, width, row->flags, scale);
    add_normal(b, c, DIPP_COMPUTE, k, 0, 1);
    if (row->flags & (MASKED | ALL_MASKED | BIASED)) {
        double *bias = add_input(c, DIPP_WIDE, DIPP_SHAPE(row->batch, row->keys));
        for (int64_t j = 0; j < row->batch * row->keys; j++) {
            if (row->flags & BIASED)
                bias[j] = (float)random_normal(b);
            else if (row->flags & ALL_MASKED)
                bias[j] = -1e9;
            else /* the first key of a sample is always seen */
                bias[j] = j % row->keys && random_below(b, 2) ? -1e9 : 0;
        }
    } else {
        add_absent(c);
    }
    c->attributes.heads = (uint32_t)row->heads;
    c->attributes.alpha = 1 / sqrt((double)row->head_dim);
    c->attributes.causal = row->flags & CAUSAL;
    c->terms = row->head_dim > row->keys ? row->head_dim : row->keys;
    c->rule = row->flags & ALL_MASKED ? OP_FINITE : OP_CLOSE;
    /* products, an exponential and products again; and one rounding of a logit of a hundred moves its weight by 1e-5 */
    c->slack = row->flags & LARGE ? 4 : 2;
    return c;
}

static void attention_rows(case_builder *b)
{
    for (size_t k = 0; k < (b->bench ? 1 : COUNT_OF(rows)); k++) {
        const attention_row *row = b->bench ? &large_row : &rows[k];
        op_case *c = attention_case(b, row);
        add_output(c, DIPP_COMPUTE, c->view.inputs[0].shape);
        add_output(c, DIPP_WIDE, DIPP_SHAPE(row->batch, row->heads, row->queries));
    }
}

static void attention_backward_rows(case_builder *b)
{
    for (size_t k = 0; k < (b->bench ? 1 : COUNT_OF(rows)); k++) {
        const attention_row *row = b->bench ? &large_row : &rows[k];
        op_case *c = attention_case(b, row);
        dipp_node_view forward = c->view;
        forward.op = DIPP_OP_ATTENTION;
        forward.output_count = 2;
        forward.outputs[0] = c->view.inputs[0];
        forward.outputs[1] = (dipp_operand){true, DIPP_WIDE, DIPP_SHAPE(row->batch, row->heads, row->queries)};
        double *o = add_input(c, DIPP_COMPUTE, forward.outputs[0].shape);
        double *logsumexp = add_input(c, DIPP_WIDE, forward.outputs[1].shape);
        op_run_oracle(b->oracle, &forward, (void *const *)c->inputs, (void *[]){o, logsumexp});
        for (int64_t i = 0; i < op_elements(&forward.outputs[0]); i++)
            o[i] = (float)o[i];
        for (int64_t i = 0; i < op_elements(&forward.outputs[1]); i++)
            logsumexp[i] = (float)logsumexp[i];
        add_normal(b, c, DIPP_COMPUTE, c->view.inputs[0].shape, 0, 1);
        add_output(c, DIPP_COMPUTE, c->view.inputs[0].shape);
        add_output(c, DIPP_COMPUTE, c->view.inputs[1].shape);
        add_output(c, DIPP_COMPUTE, c->view.inputs[2].shape);
        if (row->queries > c->terms)
            c->terms = row->queries;
    }
}

case_rows cases_of_attention(dipp_op op)
{
    if (op == DIPP_OP_ATTENTION)
        return attention_rows;
    return op == DIPP_OP_ATTENTION_BACKWARD ? attention_backward_rows : NULL;
}
