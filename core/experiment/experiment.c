/* From a file and overrides to one tree: reading, extends, overrides, identity. The matrix is in matrix.c. */
#include "base/memory.h"
#include "experiment/matrix.h"
#include "experiment/visible.h"
#include "experiment/table.h"
#include "experiment/yaml_edit.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXTENDS_DEPTH = 16, EXTENDS_FILES = 64, OVERRIDES_ORDER = 1000 };

struct composer {
    dipp_schema_context context;
    dipp_error *error;
    const char *stack[EXTENDS_DEPTH]; /* real paths of the files being read */
    size_t depth, files;
};

static void fault(struct composer *composer, const dipp_mark *mark, const char *path, const char *expected,
                  const char *message)
{
    dipp_fault detail = {.mark = mark, .path = path, .expected = expected};
    dipp_diagnostics_add(composer->context.diagnostics, &detail, "%s", message);
}

static const dipp_yaml_node *compose(struct composer *composer, dipp_yaml_source *source);

/* The file that `from` names in its extends, composed; NULL after a fault. */
static const dipp_yaml_node *compose_base(struct composer *composer, const dipp_yaml_node *from)
{
    dipp_schema_context *context = &composer->context;
    if (from->kind != DIPP_YAML_STRING || !*from->text) {
        fault(composer, &from->mark, "extends", "a file name, or a list of file names", "not a file name");
        return NULL;
    }
    const char *own = from->mark.source->name, *slash = strrchr(own, '/');
    int folder = slash && from->text[0] != '/' ? (int)(slash - own) + 1 : 0;
    const char *path = dipp_schema_text(context, "%.*s%s", folder, own, from->text);
    char real[PATH_MAX];
    if (!path)
        return NULL;
    for (size_t i = 0; realpath(path, real) && i < composer->depth; i++)
        if (composer->stack[i] && !strcmp(composer->stack[i], real)) {
            fault(composer, &from->mark, "extends", NULL, "this file extends itself, directly or by others");
            return NULL;
        }
    if (composer->depth == EXTENDS_DEPTH || ++composer->files > EXTENDS_FILES) {
        fault(composer, &from->mark, "extends", NULL, "too many files extend one another");
        return NULL;
    }
    dipp_yaml_source *source = NULL;
    dipp_error error;
    dipp_status status = dipp_yaml_read_file(context->arena, path, NULL, &source, &error);
    if (status != DIPP_OK) {
        context->out_of_memory |= status == DIPP_E_MEMORY;
        fault(composer, &from->mark, "extends", NULL, error.message);
        return NULL;
    }
    return compose(composer, source);
}

/* Parses a source and puts it over what it extends; NULL after a fault. */
static const dipp_yaml_node *compose(struct composer *composer, dipp_yaml_source *source)
{
    dipp_schema_context *context = &composer->context;
    const dipp_yaml_node *root = NULL, *base = NULL;
    source->order = (unsigned)composer->files;
    dipp_status status = dipp_yaml_parse(context->arena, source, NULL, context->diagnostics, &root, NULL);
    context->out_of_memory |= status == DIPP_E_MEMORY;
    if (status != DIPP_OK)
        return NULL;
    if (root->kind != DIPP_YAML_MAP) {
        fault(composer, &root->mark, NULL, "a map of keys: name, reference, generator, align and so on",
              root->kind == DIPP_YAML_NULL ? "the file is empty" : "not an experiment");
        return NULL;
    }
    const dipp_yaml_entry *extends = dipp_yaml_find(root, "extends");
    if (!extends)
        return root;
    char real[PATH_MAX];
    bool resolved = realpath(source->name, real) != NULL;
    composer->stack[composer->depth++] = resolved ? dipp_schema_text(context, "%s", real) : NULL;
    bool list = extends->value->kind == DIPP_YAML_SEQUENCE, good = true;
    for (size_t i = 0; i < (list ? extends->value->count : 1); i++) {
        const dipp_yaml_node *layer = compose_base(composer, list ? extends->value->items[i] : extends->value);
        good &= layer != NULL;
        if (layer && !(base = dipp_yaml_overlay(context->arena, base, layer)))
            context->out_of_memory = true;
    }
    composer->depth--;
    const dipp_yaml_node *merged = NULL;
    if (!good || context->out_of_memory)
        return NULL;
    if (!(merged = dipp_yaml_overlay(context->arena, base, root)) ||
        dipp_yaml_set(context->arena, merged, "extends", NULL, NULL, &merged, NULL) != DIPP_OK)
        context->out_of_memory = true;
    return merged;
}

