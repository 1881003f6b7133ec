/* Prompt files as they were published. */
#include "base/file.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "data/json_lines.h"
#include "data/prompts.h"
#include "data/string_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FILE_BYTES = 256 << 20, PROMPT_BYTES = 4095, PROMPTS_MAX = 1000000, WHERE_BYTES = 512, COLUMNS_MAX = 64 };

const char *const dipp_hps_styles[DIPP_HPS_STYLES] = {"anime", "concept-art", "paintings", "photo"};

static const char blanks[] = " \t\r\n";

/* A set that grows; both arrays have room for `capacity`. */
typedef struct prompt_reader {
    dipp_prompt_set *set;
    size_t capacity;
    const char *name;  /* of the file, for messages */
    const char *style; /* the category of all its prompts, or NULL */
} prompt_reader;

/* ---- One prompt ---- */

static bool make_room(prompt_reader *reader)
{
    size_t needed = (size_t)reader->set->count + 1, lines = reader->capacity, categories = reader->capacity;
    if (!dipp_grow((void **)&reader->set->prompts, &lines, needed, sizeof *reader->set->prompts) ||
        !dipp_grow((void **)&reader->set->categories, &categories, needed, sizeof *reader->set->categories))
        return false;
    reader->capacity = lines;
    return true;
}

/* text [length] as a string, NULL for no memory. */
static char *copy_piece(const char *text, size_t length)
{
    char *copy = dipp_allocate(length + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

/* category may be NULL: the file's style, or none. where: FILE:LINE. */
static dipp_status add(prompt_reader *reader, const char *text, size_t length, const char *category,
                       size_t category_length, const char *where, dipp_error *error)
{
    if (memchr(text, 0, length) || (category && memchr(category, 0, category_length)))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: a zero byte; expected text", where);
    if (length > PROMPT_BYTES)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: a prompt of more than %d bytes", where, PROMPT_BYTES);
    if (!dipp_utf8_valid(text, length) || (category && !dipp_utf8_valid(category, category_length)))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: not UTF-8", where);
    if (!length)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: an empty prompt", where);
    if (reader->set->count == PROMPTS_MAX)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: more than %d prompts", where, PROMPTS_MAX);
    if (!category && reader->style) {
        category = reader->style;
        category_length = strlen(category);
    }
    char *copy = copy_piece(text, length), *kind = category ? copy_piece(category, category_length) : NULL;
    if (!copy || (category && !kind) || !make_room(reader)) {
        dipp_release(copy);
        dipp_release(kind);
        return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for prompts", where);
    }
    dipp_prompt_set *set = reader->set;
    set->prompts[set->count] = (dipp_prompt_line){.text = copy,
                                                  .glyph = DIPP_NOT_NAMED,
                                                  .background = DIPP_NOT_NAMED,
                                                  .size_class = DIPP_NOT_NAMED,
                                                  .place = DIPP_NOT_NAMED};
    set->categories[set->count++] = kind;
    return DIPP_OK;
}

/* A piece without its surrounding blanks. */
static const char *trim(const char *from, const char *end, size_t *length)
{
    while (from < end && memchr(blanks, *from, sizeof blanks - 1))
        from++;
    while (end > from && memchr(blanks, end[-1], sizeof blanks - 1))
        end--;
    *length = (size_t)(end - from);
    return from;
}

/* ---- Lines ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* How often each text stands there, when all stand equally often; else 1. */
static dipp_status count_repeats(const dipp_prompt_set *set, int *repeats, dipp_error *error)
{
    const char **texts = dipp_allocate((size_t)set->count * sizeof *texts);
    if (!texts)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for prompts");
    for (int i = 0; i < set->count; i++)
        texts[i] = set->prompts[i].text;
    qsort(texts, (size_t)set->count, sizeof *texts, by_text);
    *repeats = 0;
    for (int from = 0, end; from < set->count && *repeats != 1; from = end) {
        for (end = from + 1; end < set->count && !strcmp(texts[end], texts[from]);)
            end++;
        *repeats = *repeats && *repeats != end - from ? 1 : end - from;
    }
    dipp_release(texts);
    return DIPP_OK;
}

/* The first of each text, in their order. */
static dipp_status keep_first(dipp_prompt_set *set, dipp_error *error)
{
    dipp_string_pool pool = {0};
    int kept = 0;
    dipp_status status = DIPP_OK;
    for (int i = 0; i < set->count; i++) {
        uint32_t known = pool.count, index;
        bool added = status == DIPP_OK && dipp_string_pool_add(&pool, set->prompts[i].text, &index);
        if (status == DIPP_OK && !added)
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for prompts");
        if (status == DIPP_OK && pool.count == known) {
            dipp_release(set->prompts[i].text);
            dipp_release(set->categories[i]);
            continue;
        }
        set->prompts[kept] = set->prompts[i];
        set->categories[kept++] = set->categories[i];
    }
    set->count = kept;
    dipp_string_pool_clear(&pool);
    return status;
}

static dipp_status read_lines(prompt_reader *reader, const char *text, size_t bytes, dipp_error *error)
{
    char where[WHERE_BYTES];
    dipp_status status = DIPP_OK;
    int repeats = 1;
    const char *end = text + bytes;
    for (long number = 1; text < end && status == DIPP_OK; number++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text)), *stop = newline ? newline : end;
        size_t length;
        const char *from = trim(text, stop, &length);
        snprintf(where, sizeof where, "%.480s:%ld", reader->name, number);
        if (length)
            status = add(reader, from, length, NULL, 0, where, error);
        text = stop + 1;
    }
    if (status == DIPP_OK && reader->set->count)
        status = count_repeats(reader->set, &repeats, error);
    return status == DIPP_OK && repeats > 1 ? keep_first(reader->set, error) : status;
}

