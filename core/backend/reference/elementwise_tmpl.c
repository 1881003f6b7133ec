/* Elementwise kernels: cast, arithmetic with broadcasting, functions of one number, and activations backward. */

static void cast(const reference_node *node, void *const *args)
{
    int64_t elements = reference_elements(&node->view.outputs[0].shape);
    real *out = args[1];
    if (node->view.inputs[0].dtype == DIPP_INT32)
        for (int64_t i = 0; i < elements; i++)
            out[i] = (real)((const int32_t *)args[0])[i];
    else
        memcpy(out, args[0], (size_t)elements * sizeof *out);
}

/* Input k's number that belongs to element i of the result. */
static double broadcast_read(const reference_node *node, void *const *args, uint32_t k, int64_t i)
{
    const dipp_shape *from = &node->view.inputs[k].shape, *to = &node->view.outputs[0].shape;
    int64_t offset = reference_same_shape(from, to) ? i : reference_broadcast_offset(from, to, i);
    return ((const real *)args[k])[offset];
}

#define BINARY(name, expression)                                                               \
    static void name(const reference_node *node, void *const *args)                            \
    {                                                                                          \
        int64_t elements = reference_elements(&node->view.outputs[0].shape);                   \
        real *out = args[2];                                                                   \
        for (int64_t i = 0; i < elements; i++) {                                               \
            double a = broadcast_read(node, args, 0, i), b = broadcast_read(node, args, 1, i); \
            out[i] = (real)(expression);                                                       \
        }                                                                                      \
    }

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)
BINARY(divide, a / b)
BINARY(minimum, a < b ? a : b)
BINARY(maximum, a > b ? a : b)
BINARY(greater, a > b ? 1 : 0)

static void where(const reference_node *node, void *const *args)
{
    int64_t elements = reference_elements(&node->view.outputs[0].shape);
    real *out = args[3];
    for (int64_t i = 0; i < elements; i++)
        out[i] = (real)broadcast_read(node, args, broadcast_read(node, args, 0, i) != 0 ? 1 : 2, i);
}

static double sigmoid_of(double x)
{
    return 1 / (1 + exp(-x));
}

/* Phi, the distribution function of the standard normal; erfc keeps its digits for negative x. */
static double normal_distribution(double x)
{
    return 0.5 * erfc(-x * M_SQRT1_2);
}

static double normal_density(double x)
{
    return exp(-0.5 * x * x) * 0.5 * M_2_SQRTPI * M_SQRT1_2;
}

/* The argument of tanh in the tanh form of GELU: sqrt(2/pi) (x + 0.044715 x^3). */
static double gelu_tanh_inner(double x)
{
    return M_2_SQRTPI * M_SQRT1_2 * (x + 0.044715 * x * x * x);
}

static double gelu_tanh_slope(double x)
{
    double t = tanh(gelu_tanh_inner(x));
    double inner_slope = M_2_SQRTPI * M_SQRT1_2 * (1 + 3 * 0.044715 * x * x);
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner_slope;
}

/* d/dx of x sigmoid(k x): SiLU with k = 1, QuickGELU with k = 1.702. */
static double swish_slope(double x, double k)
{
    double s = sigmoid_of(k * x);
    return s * (1 + k * x * (1 - s));
}

#define UNARY(name, expression)                                                    \
    static void name(const reference_node *node, void *const *args)                \
    {                                                                              \
        int64_t elements = reference_elements(&node->view.outputs[0].shape);       \
        const double alpha = node->attributes.alpha, beta = node->attributes.beta; \
        const real *in = args[0];                                                  \
        real *out = args[1];                                                       \
        (void)alpha, (void)beta;                                                   \
        for (int64_t i = 0; i < elements; i++) {                                   \
            double x = in[i];                                                      \
            out[i] = (real)(expression);                                           \
        }                                                                          \
    }

UNARY(scale_add, alpha *x + beta)
UNARY(exponential, exp(x))
UNARY(logarithm, log(x))
UNARY(square_root, sqrt(x))
UNARY(absolute, fabs(x))
UNARY(sign, x > 0 ? 1 : x < 0 ? -1 : 0)
UNARY(sine, sin(x))
UNARY(cosine, cos(x))
UNARY(hyperbolic_tangent, tanh(x))
UNARY(sigmoid, sigmoid_of(x))
UNARY(silu, x *sigmoid_of(x))
UNARY(gelu_erf, x *normal_distribution(x))
UNARY(gelu_tanh, 0.5 * x * (1 + tanh(gelu_tanh_inner(x))))
UNARY(quick_gelu, x *sigmoid_of(1.702 * x))
UNARY(round_to_even, rint(x))
UNARY(clamp, x<alpha ? alpha : x> beta ? beta : x)

#define ACTIVATION_BACKWARD(name, slope)                                     \
    static void name(const reference_node *node, void *const *args)          \
    {                                                                        \
        int64_t elements = reference_elements(&node->view.outputs[0].shape); \
        const real *in = args[0], *dy = args[1];                             \
        real *dx = args[2];                                                  \
        for (int64_t i = 0; i < elements; i++) {                             \
            double x = in[i];                                                \
            dx[i] = (real)(dy[i] * (slope));                                 \
        }                                                                    \
    }

ACTIVATION_BACKWARD(silu_backward, swish_slope(x, 1))
ACTIVATION_BACKWARD(gelu_erf_backward, normal_distribution(x) + x * normal_density(x))
ACTIVATION_BACKWARD(gelu_tanh_backward, gelu_tanh_slope(x))
ACTIVATION_BACKWARD(quick_gelu_backward, swish_slope(x, 1.702))

/* x is rows of a then b, each as wide as y. */
static void geglu(const reference_node *node, void *const *args)
{
    const dipp_shape *shape = &node->view.outputs[0].shape;
    int64_t width = reference_width(shape);
    const real *x = args[0];
    real *y = args[1];
    for (int64_t row = 0; row < reference_rows(shape); row++, x += 2 * width, y += width)
        for (int64_t i = 0; i < width; i++)
            y[i] = (real)(x[i] * ((double)x[width + i] * normal_distribution(x[width + i])));
}

static void geglu_backward(const reference_node *node, void *const *args)
{
    const dipp_shape *shape = &node->view.inputs[1].shape;
    int64_t width = reference_width(shape);
    const real *x = args[0], *dy = args[1];
    real *dx = args[2];
    for (int64_t row = 0; row < reference_rows(shape); row++, x += 2 * width, dx += 2 * width, dy += width)
        for (int64_t i = 0; i < width; i++) {
            double a = x[i], b = x[width + i], gate = normal_distribution(b);
            dx[i] = (real)(dy[i] * b * gate);
            dx[width + i] = (real)(dy[i] * a * (gate + b * normal_density(b)));
        }
}
