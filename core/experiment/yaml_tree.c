/* Two passes of libyaml over one text: events first, to refuse what would be costly (depth, anchors, tags, a second
 * document), because libyaml's own work grows quadratically with flow depth and with the number of anchors and tag
 * directives; then the document, which becomes the tree. */
#include "base/file.h"
#include "base/memory.h"
#include "experiment/diagnostics.h"
#include "experiment/yaml_tree.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

const dipp_yaml_limits dipp_yaml_default_limits = {
    .bytes = 1 << 20, .depth = 64, .nodes = 100000, .keys = 1000, .anchors = 1000};

struct loader {
    dipp_arena *arena;
    const dipp_yaml_source *source;
    const dipp_yaml_limits *limits;
    dipp_diagnostics *diagnostics;
    dipp_error *error;
    uint32_t shift; /* characters before the YAML on its first line */
    yaml_document_t document;
    struct built {
        dipp_yaml_node *node;
        size_t size, height; /* with every alias counted in full; size 0: not built yet, SIZE_MAX: being built */
    } * built;
};

dipp_status dipp_yaml_read_file(dipp_arena *arena, const char *path, const dipp_yaml_limits *limits,
                                dipp_yaml_source **out, dipp_error *error)
{
    if (!limits)
        limits = &dipp_yaml_default_limits;
    char *data = NULL;
    size_t bytes = 0;
    if (dipp_path_is_directory(path))
        return dipp_fail(error, DIPP_E_INVALID, "%s: is a folder; name the experiment's file in it", path);
    dipp_status status = dipp_file_read(path, limits->bytes, &data, &bytes, error);
    if (status == DIPP_E_INVALID)
        return dipp_fail(
            error, status,
            "%s: larger than %zu bytes, which no experiment is; long lists of prompts go into a file of their "
            "own (prompts.file)",
            path, limits->bytes);
    if (status != DIPP_OK)
        return status;
    const char *text = dipp_arena_string_n(arena, data, bytes);
    dipp_release(data);
    dipp_yaml_source *source = dipp_arena_allocate_zeroed(arena, 1, sizeof *source);
    char *name = dipp_arena_string_n(arena, path, strlen(path));
    if (!text || !source || !name)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory", path);
    bool marked = bytes >= 3 && !memcmp(text, "\xef\xbb\xbf", 3); /* byte order mark */
    *source = (dipp_yaml_source){.name = name, .text = text + (marked ? 3 : 0), .bytes = bytes - (marked ? 3 : 0)};
    *out = source;
    return DIPP_OK;
}

static dipp_mark make_mark(const struct loader *loader, const yaml_mark_t *start, const yaml_mark_t *end)
{
    uint32_t shift = start->line ? 0 : loader->shift;
    dipp_mark mark = {.source = loader->source,
                      .line = (uint32_t)start->line + 1,
                      .column = (uint32_t)start->column + 1 + shift,
                      .length = 1};
    if (end && end->line == start->line && end->column > start->column)
        mark.length = (uint32_t)(end->column - start->column);
    else if (end && end->line > start->line)
        mark.length = UINT32_MAX / 2; /* to the end of its line */
    return mark;
}

static dipp_mark mark_of_offset(const struct loader *loader, size_t offset)
{
    dipp_mark mark = {.source = loader->source, .line = 1, .column = 1, .length = 1};
    const char *text = loader->source->text;
    size_t end = loader->source->skip + offset;
    for (size_t at = 0; at < end && at < loader->source->bytes;) {
        uint32_t code;
        size_t length = dipp_utf8_decode(text + at, loader->source->bytes - at, &code);
        bool line_end =
            length && (code == '\n' || (code == '\r' && (at + 1 == loader->source->bytes || text[at + 1] != '\n')) ||
                       code == 0x85 || code == 0x2028 || code == 0x2029);
        mark.line += line_end;
        mark.column = line_end ? 1 : mark.column + 1;
        at += length ? length : 1;
    }
    return mark;
}

/* Just behind the last character that is not blank. */
static dipp_mark end_of_text(const struct loader *loader)
{
    const dipp_yaml_source *source = loader->source;
    size_t end = source->bytes;
    while (end > source->skip && strchr(" \t\r\n", source->text[end - 1]))
        end--;
    return mark_of_offset(loader, end - source->skip);
}

static void fault_at(struct loader *loader, const dipp_mark *mark, const char *hint, const char *message)
{
    dipp_fault fault = {.mark = mark, .hint = hint};
    dipp_diagnostics_add(loader->diagnostics, &fault, "%s", message);
}

