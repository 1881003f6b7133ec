/* Every arm against the baseline in every ranked measure: a forest plot each, and the same at equal IKL as numbers. */
#include "report/report_parts.h"

#include "report/svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROW = 26, WIDTH = 480, LABEL_CHARACTERS = 32 };

static size_t rows_of(const dipp_report *report, const dipp_report_comparisons *comparisons, int measure)
{
    size_t rows = 0;
    for (size_t a = 0; a < report->arm_count; a++)
        rows += dipp_report_against_baseline(report, comparisons, (int)a, measure)->statistics != NULL;
    return rows;
}

static void widen(dipp_svg_range *range, const dipp_paired_statistics *s)
{
    const dipp_interval all[] = {s->over_seeds, s->over_both, s->over_prompts};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        dipp_svg_widen(range, all[i].low);
        dipp_svg_widen(range, all[i].high);
    }
    for (uint32_t i = 0; i < s->seeds; i++)
        dipp_svg_widen(range, s->by_seed[i].mean);
}

/* Room for the longest name; no font is at hand to ask. */
static double label_width(const dipp_report *report)
{
    size_t longest = 8;
    for (size_t a = 0; a < report->arm_count; a++)
        longest = strlen(report->arms[a].label) > longest ? strlen(report->arms[a].label) : longest;
    return 24 + 6.7 * (double)(longest < LABEL_CHARACTERS ? longest : LABEL_CHARACTERS);
}

static void bar(dipp_text *out, const dipp_svg_chart *chart, const char *class_name, dipp_interval interval, double y)
{
    if (isfinite(interval.low))
        dipp_text_printf(out, "<line class=\"%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", class_name,
                         dipp_svg_x(chart, interval.low), dipp_svg_x(chart, interval.high), y, y);
}

static void draw_arm(dipp_report *report, const dipp_svg_chart *chart, const dipp_report_comparison *c, int arm,
                     double y)
{
    dipp_text *out = &report->out;
    const dipp_paired_statistics *s = c->statistics;
    char name[160], label[168];
    snprintf(label, sizeof label, "%s%s",
             dipp_html_shorten(report->arms[arm].label, LABEL_CHARACTERS, name, sizeof name),
             c->trained_on ? " †" : "");
    dipp_svg_label(out, "row", chart->left - 8, y + 4, "end", label);
    dipp_text_printf(out, "<g class=\"%s\">", dipp_report_colour(report, arm));
    if (s->no_claim_over_seeds) {
        bar(out, chart, "interval prompts", s->over_prompts, y);
    } else {
        bar(out, chart, "interval both", s->over_both, y);
        bar(out, chart, "interval", s->over_seeds, y);
    }
    for (uint32_t i = 0; i < s->seeds; i++) {
        double x = dipp_svg_x(chart, s->by_seed[i].mean);
        dipp_text_printf(out, "<line class=\"seed\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"><title>", x, x,
                         y - 7, y + 7);
        dipp_html_textf(out, "seed %lld: %+.4g over %llu pairs", (long long)s->by_seed[i].seed, s->by_seed[i].mean,
                        (unsigned long long)s->by_seed[i].pairs);
        dipp_text_append(out, "</title></line>");
    }
    dipp_text_printf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/></g>",
                     dipp_report_claimed(c) ? "claimed" : "open", dipp_svg_x(chart, s->mean), y);
}

static void draw_measure(dipp_report *report, const dipp_report_comparisons *comparisons, int measure, size_t rows)
{
    dipp_text *out = &report->out;
    dipp_svg_range range = DIPP_SVG_EMPTY;
    double height = 14 + (double)(rows * ROW) + 24, right = 14;
    char title[256];
    dipp_svg_widen(&range, 0);
    for (size_t a = 0; a < report->arm_count; a++) {
        const dipp_report_comparison *c = dipp_report_against_baseline(report, comparisons, (int)a, measure);
        if (c->statistics)
            widen(&range, c->statistics);
    }
    dipp_svg_chart chart = {.out = out, .width = WIDTH, .height = height, .left = label_width(report), .right = right};
    dipp_svg_choose_ticks(range.low, range.high, 4, &chart.x);
    snprintf(title, sizeof title, "%.120s: difference to %.100s", report->measures[measure].label,
             report->arms[report->baseline].label);
    dipp_text_append(out, "<figure><figcaption>");
    dipp_report_measure_name(report, measure, report->measures[measure].trained_arms > 0);
    dipp_text_append(out, report->measures[measure].direction < 0 ? " <small>less is better</small>" : "");
    dipp_text_append(out, "</figcaption>");
    dipp_svg_open(&chart, title, "One row an arm; numbers are in the table below.");
    dipp_svg_x_axis(&chart, height - 24, 6);
    double zero = dipp_svg_x(&chart, 0);
    dipp_text_printf(out, "<line class=\"zero\" x1=\"%.1f\" x2=\"%.1f\" y1=\"6\" y2=\"%.1f\"/>", zero, zero,
                     height - 24);
    double y = 6 + ROW / 2.0;
    for (size_t a = 0; a < report->arm_count; a++) {
        const dipp_report_comparison *c = dipp_report_against_baseline(report, comparisons, (int)a, measure);
        if (c->statistics) {
            draw_arm(report, &chart, c, (int)a, y);
            y += ROW;
        }
    }
    dipp_svg_end(&chart);
    dipp_text_append(out, "</figure>\n");
}

