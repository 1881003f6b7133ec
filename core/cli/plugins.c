/* dipp plugins: what was found, what was refused and why; the parameters of one. */
#include "cli/commands.h"
#include "cli/table.h"

#include "experiment/schema.h"

#include <string.h>

const char cli_plugins_details[] = "With a name: its parameters, as `params` of an experiment takes them.";

static void print_parameters(const dipp_plugin *plugin, const char *path)
{
    printf("%s %s %s (%s): %s\n%s\n", dipp_plugin_kind_name(plugin->kind), plugin->name, plugin->version,
           plugin->licence, plugin->summary, path);
    for (uint32_t i = 0; i < plugin->parameter_count; i++) {
        const dipp_parameter *row = &plugin->parameters[i];
        dipp_text text = {0};
        dipp_schema_write_expectation(&text, row);
        bool published = row->flags & (DIPP_PARAMETER_FROM_PIPELINE | DIPP_PARAMETER_NOT_WITH_PIPELINE);
        printf("  %-20s %s%s%s%s%s%s\n", row->key, text.data ? text.data : "", row->unit ? " in " : "",
               row->unit ? row->unit : "", row->default_text ? ", default " : "",
               row->default_text                      ? row->default_text
               : row->flags & DIPP_PARAMETER_REQUIRED ? ", required"
                                                      : ", optional",
               published ? ", or what pipeline says" : "");
        printf("  %-20s   %s\n", "", row->help ? row->help : "");
        dipp_text_discard(&text);
    }
    printf("\n");
}

static dipp_status describe(dipp_plugins *plugins, const char *name, dipp_error *error)
{
    static const dipp_plugin_kind kinds[] = {DIPP_PLUGIN_REFERENCE, DIPP_PLUGIN_GENERATOR, DIPP_PLUGIN_REWARD};
    size_t found = 0;
    dipp_status status = DIPP_OK, last = DIPP_OK;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const dipp_loaded_plugin *loaded = NULL;
        status = dipp_plugins_find(plugins, kinds[i], name, &loaded, error);
        if (status == DIPP_OK) {
            print_parameters(loaded->descriptor, loaded->path);
            found++;
        } else if (status != DIPP_E_NOT_FOUND) {
            last = status;
        }
    }
    if (found || last != DIPP_OK)
        return last;
    return dipp_fail(error, DIPP_E_NOT_FOUND, "there is no plugin `%s`; dipp plugins lists what there is", name);
}

static void list(const dipp_plugins *plugins)
{
    cli_table usable = {.columns = 5};
    bool refused = false;
    cli_table_add(&usable, (const char *const[]){"kind", "name", "version", "licence", "summary"});
    for (size_t i = 0; i < dipp_plugins_count(plugins); i++) {
        const dipp_plugin_listing *row = dipp_plugins_at(plugins, i);
        if (row->state == DIPP_PLUGIN_USABLE)
            cli_table_add(&usable, (const char *const[]){dipp_plugin_kind_name(row->kind), row->name, row->version,
                                                         row->licence, row->summary});
        else
            refused = true;
    }
    cli_table_print(&usable, stdout, 0);
    cli_table_clear(&usable);
    for (size_t i = 0; refused && i < dipp_plugins_count(plugins); i++) {
        static const char *const states[] = {"", "shadowed", "broken", "not searched"};
        const dipp_plugin_listing *row = dipp_plugins_at(plugins, i);
        if (row->state != DIPP_PLUGIN_USABLE)
            printf("\n%s: %s%s%s\n  %s\n", states[row->state], row->path, *row->name ? " " : "", row->name,
                   row->reason);
    }
}

int cli_plugins(int argc, char **argv)
{
    cli_plugin_options places = {{0}, {0}};
    cli_list positionals = {0};
    const cli_option table[] = {CLI_PLUGIN_OPTIONS(places), {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    if (!cli_parse(cli_find_command("plugins"), table, argc, argv, &positionals, &code))
        return code;
    dipp_error error;
    dipp_plugins *plugins = NULL;
    dipp_status status = cli_find_plugins(&places, &plugins, &error);
    if (status == DIPP_OK && !positionals.count)
        list(plugins);
    for (size_t i = 0; i < positionals.count && status == DIPP_OK; i++)
        status = describe(plugins, positionals.items[i], &error);
    if (status != DIPP_OK)
        code = cli_fail(&error);
    dipp_plugins_destroy(&plugins);
    cli_list_clear(&positionals);
    cli_list_clear(&places.files);
    cli_list_clear(&places.directories);
    return code;
}
