/* Where an arm lost most against the baseline: groups of prompts that name the same thing, and single prompts with
   pictures. */
#include "report/report_parts.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUPS_SHOWN = 5, PROMPTS_SHOWN = 3 };

typedef struct worst_group {
    int arm;
    const char *key, *value;
    int64_t prompts;
    double difference, arm_mean, baseline_mean;
} worst_group;

typedef struct worst_prompt {
    int arm;
    int64_t prompt_id, sample; /* of the arm's worst picture of this prompt */
    const char *text;
    double difference;
} worst_prompt;

typedef struct worst_list {
    dipp_report *report;
    worst_group *groups; /* of one measure, worst first within an arm */
    worst_prompt *prompts;
    size_t group_count, group_capacity, prompt_count, prompt_capacity;
} worst_list;

/* ?1 experiment, ?2 and ?3 the baseline, ?4 to ?7 the measure, ?8 its direction. A prompt counts once, whatever its
   samples. */
#define PROMPT_DIFFERENCES                                                                                           \
    "WITH s AS MATERIALIZED (SELECT s.arm_a, s.config_a, s.prompt_id, s.noise_seed, s.value_a, s.value_b FROM "      \
    "paired_samples s JOIN evaluation_settings t USING(settings_id) WHERE s.experiment_id=CAST(?1 AS INTEGER) AND "  \
    "s.arm_b=?2 AND s.config_b=?3 AND s.metric_id=CAST(?4 AS INTEGER) AND s.scorer_id=CAST(?5 AS INTEGER) AND "      \
    "s.prompt_set_id=CAST(?6 AS INTEGER) AND t.protocol=?7), d AS MATERIALIZED (SELECT arm_a, config_a, prompt_id, " \
    "avg(value_a) AS a, avg(value_b) AS b, CAST(?8 AS INTEGER)*avg(value_a-value_b) AS gain FROM s GROUP BY 1,2,3) "

static const char groups_sql[] =
    PROMPT_DIFFERENCES ", g AS (SELECT d.*, 'category' AS key, p.category AS value FROM d JOIN prompts p "
                       "USING(prompt_id) WHERE p.category IS "
                       "NOT NULL UNION ALL SELECT d.*, j.key, j.value FROM d JOIN prompts p USING(prompt_id) JOIN "
                       "json_each(p.attributes_json) "
                       "j WHERE p.attributes_json IS NOT NULL) SELECT arm_a, config_a, key, value, count(*), avg(a), "
                       "avg(b) FROM g GROUP BY "
                       "1,2,3,4 HAVING avg(gain)<0 ORDER BY arm_a, config_a, avg(gain), count(*) DESC, key, value";

/* The sample to look at: where the arm lost most; of equals the first noise. */
static const char prompts_sql[] = PROMPT_DIFFERENCES
    ", w AS (SELECT s.*, row_number() OVER (PARTITION BY arm_a, config_a, prompt_id ORDER BY CAST(?8 AS "
    "INTEGER)*(value_a-value_b), noise_seed) AS place FROM s) SELECT d.arm_a, d.config_a, d.prompt_id, p.text, "
    "d.a-d.b, "
    "(SELECT e.sample FROM evaluations e WHERE e.prompt_id=d.prompt_id AND e.noise_seed=w.noise_seed AND "
    "e.metric_id=CAST(?4 AS INTEGER) LIMIT 1) FROM d JOIN w ON w.arm_a=d.arm_a AND w.config_a=d.config_a AND "
    "w.prompt_id=d.prompt_id AND w.place=1 JOIN prompts p ON p.prompt_id=d.prompt_id WHERE d.gain<0 ORDER BY d.arm_a, "
    "d.config_a, d.gain, p.idx";

static const char *keep(worst_list *list, const char *text)
{
    const char *copy = dipp_arena_string(list->report->arena, text ? text : "");
    if (!copy)
        list->report->status = dipp_fail(&list->report->error, DIPP_E_MEMORY, "no memory for the report's worst cases");
    return copy;
}

