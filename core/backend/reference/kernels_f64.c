/* The oracle: every kernel with double storage. */
typedef double real;
#define REFERENCE_FUNCTION dipp_reference_function_f64
#include "kernels_tmpl.c"
