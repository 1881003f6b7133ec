/* The arms, described by the settings in which they differ, and runs that did not complete. */
#include "report/report_parts.h"

#include <stdio.h>
#include <string.h>

/* Keys whose values differ between arms but not within one, and that somebody wrote down in at least one arm: what a
 * plugin's defaults add where only some arms have the plugin is not a difference anyone asked for. */
static const char differences_sql[] =
    "WITH v AS MATERIALIZED (SELECT p.key, r.arm, r.config_sha256 AS config, min(ifnull(CAST(p.value AS TEXT),'null')) "
    "AS value, count(DISTINCT ifnull(CAST(p.value AS TEXT),'null')) AS spread, max(p.source<>'default') AS written "
    "FROM "
    "params p JOIN runs r USING(run_id) WHERE r.experiment_id=CAST(?1 AS INTEGER) GROUP BY 1,2,3) "
    "SELECT key, arm, config, value FROM v WHERE key IN (SELECT key FROM v GROUP BY key HAVING max(spread)=1 AND "
    "max(written)=1 AND (count(DISTINCT value)>1 OR count(*)<(SELECT count(*) FROM (SELECT DISTINCT arm, config_sha256 "
    "FROM runs WHERE experiment_id=CAST(?1 AS INTEGER))))) AND written=1 ORDER BY key, arm, config";

enum { KEY_SHOWN = 64 };

typedef struct difference_reader {
    dipp_report *report;
    dipp_text cells[KEY_SHOWN]; /* by arm: what it sets */
    size_t count;
} difference_reader;

static int add_difference(void *user, int columns, const char *const *names, const char *const *values)
{
    difference_reader *reader = user;
    int arm = dipp_report_find_arm(reader->report, values[1], values[2]);
    if (arm < 0 || arm >= KEY_SHOWN)
        return 0;
    dipp_text *cell = &reader->cells[arm];
    dipp_text_append(cell, "<code class=\"set\">");
    dipp_html_text(cell, values[0]);
    dipp_text_append(cell, "<span class=\"is\">=</span>");
    dipp_html_name(cell, values[3]);
    dipp_text_append(cell, "</code> ");
    return 0;
}

static void write_arm(dipp_report *report, int index, const dipp_text *differences)
{
    dipp_text *out = &report->out;
    const dipp_report_arm *arm = &report->arms[index];
    dipp_text_append(out, "<tr><th scope=\"row\">");
    dipp_report_arm_name(report, index);
    if (index == report->baseline)
        dipp_text_append(out, "<small> baseline</small>");
    dipp_text_append(out, "</th><td class=\"sets\">");
    dipp_text_append(out, differences->data ? differences->data : "<span class=\"faint\">the common settings</span>");
    dipp_text_append(out, "</td><td class=\"rewards\">");
    if (*arm->rewards)
        dipp_html_name(out, arm->rewards);
    else
        dipp_html_element(out, "span", "faint", arm->place < 0 ? "not recorded" : "none");
    dipp_text_append(out, "</td><td class=\"r\">");
    dipp_text_append_double(out, arm->omega);
    dipp_text_printf(out, "</td><td class=\"r n%s\">%zu of %zu</td>", arm->completed < arm->runs ? " warn" : "",
                     arm->completed, arm->runs);
    dipp_text_printf(out, "<td class=\"r n\">%lld</td><td class=\"r n\">%lld</td>", (long long)arm->steps,
                     (long long)arm->images);
    char time[48];
    if (arm->seconds >= 5400)
        snprintf(time, sizeof time, "%.1f h", arm->seconds / 3600);
    else if (arm->seconds >= 60)
        snprintf(time, sizeof time, "%.1f min", arm->seconds / 60);
    else
        snprintf(time, sizeof time, "%.1f s", arm->seconds);
    dipp_html_element(out, "td", "r n", time);
    char key[9];
    snprintf(key, sizeof key, "%.8s", arm->config);
    dipp_html_element(out, "td", "faint code", key);
    dipp_text_append(out, "</tr>\n");
}

static bool same_loss(const dipp_report_run *a, const dipp_report_run *b)
{
    return !a->completed && !b->completed && a->arm == b->arm && !strcmp(a->status, b->status) &&
           !strcmp(a->error ? a->error : "", b->error ? b->error : "");
}

/* Seeds of one arm that ended alike are one row: seeds, and the furthest step. */
static void write_loss(dipp_report *report, size_t first)
{
    dipp_text *out = &report->out;
    const dipp_report_run *run = &report->runs[first];
    int64_t step = 0;
    dipp_text_append(out, "<tr><th scope=\"row\">");
    dipp_report_arm_name(report, run->arm);
    dipp_text_append(out, "</th><td class=\"n\">");
    for (size_t i = first; i < report->run_count; i++) {
        const dipp_report_run *other = &report->runs[i];
        if (!same_loss(run, other))
            continue;
        dipp_text_printf(out, "%s%lld", i == first ? "" : ", ", (long long)other->seed);
        step = other->step > step ? other->step : step;
    }
    dipp_text_append(out, "</td>");
    dipp_html_element(out, "td", "warn", run->status);
    dipp_text_printf(out, "<td class=\"r n\">%lld</td><td>", (long long)step);
    dipp_html_name(out, run->error ? run->error : "no error text");
    dipp_text_append(out, "</td></tr>\n");
}

/* Runs that a reader would otherwise miss. */
static void write_lost(dipp_report *report)
{
    dipp_text *out = &report->out;
    size_t rows = 0;
    for (size_t i = 0; i < report->run_count; i++) {
        bool told = report->runs[i].completed;
        for (size_t k = 0; k < i && !told; k++)
            told = same_loss(&report->runs[k], &report->runs[i]);
        if (told)
            continue;
        if (!rows++)
            dipp_text_append(
                out,
                "<h3 id=\"lost\">Runs that did not complete</h3><p class=\"note\">They are in no table, mean or claim; "
                "in the curves they are dotted.</p>"
                "<div class=\"wide\"><table><thead><tr><th>arm</th><th>seeds</th><th>status</th>"
                "<th class=\"r\">step</th><th>what was recorded</th></tr></thead><tbody>\n");
        write_loss(report, i);
    }
    dipp_text_append(out, rows ? "</tbody></table></div>\n" : "");
}

dipp_status dipp_report_arms(dipp_report *report, dipp_error *error)
{
    dipp_text *out = &report->out;
    difference_reader reader = {.report = report};
    dipp_status status = dipp_report_query(report, differences_sql, add_difference, &reader, error);
    dipp_report_heading(
        report, "arms", "Arms",
        "From the least to the most aligned: by the total scale of the rewards, then by guidance. Only settings in "
        "which arms differ are shown; the time is that of all runs of the arm.");
    dipp_text_append(out, "<div class=\"wide\"><table><thead><tr><th>arm</th><th>what it sets</th><th>rewards</th>"
                          "<th class=\"r\">ω</th><th class=\"r\">seeds done</th><th class=\"r\">steps</th>"
                          "<th class=\"r\">images</th><th class=\"r\">time</th><th>key</th></tr></thead><tbody>\n");
    const dipp_text none = {0};
    for (size_t a = 0; a < report->arm_count; a++)
        write_arm(report, (int)a, a < KEY_SHOWN ? &reader.cells[a] : &none);
    dipp_text_append(out, "</tbody></table></div>\n");
    write_lost(report);
    dipp_text_append(out, "</section>\n");
    for (size_t a = 0; a < KEY_SHOWN; a++) {
        out->failed |= reader.cells[a].failed;
        dipp_text_discard(&reader.cells[a]);
    }
    return status;
}
