/* All kernels of one precision: include after defining real and REFERENCE_FUNCTION. */
#include "backend/reference/reference.h"
#include "base/philox.h"
#include "base/philox_math.h"

#include <math.h>
#include <string.h>

#include "elementwise_tmpl.c"
#include "reduce_tmpl.c"
#include "matmul_tmpl.c"
#include "convolution_tmpl.c"
#include "attention_tmpl.c"
#include "norm_tmpl.c"
#include "group_norm_tmpl.c"
#include "embedding_tmpl.c"
#include "random_tmpl.c"
#include "optimizer_tmpl.c"

reference_function REFERENCE_FUNCTION(dipp_op op)
{
    switch (op) {
    case DIPP_OP_CAST: return cast;
    case DIPP_OP_PERMUTE: return dipp_reference_permute;
    case DIPP_OP_CONCAT: return dipp_reference_concat;
    case DIPP_OP_SLICE: return dipp_reference_slice;
    case DIPP_OP_PAD: return dipp_reference_pad;
    case DIPP_OP_BROADCAST: return dipp_reference_broadcast;
    case DIPP_OP_ADD: return add;
    case DIPP_OP_SUB: return sub;
    case DIPP_OP_MUL: return mul;
    case DIPP_OP_DIV: return divide;
    case DIPP_OP_MINIMUM: return minimum;
    case DIPP_OP_MAXIMUM: return maximum;
    case DIPP_OP_GREATER: return greater;
    case DIPP_OP_WHERE: return where;
    case DIPP_OP_SCALE_ADD: return scale_add;
    case DIPP_OP_EXP: return exponential;
    case DIPP_OP_LOG: return logarithm;
    case DIPP_OP_SQRT: return square_root;
    case DIPP_OP_ABS: return absolute;
    case DIPP_OP_SIGN: return sign;
    case DIPP_OP_SIN: return sine;
    case DIPP_OP_COS: return cosine;
    case DIPP_OP_TANH: return hyperbolic_tangent;
    case DIPP_OP_SIGMOID: return sigmoid;
    case DIPP_OP_SILU: return silu;
    case DIPP_OP_GELU_ERF: return gelu_erf;
    case DIPP_OP_GELU_TANH: return gelu_tanh;
    case DIPP_OP_QUICK_GELU: return quick_gelu;
    case DIPP_OP_ROUND: return round_to_even;
    case DIPP_OP_CLAMP: return clamp;
    case DIPP_OP_SILU_BACKWARD: return silu_backward;
    case DIPP_OP_GELU_ERF_BACKWARD: return gelu_erf_backward;
    case DIPP_OP_GELU_TANH_BACKWARD: return gelu_tanh_backward;
    case DIPP_OP_QUICK_GELU_BACKWARD: return quick_gelu_backward;
    case DIPP_OP_GEGLU: return geglu;
    case DIPP_OP_GEGLU_BACKWARD: return geglu_backward;
    case DIPP_OP_SUM: return sum;
    case DIPP_OP_MATMUL: return matmul;
    case DIPP_OP_LINEAR: return linear;
    case DIPP_OP_LINEAR_BACKWARD_WEIGHT: return linear_backward_weight;
    case DIPP_OP_CONV2D: return conv2d;
    case DIPP_OP_CONV2D_BACKWARD_DATA: return conv2d_backward_data;
    case DIPP_OP_CONV2D_BACKWARD_WEIGHT: return conv2d_backward_weight;
    case DIPP_OP_INVERSE: return inverse;
    case DIPP_OP_SOFTMAX: return softmax;
    case DIPP_OP_SOFTMAX_BACKWARD: return softmax_backward;
    case DIPP_OP_ATTENTION: return attention;
    case DIPP_OP_ATTENTION_BACKWARD: return attention_backward;
    case DIPP_OP_LAYER_NORM: return layer_norm;
    case DIPP_OP_LAYER_NORM_BACKWARD: return layer_norm_backward;
    case DIPP_OP_GROUP_NORM: return group_norm;
    case DIPP_OP_GROUP_NORM_BACKWARD: return group_norm_backward;
    case DIPP_OP_GATED_ADD: return gated_add;
    case DIPP_OP_GATED_ADD_BACKWARD: return gated_add_backward;
    case DIPP_OP_EMBEDDING: return embedding;
    case DIPP_OP_EMBEDDING_BACKWARD: return embedding_backward;
    case DIPP_OP_SINUSOID: return sinusoid;
    case DIPP_OP_PHILOX_NORMAL: return philox_normal;
    case DIPP_OP_PHILOX_UNIFORM: return philox_uniform;
    case DIPP_OP_ACCUMULATE: return accumulate;
    case DIPP_OP_GRAD_NORM: return grad_norm;
    case DIPP_OP_OPTIMIZER_STEP: return optimizer_step;
    case DIPP_OP_LEAF:
    case DIPP_OP_RESHAPE:
    case DIPP_OP_COUNT: break;
    }
    return NULL;
}