/* "a.b=v" or "~a.b"; false after a fault. */
static bool parse_override(struct composer *composer, size_t number, const char *text, struct dipp_override *override)
{
    dipp_schema_context *context = &composer->context;
    dipp_yaml_source *source = dipp_arena_allocate_zeroed(context->arena, 1, sizeof *source);
    const char *copy = dipp_arena_string_n(context->arena, text, strlen(text));
    dipp_text shown = {0};
    dipp_text_append_visible(&shown, text, strlen(text), 60);
    const char *name = dipp_schema_text(context, "override #%zu \"%s\"", number, shown.data ? shown.data : "");
    dipp_text_discard(&shown);
    const char *equals = strchr(text, '=');
    bool removal = *text == '~' && !equals;
    size_t length = removal ? strlen(text) - 1 : equals ? (size_t)(equals - text) : strlen(text);
    override->path = dipp_arena_string_n(context->arena, text + removal, length);
    if (!source || !copy || !name || !override->path) {
        context->out_of_memory = true;
        return false;
    }
    *source = (dipp_yaml_source){.name = name,
                                 .text = copy,
                                 .bytes = strlen(copy),
                                 .skip = equals ? (size_t)(equals - text) + 1 : 0,
                                 .override = true,
                                 .order = OVERRIDES_ORDER + (unsigned)number};
    override->mark =
        (dipp_mark){.source = source, .line = 1, .column = removal ? 2 : 1, .length = length ? (uint32_t)length : 1};
    if ((!equals && !removal) || !dipp_yaml_path_valid(override->path)) {
        fault(composer, &override->mark, NULL, "key=value, or ~key, with a key such as align.ta.updates",
              "not an override");
        return false;
    }
    const dipp_row *row = dipp_experiment_row(override->path);
    const char *first = dipp_schema_text(context, "%.*s", (int)strcspn(override->path, ".["), override->path);
    const dipp_row *top = first ? dipp_experiment_row(first) : NULL;
    override->matrix = top && top->kind == DIPP_ROW_MATRIX;
    if (override->matrix && (strcmp(first, override->path) || !strcmp(first, "extends"))) {
        fault(composer, &override->mark, override->path, "a key of the configuration, or a whole matrix key",
              "this cannot be overridden");
        return false;
    }
    if (removal && !row) {
        fault(composer, &override->mark, override->path, NULL, "there is no such key");
        return false;
    }
    if (removal)
        return true;
    dipp_status status = dipp_yaml_parse(context->arena, source, NULL, context->diagnostics, &override->value, NULL);
    context->out_of_memory |= status == DIPP_E_MEMORY;
    return status == DIPP_OK;
}

/* A string key of the whole experiment, NULL when unset or wrong. */
static const char *identity(struct composer *composer, const dipp_yaml_node *root, const char *key)
{
    const dipp_row *row = dipp_experiment_row(key);
    const dipp_yaml_entry *entry = dipp_yaml_find(root, key);
    if (!entry) {
        dipp_mark mark = root->mark;
        mark.length = 1;
        if (row->parameter.flags & DIPP_PARAMETER_REQUIRED)
            fault(composer, &mark, key, "a string", "`name` is missing");
        return NULL;
    }
    if (entry->value->kind == DIPP_YAML_NULL && (row->parameter.flags & DIPP_PARAMETER_OPTIONAL))
        return NULL;
    const dipp_yaml_node *value = dipp_schema_check(&composer->context, &row->parameter, key, entry->value);
    if (value && !strcmp(key, "name") && (!*value->text || strlen(value->text) > 128)) {
        fault(composer, &value->mark, key, "a string of 1 to 128 bytes", "the name does not fit");
        return NULL;
    }
    return value ? value->text : NULL;
}

static void build(struct composer *composer, dipp_yaml_source *source, const char *const *texts, size_t count,
                  const dipp_plugin_catalog *catalog, dipp_experiment *experiment)
{
    dipp_schema_context *context = &composer->context;
    const dipp_yaml_node *root = compose(composer, source);
    struct dipp_override *overrides = dipp_arena_allocate_zeroed(context->arena, count, sizeof *overrides);
    if (!overrides) {
        context->out_of_memory = true;
        return;
    }
    size_t good = 0;
    for (size_t i = 0; i < count && !context->out_of_memory; i++)
        good += parse_override(composer, i + 1, texts[i], &overrides[good]);
    for (size_t i = 0; i < good && root && !context->out_of_memory; i++) {
        const dipp_yaml_node *changed = NULL;
        dipp_status status = dipp_yaml_set(context->arena, root, overrides[i].path, &overrides[i].mark,
                                           overrides[i].value, &changed, NULL);
        context->out_of_memory |= status == DIPP_E_MEMORY;
        if (status == DIPP_OK) /* an index may exist in some arms only, so that is judged there */
            root = changed;
    }
    if (!root || context->out_of_memory)
        return;
    experiment->name = identity(composer, root, "name");
    experiment->description = identity(composer, root, "description");
    experiment->baseline = identity(composer, root, "baseline");
    dipp_matrix_expand(context, catalog, root, overrides, good, experiment);
}

