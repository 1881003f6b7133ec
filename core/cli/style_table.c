#include "cli/style_table.h"

#include "cli/table.h"

#include <stdio.h>

static const char sql[] =
    "WITH s AS (SELECT m.*, n.name, t.subject, max(m.step) OVER (PARTITION BY m.metric_id, m.scorer_id, "
    "m.prompt_set_id, "
    "t.protocol) AS last_step FROM set_metrics m JOIN metric_names n USING(metric_id) JOIN evaluation_settings t "
    "USING(settings_id) WHERE m.run_id=CAST(?1 AS INTEGER)), "
    "l AS (SELECT *, iif(name LIKE 'hps%', 100.0, 1.0) AS factor FROM s WHERE step=last_step) "
    "SELECT a.name||iif(a.subject='reference', ' (reference)', '') AS metric, a.group_name AS style, "
    "iif(g.value IS NULL, '', printf('%.2f', a.factor*g.value)) AS \"mean of ten\", iif(d.value IS NULL, '', "
    "printf('%.4f', a.factor*d.value)) AS "
    "\"sd of ten\", printf('%.2f', a.factor*a.value) AS mean, a.samples AS pictures FROM l a "
    "LEFT JOIN l g ON g.metric_id=a.metric_id AND g.scorer_id=a.scorer_id AND g.prompt_set_id=a.prompt_set_id AND "
    "g.settings_id=a.settings_id AND g.group_name=a.group_name||': mean of ten' "
    "LEFT JOIN l d ON d.metric_id=a.metric_id AND d.scorer_id=a.scorer_id AND d.prompt_set_id=a.prompt_set_id AND "
    "d.settings_id=a.settings_id AND d.group_name=a.group_name||': sd of ten' "
    "WHERE g.value IS NOT NULL OR (a.group_name='average' AND EXISTS(SELECT 1 FROM l o WHERE o.metric_id=a.metric_id "
    "AND "
    "o.settings_id=a.settings_id AND o.group_name LIKE '%: mean of ten')) "
    "ORDER BY a.name, a.scorer_id, a.settings_id, a.prompt_set_id, a.group_name='average', a.group_name";

dipp_status cli_print_styles(dipp_store *store, int64_t run_id, dipp_error *error)
{
    char run[24];
    const char *binds[] = {run};
    cli_table table = {.columns = 1};
    snprintf(run, sizeof run, "%lld", (long long)run_id);
    dipp_status status = dipp_store_query(store, sql, binds, 1, cli_table_add_row, &table, error);
    if (status == DIPP_OK && table.rows) {
        printf("\nBy style, as HPSv2's benchmark prints it (hps times 100)\n");
        cli_table_print(&table, stdout, 0);
    }
    cli_table_clear(&table);
    return status;
}
