/* How to get these numbers again: command, YAML, every arm's whole configuration, hashes, versions, hosts, queries. */
#include "report/report_parts.h"

#include "base/file.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

/* ---- Tables straight from a query ---- */

typedef struct table_reader {
    dipp_report *report;
    size_t rows;
    const char *const *headings;
} table_reader;

static int add_row(void *user, int columns, const char *const *names, const char *const *values)
{
    table_reader *table = user;
    dipp_text *out = &table->report->out;
    if (!table->rows++) {
        dipp_text_append(out, "<div class=\"wide\"><table><thead><tr>");
        for (int i = 0; i < columns; i++)
            dipp_html_element(out, "th", NULL, names[i]);
        dipp_text_append(out, "</tr></thead><tbody>\n");
    }
    dipp_text_append(out, "<tr>");
    for (int i = 0; i < columns; i++) {
        bool hash = strlen(values[i] ? values[i] : "") == 64 && strspn(values[i], "0123456789abcdef") == 64;
        dipp_text_append(out, hash ? "<td class=\"code hash\">" : "<td>");
        dipp_html_name(out, values[i]);
        dipp_text_append(out, "</td>");
    }
    dipp_text_append(out, "</tr>\n");
    return 0;
}

static dipp_status write_query(dipp_report *report, const char *title, const char *sql, dipp_error *error)
{
    dipp_text *out = &report->out;
    table_reader table = {.report = report};
    size_t before = out->length;
    dipp_html_element(out, "h3", NULL, title);
    dipp_status status = dipp_report_query(report, sql, add_row, &table, error);
    if (table.rows) {
        dipp_text_append(out, "</tbody></table></div>\n");
    } else if (out->data) {
        out->length = before;
        out->data[before] = 0;
    }
    return status;
}

static const char versions_sql[] = "SELECT count(DISTINCT a.run_id) AS runs, a.dipp_version AS dipp, "
                                   "r.code_commit||iif(r.code_dirty,' (changed)','') AS "
                                   "\"commit\", a.backend, a.device, a.precision, a.threads, a.isa, a.host, "
                                   "a.libraries_json AS libraries, a.binary_sha256 "
                                   "AS \"program (sha256)\" FROM attempts a JOIN runs r USING(run_id) WHERE "
                                   "r.experiment_id=CAST(?1 AS INTEGER) GROUP BY "
                                   "2,3,4,5,6,7,8,9,10,11 ORDER BY 2,3,4,5,6,7,8,9,10,11";

static const char plugins_sql[] =
    "SELECT DISTINCT u.role, p.name AS plugin, p.version, ifnull(nullif(p.sha256,''),'inside dipp') AS \"file "
    "(sha256)\", "
    "ifnull(nullif(p.weights_sha256,''),'none') AS \"weights (sha256)\" FROM run_plugins u JOIN plugins p "
    "USING(plugin_id) "
    "JOIN runs r USING(run_id) WHERE r.experiment_id=CAST(?1 AS INTEGER) UNION SELECT 'scorer', c.name, p.version, "
    "ifnull(nullif(p.sha256,''),'inside dipp'), ifnull(nullif(p.weights_sha256,''),'none') FROM (SELECT DISTINCT "
    "scorer_id "
    "FROM scores JOIN runs r USING(run_id) WHERE r.experiment_id=CAST(?1 AS INTEGER)) s JOIN scorers USING(scorer_id) "
    "JOIN "
    "plugins p USING(plugin_id) JOIN scorer_names c USING(scorer_id) ORDER BY 1,2,3,4,5";

static const char weights_sql[] =
    "SELECT DISTINCT c.role, c.path, c.sha256, ifnull((SELECT q.name FROM runs q WHERE q.run_id=c.produced_by_run_id), "
    "'made elsewhere') AS \"made by\" FROM weight_chain c JOIN runs r USING(run_id) WHERE r.experiment_id=CAST(?1 AS "
    "INTEGER) ORDER BY 1,2,3,4";

static const char warnings_sql[] = "SELECT e.severity, e.code, count(*) AS times, count(DISTINCT e.run_id) AS runs, "
                                   "min(e.message) AS \"for example\" FROM "
                                   "events e JOIN runs r USING(run_id) WHERE r.experiment_id=CAST(?1 AS INTEGER) AND "
                                   "e.severity<>'info' GROUP BY 1,2 ORDER "
                                   "BY 1,2";

/* ---- Command and files ---- */

static const char yaml_sql[] =
    "SELECT yaml, yaml_sha256, revision FROM experiment_revisions WHERE experiment_id=CAST(?1 "
    "AS INTEGER) ORDER BY revision DESC LIMIT 1";
static const char overrides_sql[] =
    "SELECT o.overrides_json, j.value FROM (SELECT DISTINCT overrides_json FROM runs WHERE experiment_id=CAST(?1 AS "
    "INTEGER)) o LEFT JOIN json_each(o.overrides_json) j ORDER BY o.overrides_json, j.id";
static const char configs_sql[] = "SELECT arm, config_sha256, config_json, min(run_id) FROM runs WHERE "
                                  "experiment_id=CAST(?1 AS INTEGER) GROUP BY 1,2 ORDER BY 4";

static int write_yaml(void *user, int columns, const char *const *names, const char *const *values)
{
    dipp_report *report = user;
    dipp_text *out = &report->out;
    dipp_text_append(out, "<details><summary>The experiment’s YAML, revision ");
    dipp_html_text(out, values[2]);
    dipp_text_append(out, " <small class=\"code\">sha256 ");
    dipp_html_text(out, values[1]);
    dipp_text_append(out, "</small></summary><pre>");
    dipp_html_text(out, values[0]);
    dipp_text_append(out, "</pre></details>\n");
    return 0;
}

