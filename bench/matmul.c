/* The cpu back-end's linear layers against raw oneDNN in one run: for every layer of a small transformer step and each
 * leg (forward, gradient of the input, gradient of the weight) the best of several ways to ask oneDNN, with operands
 * already in the layout it likes best and nothing else to do, next to the node as dipp runs it. Rounds alternate
 * between all candidates and the best round counts, so a busy machine disturbs both alike; read the ratio. One thread is
 * measured by its own processor time, which other work hardly disturbs.
 *
 *   bench-matmul [f32|bf16] [threads] [rounds] */
#include "node.h"

#include <oneapi/dnnl/dnnl.h>
#include <omp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum leg { FORWARD, DATA, WEIGHT, LEGS } leg;

typedef struct layer {
    const char *name;
    int64_t rows, in, out;
} layer;

static const layer layers[] = {
    {"out 128", 2048, 128, 128},       {"mlp up 128", 2048, 128, 512},  {"mlp down 128", 2048, 512, 128},
    {"qkv 160", 8192, 160, 480},       {"out 160", 8192, 160, 160},     {"mlp up 160", 8192, 160, 640},
    {"mlp down 160", 8192, 640, 160},  {"qkv 256", 4096, 256, 768},     {"mlp up 256", 4096, 256, 1024},
    {"mlp down 256", 4096, 1024, 256}, {"text kv 160", 1536, 160, 320}, {"adaln 160", 128, 160, 960},
};

static void check(dnnl_status_t status, const char *what)
{
    if (status != dnnl_success) {
        fprintf(stderr, "bench-matmul: oneDNN: %s: status %d\n", what, (int)status);
        exit(1);
    }
}

/* ---- raw oneDNN ---- */

enum { MOST_ARGUMENTS = 5 };

typedef struct raw {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arguments[MOST_ARGUMENTS];
    int count;
} raw;

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void add_argument(raw *r, const_dnnl_primitive_desc_t descriptor, int name, dnnl_query_t query, int index)
{
    const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(descriptor, query, index);
    if (!md || !dnnl_memory_desc_get_size(md))
        return;
    dnnl_exec_arg_t *argument = &r->arguments[r->count++];
    argument->arg = name;
    check(dnnl_memory_create(&argument->memory, md, engine, DNNL_MEMORY_ALLOCATE), "memory");
    void *data;
    dnnl_memory_get_data_handle(argument->memory, &data);
    memset(data, 0, dnnl_memory_desc_get_size(md));
}

static dnnl_memory_desc_t plain(int64_t rows, int64_t columns, bool transposed, dnnl_data_type_t type)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t dims = {rows, columns}, strides = {transposed ? 1 : columns, transposed ? rows : 1};
    check(dnnl_memory_desc_init_by_strides(&md, 2, dims, type, strides), "describe");
    return md;
}

static dnnl_memory_desc_t any(int64_t rows, int64_t columns, dnnl_data_type_t type)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t dims = {rows, columns};
    check(dnnl_memory_desc_init_by_tag(&md, 2, dims, type, dnnl_format_tag_any), "describe");
    return md;
}

/* mode 0: plain layouts; 1: the weight-like operand as oneDNN likes it; 2: all operands. False when there is none. */
static bool make_matmul(raw *r, const layer *l, leg which, int mode, dnnl_data_type_t type)
{
    int64_t m = which == WEIGHT ? l->out : l->rows, n = which == FORWARD ? l->out : l->in;
    int64_t k = which == FORWARD ? l->in : which == DATA ? l->out : l->rows;
    dnnl_data_type_t out_type = which == WEIGHT ? dnnl_f32 : type;
    dnnl_memory_desc_t a = mode == 2 ? any(m, k, type) : plain(m, k, which == WEIGHT, type);
    dnnl_memory_desc_t b = mode ? any(k, n, type) : plain(k, n, which == FORWARD, type);
    dnnl_memory_desc_t c = plain(m, n, false, out_type), bias = plain(1, n, false, type);
    dnnl_matmul_desc_t d;
    dnnl_primitive_desc_t pd;
    check(dnnl_matmul_desc_init(&d, &a, &b, which == FORWARD ? &bias : NULL, &c), "matmul");
    if (dnnl_primitive_desc_create(&pd, &d, NULL, engine, NULL) != dnnl_success)
        return false;
    check(dnnl_primitive_create(&r->primitive, pd), "primitive");
    add_argument(r, pd, DNNL_ARG_SRC, dnnl_query_src_md, 0);
    add_argument(r, pd, DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0);
    add_argument(r, pd, DNNL_ARG_BIAS, dnnl_query_weights_md, 1);
    add_argument(r, pd, DNNL_ARG_DST, dnnl_query_dst_md, 0);
    dnnl_primitive_desc_destroy(pd);
    return true;
}

