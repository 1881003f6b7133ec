#include "experiment/config.h"
#include "experiment/table.h"
#include "experiment/yaml_edit.h"

#include <stdio.h>
#include <string.h>

struct bag {
    const char *path;
    dipp_parameters *parameters;
    struct bag *next;
};

struct dipp_config {
    dipp_yaml_node *root;
    struct bag *bags;
    dipp_config_value *values;
    size_t count, capacity;
};

struct resolver {
    dipp_schema_context *context;
    const dipp_plugin_catalog *catalog;
    const dipp_row *table;
    size_t rows;
    dipp_config *config;
    bool *uncertain; /* per row: its value is wrong or hangs on one that is, so what depends on it is not judged */
};

enum applies { APPLIES_NO, APPLIES_YES, APPLIES_PERHAPS };

enum { NAME_BYTES = 64, SIBLINGS = 64 };

static bool starts_with(const char *text, const char *prefix)
{
    return !strncmp(text, prefix, strlen(prefix));
}

/* ---- Unknown keys ---------------------------------------------------------------------------------------------- */

/* Names directly below a section prefix ("align." or ""), each once. */
static size_t names_below(struct resolver *resolver, const char *prefix, const char *names[SIBLINGS])
{
    size_t count = 0;
    for (size_t i = 0; i < resolver->rows && count < SIBLINGS; i++) {
        const char *key = resolver->table[i].parameter.key;
        if (!starts_with(key, prefix))
            continue;
        key += strlen(prefix);
        size_t length = strcspn(key, ".[");
        bool seen = false;
        for (size_t j = 0; j < count && !seen; j++)
            seen = strlen(names[j]) == length && !strncmp(names[j], key, length);
        if (!seen && !(names[count++] = dipp_arena_string_n(resolver->context->arena, key, length))) {
            resolver->context->out_of_memory = true;
            return count - 1;
        }
    }
    return count;
}

/* The one key of the table that ends in this name, for a key written at the wrong level; NULL when there are several. */
static const char *elsewhere(struct resolver *resolver, const char *name)
{
    const char *found = NULL;
    for (size_t i = 0; i < resolver->rows; i++) {
        const char *key = resolver->table[i].parameter.key;
        const char *end = strrchr(key, '.');
        if (end && !strcmp(end + 1, name)) {
            if (found)
                return NULL;
            found = key;
        }
    }
    return found;
}

static void not_a_map(struct resolver *resolver, const dipp_yaml_node *node, const char *path, const char *expected)
{
    dipp_fault fault = {.mark = &node->mark, .path = path, .expected = expected};
    dipp_diagnostics_add(resolver->context->diagnostics, &fault, "%s does not fit", dipp_yaml_kind_name(node->kind));
}

/* prefix is of the table ("rewards[]."), shown of the document ("rewards[0]."). */
static void check_known(struct resolver *resolver, const dipp_yaml_node *map, const char *prefix, const char *shown)
{
    for (size_t i = 0; i < map->count && !resolver->context->out_of_memory; i++) {
        const dipp_yaml_entry *entry = &map->entries[i];
        const char *key = dipp_schema_text(resolver->context, "%s%s", prefix, entry->key);
        const char *path = dipp_schema_text(resolver->context, "%s%s", shown, entry->key);
        const char *section = dipp_schema_text(resolver->context, "%s.", key ? key : "");
        if (!key || !path || !section)
            return;
        const dipp_row *row = NULL;
        bool is_section = false;
        for (size_t j = 0; j < resolver->rows; j++) {
            if (!strcmp(resolver->table[j].parameter.key, key))
                row = &resolver->table[j];
            is_section |= starts_with(resolver->table[j].parameter.key, section);
        }
        const dipp_yaml_node *value = entry->value;
        if (strpbrk(entry->key, ".[")) {
            dipp_fault fault = {.mark = &entry->mark,
                                .path = path,
                                .hint = "write nested maps here; dotted keys are for arms, grid, zip and overrides"};
            dipp_diagnostics_add(resolver->context->diagnostics, &fault, "dotted key `%.80s`", entry->key);
        } else if (!row && !is_section) {
            const char *names[SIBLINGS];
            size_t count = names_below(resolver, prefix, names);
            dipp_schema_unknown_key(resolver->context, &entry->mark, path, entry->key, names, count,
                                    elsewhere(resolver, entry->key));
        } else if (is_section && value->kind == DIPP_YAML_MAP) {
            check_known(resolver, value, section, dipp_schema_text(resolver->context, "%s.", path));
        } else if (is_section && value->kind != DIPP_YAML_NULL) {
            not_a_map(resolver, value, path, "a map");
        } else if (row && row->kind == DIPP_ROW_RECORDS && value->kind == DIPP_YAML_SEQUENCE) {
            const char *inner = dipp_schema_text(resolver->context, "%s[].", key);
            for (size_t j = 0; inner && j < value->count; j++) {
                const char *label = dipp_schema_text(resolver->context, "%s[%zu].", path, j);
                if (label && value->items[j]->kind == DIPP_YAML_MAP)
                    check_known(resolver, value->items[j], inner, label);
            }
        }
    }
}

