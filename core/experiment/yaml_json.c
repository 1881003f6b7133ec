/* Canonical JSON of a tree: equal configurations give equal bytes, which are hashed and stored. */
#include "base/memory.h"
#include "experiment/yaml_edit.h"

#include <stdlib.h>
#include <string.h>

void dipp_json_write_float(dipp_text *out, double value)
{
    dipp_text_append_double(out, value == 0 ? 0.0 : value);
}

void dipp_json_write_string(dipp_text *out, const char *text)
{
    dipp_text_append_n(out, "\"", 1);
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            dipp_text_printf(out, "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f)
            dipp_text_printf(out, "\\u%04x", byte);
        else
            dipp_text_append_n(out, text, 1);
    }
    dipp_text_append_n(out, "\"", 1);
}

static int by_key(const void *left, const void *right)
{
    const dipp_yaml_entry *const *a = left, *const *b = right;
    return strcmp((*a)->key, (*b)->key);
}

static void write_map(dipp_text *out, const dipp_yaml_node *map, bool keyed_only)
{
    const dipp_yaml_entry **sorted = dipp_allocate((map->count + 1) * sizeof(*sorted));
    if (!sorted) {
        out->failed = true;
        return;
    }
    size_t count = 0;
    for (size_t i = 0; i < map->count; i++)
        if (!keyed_only || !map->entries[i].value->unkeyed)
            sorted[count++] = &map->entries[i];
    qsort(sorted, count, sizeof *sorted, by_key);
    dipp_text_append_n(out, "{", 1);
    for (size_t i = 0; i < count; i++) {
        dipp_text_append_n(out, ",", i ? 1 : 0);
        dipp_json_write_string(out, sorted[i]->key);
        dipp_text_append_n(out, ":", 1);
        dipp_yaml_write_json(out, sorted[i]->value, keyed_only);
    }
    dipp_text_append_n(out, "}", 1);
    dipp_release(sorted);
}

void dipp_yaml_write_json(dipp_text *out, const dipp_yaml_node *node, bool keyed_only)
{
    switch (node->kind) {
    case DIPP_YAML_NULL: dipp_text_append_n(out, "null", 4); break;
    case DIPP_YAML_BOOL: dipp_text_printf(out, "%s", node->boolean ? "true" : "false"); break;
    case DIPP_YAML_INT: dipp_text_printf(out, "%lld", (long long)node->integer); break;
    case DIPP_YAML_FLOAT: dipp_json_write_float(out, node->real); break;
    case DIPP_YAML_STRING: dipp_json_write_string(out, node->text); break;
    case DIPP_YAML_MAP: write_map(out, node, keyed_only); break;
    case DIPP_YAML_SEQUENCE:
        dipp_text_append_n(out, "[", 1);
        for (size_t i = 0; i < node->count; i++) {
            dipp_text_append_n(out, ",", i ? 1 : 0);
            dipp_yaml_write_json(out, node->items[i], keyed_only);
        }
        dipp_text_append_n(out, "]", 1);
        break;
    }
}
