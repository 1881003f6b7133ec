/* The order of the checks, and the child process that each runs in. */
#include "plugin/kit/kit_private.h"

#include "base/memory.h"
#include "plugin/plugin_child.h"
#include "plugin/plugin_host.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_LIMIT = 4096 };
static const size_t MEMORY_LIMIT = (size_t)3 << 30; /* what a check may take beside what the process has */

static const struct {
    const char *name;
    void (*run)(const kit_case *c, kit_verdict *verdict);
} checks[] = {
    {"descriptor", kit_check_descriptor},
    {"parameters", kit_check_parameters},
    {"instances", kit_check_instances},
    {"result", kit_check_result},
    {"gradients", kit_check_gradients},
    {"batches", kit_check_batches},
    {"text", kit_check_text},
    {"repeat", kit_check_repeat},
    {"precision", kit_check_precision},
    {"memory", kit_check_memory},
};
enum { CHECKS = sizeof checks / sizeof *checks };

static void verdict_of(kit_verdict *verdict, bool ok, const char *format, va_list arguments)
{
    verdict->ok = ok;
    vsnprintf(verdict->text, sizeof verdict->text, format, arguments);
}

void kit_pass(kit_verdict *verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    verdict_of(verdict, true, format, arguments);
    va_end(arguments);
}

void kit_fault(kit_verdict *verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    verdict_of(verdict, false, format, arguments);
    va_end(arguments);
}

/* ---- One check in a child ---- */

typedef struct job {
    const char *path;
    const dipp_kit_options *options;
    uint32_t plugin; /* index in the file */
    int check;
} job;

/* A plugin that asks for everything gets an error and not the machine's memory. */
static void limit_memory(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%lu", &pages) == 1) {
        rlim_t most = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + MEMORY_LIMIT;
        setrlimit(RLIMIT_AS, &(struct rlimit){most, most});
    }
    if (file)
        fclose(file);
}

static int check_in_child(void *context, volatile int *stage)
{
    const job *j = context;
    const dipp_plugin *const *list = NULL;
    uint32_t count = 0;
    dipp_error error = {0};
    kit_verdict verdict = {.ok = true};
    limit_memory();
    *stage = DIPP_STAGE_LOAD;
    if (dipp_plugin_library_open(j->path, NULL, &list, &count, &error) != DIPP_OK || j->plugin >= count) {
        kit_fault(&verdict, "it cannot be loaded again: %.400s", error.message);
    } else {
        *stage = DIPP_STAGE_DONE;
        checks[j->check].run(&(kit_case){j->path, list[j->plugin], j->options}, &verdict);
    }
    char answer[sizeof verdict.text + 2];
    int size = snprintf(answer, sizeof answer, "%c%s", verdict.ok ? '+' : '-', verdict.text);
    return dipp_child_write(answer, (size_t)size);
}

/* The child's verdict, or what became of it. */
static dipp_status run_check(const job *j, kit_verdict *verdict, dipp_error *error)
{
    dipp_child_answer answer;
    uint32_t timeout = j->options->timeout_ms ? j->options->timeout_ms : DIPP_KIT_TIMEOUT_MS;
    dipp_status status = dipp_child_run(check_in_child, (void *)j, timeout, ANSWER_LIMIT, &answer, error);
    if (status != DIPP_OK)
        return status;
    if (answer.no_memory)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for a check's answer");
    else if (answer.timed_out)
        kit_fault(verdict, "no end within %g s (--timeout)", timeout / 1000.0);
    else if (WIFSIGNALED(answer.wait_status))
        kit_fault(verdict, "it crashed: signal %d (%s)", WTERMSIG(answer.wait_status),
                  strsignal(WTERMSIG(answer.wait_status)));
    else if (!answer.size || (answer.data[0] != '+' && answer.data[0] != '-'))
        kit_fault(verdict, "it ended the process (exit status %d)",
                  WIFEXITED(answer.wait_status) ? WEXITSTATUS(answer.wait_status) : -1);
    else if (answer.data[0] == '+')
        kit_pass(verdict, "%s", answer.data + 1);
    else
        kit_fault(verdict, "%s", answer.data + 1);
    dipp_release(answer.data);
    return status;
}

/* ---- A file ---- */

static bool is_skipped(const dipp_kit_options *options, const char *check)
{
    for (size_t i = 0; i < options->skipped_count; i++)
        if (!strcmp(options->skipped[i], check))
            return true;
    return false;
}

