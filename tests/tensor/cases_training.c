/* Cases of embeddings, sinusoids, random numbers and training state. */
#include "case_builder.h"
#include "tensor/state_format.h"

#include <math.h>

static void fill_ids(case_builder *b, double *ids, int64_t count, int64_t entries)
{
    for (int64_t i = 0; i < count; i++)
        ids[i] = (double)random_below(b, entries);
    if (count >= 5) { /* outside the table, and one entry twice */
        ids[0] = -1;
        ids[1] = (double)entries;
        ids[2] = 2147483647;
        ids[4] = ids[3];
    }
}

static const struct {
    int64_t entries, width;
    dipp_shape ids;
} tables[] = {{1, 1, {1, {1}}}, {1, 5, {1, {6}}},       {7, 1, {2, {3, 5}}},        {10, 33, {2, {2, 77}}},
              {100, 64, {0}},   {5, 8, {3, {2, 3, 4}}}, {49408, 256, {2, {64, 77}}}};

static void embedding_rows(case_builder *b)
{
    for (size_t k = b->bench ? COUNT_OF(tables) - 1 : 0; k < COUNT_OF(tables) - !b->bench; k++)
        for (int dtype = 0; dtype < 2; dtype++) {
            op_case *c = add_case(b, "embedding");
            add_normal(b, c, (dipp_dtype)dtype, DIPP_SHAPE(tables[k].entries, tables[k].width), 0, 1);
            double *ids = add_input(c, DIPP_INT32, tables[k].ids);
            fill_ids(b, ids, op_elements(&c->view.inputs[1]), tables[k].entries);
            dipp_shape out = tables[k].ids;
            out.dims[out.rank++] = tables[k].width;
            add_output(c, (dipp_dtype)dtype, out);
            c->rule = OP_EXACT;
        }
}

static void embedding_backward_rows(case_builder *b)
{
    for (size_t k = b->bench ? COUNT_OF(tables) - 1 : 0; k < COUNT_OF(tables) - !b->bench; k++)
        for (int dtype = 0; dtype < 2; dtype++)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                op_case *c = add_case(b, accumulate ? "accumulate" : "write");
                double *ids = add_input(c, DIPP_INT32, tables[k].ids);
                c->terms = op_elements(&c->view.inputs[0]);
                fill_ids(b, ids, c->terms, tables[k].entries);
                dipp_shape dy = tables[k].ids;
                dy.dims[dy.rank++] = tables[k].width;
                add_normal(b, c, (dipp_dtype)dtype, dy, 0, 1);
                add_output(c, DIPP_WIDE, DIPP_SHAPE(tables[k].entries, tables[k].width));
                c->attributes.accumulate = accumulate;
                if (accumulate)
                    start_output(b, c);
            }
}

static void sinusoid_rows(case_builder *b)
{
    static const int64_t widths[] = {2, 8, 64, 256};
    for (int64_t n = b->bench ? 1024 : 1; n <= (b->bench ? 1024 : 13); n += 6)
        for (size_t k = b->bench ? 3 : 0; k < COUNT_OF(widths); k++)
            for (int sin_first = 0; sin_first < 2; sin_first++) {
                op_case *c = add_case(b, "%s first", sin_first ? "sin" : "cos");
                double *t = add_uniform(b, c, DIPP_WIDE, DIPP_SHAPE(n), 0, 1000);
                t[n - 1] = 0;
                c->attributes.alpha = k % 2 ? 10000 : 100;
                c->attributes.sin_first = sin_first;
                c->slack = 4; /* a frequency computed in single precision is off by several units in the last place */
                add_output(c, DIPP_WIDE, DIPP_SHAPE(n, widths[k]));
            }
}

static void philox_rows(case_builder *b)
{
    static const dipp_shape shapes[] = {{1, {1}},      {1, {5}},          {2, {1, 1}},
                                        {2, {3, 5}},   {2, {2, 4}},       {4, {2, 3, 8, 8}},
                                        {2, {5, 257}}, {3, {1, 1, 2055}}, {4, {64, 4, 64, 64}}};
    for (size_t k = b->bench ? COUNT_OF(shapes) - 1 : 0; k < COUNT_OF(shapes) - !b->bench; k++)
        for (int wrap = 0; wrap < (b->bench ? 1 : 2); wrap++) {
            op_case *c = add_case(b, wrap ? "wrap" : "plain");
            double *key = add_input(c, DIPP_INT32, DIPP_SHAPE(6));
            for (int i = 0; i < 4; i++)
                key[i] = (double)(random_below(b, INT64_C(1) << 32) - (INT64_C(1) << 31));
            key[4] = wrap ? -2 : 7; /* sample numbers are modulo 2^32 */
            add_output(c, DIPP_WIDE, shapes[k]);
            c->rule = OP_EXACT;
        }
}

