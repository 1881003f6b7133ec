#include "report/report.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "experiment/run_record.h"
#include "report/report_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The style sheet, from ground.css and report.css. */
static const char style[] =
#include "report/ground_css.inc"
#include "report/report_css.inc"
    ;

enum { COLOURS = 7 };

/* ---- What the parts share ---- */

const char *dipp_report_colour(const dipp_report *report, int arm)
{
    static const char *const names[COLOURS] = {"c0", "c1", "c2", "c3", "c4", "c5", "c6"};
    int place = report->arms[arm].place, base = report->arms[report->baseline].place;
    if (arm == report->baseline || place < 0)
        return place < 0 ? "idle" : "base";
    return names[(place - (place > base)) % COLOURS];
}

void dipp_report_heading(dipp_report *report, const char *id, const char *title, const char *note)
{
    dipp_text *out = &report->out;
    dipp_text_printf(out, "<section id=\"%s\">", id);
    dipp_html_element(out, "h2", NULL, title);
    dipp_html_element(out, "p", "note", note);
    dipp_text_append(out, "\n");
}

void dipp_report_arm_name(dipp_report *report, int arm)
{
    dipp_text *out = &report->out;
    dipp_svg_chart chart = {.out = out, .width = 12, .height = 12};
    dipp_svg_choose_ticks(0, 1, 1, &chart.x);
    dipp_svg_choose_ticks(0, 1, 1, &chart.y);
    dipp_text_append(out, "<span class=\"key\"><svg class=\"swatch\" viewBox=\"0 0 12 12\" aria-hidden=\"true\" "
                          "xmlns=\"http://www.w3.org/2000/svg\">");
    dipp_svg_marker(&chart, dipp_report_colour(report, arm), report->arms[arm].place, 4, (dipp_svg_point){0.5, 0.5},
                    NULL);
    dipp_text_append(out, "</svg>");
    dipp_html_name(out, report->arms[arm].label);
    dipp_text_append(out, "</span>");
}

void dipp_report_legend(dipp_report *report, bool with_reference)
{
    dipp_text *out = &report->out;
    dipp_text_append(out, "<p class=\"legend\">");
    for (size_t a = 0; a < report->arm_count; a++)
        if (report->arms[a].place >= 0)
            dipp_report_arm_name(report, (int)a);
    if (with_reference)
        dipp_text_append(
            out, "<span class=\"key level-key\"><svg class=\"swatch\" viewBox=\"0 0 22 12\" aria-hidden=\"true\" "
                 "xmlns=\"http://www.w3.org/2000/svg\"><line class=\"level\" x1=\"1\" x2=\"21\" y1=\"6\" "
                 "y2=\"6\"/></svg>multi-step reference</span>");
    dipp_text_append(out, "</p>\n");
}

void dipp_report_measure_name(dipp_report *report, int measure, bool trained_on)
{
    dipp_text_append(&report->out, "<span class=\"measure\">");
    dipp_html_name(&report->out, report->measures[measure].label);
    dipp_text_append(&report->out, trained_on ? "<span class=\"dagger\">†</span></span>" : "</span>");
}

void dipp_report_number(dipp_report *report, double value, int digits, bool signed_always)
{
    char number[DIPP_HTML_NUMBER_BYTES];
    dipp_html_element(&report->out, "span", "n", dipp_html_number(value, digits, signed_always, number));
}

/* ---- The page ---- */

static int read_last(void *user, int columns, const char *const *names, const char *const *values)
{
    char *time = user;
    if (values[0])
        dipp_clock_text(dipp_report_real(values[0]) / 1e6, time);
    return 0;
}

static int read_count(void *user, int columns, const char *const *names, const char *const *values)
{
    *(int64_t *)user = dipp_report_integer(values[0]);
    return 0;
}

