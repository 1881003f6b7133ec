/* Matrix products by cuBLASLt. Layouts and the algorithm are chosen once per shape by the library's heuristic and kept;
 * only algorithms whose reductions have a fixed order are allowed, and f32 means f32 (no TF32). What the library has no
 * algorithm for goes to a plain kernel. Operands of unlike types are widened into scratch first. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/kernels.h"
#include "backend/cuda/product.h"
#include "base/memory.h"

enum { WORKSPACE = 32 << 20, ALGORITHMS = 8 };

/* A product and how it is computed; lives as long as the context. */
struct dipp_cuda_chosen {
    dipp_cuda_chosen *next;
    dipp_cuda_product product;
    bool library; /* else the plain kernel */
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t first, second, out;
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace;
};

/* ---- choosing ---- */

static cudaDataType_t data_type(int32_t type)
{
    return type == DIPP_CUDA_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static cublasStatus_t make_layout(cublasLtMatrixLayout_t *layout, const dipp_cuda_matrix *m, int64_t batch)
{
    cublasStatus_t status =
        cublasLtMatrixLayoutCreate(layout, data_type(m->type), (uint64_t)m->rows, (uint64_t)m->columns, m->leading);
    int32_t count = (int32_t)batch;
    if (status == CUBLAS_STATUS_SUCCESS && batch > 1)
        status = cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count);
    if (status == CUBLAS_STATUS_SUCCESS && batch > 1)
        status = cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &m->stride,
                                                  sizeof m->stride);
    return status;
}

