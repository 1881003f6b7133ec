/* Convolutions by oneDNN, each in the layouts that its implementation asks for. Operands lie in memory as NCHW and OIHW;
 * one that oneDNN wants otherwise is reordered into (or out of) scratch by the way. Against a 3x3 convolution of SD's widths
 * a reorder costs a few hundredths; layouts that fit as they are (a first layer's few channels) are used in place. */
#include "backend/cpu/onednn_internal.h"
#include "base/memory.h"

#include <string.h>

enum { X, W, Y, BIAS, PLACES };

/* One operand: as the caller has it, and as the primitive does. */
typedef struct place {
    dnnl_memory_t plain, inside; /* without memory; run sets where they point */
    dnnl_primitive_t reorder;    /* NULL: the primitive takes the caller's memory */
    size_t offset;               /* of inside, in scratch */
} place;

struct dipp_cpu_convolution {
    dipp_cpu_convolution *next;
    dipp_cpu_convolved convolved;
    dnnl_primitive_t primitive;
    dnnl_stream_t stream; /* the owner's */
    place places[PLACES];
    dnnl_memory_t scratchpad;
    size_t scratchpad_offset, scratch_bytes;
};

static int result_of(const dipp_cpu_convolution *convolution)
{
    static const int results[] = {[DIPP_CPU_FORWARD] = Y, [DIPP_CPU_BACKWARD_DATA] = X, [DIPP_CPU_BACKWARD_WEIGHT] = W};
    return results[convolution->convolved.leg];
}

static void destroy_convolution(dipp_cpu_convolution *convolution)
{
    for (int i = 0; i < PLACES; i++) {
        if (convolution->places[i].reorder)
            dnnl_primitive_destroy(convolution->places[i].reorder);
        if (convolution->places[i].plain)
            dnnl_memory_destroy(convolution->places[i].plain);
        if (convolution->places[i].inside)
            dnnl_memory_destroy(convolution->places[i].inside);
    }
    if (convolution->scratchpad)
        dnnl_memory_destroy(convolution->scratchpad);
    if (convolution->primitive)
        dnnl_primitive_destroy(convolution->primitive);
    dipp_release(convolution);
}

void dipp_cpu_convolutions_destroy(dipp_cpu_onednn *onednn)
{
    while (onednn->convolutions) {
        dipp_cpu_convolution *convolution = onednn->convolutions;
        onednn->convolutions = convolution->next;
        destroy_convolution(convolution);
    }
}

/* The four operands, plain as the caller has them, and with the layout left to oneDNN. */
static dnnl_status_t describe(const dipp_cpu_convolved *c, dnnl_memory_desc_t plain[PLACES],
                              dnnl_memory_desc_t open[PLACES])
{
    dnnl_dims_t dims[PLACES] = {{c->samples, c->in_channels, c->height, c->width},
                                {c->out_channels, c->in_channels, c->kernel, c->kernel},
                                {c->samples, c->out_channels, c->out_height, c->out_width},
                                {c->out_channels}};
    bool weight = c->leg == DIPP_CPU_BACKWARD_WEIGHT;
    int32_t types[PLACES] = {c->type, weight ? DIPP_CPU_F32 : c->type, c->y_type, weight ? DIPP_CPU_F32 : c->type};
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < PLACES && status == dnnl_success; i++) {
        dnnl_data_type_t type = dipp_cpu_onednn_type(types[i]);
        status =
            dnnl_memory_desc_init_by_tag(&plain[i], i == BIAS ? 1 : 4, dims[i], type, i == BIAS ? dnnl_a : dnnl_abcd);
        if (status == dnnl_success)
            status = dnnl_memory_desc_init_by_tag(&open[i], i == BIAS ? 1 : 4, dims[i], type,
                                                  i == BIAS ? dnnl_a : dnnl_format_tag_any);
    }
    return status;
}