/* mode 0: plain activations, any weight; 1: everything any. */
static bool make_inner_product(raw *r, const layer *l, leg which, int mode, dnnl_data_type_t type)
{
    dnnl_data_type_t weight_type = which == WEIGHT ? dnnl_f32 : type;
    dnnl_memory_desc_t x = mode ? any(l->rows, l->in, type) : plain(l->rows, l->in, false, type);
    dnnl_memory_desc_t y = mode ? any(l->rows, l->out, type) : plain(l->rows, l->out, false, type);
    dnnl_memory_desc_t w = any(l->out, l->in, weight_type), bias;
    dnnl_dims_t bias_dims = {l->out};
    check(dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, type, dnnl_a), "describe");
    dnnl_inner_product_desc_t d, forward;
    dnnl_primitive_desc_t pd, hint = NULL;
    dnnl_memory_desc_t w_hint = any(l->out, l->in, type);
    check(dnnl_inner_product_forward_desc_init(&forward, dnnl_forward_training, &x, &w_hint,
                                               which == FORWARD ? &bias : NULL, &y),
          "inner product");
    if (dnnl_primitive_desc_create(&hint, &forward, NULL, engine, NULL) != dnnl_success)
        return false;
    if (which == FORWARD) {
        pd = hint;
    } else {
        if (which == DATA)
            check(dnnl_inner_product_backward_data_desc_init(&d, &x, &w, &y), "inner product");
        else
            check(dnnl_inner_product_backward_weights_desc_init(&d, &x, &w, NULL, &y), "inner product");
        dnnl_status_t status = dnnl_primitive_desc_create(&pd, &d, NULL, engine, hint);
        dnnl_primitive_desc_destroy(hint);
        if (status != dnnl_success)
            return false;
    }
    check(dnnl_primitive_create(&r->primitive, pd), "primitive");
    add_argument(r, pd, which == DATA ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC,
                 which == DATA ? dnnl_query_diff_src_md : dnnl_query_src_md, 0);
    add_argument(r, pd, which == WEIGHT ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS,
                 which == WEIGHT ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    if (which == FORWARD)
        add_argument(r, pd, DNNL_ARG_BIAS, dnnl_query_weights_md, 1);
    add_argument(r, pd, which == FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST,
                 which == FORWARD ? dnnl_query_dst_md : dnnl_query_diff_dst_md, 0);
    dnnl_primitive_desc_destroy(pd);
    return true;
}

static void run_raw(void *state)
{
    raw *r = state;
    dnnl_primitive_execute(r->primitive, stream, r->count, r->arguments);
}

static void destroy_raw(raw *r)
{
    for (int i = 0; i < r->count; i++)
        dnnl_memory_destroy(r->arguments[i].memory);
    dnnl_primitive_destroy(r->primitive);
}

/* ---- dipp ---- */

