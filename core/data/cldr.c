/* expat over annotations/en.xml, and a line parser for the UnicodeSets of labels.txt. */
#include "data/cldr.h"

#include "base/file.h"
#include "base/memory.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char default_annotations[] = "/usr/share/unicode/cldr/common/annotations/en.xml";
static const char default_labels[] = "/usr/share/unicode/cldr/common/properties/labels.txt";

enum { FILE_BYTES_MAX = 64 << 20, TEXT_BYTES_MAX = 4096 };

uint32_t dipp_utf8_next(const char **text)
{
    const unsigned char *bytes = (const unsigned char *)*text;
    if (!bytes[0])
        return 0;
    if (bytes[0] < 0x80) {
        *text += 1;
        return bytes[0];
    }
    int more = bytes[0] >= 0xF0 && bytes[0] < 0xF8   ? 3
               : bytes[0] >= 0xE0 && bytes[0] < 0xF0 ? 2
               : bytes[0] >= 0xC0 && bytes[0] < 0xE0 ? 1
                                                     : 0;
    uint32_t code_point = more == 3 ? bytes[0] & 0x07u : more == 2 ? bytes[0] & 0x0Fu : bytes[0] & 0x1Fu;
    for (int i = 1; i <= more; i++) {
        if ((bytes[i] & 0xC0u) != 0x80u) {
            more = 0;
            break;
        }
        code_point = code_point << 6 | (bytes[i] & 0x3Fu);
    }
    *text += more ? more + 1 : 1;
    return more ? code_point : 0xFFFDu;
}

static dipp_status read_text(const char *path, char **text, size_t *size, dipp_error *error)
{
    if (!dipp_path_exists(path))
        return dipp_fail(error, DIPP_E_NOT_FOUND,
                         "emoji names: no file %s\ninstall the Debian package unicode-cldr-core, or give the path",
                         path);
    return dipp_file_read(path, FILE_BYTES_MAX, text, size, error);
}

typedef struct annotation_parser {
    dipp_cldr *table;
    int room;
    char text[TEXT_BYTES_MAX]; /* of the annotation being read */
    size_t used;
    uint32_t code_point; /* 0: not inside an annotation of a single code point */
    int is_name, out_of_memory;
} annotation_parser;

static void on_start(void *user, const XML_Char *element, const XML_Char **attributes)
{
    annotation_parser *parser = user;
    parser->code_point = 0;
    parser->used = 0;
    parser->is_name = 0;
    if (strcmp(element, "annotation") != 0)
        return;
    for (; attributes[0]; attributes += 2) {
        if (!strcmp(attributes[0], "cp")) {
            const char *at = attributes[1];
            uint32_t code_point = dipp_utf8_next(&at);
            parser->code_point = *at ? 0 : code_point;
        } else if (!strcmp(attributes[0], "type")) {
            parser->is_name = !strcmp(attributes[1], "tts");
        }
    }
}

static void on_text(void *user, const XML_Char *text, int length)
{
    annotation_parser *parser = user;
    if (parser->code_point && parser->used + (size_t)length < sizeof parser->text) {
        memcpy(parser->text + parser->used, text, (size_t)length);
        parser->used += (size_t)length;
    }
}

static dipp_cldr_entry *entry_of(annotation_parser *parser)
{
    dipp_cldr *table = parser->table;
    /* Keywords and name of a code point are neighbours in the file. */
    if (table->count && table->entries[table->count - 1].code_point == parser->code_point)
        return &table->entries[table->count - 1];
    if (table->count == parser->room) {
        int room = parser->room ? parser->room * 2 : 4096;
        dipp_cldr_entry *grown = dipp_reallocate(table->entries, (size_t)room * sizeof *grown);
        if (!grown)
            return NULL;
        table->entries = grown;
        parser->room = room;
    }
    dipp_cldr_entry *entry = &table->entries[table->count++];
    *entry = (dipp_cldr_entry){.code_point = parser->code_point};
    return entry;
}