/* Adds the fault and fills the caller's error: there will be no tree. */
static dipp_status give_up(struct loader *loader, const dipp_mark *mark, const char *hint, const char *message)
{
    char place[512];
    dipp_mark_describe(mark, place, sizeof place);
    fault_at(loader, mark, hint, message);
    return dipp_fail(loader->error, DIPP_E_FORMAT, "%s: %s", place, message);
}

static dipp_status no_memory(struct loader *loader)
{
    return dipp_fail(loader->error, DIPP_E_MEMORY, "%s: no memory", loader->source->name);
}

static dipp_status parser_failed(struct loader *loader, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return no_memory(loader);
    const char *problem = parser->problem ? parser->problem : "not YAML";
    if (parser->error == YAML_READER_ERROR) {
        dipp_mark mark = mark_of_offset(loader, parser->problem_offset);
        return give_up(loader, &mark, "save the file as plain UTF-8 text", problem);
    }
    dipp_mark mark = make_mark(loader, &parser->problem_mark, NULL), end = end_of_text(loader);
    if (mark.line > end.line || (mark.line == end.line && mark.column > end.column))
        mark = end; /* "at the end" is shown where the last text stands */
    char message[256];
    snprintf(message, sizeof message, "%s%s%s", problem, parser->context ? ", " : "",
             parser->context ? parser->context : "");
    const char *hint = NULL;
    if (strstr(problem, "cannot start any token"))
        hint = "indent with spaces, not tabs; quote values that begin with a tab, @, ` or %";
    else if (strstr(problem, "mapping values are not allowed"))
        hint = "a value that contains `: ` needs quotes; keys of one map need the same indentation";
    else if (strstr(problem, "expected ',' or"))
        hint = "close every [ and {, separate entries with commas, quote keys such as \"rewards[0].scale\"";
    else if (strstr(problem, "expected <block end>") || strstr(problem, "could not find expected ':'"))
        hint = "check the indentation here and on the line above";
    return give_up(loader, &mark, hint, message);
}

static bool start_parser(const struct loader *loader, yaml_parser_t *parser)
{
    if (!yaml_parser_initialize(parser))
        return false;
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, (const unsigned char *)loader->source->text + loader->source->skip,
                                 loader->source->bytes - loader->source->skip);
    return true;
}

struct survey {
    size_t depth, anchors, nodes, documents;
};

static dipp_status survey_event(struct loader *loader, const yaml_event_t *event, struct survey *survey)
{
    const unsigned char *anchor = NULL, *tag = NULL;
    dipp_mark mark = make_mark(loader, &event->start_mark, &event->end_mark);
    char message[160];
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++survey->documents > 1)
            return give_up(loader, &mark, "keep one experiment per file", "a second document begins here");
        return DIPP_OK;
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        survey->depth++;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        survey->depth++;
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: survey->depth--; return DIPP_OK;
    case YAML_ALIAS_EVENT: break;
    default: return DIPP_OK;
    }
    mark.length = 1;
    if (tag)
        fault_at(loader, &mark, "remove the tag; quote a value to make it a string", "tags are not accepted");
    if (survey->depth > loader->limits->depth) {
        snprintf(message, sizeof message, "nested deeper than %zu levels", loader->limits->depth);
        return give_up(loader, &mark, "is a [ or { closed too late?", message);
    }
    survey->anchors += anchor != NULL;
    if (survey->anchors > loader->limits->anchors) {
        snprintf(message, sizeof message, "more than %zu anchors", loader->limits->anchors);
        return give_up(loader, &mark, NULL, message);
    }
    if (++survey->nodes > loader->limits->nodes) {
        snprintf(message, sizeof message, "more than %zu values", loader->limits->nodes);
        return give_up(loader, &mark, NULL, message);
    }
    return DIPP_OK;
}

static dipp_status survey_text(struct loader *loader)
{
    const dipp_yaml_source *source = loader->source;
    const char *text = source->text + source->skip;
    size_t bytes = source->bytes - source->skip;
    for (const char *at = text; (at = memmem(at, bytes - (size_t)(at - text), "%TAG", 4)); at += 4)
        if (at == text || at[-1] == '\n' || at[-1] == '\r') {
            dipp_mark mark = mark_of_offset(loader, (size_t)(at - text));
            return give_up(loader, &mark, "remove the directive", "tags are not accepted");
        }
    yaml_parser_t parser;
    if (!start_parser(loader, &parser))
        return no_memory(loader);
    struct survey survey = {0};
    dipp_status status = DIPP_OK;
    for (bool end = false; !end && status == DIPP_OK;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            status = parser_failed(loader, &parser);
            break;
        }
        status = survey_event(loader, &event, &survey);
        end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return status;
}

