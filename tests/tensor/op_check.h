/* Runs a case on a back-end through allocate, upload, prepare, run and download, and judges it against the oracle.
 *
 * What is checked besides the numbers: bytes around every operand and the scratch stay as they were; outputs and scratch
 * start as NaN, so nothing is read before it is written; inputs that the op does not own stay as they were; a second
 * run of the prepared node on other memory with other numbers is right; the same numbers at other addresses give the
 * same bits; an output that is NULL is skipped. */
#ifndef DIPP_TESTS_TENSOR_OP_CHECK_H
#define DIPP_TESTS_TENSOR_OP_CHECK_H

#include "op_cases.h"

/* Device memory for the operands and the scratch of a case, each between two guards of 256 bytes. */
enum { OP_OPERANDS = DIPP_MAX_INPUTS + DIPP_MAX_OUTPUTS + 1, OP_GUARD = 256 };

typedef struct op_placement {
    uint32_t count; /* inputs, outputs, scratch */
    char *blocks[OP_OPERANDS];
    size_t bytes[OP_OPERANDS]; /* of the operand itself, without guards */
    void *args[OP_OPERANDS];
} op_placement;

op_placement op_place(dipp_backend *backend, const op_case *c, const dipp_kernel *kernel);
/* Fills everything with bytes 0xff (NaN as a number), then uploads the inputs and what outputs hold before the run. */
void op_place_load(dipp_backend *backend, const op_case *c, op_placement *place);
void op_place_free(dipp_backend *backend, op_placement *place);

typedef struct op_report {
    size_t cases, failures;
    double worst; /* largest error in units of the tolerance */
    char worst_label[160];
    char failure[512]; /* the first one */
} op_report;

/* first and second are the same node with other numbers. Adds to the report. */
void op_check(dipp_backend *backend, dipp_backend *oracle, op_case *first, op_case *second, op_report *report);

/* Times the bench nodes of an op and prints a line for each. Returns false when a node cannot be prepared. */
bool op_bench(dipp_backend *backend, dipp_backend *oracle, dipp_op op);

/* Removes the optimizer's compute copy where compute is wide, as the planner does. */
void op_case_fit(const dipp_backend *backend, op_case *c);

#endif
