#include "experiment/parameters_json.h"

#include "base/memory.h"
#include "base/text.h"
#include "experiment/diagnostics.h"
#include "experiment/yaml_edit.h"

#include <string.h>

static void write_numbers(dipp_text *text, const dipp_parameter *row, const dipp_parameters *parameters)
{
    size_t count = 0;
    const double *floats =
        row->type == DIPP_TYPE_FLOAT_LIST ? dipp_parameters_floats(parameters, row->key, &count) : NULL;
    const int64_t *ints = floats ? NULL : dipp_parameters_ints(parameters, row->key, &count);
    dipp_text_append(text, "[");
    for (size_t k = 0; k < count; k++) {
        dipp_text_append(text, k ? "," : "");
        dipp_json_write_float(text, floats ? floats[k] : (double)ints[k]);
    }
    dipp_text_append(text, "]");
}

static void write_strings(dipp_text *text, const dipp_parameter *row, const dipp_parameters *parameters)
{
    size_t count = 0;
    const char *const *strings = dipp_parameters_strings(parameters, row->key, &count);
    dipp_text_append(text, "[");
    for (size_t k = 0; k < count; k++) {
        dipp_text_append(text, k ? "," : "");
        dipp_json_write_string(text, strings[k]);
    }
    dipp_text_append(text, "]");
}

static void write_value(dipp_text *text, const dipp_parameter *row, const dipp_parameters *parameters)
{
    switch (row->type) {
    case DIPP_TYPE_BOOL: dipp_text_append(text, dipp_parameters_bool(parameters, row->key) ? "true" : "false"); break;
    case DIPP_TYPE_INT: dipp_text_printf(text, "%lld", (long long)dipp_parameters_int(parameters, row->key)); break;
    case DIPP_TYPE_FLOAT: dipp_json_write_float(text, dipp_parameters_float(parameters, row->key)); break;
    case DIPP_TYPE_FLOAT_LIST:
    case DIPP_TYPE_INT_LIST: write_numbers(text, row, parameters); break;
    case DIPP_TYPE_STRING_LIST: write_strings(text, row, parameters); break;
    case DIPP_TYPE_ENUM:
    case DIPP_TYPE_STRING:
    case DIPP_TYPE_PATH: dipp_json_write_string(text, dipp_parameters_string(parameters, row->key)); break;
    }
}

/* Whether the value of this row is its default. */
static bool is_default(const dipp_parameter *row, const dipp_parameters *parameters)
{
    dipp_parameters *defaults = NULL;
    dipp_text usual = {0}, given = {0};
    if (dipp_parameters_create_from_text(row, 1, NULL, 0, &defaults, NULL) == DIPP_OK &&
        dipp_parameters_has(defaults, row->key)) {
        write_value(&usual, row, defaults);
        write_value(&given, row, parameters);
    }
    bool same = usual.data && given.data && !strcmp(usual.data, given.data);
    dipp_text_discard(&usual);
    dipp_text_discard(&given);
    dipp_parameters_destroy(&defaults);
    return same;
}

static char *write_all(const dipp_parameter *table, uint32_t count, const dipp_parameters *parameters, bool changed)
{
    dipp_text text = {0};
    const char *comma = "";
    dipp_text_append(&text, "{");
    for (uint32_t i = 0; i < count; i++) {
        if (!dipp_parameters_has(parameters, table[i].key) || (changed && is_default(&table[i], parameters)))
            continue;
        dipp_text_printf(&text, "%s\"%s\":", comma, table[i].key);
        write_value(&text, &table[i], parameters);
        comma = ",";
    }
    dipp_text_append(&text, "}");
    return dipp_text_finish(&text);
}

char *dipp_parameters_json(const dipp_parameter *table, uint32_t count, const dipp_parameters *parameters)
{
    return write_all(table, count, parameters, false);
}

/* The entries of a map as "key=value" [map->count]; false without memory. */
static bool assign(const dipp_yaml_node *map, char **assignments)
{
    for (size_t i = 0; i < map->count; i++) {
        dipp_text text = {0};
        dipp_text_printf(&text, "%s=", map->entries[i].key);
        dipp_yaml_write_json(&text, map->entries[i].value, false);
        assignments[i] = dipp_text_finish(&text);
        if (!assignments[i])
            return false;
    }
    return true;
}

char *dipp_parameters_json_changed(const dipp_parameter *table, uint32_t count, const char *json)
{
    dipp_arena *arena = dipp_arena_create(0);
    dipp_diagnostics *diagnostics = dipp_diagnostics_create();
    const dipp_yaml_source source = {.name = "parameters", .text = json, .bytes = strlen(json)};
    const dipp_yaml_node *map = NULL;
    dipp_parameters *parameters = NULL;
    char **assignments = NULL;
    if (arena && diagnostics && dipp_yaml_parse(arena, &source, NULL, diagnostics, &map, NULL) == DIPP_OK &&
        map->kind == DIPP_YAML_MAP)
        assignments = dipp_allocate_zeroed(map->count + 1, sizeof *assignments);
    if (assignments && assign(map, assignments))
        dipp_parameters_create_from_text(table, count, (const char *const *)assignments, (uint32_t)map->count,
                                         &parameters, NULL);
    char *changed = parameters ? write_all(table, count, parameters, true) : dipp_string_copy(json);
    dipp_parameters_destroy(&parameters);
    for (size_t i = 0; assignments && i < map->count; i++)
        dipp_release(assignments[i]);
    dipp_release(assignments);
    dipp_diagnostics_destroy(&diagnostics);
    dipp_arena_destroy(&arena);
    return changed;
}
