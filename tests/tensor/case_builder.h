/* What the files of cases build nodes with. */
#ifndef DIPP_TESTS_TENSOR_CASE_BUILDER_H
#define DIPP_TESTS_TENSOR_CASE_BUILDER_H

#include "op_cases.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define SCALAR          ((dipp_shape){0})

typedef struct case_builder {
    dipp_op op;
    bool bench;
    dipp_backend *oracle;
    uint64_t random; /* state of the generator */
    op_case_list list;
} case_builder;

typedef void (*case_rows)(case_builder *builder);

/* Rows by family; NULL for an op that the family does not hold. */
case_rows cases_of_shape(dipp_op op);
case_rows cases_of_elementwise(dipp_op op);
case_rows cases_of_reduction(dipp_op op);
case_rows cases_of_matmul(dipp_op op);
case_rows cases_of_attention(dipp_op op);
case_rows cases_of_norm(dipp_op op);
case_rows cases_of_picture(dipp_op op);
case_rows cases_of_training(dipp_op op);

double random_uniform(case_builder *builder, double low, double high); /* exact in binary32 */
double random_normal(case_builder *builder);
int64_t random_below(case_builder *builder, int64_t count);

/* A new case in the builder's list, with a label. */
op_case *add_case(case_builder *builder, const char *format, ...) DIPP_PRINTF(2, 3);

/* Appends an operand; the numbers are to be filled by the caller (they start as zeros). */
double *add_input(op_case *c, dipp_dtype dtype, dipp_shape shape);
void add_absent(op_case *c);
void add_output(op_case *c, dipp_dtype dtype, dipp_shape shape);
void add_absent_output(op_case *c);

/* The same, filled. */
double *add_normal(case_builder *builder, op_case *c, dipp_dtype dtype, dipp_shape shape, double mean, double sd);
double *add_uniform(case_builder *builder, op_case *c, dipp_dtype dtype, dipp_shape shape, double low, double high);

/* Numbers that the last output holds before the run. */
void start_output(case_builder *builder, op_case *c);

static inline const char *dtype_letter(dipp_dtype dtype)
{
    return dtype == DIPP_COMPUTE ? "c" : dtype == DIPP_WIDE ? "w" : "i";
}

#endif