/* ---- Tables ---- */

typedef struct table_row {
    const char *cells[COLUMNS_MAX];
    size_t lengths[COLUMNS_MAX];
    int count; /* COLUMNS_MAX + 1: more */
} table_row;

static table_row split_row(const char *from, const char *end)
{
    table_row row = {.count = 0};
    for (;;) {
        const char *tab = memchr(from, '\t', (size_t)(end - from)), *stop = tab ? tab : end;
        if (row.count == COLUMNS_MAX) {
            row.count++;
            return row;
        }
        row.cells[row.count] = trim(from, stop, &row.lengths[row.count]);
        row.count++;
        if (!tab)
            return row;
        from = tab + 1;
    }
}

static int find_column(const table_row *row, const char *name)
{
    for (int i = 0; i < row->count && i < COLUMNS_MAX; i++)
        if (row->lengths[i] == strlen(name) && !memcmp(row->cells[i], name, row->lengths[i]))
            return i;
    return -1;
}

/* Cells are as they stand: PartiPrompts has quotation marks that quote nothing. */
static dipp_status read_table(prompt_reader *reader, const char *text, size_t bytes, dipp_error *error)
{
    char where[WHERE_BYTES];
    const char *end = text + bytes;
    int columns = 0, prompt = -1, category = -1;
    dipp_status status = DIPP_OK;
    for (long number = 1; text < end && status == DIPP_OK; number++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text)), *stop = newline ? newline : end;
        const char *line_end = stop > text && stop[-1] == '\r' ? stop - 1 : stop;
        table_row row = split_row(text, line_end);
        snprintf(where, sizeof where, "%.480s:%ld", reader->name, number);
        text = stop + 1;
        if (!columns) {
            columns = row.count;
            prompt = find_column(&row, "Prompt");
            category = find_column(&row, "Category");
            if (prompt < 0 || columns > COLUMNS_MAX)
                status = dipp_fail(error, DIPP_E_FORMAT, "%s: expected a heading with the column Prompt, between tabs",
                                   where);
        } else if (row.count == 1 && !row.lengths[0]) {
            continue;
        } else if (row.count != columns) {
            status =
                dipp_fail(error, DIPP_E_FORMAT, "%s: %d columns, and the heading has %d", where, row.count, columns);
        } else {
            bool named = category >= 0 && row.lengths[category];
            status = add(reader, row.cells[prompt], row.lengths[prompt], named ? row.cells[category] : NULL,
                         named ? row.lengths[category] : 0, where, error);
        }
    }
    return status;
}

/* ---- JSON ---- */

/* The prompt of an object, and its category where it has one. */
static dipp_status add_object(prompt_reader *reader, const json_t *object, const char *where, dipp_error *error)
{
    const json_t *prompt = json_object_get(object, "prompt"), *category = json_object_get(object, "tag");
    if (!category)
        category = json_object_get(object, "category");
    if (!json_is_string(prompt))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected an object with a text `prompt`", where);
    if (category && !json_is_string(category))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected a text as category", where);
    return add(reader, json_string_value(prompt), json_string_length(prompt), json_string_value(category),
               json_string_length(category), where, error);
}

static dipp_status take_object(void *context, const json_t *object, const char *where, dipp_error *error)
{
    return add_object(context, object, where, error);
}

/* The line on which entry `index` of a list begins; the text was parsed, so that it is JSON. */
static long line_of_entry(const char *text, size_t bytes, size_t index)
{
    long line = 1;
    int depth = 0;
    bool quoted = false, begun = false;
    size_t entry = 0;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        bool blank = memchr(blanks, c, sizeof blanks - 1) != NULL;
        if (depth == 1 && !quoted && !blank && c != ',' && c != ']' && !begun) {
            if (entry == index)
                return line;
            begun = true;
        }
        line += c == '\n';
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            depth++;
        } else if (c == ']' || c == '}') {
            depth--;
        } else if (c == ',' && depth == 1) {
            entry++;
            begun = false;
        }
    }
    return line;
}