/* The descriptor of the leg; the gradients' refer to a forward convolution's, as a hint. */
static dnnl_status_t create_descriptor(const dipp_cpu_convolved *c, const dnnl_memory_desc_t open[PLACES],
                                       dnnl_engine_t engine, dnnl_primitive_desc_t *out)
{
    const dnnl_dims_t strides = {c->stride, c->stride}, before = {c->pad_before, c->pad_before};
    const dnnl_dims_t after = {c->pad_after, c->pad_after};
    const dnnl_memory_desc_t *bias = c->bias ? &open[BIAS] : NULL;
    bool forward = c->leg == DIPP_CPU_FORWARD;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_convolution_desc_t first, second;
    dnnl_memory_desc_t weights = open[W], forward_bias = open[BIAS];
    weights.data_type = forward_bias.data_type =
        open[X].data_type; /* the forward has no f32 weights beside bf16 pictures */
    dnnl_status_t status = dnnl_primitive_attr_create(&attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_convolution_forward_desc_init(&first, forward ? dnnl_forward_inference : dnnl_forward_training,
                                                    dnnl_convolution_direct, &open[X], &weights,
                                                    bias ? &forward_bias : NULL, &open[Y], strides, before, after);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(forward ? out : &hint, &first, attributes, engine, NULL);
    if (status == dnnl_success && c->leg == DIPP_CPU_BACKWARD_DATA)
        status = dnnl_convolution_backward_data_desc_init(&second, dnnl_convolution_direct, &open[X], &open[W],
                                                          &open[Y], strides, before, after);
    if (status == dnnl_success && c->leg == DIPP_CPU_BACKWARD_WEIGHT)
        status = dnnl_convolution_backward_weights_desc_init(&second, dnnl_convolution_direct, &open[X], &open[W], bias,
                                                             &open[Y], strides, before, after);
    if (status == dnnl_success && !forward)
        status = dnnl_primitive_desc_create(out, &second, attributes, engine, hint);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* The layout that the primitive has chosen for an operand. */
static const dnnl_memory_desc_t *chosen(const_dnnl_primitive_desc_t descriptor, int leg, int which)
{
    static const dnnl_query_t queries[][3] = {
        [DIPP_CPU_FORWARD] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md},
        [DIPP_CPU_BACKWARD_DATA] = {dnnl_query_diff_src_md, dnnl_query_weights_md, dnnl_query_diff_dst_md},
        [DIPP_CPU_BACKWARD_WEIGHT] = {dnnl_query_src_md, dnnl_query_diff_weights_md, dnnl_query_diff_dst_md}};
    return dnnl_primitive_desc_query_md(descriptor, queries[leg][which], 0);
}

static dnnl_status_t create_reorder(place *p, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to, bool add,
                                    dnnl_engine_t engine)
{
    dnnl_primitive_desc_t descriptor = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t after = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attributes);
    if (status == dnnl_success && add) {
        status = dnnl_post_ops_create(&after);
        if (status == dnnl_success)
            status = dnnl_post_ops_append_sum(after, 1.0f);
        if (status == dnnl_success)
            status = dnnl_primitive_attr_set_post_ops(attributes, after);
    }
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&descriptor, from, engine, to, engine, attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&p->reorder, descriptor);
    if (descriptor)
        dnnl_primitive_desc_destroy(descriptor);
    if (after)
        dnnl_post_ops_destroy(after);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* Gradients of weights and biases always go by way of scratch: the one may be added, either may be unwanted. */
static dnnl_status_t create_place(dipp_cpu_convolution *convolution, int which, const dnnl_memory_desc_t *plain,
                                  const dnnl_memory_desc_t *inside, dnnl_engine_t engine)
{
    const dipp_cpu_convolved *c = &convolution->convolved;
    place *p = &convolution->places[which];
    bool is_result = which == result_of(convolution), weight = c->leg == DIPP_CPU_BACKWARD_WEIGHT;
    dnnl_status_t status = dnnl_memory_create(&p->plain, plain, engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success)
        status = dnnl_memory_create(&p->inside, inside, engine, DNNL_MEMORY_NONE);
    bool through_scratch = !dnnl_memory_desc_equal(plain, inside) || (weight && (is_result || which == BIAS));
    if (status != dnnl_success || !through_scratch)
        return status;
    p->offset = convolution->scratch_bytes;
    convolution->scratch_bytes += dipp_cpu_round_up(dnnl_memory_desc_get_size(inside));
    bool out = is_result || which == BIAS;
    return create_reorder(p, out ? inside : plain, out ? plain : inside, which == W && c->accumulate, engine);
}