/* Things a reader must know before any number. */
static void write_warnings(dipp_report *report, int64_t alarms)
{
    dipp_text *out = &report->out;
    size_t lost = 0, waiting = 0;
    bool unequal = false;
    int64_t images = -1;
    for (size_t i = 0; i < report->run_count; i++) {
        bool open = !strcmp(report->runs[i].status, "queued") || !strcmp(report->runs[i].status, "running");
        waiting += open;
        lost += !open && !report->runs[i].completed;
    }
    for (size_t a = 0; a < report->arm_count; a++)
        if (report->arms[a].completed) {
            unequal |= images >= 0 && images != report->arms[a].images;
            images = report->arms[a].images;
        }
    if (!lost && !waiting && !unequal && !alarms && !report->baseline_chosen)
        return;
    dipp_text_append(out, "<ul class=\"alerts\">");
    if (alarms)
        dipp_text_printf(out, "<li><a href=\"#monitor\">the monitor raised an alarm in %lld run%s</a></li>",
                         (long long)alarms, alarms == 1 ? "" : "s");
    if (lost)
        dipp_text_printf(out, "<li><a href=\"#lost\">%zu run%s failed, killed or lost</a></li>", lost,
                         lost == 1 ? "" : "s");
    if (waiting)
        dipp_text_printf(out, "<li><a href=\"#lost\">%zu run%s not finished yet</a></li>", waiting,
                         waiting == 1 ? " is" : "s are");
    if (unequal)
        dipp_text_append(out, "<li>Arms saw unequal numbers of images; only equal ones are compared.</li>");
    if (report->baseline_chosen) {
        dipp_text_append(
            out, "<li>The experiment’s baseline is not one arm with completed runs; the least aligned is taken: ");
        dipp_report_arm_name(report, report->baseline);
        dipp_text_append(out, "</li>");
    }
    dipp_text_append(out, "</ul>\n");
}

static dipp_status write_head(dipp_report *report, dipp_error *error)
{
    dipp_text *out = &report->out;
    char last[DIPP_TIME_TEXT_BYTES] = "";
    size_t completed = 0, seeds = 0;
    dipp_status status =
        dipp_report_query(report,
                          "SELECT max(max(ifnull(ended_at,0), ifnull(heartbeat_at,0), created_at)) FROM "
                          "runs WHERE experiment_id=CAST(?1 AS INTEGER)",
                          read_last, last, error);
    int64_t alarms = 0;
    if (status == DIPP_OK)
        status = dipp_report_query(report,
                                   "SELECT count(alarm_step) FROM monitor_alarms JOIN runs USING(run_id) WHERE "
                                   "experiment_id=CAST(?1 AS INTEGER)",
                                   read_count, &alarms, error);
    for (size_t i = 0; i < report->run_count; i++)
        completed += report->runs[i].completed;
    for (size_t a = 0; a < report->arm_count; a++)
        seeds = report->arms[a].completed > seeds ? report->arms[a].completed : seeds;
    dipp_text_append(
        out, "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\"><head>"
             "<meta charset=\"utf-8\"/><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
             "<meta name=\"color-scheme\" content=\"light dark\"/>"
             "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
             "style-src 'unsafe-inline'\"/><link rel=\"icon\" href=\"data:,\"/>\n");
    dipp_html_element(out, "title", NULL, report->name);
    dipp_text_printf(out, "<style>%s</style></head>\n<body><main>\n<header><p class=\"kind\">dipp report</p><h1>",
                     style);
    dipp_html_name(out, report->name);
    dipp_text_append(out, "</h1><p class=\"facts\">");
    dipp_html_textf(out, "%zu of %zu runs completed · %zu arm%s · up to %zu seed%s · baseline ", completed,
                    report->run_count, report->arm_count, report->arm_count == 1 ? "" : "s", seeds,
                    seeds == 1 ? "" : "s");
    dipp_report_arm_name(report, report->baseline);
    if (*last)
        dipp_html_textf(out, " · last record %.16sZ", last);
    dipp_text_append(out, "</p>\n");
    write_warnings(report, alarms);
    dipp_text_append(out, "</header>\n");
    return status;
}

/* Links to the sections that came out. */
static void write_contents(dipp_text *page, const dipp_text *body)
{
    static const char *const parts[][2] = {{"verdict", "Verdict"},           {"arms", "Arms"},
                                           {"leaderboard", "Leaderboard"},   {"baseline", "Against the baseline"},
                                           {"curves", "Training"},           {"monitor", "Alarms"},
                                           {"pictures", "Pictures"},         {"wins", "Win rates"},
                                           {"fronts", "What it costs"},      {"worst", "Worst cases"},
                                           {"reproduce", "How to reproduce"}};
    dipp_text_append(page, "<nav>");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char mark[64];
        snprintf(mark, sizeof mark, "<section id=\"%s\">", parts[i][0]);
        if (body->data && strstr(body->data, mark))
            dipp_text_printf(page, "<a href=\"#%s\">%s</a>", parts[i][0], parts[i][1]);
    }
    dipp_text_append(page, "</nav>\n");
}

