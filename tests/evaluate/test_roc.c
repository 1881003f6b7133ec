/* The area under the curve against counting pairs and closed forms, and its interval against simulation. */
#include "base/memory.h"
#include "base/philox.h"
#include "evaluate/distribution.h"
#include "evaluate/roc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const uint64_t seed = 7;

static void a_worked_example(void **state)
{
    (void)state;
    const dipp_roc_case cases[] = {{3, true}, {2, true}, {2, false}, {1, true}, {0, false}, {-4, false}};
    dipp_roc roc;
    assert_int_equal(dipp_roc_of(cases, 6, 999, &roc, NULL), DIPP_OK);
    assert_true(roc.positives == 3 && roc.negatives == 3);
    assert_true(roc.area == (3 + 2.5 + 2) / 9); /* pairs won by 3, by 2 (a tie), by 1 */
    const dipp_roc_point points[] = {{INFINITY, 0, 0}, {3, 1 / 3.0, 0}, {2, 2 / 3.0, 1 / 3.0},
                                     {1, 1, 1 / 3.0},  {0, 1, 2 / 3.0}, {-4, 1, 1}};
    assert_int_equal(roc.count, 6);
    for (int i = 0; i < 6; i++)
        assert_true(roc.points[i].threshold == points[i].threshold && roc.points[i].hits == points[i].hits &&
                    roc.points[i].false_alarms == points[i].false_alarms);
    assert_true(roc.interval.low < roc.area && roc.area < roc.interval.high && roc.interval.high <= 1);
    /* in another order the same bits */
    const dipp_roc_case turned[] = {{-4, false}, {2, false}, {0, false}, {1, true}, {2, true}, {3, true}};
    dipp_roc other;
    assert_int_equal(dipp_roc_of(turned, 6, 999, &other, NULL), DIPP_OK);
    assert_true(other.area == roc.area && !memcmp(&other.interval, &roc.interval, sizeof roc.interval));
    dipp_roc_clear(&other);
    dipp_roc_clear(&roc);
    assert_null(roc.points);
}

static void kinds_that_do_not_overlap(void **state)
{
    (void)state;
    const dipp_roc_case apart[] = {{3, true}, {2, true}, {1, false}, {0, false}};
    const dipp_roc_case same[] = {{1, true}, {1, true}, {1, false}, {1, false}};
    dipp_roc roc;
    assert_int_equal(dipp_roc_of(apart, 4, 99, &roc, NULL), DIPP_OK);
    assert_true(roc.area == 1 && roc.interval.low == 1 && roc.interval.high == 1);
    dipp_roc_clear(&roc);
    assert_int_equal(dipp_roc_of(same, 4, 99, &roc, NULL), DIPP_OK);
    assert_true(roc.area == 0.5 && roc.interval.low == 0.5 && roc.interval.high == 0.5);
    assert_int_equal(roc.count, 2);
    dipp_roc_clear(&roc);
}

static void what_makes_no_curve_is_refused(void **state)
{
    (void)state;
    const dipp_roc_case one_kind[] = {{1, true}, {2, true}}, endless[] = {{1, true}, {INFINITY, false}};
    dipp_error error;
    dipp_roc roc;
    assert_int_equal(dipp_roc_of(one_kind, 2, 99, &roc, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "2 where it happened and 0 where it did not"));
    assert_int_equal(dipp_roc_of(endless, 2, 99, &roc, &error), DIPP_E_INVALID);
    assert_int_equal(dipp_roc_of(NULL, 0, 99, &roc, &error), DIPP_E_INVALID);
    const dipp_roc_case cases[] = {{1, true}, {2, false}};
    for (uint64_t nth = 1;; nth++) {
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_roc_of(cases, 2, 99, &roc, &error);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        dipp_roc_clear(&roc);
        assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
        if (!failed)
            break;
    }
}

/* Normals a distance d apart have the area Phi(d / sqrt 2); the interval is to hold it in about 95 of 100 studies. */
static void the_interval_covers(void **state)
{
    (void)state;
    enum { POSITIVES = 20, NEGATIVES = 16, CASES = POSITIVES + NEGATIVES, STUDIES = 500 };
    double truth = dipp_normal_below(1.2 / sqrt(2)), mean = 0;
    uint32_t covered = 0;
    for (uint32_t study = 0; study < STUDIES; study++) {
        float normal[CASES];
        dipp_roc_case cases[CASES];
        dipp_roc roc;
        dipp_philox_normal_fill(normal, CASES, 1, seed, 1, 0, study);
        for (int i = 0; i < CASES; i++)
            cases[i] = (dipp_roc_case){normal[i] + (i < POSITIVES ? 1.2 : 0), i < POSITIVES};
        assert_int_equal(dipp_roc_of(cases, CASES, 399, &roc, NULL), DIPP_OK);
        covered += roc.interval.low <= truth && truth <= roc.interval.high;
        mean += roc.area / STUDIES;
        dipp_roc_clear(&roc);
    }
    printf("area %.4f of %.4f; the interval of 36 runs holds it in %.3f of %d studies\n", mean, truth,
           (double)covered / STUDIES, STUDIES);
    assert_true(fabs(mean - truth) < 0.01);
    assert_true(covered > 0.90 * STUDIES && covered < 0.98 * STUDIES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_worked_example), cmocka_unit_test(kinds_that_do_not_overlap),
                                       cmocka_unit_test(what_makes_no_curve_is_refused),
                                       cmocka_unit_test(the_interval_covers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
