#include "base/memory.h"
#include "experiment/schema.h"
#include "experiment/visible.h"
#include "experiment/yaml_edit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *dipp_schema_text(dipp_schema_context *context, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *copy = dipp_arena_string_n(context->arena, text, strlen(text));
    if (!copy)
        context->out_of_memory = true;
    return copy;
}

static bool limited(const dipp_parameter *parameter)
{
    return parameter->minimum != 0 || parameter->maximum != 0;
}

static void write_range(dipp_text *out, const dipp_parameter *parameter)
{
    if (!limited(parameter))
        return;
    if (isinf(parameter->maximum) && isinf(parameter->minimum))
        return;
    if (isinf(parameter->maximum)) {
        dipp_text_printf(out, " of at least %.15g", parameter->minimum);
    } else if (isinf(parameter->minimum)) {
        dipp_text_printf(out, " of at most %.15g", parameter->maximum);
    } else {
        dipp_text_printf(out, " in [%.15g, %.15g]", parameter->minimum, parameter->maximum);
    }
}

void dipp_schema_write_expectation(dipp_text *out, const dipp_parameter *parameter)
{
    static const char *const names[] = {[DIPP_TYPE_BOOL] = "true or false",
                                        [DIPP_TYPE_INT] = "a whole number",
                                        [DIPP_TYPE_FLOAT] = "a number",
                                        [DIPP_TYPE_ENUM] = "one of ",
                                        [DIPP_TYPE_STRING] = "a string",
                                        [DIPP_TYPE_PATH] = "a path",
                                        [DIPP_TYPE_FLOAT_LIST] = "a list of numbers, or of rows of equal length, each",
                                        [DIPP_TYPE_INT_LIST] = "a list of whole numbers, each",
                                        [DIPP_TYPE_STRING_LIST] = "a list of strings"};
    const char *name = names[parameter->type];
    size_t length = strlen(name);
    if (length > 6 && !strcmp(name + length - 6, ", each") && !limited(parameter))
        length -= 6;
    dipp_text_append_n(out, name, length);
    for (const char *const *choice = parameter->choices; parameter->type == DIPP_TYPE_ENUM && *choice; choice++)
        dipp_text_printf(out, "%s%s", choice == parameter->choices ? "" : ", ", *choice);
    write_range(out, parameter);
    if (parameter->unit)
        dipp_text_printf(out, " (%s)", parameter->unit);
}

/* One fault about a value: what was found, what was expected, how to repair it. */
static void complain(dipp_schema_context *context, const dipp_parameter *parameter, const char *path,
                     const dipp_yaml_node *value, const char *hint)
{
    dipp_text expected = {0}, found = {0};
    dipp_schema_write_expectation(&expected, parameter);
    if (value->kind != DIPP_YAML_SEQUENCE && value->kind != DIPP_YAML_MAP && value->text && *value->text) {
        dipp_text_printf(&found, "%s `", value->kind == DIPP_YAML_STRING ? "the string" : "");
        dipp_text_append_visible(&found, value->text, strlen(value->text), 40);
        dipp_text_append_n(&found, "`", 1);
    } else {
        dipp_text_printf(&found, "%s", dipp_yaml_kind_name(value->kind));
    }
    dipp_fault fault = {.mark = &value->mark, .path = path, .expected = expected.data, .hint = hint};
    if (parameter->type == DIPP_TYPE_ENUM && value->kind == DIPP_YAML_STRING) {
        fault.word = value->text;
        fault.names = parameter->choices;
        while (parameter->choices[fault.name_count])
            fault.name_count++;
    }
    const char *text = found.data ? found.data + (found.data[0] == ' ') : "a value";
    dipp_diagnostics_add(context->diagnostics, &fault, "%s does not fit", text);
    context->out_of_memory |= expected.failed || found.failed;
    dipp_text_discard(&expected);
    dipp_text_discard(&found);
}

static bool word_in(const char *word, const char *list)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
            return length > 0;
    return false;
}

