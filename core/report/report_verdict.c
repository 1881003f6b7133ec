/* The verdict: what the arm that gained most may be said to do, in one measure it was trained on and one it was not. */
#include "report/report_parts.h"

#include <math.h>

/* "+0.113 [+0.09, +0.14]" */
static void write_interval(dipp_report *report, double mean, dipp_interval interval)
{
    char a[DIPP_HTML_NUMBER_BYTES], b[DIPP_HTML_NUMBER_BYTES], c[DIPP_HTML_NUMBER_BYTES];
    dipp_html_number(mean, 3, true, a);
    if (isfinite(interval.low))
        dipp_text_printf(&report->out, "<b class=\"n\">%s</b> <span class=\"n\">[%s, %s]</span>", a,
                         dipp_html_number(interval.low, 3, true, b), dipp_html_number(interval.high, 3, true, c));
    else
        dipp_text_printf(&report->out, "<b class=\"n\">%s</b>", a);
}

static int best_arm(const dipp_report *report, const dipp_report_comparisons *comparisons, int measure)
{
    int best = DIPP_REPORT_NONE;
    double most = 0;
    for (size_t a = 0; a < report->arm_count; a++) {
        const dipp_report_comparison *c = dipp_report_against_baseline(report, comparisons, (int)a, measure);
        double gain = c->statistics ? report->measures[measure].direction * c->statistics->mean : 0;
        if (c->statistics && (best < 0 || gain > most)) {
            best = (int)a;
            most = gain;
        }
    }
    return best;
}

static bool all_ties(const dipp_paired_statistics *s)
{
    return s->mean == 0 && !s->by_pair.wins && !s->by_pair.losses;
}

/* "border†, which it was trained on" */
static void write_measure(dipp_report *report, const dipp_report_comparison *c, int measure, bool lead_trained)
{
    dipp_report_measure_name(report, measure, c->trained_on);
    if (lead_trained)
        dipp_text_append(&report->out,
                         c->trained_on ? ", which it was trained on" : ", which other arms were trained on");
    else
        dipp_text_append(&report->out, ", which no arm was trained on");
}

/* What may be said of one arm in one measure, as a sentence. */
static void write_claim(dipp_report *report, const dipp_report_comparison *c, int arm, int measure, bool lead_trained)
{
    dipp_text *out = &report->out;
    const dipp_paired_statistics *s = c->statistics;
    bool claimed = dipp_report_claimed(c);
    if (s->seeds == 1)
        dipp_text_append(out, "In this one training ");
    dipp_report_arm_name(report, arm);
    if (all_ties(s)) {
        dipp_text_append(out, " <b>equals</b> ");
        dipp_report_arm_name(report, report->baseline);
        dipp_text_append(out, " in ");
        write_measure(report, c, measure, lead_trained);
        dipp_text_append(out, ": every pair is a tie. ");
        return;
    }
    if (claimed) {
        dipp_text_append(out, s->mean > 0 ? " <b>raises</b> " : " <b>lowers</b> ");
        write_measure(report, c, measure, lead_trained);
        dipp_text_append(out, ", against ");
        dipp_report_arm_name(report, report->baseline);
    } else {
        dipp_text_append(out, s->no_claim_over_seeds ? " differs from " : " is <b>not shown to differ</b> from ");
        dipp_report_arm_name(report, report->baseline);
        dipp_text_append(out, " in ");
        write_measure(report, c, measure, lead_trained);
    }
    dipp_text_append(out, ": ");
    write_interval(report, s->mean, s->no_claim_over_seeds ? s->over_prompts : s->over_seeds);
    dipp_text_append(out, report->measures[measure].direction < 0 ? " (less is better). " : ". ");
}

static void write_scope(dipp_report *report, const dipp_report_comparison *c)
{
    dipp_text *out = &report->out;
    const dipp_paired_statistics *s = c->statistics;
    char p[DIPP_HTML_NUMBER_BYTES];
    dipp_text_append(out, "<p class=\"scope\">");
    if (s->no_claim_over_seeds) {
        dipp_html_textf(out, "Nothing is claimed about seeds: %s. ",
                        s->seeds == 1 ? "there is one, and another seed is another training"
                                      : "they do not differ, so they say nothing about their spread");
        if (s->prompts)
            dipp_html_textf(out, "The brackets are 95 %% intervals over %u prompts, for these very trainings.",
                            s->prompts);
    } else {
        dipp_html_textf(
            out,
            "The unit is the seed: %u seeds, each arm and the baseline paired by seed, prompt and noise; 95 %% "
            "intervals of Student's t over the seeds. A difference is claimed where Holm's p over all compared "
            "arms is below 0.05; here it is %s.",
            s->seeds, c->p_holm < 1e-4 ? "below 0.0001" : dipp_html_number(c->p_holm, 2, false, p));
    }
    dipp_text_append(out, "</p>\n");
}

