/* Functions to differentiate, and the numbers at which. test_gradients.c compares each with central differences. */
#ifndef DIPP_TESTS_TENSOR_GRADIENT_ROWS_H
#define DIPP_TESTS_TENSOR_GRADIENT_ROWS_H

#include "tensor/graph.h"

enum { GRADIENT_INPUTS = 6 };

typedef struct gradient_input {
    dipp_shape shape;
    double low, high; /* uniform in [low, high]; */
    double gap;       /* no magnitude below this */
    bool integer;     /* whole numbers of that range, int32; not differentiated */
} gradient_input;

typedef struct gradient_row {
    const char *name;
    /* One of the three. p is the trainable slot of the recording. */
    dipp_tensor (*record)(dipp_graph *g, dipp_params p, const dipp_tensor *in);
    dipp_tensor (*unary)(dipp_graph *g, dipp_tensor x);
    dipp_tensor (*binary)(dipp_graph *g, dipp_tensor a, dipp_tensor b);
    bool parameters; /* the row declares some */
    uint32_t input_count;
    gradient_input inputs[GRADIENT_INPUTS];
} gradient_row;

extern const gradient_row gradient_rows[];
extern const size_t gradient_row_count;

#endif