/* A remedy for the usual ways to get a scalar's type wrong, NULL when there is none. */
static const char *type_hint(const dipp_parameter *parameter, const dipp_yaml_node *value)
{
    bool number = parameter->type == DIPP_TYPE_INT || parameter->type == DIPP_TYPE_FLOAT ||
                  parameter->type == DIPP_TYPE_INT_LIST || parameter->type == DIPP_TYPE_FLOAT_LIST;
    bool text = parameter->type == DIPP_TYPE_STRING || parameter->type == DIPP_TYPE_PATH ||
                parameter->type == DIPP_TYPE_STRING_LIST || parameter->type == DIPP_TYPE_ENUM;
    if (value->kind == DIPP_YAML_NULL && parameter->default_text)
        return "remove the key to get its default";
    if (value->kind == DIPP_YAML_STRING && parameter->type == DIPP_TYPE_BOOL && !value->quoted &&
        word_in(value->text, "yes Yes YES no No NO on On ON off Off OFF y Y n N"))
        return "yes, no, on and off are strings in YAML 1.2; write true or false";
    if (value->kind == DIPP_YAML_STRING && value->quoted && (number || parameter->type == DIPP_TYPE_BOOL)) {
        dipp_yaml_node plain = {0};
        if (!dipp_yaml_type_plain(value->text, &plain) && plain.kind != DIPP_YAML_STRING &&
            plain.kind != DIPP_YAML_NULL)
            return "remove the quotes";
    }
    if (value->kind == DIPP_YAML_STRING && number && strchr(value->text, '_'))
        return "write numbers without underscores";
    if (value->kind == DIPP_YAML_STRING && number && value->text[0] && strchr("0123456789.+-", value->text[0]))
        return "a number may not have other characters behind it; units belong to the key";
    if (value->kind == DIPP_YAML_FLOAT && value->real == floor(value->real) && fabs(value->real) < 1e15 &&
        (parameter->type == DIPP_TYPE_INT || parameter->type == DIPP_TYPE_INT_LIST))
        return "write it without point and exponent";
    if (text && (value->kind == DIPP_YAML_BOOL || value->kind == DIPP_YAML_INT || value->kind == DIPP_YAML_FLOAT))
        return "put it in quotes to make it a string";
    return NULL;
}

static dipp_yaml_node *copy_node(dipp_schema_context *context, const dipp_yaml_node *node)
{
    dipp_yaml_node *copy = dipp_arena_allocate_zeroed(context->arena, 1, sizeof *copy);
    if (copy)
        *copy = *node;
    else
        context->out_of_memory = true;
    return copy;
}

static bool in_range(const dipp_parameter *parameter, double value)
{
    return !limited(parameter) || (value >= parameter->minimum && value <= parameter->maximum);
}

static const dipp_yaml_node *check_scalar(dipp_schema_context *context, const dipp_parameter *parameter,
                                          dipp_parameter_type type, const char *path, const dipp_yaml_node *value)
{
    bool fits = false;
    const char *hint = NULL;
    switch (type) {
    case DIPP_TYPE_BOOL: fits = value->kind == DIPP_YAML_BOOL; break;
    case DIPP_TYPE_INT: fits = value->kind == DIPP_YAML_INT && in_range(parameter, (double)value->integer); break;
    case DIPP_TYPE_FLOAT:
        if (value->kind == DIPP_YAML_INT && in_range(parameter, (double)value->integer)) {
            dipp_yaml_node *converted = copy_node(context, value);
            if (converted) {
                converted->kind = DIPP_YAML_FLOAT;
                converted->real = (double)value->integer;
            }
            return converted;
        }
        if (value->kind == DIPP_YAML_FLOAT && !isfinite(value->real))
            hint = "the number must be finite";
        else
            fits = value->kind == DIPP_YAML_FLOAT && in_range(parameter, value->real);
        break;
    case DIPP_TYPE_ENUM:
        for (const char *const *choice = parameter->choices; value->kind == DIPP_YAML_STRING && *choice; choice++)
            fits |= !strcmp(*choice, value->text);
        break;
    case DIPP_TYPE_PATH: fits = value->kind == DIPP_YAML_STRING && *value->text; break;
    default: fits = value->kind == DIPP_YAML_STRING; break;
    }
    if (fits)
        return value;
    complain(context, parameter, path, value, hint ? hint : type_hint(parameter, value));
    return NULL;
}

enum { LIST_RANK = 3 };

/* A list of scalars, or for floats rows of equal length, or rows of rows; dims receives the lengths seen. */
static const dipp_yaml_node *check_list(dipp_schema_context *context, const dipp_parameter *parameter,
                                        dipp_parameter_type element, const char *path, const dipp_yaml_node *value,
                                        size_t level, size_t dims[LIST_RANK])
{
    bool nested = element == DIPP_TYPE_FLOAT && value->count && value->items[0]->kind == DIPP_YAML_SEQUENCE;
    if (dims[level] != SIZE_MAX && dims[level] != value->count) {
        dipp_fault fault = {.mark = &value->mark, .path = path, .expected = "rows of equal length"};
        dipp_diagnostics_add(context->diagnostics, &fault, "a row of %zu numbers after rows of %zu", value->count,
                             dims[level]);
        return NULL;
    }
    dims[level] = value->count;
    dipp_yaml_node *list = copy_node(context, value);
    const dipp_yaml_node **items = dipp_arena_allocate_zeroed(context->arena, value->count, sizeof *items);
    if (!list || !items) {
        context->out_of_memory = true;
        return NULL;
    }
    bool good = true;
    for (size_t i = 0; i < value->count; i++) {
        const dipp_yaml_node *item = value->items[i];
        if (nested && level + 1 < LIST_RANK && item->kind == DIPP_YAML_SEQUENCE)
            items[i] = check_list(context, parameter, element, path, item, level + 1, dims);
        else if (nested) {
            complain(context, parameter, path, item, NULL);
            items[i] = NULL;
        } else
            items[i] = check_scalar(context, parameter, element, path, item);
        good &= items[i] != NULL;
    }
    list->items = items;
    return good ? list : NULL;
}

