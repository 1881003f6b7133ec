/* What reward costs: each run as a point over its IKL to the reference, and over its diversity. */
#include "report/report_parts.h"

#include "base/memory.h"
#include "report/svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 460, HEIGHT = 330 };

/* The IKL of each run where its scores were taken. */
static const char ikl_sql[] = "SELECT run_id, ikl FROM summary WHERE ikl IS NOT NULL AND experiment=(SELECT name FROM "
                              "experiments WHERE experiment_id=CAST(?1 AS INTEGER)) ORDER BY run_id";

typedef struct ikl_reader {
    dipp_report *report;
    double *ikl; /* [runs], NaN where unknown */
} ikl_reader;

static int read_ikl(void *user, int columns, const char *const *names, const char *const *values)
{
    ikl_reader *reader = user;
    int run = dipp_report_find_run(reader->report, dipp_report_integer(values[0]));
    if (run >= 0)
        reader->ikl[run] = dipp_report_real(values[1]);
    return 0;
}

static int by_x(const void *a, const void *b)
{
    const dipp_svg_point *one = a, *two = b;
    return one->x < two->x ? -1 : one->x > two->x ? 1 : one->y < two->y ? -1 : one->y > two->y;
}

/* Arm means that no other arm beats in both. less_x: less of x is better; direction is that of y. */
static size_t front_of(dipp_svg_point *points, size_t count, bool less_x, int direction)
{
    size_t kept = 0;
    qsort(points, count, sizeof *points, by_x);
    for (size_t i = 0; i < count; i++) {
        bool beaten = false;
        for (size_t k = 0; k < count && !beaten; k++) {
            bool x_good = less_x ? points[k].x <= points[i].x : points[k].x >= points[i].x;
            bool y_good = direction * points[k].y >= direction * points[i].y;
            beaten = x_good && y_good && (points[k].x != points[i].x || points[k].y != points[i].y);
        }
        if (!beaten) /* [kept, i) are beaten points: an exchange loses none that is compared later */
        {
            dipp_svg_point here = points[i];
            memmove(points + kept + 1, points + kept, (i - kept) * sizeof *points);
            points[kept++] = here;
        }
    }
    return kept;
}

typedef struct front {
    const char *title, *x_name;
    const double *x; /* [runs] */
    bool less_x;
    int measure; /* y */
} front;

static bool point_of(const dipp_report *report, const front *shown, size_t run, dipp_svg_point *out)
{
    const dipp_report_score *score = dipp_report_score_of(report, (int)run, shown->measure, DIPP_REPORT_FINAL);
    if (!report->runs[run].completed || !score || !isfinite(score->value) || !isfinite(shown->x[run]))
        return false;
    *out = (dipp_svg_point){shown->x[run], score->value};
    return true;
}

static bool arm_mean(const dipp_report *report, const front *shown, int arm, dipp_svg_point *out)
{
    dipp_svg_point point;
    size_t seeds = 0;
    *out = (dipp_svg_point){0, 0};
    for (size_t i = 0; i < report->run_count; i++)
        if (report->runs[i].arm == arm && point_of(report, shown, i, &point)) {
            out->x += point.x;
            out->y += point.y;
            seeds++;
        }
    out->x /= (double)(seeds ? seeds : 1);
    out->y /= (double)(seeds ? seeds : 1);
    return seeds > 0;
}

typedef struct box {
    double left, top, right, bottom; /* SVG units */
} box;

static bool overlap(const box *a, const box *b)
{
    return a->left < b->right && b->left < a->right && a->top < b->bottom && b->top < a->bottom;
}

/* A label right of its marker, or left, above, below it: where nothing stands yet. None where all are taken; the legend
 * names the marker. boxes holds the large markers first, room for as many labels behind them. */
static void place_label(dipp_report *report, const dipp_svg_chart *chart, dipp_svg_point at, int arm, box *boxes,
                        size_t *count)
{
    static const char *const anchors[] = {"start", "end", "middle", "middle"};
    double x = dipp_svg_x(chart, at.x), y = dipp_svg_y(chart, at.y);
    char text[96];
    dipp_html_shorten(report->arms[arm].label, 24, text, sizeof text);
    double width = 6.7 * (double)strlen(text); /* about; no font is at hand to ask */
    const double lefts[] = {x + 9, x - 9 - width, x - width / 2, x - width / 2};
    const double bottoms[] = {y + 4, y + 4, y - 9, y + 18};
    for (int i = 0; i < 4; i++) {
        box label = {lefts[i], bottoms[i] - 11, lefts[i] + width, bottoms[i] + 3};
        bool free_place = label.left > chart->left - 20 && label.right < chart->width && label.top > 0;
        for (size_t k = 0; k < *count && free_place; k++)
            free_place = !overlap(&label, &boxes[k]);
        if (!free_place)
            continue;
        boxes[(*count)++] = label;
        double from = i == 0 ? label.left : i == 1 ? label.right : x;
        dipp_svg_label(&report->out, "point", from, bottoms[i], anchors[i], text);
        return;
    }
}

