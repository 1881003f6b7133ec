/* The typed bag that plugins read: values of one table, found by key. */
#include "base/memory.h"
#include "experiment/schema.h"
#include "experiment/yaml_edit.h"

#include <stdio.h>
#include <string.h>

struct value {
    const dipp_yaml_node *node; /* typed, NULL: unset */
    void *list;                 /* flattened: double, int64_t or const char * */
    size_t count, rows, columns;
};

struct dipp_parameters {
    dipp_arena *owned; /* NULL: an experiment's arena holds it */
    const dipp_parameter *table;
    size_t count;
    struct value *values; /* one per row of table */
};

static const struct value *find(const dipp_parameters *parameters, const char *key, unsigned types)
{
    for (size_t i = 0; parameters && key && i < parameters->count; i++)
        if (!strcmp(parameters->table[i].key, key))
            return (types >> parameters->table[i].type & 1u) && parameters->values[i].node ? &parameters->values[i]
                                                                                           : NULL;
    return NULL;
}

bool dipp_parameters_has(const dipp_parameters *parameters, const char *key)
{
    return find(parameters, key, ~0u) != NULL;
}

bool dipp_parameters_bool(const dipp_parameters *parameters, const char *key)
{
    const struct value *value = find(parameters, key, 1u << DIPP_TYPE_BOOL);
    return value && value->node->boolean;
}

int64_t dipp_parameters_int(const dipp_parameters *parameters, const char *key)
{
    const struct value *value = find(parameters, key, 1u << DIPP_TYPE_INT);
    return value ? value->node->integer : 0;
}

double dipp_parameters_float(const dipp_parameters *parameters, const char *key)
{
    const struct value *value = find(parameters, key, 1u << DIPP_TYPE_FLOAT | 1u << DIPP_TYPE_INT);
    return !value ? 0.0 : value->node->kind == DIPP_YAML_INT ? (double)value->node->integer : value->node->real;
}

const char *dipp_parameters_string(const dipp_parameters *parameters, const char *key)
{
    const struct value *value =
        find(parameters, key, 1u << DIPP_TYPE_STRING | 1u << DIPP_TYPE_PATH | 1u << DIPP_TYPE_ENUM);
    return value ? value->node->text : NULL;
}

static const void *list(const dipp_parameters *parameters, const char *key, dipp_parameter_type type, size_t *count)
{
    const struct value *value = find(parameters, key, 1u << type);
    if (count)
        *count = value ? value->count : 0;
    return value ? value->list : NULL;
}

const double *dipp_parameters_floats(const dipp_parameters *parameters, const char *key, size_t *count)
{
    return list(parameters, key, DIPP_TYPE_FLOAT_LIST, count);
}

const int64_t *dipp_parameters_ints(const dipp_parameters *parameters, const char *key, size_t *count)
{
    return list(parameters, key, DIPP_TYPE_INT_LIST, count);
}

const char *const *dipp_parameters_strings(const dipp_parameters *parameters, const char *key, size_t *count)
{
    return list(parameters, key, DIPP_TYPE_STRING_LIST, count);
}

void dipp_parameters_list_shape(const dipp_parameters *parameters, const char *key, size_t *rows, size_t *columns)
{
    const struct value *value =
        find(parameters, key, 1u << DIPP_TYPE_FLOAT_LIST | 1u << DIPP_TYPE_INT_LIST | 1u << DIPP_TYPE_STRING_LIST);
    if (rows)
        *rows = value ? value->rows : 0;
    if (columns)
        *columns = value ? value->columns : 0;
}

static size_t leaves(const dipp_yaml_node *node)
{
    size_t sum = 0;
    if (node->kind != DIPP_YAML_SEQUENCE)
        return 1;
    for (size_t i = 0; i < node->count; i++)
        sum += leaves(node->items[i]);
    return sum;
}

static void flatten(const dipp_yaml_node *node, struct value *into)
{
    if (node->kind == DIPP_YAML_SEQUENCE)
        for (size_t i = 0; i < node->count; i++)
            flatten(node->items[i], into);
    else if (node->kind == DIPP_YAML_FLOAT)
        ((double *)into->list)[into->count++] = node->real;
    else if (node->kind == DIPP_YAML_INT)
        ((int64_t *)into->list)[into->count++] = node->integer;
    else
        ((const char **)into->list)[into->count++] = node->text;
}

