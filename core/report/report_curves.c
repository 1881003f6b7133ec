/* What happened during training: every seed thin, the mean of an arm's completed seeds thick. */
#include "report/report_parts.h"

#include "base/memory.h"
#include "report/svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS_SHOWN = 160, ARMS_PER_PANEL = 8, OPEN_PANELS = 9, WIDTH = 340, HEIGHT = 210 };

typedef struct curve {
    int run;
    dipp_svg_point *points; /* in order of steps */
    size_t count, capacity;
} curve;

/* One quantity; a reader that meets another name opens the next panel. */
typedef struct panel {
    char name[120];
    int measure; /* or NONE */
    curve *curves;
    size_t count, capacity;
    size_t nonfinite;
} panel;

typedef struct panel_list {
    dipp_report *report;
    panel *panels;
    size_t count, capacity;
} panel_list;

static bool add_point(panel_list *list, const char *name, int measure, int64_t run_id, double step, double value)
{
    dipp_report *report = list->report;
    int run = dipp_report_find_run(report, run_id);
    bool good = dipp_grow((void **)&list->panels, &list->capacity, list->count + 1, sizeof *list->panels);
    panel *at = good && list->count ? &list->panels[list->count - 1] : NULL;
    if (good && (!at || at->measure != measure || strncmp(at->name, name, sizeof at->name - 1))) {
        at = &list->panels[list->count++];
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): dipp_grow has made room */
        *at = (panel){.measure = measure};
        snprintf(at->name, sizeof at->name, "%s", name);
    }
    good = good && dipp_grow((void **)&at->curves, &at->capacity, at->count + 1, sizeof *at->curves);
    if (good && (!at->count || at->curves[at->count - 1].run != run))
        at->curves[at->count++] = (curve){.run = run};
    curve *line = good ? &at->curves[at->count - 1] : NULL;
    good = good && dipp_grow((void **)&line->points, &line->capacity, line->count + 1, sizeof *line->points);
    if (!good) {
        report->status = dipp_fail(&report->error, DIPP_E_MEMORY, "no memory for the report's curves");
        return false;
    }
    line->points[line->count++] = (dipp_svg_point){step, value};
    at->nonfinite += !isfinite(value);
    return true;
}

static const char ikl_sql[] = "SELECT k.run_id, k.step, k.ikl FROM ikl_by_step k JOIN runs r USING(run_id) WHERE "
                              "r.experiment_id=CAST(?1 AS INTEGER) ORDER BY k.run_id, k.step";

static int read_ikl(void *user, int columns, const char *const *names, const char *const *values)
{
    return !add_point(user, "IKL to the reference", DIPP_REPORT_NONE, dipp_report_integer(values[0]),
                      dipp_report_real(values[1]), dipp_report_real(values[2]));
}

/* The sum of several rewards is a panel of its own; of one it would be the same curve again. */
static const char rewards_sql[] =
    "WITH v AS (SELECT n.name, m.run_id, m.step, m.value FROM metrics m JOIN metric_names n USING(metric_id) JOIN runs "
    "r "
    "USING(run_id) WHERE r.experiment_id=CAST(?1 AS INTEGER) AND (n.name='train/reward' OR n.name LIKE "
    "'train/reward.%')) SELECT name, run_id, step, value FROM v WHERE name<>'train/reward' OR (SELECT count(DISTINCT "
    "name) FROM v)<>2 ORDER BY name, run_id, step";

static int read_reward(void *user, int columns, const char *const *names, const char *const *values)
{
    char name[160];
    bool part = !strncmp(values[0], "train/reward.", 13);
    snprintf(name, sizeof name, part ? "reward %.100s in training" : "reward in training", values[0] + 13 * part);
    return !add_point(user, name, DIPP_REPORT_NONE, dipp_report_integer(values[1]), dipp_report_real(values[2]),
                      dipp_report_real(values[3]));
}

static const char measures_sql[] =
    "SELECT b.metric_id, b.scorer_id, b.prompt_set_id, t.protocol, b.run_id, b.step, b.value FROM scores_by_step b "
    "JOIN "
    "runs r USING(run_id) JOIN evaluation_settings t USING(settings_id) JOIN metric_names n USING(metric_id) WHERE "
    "r.experiment_id=CAST(?1 AS INTEGER) AND n.name<>'ikl' AND (t.subject<>'reference' OR r.stage='pretrain') ORDER BY "
    "n.direction=0, b.metric_id, b.scorer_id, b.prompt_set_id, t.protocol, b.run_id, b.step";