static dipp_status finish(struct composer *composer, const char *name, dipp_experiment *experiment,
                          dipp_experiment **out)
{
    dipp_diagnostics *diagnostics = composer->context.diagnostics;
    size_t errors = dipp_diagnostics_errors(diagnostics);
    if (!composer->context.out_of_memory && !errors) {
        *out = experiment;
        return DIPP_OK;
    }
    dipp_experiment_destroy(&experiment);
    if (composer->context.out_of_memory)
        return dipp_fail(composer->error, DIPP_E_MEMORY, "%s: no memory for the experiment", name);
    const char *text = dipp_diagnostics_text(diagnostics);
    return dipp_fail(composer->error, DIPP_E_INVALID, "%s: %zu error%s, the first: %.*s", name, errors,
                     errors == 1 ? "" : "s", text ? (int)strcspn(text, "\n") : 0, text ? text : "");
}

static dipp_experiment *start(struct composer *composer, dipp_diagnostics *diagnostics, dipp_error *error)
{
    dipp_experiment *experiment = dipp_allocate_zeroed(1, sizeof *experiment);
    if (experiment)
        experiment->arena = dipp_arena_create(0);
    if (!experiment || !experiment->arena) {
        dipp_experiment_destroy(&experiment);
        return NULL;
    }
    composer->context.arena = experiment->arena;
    composer->context.diagnostics = diagnostics;
    composer->error = error;
    return experiment;
}

dipp_status dipp_experiment_load(const char *path, const char *const *overrides, size_t override_count,
                                 const dipp_plugin_catalog *catalog, dipp_diagnostics *diagnostics,
                                 dipp_experiment **out, dipp_error *error)
{
    struct composer composer = {0};
    dipp_experiment *experiment = start(&composer, diagnostics, error);
    if (!experiment)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for the experiment", path);
    dipp_yaml_source *source = NULL;
    dipp_status status = dipp_yaml_read_file(experiment->arena, path, NULL, &source, error);
    if (status != DIPP_OK) {
        dipp_experiment_destroy(&experiment);
        return status;
    }
    build(&composer, source, overrides, override_count, catalog, experiment);
    return finish(&composer, path, experiment, out);
}

dipp_status dipp_experiment_parse(const char *name, const char *text, size_t bytes, const char *const *overrides,
                                  size_t override_count, const dipp_plugin_catalog *catalog,
                                  dipp_diagnostics *diagnostics, dipp_experiment **out, dipp_error *error)
{
    struct composer composer = {0};
    dipp_experiment *experiment = start(&composer, diagnostics, error);
    if (!experiment)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for the experiment", name);
    if (bytes > dipp_yaml_default_limits.bytes) {
        dipp_experiment_destroy(&experiment);
        return dipp_fail(error, DIPP_E_FORMAT, "%s: %zu bytes; an experiment may have at most %zu", name, bytes,
                         dipp_yaml_default_limits.bytes);
    }
    dipp_yaml_source *source = dipp_arena_allocate_zeroed(experiment->arena, 1, sizeof *source);
    const char *copy = dipp_arena_string_n(experiment->arena, text, bytes);
    const char *called = dipp_arena_string_n(experiment->arena, name, strlen(name));
    if (source && copy && called) {
        *source = (dipp_yaml_source){.name = called, .text = copy, .bytes = bytes};
        build(&composer, source, overrides, override_count, catalog, experiment);
    } else {
        composer.context.out_of_memory = true;
    }
    return finish(&composer, name, experiment, out);
}

void dipp_experiment_destroy(dipp_experiment **experiment)
{
    if (!experiment || !*experiment)
        return;
    dipp_arena_destroy(&(*experiment)->arena);
    dipp_release(*experiment);
    *experiment = NULL;
}

const char *dipp_experiment_name(const dipp_experiment *experiment)
{
    return experiment->name;
}

const char *dipp_experiment_description(const dipp_experiment *experiment)
{
    return experiment->description;
}

const char *dipp_experiment_baseline(const dipp_experiment *experiment)
{
    return experiment->baseline;
}

const dipp_cell *dipp_experiment_cells(const dipp_experiment *experiment, size_t *count)
{
    *count = experiment->count;
    return experiment->cells;
}
