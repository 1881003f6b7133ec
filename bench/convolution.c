/* The cpu back-end's convolutions against raw oneDNN in one run: for layers of SD's UNet and VAE at a quarter of their
 * widths (so that a run takes a minute) and each leg (forward, gradient of the input, gradient of the weight) oneDNN with
 * operands already in the layout named and nothing else to do, next to the node as dipp runs it, reorders and the bias's
 * gradient included. Rounds alternate between all candidates and the best round counts, so a busy machine disturbs all
 * alike; read the ratio. With one thread the processor's time is measured in place of the clock's.
 *
 *   bench-convolution [f32|bf16] [threads] [rounds] */
#include "node.h"

#include <oneapi/dnnl/dnnl.h>
#include <omp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum leg { FORWARD, DATA, WEIGHT, LEGS } leg;

typedef struct layer {
    const char *name;
    int64_t samples, in, out, size, kernel, stride, before, after;
} layer;

static const layer layers[] = {
    {"unet in", 4, 4, 80, 32, 3, 1, 1, 1},    {"unet 64", 4, 80, 80, 32, 3, 1, 1, 1},
    {"unet 32", 4, 160, 160, 16, 3, 1, 1, 1}, {"unet 8", 4, 320, 320, 8, 3, 1, 1, 1},
    {"unet down", 4, 80, 80, 32, 3, 2, 1, 1}, {"shortcut", 4, 160, 80, 32, 1, 1, 0, 0},
    {"vae down", 1, 32, 32, 128, 3, 2, 0, 1}, {"vae out", 1, 32, 3, 128, 3, 1, 1, 1},
};

static void check(dnnl_status_t status, const char *what)
{
    if (status != dnnl_success) {
        fprintf(stderr, "bench-convolution: oneDNN: %s: status %d\n", what, (int)status);
        exit(1);
    }
}

static int64_t out_size(const layer *l)
{
    return (l->size + l->before + l->after - l->kernel) / l->stride + 1;
}

/* ---- raw oneDNN ---- */

enum { MOST_ARGUMENTS = 4, WAYS = 3 };
static const dnnl_format_tag_t tags[WAYS] = {dnnl_nchw, dnnl_nhwc, dnnl_format_tag_any};

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

static dnnl_memory_desc_t tagged(const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md;
    check(dnnl_memory_desc_init_by_tag(&md, 4, dims, type, tag), "describe");
    return md;
}

/* Pictures in the layout tags[way], weights in any. False when oneDNN has none. */
static bool make_raw(raw *r, const layer *l, leg which, int way, dnnl_data_type_t type)
{
    const dnnl_dims_t x_dims = {l->samples, l->in, l->size, l->size}, w_dims = {l->out, l->in, l->kernel, l->kernel};
    const dnnl_dims_t y_dims = {l->samples, l->out, out_size(l), out_size(l)}, bias_dims = {l->out};
    const dnnl_dims_t strides = {l->stride, l->stride}, before = {l->before, l->before}, after = {l->after, l->after};
    dnnl_memory_desc_t x = tagged(x_dims, type, tags[way]), y = tagged(y_dims, type, tags[way]), bias;
    dnnl_memory_desc_t w = tagged(w_dims, type, dnnl_format_tag_any);
    dnnl_memory_desc_t dw = tagged(w_dims, dnnl_f32, dnnl_format_tag_any);
    check(dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, type, dnnl_a), "describe");
    dnnl_convolution_desc_t forward, backward;
    dnnl_primitive_desc_t pd = NULL, hint = NULL;
    check(dnnl_convolution_forward_desc_init(&forward, which ? dnnl_forward_training : dnnl_forward_inference,
                                             dnnl_convolution_direct, &x, &w, &bias, &y, strides, before, after),
          "forward");
    if (dnnl_primitive_desc_create(&hint, &forward, NULL, engine, NULL) != dnnl_success)
        return false;
    if (which == DATA)
        check(dnnl_convolution_backward_data_desc_init(&backward, dnnl_convolution_direct, &x, &w, &y, strides, before,
                                                       after),
              "data");
    if (which == WEIGHT)
        check(dnnl_convolution_backward_weights_desc_init(&backward, dnnl_convolution_direct, &x, &dw, NULL, &y,
                                                          strides, before, after),
              "weight");
    if (which == FORWARD)
        check(dnnl_primitive_desc_clone(&pd, hint), "clone");
    else if (dnnl_primitive_desc_create(&pd, &backward, NULL, engine, hint) != dnnl_success)
        pd = NULL;
    dnnl_primitive_desc_destroy(hint);
    if (!pd)
        return false;
    check(dnnl_primitive_create(&r->primitive, pd), "primitive");
    static const struct {
        int name;
        dnnl_query_t query;
        int index;
    } wanted[LEGS][MOST_ARGUMENTS] = {{{DNNL_ARG_SRC, dnnl_query_src_md, 0},
                                       {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0},
                                       {DNNL_ARG_DST, dnnl_query_dst_md, 0},
                                       {DNNL_ARG_BIAS, dnnl_query_weights_md, 1}},
                                      {{DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md, 0},
                                       {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0},
                                       {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, 0}},
                                      {{DNNL_ARG_SRC, dnnl_query_src_md, 0},
                                       {DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md, 0},
                                       {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, 0}}};
    for (int i = 0; i < (which == FORWARD ? 4 : 3); i++)
        add_argument(r, pd, wanted[which][i].name, wanted[which][i].query, wanted[which][i].index);
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
    dipp_attributes attributes = {
        .stride = l->stride, .pad_before = l->before, .pad_after = l->after, .accumulate = which == WEIGHT};
    dipp_operand x = {true, DIPP_COMPUTE, DIPP_SHAPE(l->samples, l->in, l->size, l->size)};
    dipp_operand y = {true, DIPP_COMPUTE, DIPP_SHAPE(l->samples, l->out, out_size(l), out_size(l))};
    dipp_operand w = {true, DIPP_COMPUTE, DIPP_SHAPE(l->out, l->in, l->kernel, l->kernel)};
    dipp_operand bias = {true, DIPP_COMPUTE, DIPP_SHAPE(l->out)}, dw = w, dbias = bias;
    dw.dtype = dbias.dtype = DIPP_WIDE;
    dipp_node_view view = {DIPP_OP_CONV2D, 3, 1, {x, w, bias}, {y}, &attributes};
    if (which == DATA)
        view = (dipp_node_view){DIPP_OP_CONV2D_BACKWARD_DATA, 2, 1, {w, y}, {x}, &attributes};
    if (which == WEIGHT)
        view = (dipp_node_view){DIPP_OP_CONV2D_BACKWARD_WEIGHT, 2, 2, {x, y}, {dw, dbias}, &attributes};
    dipp_error error;
    if (bench_node_make(t, backend, &view, &error) != DIPP_OK) {
        fprintf(stderr, "bench-convolution: %s\n", error.message);
        return false;
    }
    return true;
}

