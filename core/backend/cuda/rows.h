/* Which family of kernels serves each op of the table, and the ops that have none. The dispatch (backend.c) and the test
 * that every op is in one of the two lists (tests/backend_cuda) are generated from here. */
#ifndef DIPP_BACKEND_CUDA_ROWS_H
#define DIPP_BACKEND_CUDA_ROWS_H

/* ROW(OP, family): dipp_cuda_prepare_<family> turns the node into a kernel. */
#define DIPP_CUDA_ROWS(ROW)                  \
    ROW(CAST, elementwise)                   \
    ROW(PERMUTE, copy)                       \
    ROW(CONCAT, copy)                        \
    ROW(SLICE, copy)                         \
    ROW(PAD, copy)                           \
    ROW(BROADCAST, elementwise)              \
    ROW(ADD, elementwise)                    \
    ROW(SUB, elementwise)                    \
    ROW(MUL, elementwise)                    \
    ROW(DIV, elementwise)                    \
    ROW(MINIMUM, elementwise)                \
    ROW(MAXIMUM, elementwise)                \
    ROW(GREATER, elementwise)                \
    ROW(WHERE, elementwise)                  \
    ROW(SCALE_ADD, elementwise)              \
    ROW(EXP, elementwise)                    \
    ROW(LOG, elementwise)                    \
    ROW(SQRT, elementwise)                   \
    ROW(ABS, elementwise)                    \
    ROW(SIGN, elementwise)                   \
    ROW(SIN, elementwise)                    \
    ROW(COS, elementwise)                    \
    ROW(TANH, elementwise)                   \
    ROW(SIGMOID, elementwise)                \
    ROW(SILU, elementwise)                   \
    ROW(GELU_ERF, elementwise)               \
    ROW(GELU_TANH, elementwise)              \
    ROW(QUICK_GELU, elementwise)             \
    ROW(ROUND, elementwise)                  \
    ROW(CLAMP, elementwise)                  \
    ROW(SILU_BACKWARD, elementwise)          \
    ROW(GELU_ERF_BACKWARD, elementwise)      \
    ROW(GELU_TANH_BACKWARD, elementwise)     \
    ROW(QUICK_GELU_BACKWARD, elementwise)    \
    ROW(GEGLU, geglu)                        \
    ROW(GEGLU_BACKWARD, geglu)               \
    ROW(SUM, sum)                            \
    ROW(MATMUL, matmul)                      \
    ROW(LINEAR, matmul)                      \
    ROW(LINEAR_BACKWARD_WEIGHT, matmul)      \
    ROW(CONV2D, convolution)                 \
    ROW(CONV2D_BACKWARD_DATA, convolution)   \
    ROW(CONV2D_BACKWARD_WEIGHT, convolution) \
    ROW(INVERSE, inverse)                    \
    ROW(SOFTMAX, softmax)                    \
    ROW(SOFTMAX_BACKWARD, softmax)           \
    ROW(ATTENTION, attention)                \
    ROW(ATTENTION_BACKWARD, attention)       \
    ROW(LAYER_NORM, layer_norm)              \
    ROW(LAYER_NORM_BACKWARD, layer_norm)     \
    ROW(GROUP_NORM, group_norm)              \
    ROW(GROUP_NORM_BACKWARD, group_norm)     \
    ROW(GATED_ADD, gated_add)                \
    ROW(GATED_ADD_BACKWARD, gated_add)       \
    ROW(EMBEDDING, embedding)                \
    ROW(EMBEDDING_BACKWARD, embedding)       \
    ROW(SINUSOID, sinusoid)                  \
    ROW(PHILOX_NORMAL, random)               \
    ROW(PHILOX_UNIFORM, random)              \
    ROW(ACCUMULATE, training)                \
    ROW(GRAD_NORM, training)                 \
    ROW(OPTIMIZER_STEP, training)

/* ROW(OP, reason) */
#define DIPP_CUDA_UNSUPPORTED(ROW)             \
    ROW(LEAF, "a leaf has nothing to compute") \
    ROW(RESHAPE, "a view has nothing to compute")

#endif
