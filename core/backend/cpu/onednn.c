/* The engine, what the CPU can do, and matrix products. Convolutions are in onednn_convolution.c. */
#include "backend/cpu/onednn_internal.h"
#include "base/memory.h"

#include <oneapi/dnnl/dnnl_debug.h>

#include <string.h>

enum { ARGUMENT_A, ARGUMENT_B, ARGUMENT_C, ARGUMENT_SCRATCH, ARGUMENT_BIAS, ARGUMENTS };

struct dipp_cpu_matmul {
    dipp_cpu_matmul *next;
    dipp_cpu_product product;
    dnnl_primitive_t primitive;
    dnnl_stream_t stream;               /* the owner's */
    size_t scratch_bytes, packed_bytes; /* scratch holds the packed weight, then oneDNN's scratchpad */
    int argument_count;
    dnnl_exec_arg_t arguments[ARGUMENTS]; /* memory objects without memory; run sets where they point */
    dnnl_primitive_t pack;                /* reorder of the weight, when it is packed */
    dnnl_memory_t plain;                  /* the weight as the caller has it */
};

dipp_status dipp_cpu_onednn_fail(dipp_error *error, dnnl_status_t status, const char *what)
{
    return dipp_fail(error, status == dnnl_out_of_memory ? DIPP_E_MEMORY : DIPP_E_INTERNAL,
                     "cpu back-end: oneDNN could not %s: %s", what, dnnl_status2str(status));
}

const char *dipp_cpu_onednn_isa(void)
{
    switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41: return "sse41";
    case dnnl_cpu_isa_avx: return "avx";
    case dnnl_cpu_isa_avx2: return "avx2";
    case dnnl_cpu_isa_avx2_vnni: return "avx2_vnni";
    case dnnl_cpu_isa_avx512_core: return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni: return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16: return "avx512_core_bf16";
    case dnnl_cpu_isa_avx512_core_amx: return "avx512_core_amx";
    default: return "generic";
    }
}

bool dipp_cpu_onednn_has_amx(void)
{
    return dnnl_get_effective_cpu_isa() == dnnl_cpu_isa_avx512_core_amx;
}

/* The enumerators are bit sets that grow with the instruction set. */
static bool has_isa(dnnl_cpu_isa_t isa)
{
    return (dnnl_get_effective_cpu_isa() & isa) == isa;
}

bool dipp_cpu_onednn_has_avx512(void)
{
    return has_isa(dnnl_cpu_isa_avx512_core);
}

bool dipp_cpu_onednn_has_avx2(void)
{
    return has_isa(dnnl_cpu_isa_avx2);
}

dipp_status dipp_cpu_onednn_create(int threads, dipp_cpu_onednn **out, dipp_error *error)
{
    dipp_cpu_onednn *onednn = dipp_allocate_zeroed(1, sizeof *onednn);
    if (!onednn)
        return dipp_fail(error, DIPP_E_MEMORY, "cpu back-end: no memory for the oneDNN context");
    dnnl_status_t status = dnnl_engine_create(&onednn->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&onednn->stream, onednn->engine, dnnl_stream_default_flags);
    if (status != dnnl_success) {
        dipp_cpu_onednn_destroy(&onednn);
        return dipp_cpu_onednn_fail(error, status, "create a CPU engine");
    }
    *out = onednn;
    return DIPP_OK;
}

static void destroy_matmul(dipp_cpu_matmul *matmul)
{
    for (int i = 0; i < ARGUMENTS; i++)
        if (matmul->arguments[i].memory)
            dnnl_memory_destroy(matmul->arguments[i].memory);
    if (matmul->plain)
        dnnl_memory_destroy(matmul->plain);
    if (matmul->pack)
        dnnl_primitive_destroy(matmul->pack);
    if (matmul->primitive)
        dnnl_primitive_destroy(matmul->primitive);
    dipp_release(matmul);
}

void dipp_cpu_onednn_destroy(dipp_cpu_onednn **onednn_at)
{
    if (!onednn_at || !*onednn_at)
        return;
    dipp_cpu_onednn *onednn = *onednn_at;
    while (onednn->matmuls) {
        dipp_cpu_matmul *matmul = onednn->matmuls;
        onednn->matmuls = matmul->next;
        destroy_matmul(matmul);
    }
    dipp_cpu_convolutions_destroy(onednn);
    if (onednn->stream)
        dnnl_stream_destroy(onednn->stream);
    if (onednn->engine)
        dnnl_engine_destroy(onednn->engine);
    dipp_release(onednn);
    *onednn_at = NULL;
}

