/* Ticks hold what they promise on any range; a small chart is known byte for byte; any chart is XML within its box. */
#include "report/svg.h"
#include "xml_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>

#include <cmocka.h>

static void check_ticks(double low, double high, int about)
{
    dipp_svg_ticks ticks;
    dipp_svg_choose_ticks(low, high, about, &ticks);
    double last = ticks.first + (ticks.count - 1) * ticks.step, slack = 1e-6 * ticks.step;
    double power = pow(10, floor(log10(ticks.step) + 1e-9)), lead = ticks.step / power;
    if (isfinite(low) && ticks.first > low + slack)
        fail_msg("[%g, %g]: first tick %g", low, high, ticks.first);
    if (isfinite(high) && last < high - slack)
        fail_msg("[%g, %g]: last tick %g", low, high, last);
    if (fabs(lead - 1) > 1e-6 && fabs(lead - 2) > 1e-6 && fabs(lead - 5) > 1e-6)
        fail_msg("[%g, %g]: step %g", low, high, ticks.step);
    if (ticks.count < 2 || ticks.count > about + 3)
        fail_msg("[%g, %g]: %d ticks for about %d", low, high, ticks.count, about);
    for (int i = 0; i < ticks.count && fabs(last) < 1e6 && ticks.decimals < 6;
         i++) { /* as printed, they differ from their neighbours by the step */
        double value = ticks.first + i * ticks.step;
        char text[64];
        snprintf(text, sizeof text, "%.*f", ticks.decimals, value);
        if (fabs(strtod(text, NULL) - value) > 1e-6 * ticks.step)
            fail_msg("[%g, %g]: %s for %.12g", low, high, text, value);
    }
}

static void test_ticks(void **state)
{
    uint32_t random = 7;
    for (int i = 0; i < 20000; i++) {
        random = random * 1664525u + 1013904223u;
        double scale = pow(10, (double)(random >> 8 & 15) - 6), low = ((double)(random >> 12) / 524288 - 1) * scale;
        random = random * 1664525u + 1013904223u;
        check_ticks(low, low + scale * (double)(random >> 8) / 16777216, 2 + (int)(random & 7));
    }
    check_ticks(0, 0, 5);
    check_ticks(1, 1, 5);
    check_ticks(-3, -3, 5);
    check_ticks(0.1 + 0.2, 0.3, 5); /* a flat line but for rounding */
    check_ticks(INFINITY, -INFINITY, 5);
    check_ticks(0, 100, 5);
    dipp_svg_ticks ticks;
    dipp_svg_choose_ticks(0, 100, 5, &ticks);
    assert_true(ticks.first == 0 && ticks.step == 20 && ticks.count == 6 && ticks.decimals == 0);
    dipp_svg_choose_ticks(0.44, 0.46, 4, &ticks);
    assert_true(fabs(ticks.step - 0.005) < 1e-12 && ticks.decimals == 3 && ticks.count == 5);
}

static void test_range(void **state)
{
    dipp_svg_range range = DIPP_SVG_EMPTY;
    dipp_svg_widen(&range, NAN);
    dipp_svg_widen(&range, INFINITY);
    assert_true(range.low > range.high);
    dipp_svg_widen(&range, 2);
    dipp_svg_widen(&range, -1);
    assert_true(range.low == -1 && range.high == 2);
}

/* The same points, a gap among them, a marker and a hostile title: every byte is known. */
static void test_golden(void **state)
{
    static const dipp_svg_point points[] = {{0, 0}, {1, 1}, {NAN, 0}, {2, 1}, {2, 0}};
    dipp_text out = {0};
    dipp_svg_chart chart = {.out = &out, .width = 100, .height = 50, .left = 10, .right = 10, .top = 5, .bottom = 5};
    dipp_svg_choose_ticks(0, 2, 2, &chart.x);
    dipp_svg_choose_ticks(0, 1, 1, &chart.y);
    dipp_svg_open(&chart, "<t>", "d & e");
    dipp_svg_line(&chart, "line", points, 5, false);
    dipp_svg_line(&chart, "front", points, 2, true);
    dipp_svg_marker(&chart, "c0", 1, 2, points[1], "\"x\"");
    dipp_svg_marker(&chart, "c0", 1, 2, points[2], NULL);
    dipp_svg_end(&chart);
    assert_string_equal(
        out.data,
        "<svg viewBox=\"0 0 100 50\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\"><title>&lt;t&gt;</title>"
        "<desc>d &amp; e</desc><path class=\"line\" d=\"M10.0 45.0L50.0 5.0\"/><path class=\"line\" d=\"M90.0 5.0L90.0 "
        "45.0\"/><path class=\"front\" d=\"M10.0 45.0H50.0V5.0\"/><path class=\"mark c0\" d=\"M48.0 "
        "3.0h4.0v4.0h-4.0z\">"
        "<title>&quot;x&quot;</title></path></svg>\n");
    dipp_text_discard(&out);
}

/* All shapes, values beyond the range, nothing at all: well-formed, finite, kept within the plot. */
static void test_any_chart(void **state)
{
    static const double values[] = {0, 1, -1, 1e9, -1e9, 1e-9, NAN, INFINITY, -INFINITY, 0.5, 0.25};
    enum { COUNT = sizeof values / sizeof *values };
    for (int variant = 0; variant < 40; variant++) {
        dipp_svg_range x = DIPP_SVG_EMPTY, y = DIPP_SVG_EMPTY;
        dipp_svg_point points[COUNT];
        dipp_svg_chart chart;
        dipp_text out = {0};
        xml_facts facts;
        for (int i = 0; i < COUNT; i++) {
            points[i] = (dipp_svg_point){values[(i + variant) % COUNT], values[(i * 3 + variant) % COUNT]};
            if (i < variant % COUNT) {
                dipp_svg_widen(&x, points[i].x);
                dipp_svg_widen(&y, points[i].y);
            }
        }
        dipp_svg_begin(&chart, &out, 300, 200, x, y, "a <b>", "&", variant & 1 ? "x & y" : NULL,
                       variant & 2 ? "<y>" : NULL);
        dipp_svg_line(&chart, "line", points, COUNT, variant & 1);
        for (int i = 0; i < COUNT; i++) {
            dipp_svg_marker(&chart, "c1", i, 3, points[i], "<tip>");
            double px = dipp_svg_x(&chart, points[i].x);
            assert_true(isnan(points[i].x) || (px >= chart.left - 1e-9 && px <= chart.width - chart.right + 1e-9));
        }
        dipp_svg_end(&chart);
        xml_read(out.data, &facts);
        if (*facts.fault || strstr(out.data, "nan") || strstr(out.data, "inf"))
            fail_msg("variant %d: %s\n%s", variant, facts.fault, out.data);
        xml_clear(&facts);
        dipp_text_discard(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ticks), cmocka_unit_test(test_range),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_any_chart)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
