#include "cli/options.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int cli_usage_error(const cli_command *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "dipp%s%s: ", command ? " " : "", command ? command->name : "");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\nTry: dipp %s%s--help\n", command ? command->name : "", command ? " " : "");
    va_end(arguments);
    return CLI_USAGE;
}

const cli_command *cli_find_command(const char *name)
{
    for (const cli_command *command = cli_commands; command->name; command++)
        if (!strcmp(command->name, name))
            return command;
    return NULL;
}

static void print_help(const cli_command *command, const cli_option *options)
{
    printf("dipp %s %s\n\n%s\n", command->name, command->usage, command->summary);
    if (command->details)
        printf("\n%s\n", command->details);
    printf("\nOptions:\n");
    for (; options->name; options++) {
        char left[64];
        snprintf(left, sizeof left, "%c%c%s --%s%s%s", options->letter ? '-' : ' ',
                 options->letter ? options->letter : ' ', options->letter ? "," : " ", options->name,
                 options->argument ? " " : "", options->argument ? options->argument : "");
        printf("  %-26s %s\n", left, options->help);
    }
    printf("  %-26s %s\n", "-h, --help", "this text");
}

static bool append(cli_list *list, const char *item)
{
    const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (!items)
        return false;
    list->items = items;
    list->items[list->count++] = item;
    return true;
}

void cli_list_clear(cli_list *list)
{
    free(list->items);
    *list = (cli_list){0};
}

static bool assign(const cli_command *command, const cli_option *option, const char *value, int *code)
{
    char *end = NULL;
    switch (option->type) {
    case CLI_FLAG: *(bool *)option->target = true; return true;
    case CLI_TEXT: *(const char **)option->target = value; return true;
    case CLI_LIST: return append(option->target, value);
    case CLI_NUMBER:
        *(long *)option->target = strtol(value, &end, 10);
        if (end != value && !*end && *(long *)option->target >= 0)
            return true;
        *code = cli_usage_error(command, "--%s needs a whole number of at least 0, not `%s`", option->name, value);
        return false;
    }
    return false;
}

static const cli_option *find(const cli_option *options, const char *name, size_t length)
{
    for (; options->name; options++)
        if (length == 1 ? options->letter == *name
                        : strlen(options->name) == length && !strncmp(options->name, name, length))
            return options;
    return NULL;
}

static int unknown(const cli_command *command, const cli_option *options, const char *word)
{
    const char *names[32];
    size_t count = 0;
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    names[count++] = "help";
    for (; options->name && count < 32; options++)
        names[count++] = options->name;
    const char *nearest = dipp_nearest_word(name, names, count);
    return nearest ? cli_usage_error(command, "there is no option --%s; did you mean --%s?", name, nearest)
                   : cli_usage_error(command, "there is no option --%s", name);
}

static bool parse(const cli_command *command, const cli_option *options, int argc, char **argv, cli_list *positionals,
                  int *code)
{
    bool only_positionals = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (only_positionals || word[0] != '-' || !word[1]) {
            append(positionals, word);
            continue;
        }
        if (!strcmp(word, "--")) {
            only_positionals = true;
            continue;
        }
        if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
            print_help(command, options);
            *code = CLI_OK;
            return false;
        }
        bool is_long = word[1] == '-';
        const char *name = word + (is_long ? 2 : 1);
        size_t length = is_long ? strcspn(name, "=") : 1;
        const cli_option *option = is_long && length == 1 ? NULL : find(options, name, length);
        if (!option || (!is_long && name[1])) {
            *code = unknown(command, options, name);
            return false;
        }
        const char *value = is_long && name[length] == '=' ? name + length + 1 : NULL;
        if (option->type == CLI_FLAG && value) {
            *code = cli_usage_error(command, "--%s takes no value", option->name);
            return false;
        }
        if (option->type != CLI_FLAG && !value) {
            if (i + 1 == argc) {
                *code = cli_usage_error(command, "--%s needs %s", option->name, option->argument);
                return false;
            }
            value = argv[++i];
        }
        if (!assign(command, option, value, code))
            return false;
    }
    return true;
}

bool cli_parse(const cli_command *command, const cli_option *options, int argc, char **argv, cli_list *positionals,
               int *code)
{
    if (parse(command, options, argc, argv, positionals, code))
        return true;
    cli_refuse(options, positionals, *code);
    return false;
}

int cli_refuse(const cli_option *options, cli_list *positionals, int code)
{
    cli_list_clear(positionals);
    for (; options->name; options++)
        if (options->type == CLI_LIST)
            cli_list_clear(options->target);
    return code;
}
