/* Opening an unknown file where it can do no harm: a child process loads it, reads its descriptors and writes them
 * as JSON into a pipe. The parent turns what happened into a message. */
#include "plugin/plugin_child.h"
#include "plugin/plugin_host.h"

#include "base/memory.h"

#include <jansson.h>
#include <string.h>
#include <sys/wait.h>

enum { ANSWER_LIMIT = 4 << 20 };

static const char *const type_names[] = {"",       "bool", "int",        "float",    "enum",
                                         "string", "path", "float_list", "int_list", "string_list"};

/* ---- The child ------------------------------------------------------------------------------------------------- */

static json_t *describe_parameter(const dipp_parameter *p)
{
    json_t *o = json_pack("{ss ss ss}", "key", p->key, "type", type_names[p->type], "help", p->help);
    if (p->default_text)
        json_object_set_new(o, "default", json_string(p->default_text));
    if (p->minimum != 0 || p->maximum != 0) {
        json_object_set_new(o, "minimum", json_real(p->minimum)); /* infinite: left out */
        json_object_set_new(o, "maximum", json_real(p->maximum));
    }
    if (p->type == DIPP_TYPE_ENUM) {
        json_t *choices = json_array();
        for (size_t i = 0; p->choices[i]; i++)
            json_array_append_new(choices, json_string(p->choices[i]));
        json_object_set_new(o, "choices", choices);
    }
    if (p->unit)
        json_object_set_new(o, "unit", json_string(p->unit));
    static const char *const flag_names[] = {"required", "optional",      "structural",
                                             "live",     "from_pipeline", "not_with_pipeline"};
    json_t *flags = json_array();
    for (size_t i = 0; i < sizeof flag_names / sizeof *flag_names; i++)
        if (p->flags & (1u << i))
            json_array_append_new(flags, json_string(flag_names[i]));
    json_object_set_new(o, "flags", flags);
    return o;
}

static json_t *describe_plugin(const dipp_plugin *plugin)
{
    json_t *parameters = json_array();
    for (uint32_t i = 0; i < plugin->parameter_count; i++)
        if (json_array_append_new(parameters, describe_parameter(&plugin->parameters[i])))
            return NULL; /* a text that is not UTF-8 */
    return json_pack("{ss ss ss ss ss s[ii] ss so}", "kind", dipp_plugin_kind_name(plugin->kind), "name", plugin->name,
                     "version", plugin->version, "licence", plugin->licence, "summary", plugin->summary, "abi",
                     (int)plugin->abi_major, (int)plugin->abi_minor, "build_tag", plugin->build_tag, "parameters",
                     parameters);
}

static int write_to_parent(const char *data, size_t size, void *context)
{
    (void)context;
    return dipp_child_write(data, size);
}

static int probe_in_child(void *path, volatile int *stage)
{
    dipp_error error = {0};
    const dipp_plugin *const *list = NULL;
    uint32_t count = 0;
    json_t *answer = NULL;
    if (dipp_plugin_library_open(path, stage, &list, &count, &error)) {
        answer = json_pack("{ss}", "error", error.message);
        if (!answer) /* jansson takes UTF-8 alone; a plugin's text need not be that */
            answer = json_pack("{ss}", "error", "its descriptors hold text that is not UTF-8");
    } else {
        json_t *plugins = json_array();
        for (uint32_t i = 0; i < count; i++) {
            json_t *one = describe_plugin(list[i]);
            if (!one || json_array_append_new(plugins, one))
                answer = json_pack("{ss}", "error", "expected texts of UTF-8 in the descriptors, found others");
        }
        if (!answer)
            answer = json_pack("{so}", "plugins", plugins);
    }
    *stage = DIPP_STAGE_DONE;
    return answer && !json_dump_callback(answer, write_to_parent, NULL, JSON_COMPACT) ? 0 : 1;
}

/* ---- The parent ------------------------------------------------------------------------------------------------ */

static const char *stage_text(int stage)
{
    switch (stage) {
    case DIPP_STAGE_LOAD: return "while being loaded (its constructors ran)";
    case DIPP_STAGE_ENTRY: return "in " DIPP_PLUGIN_ENTRY_NAME "()";
    case DIPP_STAGE_CHECK: return "while its descriptors were read";
    }
    return "after it had described itself";
}

/* What an answer that is not a description means. */
static dipp_status explain(const dipp_child_answer *a, uint32_t timeout_ms, dipp_error *error)
{
    const char *where = stage_text(a->stage);
    if (a->no_memory)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the description of a plugin");
    if (a->timed_out)
        return dipp_fail(error, DIPP_E_PLUGIN, "expected a description within %u ms, found none: it hung %s",
                         (unsigned)timeout_ms, where);
    if (a->too_long)
        return dipp_fail(error, DIPP_E_PLUGIN, "expected a description of at most %d bytes, found more", ANSWER_LIMIT);
    if (WIFSIGNALED(a->wait_status))
        return dipp_fail(error, DIPP_E_PLUGIN, "expected a description, found a crash: signal %d (%s) %s",
                         WTERMSIG(a->wait_status), strsignal(WTERMSIG(a->wait_status)), where);
    return dipp_fail(error, DIPP_E_PLUGIN,
                     "expected a description, found that it ended the process (exit status %d) %s",
                     WIFEXITED(a->wait_status) ? WEXITSTATUS(a->wait_status) : -1, where);
}

dipp_status dipp_plugin_probe(const char *path, uint32_t timeout_ms, char **json, dipp_error *error)
{
    if (path[0] != '/')
        return dipp_fail(error, DIPP_E_INVALID, "%s: expected an absolute path to probe, found a relative one", path);
    dipp_child_answer a;
    dipp_status status = dipp_child_run(probe_in_child, (void *)path, timeout_ms, ANSWER_LIMIT, &a, error);
    if (status != DIPP_OK)
        return error ? dipp_error_context(error, "%s", path) : status;
    bool whole = a.size && !a.timed_out && !a.too_long && !a.no_memory;
    json_t *root = whole ? json_loadb(a.data, a.size, 0, NULL) : NULL;
    const char *refusal = json_string_value(json_object_get(root, "error"));
    if (refusal)
        status = dipp_fail(error, DIPP_E_PLUGIN, "%s", refusal);
    else if (!whole || !json_is_array(json_object_get(root, "plugins")))
        status = explain(&a, timeout_ms, error);
    json_decref(root);
    if (status) {
        dipp_release(a.data);
        return error ? dipp_error_context(error, "%s", path) : status;
    }
    *json = a.data;
    return DIPP_OK;
}
