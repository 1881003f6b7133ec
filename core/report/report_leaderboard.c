/* The table of all measures: reference, before alignment, arms; every seed as a tick in its cell. */
#include "report/report_parts.h"

#include "report/svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STRIP_WIDTH = 72, STRIP_HEIGHT = 12 };

typedef struct board_row {
    int arm; /* -1: over all arms */
    dipp_report_point point;
} board_row;

static bool in_row(const dipp_report *report, const dipp_report_score *score, const board_row *row)
{
    const dipp_report_run *run = &report->runs[score->run];
    return score->point == row->point &&
           (row->point == DIPP_REPORT_REFERENCE || (run->completed && (row->arm < 0 || run->arm == row->arm)));
}

/* Ticks of the seeds on the range that the whole column spans. */
static void write_strip(dipp_report *report, const board_row *row, int measure, const dipp_report_mean *mean)
{
    dipp_text *out = &report->out;
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < report->score_count; i++) {
        const dipp_report_score *score = &report->scores[i];
        if (score->measure != measure || !isfinite(score->value) ||
            !(report->runs[score->run].completed || score->point == DIPP_REPORT_REFERENCE))
            continue;
        low = fmin(low, score->value);
        high = fmax(high, score->value);
    }
    if (!(high > low) || !isfinite(mean->mean))
        return;
    double scale = (STRIP_WIDTH - 6) / (high - low);
    dipp_text_printf(
        out,
        "<svg class=\"strip\" viewBox=\"0 0 %d %d\" aria-hidden=\"true\" xmlns=\"http://www.w3.org/2000/svg\">"
        "<line class=\"grid\" x1=\"0\" x2=\"%d\" y1=\"6\" y2=\"6\"/>",
        STRIP_WIDTH, STRIP_HEIGHT, STRIP_WIDTH);
    for (size_t i = 0; i < report->score_count; i++) {
        const dipp_report_score *score = &report->scores[i];
        if (score->measure == measure && in_row(report, score, row) && isfinite(score->value)) {
            double x = 3 + (score->value - low) * scale;
            dipp_text_printf(out, "<line class=\"seed\" x1=\"%.1f\" x2=\"%.1f\" y1=\"1\" y2=\"11\"/>", x, x);
        }
    }
    dipp_text_printf(out, "<circle cx=\"%.1f\" cy=\"6\" r=\"2.6\"/></svg>", 3 + (mean->mean - low) * scale);
}

static bool row_mean(const dipp_report *report, const board_row *row, int measure, dipp_report_mean *out)
{
    if (row->arm >= 0 || row->point == DIPP_REPORT_REFERENCE)
        return dipp_report_mean_of(report, row->arm, measure, row->point, out);
    dipp_report_mean mean;
    *out = (dipp_report_mean){.seeds = 0};
    for (size_t a = 0; a < report->arm_count; a++) /* all arms started alike: the one with most seeds */
        if (dipp_report_mean_of(report, (int)a, measure, row->point, &mean) && mean.seeds > out->seeds)
            *out = mean;
    return out->seeds > 0;
}

static bool is_best(const dipp_report *report, int arm, int measure, double value)
{
    dipp_report_mean mean;
    int direction = report->measures[measure].direction;
    size_t others = 0;
    if (!direction)
        return false;
    for (size_t a = 0; a < report->arm_count; a++)
        if ((int)a != arm && dipp_report_mean_of(report, (int)a, measure, DIPP_REPORT_FINAL, &mean)) {
            others++;
            if (direction * mean.mean > direction * value)
                return false;
        }
    return others > 0;
}

static void write_cell(dipp_report *report, const board_row *row, int measure)
{
    dipp_text *out = &report->out;
    dipp_report_mean mean;
    char number[DIPP_HTML_NUMBER_BYTES];
    if (!row_mean(report, row, measure, &mean)) {
        dipp_text_append(out, "<td class=\"r faint\">–</td>");
        return;
    }
    bool best = row->point == DIPP_REPORT_FINAL && is_best(report, row->arm, measure, mean.mean);
    dipp_text_printf(out, "<td class=\"r\"><span class=\"n%s\">%s</span>", best ? " best" : "",
                     dipp_html_number(mean.mean, 4, false, number));
    if (mean.trained_on)
        dipp_text_append(out, "<span class=\"dagger\">†</span>");
    if (mean.sd > 1e-9 * fabs(mean.mean)) /* less is rounding */
        dipp_text_printf(out, "<small class=\"n\"> ±%s</small>", dipp_html_number(mean.sd, 2, false, number));
    if (mean.nonfinite)
        dipp_text_printf(out, "<small class=\"warn\"> %lld not finite</small>", (long long)mean.nonfinite);
    write_strip(report, row, measure, &mean);
    dipp_text_append(out, "</td>");
}