/* ---- Values ---------------------------------------------------------------------------------------------------- */

static const char *describe_source(struct resolver *resolver, const dipp_yaml_node *node)
{
    const dipp_mark *mark = &node->mark;
    if (!mark->source)
        return "default";
    const char *place = mark->source->override || !mark->line
                            ? mark->source->name
                            : dipp_schema_text(resolver->context, "%s:%u", mark->source->name, (unsigned)mark->line);
    return node->layer ? dipp_schema_text(resolver->context, "%s (%s)", node->layer, place) : place;
}

static void record_value(struct resolver *resolver, const char *path, const char *type, const dipp_yaml_node *node)
{
    dipp_config *config = resolver->config;
    if (config->count == config->capacity) {
        size_t capacity = config->capacity ? 2 * config->capacity : 128;
        dipp_config_value *grown = dipp_arena_allocate_zeroed(resolver->context->arena, capacity, sizeof *grown);
        if (!grown) {
            resolver->context->out_of_memory = true;
            return;
        }
        if (config->count)
            memcpy(grown, config->values, config->count * sizeof *grown);
        config->values = grown;
        config->capacity = capacity;
    }
    dipp_text text = {0};
    const char *shown = node->text;
    if (node->kind != DIPP_YAML_STRING) {
        dipp_yaml_write_json(&text, node, false);
        shown = text.failed ? NULL : dipp_arena_string_n(resolver->context->arena, text.data, text.length);
        dipp_text_discard(&text);
    }
    dipp_config_value *value = &config->values[config->count++];
    *value = (dipp_config_value){.key = path, .type = type, .text = shown, .source = describe_source(resolver, node)};
    resolver->context->out_of_memory |= !value->text || !value->source;
}

static bool one_of(const char *list, const char *text)
{
    size_t length = strlen(text);
    for (; *list; list += strcspn(list, "|"), list += *list == '|')
        if (strcspn(list, "|") == length && !strncmp(list, text, length))
            return true;
    return false;
}

/* A condition on a key of the same record (`rewards[].schedule`, where prefix is `rewards[].`) is asked of `out`. */
static enum applies applies(struct resolver *resolver, const char *when, const char *prefix, const dipp_yaml_node *out)
{
    char key[NAME_BYTES];
    if (!when)
        return APPLIES_YES;
    bool negated = *when == '!';
    when += negated;
    size_t length = strcspn(when, "=");
    snprintf(key, sizeof key, "%.*s", (int)length, when);
    for (size_t i = 0; i < resolver->rows; i++)
        if (resolver->uncertain[i] && !strcmp(resolver->table[i].parameter.key, key))
            return APPLIES_PERHAPS;
    const dipp_yaml_node *node = *prefix && starts_with(key, prefix) ? dipp_yaml_at(out, key + strlen(prefix))
                                                                     : dipp_yaml_at(resolver->config->root, key);
    bool yes = when[length] ? node && node->text && one_of(when + length + 1, node->text) : negated != (node != NULL);
    return yes ? APPLIES_YES : APPLIES_NO;
}

static void warn_unused(struct resolver *resolver, const dipp_row *row, const dipp_yaml_node *given, const char *path)
{
    const char *when = row->when + (*row->when == '!');
    const char *hint = strchr(when, '=') ? dipp_schema_text(resolver->context, "it takes effect when %s", when)
                       : *row->when == '!'
                           ? dipp_schema_text(resolver->context, "it takes effect when %s is not set", when)
                           : dipp_schema_text(resolver->context, "it takes effect when %s is set", when);
    dipp_fault fault = {.severity = DIPP_SEVERITY_WARNING, .mark = &given->mark, .path = path, .hint = hint};
    dipp_diagnostics_add(resolver->context->diagnostics, &fault, "`%s` has no effect here", path);
}

static const char *const kind_names[] = {
    [DIPP_PLUGIN_GENERATOR] = "generator", [DIPP_PLUGIN_REFERENCE] = "reference", [DIPP_PLUGIN_REWARD] = "reward"};

