/* How a row of numbers becomes longer or shorter: the weights of the resize kernels that published scorers use. */
#ifndef DIPP_NN_RESAMPLE_H
#define DIPP_NN_RESAMPLE_H

#include <dipp/nn.h>

/* The sources of one output: first .. first + count - 1. */
typedef struct dipp_taps {
    int64_t first, count;
} dipp_taps;

/* The most sources that an output has: how many weights dipp_resample_taps may write. [any thread] */
int64_t dipp_resample_most(dipp_resize_kernel kernel, int64_t in, int64_t out);

/* Which of in numbers make output i of out, and their weights, which sum to one. [any thread] */
dipp_taps dipp_resample_taps(dipp_resize_kernel kernel, int64_t in, int64_t out, int64_t i, double *weights);

#endif
