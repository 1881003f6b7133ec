/* Nodes larger than the op suite's: rows wider than a warp takes, sums in several splits, attention over several tiles.
 * Runs on the back-end called cuda, whether a GPU or the stand-in; exit status 77 where there is neither.
 * argv[1]: the precision. */
#include "../tensor/case_builder.h"
#include "../tensor/op_check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void sums(case_builder *b)
{
    static const struct {
        dipp_shape shape;
        uint32_t mask;
    } rows[] = {{{2, {300, 5}}, 1}, {{2, {40000, 3}}, 1},   {{2, {3, 9000}}, 2},   {{2, {2, 1500}}, 2},
                {{1, {200000}}, 1}, {{3, {3, 130, 33}}, 2}, {{3, {130, 3, 7}}, 5}, {{4, {2, 200, 3, 4}}, 10}};
    for (size_t k = 0; k < COUNT_OF(rows); k++) {
        op_case *c = add_case(b, "mask %u", rows[k].mask);
        add_normal(b, c, (dipp_dtype)(k & 1), rows[k].shape, 0.25, 1);
        dipp_shape out = {0};
        for (uint32_t d = 0; d < rows[k].shape.rank; d++)
            if (rows[k].mask >> d & 1)
                c->terms *= rows[k].shape.dims[d];
            else
                out.dims[out.rank++] = rows[k].shape.dims[d];
        c->attributes.axes_mask = rows[k].mask;
        add_output(c, DIPP_WIDE, out);
    }
}

static void softmaxes(case_builder *b)
{
    static const int64_t widths[] = {1025, 5000};
    for (size_t k = 0; k < COUNT_OF(widths); k++) {
        dipp_shape shape = DIPP_SHAPE(3, widths[k]);
        op_case *c = add_case(b, "wide");
        double *x = add_normal(b, c, (dipp_dtype)(k & 1), shape, 0, 2);
        c->terms = widths[k];
        if (b->op == DIPP_OP_SOFTMAX_BACKWARD) {
            for (int64_t i = 0; i < 3 * widths[k]; i++)
                x[i] = (float)(exp(x[i]) / (double)widths[k]);
            add_normal(b, c, (dipp_dtype)(k & 1), shape, 0, 1);
        }
        add_output(c, (dipp_dtype)(k & 1), shape);
    }
}

static void norms(case_builder *b)
{
    static const struct {
        dipp_shape x;
        int gain; /* 0 none, 1 [C], 2 [B, C] */
    } rows[] = {{{3, {2, 300, 36}}, 1}, {{3, {2, 300, 36}}, 2}, {{2, {3, 1500}}, 1},
                {{2, {5, 1157}}, 2},    {{3, {1, 700, 33}}, 2}, {{2, {2, 4097}}, 0}};
    for (size_t k = 0; k < COUNT_OF(rows); k++) {
        op_case *c = add_case(b, "gain %d", rows[k].gain);
        const dipp_shape *shape = &rows[k].x;
        int64_t width = shape->dims[shape->rank - 1];
        double *x = add_normal(b, c, (dipp_dtype)(k & 1), *shape, 0.5, 1);
        int64_t count = op_elements(&c->view.inputs[0]) / width;
        dipp_shape gain = rows[k].gain == 1 ? DIPP_SHAPE(width) : DIPP_SHAPE(shape->dims[0], width);
        c->attributes.alpha = 1e-5;
        c->attributes.plus_one = k & 1;
        c->terms = width > count ? width : count;
        if (rows[k].gain)
            add_normal(b, c, DIPP_WIDE, gain, 1, 0.5);
        else
            add_absent(c);
        if (b->op == DIPP_OP_LAYER_NORM) {
            if (rows[k].gain)
                add_normal(b, c, DIPP_WIDE, gain, 0, 1);
            else
                add_absent(c);
            add_output(c, DIPP_COMPUTE, *shape);
            add_output(c, DIPP_WIDE, DIPP_SHAPE(count, 2));
            continue;
        }
        double *stats = add_input(c, DIPP_WIDE, DIPP_SHAPE(count, 2));
        for (int64_t row = 0; row < count; row++) {
            double mean = 0, variance = 0;
            for (int64_t i = 0; i < width; i++)
                mean += x[row * width + i] / (double)width;
            for (int64_t i = 0; i < width; i++)
                variance += pow(x[row * width + i] - mean, 2) / (double)width;
            stats[2 * row] = (float)mean;
            stats[2 * row + 1] = (float)(1 / sqrt(variance + 1e-5));
        }
        add_normal(b, c, DIPP_COMPUTE, *shape, 0, 1);
        add_output(c, (dipp_dtype)(k & 1), *shape);
        for (int i = 0; i < 2; i++)
            if (rows[k].gain)
                add_output(c, DIPP_WIDE, gain);
            else
                add_absent_output(c);
    }
}

