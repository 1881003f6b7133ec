/* Every kernel with float storage (arithmetic stays in double). */
typedef float real;
#define REFERENCE_FUNCTION dipp_reference_function_f32
#include "kernels_tmpl.c"