static bool make_node(bench_node *t, dipp_backend *backend, const layer *l, leg which)
{
    static const dipp_attributes overwrite, accumulate = {.accumulate = true};
    dipp_operand x = {true, DIPP_COMPUTE, DIPP_SHAPE(l->rows, l->in)};
    dipp_operand y = {true, DIPP_COMPUTE, DIPP_SHAPE(l->rows, l->out)};
    dipp_operand w = {true, DIPP_COMPUTE, DIPP_SHAPE(l->out, l->in)}, bias = {true, DIPP_COMPUTE, DIPP_SHAPE(l->out)};
    dipp_operand gradient = w;
    gradient.dtype = DIPP_WIDE;
    dipp_node_view view = {.attributes = which == WEIGHT ? &accumulate : &overwrite, .output_count = 1};
    if (which == FORWARD)
        view = (dipp_node_view){DIPP_OP_LINEAR, 3, 1, {x, w, bias}, {y}, view.attributes};
    else if (which == DATA)
        view = (dipp_node_view){DIPP_OP_MATMUL, 2, 1, {y, w}, {x}, view.attributes};
    else
        view = (dipp_node_view){DIPP_OP_LINEAR_BACKWARD_WEIGHT, 2, 1, {x, y}, {gradient}, view.attributes};
    dipp_error error;
    if (bench_node_make(t, backend, &view, &error) != DIPP_OK) {
        fprintf(stderr, "bench-matmul: %s\n", error.message);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    dipp_backend_options options = {.struct_size = sizeof options,
                                    .precision = argc > 1 ? argv[1] : "auto",
                                    .threads = argc > 2 ? (uint32_t)atoi(argv[2]) : 0};
    int rounds = argc > 3 ? atoi(argv[3]) : 7;
    dipp_backend *backend;
    dipp_error error;
    if (dipp_backend_create("cpu", &options, &backend, &error) != DIPP_OK) {
        fprintf(stderr, "bench-matmul: %s\n", error.message);
        return 1;
    }
    omp_set_num_threads((int)backend->threads);
    check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
    dnnl_data_type_t type = strcmp(backend->precision, "bf16") ? dnnl_f32 : dnnl_bf16;
    printf("%s, %u threads, %s; TFLOP/s\n", backend->precision, backend->threads, backend->isa);
    printf("%-13s %5s %5s %5s  %-7s %8s %8s %8s %8s %8s | %8s %6s\n", "layer", "rows", "in", "out", "leg", "mm plain",
           "mm w-any", "mm any", "ip w-any", "ip any", "dipp", "ratio");
    static const char *const leg_names[] = {"forward", "data", "weight"};
    double best_total = 0, dipp_total = 0;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        const layer *l = &layers[i];
        for (leg which = 0; which < LEGS; which++) {
            enum { RAWS = 5 };
            raw raws[RAWS] = {0};
            bench_node tested = {0};
            bool have[RAWS];
            double seconds[RAWS + 1] = {0};
            for (int k = 0; k < RAWS; k++)
                have[k] = k < 3 ? make_matmul(&raws[k], l, which, k, type)
                                : make_inner_product(&raws[k], l, which, k - 3, type);
            if (!make_node(&tested, backend, l, which))
                return 1;
            double flops = 2.0 * (double)l->rows * (double)l->in * (double)l->out;
            int repeats = (int)(2e9 / flops) + 1;
            for (int round = 0; round <= rounds; round++)
                for (int k = 0; k <= RAWS; k++) {
                    if (k < RAWS && !have[k])
                        continue;
                    double s = k < RAWS ? bench_seconds_of(run_raw, &raws[k], repeats)
                                        : bench_seconds_of(bench_node_run, &tested, repeats);
                    if (round < 2 || s < seconds[k]) /* round 0 warms up */
                        seconds[k] = s;
                }
            double best = 1e9;
            printf("%-13s %5d %5d %5d  %-7s", l->name, (int)l->rows, (int)l->in, (int)l->out, leg_names[which]);
            for (int k = 0; k < RAWS; k++) {
                if (have[k])
                    printf(" %8.3f", flops / seconds[k] * 1e-12);
                else
                    printf(" %8s", "-");
                if (have[k] && seconds[k] < best)
                    best = seconds[k];
            }
            printf(" | %8.3f %6.2f\n", flops / seconds[RAWS] * 1e-12, best / seconds[RAWS]);
            fflush(stdout);
            best_total += best;
            dipp_total += seconds[RAWS];
            for (int k = 0; k < RAWS; k++)
                if (have[k])
                    destroy_raw(&raws[k]);
            bench_node_destroy(&tested);
        }
    }
    printf("all layers and legs: best raw %.2f ms, dipp %.2f ms, ratio %.2f\n", best_total * 1e3, dipp_total * 1e3,
           best_total / dipp_total);
    dipp_backend_destroy(&backend);
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    return 0;
}