/* All arms in the two leading measures. */
static void write_table(dipp_report *report, const dipp_report_comparisons *comparisons, dipp_report_leads leads)
{
    dipp_text *out = &report->out;
    const int shown[] = {leads.trained, leads.held_out};
    dipp_text_append(out, "<div class=\"wide\"><table><thead><tr><th>against ");
    dipp_report_arm_name(report, report->baseline);
    dipp_text_append(out, "</th>");
    for (int i = 0; i < 2; i++)
        if (shown[i] >= 0) {
            dipp_text_append(out, "<th class=\"r\">");
            dipp_report_measure_name(report, shown[i], false);
            dipp_html_element(out, "small", NULL, i ? " no arm was trained on it" : "");
            dipp_text_append(out, "</th><th>claim</th>");
        }
    dipp_text_append(out, "</tr></thead><tbody>\n");
    for (size_t a = 0; a < report->arm_count; a++) {
        if ((int)a == report->baseline || !report->arms[a].completed)
            continue;
        dipp_text_append(out, "<tr><th scope=\"row\">");
        dipp_report_arm_name(report, (int)a);
        dipp_text_append(out, "</th>");
        for (int i = 0; i < 2; i++) {
            if (shown[i] < 0)
                continue;
            const dipp_report_comparison *c = dipp_report_against_baseline(report, comparisons, (int)a, shown[i]);
            if (!c->statistics) {
                dipp_text_append(out, "<td class=\"r faint\">no pairs</td><td></td>");
                continue;
            }
            const dipp_paired_statistics *s = c->statistics;
            dipp_text_append(out, "<td class=\"r\">");
            write_interval(report, s->mean, s->no_claim_over_seeds ? s->over_prompts : s->over_seeds);
            dipp_text_append(out, c->trained_on ? "<span class=\"dagger\">†</span></td>" : "</td>");
            const char *claim = all_ties(s)               ? "equal"
                                : s->seeds == 1           ? "none: one seed"
                                : s->no_claim_over_seeds  ? "none: the seeds are equal"
                                : !dipp_report_claimed(c) ? "no difference"
                                : s->mean > 0             ? "higher"
                                                          : "lower";
            dipp_html_element(out, "td", dipp_report_claimed(c) ? NULL : "faint", claim);
        }
        dipp_text_append(out, "</tr>\n");
    }
    dipp_text_append(out, "</tbody></table></div>\n");
}

void dipp_report_verdict(dipp_report *report, const dipp_report_comparisons *comparisons)
{
    dipp_text *out = &report->out;
    dipp_report_leads leads = dipp_report_choose_leads(report);
    int arm = leads.trained >= 0 ? best_arm(report, comparisons, leads.trained) : DIPP_REPORT_NONE;
    int first = arm >= 0 ? leads.trained : leads.held_out;
    if (arm < 0 && leads.held_out >= 0)
        arm = best_arm(report, comparisons, leads.held_out);
    dipp_text_append(out, "<section id=\"verdict\"><h2>Verdict</h2>\n");
    if (arm < 0) {
        dipp_text_append(out, "<p class=\"lead\">");
        dipp_html_text(out,
                       report->arm_count < 2
                           ? "There is one arm only, so there is nothing to compare: no claim is made."
                           : "No arm shares a ranked measure, a seed and its images seen with the baseline: no claim "
                             "is made.");
        dipp_text_append(out, "</p></section>\n");
        return;
    }
    const dipp_report_comparison *c = dipp_report_against_baseline(report, comparisons, arm, first);
    dipp_text_append(out, "<p class=\"lead\">");
    write_claim(report, c, arm, first, first == leads.trained);
    if (first == leads.trained && leads.held_out >= 0) {
        const dipp_report_comparison *other = dipp_report_against_baseline(report, comparisons, arm, leads.held_out);
        if (other->statistics)
            write_claim(report, other, arm, leads.held_out, false);
    }
    dipp_text_append(out, "</p>\n");
    write_scope(report, c);
    write_table(report, comparisons, leads);
    dipp_text_append(out, "<p class=\"note\">The sentence is about the arm that gained most in ");
    dipp_report_measure_name(report, first, false);
    dipp_text_append(
        out, ". <span class=\"dagger\">†</span> An arm was trained on this measure: that it rises says that the "
             "optimisation works, not that the pictures are better.</p></section>\n");
}
