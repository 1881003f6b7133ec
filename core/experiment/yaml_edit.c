#include "experiment/yaml_edit.h"

#include <stdlib.h>
#include <string.h>

dipp_yaml_node *dipp_yaml_new_map(dipp_arena *arena, const dipp_mark *mark)
{
    dipp_yaml_node *map = dipp_arena_allocate_zeroed(arena, 1, sizeof *map);
    if (map) {
        map->kind = DIPP_YAML_MAP;
        if (mark)
            map->mark = *mark;
    }
    return map;
}

dipp_yaml_node *dipp_yaml_new_string(dipp_arena *arena, const char *text, const dipp_mark *mark)
{
    dipp_yaml_node *node = dipp_yaml_new_map(arena, mark);
    if (node) {
        node->kind = DIPP_YAML_STRING;
        node->text = text;
        node->quoted = true;
    }
    return node;
}

/* A copy of map with room for `extra` more entries. */
static dipp_yaml_node *copy_map(dipp_arena *arena, const dipp_yaml_node *map, size_t extra)
{
    dipp_yaml_node *copy = dipp_arena_allocate_zeroed(arena, 1, sizeof *copy);
    dipp_yaml_entry *entries = dipp_arena_allocate_zeroed(arena, 1, (map->count + extra) * sizeof *entries);
    if (!copy || !entries)
        return NULL;
    *copy = *map;
    if (map->count)
        memcpy(entries, map->entries, map->count * sizeof *entries);
    copy->entries = entries;
    return copy;
}

bool dipp_yaml_put(dipp_arena *arena, dipp_yaml_node *map, const char *path, const dipp_mark *mark,
                   const dipp_yaml_node *value)
{
    size_t length = strcspn(path, ".");
    dipp_yaml_entry *entry = NULL;
    for (size_t i = 0; i < map->count && !entry; i++)
        if (!strncmp(map->entries[i].key, path, length) && !map->entries[i].key[length])
            entry = &map->entries[i];
    if (!entry) {
        if (!(map->count & (map->count - 1))) { /* full at powers of two */
            dipp_yaml_entry *grown =
                dipp_arena_allocate_zeroed(arena, 1, (map->count ? 2 * map->count : 1) * sizeof *grown);
            if (!grown)
                return false;
            if (map->count)
                memcpy(grown, map->entries, map->count * sizeof *grown);
            map->entries = grown;
        }
        entry = &map->entries[map->count];
        *entry = (dipp_yaml_entry){.key = dipp_arena_string_n(arena, path, length)};
        if (mark)
            entry->mark = *mark;
        if (!entry->key)
            return false;
        map->count++;
    }
    if (!path[length]) {
        entry->value = value;
        return true;
    }
    if (!entry->value)
        entry->value = dipp_yaml_new_map(arena, mark);
    return entry->value && dipp_yaml_put(arena, (dipp_yaml_node *)entry->value, path + length + 1, mark, value);
}

const dipp_yaml_node *dipp_yaml_overlay(dipp_arena *arena, const dipp_yaml_node *base, const dipp_yaml_node *over)
{
    if (!base || base->kind != DIPP_YAML_MAP || over->kind != DIPP_YAML_MAP)
        return over;
    dipp_yaml_node *merged = copy_map(arena, base, over->count);
    if (!merged)
        return NULL;
    if (over->mark.source)
        merged->mark = over->mark;
    for (size_t i = 0; i < over->count; i++) {
        const dipp_yaml_entry *entry = &over->entries[i];
        dipp_yaml_entry *old = (dipp_yaml_entry *)dipp_yaml_find(merged, entry->key);
        if (!old) {
            merged->entries[merged->count++] = *entry;
            continue;
        }
        const dipp_yaml_node *value = dipp_yaml_overlay(arena, old->value, entry->value);
        if (!value)
            return NULL;
        *old = (dipp_yaml_entry){.key = old->key, .mark = entry->mark, .value = value};
    }
    return merged;
}

const dipp_yaml_node *dipp_yaml_relabel(dipp_arena *arena, const dipp_yaml_node *node, const char *layer)
{
    dipp_yaml_node *copy =
        node->kind == DIPP_YAML_MAP ? copy_map(arena, node, 0) : dipp_arena_allocate_zeroed(arena, 1, sizeof *copy);
    if (!copy)
        return NULL;
    if (node->kind == DIPP_YAML_MAP) {
        for (size_t i = 0; i < copy->count; i++)
            if (!(copy->entries[i].value = dipp_yaml_relabel(arena, copy->entries[i].value, layer)))
                return NULL;
    } else {
        *copy = *node;
    }
    if (node->kind == DIPP_YAML_SEQUENCE) {
        const dipp_yaml_node **items = dipp_arena_allocate_zeroed(arena, 1, node->count * sizeof *items);
        if (!items)
            return NULL;
        for (size_t i = 0; i < node->count; i++)
            if (!(items[i] = dipp_yaml_relabel(arena, node->items[i], layer)))
                return NULL;
        copy->items = items;
    }
    copy->layer = layer;
    return copy;
}

enum { INDEX_DIGITS = 6 };

/* Takes "[n]" off *path. */
static bool take_index(const char **path, size_t *index)
{
    size_t length = strspn(*path + 1, "0123456789");
    if (**path != '[' || !length || length > INDEX_DIGITS || (*path)[1 + length] != ']')
        return false;
    *index = strtoul(*path + 1, NULL, 10);
    *path += length + 2;
    return true;
}