/* In single quotes, where a shell would read more than a word. */
static void append_quoted(dipp_text *text, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+=/,:@%";
    bool quote = !*word || word[strspn(word, plain)];
    dipp_text_append(text, quote ? "'" : "");
    for (; *word; word++)
        if (*word == '\'')
            dipp_text_append(text, "'\\''");
        else
            dipp_text_append_n(text, word, 1);
    dipp_text_append(text, quote ? "'" : "");
}

/* Runs of one experiment may have been started with different overrides: a command for each. */
typedef struct command_reader {
    dipp_report *report;
    char *overrides; /* of the command at hand; NULL before the first */
    dipp_text command;
} command_reader;

static void finish_command(command_reader *reader)
{
    dipp_report *report = reader->report;
    if (!reader->overrides)
        return;
    dipp_text_append(&reader->command, " --db ");
    append_quoted(&reader->command, dipp_path_name(dipp_store_path(report->store)));
    dipp_html_element(&report->out, "pre", "wrap", reader->command.data);
    report->out.failed |= reader->command.failed;
    dipp_text_discard(&reader->command);
    dipp_release(reader->overrides);
    reader->overrides = NULL;
}

static int read_override(void *user, int columns, const char *const *names, const char *const *values)
{
    command_reader *reader = user;
    if (!reader->overrides || strcmp(reader->overrides, values[0])) {
        finish_command(reader);
        reader->overrides = dipp_string_copy(values[0]);
        reader->command.failed |= !reader->overrides;
        dipp_text file = {0};
        dipp_text_printf(&file, "%s.yaml", reader->report->name);
        dipp_text_append(&reader->command, "dipp run ");
        append_quoted(&reader->command, file.data ? file.data : "");
        reader->command.failed |= file.failed;
        dipp_text_discard(&file);
    }
    if (values[1]) {
        dipp_text_append(&reader->command, " ");
        append_quoted(&reader->command, values[1]);
    }
    return reader->command.failed;
}

static dipp_status write_commands(dipp_report *report, dipp_error *error)
{
    command_reader reader = {.report = report};
    dipp_status status = dipp_report_query(report, overrides_sql, read_override, &reader, error);
    finish_command(&reader);
    report->out.failed |= reader.command.failed;
    dipp_text_discard(&reader.command);
    return status;
}

static int write_config(void *user, int columns, const char *const *names, const char *const *values)
{
    dipp_report *report = user;
    dipp_text *out = &report->out;
    int arm = dipp_report_find_arm(report, values[0], values[1]);
    dipp_text_append(out, "<details><summary>Whole configuration of ");
    if (arm >= 0)
        dipp_report_arm_name(report, arm);
    if (arm >= 0 && strcmp(report->arms[arm].label, values[0])) {
        dipp_text_append(out, " ");
        dipp_html_name(out, values[0]);
    }
    dipp_text_append(out, " <small class=\"code\">key ");
    dipp_html_text(out, values[1]);
    dipp_text_append(out, "</small></summary><pre class=\"wrap\">");
    dipp_html_text(out, values[2]);
    dipp_text_append(out, "</pre></details>\n");
    return 0;
}

static void write_queries(dipp_report *report)
{
    static const char *const views[][2] = {
        {"leaderboard", "the leaderboard"},
        {"paired_by_seed", "differences by seed"},
        {"at_equal_kl", "the same at equal IKL"},
        {"pairwise", "win rates"},
        {"summary", "runs, with their IKL and settings"},
    };
    dipp_text *out = &report->out;
    dipp_text_append(out, "<details><summary>The views behind these numbers</summary><pre>");
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        dipp_text quoted = {0};
        for (const char *c = report->name; *c; c++)
            dipp_text_append_n(&quoted, *c == '\'' ? "''" : c, *c == '\'' ? 2 : 1);
        dipp_html_textf(out, "-- %s\nSELECT * FROM %s WHERE experiment='%s';\n", views[i][1], views[i][0],
                        quoted.data ? quoted.data : "");
        out->failed |= quoted.failed;
        dipp_text_discard(&quoted);
    }
    dipp_text_append(out, "</pre></details>\n");
}

dipp_status dipp_report_reproduce(dipp_report *report, dipp_error *error)
{
    dipp_report_heading(
        report, "reproduce", "How to reproduce",
        "The same command on the same machine gives the same weights and rows, bit by bit; on another it gives the "
        "same up to rounding. The YAML may extend a file beside it; the whole configurations stand alone: each "
        "is an experiment file of its own.");
    dipp_status status = write_commands(report, error);
    if (status == DIPP_OK)
        status = dipp_report_query(report, yaml_sql, write_yaml, report, error);
    if (status == DIPP_OK)
        status = dipp_report_query(report, configs_sql, write_config, report, error);
    write_queries(report);
    if (status == DIPP_OK)
        status = write_query(report, "Programs and hosts", versions_sql, error);
    if (status == DIPP_OK)
        status = write_query(report, "Plugins and scorers", plugins_sql, error);
    if (status == DIPP_OK)
        status = write_query(report, "Weights it started from", weights_sql, error);
    if (status == DIPP_OK)
        status = write_query(report, "Warnings of the runs", warnings_sql, error);
    dipp_text_append(&report->out, "</section>\n");
    return status;
}