static dnnl_status_t build(dipp_cpu_onednn *onednn, dipp_cpu_convolution *convolution)
{
    const dipp_cpu_convolved *c = &convolution->convolved;
    dnnl_memory_desc_t plain[PLACES], open[PLACES];
    dnnl_primitive_desc_t descriptor = NULL;
    dnnl_status_t status = describe(c, plain, open);
    if (status == dnnl_success)
        status = create_descriptor(c, open, onednn->engine, &descriptor);
    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_create(&convolution->primitive, descriptor);
    for (int i = 0; i < (c->bias ? PLACES : PLACES - 1) && status == dnnl_success; i++)
        status = create_place(convolution, i, &plain[i], i == BIAS ? &plain[i] : chosen(descriptor, c->leg, i),
                              onednn->engine);
    const dnnl_memory_desc_t *scratchpad = dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0);
    convolution->scratchpad_offset = convolution->scratch_bytes;
    convolution->scratch_bytes += dipp_cpu_round_up(scratchpad ? dnnl_memory_desc_get_size(scratchpad) : 0);
    if (status == dnnl_success)
        status = dnnl_memory_create(&convolution->scratchpad, scratchpad, onednn->engine, DNNL_MEMORY_NONE);
    convolution->stream = onednn->stream;
    dnnl_primitive_desc_destroy(descriptor);
    return status;
}

dipp_status dipp_cpu_convolution_get(dipp_cpu_onednn *onednn, const dipp_cpu_convolved *convolved,
                                     dipp_cpu_convolution **out, dipp_error *error)
{
    for (dipp_cpu_convolution *convolution = onednn->convolutions; convolution; convolution = convolution->next)
        if (!memcmp(&convolution->convolved, convolved, sizeof *convolved)) {
            *out = convolution;
            return DIPP_OK;
        }
    dipp_cpu_convolution *convolution = dipp_allocate_zeroed(1, sizeof *convolution);
    if (!convolution)
        return dipp_fail(error, DIPP_E_MEMORY, "cpu back-end: no memory for a convolution");
    convolution->convolved = *convolved;
    dnnl_status_t status = build(onednn, convolution);
    if (status != dnnl_success) {
        destroy_convolution(convolution);
        dipp_cpu_onednn_fail(error, status, "make a convolution");
        return dipp_error_context(error, "%lld x %lld x %lld x %lld by %lld kernels of %lld x %lld, stride %d",
                                  (long long)convolved->samples, (long long)convolved->in_channels,
                                  (long long)convolved->height, (long long)convolved->width,
                                  (long long)convolved->out_channels, (long long)convolved->kernel,
                                  (long long)convolved->kernel, (int)convolved->stride);
    }
    convolution->next = onednn->convolutions;
    onednn->convolutions = convolution;
    *out = convolution;
    return DIPP_OK;
}

size_t dipp_cpu_convolution_scratch(const dipp_cpu_convolution *convolution)
{
    return convolution->scratch_bytes;
}

static void reorder(const dipp_cpu_convolution *convolution, const place *p, bool out)
{
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, out ? p->inside : p->plain},
                                         {DNNL_ARG_TO, out ? p->plain : p->inside}};
    dnnl_primitive_execute(p->reorder, convolution->stream, 2, arguments);
}

void dipp_cpu_convolution_run(dipp_cpu_convolution *convolution, void *x, void *w, void *bias, void *y, void *scratch)
{
    static const int names[][PLACES] = {
        [DIPP_CPU_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS},
        [DIPP_CPU_BACKWARD_DATA] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, DNNL_ARG_BIAS},
        [DIPP_CPU_BACKWARD_WEIGHT] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_BIAS}};
    void *given[PLACES] = {x, w, y, bias};
    int leg = convolution->convolved.leg, result = result_of(convolution), count = 0;
    bool weight = leg == DIPP_CPU_BACKWARD_WEIGHT;
    dnnl_exec_arg_t arguments[PLACES + 1];
    for (int i = 0; i < (convolution->convolved.bias ? PLACES : PLACES - 1); i++) {
        place *p = &convolution->places[i];
        if (given[i])
            dnnl_memory_set_data_handle(p->plain, given[i]);
        dnnl_memory_set_data_handle(p->inside, p->reorder ? (char *)scratch + p->offset : given[i]);
        arguments[count++] = (dnnl_exec_arg_t){names[leg][i], p->inside};
        if (p->reorder && i != result && !(weight && i == BIAS))
            reorder(convolution, p, false);
    }
    dnnl_memory_set_data_handle(convolution->scratchpad, (char *)scratch + convolution->scratchpad_offset);
    arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, convolution->scratchpad};
    /* A CPU stream runs at once; what could fail was checked when the primitives were made. */
    dnnl_primitive_execute(convolution->primitive, convolution->stream, count, arguments);
    if (convolution->places[result].reorder && given[result])
        reorder(convolution, &convolution->places[result], true);
    if (weight && bias)
        reorder(convolution, &convolution->places[BIAS], true);
}