static void unknown_plugin(struct resolver *resolver, const dipp_row *row, const dipp_yaml_node *name, const char *path,
                           const char *reason)
{
    const char *names[SIBLINGS];
    size_t count = 0;
    dipp_text list = {0};
    while (resolver->catalog && count < SIBLINGS &&
           (names[count] = resolver->catalog->name(resolver->catalog->context, row->plugin_kind, count)))
        count++;
    dipp_text_printf(&list, count ? "one of " : "no %s plugin is installed", kind_names[row->plugin_kind]);
    for (size_t i = 0; i < count; i++)
        dipp_text_printf(&list, "%s%s", i ? ", " : "", names[i]);
    dipp_fault fault = {.mark = &name->mark,
                        .path = path,
                        .expected = reason ? NULL : list.data,
                        .word = reason ? NULL : name->text,
                        .names = names,
                        .name_count = count,
                        .hint = reason ? NULL : "`dipp plugins` lists what is found and where it was looked for"};
    if (reason)
        dipp_diagnostics_add(resolver->context->diagnostics, &fault, "%s plugin `%.60s`: %s",
                             kind_names[row->plugin_kind], name->text, reason);
    else
        dipp_diagnostics_add(resolver->context->diagnostics, &fault, "there is no %s plugin `%.60s`",
                             kind_names[row->plugin_kind], name->text);
    dipp_text_discard(&list);
}

/* The params map of the plugin that stands beside it in `out`. */
static void resolve_parameters(struct resolver *resolver, const dipp_row *row, const dipp_yaml_node *given,
                               const char *path, const char *remainder, dipp_yaml_node *out)
{
    dipp_schema_context *context = resolver->context;
    size_t stem = strlen(remainder) - strlen("params");
    const dipp_yaml_node *name = dipp_yaml_at(out, dipp_schema_text(context, "%.*splugin", (int)stem, remainder));
    if (!name)
        return; /* missing, which has been said, or not asked for */
    const dipp_parameter *table = NULL;
    uint32_t count = 0;
    dipp_error error = {.code = DIPP_E_NOT_FOUND};
    dipp_status status = DIPP_E_NOT_FOUND;
    if (resolver->catalog)
        status = resolver->catalog->parameters(resolver->catalog->context, row->plugin_kind, name->text, &table, &count,
                                               &error);
    if (status != DIPP_OK) {
        const char *plugin_path = dipp_schema_text(context, "%.*splugin", (int)(strlen(path) - strlen("params")), path);
        unknown_plugin(resolver, row, name, plugin_path, status == DIPP_E_NOT_FOUND ? NULL : error.message);
        return;
    }
    const dipp_yaml_node *map = NULL;
    struct bag *bag = dipp_arena_allocate_zeroed(context->arena, 1, sizeof *bag);
    const char *owner = dipp_schema_text(context, "%s plugin `%s`", kind_names[row->plugin_kind], name->text);
    if (!bag || !owner) {
        context->out_of_memory = true;
        return;
    }
    if (!dipp_schema_resolve_parameters(context, table, count, given, path, owner, &name->mark, &map, &bag->parameters))
        return;
    bag->path = path;
    bag->next = resolver->config->bags;
    resolver->config->bags = bag;
    if (!dipp_yaml_put(context->arena, out, remainder, NULL, map))
        context->out_of_memory = true;
    for (size_t i = 0; i < count && !context->out_of_memory; i++) {
        const dipp_yaml_entry *entry = dipp_yaml_find(map, table[i].key);
        const char *key = dipp_schema_text(context, "%s.%s", path, table[i].key);
        if (entry && key)
            record_value(resolver, key, dipp_parameter_type_name(table[i].type), entry->value);
    }
}

/* Reported at the nearest section that is there, or at mark. */
static void missing(struct resolver *resolver, const dipp_row *row, const dipp_yaml_node *scope, const dipp_mark *mark,
                    const char *path, const char *remainder)
{
    const char *dot = strrchr(remainder, '.');
    const char *parent = dipp_schema_text(resolver->context, "%.*s", dot ? (int)(dot - remainder) : 0, remainder);
    const dipp_yaml_node *section = dot && parent ? dipp_yaml_at(scope, parent) : NULL;
    dipp_mark place = section ? section->mark : *mark;
    place.length = 1;
    dipp_fault fault = {.mark = &place, .path = path, .hint = row->parameter.help};
    dipp_diagnostics_add(resolver->context->diagnostics, &fault, "`%s` is missing", path);
}

