/* dipp diff: two runs side by side, only what is not the same. */
#include "cli/commands.h"
#include "cli/table.h"

#include <string.h>

const char cli_diff_details[] = "RUN is an id, the beginning of a uuid, a name, ARM:SEED or @latest. Settings that "
                                "differ, plugins and weights\nthat differ, and the last scores of both.";

/* A heading, then rows about the runs ?1 and ?2. */
static const struct {
    const char *title, *sql;
} sections[] = {
    {"Settings that differ",
     "WITH k AS (SELECT key FROM params WHERE run_id IN (CAST(?1 AS INTEGER), CAST(?2 AS INTEGER)) GROUP BY key) "
     "SELECT "
     "k.key, a.value, b.value, iif(b.source IS NULL OR (b.source='default' AND a.source IS NOT NULL), ifnull(a.origin, "
     "a.source), ifnull(b.origin, b.source)) FROM k LEFT JOIN params a ON a.key=k.key AND a.run_id=CAST(?1 AS INTEGER) "
     "LEFT JOIN "
     "params b ON b.key=k.key AND b.run_id=CAST(?2 AS INTEGER) WHERE a.value IS NOT b.value OR a.type IS NOT b.type "
     "ORDER BY k.key"},
    {"Plugins and weights that differ",
     "WITH p AS (SELECT u.run_id, printf('%s %s', u.role, iif(u.role='reward', u.position, '')) AS part, "
     "printf('%s %s, file %.8s%s', g.name, g.version, g.sha256, iif(g.weights_sha256='', '', printf(', weights %.8s', "
     "g.weights_sha256))) AS what FROM run_plugins u JOIN plugins g USING(plugin_id) WHERE u.run_id IN (CAST(?1 AS "
     "INTEGER), CAST(?2 AS INTEGER))), k AS (SELECT DISTINCT part FROM p) SELECT k.part, a.what, b.what FROM k LEFT "
     "JOIN p a ON a.part=k.part AND a.run_id=CAST(?1 AS INTEGER) LEFT JOIN p b ON b.part=k.part AND b.run_id=CAST(?2 "
     "AS "
     "INTEGER) WHERE a.what IS NOT b.what ORDER BY k.part"},
    {"Scores",
     "WITH s AS (SELECT c.run_id, n.name AS metric, c.point, c.protocol, c.scorer_id, c.prompt_set_id, c.images_seen, "
     "c.value, c.trained_on FROM scores c JOIN metric_names n USING(metric_id) WHERE c.run_id IN (CAST(?1 AS INTEGER), "
     "CAST(?2 AS INTEGER))), k AS (SELECT DISTINCT metric, point, protocol, scorer_id, prompt_set_id FROM s) SELECT "
     "k.metric, k.point, printf('%.6g', a.value)||iif(a.trained_on,'*',''), printf('%.6g', "
     "b.value)||iif(b.trained_on,'*',''), printf('%+.4g', b.value-a.value), iif(a.images_seen=b.images_seen, '', "
     "printf('%d and %d images seen', a.images_seen, b.images_seen)) FROM k LEFT JOIN s a ON a.metric=k.metric AND "
     "a.point=k.point AND a.protocol=k.protocol AND a.scorer_id=k.scorer_id AND a.prompt_set_id=k.prompt_set_id AND "
     "a.run_id=CAST(?1 AS INTEGER) LEFT JOIN s b ON b.metric=k.metric AND b.point=k.point AND b.protocol=k.protocol "
     "AND "
     "b.scorer_id=k.scorer_id AND b.prompt_set_id=k.prompt_set_id AND b.run_id=CAST(?2 AS INTEGER) ORDER BY k.point "
     "DESC, k.metric"},
    {"Last metrics",
     "WITH m AS (SELECT d.run_id, n.name, max(d.step) AS step, ifnull(printf('%.6g', d.value), d.kind) AS value FROM "
     "metrics d JOIN metric_names n USING(metric_id) WHERE d.run_id IN (CAST(?1 AS INTEGER), CAST(?2 AS INTEGER)) "
     "GROUP BY d.run_id, n.name), k AS (SELECT DISTINCT name FROM m) SELECT k.name, a.value, b.value, "
     "iif(a.step=b.step, "
     "'', printf('steps %d and %d', a.step, b.step)) FROM k LEFT JOIN m a ON a.name=k.name AND a.run_id=CAST(?1 AS "
     "INTEGER) LEFT JOIN m b ON b.name=k.name AND b.run_id=CAST(?2 AS INTEGER) ORDER BY k.name"},
};