/* Every skipped name is a check, every key belongs to a plugin that is checked. */
static dipp_status check_options(const dipp_kit_options *options, const json_t *plugins, dipp_error *error)
{
    for (size_t i = 0; i < options->skipped_count; i++) {
        int k = 0;
        while (k < CHECKS && strcmp(checks[k].name, options->skipped[i]))
            k++;
        if (k == CHECKS)
            return dipp_fail(error, DIPP_E_INVALID,
                             "there is no check `%s`; there are descriptor, parameters, instances, result, gradients, "
                             "batches, text, repeat, precision and memory",
                             options->skipped[i]);
    }
    for (size_t i = 0; i < options->assignment_count; i++) {
        const char *assignment = options->assignments[i];
        size_t length = strcspn(assignment, "="), index, row;
        json_t *plugin, *parameter;
        bool found = false;
        json_array_foreach(plugins, index, plugin)
        {
            json_array_foreach(json_object_get(plugin, "parameters"), row, parameter)
            {
                const char *key = json_string_value(json_object_get(parameter, "key"));
                found = found || (key && strlen(key) == length && !strncmp(key, assignment, length));
            }
        }
        if (!found || !assignment[length])
            return dipp_fail(error, DIPP_E_INVALID, "`%s`: expected KEY=VALUE with a parameter of the plugin",
                             assignment);
    }
    return DIPP_OK;
}

static dipp_status check_plugin(const char *path, uint32_t index, const json_t *plugin, const dipp_kit_options *options,
                                dipp_kit_report report, void *context, uint32_t *failures, dipp_error *error)
{
    const char *name = json_string_value(json_object_get(plugin, "name"));
    const char *kind = json_string_value(json_object_get(plugin, "kind"));
    dipp_plugin_kind number = DIPP_PLUGIN_GENERATOR;
    while (number < DIPP_PLUGIN_REWARD && strcmp(kind, dipp_plugin_kind_name(number)))
        number++;
    for (int k = 0; k < CHECKS; k++) {
        kit_verdict verdict = {.ok = true};
        if (is_skipped(options, checks[k].name))
            continue;
        dipp_status status = run_check(&(job){path, options, index, k}, &verdict, error);
        if (status != DIPP_OK)
            return status;
        *failures += !verdict.ok;
        report(context, number, name, checks[k].name, verdict.ok, verdict.text);
        if (!verdict.ok && checks[k].run == kit_check_parameters) /* nothing can be said of what cannot be made */
            break;
    }
    return DIPP_OK;
}

/* Described twice, in two processes; *root is NULL when the file was refused, which has been reported then. */
static void describe(const char *path, dipp_kit_report report, void *context, uint32_t *failures, json_t **root)
{
    char *first = NULL, *second = NULL;
    dipp_error error = {0};
    dipp_status status = dipp_plugin_probe(path, DIPP_PROBE_TIMEOUT_MS, &first, &error);
    if (status == DIPP_OK)
        status = dipp_plugin_probe(path, DIPP_PROBE_TIMEOUT_MS, &second, &error);
    if (status == DIPP_OK && strcmp(first, second))
        dipp_fail(&error, DIPP_E_PLUGIN, "it describes itself differently the second time");
    bool same = status == DIPP_OK && !strcmp(first, second);
    *root = same ? json_loads(first, 0, NULL) : NULL;
    *failures += !same;
    report(context, 0, "", "probe", same, same ? "described twice in a child process, the same" : error.message);
    dipp_release(first);
    dipp_release(second);
}

dipp_status dipp_kit_check(const char *path, const dipp_kit_options *given, dipp_kit_report report, void *context,
                           uint32_t *failures, dipp_error *error)
{
    static const dipp_kit_options nothing;
    const dipp_kit_options *options = given ? given : &nothing;
    char *real = NULL;
    json_t *root = NULL;
    *failures = 0;
    dipp_status status = dipp_plugin_file_check(path, &real, error);
    if (status != DIPP_OK)
        return status;
    describe(real, report, context, failures, &root);
    const json_t *plugins = json_object_get(root, "plugins");
    if (root)
        status = check_options(options, plugins, error);
    bool any = false;
    for (size_t i = 0; i < json_array_size(plugins) && status == DIPP_OK; i++) {
        const json_t *plugin = json_array_get(plugins, i);
        const char *name = json_string_value(json_object_get(plugin, "name"));
        if (options->plugin && strcmp(options->plugin, name))
            continue;
        any = true;
        status = check_plugin(real, (uint32_t)i, plugin, options, report, context, failures, error);
    }
    if (status == DIPP_OK && root && !any)
        status = dipp_fail(error, DIPP_E_INVALID, "%s: there is no plugin `%s` in it", path, options->plugin);
    json_decref(root);
    dipp_release(real);
    return status;
}