static void gates(case_builder *b)
{
    static const dipp_shape shapes[] = {{3, {2, 300, 36}}, {3, {1, 700, 65}}, {4, {2, 20, 30, 8}}};
    bool backward = b->op == DIPP_OP_GATED_ADD_BACKWARD;
    for (size_t k = 0; k < COUNT_OF(shapes); k++) {
        const dipp_shape *shape = &shapes[k];
        dipp_shape gate = DIPP_SHAPE(shape->dims[0], shape->dims[shape->rank - 1]);
        op_case *c = add_case(b, "gated");
        if (!backward)
            add_normal(b, c, DIPP_COMPUTE, *shape, 0, 1);
        add_normal(b, c, (dipp_dtype)(k & 1), gate, 0, 1);
        add_normal(b, c, DIPP_COMPUTE, *shape, 0, 1);
        if (backward)
            add_normal(b, c, DIPP_COMPUTE, *shape, 0, 1);
        add_output(c, DIPP_COMPUTE, *shape);
        if (backward) {
            add_output(c, DIPP_WIDE, gate);
            c->terms = 700;
        }
    }
}

static void attentions(case_builder *b)
{
    static const struct {
        int64_t batch, queries, keys, heads, head_dim;
        bool causal, biased;
    } rows[] = {{1, 130, 200, 2, 80, false, false}, {1, 200, 200, 1, 160, true, false},
                {1, 70, 90, 1, 512, false, true},   {2, 129, 129, 2, 48, true, true},
                {1, 100, 150, 1, 128, false, true}, {1, 64, 128, 3, 32, false, false},
                {1, 150, 70, 2, 72, false, true},   {1, 130, 130, 1, 64, true, false},
                {1, 65, 97, 1, 96, false, false},   {1, 40, 40, 1, 12, true, false}};
    for (size_t k = 0; k < COUNT_OF(rows); k++) {
        int64_t width = rows[k].heads * rows[k].head_dim;
        dipp_shape q = DIPP_SHAPE(rows[k].batch, rows[k].queries, width),
                   kv = DIPP_SHAPE(rows[k].batch, rows[k].keys, width);
        dipp_shape lse = DIPP_SHAPE(rows[k].batch, rows[k].heads, rows[k].queries);
        op_case *c = add_case(b, "%d heads%s", (int)rows[k].heads, rows[k].causal ? " causal" : "");
        add_normal(b, c, DIPP_COMPUTE, q, 0, 1);
        add_normal(b, c, DIPP_COMPUTE, kv, 0, 1);
        add_normal(b, c, DIPP_COMPUTE, kv, 0, 1);
        if (rows[k].biased)
            add_normal(b, c, DIPP_WIDE, DIPP_SHAPE(rows[k].batch, rows[k].keys), 0, 2);
        else
            add_absent(c);
        c->attributes.heads = (uint32_t)rows[k].heads;
        c->attributes.alpha = 1 / sqrt((double)rows[k].head_dim);
        c->attributes.causal = rows[k].causal;
        c->terms = 512;
        c->slack = 2;
        if (b->op == DIPP_OP_ATTENTION) {
            add_output(c, DIPP_COMPUTE, q);
            add_output(c, DIPP_WIDE, lse);
            continue;
        }
        dipp_node_view forward = c->view;
        forward.op = DIPP_OP_ATTENTION;
        forward.output_count = 2;
        forward.outputs[0] = c->view.inputs[0];
        forward.outputs[1] = (dipp_operand){true, DIPP_WIDE, lse};
        double *o = add_input(c, DIPP_COMPUTE, q), *sums_of = add_input(c, DIPP_WIDE, lse);
        op_run_oracle(b->oracle, &forward, (void *const *)c->inputs, (void *[]){o, sums_of});
        for (int64_t i = 0; i < op_elements(&forward.outputs[0]); i++)
            o[i] = (float)o[i];
        for (int64_t i = 0; i < op_elements(&forward.outputs[1]); i++)
            sums_of[i] = (float)sums_of[i];
        add_normal(b, c, DIPP_COMPUTE, q, 0, 1);
        add_output(c, DIPP_COMPUTE, q);
        add_output(c, DIPP_COMPUTE, kv);
        add_output(c, DIPP_COMPUTE, kv);
    }
}

