/* The cases of the op suite: for every op of core/tensor/op.h, nodes with ordinary and nasty shapes, and numbers for
 * their inputs. The suite (op_check.h) runs each on a back-end and on the oracle. */
#ifndef DIPP_TESTS_TENSOR_OP_CASES_H
#define DIPP_TESTS_TENSOR_OP_CASES_H

#include "tensor/backend.h"

typedef enum op_rule {
    OP_CLOSE = 0, /* within the tolerance of op_check.c */
    OP_EXACT,     /* the oracle's number rounded to the output's dtype */
    OP_FINITE,    /* only: every number is finite */
    OP_SINGULAR   /* only: some number is not finite */
} op_rule;

typedef struct op_case {
    dipp_node_view view; /* view.attributes points to attributes below */
    dipp_attributes attributes;
    double *inputs[DIPP_MAX_INPUTS];   /* numbers of each present input, all exact in binary32 */
    double *outputs[DIPP_MAX_OUTPUTS]; /* numbers there before the run, when the op adds to them; else NULL */
    uint32_t in_place;                 /* bit k: the op writes to input k */
    int64_t terms;                     /* longest sum, at least 1 */
    double slack;                      /* multiplies the tolerance; 1 unless the case says why */
    op_rule rule;
    char label[160];
} op_case;

typedef struct op_case_list {
    op_case **cases;
    size_t count;
} op_case_list;

/* Ops that have a kernel: all but leaves and views. */
bool op_has_kernel(dipp_op op);
const char *op_name(dipp_op op);

/* The cases of an op. Two lists that differ in variant alone hold the same nodes with other numbers. bench: one or two
 * nodes of the size that training uses, instead of the nasty ones. oracle fills inputs that depend on others (the
 * saved outputs that backward ops read). Empty when the op has no row. The caller frees with op_cases_free. */
op_case_list op_cases_generate(dipp_op op, uint64_t variant, bool bench, dipp_backend *oracle);
void op_cases_free(op_case_list *list);

/* Elements of an operand; 0 when absent. */
int64_t op_elements(const dipp_operand *operand);

/* Runs a node on the f64 reference back-end, whose memory is plain doubles (int32 for ids). Scratch starts as NaN. */
void op_run_oracle(dipp_backend *oracle, const dipp_node_view *view, void *const *inputs, void *const *outputs);

#endif