static int read_measure(void *user, int columns, const char *const *names, const char *const *values)
{
    panel_list *list = user;
    int measure = dipp_report_find_measure(list->report, dipp_report_integer(values[0]), dipp_report_integer(values[1]),
                                           dipp_report_integer(values[2]), values[3]);
    return measure >= 0 &&
           !add_point(list, list->report->measures[measure].label, measure, dipp_report_integer(values[4]),
                      dipp_report_real(values[5]), dipp_report_real(values[6]));
}

/* Means of neighbours, so that a long log is no larger than its picture. NaN neighbours make a gap. */
static void thin_out(curve *line)
{
    size_t width = (line->count + POINTS_SHOWN - 1) / POINTS_SHOWN, kept = 0;
    for (size_t at = 0; at < line->count && width > 1; at += width) {
        dipp_svg_point sum = {0, 0};
        size_t end = at + width < line->count ? at + width : line->count;
        for (size_t i = at; i < end; i++) {
            sum.x += line->points[i].x;
            sum.y += line->points[i].y;
        }
        line->points[kept++] = (dipp_svg_point){sum.x / (double)(end - at), sum.y / (double)(end - at)};
    }
    line->count = width > 1 ? kept : line->count;
}

static void line_class(const dipp_report *report, int arm, const char *kind, char out[64])
{
    snprintf(out, 64, "line %s %s d%d", kind, dipp_report_colour(report, arm),
             report->arms[arm].place / ARMS_PER_PANEL % 4);
}

/* Centre and unit of a scale. */
typedef struct spread {
    double centre, size;
} spread;

/* The mean at the steps that every completed seed of the arm has, (y - centre) / size of it; freed with dipp_release.
 * NULL with *count 0 where the arm has none. */
static dipp_svg_point *mean_of_arm(dipp_report *report, const panel *shown, int arm, spread of, size_t *count)
{
    const curve *first = NULL;
    size_t seeds = 0;
    *count = 0;
    for (size_t i = 0; i < shown->count; i++)
        if (report->runs[shown->curves[i].run].arm == arm && report->runs[shown->curves[i].run].completed) {
            first = first ? first : &shown->curves[i];
            seeds++;
        }
    dipp_svg_point *mean = first ? dipp_allocate_zeroed(first->count, sizeof *mean) : NULL;
    report->out.failed |= first && !mean;
    for (size_t p = 0; mean && p < first->count; p++) {
        double sum = 0;
        size_t have = 0;
        for (size_t i = 0; i < shown->count; i++) {
            const curve *line = &shown->curves[i];
            if (report->runs[line->run].arm != arm || !report->runs[line->run].completed)
                continue;
            for (size_t k = p < line->count && line->points[p].x == first->points[p].x ? p : 0; k < line->count; k++)
                if (line->points[k].x == first->points[p].x) {
                    sum += line->points[k].y;
                    have++;
                    break;
                }
        }
        if (have == seeds)
            mean[(*count)++] = (dipp_svg_point){first->points[p].x, (sum / (double)seeds - of.centre) / of.size};
    }
    return mean;
}

static void draw_mean(dipp_report *report, const panel *shown, dipp_svg_chart *chart, int arm, const char *kind,
                      spread of)
{
    size_t count = 0;
    dipp_svg_point *mean = mean_of_arm(report, shown, arm, of, &count);
    char class_name[64];
    line_class(report, arm, kind, class_name);
    dipp_svg_line(chart, class_name, mean, count, false);
    dipp_release(mean);
}

static bool in_group(const dipp_report *report, int arm, size_t group)
{
    int place = report->arms[arm].place;
    return place >= 0 && (size_t)place / ARMS_PER_PANEL == group;
}

static size_t count_groups(const dipp_report *report)
{
    size_t groups = 0;
    for (size_t a = 0; a < report->arm_count; a++)
        if (report->arms[a].place >= 0)
            groups = (size_t)report->arms[a].place / ARMS_PER_PANEL + 1;
    return groups;
}

static bool has_curves(const dipp_report *report, const panel *shown, size_t group)
{
    for (size_t i = 0; i < shown->count; i++)
        if (in_group(report, report->runs[shown->curves[i].run].arm, group))
            return true;
    return false;
}