static dipp_status draw_front(dipp_report *report, const front *shown, dipp_error *error)
{
    dipp_text *out = &report->out;
    dipp_svg_range x = DIPP_SVG_EMPTY, y = DIPP_SVG_EMPTY;
    dipp_svg_chart chart;
    dipp_svg_point point;
    dipp_svg_point *means = dipp_allocate_zeroed(report->arm_count + 1, sizeof *means);
    box *boxes = dipp_allocate_zeroed(2 * report->arm_count + 1, sizeof *boxes);
    size_t count = 0, taken = 0;
    for (size_t i = 0; i < report->run_count; i++)
        if (point_of(report, shown, i, &point)) {
            dipp_svg_widen(&x, point.x);
            dipp_svg_widen(&y, point.y);
        }
    if (!means || !boxes || !(x.low <= x.high)) {
        dipp_status status = means && boxes ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for the fronts");
        dipp_release(means);
        dipp_release(boxes);
        return status;
    }
    dipp_text_append(out, "<figure><figcaption>");
    dipp_report_measure_name(report, shown->measure, report->measures[shown->measure].trained_arms > 0);
    dipp_html_textf(out, " over %s", shown->title);
    dipp_text_append(out, "</figcaption>");
    dipp_svg_begin(&chart, out, WIDTH, HEIGHT, x, y, shown->title,
                   "One small marker a run, a large one for an arm's mean; "
                   "the stepped line joins the arms that no other beats in both.",
                   shown->x_name, NULL);
    for (size_t a = 0; a < report->arm_count; a++)
        count += arm_mean(report, shown, (int)a, &means[count]);
    int direction = report->measures[shown->measure].direction;
    count = front_of(means, count, shown->less_x, direction ? direction : 1);
    dipp_svg_line(&chart, "front", means, count, true);
    for (size_t i = 0; i < report->run_count; i++)
        if (point_of(report, shown, i, &point)) {
            char tip[300], colour[32];
            snprintf(tip, sizeof tip, "%.120s, seed %lld: %.5g at %.5g", report->arms[report->runs[i].arm].label,
                     (long long)report->runs[i].seed, point.y, point.x);
            snprintf(colour, sizeof colour, "small %s", dipp_report_colour(report, report->runs[i].arm));
            dipp_svg_marker(&chart, colour, report->arms[report->runs[i].arm].place, 3, point, tip);
        }
    for (size_t a = 0; a < report->arm_count; a++)
        if (arm_mean(report, shown, (int)a, &point)) {
            double px = dipp_svg_x(&chart, point.x), py = dipp_svg_y(&chart, point.y);
            dipp_svg_marker(&chart, dipp_report_colour(report, (int)a), report->arms[a].place, 5.5, point,
                            report->arms[a].label);
            boxes[taken++] = (box){px - 7, py - 7, px + 7, py + 7};
        }
    for (size_t a = 0; a < report->arm_count; a++)
        if (arm_mean(report, shown, (int)a, &point))
            place_label(report, &chart, point, (int)a, boxes, &taken);
    dipp_svg_end(&chart);
    dipp_text_append(out, "</figure>\n");
    dipp_release(means);
    dipp_release(boxes);
    return DIPP_OK;
}

dipp_status dipp_report_fronts(dipp_report *report, dipp_error *error)
{
    dipp_report_leads leads = dipp_report_choose_leads(report);
    const int measures[] = {leads.trained, leads.held_out};
    double *x = dipp_allocate_zeroed(2 * report->run_count, sizeof *x);
    if (!x)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the report's fronts");
    double *ikl = x, *diversity = x + report->run_count;
    int of_diversity = DIPP_REPORT_NONE;
    for (size_t m = 0; m < report->measure_count; m++)
        if (!strcmp(report->measures[m].metric, "diversity"))
            of_diversity = (int)m;
    for (size_t i = 0; i < report->run_count; i++) {
        const dipp_report_score *score =
            of_diversity >= 0 ? dipp_report_score_of(report, (int)i, of_diversity, DIPP_REPORT_FINAL) : NULL;
        ikl[i] = (double)NAN;
        diversity[i] = score ? score->value : (double)NAN;
    }
    ikl_reader reader = {report, ikl};
    dipp_status status = dipp_report_query(report, ikl_sql, read_ikl, &reader, error);
    size_t before = report->out.length;
    dipp_report_heading(
        report, "fronts", "What it costs",
        "Small markers are runs, one a seed; large ones the means of arms. The stepped line joins the arms "
        "that none beats in both. IKL: how far a run moved from the unguided reference.");
    dipp_report_legend(report, false);
    dipp_text_append(&report->out, "<div class=\"figures large\">\n");
    size_t empty = report->out.length;
    for (size_t i = 0; i < 2 && status == DIPP_OK; i++) {
        if (measures[i] < 0)
            continue;
        front by_ikl = {"IKL to the reference", "IKL (less is nearer)", ikl, true, measures[i]};
        front by_diversity = {"diversity within a prompt", "diversity (more is richer)", diversity, false, measures[i]};
        status = draw_front(report, &by_ikl, error);
        if (status == DIPP_OK && measures[i] != of_diversity)
            status = draw_front(report, &by_diversity, error);
    }
    if (report->out.length == empty && report->out.data) {
        report->out.length = before; /* nothing to draw: no heading either */
        report->out.data[before] = 0;
    } else {
        dipp_text_append(&report->out, "</div></section>\n");
    }
    dipp_release(x);
    return status;
}
