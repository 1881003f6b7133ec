/* Options of the subcommands: one table a command, from which parsing and --help come. */
#ifndef DIPP_CLI_OPTIONS_H
#define DIPP_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Exit codes; docs/command-line.md. */
enum {
    CLI_OK = 0,
    CLI_ERROR = 1,       /* the machine said no: disk, database, memory, or a bug */
    CLI_USAGE = 2,       /* the command line is wrong */
    CLI_BAD_CONFIG = 3,  /* the experiment, a plugin or a weight file is wrong */
    CLI_RUN_FAILED = 4,  /* at least one run failed or was lost */
    CLI_ELSEWHERE = 5,   /* nothing failed, but another dipp is working on some of the runs */
    CLI_INTERRUPTED = 75 /* state is saved; the same command goes on (EX_TEMPFAIL) */
};

typedef enum cli_type { CLI_FLAG, CLI_TEXT, CLI_NUMBER, CLI_LIST } cli_type;

typedef struct cli_list {
    const char **items;
    size_t count;
} cli_list;

typedef struct cli_option {
    const char *name; /* without -- */
    char letter;      /* or 0 */
    cli_type type;
    const char *argument; /* how --help calls the value */
    const char *help;
    void *target; /* bool, const char *, long, cli_list */
} cli_option;

typedef struct cli_command {
    const char *name;
    const char *usage; /* behind "dipp NAME " */
    const char *summary;
    const char *details; /* more lines for --help, or NULL */
    int (*run)(int argc, char **argv);
    bool hidden;
} cli_command;

/* The commands, the last has no name. */
extern const cli_command cli_commands[];

/* Parses argv[1..]; what is no option goes to positionals in order ("--" ends options). false when the caller is to
 * return *code: after --help (CLI_OK) or a mistake, which has been explained (CLI_USAGE). options ends with a NULL name. */
bool cli_parse(const cli_command *command, const cli_option *options, int argc, char **argv, cli_list *positionals,
               int *code);
void cli_list_clear(cli_list *list);
/* Clears what cli_parse filled and returns code: the end of a command that finds its words wrong after parsing. */
int cli_refuse(const cli_option *options, cli_list *positionals, int code);

/* "dipp: MESSAGE" to stderr, and what to type for help; returns CLI_USAGE. */
int cli_usage_error(const cli_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The command by name, NULL when there is none. */
const cli_command *cli_find_command(const char *name);

#endif