static void accumulate_rows(case_builder *b)
{
    static const dipp_shape shapes[] = {{0}, {1, {1}}, {1, {257}}, {2, {33, 65}}, {2, {4096, 256}}};
    for (size_t k = b->bench ? COUNT_OF(shapes) - 1 : 0; k < COUNT_OF(shapes) - !b->bench; k++)
        for (int dtype = 0; dtype < 2; dtype++) {
            op_case *c = add_case(b, "accumulate");
            add_normal(b, c, (dipp_dtype)dtype, shapes[k], 0, 1);
            add_output(c, DIPP_WIDE, shapes[k]);
            start_output(b, c);
        }
}

static void grad_norm_rows(case_builder *b)
{
    static const int64_t sizes[] = {1, 255, 256, 5000, 1 << 22};
    enum { NORMAL, ZEROS, LARGE, SMALL, ONE_NAN, ONE_INFINITE, KINDS };
    static const double scales[] = {1, 0, 1e15, 1e-12, 1, 1};
    for (size_t k = b->bench ? COUNT_OF(sizes) - 1 : 0; k < COUNT_OF(sizes) - !b->bench; k++)
        for (int kind = 0; kind < (b->bench ? 1 : KINDS); kind++) {
            op_case *c = add_case(b, "kind %d", kind);
            double *g = add_normal(b, c, DIPP_WIDE, DIPP_SHAPE(sizes[k]), 0, scales[kind]);
            if (kind == ONE_NAN)
                g[sizes[k] - 1] = NAN;
            if (kind == ONE_INFINITE)
                g[sizes[k] / 2] = -INFINITY;
            add_output(c, DIPP_WIDE, DIPP_SHAPE(2));
        }
}

static const struct {
    int optimizer;
    bool decay, ema, copy, fresh;
    double clip, grad_scale, norm, ok;
    int64_t block, start, count;
} steps[] = {{DIPP_OPTIMIZER_ADAMW, true, true, false, false, 1, 1, 0.5, 1, 1024, 0, 1024},
             {DIPP_OPTIMIZER_ADAMW, true, true, true, false, 1, 1, 20, 1, 1024, 256, 300},
             {DIPP_OPTIMIZER_ADAMW, false, false, false, false, 0, 0.25, 20, 1, 1024, 512, 1},
             {DIPP_OPTIMIZER_ADAMW, false, true, true, true, 1, 0.25, 20, 1, 512, 256, 255},
             {DIPP_OPTIMIZER_ADAMW, true, true, false, false, 1, 1, INFINITY, 0, 512, 0, 300},
             {DIPP_OPTIMIZER_ADAMW, true, true, true, false, 1, 1, NAN, 0, 512, 256, 17},
             {DIPP_OPTIMIZER_SGD, true, true, false, false, 0, 1, 3, 1, 512, 0, 511},
             {DIPP_OPTIMIZER_SGD, false, false, true, false, 2, 0.5, 8, 1, 512, 256, 256},
             {DIPP_OPTIMIZER_SGD, true, false, false, false, 2, 1, NAN, 0, 256, 0, 256},
             {DIPP_OPTIMIZER_ADAMW, true, true, false, false, 1, 1, 0.5, 1, 1 << 22, 0, 1 << 22}};

static void fill_scalars(double *norm, double *scalars, double length, double ok, double clip, double grad_scale,
                         bool fresh)
{
    norm[0] = length;
    norm[1] = ok;
    scalars[DIPP_OPT_LR] = (float)0.01;
    scalars[DIPP_OPT_BETA1] = (float)0.9;
    scalars[DIPP_OPT_BETA2] = (float)0.999;
    scalars[DIPP_OPT_EPSILON] = (float)1e-8;
    scalars[DIPP_OPT_WEIGHT_DECAY] = (float)0.1;
    scalars[DIPP_OPT_CORRECTION1] = (float)(fresh ? 10 : 1.7);
    scalars[DIPP_OPT_CORRECTION2] = fresh ? 1000 : 150;
    scalars[DIPP_OPT_CLIP] = clip;
    scalars[DIPP_OPT_GRAD_SCALE] = grad_scale;
    scalars[DIPP_OPT_EMA_DECAY] = (float)0.99;
}