const dipp_yaml_node *dipp_schema_check(dipp_schema_context *context, const dipp_parameter *parameter, const char *path,
                                        const dipp_yaml_node *value)
{
    dipp_parameter_type element = parameter->type == DIPP_TYPE_FLOAT_LIST    ? DIPP_TYPE_FLOAT
                                  : parameter->type == DIPP_TYPE_INT_LIST    ? DIPP_TYPE_INT
                                  : parameter->type == DIPP_TYPE_STRING_LIST ? DIPP_TYPE_STRING
                                                                             : 0;
    if (!element)
        return check_scalar(context, parameter, parameter->type, path, value);
    if (value->kind != DIPP_YAML_SEQUENCE) {
        complain(context, parameter, path, value, "put the values into [ ]");
        return NULL;
    }
    size_t dims[LIST_RANK] = {SIZE_MAX, SIZE_MAX, SIZE_MAX};
    return check_list(context, parameter, element, path, value, 0, dims);
}

const dipp_yaml_node *dipp_schema_default(dipp_schema_context *context, const dipp_parameter *parameter,
                                          const char *path)
{
    const char *text = parameter->default_text;
    if (!text)
        return NULL;
    const dipp_yaml_node *value = NULL;
    dipp_yaml_source *source = dipp_arena_allocate_zeroed(context->arena, 1, sizeof *source);
    if (!source) {
        context->out_of_memory = true;
        return NULL;
    }
    *source = (dipp_yaml_source){.name = path, .text = text, .bytes = strlen(text), .override = true};
    if (parameter->type == DIPP_TYPE_STRING || parameter->type == DIPP_TYPE_PATH || parameter->type == DIPP_TYPE_ENUM) {
        value = dipp_yaml_new_string(context->arena, text, NULL);
        context->out_of_memory |= !value;
    } else {
        dipp_status status = dipp_yaml_parse(context->arena, source, NULL, context->diagnostics, &value, NULL);
        context->out_of_memory |= status == DIPP_E_MEMORY;
        if (status != DIPP_OK)
            return NULL;
    }
    const dipp_yaml_node *checked = value ? dipp_schema_check(context, parameter, path, value) : NULL;
    dipp_yaml_node *placeless = checked ? copy_node(context, checked) : NULL;
    if (placeless)
        placeless->mark = (dipp_mark){0};
    return placeless;
}

void dipp_schema_unknown_key(dipp_schema_context *context, const dipp_mark *mark, const char *path, const char *key,
                             const char *const *names, size_t count, const char *elsewhere)
{
    dipp_text known = {0};
    for (size_t i = 0; i < count; i++)
        dipp_text_printf(&known, "%s%s", i ? ", " : "", names[i]);
    dipp_fault fault = {.mark = mark,
                        .path = path,
                        .expected = count ? known.data : "no keys here",
                        .word = key,
                        .names = names,
                        .name_count = count,
                        .elsewhere = elsewhere};
    dipp_diagnostics_add(context->diagnostics, &fault, "unknown key `%.80s`", key);
    context->out_of_memory |= known.failed;
    dipp_text_discard(&known);
}

const char *dipp_schema_table_fault(dipp_schema_context *context, const dipp_parameter *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const dipp_parameter *row = &table[i];
        const char *key = row->key ? row->key : "(NULL)";
        const char *wrong = NULL;
        size_t choices = 0;
        while (row->choices && row->choices[choices])
            choices++;
        if (!row->key || !*row->key || strpbrk(row->key, " \t\n.=:,{}[]\"'~&*#"))
            wrong = "the key is not a plain name";
        else if (row->type < DIPP_TYPE_BOOL || row->type > DIPP_TYPE_STRING_LIST)
            wrong = "the type is unknown";
        else if (!row->help || !*row->help)
            wrong = "it has no help";
        else if (row->type == DIPP_TYPE_ENUM && !choices)
            wrong = "an enum needs choices";
        else if (isnan(row->minimum) || isnan(row->maximum) || row->minimum > row->maximum)
            wrong = "its minimum is above its maximum";
        else if (!!row->default_text + !!(row->flags & DIPP_PARAMETER_REQUIRED) +
                     !!(row->flags & DIPP_PARAMETER_OPTIONAL) !=
                 1)
            wrong = "it must have a default, or be required, or be optional";
        for (size_t j = 0; j < i && !wrong; j++)
            if (!strcmp(table[j].key, key))
                wrong = "the key stands twice";
        if (!wrong && row->default_text) {
            size_t before = dipp_diagnostics_errors(context->diagnostics);
            if (!dipp_schema_default(context, row, key) || dipp_diagnostics_errors(context->diagnostics) != before)
                wrong = "its default is not a valid value";
        }
        if (wrong)
            return dipp_schema_text(context, "parameter %zu `%.64s`: %s", i, key, wrong);
    }
    return NULL;
}