static char *trimmed(const char *from, const char *end)
{
    while (from < end && (*from == ' ' || *from == '\t' || *from == '\n'))
        from++;
    while (end > from && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\n'))
        end--;
    char *copy = dipp_allocate((size_t)(end - from) + 1);
    if (copy) {
        memcpy(copy, from, (size_t)(end - from));
        copy[end - from] = 0;
    }
    return copy;
}

static void on_end(void *user, const XML_Char *element)
{
    annotation_parser *parser = user;
    if (!parser->code_point || parser->out_of_memory || strcmp(element, "annotation") != 0)
        return;
    parser->text[parser->used] = 0;
    dipp_cldr_entry *entry = entry_of(parser);
    parser->code_point = 0;
    if (!entry) {
        parser->out_of_memory = 1;
        return;
    }
    if (parser->is_name) {
        dipp_release(entry->name);
        entry->name = trimmed(parser->text, parser->text + parser->used);
        parser->out_of_memory |= !entry->name;
        return;
    }
    if (entry->keywords)
        return;
    int count = 1;
    for (size_t i = 0; i < parser->used; i++)
        count += parser->text[i] == '|';
    entry->keywords = dipp_allocate_zeroed((size_t)count, sizeof *entry->keywords);
    const char *from = parser->text;
    for (int i = 0; i < count && entry->keywords; i++) {
        const char *end = strchrnul(from, '|');
        entry->keywords[i] = trimmed(from, end);
        parser->out_of_memory |= !entry->keywords[i];
        entry->keyword_count++;
        from = end + 1;
    }
    parser->out_of_memory |= !entry->keywords;
}

static dipp_status read_annotations(const char *path, dipp_cldr *table, dipp_error *error)
{
    size_t size = 0;
    char *text = NULL;
    dipp_status status = read_text(path, &text, &size, error);
    if (status != DIPP_OK)
        return status;
    annotation_parser *state = dipp_allocate_zeroed(1, sizeof *state);
    XML_Parser parser = state ? XML_ParserCreate("UTF-8") : NULL;
    if (!parser) {
        status = dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory", path);
    } else {
        state->table = table;
        XML_SetUserData(parser, state);
        XML_SetElementHandler(parser, on_start, on_end);
        XML_SetCharacterDataHandler(parser, on_text);
        if (XML_Parse(parser, text, (int)size, 1) != XML_STATUS_OK)
            status =
                dipp_fail(error, DIPP_E_FORMAT, "%s:%lu: %s; expected CLDR annotations", path,
                          (unsigned long)XML_GetCurrentLineNumber(parser), XML_ErrorString(XML_GetErrorCode(parser)));
        else if (state->out_of_memory)
            status = dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory", path);
    }
    if (parser)
        XML_ParserFree(parser);
    dipp_release(state);
    dipp_release(text);
    return status;
}

static void clear_entry(dipp_cldr_entry *entry)
{
    dipp_release(entry->name);
    for (int i = 0; i < entry->keyword_count; i++)
        dipp_release(entry->keywords[i]);
    dipp_release(entry->keywords);
    dipp_release(entry->group);
    dipp_release(entry->subgroup);
}

static int by_code_point(const void *a, const void *b)
{
    uint32_t x = ((const dipp_cldr_entry *)a)->code_point, y = ((const dipp_cldr_entry *)b)->code_point;
    return (x > y) - (x < y);
}

/* Sorts, and drops entries without a name and repeats of a code point. */
static void settle(dipp_cldr *table)
{
    if (!table->count)
        return;
    qsort(table->entries, (size_t)table->count, sizeof *table->entries, by_code_point);
    int kept = 0;
    for (int i = 0; i < table->count; i++) {
        dipp_cldr_entry *entry = &table->entries[i];
        if (!entry->name || (kept && table->entries[kept - 1].code_point == entry->code_point))
            clear_entry(entry);
        else
            table->entries[kept++] = *entry;
    }
    table->count = kept;
}

static dipp_cldr_entry *find_entry(const dipp_cldr *table, uint32_t code_point)
{
    dipp_cldr_entry key = {.code_point = code_point};
    return table->count ? bsearch(&key, table->entries, (size_t)table->count, sizeof key, by_code_point) : NULL;
}

const dipp_cldr_entry *dipp_cldr_find(const dipp_cldr *table, uint32_t code_point)
{
    return find_entry(table, code_point);
}

/* Gives every code point of a UnicodeSet such as "[a-c x {sequence}]" its labels; sequences are stepped over. */
static int label_set(dipp_cldr *table, const char *set, const char *end, const char *group, const char *subgroup)
{
    uint32_t first = 0;
    int ranged = 0;
    for (const char *at = set; at < end;) {
        uint32_t c = dipp_utf8_next(&at);
        if (c == '{') {
            while (at < end && *at != '}')
                at++;
            at += at < end;
            first = 0;
        } else if (c == '-' && first) {
            ranged = 1;
        } else if (c > ' ' && c != 0xFE0F) {
            for (uint32_t point = ranged ? first : c; point <= c && c - point < 4096; point++) {
                dipp_cldr_entry *entry = find_entry(table, point);
                if (!entry || entry->group)
                    continue;
                entry->group = dipp_string_copy(group);
                entry->subgroup = dipp_string_copy(subgroup);
                if (!entry->group || !entry->subgroup)
                    return 0;
            }
            ranged = 0;
            first = c;
        }
    }
    return 1;
}

static dipp_status read_labels(const char *path, dipp_cldr *table, dipp_error *error)
{
    size_t size = 0;
    char *text = NULL;
    dipp_status status = read_text(path, &text, &size, error);
    if (status != DIPP_OK)
        return status;
    int number = 0, used = 0;
    for (char *line = text; line && *line && status == DIPP_OK; number++) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        if (*line == '[') {
            char *set_end = strchr(line, ']');
            char *first = set_end ? strchr(set_end, ';') : NULL;
            char *second = first ? strchr(first + 1, ';') : NULL;
            if (!second) {
                status =
                    dipp_fail(error, DIPP_E_FORMAT, "%s:%d: expected \"[set] ; group ; subgroup\", found \"%.60s\"",
                              path, number + 1, line);
                break;
            }
            char *group = trimmed(first + 1, second),
                 *subgroup = trimmed(second + 1, second + 1 + strcspn(second + 1, "\r#"));
            if (!group || !subgroup || !label_set(table, line + 1, set_end, group, subgroup))
                status = dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory", path);
            dipp_release(group);
            dipp_release(subgroup);
            used++;
        }
        line = next;
    }
    dipp_release(text);
    if (status == DIPP_OK && !used)
        status = dipp_fail(error, DIPP_E_FORMAT,
                           "%s: no line \"[set] ; group ; subgroup\" in it; expected CLDR's labels.txt", path);
    for (int i = 0; i < table->count && status == DIPP_OK; i++) {
        dipp_cldr_entry *entry = &table->entries[i];
        if (!entry->group && (!(entry->group = dipp_string_copy("")) || !(entry->subgroup = dipp_string_copy(""))))
            status = dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory", path);
    }
    return status;
}