/* [batch] rows x columns; a batch of one is left out. */
static dnnl_status_t describe(dnnl_memory_desc_t *out, const dipp_cpu_product *p, int32_t type, int64_t rows,
                              int64_t columns, int64_t batch_stride, int64_t row_stride, int64_t column_stride,
                              int64_t batch)
{
    dnnl_dims_t dims = {batch, rows, columns}, strides = {batch_stride, row_stride, column_stride};
    int skip = p->batch == 1;
    if (batch == 1)
        strides[0] = rows * columns;
    return dnnl_memory_desc_init_by_strides(out, 3 - skip, dims + skip, dipp_cpu_onednn_type(type), strides + skip);
}

static dnnl_status_t describe_matmul(const dipp_cpu_product *p, dnnl_matmul_desc_t *out)
{
    dnnl_memory_desc_t a, b, c, bias;
    dnnl_status_t status = describe(&a, p, p->ab_type, p->m, p->k, p->a_batch, p->a_row, p->a_col, p->batch);
    if (status == dnnl_success)
        status = describe(&b, p, p->ab_type, p->k, p->n, p->b_batch, p->b_row, p->b_col, p->b_batch ? p->batch : 1);
    if (status == dnnl_success)
        status = describe(&c, p, p->c_type, p->m, p->n, p->m * p->n, p->n, 1, p->batch);
    if (status == dnnl_success && p->has_bias)
        status = describe(&bias, p, p->bias_type, 1, p->n, p->n, p->n, 1, 1);
    if (status == dnnl_success)
        status = dnnl_matmul_desc_init(out, &a, &b, p->has_bias ? &bias : NULL, &c);
    return status;
}

/* The weight [n, k] as the caller has it. */
static dnnl_status_t describe_weight(const dipp_cpu_product *p, dnnl_memory_desc_t *out)
{
    dnnl_dims_t dims = {p->n, p->k};
    return dnnl_memory_desc_init_by_tag(out, 2, dims, dipp_cpu_onednn_type(p->ab_type), dnnl_ab);
}

/* oneDNN's inner product with a weight in the layout of its choice: a tenth faster than its matmul on tall inputs. */
static dnnl_status_t describe_packed(const dipp_cpu_product *p, dnnl_inner_product_desc_t *out)
{
    dnnl_memory_desc_t x, w, bias, y;
    dnnl_dims_t x_dims = {p->m, p->k}, w_dims = {p->n, p->k}, y_dims = {p->m, p->n}, bias_dims = {p->n};
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&x, 2, x_dims, dipp_cpu_onednn_type(p->ab_type), dnnl_ab);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&w, 2, w_dims, dipp_cpu_onednn_type(p->ab_type), dnnl_format_tag_any);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&y, 2, y_dims, dipp_cpu_onednn_type(p->c_type), dnnl_ab);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, dipp_cpu_onednn_type(p->bias_type), dnnl_a);
    if (status == dnnl_success)
        status =
            dnnl_inner_product_forward_desc_init(out, dnnl_forward_inference, &x, &w, p->has_bias ? &bias : NULL, &y);
    return status;
}