static void resolve_value(struct resolver *resolver, const dipp_row *row, const dipp_yaml_node *scope,
                          const dipp_mark *mark, const char *path, const char *remainder, dipp_yaml_node *out)
{
    dipp_schema_context *context = resolver->context;
    const dipp_yaml_node *given = dipp_yaml_at(scope, remainder);
    if (given && given->kind == DIPP_YAML_NULL && (row->parameter.flags & DIPP_PARAMETER_OPTIONAL))
        given = NULL;
    if (!given && (row->parameter.flags & DIPP_PARAMETER_REQUIRED)) {
        missing(resolver, row, scope, mark, path, remainder);
        return;
    }
    const dipp_yaml_node *typed = given ? dipp_schema_check(context, &row->parameter, path, given)
                                        : dipp_schema_default(context, &row->parameter, path);
    if (!typed)
        resolver->uncertain[row - resolver->table] = true;
    dipp_yaml_node *own = typed ? dipp_arena_allocate_zeroed(context->arena, 1, sizeof *own) : NULL;
    if (!own) {
        context->out_of_memory |= typed != NULL;
        return;
    }
    *own = *typed;
    own->unkeyed = row->unkeyed || row->parameter.type == DIPP_TYPE_PATH;
    if (!dipp_yaml_put(context->arena, out, remainder, NULL, own))
        context->out_of_memory = true;
    else
        record_value(resolver, path, dipp_parameter_type_name(row->parameter.type), own);
}

static void resolve_scope(struct resolver *resolver, const char *prefix, const char *shown, const dipp_yaml_node *given,
                          const dipp_mark *mark, dipp_yaml_node *out);

static void resolve_records(struct resolver *resolver, const dipp_row *row, const dipp_yaml_node *given,
                            const char *path, const char *remainder, dipp_yaml_node *out)
{
    dipp_schema_context *context = resolver->context;
    dipp_yaml_node *list = dipp_arena_allocate_zeroed(context->arena, 1, sizeof *list);
    size_t count = 0;
    if (given && given->kind == DIPP_YAML_SEQUENCE)
        count = given->count;
    else if (given && given->kind != DIPP_YAML_NULL)
        not_a_map(resolver, given, path, "a list of maps");
    const dipp_yaml_node **items = dipp_arena_allocate_zeroed(context->arena, count, sizeof *items);
    const char *prefix = dipp_schema_text(context, "%s[].", row->parameter.key);
    if (!list || !items || !prefix) {
        context->out_of_memory = true;
        return;
    }
    if (given && given->kind == DIPP_YAML_SEQUENCE)
        *list = *given;
    list->kind = DIPP_YAML_SEQUENCE;
    list->items = items;
    list->count = 0;
    for (size_t i = 0; i < count && !context->out_of_memory; i++) {
        const char *label = dipp_schema_text(context, "%s[%zu]", path, i);
        const char *inner = dipp_schema_text(context, "%s[%zu].", path, i);
        dipp_yaml_node *item = dipp_yaml_new_map(context->arena, &given->items[i]->mark);
        if (!label || !inner || !item) {
            context->out_of_memory = true;
        } else if (given->items[i]->kind != DIPP_YAML_MAP) {
            not_a_map(resolver, given->items[i], label, "a map with the key `plugin`");
        } else {
            resolve_scope(resolver, prefix, inner, given->items[i], &given->items[i]->mark, item);
            items[list->count++] = item;
        }
    }
    if (!list->count)
        record_value(resolver, path, "list", list);
    if (!dipp_yaml_put(context->arena, out, remainder, NULL, list))
        context->out_of_memory = true;
}

/* Rows below prefix, which stand in `given` without it; mark is where a missing key is reported. */
static void resolve_scope(struct resolver *resolver, const char *prefix, const char *shown, const dipp_yaml_node *given,
                          const dipp_mark *mark, dipp_yaml_node *out)
{
    for (size_t i = 0; i < resolver->rows && !resolver->context->out_of_memory; i++) {
        const dipp_row *row = &resolver->table[i];
        if (!starts_with(row->parameter.key, prefix) || row->kind == DIPP_ROW_MATRIX)
            continue;
        const char *remainder = row->parameter.key + strlen(prefix);
        if (strchr(remainder, '['))
            continue; /* of a list below */
        const char *path = dipp_schema_text(resolver->context, "%s%s", shown, remainder);
        const dipp_yaml_node *value = dipp_yaml_at(given, remainder);
        if (!path)
            return;
        enum applies judgement = applies(resolver, row->when, prefix, out);
        if (judgement == APPLIES_PERHAPS)
            resolver->uncertain[i] = true;
        if (judgement == APPLIES_PERHAPS && !value)
            continue;
        if (judgement == APPLIES_NO) {
            if (value && value->kind != DIPP_YAML_NULL)
                warn_unused(resolver, row, value, path);
        } else if (row->kind == DIPP_ROW_PARAMETERS) {
            resolve_parameters(resolver, row, value, path, remainder, out);
        } else if (row->kind == DIPP_ROW_RECORDS) {
            resolve_records(resolver, row, value, path, remainder, out);
        } else {
            resolve_value(resolver, row, given, mark, path, remainder, out);
        }
    }
}