bool dipp_yaml_path_valid(const char *path)
{
    for (size_t segments = 0;; segments++) {
        size_t length = strcspn(path, ".[], \t\n=:{}\"'~&*#");
        if (!length || segments == 32)
            return false;
        path += length;
        size_t index;
        while (*path == '[')
            if (!take_index(&path, &index))
                return false;
        if (!*path)
            return true;
        if (*path++ != '.')
            return false;
    }
}

const dipp_yaml_node *dipp_yaml_at(const dipp_yaml_node *root, const char *path)
{
    const dipp_yaml_node *node = root;
    while (node && *path) {
        size_t index;
        if (*path == '[') {
            if (!take_index(&path, &index) || node->kind != DIPP_YAML_SEQUENCE || index >= node->count)
                return NULL;
            node = node->items[index];
            continue;
        }
        path += *path == '.';
        size_t length = strcspn(path, ".[");
        const dipp_yaml_node *found = NULL;
        for (size_t i = 0; node->kind == DIPP_YAML_MAP && i < node->count && !found; i++)
            if (!strncmp(node->entries[i].key, path, length) && !node->entries[i].key[length])
                found = node->entries[i].value;
        node = found;
        path += length;
    }
    return node;
}

struct edit {
    dipp_arena *arena;
    const dipp_mark *mark;
    const dipp_yaml_node *value; /* NULL: remove */
    const char *whole;           /* the full path, for messages */
    dipp_error *error;
};

static dipp_status edit_out_of_memory(const struct edit *edit)
{
    return dipp_fail(edit->error, DIPP_E_MEMORY, "%s: no memory", edit->whole);
}

/* node may be NULL (nothing there yet); *out NULL after a removal. */
static dipp_status edit_node(const struct edit *edit, const dipp_yaml_node *node, const char *path,
                             const dipp_yaml_node **out);

static dipp_status edit_item(const struct edit *edit, const dipp_yaml_node *node, const char *path,
                             const dipp_yaml_node **out)
{
    size_t index = 0;
    if (!take_index(&path, &index) || !node || node->kind != DIPP_YAML_SEQUENCE || index >= node->count)
        return dipp_fail(edit->error, DIPP_E_INVALID, "`%s`: the list has %zu entries, so there is no [%zu]",
                         edit->whole, node && node->kind == DIPP_YAML_SEQUENCE ? node->count : 0, index);
    const dipp_yaml_node *changed = NULL;
    dipp_status status = edit_node(edit, node->items[index], path, &changed);
    if (status != DIPP_OK)
        return status;
    dipp_yaml_node *copy = dipp_arena_allocate_zeroed(edit->arena, 1, sizeof *copy);
    const dipp_yaml_node **items = dipp_arena_allocate_zeroed(edit->arena, 1, node->count * sizeof *items);
    if (!copy || !items)
        return edit_out_of_memory(edit);
    *copy = *node;
    copy->count = 0;
    copy->items = items;
    for (size_t i = 0; i < node->count; i++)
        if (i != index)
            items[copy->count++] = node->items[i];
        else if (changed)
            items[copy->count++] = changed;
    *out = copy;
    return DIPP_OK;
}

static dipp_status edit_entry(const struct edit *edit, const dipp_yaml_node *node, const char *path,
                              const dipp_yaml_node **out)
{
    size_t length = strcspn(path, ".[");
    const char *key = dipp_arena_string_n(edit->arena, path, length);
    dipp_yaml_node *map = node && node->kind == DIPP_YAML_MAP
                              ? copy_map(edit->arena, node, 1)
                              : dipp_yaml_new_map(edit->arena, node ? &node->mark : edit->mark);
    if (map && !map->entries)
        map->entries = dipp_arena_allocate_zeroed(edit->arena, 1, sizeof *map->entries);
    if (!key || !map || !map->entries)
        return edit_out_of_memory(edit);
    dipp_yaml_entry *entry = (dipp_yaml_entry *)dipp_yaml_find(map, key);
    const dipp_yaml_node *changed = NULL;
    if (!edit->value && !entry) {
        *out = node;
        return DIPP_OK;
    }
    dipp_status status = edit_node(edit, entry ? entry->value : NULL, path + length, &changed);
    if (status != DIPP_OK)
        return status;
    if (entry && !changed) {
        size_t at = (size_t)(entry - map->entries);
        memmove(entry, entry + 1, (map->count - at - 1) * sizeof *entry);
        map->count--;
    } else if (entry) {
        entry->value = changed;
        if (!path[length] && edit->mark)
            entry->mark = *edit->mark;
    } else {
        map->entries[map->count++] =
            (dipp_yaml_entry){.key = key, .mark = edit->mark ? *edit->mark : (dipp_mark){0}, .value = changed};
    }
    *out = map;
    return DIPP_OK;
}

static dipp_status edit_node(const struct edit *edit, const dipp_yaml_node *node, const char *path,
                             const dipp_yaml_node **out)
{
    if (*path == '[')
        return edit_item(edit, node, path, out);
    path += *path == '.';
    if (*path)
        return edit_entry(edit, node, path, out);
    *out = edit->value ? dipp_yaml_overlay(edit->arena, node, edit->value) : NULL;
    return edit->value && !*out ? edit_out_of_memory(edit) : DIPP_OK;
}

dipp_status dipp_yaml_set(dipp_arena *arena, const dipp_yaml_node *root, const char *path, const dipp_mark *mark,
                          const dipp_yaml_node *value, const dipp_yaml_node **out, dipp_error *error)
{
    if (!dipp_yaml_path_valid(path))
        return dipp_fail(error, DIPP_E_INVALID, "`%.80s` is not a path such as align.ta.updates or rewards[0].scale",
                         path);
    struct edit edit = {.arena = arena, .mark = mark, .value = value, .whole = path, .error = error};
    return edit_node(&edit, root, path, out);
}