static void plain_step_rows(case_builder *b)
{
    for (size_t k = b->bench ? COUNT_OF(steps) - 1 : 0; k < COUNT_OF(steps) - !b->bench; k++) {
        op_case *c = add_case(b, "%s start %d count %d ok %g", steps[k].optimizer ? "sgd" : "adamw",
                              (int)steps[k].start, (int)steps[k].count, steps[k].ok);
        dipp_shape block = DIPP_SHAPE(steps[k].block);
        double *norm = add_input(c, DIPP_WIDE, DIPP_SHAPE(2));
        double *scalars = add_input(c, DIPP_WIDE, DIPP_SHAPE(DIPP_OPT_SCALARS));
        fill_scalars(norm, scalars, steps[k].norm, steps[k].ok, steps[k].clip, steps[k].grad_scale, steps[k].fresh);
        add_normal(b, c, DIPP_WIDE, block, 0, 1);
        double *gradient = add_normal(b, c, DIPP_WIDE, block, 0, 0.1);
        add_normal(b, c, DIPP_WIDE, block, 0, steps[k].fresh ? 0 : 0.1);
        add_uniform(b, c, DIPP_WIDE, block, steps[k].fresh ? 0 : 1e-4, steps[k].fresh ? 0 : 1e-2);
        if (steps[k].ok == 0)
            gradient[steps[k].start] = steps[k].norm;
        c->in_place = 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7;
        if (steps[k].ema)
            add_normal(b, c, DIPP_WIDE, block, 0, 1);
        else
            add_absent(c);
        if (steps[k].copy) /* the suite drops it where compute is wide */
            add_normal(b, c, DIPP_COMPUTE, block, 0, 1);
        else
            add_absent(c);
        add_absent(c);
        c->attributes.start = steps[k].start;
        c->attributes.count = steps[k].count;
        c->attributes.decay = steps[k].decay;
        c->attributes.optimizer = (uint8_t)steps[k].optimizer;
    }
}

/* ---- Moments and weights in fewer bits ---- */

static float bf16_number(float x)
{
    return dipp_float_of_bits(dipp_bits_of_float(x) & 0xffff0000u);
}

/* A moment as it is stored: numbers that an update could have left, zeros too; fresh: zeros alone. */
static void add_moment(case_builder *b, op_case *c, dipp_state_format state, int64_t count, bool second, bool fresh)
{
    if (state == DIPP_STATE_F32) {
        if (second)
            add_uniform(b, c, DIPP_WIDE, DIPP_SHAPE(count), fresh ? 0 : 1e-4, fresh ? 0 : 1e-2);
        else
            add_normal(b, c, DIPP_WIDE, DIPP_SHAPE(count), 0, fresh ? 0 : 0.1);
        return;
    }
    int64_t codes = state == DIPP_STATE_BF16 ? count / 2 : count / 4;
    int64_t scales = state == DIPP_STATE_BF16 ? 0 : count / DIPP_STATE_BLOCK;
    double *words = add_input(c, DIPP_INT32, DIPP_SHAPE(codes + scales));
    for (int64_t i = 0; i < codes && !fresh; i++) {
        uint32_t word = (uint32_t)random_below(b, INT64_C(1) << 32);
        if (state == DIPP_STATE_BF16) {
            float low = (float)random_uniform(b, second ? 1e-6 : -0.1, 0.1);
            float high = (float)random_uniform(b, second ? 1e-6 : -0.1, 0.1);
            word = (dipp_bits_of_float(high) & 0xffff0000u) | dipp_bits_of_float(low) >> 16;
        }
        words[i] = (int32_t)word;
    }
    for (int64_t i = 0; i < scales && !fresh; i++)
        words[codes + i] = (int32_t)dipp_bits_of_float((float)random_uniform(b, second ? 1e-3 : 0.05, 0.1));
}

static const struct {
    bool fresh;
    double norm, ok, clip, grad_scale;
    int64_t block, start, count;
} places[] = {{false, 0.5, 1, 1, 1, 1024, 0, 1024},       {false, 20, 1, 1, 0.25, 1024, 256, 300},
              {true, 20, 1, 0, 1, 512, 256, 255},         {false, NAN, 0, 1, 1, 512, 0, 300},
              {false, 3, 1, 0, 1, 5120, 256, 4096 + 700}, {false, 0.5, 1, 1, 1, 1 << 22, 0, 1 << 22}};