static void write_interval_cell(dipp_report *report, dipp_interval interval)
{
    char low[DIPP_HTML_NUMBER_BYTES], high[DIPP_HTML_NUMBER_BYTES];
    if (isfinite(interval.low))
        dipp_text_printf(&report->out, "<td class=\"r n\">[%s, %s]</td>", dipp_html_number(interval.low, 3, true, low),
                         dipp_html_number(interval.high, 3, true, high));
    else
        dipp_text_append(&report->out, "<td class=\"r faint\">–</td>");
}

static void write_number_cell(dipp_report *report, double value, int digits, bool sign)
{
    char number[DIPP_HTML_NUMBER_BYTES];
    if (isnan(value))
        dipp_text_append(&report->out, "<td class=\"r faint\">–</td>");
    else
        dipp_html_element(&report->out, "td", "r n", dipp_html_number(value, digits, sign, number));
}

static void write_comparison(dipp_report *report, const dipp_report_comparison *c, int arm, int measure)
{
    dipp_text *out = &report->out;
    const dipp_paired_statistics *s = c->statistics;
    dipp_text_append(out, "<tr><td>");
    dipp_report_measure_name(report, measure, c->trained_on);
    dipp_text_append(out, "</td><th scope=\"row\">");
    dipp_report_arm_name(report, arm);
    dipp_text_printf(out, "</th><td class=\"r n\">%u</td>", s->seeds);
    write_number_cell(report, s->mean, 4, true);
    write_interval_cell(report, s->over_seeds);
    write_number_cell(report, c->p_holm, 2, false);
    write_interval_cell(report, s->over_both);
    write_interval_cell(report, s->over_prompts);
    write_number_cell(report, c->equal_kl_present ? c->equal_kl.mean : (double)NAN, 4, true);
    write_interval_cell(report, c->equal_kl_present ? c->equal_kl.over_seeds : (dipp_interval){NAN, NAN});
    write_number_cell(report, c->equal_kl_present ? c->ikl : (double)NAN, 3, false);
    dipp_text_append(out, "</tr>\n");
}

void dipp_report_baseline(dipp_report *report, const dipp_report_comparisons *comparisons)
{
    dipp_text *out = &report->out;
    size_t drawn = 0;
    for (size_t m = 0; m < report->measure_count; m++)
        drawn += report->measures[m].direction ? rows_of(report, comparisons, (int)m) : 0;
    if (!drawn)
        return;
    dipp_report_heading(
        report, "baseline", "Against the baseline",
        "Differences at equal images seen, paired by seed, prompt and noise. Dot: mean over seeds, filled "
        "where a difference is claimed. Ticks: seeds. Thick line: 95 % over seeds (Student's t); thin line: "
        "two-level bootstrap over seeds and prompts; dashed: over prompts alone, where there is one seed, which "
        "says nothing about seeds. † The arm was trained on this measure.");
    dipp_text_append(out, "<div class=\"figures\">\n");
    for (size_t m = 0; m < report->measure_count; m++) {
        size_t rows = report->measures[m].direction ? rows_of(report, comparisons, (int)m) : 0;
        if (rows)
            draw_measure(report, comparisons, (int)m, rows);
    }
    dipp_text_append(
        out, "</div>\n<details><summary>The numbers, and the same at equal IKL</summary>"
             "<p class=\"note\">At equal IKL: both runs of a seed at the largest IKL to the reference that both "
             "reached, scores interpolated along their own curves.</p><div class=\"wide\"><table><thead><tr>"
             "<th>measure</th><th>arm</th><th class=\"r\">seeds</th><th class=\"r\">difference</th>"
             "<th class=\"r\">95 % over seeds</th><th class=\"r\">Holm’s p</th>"
             "<th class=\"r\">seeds and prompts</th><th class=\"r\">prompts alone</th>"
             "<th class=\"r\">at equal IKL</th><th class=\"r\">95 % over seeds</th><th class=\"r\">that IKL</th>"
             "</tr></thead><tbody>\n");
    for (size_t m = 0; m < report->measure_count; m++)
        for (size_t a = 0; a < report->arm_count; a++) {
            const dipp_report_comparison *c = dipp_report_against_baseline(report, comparisons, (int)a, (int)m);
            if (c->statistics)
                write_comparison(report, c, (int)a, (int)m);
        }
    dipp_text_append(out, "</tbody></table></div></details></section>\n");
}
