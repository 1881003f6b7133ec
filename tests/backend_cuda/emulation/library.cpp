// A stand-in for cuBLASLt, for tests where there is no GPU: column-major products by plain loops, with the layouts,
// types, batches, transposes, bias and workspace taken as the library's manual says. Odd products are refused when
// EMULATED_LIBRARY is "none", so that the back-end's own product is tried.
#include "cublasLt.h"

#include <cstdlib>

struct emulated_handle {
    int unused;
};

struct emulated_operation {
    int32_t turn_a = CUBLAS_OP_N, turn_b = CUBLAS_OP_N, epilogue = CUBLASLT_EPILOGUE_DEFAULT, bias_type = CUDA_R_32F;
    const void *bias = nullptr;
};

struct emulated_layout {
    cudaDataType type;
    uint64_t rows, columns;
    int64_t leading, stride = 0;
    int32_t batch = 1;
};

struct emulated_preference {
    uint64_t workspace = 0;
    uint32_t reductions = 7;
};

enum { WORKSPACE = 512 };

static float number(const void *from, int32_t type, int64_t i)
{
    if (type == CUDA_R_32F)
        return static_cast<const float *>(from)[i];
    return __uint_as_float((uint32_t) static_cast<const uint16_t *>(from)[i] << 16);
}

static bool fits(const emulated_layout &l)
{
    return l.leading >= (int64_t)l.rows && l.rows && l.columns && l.batch >= 1;
}

/* Whether the manual has the product. */
static bool known(const emulated_operation &o, const emulated_layout &a, const emulated_layout &b,
                  const emulated_layout &d)
{
    uint64_t m = o.turn_a ? a.columns : a.rows, k = o.turn_a ? a.rows : a.columns;
    uint64_t kb = o.turn_b ? b.columns : b.rows, n = o.turn_b ? b.rows : b.columns;
    bool types = a.type == b.type && (d.type == CUDA_R_32F || d.type == a.type);
    bool bias = o.epilogue != CUBLASLT_EPILOGUE_BIAS || (o.bias && o.bias_type == d.type);
    return fits(a) && fits(b) && fits(d) && k == kb && d.rows == m && d.columns == n && a.batch == b.batch &&
           a.batch == d.batch && types && bias;
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? "success" : "emulated library failure";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = new emulated_handle();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t, cudaDataType_t scale)
{
    *out = new emulated_operation;
    return scale == CUDA_R_32F ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation)
{
    delete operation;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t o, cublasLtMatmulDescAttributes_t which,
                                              const void *value, size_t bytes)
{
    void *field = which == CUBLASLT_MATMUL_DESC_TRANSA         ? (void *)&o->turn_a
                  : which == CUBLASLT_MATMUL_DESC_TRANSB       ? (void *)&o->turn_b
                  : which == CUBLASLT_MATMUL_DESC_EPILOGUE     ? (void *)&o->epilogue
                  : which == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? (void *)&o->bias
                                                               : (void *)&o->bias_type;
    if (bytes != (which == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? sizeof(void *) : 4))
        return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(field, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t leading)
{
    *out = new emulated_layout{type, rows, columns, leading};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t which,
                                                const void *value, size_t bytes)
{
    if (bytes != (which == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT ? 4 : 8))
        return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(which == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT ? (void *)&layout->batch : (void *)&layout->stride, value,
                bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out)
{
    *out = new emulated_preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t which, const void *value,
                                                    size_t bytes)
{
    bool workspace = which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
    if (bytes != (workspace ? 8 : 4))
        return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(workspace ? (void *)&preference->workspace : (void *)&preference->reductions, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *found)
{
    const char *library = std::getenv("EMULATED_LIBRARY");
    *found = 0;
    /* A reduction in place would add in no fixed order. */
    if ((library && !std::strcmp(library, "none")) || preference->reductions & 1u || preference->workspace < WORKSPACE)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!known(*operation, *a, *b, *d) || c->type != d->type)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    for (; *found < wanted && *found < 2; ++*found) { /* the first one is not usable */
        results[*found] = cublasLtMatmulHeuristicResult_t();
        results[*found].state = *found ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
        results[*found].workspaceSize = *found ? WORKSPACE : 0;
        results[*found].algo.data[0] = *found ? 0x900d : 0xbad;
    }
    return CUBLAS_STATUS_SUCCESS;
}

static void product(const emulated_operation &o, const emulated_layout &al, const emulated_layout &bl,
                    const emulated_layout &dl, const void *a, const void *b, float beta, void *d)
{
    int64_t m = (int64_t)dl.rows, n = (int64_t)dl.columns, k = (int64_t)(o.turn_a ? al.rows : al.columns);
    for (int64_t batch = 0; batch < dl.batch; batch++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < m; i++) {
                float total = 0;
                for (int64_t l = 0; l < k; l++) {
                    int64_t at = o.turn_a ? l + i * al.leading : i + l * al.leading;
                    int64_t bt = o.turn_b ? j + l * bl.leading : l + j * bl.leading;
                    total += number(a, al.type, batch * al.stride + at) * number(b, bl.type, batch * bl.stride + bt);
                }
                int64_t to = batch * dl.stride + i + j * dl.leading;
                if (beta != 0)
                    total += beta * number(d, dl.type, to);
                if (o.epilogue == CUBLASLT_EPILOGUE_BIAS)
                    total += number(o.bias, o.bias_type, i);
                if (dl.type == CUDA_R_32F)
                    static_cast<float *>(d)[to] = total;
                else
                    static_cast<uint16_t *>(d)[to] = emulated::bf16_of(total);
            }
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                              const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream)
{
    if (!known(*operation, *a_layout, *b_layout, *d_layout) || c != d || c_layout != d_layout ||
        *static_cast<const float *>(alpha) != 1.0f || algorithm->data[0] != 0x900d || !workspace ||
        workspace_bytes < WORKSPACE || (uintptr_t)workspace % 256)
        return CUBLAS_STATUS_INVALID_VALUE;
    float old = *static_cast<const float *>(beta);
    emulated_operation o = *operation;
    emulated_layout al = *a_layout, bl = *b_layout, dl = *d_layout;
    /* Through the same door as kernels: it waits on the stream, or is captured. */
    emulated::launch(stream, dim3(1), 32, [=] {
        if (threadIdx.x)
            return;
        std::memset(workspace, 0xff, WORKSPACE);
        product(o, al, bl, dl, a, b, old, d);
    });
    return CUBLAS_STATUS_SUCCESS;
}