/* ---- measuring ---- */

/* Prints one line; false when dipp refuses. Adds the seconds of the best raw way and of dipp to totals. */
static bool measure(dipp_backend *backend, const layer *l, leg which, int rounds, dnnl_data_type_t type,
                    double totals[2])
{
    static const char *const leg_names[] = {"forward", "data", "weight"};
    raw raws[WAYS] = {0};
    bench_node tested = {0};
    bool have[WAYS];
    double seconds[WAYS + 1] = {0}, best = 1e9;
    for (int k = 0; k < WAYS; k++)
        have[k] = make_raw(&raws[k], l, which, k, type);
    if (!make_node(&tested, backend, l, which))
        return false;
    double places = (double)(out_size(l) * out_size(l) * l->samples);
    double flops = 2.0 * places * (double)(l->in * l->out * l->kernel * l->kernel);
    int repeats = (int)(5e8 / flops) + 1;
    for (int round = 0; round <= rounds; round++)
        for (int k = 0; k <= WAYS; k++) {
            if (k < WAYS && !have[k])
                continue;
            double s = k < WAYS ? bench_seconds_of(run_raw, &raws[k], repeats)
                                : bench_seconds_of(bench_node_run, &tested, repeats);
            if (round < 2 || s < seconds[k]) /* round 0 warms up */
                seconds[k] = s;
        }
    printf("%-10s %-7s", l->name, leg_names[which]);
    for (int k = 0; k < WAYS; k++) {
        if (have[k])
            printf(" %8.1f", flops / seconds[k] * 1e-9);
        else
            printf(" %8s", "-");
        if (have[k] && seconds[k] < best)
            best = seconds[k];
        if (have[k])
            destroy_raw(&raws[k]);
    }
    printf(" | %8.1f %6.2f\n", flops / seconds[WAYS] * 1e-9, best / seconds[WAYS]);
    fflush(stdout);
    bench_node_destroy(&tested);
    totals[0] += best;
    totals[1] += seconds[WAYS];
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
        fprintf(stderr, "bench-convolution: %s\n", error.message);
        return 1;
    }
    omp_set_num_threads((int)backend->threads);
    check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
    dnnl_data_type_t type = strcmp(backend->precision, "bf16") ? dnnl_f32 : dnnl_bf16;
    printf("%s, %u threads, %s; GFLOP/s\n", backend->precision, backend->threads, backend->isa);
    printf("%-10s %-7s %8s %8s %8s | %8s %6s\n", "layer", "leg", "nchw", "nhwc", "any", "dipp", "ratio");
    double totals[2] = {0, 0};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        for (leg which = 0; which < LEGS; which++)
            if (!measure(backend, &layers[i], which, rounds, type, totals))
                return 1;
    printf("all layers and legs: best raw %.2f ms, dipp %.2f ms, ratio %.2f\n", totals[0] * 1e3, totals[1] * 1e3,
           totals[0] / totals[1]);
    dipp_backend_destroy(&backend);
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    return 0;
}