static bool fill(dipp_schema_context *context, struct value *value, const dipp_yaml_node *node)
{
    value->node = node;
    if (node->kind != DIPP_YAML_SEQUENCE)
        return true;
    size_t total = leaves(node);
    value->list = dipp_arena_allocate_zeroed(context->arena, total + 1, sizeof(double));
    if (!value->list) {
        context->out_of_memory = true;
        return false;
    }
    flatten(node, value);
    const dipp_yaml_node *row = node;
    while (row->count && row->items[0]->kind == DIPP_YAML_SEQUENCE)
        row = row->items[0];
    value->columns = row->count;
    value->rows = row == node ? 1 : row->count ? total / row->count : node->count;
    return true;
}

static void check_keys(dipp_schema_context *context, const dipp_parameter *table, size_t count,
                       const dipp_yaml_node *given, const char *prefix)
{
    const char **names = dipp_arena_allocate_zeroed(context->arena, count, sizeof *names);
    if (!names) {
        context->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        names[i] = table[i].key;
    for (size_t i = 0; i < given->count; i++) {
        const char *key = given->entries[i].key;
        bool known = false;
        for (size_t j = 0; j < count; j++)
            known |= !strcmp(names[j], key);
        if (!known)
            dipp_schema_unknown_key(context, &given->entries[i].mark,
                                    dipp_schema_text(context, "%s%s%s", prefix, *prefix ? "." : "", key), key, names,
                                    count, NULL);
    }
}

/* Whether a folder is named that says what is not written (DIPP_PARAMETER_FROM_PIPELINE). */
static bool names_pipeline(const dipp_parameter *table, size_t count, const dipp_yaml_node *given)
{
    const dipp_yaml_entry *entry = dipp_yaml_find(given, "pipeline");
    for (size_t i = 0; i < count && entry && entry->value->kind != DIPP_YAML_NULL; i++)
        if (!strcmp(table[i].key, "pipeline"))
            return table[i].type == DIPP_TYPE_PATH;
    return false;
}

/* The value of a row as it is to be: written, the default, or NULL for unset, also after a fault. */
static const dipp_yaml_node *resolve_row(dipp_schema_context *context, const dipp_parameter *row, const char *path,
                                         const dipp_yaml_node *value, bool pipeline)
{
    if (value && pipeline && (row->flags & DIPP_PARAMETER_NOT_WITH_PIPELINE)) {
        dipp_fault fault = {.mark = &value->mark, .path = path, .hint = "leave one of the two out"};
        dipp_diagnostics_add(context->diagnostics, &fault, "`%s` is written beside `pipeline`, whose files say it",
                             row->key);
        return NULL;
    }
    if (value)
        return dipp_schema_check(context, row, path, value);
    if (pipeline && (row->flags & (DIPP_PARAMETER_FROM_PIPELINE | DIPP_PARAMETER_NOT_WITH_PIPELINE)))
        return NULL;
    return dipp_schema_default(context, row, path);
}

bool dipp_schema_resolve_parameters(dipp_schema_context *context, const dipp_parameter *table, size_t count,
                                    const dipp_yaml_node *given, const char *prefix, const char *owner,
                                    const dipp_mark *mark, const dipp_yaml_node **map, dipp_parameters **bag)
{
    size_t before = dipp_diagnostics_errors(context->diagnostics);
    if (given && given->kind == DIPP_YAML_NULL)
        given = NULL;
    if (given && given->kind != DIPP_YAML_MAP) {
        dipp_fault fault = {.mark = &given->mark, .path = prefix, .expected = "a map of the plugin's parameters"};
        dipp_diagnostics_add(context->diagnostics, &fault, "%s does not fit", dipp_yaml_kind_name(given->kind));
        return false;
    }
    if (given)
        check_keys(context, table, count, given, prefix);
    dipp_parameters *parameters = dipp_arena_allocate_zeroed(context->arena, 1, sizeof *parameters);
    dipp_yaml_node *resolved = dipp_yaml_new_map(context->arena, given ? &given->mark : NULL);
    if (parameters)
        parameters->values = dipp_arena_allocate_zeroed(context->arena, count, sizeof *parameters->values);
    if (!parameters || !resolved || !parameters->values) {
        context->out_of_memory = true;
        return false;
    }
    parameters->table = table;
    parameters->count = count;
    bool pipeline = names_pipeline(table, count, given);
    for (size_t i = 0; i < count && !context->out_of_memory; i++) {
        const dipp_parameter *row = &table[i];
        const char *path = dipp_schema_text(context, "%s%s%s", prefix, *prefix ? "." : "", row->key);
        const dipp_yaml_entry *entry = dipp_yaml_find(given, row->key);
        const dipp_yaml_node *value = entry ? entry->value : NULL;
        if (!path)
            break;
        if (value && value->kind == DIPP_YAML_NULL && (row->flags & DIPP_PARAMETER_OPTIONAL))
            value = NULL;
        if (!value && (row->flags & DIPP_PARAMETER_REQUIRED)) {
            dipp_text expected = {0};
            dipp_schema_write_expectation(&expected, row);
            dipp_fault fault = {
                .mark = given ? &given->mark : mark, .path = path, .expected = expected.data, .hint = row->help};
            dipp_diagnostics_add(context->diagnostics, &fault, "`%s` is missing; %s needs it", row->key, owner);
            dipp_text_discard(&expected);
            continue;
        }
        const dipp_yaml_node *typed = resolve_row(context, row, path, value, pipeline);
        if (!typed)
            continue;
        dipp_yaml_node *own = dipp_arena_allocate_zeroed(context->arena, 1, sizeof *own);
        if (!own) {
            context->out_of_memory = true;
            break;
        }
        *own = *typed;
        own->unkeyed = row->type == DIPP_TYPE_PATH;
        if (!fill(context, &parameters->values[i], own) ||
            !dipp_yaml_put(context->arena, resolved, row->key, NULL, own))
            context->out_of_memory = true;
    }
    *map = resolved;
    *bag = parameters;
    return !context->out_of_memory && dipp_diagnostics_errors(context->diagnostics) == before;
}

/* Puts "key=value" into the map of what was given. */
static void take_assignment(dipp_schema_context *context, dipp_yaml_node *given, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    dipp_yaml_source *source = dipp_arena_allocate_zeroed(context->arena, 1, sizeof *source);
    const char *name = dipp_schema_text(context, "parameter \"%s\"", assignment);
    const char *text = dipp_arena_string_n(context->arena, assignment, strlen(assignment));
    if (!source || !name || !text) {
        context->out_of_memory = true;
        return;
    }
    *source = (dipp_yaml_source){.name = name,
                                 .text = text,
                                 .bytes = strlen(text),
                                 .skip = equals ? (size_t)(equals - assignment) + 1 : 0,
                                 .override = true};
    dipp_mark mark = {.source = source, .line = 1, .column = 1, .length = (uint32_t)(equals ? equals - assignment : 1)};
    dipp_fault fault = {.mark = &mark, .expected = "key=value"};
    const char *key = equals ? dipp_arena_string_n(context->arena, assignment, (size_t)(equals - assignment)) : NULL;
    if (!equals || equals == assignment || strchr(key ? key : "", '.'))
        dipp_diagnostics_add(context->diagnostics, &fault, "not an assignment");
    else if (!key)
        context->out_of_memory = true;
    else if (dipp_yaml_find(given, key))
        dipp_diagnostics_add(context->diagnostics, &fault, "`%s` is given twice", key);
    else {
        const dipp_yaml_node *value = NULL;
        dipp_status status = dipp_yaml_parse(context->arena, source, NULL, context->diagnostics, &value, NULL);
        if (status == DIPP_E_MEMORY || (value && !dipp_yaml_put(context->arena, given, key, &mark, value)))
            context->out_of_memory = true;
    }
}

dipp_status dipp_parameters_create_from_text(const dipp_parameter *table, uint32_t table_count,
                                             const char *const *assignments, uint32_t assignment_count,
                                             dipp_parameters **out, dipp_error *error)
{
    dipp_schema_context context = {.arena = dipp_arena_create(0), .diagnostics = dipp_diagnostics_create()};
    dipp_status status = DIPP_OK;
    dipp_parameters *bag = NULL;
    const dipp_yaml_node *map = NULL;
    dipp_yaml_node *given = context.arena ? dipp_yaml_new_map(context.arena, NULL) : NULL;
    if (!given || !context.diagnostics) {
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for %u parameters", (unsigned)table_count);
    } else {
        for (uint32_t i = 0; i < assignment_count && !context.out_of_memory; i++)
            take_assignment(&context, given, assignments[i]);
        bool good =
            dipp_schema_resolve_parameters(&context, table, table_count, given, "", "the table", NULL, &map, &bag);
        if (context.out_of_memory)
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for %u parameters", (unsigned)table_count);
        else if (!good || dipp_diagnostics_errors(context.diagnostics)) {
            const char *text = dipp_diagnostics_text(context.diagnostics);
            status = dipp_fail(error, DIPP_E_INVALID, "%s", text ? text : "invalid parameters");
        }
    }
    dipp_diagnostics_destroy(&context.diagnostics);
    if (status == DIPP_OK) {
        bag->owned = context.arena;
        *out = bag;
    } else {
        dipp_arena_destroy(&context.arena);
    }
    return status;
}

void dipp_parameters_destroy(dipp_parameters **parameters)
{
    if (!parameters || !*parameters)
        return;
    dipp_arena *arena = (*parameters)->owned;
    *parameters = NULL;
    dipp_arena_destroy(&arena); /* the bag itself lives in it */
}
