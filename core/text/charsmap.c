#include "text/charsmap.h"
#include "base/memory.h"
#include "base/utf8.h"

#include <string.h>

/* The published maps have 240 KB, strings of 12 bytes and replacements of 33. */
enum { MAP_BYTES_MOST = 4 << 20, KEY_BYTES_MOST = 256, REPLACEMENT_BYTES_MOST = 1024 };

struct dipp_charsmap {
    uint32_t *units;
    size_t unit_count;
    char *replacements; /* all of them; the last byte is zero */
    size_t replacement_bytes;
};

void dipp_charsmap_destroy(dipp_charsmap **map)
{
    if (!map || !*map)
        return;
    dipp_release((*map)->units);
    dipp_release((*map)->replacements);
    dipp_release(*map);
    *map = NULL;
}

/* Units of darts-clone: a node's children are at its place xor its offset xor their byte, and are its own where their
 * label is that byte; where a string ends, its value is at place xor offset. */
static size_t unit_offset(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 0x200u) >> 6);
}

static bool ends_string(uint32_t unit)
{
    return unit >> 8 & 1;
}

static uint32_t unit_label(uint32_t unit)
{
    return unit & 0x800000ffu;
}

static uint32_t unit_value(uint32_t unit)
{
    return unit & 0x7fffffffu;
}

/* A value may point into a replacement: to its end part, which is one, too. */
static bool begins_character(const dipp_charsmap *map, uint32_t value)
{
    return value < map->replacement_bytes && ((uint8_t)map->replacements[value] & 0xc0) != 0x80;
}

/* Walks to every node that a text can lead to, by its number of bytes. nodes and seen have unit_count places. */
static const char *check_trie(const dipp_charsmap *map, uint32_t *nodes, bool *seen)
{
    size_t first = 0, end = 1; /* the nodes of one depth */
    nodes[0] = 0;
    seen[0] = true;
    for (size_t depth = 0; first < end; depth++) {
        if (depth > KEY_BYTES_MOST)
            return "has a string of more than 256 bytes";
        size_t next = end;
        for (size_t i = first; i < end; i++) {
            uint32_t unit = map->units[nodes[i]];
            size_t children = nodes[i] ^ unit_offset(unit);
            if (depth && ends_string(unit) &&
                (children >= map->unit_count || !begins_character(map, unit_value(map->units[children]))))
                return "has a string whose replacement is outside or begins inside a character";
            for (size_t byte = 0; byte < 256; byte++) {
                size_t child = children ^ byte;
                if (child >= map->unit_count)
                    return "has a node whose children are outside";
                if (unit_label(map->units[child]) != byte || seen[child])
                    continue;
                seen[child] = true;
                nodes[next++] = (uint32_t)child;
            }
        }
        first = end;
        end = next;
    }
    return NULL;
}

static const char *check_replacements(const dipp_charsmap *map)
{
    if (!map->replacement_bytes || map->replacements[map->replacement_bytes - 1])
        return "does not end with a zero byte";
    if (!dipp_utf8_valid(map->replacements, map->replacement_bytes))
        return "has a replacement that is not UTF-8";
    for (size_t at = 0; at < map->replacement_bytes;) {
        size_t length = strlen(map->replacements + at);
        if (length > REPLACEMENT_BYTES_MOST)
            return "has a replacement of more than 1024 bytes";
        at += length + 1;
    }
    return NULL;
}

static dipp_status check_map(const dipp_charsmap *map, const char *where, dipp_error *error)
{
    uint32_t *nodes = dipp_allocate_zeroed(map->unit_count, sizeof *nodes);
    bool *seen = dipp_allocate_zeroed(map->unit_count, sizeof *seen);
    dipp_status status = DIPP_OK;
    if (!nodes || !seen) {
        status = dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for the normaliser", where);
    } else {
        const char *trouble = check_replacements(map);
        if (!trouble)
            trouble = check_trie(map, nodes, seen);
        if (trouble)
            status = dipp_fail(error, DIPP_E_FORMAT, "%s: the normaliser's map %s", where, trouble);
    }
    dipp_release(nodes);
    dipp_release(seen);
    return status;
}

static uint32_t little_endian(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

dipp_status dipp_charsmap_create(const char *where, const void *bytes, size_t size, dipp_charsmap **out,
                                 dipp_error *error)
{
    const uint8_t *at = bytes;
    if (size > MAP_BYTES_MOST)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: the normaliser's map has %zu bytes; at most %d are read",
                         where, size, (int)MAP_BYTES_MOST);
    size_t trie = size > 4 ? little_endian(at) : 0;
    if (trie < 4 || trie % 4 || trie > size - 4)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: the normaliser's map is cut short or damaged", where);
    dipp_charsmap *map = dipp_allocate_zeroed(1, sizeof *map);
    if (!map)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for the normaliser", where);
    map->unit_count = trie / 4;
    map->replacement_bytes = size - 4 - trie;
    map->units = dipp_allocate_zeroed(map->unit_count, sizeof *map->units);
    map->replacements = dipp_allocate(map->replacement_bytes);
    dipp_status status = map->units && map->replacements
                             ? DIPP_OK
                             : dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for the normaliser", where);
    if (!status) {
        for (size_t i = 0; i < map->unit_count; i++)
            map->units[i] = little_endian(at + 4 + 4 * i);
        if (map->replacement_bytes)
            memcpy(map->replacements, at + 4 + trie, map->replacement_bytes);
        status = check_map(map, where, error);
    }
    if (status)
        dipp_charsmap_destroy(&map);
    else
        *out = map;
    return status;
}

size_t dipp_charsmap_find(const dipp_charsmap *map, const char *text, size_t bytes, bool shortest,
                          const char **replacement)
{
    size_t node = unit_offset(map->units[0]), found = 0;
    for (size_t i = 0; i < bytes && i < KEY_BYTES_MOST && !(found && shortest); i++) {
        uint8_t byte = (uint8_t)text[i];
        node ^= byte;
        uint32_t unit = map->units[node];
        if (unit_label(unit) != byte)
            break;
        node ^= unit_offset(unit);
        if (ends_string(unit)) {
            found = i + 1;
            *replacement = map->replacements + unit_value(map->units[node]);
        }
    }
    return found;
}
