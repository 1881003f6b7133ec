/* The subcommands. Each gets argv from its own name on and returns an exit code. */
#ifndef DIPP_CLI_COMMANDS_H
#define DIPP_CLI_COMMANDS_H

#include "cli/common.h"

int cli_check(int argc, char **argv);
int cli_check_plugin(int argc, char **argv);
int cli_compare(int argc, char **argv);
int cli_diff(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_eval(int argc, char **argv);
int cli_export(int argc, char **argv);
int cli_gc(int argc, char **argv);
int cli_grid(int argc, char **argv);
int cli_label(int argc, char **argv);
int cli_ls(int argc, char **argv);
int cli_merge(int argc, char **argv);
int cli_monitor(int argc, char **argv);
int cli_pairs(int argc, char **argv);
int cli_plan(int argc, char **argv);
int cli_plugins(int argc, char **argv);
int cli_report(int argc, char **argv);
int cli_reward(int argc, char **argv);
int cli_run(int argc, char **argv);
int cli_run_cell(int argc, char **argv);
int cli_sample(int argc, char **argv);
int cli_show(int argc, char **argv);
int cli_sql(int argc, char **argv);
int cli_world(int argc, char **argv);

/* Lines for --help. */
extern const char cli_check_details[], cli_check_plugin_details[], cli_compare_details[], cli_diff_details[],
    cli_doctor_details[], cli_eval_details[], cli_export_details[], cli_gc_details[], cli_grid_details[],
    cli_label_details[], cli_ls_details[], cli_merge_details[], cli_monitor_details[], cli_pairs_details[],
    cli_plan_details[], cli_plugins_details[], cli_report_details[], cli_reward_details[], cli_run_details[],
    cli_sample_details[], cli_show_details[], cli_sql_details[], cli_world_details[];

#endif