static dipp_status write_parts(dipp_report *report, dipp_error *error)
{
    dipp_report_comparisons comparisons = {0};
    dipp_report_pictures *pictures = NULL;
    dipp_status status = dipp_report_compare(report, &comparisons, error);
    if (status == DIPP_OK)
        status = dipp_report_pictures_load(report, &pictures, error);
    if (status == DIPP_OK) {
        dipp_report_verdict(report, &comparisons);
        status = dipp_report_arms(report, error);
    }
    if (status == DIPP_OK) {
        dipp_report_leaderboard(report);
        dipp_report_baseline(report, &comparisons);
        status = dipp_report_curves(report, error);
    }
    if (status == DIPP_OK)
        status = dipp_report_monitor(report, error);
    if (status == DIPP_OK) {
        dipp_report_picture_grid(report, pictures);
        dipp_report_wins(report, &comparisons);
        status = dipp_report_fronts(report, error);
    }
    if (status == DIPP_OK)
        status = dipp_report_worst(report, pictures, error);
    if (status == DIPP_OK)
        status = dipp_report_reproduce(report, error);
    dipp_report_pictures_destroy(&pictures);
    dipp_report_compare_clear(report, &comparisons);
    return status;
}

dipp_status dipp_report_render(dipp_store *store, const char *experiment, char **html, dipp_error *error)
{
    dipp_report report = {.status = DIPP_OK};
    dipp_text page = {0};
    dipp_status status = dipp_report_load(&report, store, experiment, error);
    if (status == DIPP_OK)
        status = write_head(&report, error);
    if (status == DIPP_OK) {
        page = report.out;
        report.out = (dipp_text){0};
        status = write_parts(&report, error);
    }
    if (status == DIPP_OK) {
        write_contents(&page, &report.out);
        if (report.out.data)
            dipp_text_append_n(&page, report.out.data, report.out.length);
        dipp_text_append(&page, "</main></body></html>\n");
        page.failed |= report.out.failed;
        *html = dipp_text_finish(&page);
        if (!*html)
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the report");
    }
    dipp_text_discard(&page);
    dipp_report_clear(&report);
    return status;
}

/* NAME/reports/EXPERIMENT.html beside the database; of ASCII, letters, digits and a few signs stay, others become '_'.
   */
static char *default_path(dipp_store *store, const char *experiment, dipp_error *error)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-=,";
    char *root = dipp_path_folder(dipp_store_path(store)), *name = dipp_run_store_folder(dipp_store_path(store));
    dipp_text text = {0};
    dipp_text_printf(&text, "%s/%s/reports/", root ? root : "", name ? name : "");
    char *folder = text.data && root && name ? dipp_string_copy(text.data) : NULL;
    size_t start = text.length;
    dipp_text_printf(&text, "%s.html", experiment);
    char *path = dipp_text_finish(&text);
    for (char *at = path ? path + start : NULL; at && *at; at++)
        if (!strchr(plain, *at) && (unsigned char)*at < 0x80)
            *at = '_';
    dipp_status status = folder && path ? dipp_make_directories(folder, error)
                                        : dipp_fail(error, DIPP_E_MEMORY, "no memory for the report's path");
    dipp_release(root);
    dipp_release(name);
    dipp_release(folder);
    if (status == DIPP_OK)
        return path;
    dipp_release(path);
    return NULL;
}

dipp_status dipp_report_write(dipp_store *store, const char *experiment, const char *path, char **written,
                              dipp_error *error)
{
    char *html = NULL;
    dipp_status status = dipp_report_render(store, experiment, &html, error);
    char *to = NULL;
    if (status == DIPP_OK) {
        to = path ? dipp_string_copy(path) : default_path(store, experiment, error);
        if (!to)
            status = path ? dipp_fail(error, DIPP_E_MEMORY, "no memory for the report's path") : error->code;
    }
    if (status == DIPP_OK)
        status = dipp_file_write_atomic(to, html, strlen(html), error);
    if (status == DIPP_OK && written)
        *written = to;
    else
        dipp_release(to);
    dipp_release(html);
    return status;
}