/* What no key by itself is wrong in. */
static void check_together(struct resolver *resolver)
{
    const dipp_yaml_node *metrics = dipp_config_node(resolver->config, "evaluate.metrics");
    const dipp_yaml_node *samples = dipp_config_node(resolver->config, "evaluate.samples");
    for (size_t i = 0; metrics && samples && samples->integer < 2 && i < metrics->count; i++)
        if (metrics->items[i]->text && !strcmp(metrics->items[i]->text, "diversity")) {
            dipp_fault fault = {.mark = &samples->mark,
                                .path = "evaluate.samples",
                                .expected = "2 or more samples of a prompt, or evaluate.metrics without diversity"};
            dipp_diagnostics_add(resolver->context->diagnostics, &fault,
                                 "one sample of a prompt has no diversity, which evaluate.metrics asks for");
        }
}

dipp_config *dipp_config_resolve(dipp_schema_context *context, const dipp_plugin_catalog *catalog,
                                 const dipp_yaml_node *root)
{
    size_t before = dipp_diagnostics_errors(context->diagnostics);
    struct resolver resolver = {.context = context, .catalog = catalog};
    resolver.table = dipp_experiment_table(&resolver.rows);
    resolver.uncertain = dipp_arena_allocate_zeroed(context->arena, resolver.rows, sizeof *resolver.uncertain);
    resolver.config = dipp_arena_allocate_zeroed(context->arena, 1, sizeof *resolver.config);
    if (resolver.config)
        resolver.config->root = dipp_yaml_new_map(context->arena, &root->mark);
    if (!resolver.uncertain || !resolver.config || !resolver.config->root) {
        context->out_of_memory = true;
        return NULL;
    }
    dipp_mark beginning = root->mark;
    beginning.length = 1;
    check_known(&resolver, root, "", "");
    resolve_scope(&resolver, "", "", root, &beginning, resolver.config->root);
    check_together(&resolver);
    bool good = !context->out_of_memory && dipp_diagnostics_errors(context->diagnostics) == before;
    return good ? resolver.config : NULL;
}

/* ---- Reading --------------------------------------------------------------------------------------------------- */

const dipp_yaml_node *dipp_config_node(const dipp_config *config, const char *path)
{
    return dipp_yaml_at(config->root, path);
}

bool dipp_config_has(const dipp_config *config, const char *path)
{
    return dipp_config_node(config, path) != NULL;
}

bool dipp_config_bool(const dipp_config *config, const char *path)
{
    const dipp_yaml_node *node = dipp_config_node(config, path);
    return node && node->kind == DIPP_YAML_BOOL && node->boolean;
}

int64_t dipp_config_int(const dipp_config *config, const char *path)
{
    const dipp_yaml_node *node = dipp_config_node(config, path);
    return node && node->kind == DIPP_YAML_INT ? node->integer : 0;
}

double dipp_config_float(const dipp_config *config, const char *path)
{
    const dipp_yaml_node *node = dipp_config_node(config, path);
    return !node                           ? 0.0
           : node->kind == DIPP_YAML_FLOAT ? node->real
           : node->kind == DIPP_YAML_INT   ? (double)node->integer
                                           : 0.0;
}

const char *dipp_config_string(const dipp_config *config, const char *path)
{
    const dipp_yaml_node *node = dipp_config_node(config, path);
    return node && node->kind == DIPP_YAML_STRING ? node->text : NULL;
}

size_t dipp_config_length(const dipp_config *config, const char *path)
{
    const dipp_yaml_node *node = dipp_config_node(config, path);
    return node && node->kind == DIPP_YAML_SEQUENCE ? node->count : 0;
}

const dipp_parameters *dipp_config_parameters(const dipp_config *config, const char *path)
{
    for (const struct bag *bag = config->bags; bag; bag = bag->next)
        if (!strcmp(bag->path, path))
            return bag->parameters;
    return NULL;
}

const dipp_config_value *dipp_config_values(const dipp_config *config, size_t *count)
{
    *count = config->count;
    return config->values;
}