static void draw_panel(dipp_report *report, const panel *shown, size_t group, size_t groups)
{
    dipp_text *out = &report->out;
    dipp_svg_range x = DIPP_SVG_EMPTY, y = DIPP_SVG_EMPTY; /* of all arms: panels of one quantity share their scale */
    dipp_svg_chart chart;
    dipp_report_mean reference = {.mean = (double)NAN};
    char class_name[64];
    for (size_t i = 0; i < shown->count; i++)
        for (size_t k = 0; k < shown->curves[i].count; k++) {
            dipp_svg_widen(&x, shown->curves[i].points[k].x);
            dipp_svg_widen(&y, shown->curves[i].points[k].y);
        }
    if (shown->measure >= 0 && dipp_report_mean_of(report, 0, shown->measure, DIPP_REPORT_REFERENCE, &reference))
        dipp_svg_widen(&y, reference.mean);
    dipp_text_append(out, "<figure><figcaption>");
    if (shown->measure >= 0)
        dipp_report_measure_name(report, shown->measure, report->measures[shown->measure].trained_arms > 0);
    else
        dipp_html_name(out, shown->name);
    if (groups > 1) {
        dipp_text_append(out, " <small>");
        dipp_html_textf(out, "panel %zu of %zu", group + 1, groups);
        dipp_text_append(out, "</small>");
    }
    if (shown->nonfinite) {
        dipp_text_append(out, "<small class=\"warn\"> ");
        dipp_html_textf(out, "%zu values not finite", shown->nonfinite);
        dipp_text_append(out, "</small>");
    }
    dipp_text_append(out, "</figcaption>");
    dipp_svg_begin(&chart, out, WIDTH, HEIGHT, x, y, shown->name, "Lines over training steps, one colour an arm.",
                   "step", NULL);
    if (isfinite(reference.mean)) {
        double at = dipp_svg_y(&chart, reference.mean);
        dipp_text_printf(out, "<line class=\"level\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", chart.left,
                         chart.width - chart.right, at, at);
    }
    for (size_t i = 0; i < shown->count; i++) {
        const dipp_report_run *run = &report->runs[shown->curves[i].run];
        if (!in_group(report, run->arm, group))
            continue;
        line_class(report, run->arm, run->completed ? "thin" : "lost", class_name);
        dipp_svg_line(&chart, class_name, shown->curves[i].points, shown->curves[i].count, false);
    }
    for (size_t a = 0; a < report->arm_count; a++)
        if (in_group(report, (int)a, group))
            draw_mean(report, shown, &chart, (int)a, "mean", (spread){0, 1});
    dipp_svg_end(&chart);
    dipp_text_append(out, "</figure>\n");
}

/* ---- What was rewarded and what was not, in one panel ---- */

static const panel *panel_of(const panel_list *list, int measure)
{
    for (size_t p = 0; p < list->count; p++)
        if (measure >= 0 && list->panels[p].measure == measure)
            return &list->panels[p];
    return NULL;
}

static bool was_trained(const dipp_report *report, int arm, int measure)
{
    dipp_report_mean mean;
    return dipp_report_mean_of(report, arm, measure, DIPP_REPORT_FINAL, &mean) && mean.trained_on;
}

/* Mean and standard deviation of all points of completed runs. false: they are all alike. */
static bool spread_of(const dipp_report *report, const panel *shown, spread *out)
{
    double sum = 0, squares = 0;
    size_t count = 0;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < shown->count; i++)
            for (size_t k = 0; k < shown->curves[i].count && report->runs[shown->curves[i].run].completed; k++) {
                double y = shown->curves[i].points[k].y;
                if (!isfinite(y))
                    continue;
                sum += round ? 0 : y;
                count += !round;
                squares += round ? (y - out->centre) * (y - out->centre) : 0;
            }
        out->centre = count ? sum / (double)count : 0;
    }
    out->size = count ? sqrt(squares / (double)count) : 0;
    return out->size > 1e-9 * fabs(out->centre);
}

/* A reward that rises while a judge nobody trained falls is being exploited; on one scale that is seen at a glance. */
static void draw_together(dipp_report *report, const panel_list *list)
{
    dipp_text *out = &report->out;
    dipp_report_leads leads = dipp_report_choose_leads(report);
    const panel *both[] = {panel_of(list, leads.trained), panel_of(list, leads.held_out)};
    spread of[2];
    dipp_svg_range x = DIPP_SVG_EMPTY, y = DIPP_SVG_EMPTY;
    dipp_svg_chart chart;
    if (!both[0] || !both[1] || !spread_of(report, both[0], &of[0]) || !spread_of(report, both[1], &of[1]))
        return;
    for (size_t a = 0; a < report->arm_count; a++)
        for (int i = 0; i < 2 && was_trained(report, (int)a, leads.trained); i++) {
            size_t count = 0;
            dipp_svg_point *mean = mean_of_arm(report, both[i], (int)a, of[i], &count);
            for (size_t k = 0; k < count; k++) {
                dipp_svg_widen(&x, mean[k].x);
                dipp_svg_widen(&y, mean[k].y);
            }
            dipp_release(mean);
        }
    dipp_text_append(out, "<figure id=\"together\"><figcaption>");
    dipp_report_measure_name(report, leads.trained, true);
    dipp_text_append(out, " <small>solid</small> and ");
    dipp_report_measure_name(report, leads.held_out, false);
    dipp_text_append(out, " <small>dashed; z-scores</small></figcaption>");
    dipp_svg_begin(
        &chart, out, WIDTH, HEIGHT, x, y, "What was rewarded and what was not",
        "Means of the arms trained on the first, both measures centred and divided by their standard deviation.",
        "step", NULL);
    for (size_t a = 0; a < report->arm_count; a++)
        for (int i = 0; i < 2 && was_trained(report, (int)a, leads.trained); i++)
            draw_mean(report, both[i], &chart, (int)a, i ? "mean held" : "mean", of[i]);
    dipp_svg_end(&chart);
    dipp_text_append(out, "</figure>\n");
}