static int read_group(void *user, int columns, const char *const *names, const char *const *values)
{
    worst_list *list = user;
    int arm = dipp_report_find_arm(list->report, values[0], values[1]);
    if (arm < 0)
        return 0;
    if (!dipp_grow((void **)&list->groups, &list->group_capacity, list->group_count + 1, sizeof *list->groups)) {
        list->report->status = dipp_fail(&list->report->error, DIPP_E_MEMORY, "no memory for the report's worst cases");
        return 1;
    }
    double a = dipp_report_real(values[5]), b = dipp_report_real(values[6]);
    list->groups[list->group_count++] =
        (worst_group){arm, keep(list, values[2]), keep(list, values[3]), dipp_report_integer(values[4]), a - b, a, b};
    return list->report->status != DIPP_OK;
}

static int read_prompt(void *user, int columns, const char *const *names, const char *const *values)
{
    worst_list *list = user;
    int arm = dipp_report_find_arm(list->report, values[0], values[1]);
    if (arm < 0)
        return 0;
    if (!dipp_grow((void **)&list->prompts, &list->prompt_capacity, list->prompt_count + 1, sizeof *list->prompts)) {
        list->report->status = dipp_fail(&list->report->error, DIPP_E_MEMORY, "no memory for the report's worst cases");
        return 1;
    }
    list->prompts[list->prompt_count++] =
        (worst_prompt){arm, dipp_report_integer(values[2]), dipp_report_integer(values[5]), keep(list, values[3]),
                       dipp_report_real(values[4])};
    return list->report->status != DIPP_OK;
}

static void write_groups(dipp_report *report, const worst_list *list, int arm)
{
    dipp_text *out = &report->out;
    size_t shown = 0;
    for (size_t i = 0; i < list->group_count && shown < GROUPS_SHOWN; i++) {
        const worst_group *group = &list->groups[i];
        if (group->arm != arm)
            continue;
        if (!shown++)
            dipp_text_append(out,
                             "<table><thead><tr><th>prompts that name</th><th class=\"r\">prompts</th>"
                             "<th class=\"r\">baseline</th><th class=\"r\">arm</th><th class=\"r\">difference</th></tr>"
                             "</thead><tbody>\n");
        dipp_text_append(out, "<tr><th scope=\"row\">");
        dipp_html_name(out, group->key);
        dipp_text_append(out, " <b>");
        dipp_html_name(out, group->value);
        dipp_text_printf(out, "</b></th><td class=\"r n\">%lld</td><td class=\"r\">", (long long)group->prompts);
        dipp_report_number(report, group->baseline_mean, 3, false);
        dipp_text_append(out, "</td><td class=\"r\">");
        dipp_report_number(report, group->arm_mean, 3, false);
        dipp_text_append(out, "</td><td class=\"r\">");
        dipp_report_number(report, group->difference, 3, true);
        dipp_text_append(out, "</td></tr>\n");
    }
    dipp_text_append(out, shown ? "</tbody></table>\n" : "");
}

static void write_prompts(dipp_report *report, dipp_report_pictures *pictures, const worst_list *list, int arm)
{
    dipp_text *out = &report->out;
    size_t shown = 0;
    for (size_t i = 0; i < list->prompt_count && shown < PROMPTS_SHOWN; i++) {
        const worst_prompt *prompt = &list->prompts[i];
        if (prompt->arm != arm)
            continue;
        if (!shown++) {
            dipp_text_append(out, "<table class=\"pictures\"><thead><tr><th>worst prompts</th><th>");
            dipp_report_arm_name(report, report->baseline);
            dipp_text_append(out, "</th><th>");
            dipp_report_arm_name(report, arm);
            dipp_text_append(out, "</th></tr></thead><tbody>\n");
        }
        dipp_text_append(out, "<tr><th scope=\"row\" class=\"prompt\">");
        dipp_html_name(out, prompt->text);
        dipp_text_append(out, "<small>");
        dipp_report_number(report, prompt->difference, 3, true);
        dipp_text_append(out, "</small></th>");
        const int columns[] = {report->baseline, arm};
        for (size_t c = 0; c < 2; c++)
            if (!dipp_report_picture(report, pictures, columns[c], prompt->prompt_id, prompt->sample) &&
                !dipp_report_picture(report, pictures, columns[c], prompt->prompt_id, 0))
                dipp_text_append(out, "<td class=\"picture faint\">not kept</td>");
        dipp_text_append(out, "</tr>\n");
    }
    dipp_text_append(out, shown ? "</tbody></table>\n" : "");
}