dipp_status dipp_cldr_create(const char *annotations_path, const char *labels_path, dipp_cldr **out, dipp_error *error)
{
    const char *annotations = annotations_path ? annotations_path : default_annotations;
    dipp_cldr *table = dipp_allocate_zeroed(1, sizeof *table);
    if (!table)
        return dipp_fail(error, DIPP_E_MEMORY, "emoji names: out of memory");
    dipp_status status = read_annotations(annotations, table, error);
    if (status == DIPP_OK) {
        settle(table);
        if (!table->count)
            status = dipp_fail(error, DIPP_E_FORMAT,
                               "%s: no named code point in it; expected CLDR's annotations/en.xml", annotations);
    }
    if (status == DIPP_OK)
        status = read_labels(labels_path ? labels_path : default_labels, table, error);
    if (status != DIPP_OK) {
        dipp_cldr_destroy(&table);
        return status;
    }
    *out = table;
    return DIPP_OK;
}

void dipp_cldr_destroy(dipp_cldr **pointer)
{
    if (!pointer || !*pointer)
        return;
    for (int i = 0; i < (*pointer)->count; i++)
        clear_entry(&(*pointer)->entries[i]);
    dipp_release((*pointer)->entries);
    dipp_release(*pointer);
    *pointer = NULL;
}