/* The points as they are drawn, behind a link that needs no server. */
static void write_csv(dipp_report *report, const panel_list *list)
{
    dipp_text csv = {0};
    dipp_text_append(&csv, "quantity,arm,seed,step,value\r\n");
    for (size_t p = 0; p < list->count; p++)
        for (size_t i = 0; i < list->panels[p].count; i++) {
            const curve *line = &list->panels[p].curves[i];
            const dipp_report_run *run = &report->runs[line->run];
            const char *quoted[] = {list->panels[p].name, report->arms[run->arm].label};
            for (size_t k = 0; k < line->count; k++) {
                for (size_t q = 0; q < 2; q++) {
                    dipp_text_append(&csv, "\"");
                    for (const char *c = quoted[q]; *c; c++)
                        dipp_text_append_n(&csv, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
                    dipp_text_append(&csv, "\",");
                }
                dipp_text_printf(&csv, "%lld,", (long long)run->seed);
                dipp_text_append_double(&csv, line->points[k].x);
                dipp_text_append(&csv, ",");
                dipp_text_append_double(&csv, line->points[k].y);
                dipp_text_append(&csv, "\r\n");
            }
        }
    dipp_text_append(&report->out, "<p class=\"note\"><a download=\"curves.csv\" href=\"data:text/csv;base64,");
    if (csv.data)
        dipp_html_base64(&report->out, csv.data, csv.length);
    dipp_text_append(&report->out, "\">The drawn points as CSV</a></p>\n");
    report->out.failed |= csv.failed;
    dipp_text_discard(&csv);
}

static void write_panels(dipp_report *report, const panel_list *list)
{
    dipp_text *out = &report->out;
    size_t groups = count_groups(report);
    dipp_report_heading(
        report, "curves", "Training",
        "Thin: each seed. Thick: the mean of the completed seeds. Dotted: runs that did not complete. Steps are "
        "generator updates; long logs are drawn as means of neighbouring steps.");
    dipp_report_legend(report, true);
    dipp_text_append(out, "<div class=\"figures\">\n");
    draw_together(report, list);
    for (size_t p = 0; p < list->count; p++) {
        if (p == OPEN_PANELS)
            dipp_text_printf(out, "</div>\n<details><summary>%zu more</summary><div class=\"figures\">\n",
                             list->count - OPEN_PANELS);
        for (size_t g = 0; g < groups; g++)
            if (has_curves(report, &list->panels[p], g))
                draw_panel(report, &list->panels[p], g, groups);
    }
    dipp_text_append(out, list->count > OPEN_PANELS ? "</div></details>\n" : "</div>\n");
    write_csv(report, list);
    dipp_text_append(out, "</section>\n");
}

dipp_status dipp_report_curves(dipp_report *report, dipp_error *error)
{
    panel_list list = {.report = report};
    dipp_status status = dipp_report_query(report, ikl_sql, read_ikl, &list, error);
    if (status == DIPP_OK)
        status = dipp_report_query(report, rewards_sql, read_reward, &list, error);
    if (status == DIPP_OK)
        status = dipp_report_query(report, measures_sql, read_measure, &list, error);
    for (size_t p = 0; p < list.count; p++)
        for (size_t i = 0; i < list.panels[p].count; i++)
            thin_out(&list.panels[p].curves[i]);
    if (status == DIPP_OK && list.count)
        write_panels(report, &list);
    for (size_t p = 0; p < list.count; p++) {
        for (size_t i = 0; i < list.panels[p].count; i++)
            dipp_release(list.panels[p].curves[i].points);
        dipp_release(list.panels[p].curves);
    }
    dipp_release(list.panels);
    return status;
}
