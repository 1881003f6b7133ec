#include "case_builder.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME(upper, name, outputs) name,
static const char *const names[DIPP_OP_COUNT] = {DIPP_OP_TABLE(NAME)};
#undef NAME

const char *op_name(dipp_op op)
{
    return names[op];
}

bool op_has_kernel(dipp_op op)
{
    return op != DIPP_OP_LEAF && op != DIPP_OP_RESHAPE;
}

int64_t op_elements(const dipp_operand *operand)
{
    int64_t elements = operand->present;
    for (uint32_t k = 0; k < operand->shape.rank; k++)
        elements *= operand->shape.dims[k];
    return elements;
}

static void *checked_alloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory) {
        fprintf(stderr, "op suite: no memory for %zu bytes\n", count * size);
        exit(2);
    }
    return memory;
}

static uint64_t next_random(case_builder *builder) /* splitmix64 */
{
    uint64_t z = builder->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

double random_uniform(case_builder *builder, double low, double high)
{
    return (float)(low + (high - low) * (double)(next_random(builder) >> 11) * 0x1p-53);
}

double random_normal(case_builder *builder)
{
    double u = 1 - (double)(next_random(builder) >> 11) * 0x1p-53, v = (double)(next_random(builder) >> 11) * 0x1p-53;
    return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

int64_t random_below(case_builder *builder, int64_t count)
{
    return (int64_t)(next_random(builder) % (uint64_t)count);
}

op_case *add_case(case_builder *builder, const char *format, ...)
{
    op_case_list *list = &builder->list;
    op_case **grown = realloc(list->cases, (list->count + 1) * sizeof *grown);
    op_case *c = checked_alloc(1, sizeof *c);
    if (!grown)
        exit(2);
    list->cases = grown;
    list->cases[list->count++] = c;
    c->view.op = builder->op;
    c->view.attributes = &c->attributes;
    c->terms = 1;
    c->slack = 1;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->label, sizeof c->label, format, arguments);
    va_end(arguments);
    return c;
}

static void label_operand(op_case *c, const char *separator, const dipp_operand *operand)
{
    size_t used = strlen(c->label);
    used += (size_t)snprintf(c->label + used, sizeof c->label - used, "%s%s[", separator, dtype_letter(operand->dtype));
    for (uint32_t k = 0; k < operand->shape.rank && used < sizeof c->label; k++)
        used += (size_t)snprintf(c->label + used, sizeof c->label - used, k ? ",%lld" : "%lld",
                                 (long long)operand->shape.dims[k]);
    if (used + 1 < sizeof c->label)
        strcpy(c->label + used, "]");
}

double *add_input(op_case *c, dipp_dtype dtype, dipp_shape shape)
{
    uint32_t k = c->view.input_count++;
    c->view.inputs[k] = (dipp_operand){true, dtype, shape};
    c->inputs[k] = checked_alloc((size_t)op_elements(&c->view.inputs[k]), sizeof(double));
    label_operand(c, " ", &c->view.inputs[k]);
    return c->inputs[k];
}

void add_absent(op_case *c)
{
    c->view.input_count++;
}

void add_output(op_case *c, dipp_dtype dtype, dipp_shape shape)
{
    uint32_t k = c->view.output_count++;
    c->view.outputs[k] = (dipp_operand){true, dtype, shape};
    label_operand(c, " -> ", &c->view.outputs[k]);
}

void add_absent_output(op_case *c)
{
    c->view.output_count++;
}

double *add_normal(case_builder *builder, op_case *c, dipp_dtype dtype, dipp_shape shape, double mean, double sd)
{
    double *numbers = add_input(c, dtype, shape);
    int64_t elements = op_elements(&c->view.inputs[c->view.input_count - 1]);
    for (int64_t i = 0; i < elements; i++)
        numbers[i] = (float)(mean + sd * random_normal(builder));
    return numbers;
}

double *add_uniform(case_builder *builder, op_case *c, dipp_dtype dtype, dipp_shape shape, double low, double high)
{
    double *numbers = add_input(c, dtype, shape);
    int64_t elements = op_elements(&c->view.inputs[c->view.input_count - 1]);
    for (int64_t i = 0; i < elements; i++)
        numbers[i] = random_uniform(builder, low, high);
    return numbers;
}

void start_output(case_builder *builder, op_case *c)
{
    uint32_t k = c->view.output_count - 1;
    int64_t elements = op_elements(&c->view.outputs[k]);
    c->outputs[k] = checked_alloc((size_t)elements, sizeof(double));
    for (int64_t i = 0; i < elements; i++)
        c->outputs[k][i] = (float)random_normal(builder);
}

op_case_list op_cases_generate(dipp_op op, uint64_t variant, bool bench, dipp_backend *oracle)
{
    case_builder builder = {.op = op, .bench = bench, .oracle = oracle};
    builder.random = variant << 32 | (uint64_t)op;
    static case_rows (*const families[])(dipp_op) = {cases_of_shape,   cases_of_elementwise, cases_of_reduction,
                                                     cases_of_matmul,  cases_of_attention,   cases_of_norm,
                                                     cases_of_picture, cases_of_training};
    for (size_t k = 0; k < COUNT_OF(families); k++) {
        case_rows rows = families[k](op);
        if (rows)
            rows(&builder);
    }
    return builder.list;
}

void op_cases_free(op_case_list *list)
{
    for (size_t k = 0; k < list->count; k++) {
        for (uint32_t i = 0; i < DIPP_MAX_INPUTS; i++)
            free(list->cases[k]->inputs[i]);
        for (uint32_t i = 0; i < DIPP_MAX_OUTPUTS; i++)
            free(list->cases[k]->outputs[i]);
        free(list->cases[k]);
    }
    free(list->cases);
    *list = (op_case_list){0};
}

void op_run_oracle(dipp_backend *oracle, const dipp_node_view *view, void *const *inputs, void *const *outputs)
{
    dipp_error error = {0};
    dipp_kernel kernel;
    if (oracle->prepare(oracle, view, &kernel, &error) != DIPP_OK) {
        fprintf(stderr, "op suite: the oracle refuses %s: %s\n", op_name(view->op), error.message);
        exit(2);
    }
    void *args[DIPP_MAX_INPUTS + DIPP_MAX_OUTPUTS + 1] = {0};
    for (uint32_t k = 0; k < view->input_count; k++)
        args[k] = inputs[k];
    for (uint32_t k = 0; k < view->output_count; k++)
        args[view->input_count + k] = outputs[k];
    double *scratch = checked_alloc(1, kernel.scratch_bytes + 1);
    memset(scratch, 0xff, kernel.scratch_bytes);
    args[view->input_count + view->output_count] = kernel.scratch_bytes ? scratch : NULL;
    kernel.run(kernel.state, args);
    if (kernel.destroy)
        kernel.destroy(kernel.state);
    free(scratch);
}
