#include "evaluate/aesthetic_head.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The places of the affine layers in the published modules; between them are dropout and, in the last, rectifiers. */
static const struct layout {
    const char *names[DIPP_AESTHETIC_LAYERS_MOST + 1];
    bool rectified;
} layouts[] = {
    {{""}, false},
    {{"layers.0.", "layers.2.", "layers.4.", "layers.6.", "layers.7."}, false},
    {{"layers.0.", "layers.3.", "layers.6.", "layers.9.", "layers.11."}, true},
};

static const dipp_weight_tensor *find(const dipp_weights *weights, const char *layer, const char *part)
{
    char name[40];
    snprintf(name, sizeof name, "%s%s", layer, part);
    return dipp_weights_find(weights, name);
}

/* The layout all of whose tensors are there, and no others. */
static const struct layout *find_layout(const dipp_weights *weights)
{
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        size_t count = 0;
        bool all = true;
        for (; layouts[i].names[count]; count++)
            all &= find(weights, layouts[i].names[count], "weight") && find(weights, layouts[i].names[count], "bias");
        if (all && dipp_weights_count(weights) == 2 * count)
            return &layouts[i];
    }
    return NULL;
}

static dipp_status check_layer(const dipp_weight_tensor *weight, const dipp_weight_tensor *bias, size_t in, bool last,
                               dipp_error *error)
{
    char shapes[2][DIPP_SHAPE_TEXT_BYTES];
    if (weight->rank == 2 && bias->rank == 1 && weight->shape[0] == bias->shape[0] && weight->count &&
        (!in || weight->shape[1] == in) && (!last || weight->shape[0] == 1))
        return DIPP_OK;
    dipp_weight_shape_text(weight->rank, weight->shape, shapes[0]);
    dipp_weight_shape_text(bias->rank, bias->shape, shapes[1]);
    if (!in)
        return dipp_fail(error, DIPP_E_INVALID,
                         "%s: tensor \"%s\": expected [out, in] and a bias [out], found %s and %s", weight->file,
                         weight->name, shapes[0], shapes[1]);
    return dipp_fail(error, DIPP_E_INVALID, "%s: tensor \"%s\": expected [%s, %zu] and a bias, found %s and %s",
                     weight->file, weight->name, last ? "1" : "out", in, shapes[0], shapes[1]);
}

dipp_status dipp_aesthetic_head_load(const dipp_weights *weights, dipp_aesthetic_head *head, dipp_error *error)
{
    const struct layout *layout = find_layout(weights);
    const char *file = dipp_weights_file_count(weights) ? dipp_weights_file(weights, 0) : "the weights";
    if (!layout)
        return dipp_fail(
            error, DIPP_E_INVALID,
            "%s: expected the head of an aesthetic predictor: weight and bias, or those of layers.0, 2, 4, 6, "
            "7, or of layers.0, 3, 6, 9, 11, and nothing else; found %zu tensors",
            file, dipp_weights_count(weights));
    dipp_aesthetic_head made = {.rectified = layout->rectified};
    uint64_t numbers = 0;
    for (size_t in = 0; layout->names[made.layer_count]; made.layer_count++) {
        const char *name = layout->names[made.layer_count];
        const dipp_weight_tensor *weight = find(weights, name, "weight"), *bias = find(weights, name, "bias");
        dipp_status status = check_layer(weight, bias, in, !layout->names[made.layer_count + 1], error);
        if (status != DIPP_OK)
            return status;
        in = (size_t)weight->shape[0];
        numbers += weight->count + bias->count; /* both are in memory already: no overflow */
    }
    made.numbers = dipp_allocate_zeroed((size_t)numbers, sizeof *made.numbers);
    if (!made.numbers)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for the head", file);
    float *next = made.numbers;
    dipp_status status = DIPP_OK;
    for (size_t i = 0; i < made.layer_count && status == DIPP_OK; i++) {
        const dipp_weight_tensor *weight = find(weights, layout->names[i], "weight");
        const dipp_weight_tensor *bias = find(weights, layout->names[i], "bias");
        made.layers[i] = (dipp_aesthetic_layer){.in = (size_t)weight->shape[1],
                                                .out = (size_t)weight->shape[0],
                                                .weight = next,
                                                .bias = next + weight->count};
        status = dipp_weight_tensor_to_f32(weight, next, weight->count, error);
        if (status == DIPP_OK)
            status = dipp_weight_tensor_to_f32(bias, next + weight->count, bias->count, error);
        next += weight->count + bias->count;
    }
    if (status != DIPP_OK)
        dipp_aesthetic_head_clear(&made);
    else
        *head = made;
    return status;
}

void dipp_aesthetic_head_clear(dipp_aesthetic_head *head)
{
    dipp_release(head->numbers);
    *head = (dipp_aesthetic_head){0};
}

dipp_status dipp_aesthetic_head_score(const dipp_aesthetic_head *head, const double *embedding, double *score,
                                      dipp_error *error)
{
    size_t widest = head->layers[0].in;
    double square = 0;
    for (size_t i = 0; i < head->layer_count; i++)
        widest = head->layers[i].out > widest ? head->layers[i].out : widest;
    for (size_t i = 0; i < head->layers[0].in; i++)
        square += embedding[i] * embedding[i];
    if (!(square > 0) || !isfinite(square))
        return dipp_fail(error, DIPP_E_INVALID, "an embedding is zero or not finite: it has no direction to score");
    double *values = dipp_allocate_zeroed(2 * widest, sizeof *values), *results = values ? values + widest : NULL;
    if (!values)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for an embedding");
    double *from = values, *to = results;
    for (size_t i = 0; i < head->layers[0].in; i++)
        from[i] = embedding[i] / sqrt(square);
    for (size_t l = 0; l < head->layer_count; l++) {
        const dipp_aesthetic_layer *layer = &head->layers[l];
        for (size_t o = 0; o < layer->out; o++) {
            double sum = layer->bias[o];
            for (size_t i = 0; i < layer->in; i++)
                sum += (double)layer->weight[o * layer->in + i] * from[i];
            to[o] = head->rectified && l + 1 < head->layer_count && sum < 0 ? 0 : sum;
        }
        double *swapped = from;
        from = to;
        to = swapped;
    }
    *score = from[0];
    dipp_release(values);
    return DIPP_OK;
}