static const char *const first_headings[] = {"key", "part", "metric", "metric"};

typedef struct diff_section {
    cli_table table;
    const char *headings[8];
} diff_section;

static int add(void *user, int columns, const char *const *names, const char *const *values)
{
    diff_section *section = user;
    const char *cells[8];
    for (size_t i = 0; i < section->table.columns; i++)
        cells[i] = values[i] ? values[i] : "-";
    cli_table_add(&section->table, cells);
    return 0;
}

static int print_head(void *user, const dipp_run_row *row)
{
    printf("run %lld   %s   %s, step %lld\n", (long long)row->run_id, row->name, dipp_run_status_name(row->status),
           (long long)row->step);
    return 1;
}

static dipp_status diff(dipp_store *store, const cli_list *runs, const char *experiment, dipp_error *error)
{
    static const size_t widths[] = {4, 3, 6, 4};
    static const char *const more[][3] = {{"set by", NULL, NULL}, {NULL}, {"difference", "note", NULL}, {"note", NULL}};
    char ids[2][24];
    const char *binds[] = {ids[0], ids[1]};
    dipp_status status = DIPP_OK;
    for (size_t i = 0; i < 2 && status == DIPP_OK; i++) {
        int64_t run_id = 0;
        status = dipp_store_find_run(store, runs->items[i], experiment, &run_id, error);
        snprintf(ids[i], sizeof ids[i], "%lld", (long long)run_id);
        dipp_run_filter filter = {.run_id = run_id};
        if (status == DIPP_OK)
            status = dipp_store_each_run(store, &filter, print_head, NULL, error);
    }
    for (size_t i = 0; i < sizeof sections / sizeof *sections && status == DIPP_OK; i++) {
        diff_section section = {.table = {.columns = widths[i]}};
        size_t count = 0;
        section.headings[count++] = first_headings[i];
        if (i == 2)
            section.headings[count++] = "point";
        section.headings[count++] = ids[0];
        section.headings[count++] = ids[1];
        for (size_t k = 0; more[i][k]; k++)
            section.headings[count++] = more[i][k];
        cli_table_add(&section.table, section.headings);
        status = dipp_store_query(store, sections[i].sql, binds, 2, add, &section, error);
        if (status == DIPP_OK) {
            printf("\n%s%s\n", sections[i].title, section.table.rows > 1 ? "" : ": none");
            if (section.table.rows > 1)
                cli_table_print(&section.table, stdout, 60);
        }
        cli_table_clear(&section.table);
    }
    return status;
}

int cli_diff(int argc, char **argv)
{
    const char *database = NULL, *experiment = NULL;
    cli_list positionals = {0};
    const cli_option options[] = {CLI_DATABASE_OPTION(database),
                                  {"experiment", 'e', CLI_TEXT, "NAME", "where RUN is ARM:SEED", &experiment},
                                  {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("diff");
    if (!cli_parse(self, options, argc, argv, &positionals, &code))
        return code;
    if (positionals.count != 2)
        return cli_refuse(options, &positionals, cli_usage_error(self, "two runs are needed"));
    dipp_error error;
    dipp_store *store = NULL;
    dipp_status status = cli_open_store(cli_database(database, NULL), &store, &error);
    if (status == DIPP_OK)
        status = diff(store, &positionals, experiment, &error);
    if (status != DIPP_OK)
        code = cli_fail(&error);
    dipp_store_close(&store);
    cli_list_clear(&positionals);
    return code;
}
