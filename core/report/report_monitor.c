/* What the monitor saw: alarms, the evidence of every watched run, and how well that tells the runs in which a metric fell by
 * the evaluation from the others (evaluate/monitor_study.h). */
#include "report/report_parts.h"

#include "evaluate/monitor_study.h"

#include <math.h>
#include <stdio.h>

enum { WIDTH = 340, HEIGHT = 300 };

static int add_row(void *user, int columns, const char *const *names, const char *const *values)
{
    dipp_report *report = user;
    dipp_text *out = &report->out;
    int run = dipp_report_find_run(report, dipp_report_integer(values[0]));
    if (run < 0)
        return 0;
    dipp_text_append(out, "<tr><th scope=\"row\">");
    dipp_report_arm_name(report, report->runs[run].arm);
    dipp_text_printf(out, "</th><td class=\"r n\">%lld</td><td class=\"r\">", (long long)report->runs[run].seed);
    dipp_report_number(report, values[1] ? dipp_report_real(values[1]) : (double)NAN, 3, false);
    dipp_text_append(out, "</td>");
    if (values[2])
        dipp_text_printf(out, "<td class=\"r n warn\"><b>%lld of %lld</b></td>",
                         (long long)dipp_report_integer(values[2]), (long long)report->runs[run].step);
    else
        dipp_text_append(out, "<td class=\"faint r\">–</td>");
    dipp_html_element(out, "td", NULL, values[3] ? values[3] : "");
    dipp_html_element(out, "td", NULL, values[4] ? values[4] : "");
    dipp_text_append(out, "</tr>\n");
    return 0;
}

/* The curve of evidence by all judges as steps; the marker is where the alarms that were recorded put the runs. */
static void draw_curve(dipp_report *report, const dipp_monitor_study *study)
{
    const dipp_monitor_curve *curve = &study->curves[0];
    dipp_text *out = &report->out;
    dipp_svg_chart chart;
    dipp_svg_range unit = {0, 1};
    const dipp_svg_point chance[] = {{0, 0}, {1, 1}};
    char tip[160];
    dipp_text_append(out, "<div class=\"figures large\"><figure><figcaption>");
    dipp_html_textf(out, "Evidence against whether %s fell: area %.3f (95 %% over runs %.3f to %.3f)", study->truth,
                    curve->roc.area, curve->roc.interval.low, curve->roc.interval.high);
    dipp_text_append(out, "</figcaption>");
    dipp_svg_begin(
        &chart, out, WIDTH, HEIGHT, unit, unit, "Receiver operating characteristic of the monitor",
        "Share of the runs that fell against share of those that did not, whose evidence reaches a threshold; "
        "the marker is the level of the alarms.",
        "alarms where it did not fall", "alarms where it fell");
    dipp_svg_line(&chart, "level", chance, 2, false);
    for (size_t i = 1; i < curve->roc.count; i++) {
        const dipp_roc_point *from = &curve->roc.points[i - 1], *to = &curve->roc.points[i];
        const dipp_svg_point piece[] = {{from->false_alarms, from->hits}, {to->false_alarms, to->hits}};
        dipp_svg_line(&chart, "front", piece, 2, false);
    }
    snprintf(tip, sizeof tip, "alarms: %u of %u that fell, %u of %u that did not", curve->hits, curve->roc.positives,
             curve->false_alarms, curve->roc.negatives);
    dipp_svg_marker(&chart, "c1", 3, 6,
                    (dipp_svg_point){(double)curve->false_alarms / curve->roc.negatives,
                                     (double)curve->hits / curve->roc.positives},
                    tip);
    dipp_svg_end(&chart);
    dipp_text_append(out, "</figure></div>\n");
}

static dipp_status write_study(dipp_report *report, dipp_error *error)
{
    dipp_monitor_study_options options = {.experiment = report->name, .margin = NAN};
    dipp_monitor_study study;
    dipp_status status = dipp_monitor_study_of(report->store, &options, &study, error);
    if (status == DIPP_OK) {
        const dipp_monitor_curve *curve = &study.curves[0];
        dipp_text_append(&report->out, "<p>");
        dipp_html_textf(
            &report->out,
            "By the evaluation %s fell in %u of %u runs; of those %u had raised an alarm, of the others %u.",
            study.truth, curve->roc.positives, curve->runs, curve->hits, curve->false_alarms);
        dipp_text_append(&report->out, "</p>\n");
        if (curve->roc.count)
            draw_curve(report, &study);
    }
    dipp_monitor_study_clear(&study);
    return status == DIPP_E_NOT_FOUND ? DIPP_OK : status; /* nothing says what is true: the table stands alone */
}

dipp_status dipp_report_monitor(dipp_report *report, dipp_error *error)
{
    dipp_text *out = &report->out;
    size_t before = out->length;
    dipp_report_heading(report, "monitor", "Alarms",
                        "While a run trained, the monitor drew a fixed set of prompts and noise and asked whether the "
                        "trained reward had risen while a judge had fallen, both beyond noise. Evidence is −log10 of "
                        "that p after all corrections, the most of any look.");
    dipp_text_append(out, "<div class=\"wide\"><table><thead><tr><th>arm</th><th class=\"r\">seed</th><th "
                          "class=\"r\">evidence</th><th class=\"r\">alarm at step</th><th>what it saw</th><th>ended "
                          "early</th></tr></thead><tbody>\n");
    size_t empty = out->length;
    dipp_status status = dipp_report_query(report,
                                           "SELECT m.run_id, m.evidence, m.alarm_step, m.message, m.ended_early FROM "
                                           "monitor_alarms m JOIN runs r USING(run_id) WHERE "
                                           "r.experiment_id=CAST(?1 AS INTEGER) ORDER BY r.run_id",
                                           add_row, report, error);
    if (out->length == empty && out->data) {
        out->length = before; /* nobody watched: no heading either */
        out->data[before] = 0;
        return status;
    }
    dipp_text_append(out, "</tbody></table></div>\n");
    if (status == DIPP_OK)
        status = write_study(report, error);
    dipp_text_append(out, "</section>\n");
    return status;
}