static void packed_step_row(case_builder *b, size_t k, dipp_state_format state, bool random_weights, bool ema,
                            bool copy, int optimizer)
{
    static const char *const states[] = {"f32", "bf16", "8bit"};
    op_case *c = add_case(b, "%s %s %s start %d count %d ok %g%s%s", optimizer ? "sgd" : "adamw", states[state],
                          random_weights ? "bf16 weights" : "masters", (int)places[k].start, (int)places[k].count,
                          places[k].ok, ema ? " ema" : "", copy ? " copy" : "");
    dipp_shape block = DIPP_SHAPE(places[k].block);
    double *norm = add_input(c, DIPP_WIDE, DIPP_SHAPE(2));
    double *scalars = add_input(c, DIPP_WIDE, DIPP_SHAPE(DIPP_OPT_SCALARS));
    fill_scalars(norm, scalars, places[k].norm, places[k].ok, places[k].clip, places[k].grad_scale, places[k].fresh);
    double *weights = add_normal(b, c, random_weights ? DIPP_COMPUTE : DIPP_WIDE, block, 0, 1);
    for (int64_t i = 0; i < places[k].block && random_weights; i++)
        weights[i] = bf16_number((float)weights[i]);
    double *gradient = add_normal(b, c, DIPP_WIDE, block, 0, 0.1);
    gradient[places[k].start + places[k].count / 2] = 0;
    if (places[k].ok == 0)
        gradient[places[k].start] = places[k].norm;
    add_moment(b, c, state, places[k].block, false, places[k].fresh);
    add_moment(b, c, state, places[k].block, true, places[k].fresh);
    c->in_place = 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7;
    if (ema)
        add_normal(b, c, DIPP_WIDE, block, 0, 1);
    else
        add_absent(c);
    if (copy)
        add_normal(b, c, DIPP_COMPUTE, block, 0, 1);
    else
        add_absent(c);
    if (random_weights || state == DIPP_STATE_BF16) {
        double *key = add_input(c, DIPP_INT32, DIPP_SHAPE(6));
        for (int i = 0; i < 4; i++)
            key[i] = (double)(random_below(b, INT64_C(1) << 32) - (INT64_C(1) << 31));
    } else {
        add_absent(c);
    }
    c->attributes.start = places[k].start;
    c->attributes.count = places[k].count;
    c->attributes.decay = k % 2 == 0;
    c->attributes.optimizer = (uint8_t)optimizer;
    c->attributes.state = (uint8_t)state;
}

/* Every state with masters and without, with and without an average and a copy, both rules; the places take turns. */
static void packed_step_rows(case_builder *b)
{
    size_t turn = 0;
    for (int row = 1; row < 6; row++) {
        dipp_state_format state = (dipp_state_format)(row % 3);
        bool random_weights = row >= 3;
        if (b->bench) {
            packed_step_row(b, COUNT_OF(places) - 1, state, random_weights, true, false, DIPP_OPTIMIZER_ADAMW);
            continue;
        }
        for (int ema = 0; ema < 2; ema++)
            for (int copy = 0; copy < (random_weights ? 1 : 2); copy++)
                for (size_t k = 0; k < COUNT_OF(places) - 1; k++) {
                    packed_step_row(b, k, state, random_weights, ema, copy, DIPP_OPTIMIZER_ADAMW);
                    if ((k + turn++) % 3 == 0)
                        packed_step_row(b, k, state, random_weights, ema, copy, DIPP_OPTIMIZER_SGD);
                }
    }
}

static void optimizer_step_rows(case_builder *b)
{
    plain_step_rows(b);
    packed_step_rows(b);
}

case_rows cases_of_training(dipp_op op)
{
    switch (op) {
    case DIPP_OP_EMBEDDING: return embedding_rows;
    case DIPP_OP_EMBEDDING_BACKWARD: return embedding_backward_rows;
    case DIPP_OP_SINUSOID: return sinusoid_rows;
    case DIPP_OP_PHILOX_NORMAL:
    case DIPP_OP_PHILOX_UNIFORM: return philox_rows;
    case DIPP_OP_ACCUMULATE: return accumulate_rows;
    case DIPP_OP_GRAD_NORM: return grad_norm_rows;
    case DIPP_OP_OPTIMIZER_STEP: return optimizer_step_rows;
    default: return NULL;
    }
}