static dnnl_status_t create_descriptor(const dipp_cpu_product *p, dnnl_engine_t engine, dnnl_primitive_desc_t *out)
{
    dnnl_matmul_desc_t matmul;
    dnnl_inner_product_desc_t inner;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t after = NULL;
    dnnl_status_t status = p->packed ? describe_packed(p, &inner) : describe_matmul(p, &matmul);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_create(&attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success && p->accumulate) {
        status = dnnl_post_ops_create(&after);
        if (status == dnnl_success)
            status = dnnl_post_ops_append_sum(after, 1.0f);
        if (status == dnnl_success)
            status = dnnl_primitive_attr_set_post_ops(attributes, after);
    }
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(out, p->packed ? (const_dnnl_op_desc_t)&inner : &matmul, attributes, engine,
                                            NULL);
    if (after)
        dnnl_post_ops_destroy(after);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* The reorder that packs the weight; none when oneDNN likes it as it is. */
static dnnl_status_t create_packing(dipp_cpu_matmul *matmul, const_dnnl_primitive_desc_t descriptor,
                                    dnnl_engine_t engine)
{
    dnnl_memory_desc_t plain;
    dnnl_primitive_desc_t reorder = NULL;
    const dnnl_memory_desc_t *packed = dnnl_primitive_desc_query_md(descriptor, dnnl_query_weights_md, 0);
    dnnl_status_t status = describe_weight(&matmul->product, &plain);
    if (status != dnnl_success || dnnl_memory_desc_equal(&plain, packed))
        return status;
    matmul->packed_bytes = dipp_cpu_round_up(dnnl_memory_desc_get_size(packed));
    status = dnnl_reorder_primitive_desc_create(&reorder, &plain, engine, packed, engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&matmul->pack, reorder);
    if (status == dnnl_success)
        status = dnnl_memory_create(&matmul->plain, &plain, engine, DNNL_MEMORY_NONE);
    if (reorder)
        dnnl_primitive_desc_destroy(reorder);
    return status;
}

static dnnl_status_t add_argument(dipp_cpu_matmul *matmul, const_dnnl_primitive_desc_t descriptor, dnnl_engine_t engine,
                                  int slot, int name, dnnl_query_t query, int index)
{
    const dnnl_memory_desc_t *memory = dnnl_primitive_desc_query_md(descriptor, query, index);
    matmul->arguments[slot].arg = name;
    if (slot == ARGUMENT_SCRATCH)
        matmul->scratch_bytes = memory ? dnnl_memory_desc_get_size(memory) : 0;
    if (slot >= matmul->argument_count)
        matmul->argument_count = slot + 1;
    return dnnl_memory_create(&matmul->arguments[slot].memory, memory, engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t build(dipp_cpu_onednn *onednn, dipp_cpu_matmul *matmul)
{
    dnnl_primitive_desc_t descriptor = NULL;
    dnnl_status_t status = create_descriptor(&matmul->product, onednn->engine, &descriptor);
    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_create(&matmul->primitive, descriptor);
    const struct {
        int slot, name, index;
        dnnl_query_t query;
    } wanted[] = {
        {ARGUMENT_A, DNNL_ARG_SRC, 0, dnnl_query_src_md},
        {ARGUMENT_B, DNNL_ARG_WEIGHTS, 0, dnnl_query_weights_md},
        {ARGUMENT_C, DNNL_ARG_DST, 0, dnnl_query_dst_md},
        {ARGUMENT_SCRATCH, DNNL_ARG_SCRATCHPAD, 0, dnnl_query_scratchpad_md},
        {ARGUMENT_BIAS, DNNL_ARG_BIAS, 1, dnnl_query_weights_md},
    };
    for (int i = 0; i < (matmul->product.has_bias ? 5 : 4) && status == dnnl_success; i++)
        status = add_argument(matmul, descriptor, onednn->engine, wanted[i].slot, wanted[i].name, wanted[i].query,
                              wanted[i].index);
    if (status == dnnl_success && matmul->product.packed)
        status = create_packing(matmul, descriptor, onednn->engine);
    matmul->stream = onednn->stream;
    dnnl_primitive_desc_destroy(descriptor);
    return status;
}

dipp_status dipp_cpu_matmul_get(dipp_cpu_onednn *onednn, const dipp_cpu_product *product, dipp_cpu_matmul **out,
                                dipp_error *error)
{
    for (dipp_cpu_matmul *matmul = onednn->matmuls; matmul; matmul = matmul->next)
        if (!memcmp(&matmul->product, product, sizeof *product)) {
            *out = matmul;
            return DIPP_OK;
        }
    dipp_cpu_matmul *matmul = dipp_allocate_zeroed(1, sizeof *matmul);
    if (!matmul)
        return dipp_fail(error, DIPP_E_MEMORY, "cpu back-end: no memory for a matrix product");
    matmul->product = *product;
    dnnl_status_t status = build(onednn, matmul);
    if (status != dnnl_success) {
        destroy_matmul(matmul);
        dipp_cpu_onednn_fail(error, status, "make a matrix product");
        return dipp_error_context(error, "batch %lld, %lld x %lld x %lld", (long long)product->batch,
                                  (long long)product->m, (long long)product->k, (long long)product->n);
    }
    matmul->next = onednn->matmuls;
    onednn->matmuls = matmul;
    *out = matmul;
    return DIPP_OK;
}

size_t dipp_cpu_matmul_scratch(const dipp_cpu_matmul *matmul)
{
    return matmul->packed_bytes + matmul->scratch_bytes;
}

void dipp_cpu_matmul_run(dipp_cpu_matmul *matmul, const void *a, const void *b, const void *bias, void *c,
                         void *scratch)
{
    dnnl_exec_arg_t *arguments = matmul->arguments;
    dnnl_memory_set_data_handle(arguments[ARGUMENT_A].memory, (void *)a);
    dnnl_memory_set_data_handle(arguments[ARGUMENT_B].memory, matmul->pack ? scratch : (void *)b);
    dnnl_memory_set_data_handle(arguments[ARGUMENT_C].memory, c);
    dnnl_memory_set_data_handle(arguments[ARGUMENT_SCRATCH].memory, (char *)scratch + matmul->packed_bytes);
    if (matmul->product.has_bias)
        dnnl_memory_set_data_handle(arguments[ARGUMENT_BIAS].memory, (void *)bias);
    if (matmul->pack) {
        dnnl_memory_set_data_handle(matmul->plain, (void *)b);
        const dnnl_exec_arg_t pack[] = {{DNNL_ARG_FROM, matmul->plain}, {DNNL_ARG_TO, arguments[ARGUMENT_B].memory}};
        dnnl_primitive_execute(matmul->pack, matmul->stream, 2, pack);
    }
    /* A CPU stream runs at once; what could fail was checked when the primitive was made. */
    dnnl_primitive_execute(matmul->primitive, matmul->stream, matmul->argument_count, arguments);
}