static size_t seeds_of(const dipp_report *report, const board_row *row)
{
    size_t most = 0;
    dipp_report_mean mean;
    for (size_t m = 0; m < report->measure_count; m++)
        if (row_mean(report, row, (int)m, &mean) && mean.seeds > most)
            most = mean.seeds;
    return most;
}

static void write_row(dipp_report *report, const board_row *row, const char *label)
{
    dipp_text *out = &report->out;
    size_t seeds = seeds_of(report, row);
    if (!seeds)
        return;
    dipp_text_printf(out, "<tr class=\"%s\"><th scope=\"row\">", row->point == DIPP_REPORT_FINAL ? "arm" : "fixed");
    if (row->arm >= 0)
        dipp_report_arm_name(report, row->arm);
    if (label)
        dipp_html_element(out, "span", row->arm >= 0 ? "faint" : NULL, label);
    dipp_text_printf(out, "</th><td class=\"r n\">%zu</td>", seeds);
    for (size_t m = 0; m < report->measure_count; m++)
        write_cell(report, row, (int)m);
    dipp_text_append(out, "</tr>\n");
}

/* Arms that started from the same weights have one row before alignment: no two runs of a seed differ there. */
static bool started_alike(const dipp_report *report)
{
    for (size_t i = 0; i < report->score_count; i++)
        for (size_t k = 0; k < i; k++) {
            const dipp_report_score *a = &report->scores[i], *b = &report->scores[k];
            bool same_seed = report->runs[a->run].seed == report->runs[b->run].seed;
            if (a->point == DIPP_REPORT_START && b->point == DIPP_REPORT_START && a->measure == b->measure &&
                same_seed && fabs(a->value - b->value) > 1e-9 * fabs(a->value))
                return false;
        }
    return true;
}

void dipp_report_leaderboard(dipp_report *report)
{
    dipp_text *out = &report->out;
    dipp_report_heading(
        report, "leaderboard", "Leaderboard",
        "Means over seeds ± their standard deviation at the last evaluated step; ticks are seeds, the dot is their "
        "mean, on one scale per column. Bold: the best arm of a ranked measure. † The arm was trained on this "
        "measure.");
    dipp_text_append(out,
                     "<div class=\"wide\"><table class=\"board\"><thead><tr><th>arm</th><th class=\"r\">runs</th>");
    for (size_t m = 0; m < report->measure_count; m++) {
        const dipp_report_measure *measure = &report->measures[m];
        dipp_text title = {0};
        dipp_text_printf(&title, "%s%s%s; by %s; prompts: %s; %s", measure->metric, measure->description ? ": " : "",
                         measure->description ? measure->description : "", measure->scorer, measure->prompt_set,
                         measure->protocol);
        dipp_text_append(out, "<th class=\"r\"");
        dipp_html_attribute(out, "title", title.data);
        dipp_text_append(out, ">");
        dipp_html_name(out, measure->label);
        dipp_html_element(out, "small", NULL, measure->direction > 0 ? " ↑" : measure->direction < 0 ? " ↓" : "");
        dipp_text_append(out, "</th>");
        out->failed |= title.failed;
        dipp_text_discard(&title);
    }
    dipp_text_append(out, "</tr></thead><tbody>\n");
    write_row(report, &(board_row){-1, DIPP_REPORT_REFERENCE}, "(reference)");
    bool alike = started_alike(report);
    if (alike)
        write_row(report, &(board_row){-1, DIPP_REPORT_START}, "(step 0)");
    for (size_t a = 0; a < report->arm_count; a++) {
        if (!alike)
            write_row(report, &(board_row){(int)a, DIPP_REPORT_START}, " (step 0)");
        write_row(report, &(board_row){(int)a, DIPP_REPORT_FINAL}, NULL);
    }
    dipp_text_append(out, "</tbody></table></div>\n<details><summary>How each measure was taken</summary><ul>\n");
    for (size_t m = 0; m < report->measure_count; m++) {
        const dipp_report_measure *measure = &report->measures[m];
        dipp_text_append(out, "<li><b>");
        dipp_html_name(out, measure->label);
        dipp_text_append(out, "</b> ");
        dipp_html_textf(out, "%s%s by %s on the prompts %s: %s%s", measure->description ? measure->description : "",
                        measure->description ? "," : "", measure->scorer, measure->prompt_set, measure->protocol,
                        measure->direction > 0   ? "; more is better"
                        : measure->direction < 0 ? "; less is better"
                                                 : "; not ranked");
        dipp_text_append(out, "</li>\n");
    }
    dipp_text_append(out, "</ul></details></section>\n");
}
