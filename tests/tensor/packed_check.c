#include "packed_check.h"

#include "tensor/state_format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WEIGHTS = 2, GRADIENT = 3, MOMENT1 = 4, MOMENT2 = 5, EMA = 6 };

static bool is_moment(const op_case *c, uint32_t k)
{
    return (k == MOMENT1 || k == MOMENT2) && c->view.inputs[k].dtype == DIPP_INT32;
}

bool op_is_packed_result(const op_case *c, uint32_t k)
{
    if (c->view.op != DIPP_OP_OPTIMIZER_STEP)
        return false;
    return is_moment(c, k) || ((k == WEIGHTS || k == EMA) && c->view.inputs[WEIGHTS].dtype == DIPP_COMPUTE);
}

/* Word i of a moment, from doubles or from int32 as the oracle stores them. */
static uint32_t word_at(const double *numbers, const void *stored, int64_t i)
{
    return (uint32_t)(numbers ? (int32_t)numbers[i] : ((const int32_t *)stored)[i]);
}

/* Element e, and how far the next stored number may be. */
static double element(const op_case *c, uint32_t k, const double *numbers, const void *stored, int64_t e, double *step)
{
    if (!is_moment(c, k)) {
        double x = numbers ? numbers[e] : ((const double *)stored)[e];
        *step = 0x1p-7 * fabs(x) + 1e-7; /* an average moves by less than the weight */
        return x;
    }
    if (c->attributes.state == DIPP_STATE_BF16) {
        uint32_t word = word_at(numbers, stored, e / 2);
        double x = dipp_float_of_bits(e % 2 ? word & 0xffff0000u : word << 16);
        *step = 0x1p-7 * fabs(x);
        return x;
    }
    int64_t codes = op_elements(&c->view.inputs[GRADIENT]) / 4;
    uint32_t code = word_at(numbers, stored, e / 4) >> (8 * (e % 4)) & 255u;
    double scale = dipp_float_of_bits(word_at(numbers, stored, codes + e / DIPP_STATE_BLOCK));
    double x = dipp_code_value(k == MOMENT1, code) * scale;
    *step = 0.2 * fabs(x) + 4e-6 * scale; /* wider than any gap between neighbours */
    return x;
}

static bool same_words(const op_case *c, uint32_t k, const double *held, const void *want)
{
    for (int64_t i = 0; i < op_elements(&c->view.inputs[k]); i++)
        if (is_moment(c, k) ? (int32_t)held[i] != ((const int32_t *)want)[i] : held[i] != ((const double *)want)[i])
            return false;
    return true;
}

bool op_judge_packed(const op_case *c, uint32_t k, const double *held, const void *want, const double *got,
                     char *failure, size_t size)
{
    int64_t count = op_elements(&c->view.inputs[GRADIENT]), moved = 0, start = c->attributes.start;
    bool still = same_words(c, k, held, want);
    for (int64_t e = 0; e < count; e++) {
        double step, unused, before, x = element(c, k, NULL, want, e, &step), y = element(c, k, got, NULL, e, &unused);
        before = element(c, k, held, NULL, e, &unused);
        bool outside = e < start || e >= start + c->attributes.count;
        /* past the end of a range codes stay, but their scale may be new */
        bool rescaled = is_moment(c, k) && c->attributes.state == DIPP_STATE_8BIT && e >= start;
        if (fabs(x - y) <= (still || (outside && !rescaled) ? 0 : 4e-6 * fabs(x) + 1e-12))
            continue;
        moved++;
        if (outside || still || !(fabs(x - y) <= step) || moved > 1 + count / 64) {
            snprintf(failure, size, "result %u element %lld is %.9g, expected %.9g (before: %.9g); %lld differ so far",
                     k, (long long)e, y, x, before, (long long)moved);
            return false;
        }
    }
    return true;
}