static cublasStatus_t make_operation(dipp_cuda_context *context, dipp_cuda_chosen *c, bool turn_first, bool turn_second)
{
    cublasOperation_t first = turn_first ? CUBLAS_OP_T : CUBLAS_OP_N, second = turn_second ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasStatus_t status = cublasLtMatmulDescCreate(&c->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulDescSetAttribute(c->operation, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulDescSetAttribute(c->operation, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second);
    if (!c->product.has_bias)
        return status;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    cudaDataType_t type = data_type(c->product.out_type);
    if (status == CUBLAS_STATUS_SUCCESS)
        status =
            cublasLtMatmulDescSetAttribute(c->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulDescSetAttribute(c->operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type);
    /* The heuristic looks at the pointer's alignment; the true one is set before each product. */
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulDescSetAttribute(c->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &context->page,
                                                sizeof context->page);
    return status;
}

static cublasStatus_t ask(dipp_cuda_context *context, dipp_cuda_chosen *c)
{
    cublasLtMatmulPreference_t preference = NULL;
    cublasStatus_t status = cublasLtMatmulPreferenceCreate(&preference);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    const size_t most = WORKSPACE;
    /* Partial sums of a split go to workspace and are added in order; in-place reduction would use atomics. */
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    cublasLtMatmulHeuristicResult_t results[ALGORITHMS];
    int found = 0;
    status =
        cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                      &reductions, sizeof reductions);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulAlgoGetHeuristic(context->library, c->operation, c->first, c->second, c->out, c->out,
                                                preference, ALGORITHMS, results, &found);
    cublasLtMatmulPreferenceDestroy(preference);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    for (int i = 0; i < found; i++)
        if (results[i].state == CUBLAS_STATUS_SUCCESS) {
            c->algorithm = results[i].algo;
            c->workspace = results[i].workspaceSize;
            return CUBLAS_STATUS_SUCCESS;
        }
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

static void free_chosen(dipp_cuda_chosen *c)
{
    if (c->operation)
        cublasLtMatmulDescDestroy(c->operation);
    if (c->first)
        cublasLtMatrixLayoutDestroy(c->first);
    if (c->second)
        cublasLtMatrixLayoutDestroy(c->second);
    if (c->out)
        cublasLtMatrixLayoutDestroy(c->out);
    c->operation = NULL;
    c->first = c->second = c->out = NULL;
}

static bool choose_library(dipp_cuda_context *context, dipp_cuda_chosen *c)
{
    const dipp_cuda_product *p = &c->product;
    if (p->k == 0 || p->batch > INT32_MAX)
        return false;
    dipp_cuda_matrix first, second, out;
    dipp_cuda_product_matrices(p, &first, &second, &out);
    return make_operation(context, c, first.turned, second.turned) == CUBLAS_STATUS_SUCCESS &&
           make_layout(&c->first, &first, p->batch) == CUBLAS_STATUS_SUCCESS &&
           make_layout(&c->second, &second, p->batch) == CUBLAS_STATUS_SUCCESS &&
           make_layout(&c->out, &out, p->batch) == CUBLAS_STATUS_SUCCESS && ask(context, c) == CUBLAS_STATUS_SUCCESS;
}

static dipp_status choose(dipp_cuda_context *context, const dipp_cuda_product *product, dipp_cuda_chosen **out,
                          dipp_error *error)
{
    for (dipp_cuda_chosen *c = context->chosen; c; c = c->next)
        if (dipp_cuda_product_same(&c->product, product)) {
            *out = c;
            return DIPP_OK;
        }
    dipp_cuda_chosen *c = dipp_allocate_zeroed(1, sizeof *c);
    if (!c)
        return dipp_fail(error, DIPP_E_MEMORY, "cuda back-end: no memory for a matrix product");
    c->product = *product;
    c->library = choose_library(context, c);
    if (!c->library)
        free_chosen(c);
    c->next = context->chosen;
    context->chosen = c;
    *out = c;
    return DIPP_OK;
}

void dipp_cuda_forget_products(dipp_cuda_context *context)
{
    while (context->chosen) {
        dipp_cuda_chosen *c = context->chosen;
        context->chosen = c->next;
        free_chosen(c);
        dipp_release(c);
    }
}

/* ---- running ---- */

enum { OPERANDS = 3 }; /* A, B, bias */

typedef struct matmul_state {
    dipp_cuda_context *context;
    dipp_cuda_chosen *chosen;
    const char *name;
    int argument[OPERANDS], out_argument; /* -1: absent */
    bool widened[OPERANDS];               /* cast to f32 into scratch at offset */
    dipp_cuda_elementwise widen[OPERANDS];
    bool late_bias; /* f32 bias, bf16 result: the product goes to scratch in f32, then the sum is rounded once */
    dipp_cuda_elementwise add_bias;
    size_t offset[OPERANDS], product_offset, workspace_offset;
} matmul_state;

static void run_plain(const matmul_state *s, const void *a, const void *b, const void *bias, void *out)
{
    const dipp_cuda_product *p = &s->chosen->product;
    dipp_cuda_plain_product plain = {.batch = p->batch,
                                     .m = p->m,
                                     .n = p->n,
                                     .k = p->k,
                                     .a_batch = p->a_batch,
                                     .a_row = p->a_turned ? 1 : p->k,
                                     .a_column = p->a_turned ? p->m : 1,
                                     .b_batch = p->b_batch,
                                     .b_row = p->b_turned ? 1 : p->n,
                                     .b_column = p->b_turned ? p->k : 1,
                                     .a_type = p->in_type,
                                     .b_type = p->in_type,
                                     .bias_type = p->out_type,
                                     .out_type = p->out_type,
                                     .accumulate = p->accumulate};
    dipp_cuda_note(s->context,
                   dipp_cuda_launch_plain_product(s->context->stream, &plain, a, b, p->has_bias ? bias : NULL, out),
                   s->name);
}

static void run_library(const matmul_state *s, const void *a, const void *b, const void *bias, void *out,
                        void *workspace)
{
    const dipp_cuda_chosen *c = s->chosen;
    const float one = 1.0f, beta = c->product.accumulate ? 1.0f : 0.0f;
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    if (c->product.has_bias)
        status = cublasLtMatmulDescSetAttribute(c->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmul(s->context->library, c->operation, &one, b, c->first, a, c->second, &beta, out, c->out,
                                out, c->out, &c->algorithm, workspace, c->workspace, s->context->stream);
    dipp_cuda_note_library(s->context, status, s->name);
}

static void run(void *state, void *const *args)
{
    const matmul_state *s = state;
    const void *operand[OPERANDS];
    char *scratch = args[s->out_argument + 1];
    cudaStream_t stream = s->context->stream;
    for (int i = 0; i < OPERANDS; i++) {
        operand[i] = s->argument[i] < 0 ? NULL : args[s->argument[i]];
        if (!s->widened[i])
            continue;
        void *wide = scratch + s->offset[i];
        dipp_cuda_note(s->context, dipp_cuda_launch_elementwise(stream, &s->widen[i], operand[i], NULL, NULL, wide),
                       s->name);
        operand[i] = wide;
    }
    void *out = args[s->out_argument], *to = s->late_bias ? scratch + s->product_offset : out;
    if (s->chosen->library)
        run_library(s, operand[0], operand[1], operand[2], to,
                    s->chosen->workspace ? scratch + s->workspace_offset : NULL);
    else
        run_plain(s, operand[0], operand[1], operand[2], to);
    if (s->late_bias)
        dipp_cuda_note(s->context, dipp_cuda_launch_elementwise(stream, &s->add_bias, to, operand[2], NULL, out),
                       s->name);
}

/* ---- preparing ---- */

/* Has the operand cast to f32 into scratch; *offset is the scratch used so far. */
static void widen(matmul_state *s, int which, const dipp_operand *operand, size_t *offset)
{
    const dipp_shape *shape = &operand->shape;
    s->widened[which] = true;
    s->widen[which] = (dipp_cuda_elementwise){.op = DIPP_OP_CAST, .type = {DIPP_CUDA_BF16}, .out_type = DIPP_CUDA_F32};
    dipp_cuda_walk_of(&s->widen[which].walk, shape, &shape, 1);
    s->offset[which] = *offset;
    *offset += dipp_cuda_round_up((size_t)dipp_cuda_elements(shape) * sizeof(float));
}

static void plan_late_bias(matmul_state *s, const dipp_node_view *node, size_t *offset)
{
    const dipp_shape *out = &node->outputs[0].shape, *const shapes[] = {out, &node->inputs[2].shape};
    s->late_bias = true;
    s->add_bias =
        (dipp_cuda_elementwise){.op = DIPP_OP_ADD, .type = {DIPP_CUDA_F32, DIPP_CUDA_F32}, .out_type = DIPP_CUDA_BF16};
    dipp_cuda_walk_of(&s->add_bias.walk, out, shapes, 2);
    s->product_offset = *offset;
    *offset += dipp_cuda_round_up((size_t)dipp_cuda_elements(out) * sizeof(float));
}

dipp_status dipp_cuda_prepare_matmul(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                     dipp_error *error)
{
    matmul_state *s = dipp_cuda_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    dipp_cuda_product product;
    dipp_cuda_product_of(&product, node);
    bool is_weight = node->op == DIPP_OP_LINEAR_BACKWARD_WEIGHT;
    int32_t types[2] = {dipp_cuda_type_of(context, node->inputs[0].dtype),
                        dipp_cuda_type_of(context, node->inputs[1].dtype)};
    s->context = context;
    s->name = dipp_op_infos[node->op].name;
    s->argument[0] = is_weight ? 1 : 0;
    s->argument[1] = is_weight ? 0 : 1;
    s->argument[2] = product.has_bias ? 2 : -1;
    s->out_argument = (int)node->input_count;
    product.in_type = types[0] == types[1] ? types[0] : DIPP_CUDA_F32;
    product.out_type = dipp_cuda_type_of(context, node->outputs[0].dtype);
    size_t offset = 0;
    for (int i = 0; i < 2; i++)
        if (types[s->argument[i]] != product.in_type)
            widen(s, i, &node->inputs[s->argument[i]], &offset);
    if (product.has_bias) {
        int32_t bias_type = dipp_cuda_type_of(context, node->inputs[2].dtype);
        if (bias_type == DIPP_CUDA_BF16 && product.out_type == DIPP_CUDA_F32)
            widen(s, 2, &node->inputs[2], &offset);
        else if (bias_type != product.out_type)
            plan_late_bias(s, node, &offset);
    }
    if (product.in_type == DIPP_CUDA_F32 && product.out_type == DIPP_CUDA_BF16 && !s->late_bias) {
        /* f32 times f32 has no bf16 result in the library: round in a pass of its own */
        if (product.has_bias)
            widen(s, 2, &node->inputs[2], &offset);
        const dipp_shape *shape = &node->outputs[0].shape;
        s->late_bias = true;
        s->add_bias = (dipp_cuda_elementwise){.op = DIPP_OP_CAST, .out_type = DIPP_CUDA_BF16};
        dipp_cuda_walk_of(&s->add_bias.walk, shape, &shape, 1);
        s->product_offset = offset;
        offset += dipp_cuda_round_up((size_t)dipp_cuda_elements(shape) * sizeof(float));
    }
    if (s->late_bias) {
        product.out_type = DIPP_CUDA_F32;
        product.has_bias = product.has_bias && s->add_bias.op == DIPP_OP_CAST;
    }
    dipp_status status = choose(context, &product, &s->chosen, error);
    if (status != DIPP_OK) {
        dipp_release(s);
        *out = (dipp_kernel){0};
        return status;
    }
    s->workspace_offset = offset;
    out->scratch_bytes = offset + dipp_cuda_round_up(s->chosen->workspace);
    out->run = run;
    return DIPP_OK;
}