static bool lost_somewhere(const worst_list *list, int arm)
{
    for (size_t i = 0; i < list->prompt_count; i++)
        if (list->prompts[i].arm == arm)
            return true;
    return false;
}

static void write_measure(dipp_report *report, dipp_report_pictures *pictures, const worst_list *list)
{
    dipp_text *out = &report->out;
    dipp_text_append(out, "<div class=\"cards\">\n");
    for (size_t a = 0; a < report->arm_count; a++) {
        if ((int)a == report->baseline || !lost_somewhere(list, (int)a))
            continue;
        dipp_text_append(out, "<article><h3>");
        dipp_report_arm_name(report, (int)a);
        dipp_text_append(out, "</h3><div class=\"wide\">\n");
        write_groups(report, list, (int)a);
        dipp_text_append(out, "</div><div class=\"wide\">\n");
        write_prompts(report, pictures, list, (int)a);
        dipp_text_append(out, "</div></article>\n");
    }
    dipp_text_append(out, "</div>\n");
}

static dipp_status read_measure(dipp_report *report, int index, worst_list *list, dipp_error *error)
{
    const dipp_report_measure *measure = &report->measures[index];
    const dipp_report_arm *baseline = &report->arms[report->baseline];
    char metric[24], scorer[24], prompts[24], direction[8];
    snprintf(metric, sizeof metric, "%lld", (long long)measure->metric_id);
    snprintf(scorer, sizeof scorer, "%lld", (long long)measure->scorer_id);
    snprintf(prompts, sizeof prompts, "%lld", (long long)measure->prompt_set_id);
    snprintf(direction, sizeof direction, "%d", measure->direction);
    const char *binds[] = {report->id, baseline->name, baseline->config,  metric,
                           scorer,     prompts,        measure->protocol, direction};
    list->group_count = list->prompt_count = 0;
    dipp_status status = dipp_store_query(report->store, groups_sql, binds, 8, read_group, list, error);
    if (status == DIPP_OK)
        status = dipp_store_query(report->store, prompts_sql, binds, 8, read_prompt, list, error);
    if (status == DIPP_OK && report->status != DIPP_OK) {
        *error = report->error;
        status = report->status;
    }
    return status;
}

dipp_status dipp_report_worst(dipp_report *report, dipp_report_pictures *pictures, dipp_error *error)
{
    dipp_text *out = &report->out;
    worst_list list = {.report = report};
    dipp_report_leads leads = dipp_report_choose_leads(report);
    int lead = leads.held_out >= 0 ? leads.held_out : leads.trained;
    dipp_status status = DIPP_OK;
    bool headed = false;
    for (size_t i = 0; i <= report->measure_count && status == DIPP_OK && lead >= 0;
         i++) { /* the lead, then the others */
        int m = i ? (int)i - 1 : lead;
        const dipp_report_measure *measure = &report->measures[m];
        if ((i && m == lead) || measure->set_level || !measure->direction || (i && measure->trained_arms))
            continue;
        status = read_measure(report, m, &list, error);
        if (status != DIPP_OK || !list.prompt_count)
            continue;
        if (!headed) {
            dipp_report_heading(
                report, "worst", "Worst cases",
                "Where arms lost most against the baseline, in measures that no arm was trained on: groups of "
                "prompts that name the same thing, and single prompts. They were picked for being worst, so look "
                "at them; they test nothing. Pictures are of the grid's seed: the sample that lost most "
                "where it was kept, else the first.");
            headed = true;
        }
        dipp_text_append(out, i ? "<details><summary>" : "<h3>");
        dipp_report_measure_name(report, m, measure->trained_arms > 0);
        dipp_text_append(out, i ? "</summary>\n" : "</h3>\n");
        write_measure(report, pictures, &list);
        dipp_text_append(out, i ? "</details>\n" : "");
    }
    if (headed)
        dipp_text_append(out, "</section>\n");
    dipp_release(list.groups);
    dipp_release(list.prompts);
    return status;
}
