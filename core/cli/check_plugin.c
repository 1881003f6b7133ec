/* dipp check-plugin: whether a plugin file keeps its contract, one line a check. */
#include "cli/commands.h"
#include "plugin/kit/kit.h"

#include <stdlib.h>
#include <string.h>

const char cli_check_plugin_details[] =
    "Each check runs in a process of its own: probe, descriptor, parameters, instances, result, gradients (against "
    "finite\n"
    "differences on the f64 oracle), batches, text, repeat, precision, memory. docs/plugins.md says what they ask.\n"
    "Exit code 0: all hold; 3: one does not.";

typedef struct printer {
    dipp_plugin_kind kind;
    char name[DIPP_PLUGIN_NAME_BYTES];
} printer;

static void print_line(void *context, dipp_plugin_kind kind, const char *plugin, const char *check, bool ok,
                       const char *text)
{
    printer *p = context;
    if (kind != p->kind || strcmp(plugin, p->name)) {
        printf("%s %s\n", dipp_plugin_kind_name(kind), plugin);
        p->kind = kind;
        snprintf(p->name, sizeof p->name, "%s", plugin);
    }
    printf("  %-7s %-11s ", ok ? "ok" : "FAILED", check);
    for (const char *at = text; *at; at++) /* a line a check: several lines of a message become one */
        if (*at != '\n')
            putchar(*at);
        else if (at[1])
            printf(";");
    printf("\n");
    fflush(stdout); /* as it ends */
}

/* "3", "3x32x32"; false for anything else. */
static bool read_shape(const char *text, dipp_shape *shape)
{
    *shape = (dipp_shape){0};
    for (const char *at = text;; at++) {
        char *end;
        long long size = strtoll(at, &end, 10);
        if (end == at || size < 1 || size > 1 << 20 || shape->rank == DIPP_MAX_RANK - 1)
            return false;
        shape->dims[shape->rank++] = size;
        at = end;
        if (!*at)
            return true;
        if (*at != 'x')
            return false;
    }
}

static int check_file(const char *path, const dipp_kit_options *options)
{
    printer p = {.kind = 0};
    uint32_t failures = 0;
    dipp_error error;
    printf("%s\n", path);
    dipp_status status = dipp_kit_check(path, options, print_line, &p, &failures, &error);
    if (status != DIPP_OK)
        return cli_fail(&error);
    if (failures)
        printf("%u check%s failed\n", failures, failures == 1 ? "" : "s");
    else
        printf("all checks hold\n");
    return failures ? CLI_BAD_CONFIG : CLI_OK;
}

int cli_check_plugin(int argc, char **argv)
{
    const cli_command *self = cli_find_command("check-plugin");
    dipp_kit_options options = {.assignments = NULL};
    cli_list positionals = {0}, parameters = {0}, skipped = {0};
    const char *sample = NULL;
    long timeout = 0;
    const cli_option table[] = {
        {"param", 'p', CLI_LIST, "KEY=VALUE", "a parameter, the value as in YAML (repeatable)", &parameters},
        {"name", 0, CLI_TEXT, "NAME", "only the plugin of this name", &options.plugin},
        {"sample", 0, CLI_TEXT, "SHAPE", "what a reward gets: 3x32x32 or, for vectors, 4", &sample},
        {"prompt", 0, CLI_TEXT, "TEXT", "a prompt for what takes text, beside the empty one", &options.prompt},
        {"skip", 0, CLI_LIST, "CHECK", "leave this check out (repeatable)", &skipped},
        {"timeout", 0, CLI_NUMBER, "SECONDS", "longest time for a check; default 120", &timeout},
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL},
    };
    int code = CLI_OK;
    if (!cli_parse(self, table, argc, argv, &positionals, &code))
        return code;
    options.assignments = parameters.items;
    options.assignment_count = parameters.count;
    options.skipped = skipped.items;
    options.skipped_count = skipped.count;
    options.timeout_ms = timeout > 0 && timeout < 1000000 ? (uint32_t)timeout * 1000 : 0;
    if (positionals.count != 1)
        code = cli_usage_error(self, "expected one plugin file, found %zu", positionals.count);
    else if (sample && !read_shape(sample, &options.sample))
        code = cli_usage_error(self, "--sample `%s`: expected a shape such as 3x32x32 or 4", sample);
    else
        code = check_file(positionals.items[0], &options);
    cli_list_clear(&positionals);
    cli_list_clear(&parameters);
    cli_list_clear(&skipped);
    return code;
}