static void embeddings(case_builder *b)
{
    op_case *c = add_case(b, "many ids");
    double *ids = add_input(c, DIPP_INT32, DIPP_SHAPE(500));
    for (int i = 0; i < 500; i++)
        ids[i] = (double)(random_below(b, 9) - 1);
    add_normal(b, c, DIPP_COMPUTE, DIPP_SHAPE(500, 200), 0, 1);
    add_output(c, DIPP_WIDE, DIPP_SHAPE(7, 200));
    c->terms = 500;
}

static void gradient_norms(case_builder *b)
{
    op_case *c = add_case(b, "large");
    add_normal(b, c, DIPP_WIDE, DIPP_SHAPE(1200003), 0, 1);
    add_output(c, DIPP_WIDE, DIPP_SHAPE(2));
}

static void inverses(case_builder *b)
{
    op_case *c = add_case(b, "more than a block");
    double *x = add_normal(b, c, DIPP_WIDE, DIPP_SHAPE(70, 3, 3), 0, 1);
    for (int i = 0; i < 630; i += i % 9 == 8 ? 1 : 4)
        x[i] += 6;
    c->terms = 3;
    add_output(c, DIPP_WIDE, DIPP_SHAPE(70, 3, 3));
}

int main(int count, char **words)
{
    static const struct {
        dipp_op op;
        case_rows rows;
    } families[] = {{DIPP_OP_SUM, sums},
                    {DIPP_OP_SOFTMAX, softmaxes},
                    {DIPP_OP_SOFTMAX_BACKWARD, softmaxes},
                    {DIPP_OP_LAYER_NORM, norms},
                    {DIPP_OP_LAYER_NORM_BACKWARD, norms},
                    {DIPP_OP_GATED_ADD, gates},
                    {DIPP_OP_GATED_ADD_BACKWARD, gates},
                    {DIPP_OP_ATTENTION, attentions},
                    {DIPP_OP_ATTENTION_BACKWARD, attentions},
                    {DIPP_OP_EMBEDDING_BACKWARD, embeddings},
                    {DIPP_OP_GRAD_NORM, gradient_norms},
                    {DIPP_OP_INVERSE, inverses}};
    dipp_error error = {0};
    dipp_backend *backend = NULL, *oracle = NULL;
    dipp_backend_options options = {sizeof options, .precision = count > 1 ? words[1] : "auto"};
    if (dipp_backend_create("cuda", &options, &backend, &error) != DIPP_OK) {
        fprintf(stderr, "skipped: %s\n", error.message);
        return 77;
    }
    if (dipp_backend_create("reference", NULL, &oracle, &error) != DIPP_OK)
        return 2;
    int wrong = 0;
    for (size_t k = 0; k < COUNT_OF(families); k++) {
        case_builder first = {.op = families[k].op, .oracle = oracle, .random = 11};
        case_builder second = {.op = families[k].op, .oracle = oracle, .random = 12};
        op_report report = {0};
        families[k].rows(&first);
        families[k].rows(&second);
        for (size_t i = 0; i < first.list.count; i++)
            op_check(backend, oracle, first.list.cases[i], second.list.cases[i], &report);
        op_cases_free(&first.list);
        op_cases_free(&second.list);
        printf("%-24s %s %3zu cases, worst %.3f of the tolerance %s\n", op_name(families[k].op),
               report.failures ? "FAIL" : "ok  ", report.cases, report.worst, report.failures ? report.failure : "");
        fflush(stdout);
        wrong += report.failures > 0;
    }
    dipp_backend_destroy(&backend);
    dipp_backend_destroy(&oracle);
    return wrong ? 1 : 0;
}
