/* Win rates: the pictures of one arm against those of another from the same prompt and noise. */
#include "report/report_parts.h"

#include <math.h>

enum { OPEN_MATRICES = 2 };

static bool has_duels(const dipp_report *report, const dipp_report_comparisons *comparisons, int measure)
{
    for (size_t i = 0; i < comparisons->duel_count; i++)
        if (comparisons->duels[i].measure == measure)
            return true;
    return false;
}

/* Ties count half, as in the rate that is printed; the colour is the rate's distance from one half. */
static void write_cell(dipp_report *report, const dipp_report_duel *duel)
{
    dipp_text *out = &report->out;
    if (!duel) {
        dipp_text_append(out, "<td class=\"faint c\">–</td>");
        return;
    }
    double all = (double)(duel->wins + duel->ties + duel->losses);
    double rate = ((double)duel->wins + 0.5 * (double)duel->ties) / all;
    bool unsure = !isfinite(duel->over_seeds.low) || (duel->over_seeds.low <= 0 && duel->over_seeds.high >= 0);
    dipp_text_printf(out, "<td class=\"c win%s\" style=\"--w:%.0f%%\">",
                     unsure       ? " unsure"
                     : rate < 0.5 ? " loses"
                                  : " wins",
                     fabs(rate - 0.5) * 80);
    dipp_text_printf(out, "<b class=\"n\">%.0f %%</b><small class=\"n\">%lld · %lld · %lld</small></td>", 100 * rate,
                     (long long)duel->wins, (long long)duel->ties, (long long)duel->losses);
}

static void write_matrix(dipp_report *report, const dipp_report_comparisons *comparisons, int measure)
{
    dipp_text *out = &report->out;
    dipp_text_append(out, "<div class=\"wide\"><table class=\"matrix\"><caption>");
    dipp_report_measure_name(report, measure, report->measures[measure].trained_arms > 0);
    dipp_text_append(out, "</caption><thead><tr><th></th>");
    for (size_t b = 0; b < report->arm_count; b++)
        if (report->arms[b].completed) {
            dipp_text_append(out, "<th class=\"c\">");
            dipp_report_arm_name(report, (int)b);
            dipp_text_append(out, "</th>");
        }
    dipp_text_append(out, "</tr></thead><tbody>\n");
    for (size_t a = 0; a < report->arm_count; a++) {
        if (!report->arms[a].completed)
            continue;
        dipp_text_append(out, "<tr><th scope=\"row\">");
        dipp_report_arm_name(report, (int)a);
        dipp_text_append(out, "</th>");
        for (size_t b = 0; b < report->arm_count; b++) {
            if (!report->arms[b].completed)
                continue;
            if (a == b)
                dipp_text_append(out, "<td class=\"self\"></td>");
            else
                write_cell(report, dipp_report_duel_of(comparisons, measure, (int)a, (int)b));
        }
        dipp_text_append(out, "</tr>\n");
    }
    dipp_text_append(out, "</tbody></table></div>\n");
}

void dipp_report_wins(dipp_report *report, const dipp_report_comparisons *comparisons)
{
    dipp_text *out = &report->out;
    dipp_report_leads leads = dipp_report_choose_leads(report);
    const int first[OPEN_MATRICES] = {leads.trained, leads.held_out};
    size_t more = 0;
    if (!comparisons->duel_count)
        return;
    dipp_report_heading(
        report, "wins", "Win rates",
        "Row against column: the share of pictures, from the same seed, prompt and noise, in which the row "
        "scores better; ties count half. Below: wins · ties · losses. Hatched: the 95 % interval over seeds of the "
        "mean difference covers zero, or there is one seed.");
    dipp_text_append(out, "<div class=\"matrices\">\n");
    for (size_t i = 0; i < OPEN_MATRICES; i++)
        if (first[i] >= 0 && has_duels(report, comparisons, first[i]))
            write_matrix(report, comparisons, first[i]);
    dipp_text_append(out, "</div>\n");
    for (size_t m = 0; m < report->measure_count; m++) {
        if ((int)m == first[0] || (int)m == first[1] || !has_duels(report, comparisons, (int)m))
            continue;
        if (!more++)
            dipp_text_append(out, "<details><summary>The other measures</summary><div class=\"matrices\">\n");
        write_matrix(report, comparisons, (int)m);
    }
    dipp_text_append(out, more ? "</div></details></section>\n" : "</section>\n");
}