static dipp_status read_list(prompt_reader *reader, const char *text, size_t bytes, dipp_error *error)
{
    json_error_t problem;
    char where[WHERE_BYTES];
    json_t *list = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &problem);
    if (!list && json_error_code(&problem) == json_error_out_of_memory)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for prompts", reader->name);
    if (!list)
        return dipp_fail(error, DIPP_E_FORMAT, "%s:%d: not JSON: %s", reader->name, problem.line, problem.text);
    dipp_status status = DIPP_OK;
    if (!json_is_array(list))
        status = dipp_fail(error, DIPP_E_FORMAT, "%s:1: expected a list [...] of prompts, or of objects with `prompt`",
                           reader->name);
    for (size_t i = 0; i < json_array_size(list) && status == DIPP_OK; i++) {
        const json_t *entry = json_array_get(list, i);
        snprintf(where, sizeof where, "%.480s: entry %zu", reader->name, i);
        status = json_is_string(entry)
                     ? add(reader, json_string_value(entry), json_string_length(entry), NULL, 0, where, error)
                     : add_object(reader, entry, where, error);
        if (status != DIPP_OK)
            dipp_error_context(error, "%.480s:%ld", reader->name, line_of_entry(text, bytes, i));
    }
    json_decref(list);
    return status;
}

/* ---- Files ---- */

static bool ends_with(const char *name, const char *ending)
{
    size_t length = strlen(name), tail = strlen(ending);
    return length > tail && !strcasecmp(name + length - tail, ending);
}

/* The style that a file is called by, or NULL. */
static const char *style_of(const char *name)
{
    const char *last = dipp_path_name(name);
    for (int i = 0; i < DIPP_HPS_STYLES; i++) {
        size_t length = strlen(dipp_hps_styles[i]);
        if (!strncmp(last, dipp_hps_styles[i], length) && !strcasecmp(last + length, ".json"))
            return dipp_hps_styles[i];
    }
    return NULL;
}

static dipp_status read_text(prompt_reader *reader, const char *text, size_t bytes, const char *name, dipp_error *error)
{
    static const char heading[] = "Prompt\tCategory\t";
    int before = reader->set->count;
    dipp_status status;
    reader->name = name;
    reader->style = NULL;
    if (ends_with(name, ".json")) {
        reader->style = style_of(name);
        status = read_list(reader, text, bytes, error);
    } else if (ends_with(name, ".jsonl")) {
        status = dipp_each_json_line_of(text, bytes, name, take_object, reader, error);
    } else if (ends_with(name, ".tsv") || !strncmp(text, heading, sizeof heading - 1)) {
        status = read_table(reader, text, bytes, error);
    } else {
        status = read_lines(reader, text, bytes, error);
    }
    if (status == DIPP_OK && reader->set->count == before)
        status = dipp_fail(error, DIPP_E_FORMAT, "%s: no prompt in it", name);
    return status;
}

static dipp_status read_file(prompt_reader *reader, const char *path, dipp_error *error)
{
    char *text = NULL;
    size_t bytes = 0;
    dipp_status status = dipp_file_read(path, FILE_BYTES, &text, &bytes, error);
    if (status == DIPP_OK)
        status = read_text(reader, text, bytes, path, error);
    dipp_release(text);
    return status;
}

static dipp_status read_styles(prompt_reader *reader, const char *folder, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (int i = 0; i < DIPP_HPS_STYLES && status == DIPP_OK; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s.json", dipp_hps_styles[i]);
        char *path = dipp_path_join(folder, name);
        status = path ? read_file(reader, path, error) : dipp_fail(error, DIPP_E_MEMORY, "no memory for prompts");
        if (status == DIPP_E_NOT_FOUND)
            dipp_error_context(error,
                               "a folder of prompts is HPSv2's, with anime.json, concept-art.json, paintings.json and "
                               "photo.json");
        dipp_release(path);
    }
    return status;
}

/* Hands the set over, or clears it. */
static dipp_status finish(dipp_status status, dipp_prompt_set *set, dipp_prompt_set *out)
{
    bool any = false;
    for (int i = 0; i < set->count; i++)
        any |= set->categories[i] != NULL;
    if (status != DIPP_OK) {
        dipp_prompt_set_clear(set);
        return status;
    }
    if (!any) {
        dipp_release(set->categories);
        set->categories = NULL;
    }
    *out = *set;
    return DIPP_OK;
}

dipp_status dipp_prompts_read(const char *path, dipp_prompt_set *out, dipp_error *error)
{
    dipp_prompt_set set = {0};
    prompt_reader reader = {.set = &set};
    return finish(dipp_path_is_directory(path) ? read_styles(&reader, path, error) : read_file(&reader, path, error),
                  &set, out);
}

dipp_status dipp_prompts_parse(const char *text, size_t bytes, const char *name, dipp_prompt_set *out,
                               dipp_error *error)
{
    dipp_prompt_set set = {0};
    prompt_reader reader = {.set = &set};
    return finish(read_text(&reader, text, bytes, name, error), &set, out);
}