static int by_key(const void *left, const void *right)
{
    const dipp_yaml_entry *const *a = left, *const *b = right;
    int order = strcmp((*a)->key, (*b)->key);
    return order ? order : *a < *b ? -1 : *a > *b;
}

static dipp_status refuse_duplicates(struct loader *loader, const dipp_yaml_node *map)
{
    const dipp_yaml_entry **sorted = dipp_allocate((map->count + 1) * sizeof(*sorted));
    if (!sorted)
        return no_memory(loader);
    for (size_t i = 0; i < map->count; i++)
        sorted[i] = &map->entries[i];
    qsort(sorted, map->count, sizeof *sorted, by_key);
    for (size_t i = 1; i < map->count; i++)
        if (!strcmp(sorted[i - 1]->key, sorted[i]->key)) {
            dipp_fault fault = {.mark = &sorted[i]->mark, .hint = "keep one of them"};
            dipp_diagnostics_add(loader->diagnostics, &fault, "duplicate key `%.64s`, first on line %u", sorted[i]->key,
                                 (unsigned)sorted[i - 1]->mark.line);
        }
    dipp_release(sorted);
    return DIPP_OK;
}

/* The text of a scalar without NUL inside; NULL after a fault or when memory is out (*status tells). */
static const char *scalar_text(struct loader *loader, const yaml_node_t *from, const dipp_mark *mark,
                               dipp_status *status)
{
    const char *value = (const char *)from->data.scalar.value;
    size_t bytes = from->data.scalar.length;
    if (memchr(value, 0, bytes)) {
        fault_at(loader, mark, NULL, "a string may not contain the NUL character");
        bytes = strlen(value);
    }
    const char *copy = dipp_arena_string_n(loader->arena, value, bytes);
    if (!copy)
        *status = no_memory(loader);
    return copy;
}

static dipp_status build(struct loader *loader, int index);

static dipp_status build_scalar(struct loader *loader, const yaml_node_t *from, dipp_yaml_node *node)
{
    dipp_status status = DIPP_OK;
    const char *text = scalar_text(loader, from, &node->mark, &status);
    if (!text)
        return status;
    node->kind = DIPP_YAML_STRING;
    node->text = text;
    node->quoted = from->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    const char *fault = node->quoted ? NULL : dipp_yaml_type_plain(text, node);
    if (fault) {
        bool zero = strstr(fault, "leading zero") != NULL;
        dipp_fault detail = {.mark = &node->mark,
                             .hint =
                                 zero ? "write it without the zero, 0o.. for octal, or in quotes for a string" : NULL};
        dipp_diagnostics_add(loader->diagnostics, &detail, "`%.40s`: %s", text, fault);
    }
    return DIPP_OK;
}

static dipp_status build_child(struct loader *loader, int index, struct built *parent, const dipp_yaml_node **child)
{
    struct built *built = &loader->built[index - 1];
    dipp_status status = DIPP_OK;
    if (built->size == SIZE_MAX) {
        const yaml_node_t *from = &loader->document.nodes.start[index - 1];
        dipp_mark mark = make_mark(loader, &from->start_mark, NULL);
        return give_up(loader, &mark, NULL, "this value contains an alias of itself");
    }
    if (!built->size)
        status = build(loader, index);
    if (status != DIPP_OK)
        return status;
    parent->size += built->size; /* each at most limits->nodes, so this cannot wrap */
    if (built->height >= parent->height)
        parent->height = built->height + 1;
    const char *what = parent->size > loader->limits->nodes     ? "the aliases expand to too many values"
                       : parent->height > loader->limits->depth ? "the aliases expand to a too deep tree"
                                                                : NULL;
    if (what)
        return give_up(loader, &built->node->mark, "write the values out, or use extends and arms", what);
    *child = built->node;
    return DIPP_OK;
}

static dipp_status build_map(struct loader *loader, const yaml_node_t *from, dipp_yaml_node *node, struct built *self)
{
    size_t capacity = (size_t)(from->data.mapping.pairs.top - from->data.mapping.pairs.start);
    node->kind = DIPP_YAML_MAP;
    node->entries = dipp_arena_allocate_zeroed(loader->arena, 1, capacity * sizeof *node->entries);
    if (!node->entries)
        return no_memory(loader);
    if (capacity > loader->limits->keys) {
        char message[80];
        snprintf(message, sizeof message, "more than %zu keys in one map", loader->limits->keys);
        return give_up(loader, &node->mark, NULL, message);
    }
    for (const yaml_node_pair_t *pair = from->data.mapping.pairs.start; pair < from->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = &loader->document.nodes.start[pair->key - 1];
        dipp_yaml_entry *entry = &node->entries[node->count];
        entry->mark = make_mark(loader, &key->start_mark, &key->end_mark);
        dipp_status status = build_child(loader, pair->value, self, &entry->value);
        if (status != DIPP_OK)
            return status;
        if (key->type != YAML_SCALAR_NODE || !key->data.scalar.length) {
            fault_at(loader, &entry->mark, NULL, "a key must be a plain name");
            continue;
        }
        entry->key = scalar_text(loader, key, &entry->mark, &status);
        if (!entry->key)
            return status;
        if (!strcmp(entry->key, "<<"))
            fault_at(loader, &entry->mark, "use extends for whole files and arms for variants",
                     "merge keys are not accepted");
        else
            node->count++;
    }
    return refuse_duplicates(loader, node);
}

static dipp_status build(struct loader *loader, int index)
{
    const yaml_node_t *from = &loader->document.nodes.start[index - 1];
    struct built *self = &loader->built[index - 1], result = {.size = 1};
    dipp_yaml_node *node = dipp_arena_allocate_zeroed(loader->arena, 1, sizeof *node);
    dipp_status status = DIPP_OK;
    if (!node)
        return no_memory(loader);
    self->node = node;
    self->size = SIZE_MAX;
    node->mark = make_mark(loader, &from->start_mark, &from->end_mark);
    if (from->type == YAML_SCALAR_NODE) {
        status = build_scalar(loader, from, node);
    } else if (from->type == YAML_MAPPING_NODE) {
        status = build_map(loader, from, node, &result);
    } else {
        size_t count = (size_t)(from->data.sequence.items.top - from->data.sequence.items.start);
        const dipp_yaml_node **items = dipp_arena_allocate_zeroed(loader->arena, 1, count * sizeof *items);
        if (!items)
            return no_memory(loader);
        node->kind = DIPP_YAML_SEQUENCE;
        node->items = items;
        for (; status == DIPP_OK && node->count < count; node->count++)
            status = build_child(loader, from->data.sequence.items.start[node->count], &result, &items[node->count]);
    }
    result.node = node;
    *self = result;
    return status;
}

dipp_status dipp_yaml_parse(dipp_arena *arena, const dipp_yaml_source *source, const dipp_yaml_limits *limits,
                            dipp_diagnostics *diagnostics, const dipp_yaml_node **out, dipp_error *error)
{
    struct loader loader = {.arena = arena,
                            .source = source,
                            .limits = limits ? limits : &dipp_yaml_default_limits,
                            .diagnostics = diagnostics,
                            .error = error};
    dipp_mark beginning = {.source = source};
    if (source->bytes - source->skip > loader.limits->bytes) {
        char message[128];
        snprintf(message, sizeof message, "%zu bytes; an experiment may have at most %zu", source->bytes - source->skip,
                 loader.limits->bytes);
        return give_up(&loader, &beginning, NULL, message);
    }
    for (size_t at = 0; at < source->skip; at++)
        loader.shift += (source->text[at] & 0xc0) != 0x80;
    dipp_status status = survey_text(&loader);
    if (status != DIPP_OK)
        return status;
    yaml_parser_t parser;
    if (!start_parser(&loader, &parser))
        return no_memory(&loader);
    if (!yaml_parser_load(&parser, &loader.document)) {
        status = parser_failed(&loader, &parser);
        yaml_parser_delete(&parser);
        return status;
    }
    const yaml_node_t *root = yaml_document_get_root_node(&loader.document);
    size_t count = (size_t)(loader.document.nodes.top - loader.document.nodes.start);
    if (!root) {
        dipp_yaml_node *empty = dipp_arena_allocate_zeroed(arena, 1, sizeof *empty);
        if (empty) {
            *empty = (dipp_yaml_node){
                .kind = DIPP_YAML_NULL, .mark = {.source = source, .line = 1, .column = 1}, .text = ""};
            *out = empty;
        } else {
            status = no_memory(&loader);
        }
    } else if (!(loader.built = dipp_allocate_zeroed(count, sizeof *loader.built))) {
        status = no_memory(&loader);
    } else if ((status = build(&loader, 1)) == DIPP_OK) {
        *out = loader.built[0].node;
    }
    dipp_release(loader.built);
    yaml_document_delete(&loader.document);
    yaml_parser_delete(&parser);
    return status;
}
