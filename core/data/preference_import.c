/* HPDv2          train.json: [{"prompt", "file_path": [a, b], "human_preference": [1, 0]}], test.json: [{"prompt",
 *                "image_path": [...], "rank": [...]}]; pictures beside the file, or in train/ or test/ beside it
 * ImageRewardDB  images/SPLIT/SPLIT_N/NAME.json: [{"image_path", "prompt_id", "prompt", "rank"}], pictures beside each file
 * ImageReward    test.json: [{"prompt", "generations": [...], "ranking": [...]}], pictures relative to the file
 * Pick-a-Pic     rows with caption, image_0_uid, image_1_uid, label_0, label_1 and, if there, has_label; its files are
 *                parquet, which is not read here: export the rows as JSONL or CSV, and the pictures as UID.jpg, .png or
 *                .webp beside them or in images/
 * Votes          the database that dipp label wrote into */
#include "data/preference_import.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/preference_votes.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { WHERE_BYTES = 512, DEPTH_MOST = 4, FILE_BYTES = 1 << 30 };

typedef struct importer {
    dipp_preferences *set;
    const char *path, *folder; /* of the file that is read, and where it is */
    const char *root;          /* ImageRewardDB: what was named */
} importer;

static dipp_status no_memory(const char *where, dipp_error *error)
{
    return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for preferences", where);
}

/* ---- Values ---- */

static dipp_status text_of(const json_t *row, const char *key, const char *where, const char **out, dipp_error *error)
{
    *out = json_string_value(json_object_get(row, key));
    return *out && **out ? DIPP_OK : dipp_fail(error, DIPP_E_FORMAT, "%s: `%s` is missing, or no text", where, key);
}

static dipp_status list_of(const json_t *row, const char *key, size_t count, const char *where, const json_t **out,
                           dipp_error *error)
{
    *out = json_object_get(row, key);
    size_t found = json_array_size(*out);
    if (!json_is_array(*out) || found < 2 || found > DIPP_PREFERENCE_ITEMS_MAX || (count && found != count))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: `%s` is missing, or no list of one entry a picture", where, key);
    return DIPP_OK;
}

static dipp_status numbers_of(const json_t *list, const char *key, const char *where, double *numbers,
                              dipp_error *error)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!json_is_number(json_array_get(list, i)))
            return dipp_fail(error, DIPP_E_FORMAT, "%s: `%s[%zu]` is not a number", where, key, i);
        numbers[i] = json_number_value(json_array_get(list, i));
    }
    return DIPP_OK;
}

/* ---- Lines of lists ---- */

/* FOLDER/NAME, or in the subfolder that is named as the file (train.json: train), as it is there. */
static char *picture_beside(const importer *from, const char *name)
{
    char stem[64], inside[DIPP_PREFERENCE_KIND_BYTES + 512];
    snprintf(stem, sizeof stem, "%.*s", (int)strcspn(dipp_path_name(from->path), "."), dipp_path_name(from->path));
    snprintf(inside, sizeof inside, "%s/%s", stem, name);
    char *plain = dipp_path_join(from->folder, name), *nested = dipp_path_join(from->folder, inside);
    bool in_folder = nested && dipp_path_exists(nested);
    dipp_release(in_folder ? plain : nested);
    return in_folder ? nested : plain;
}

/* A list of pictures with labels or ranks under these keys. */
static dipp_status add_list(importer *from, const json_t *row, const char *images, const char *numbers_key, bool ranked,
                            const char *where, dipp_error *error)
{
    char *paths[DIPP_PREFERENCE_ITEMS_MAX] = {NULL};
    const char *prompts[DIPP_PREFERENCE_ITEMS_MAX], *prompt = NULL;
    double numbers[DIPP_PREFERENCE_ITEMS_MAX];
    const json_t *files = NULL, *values = NULL;
    dipp_status status = text_of(row, "prompt", where, &prompt, error);
    if (status == DIPP_OK)
        status = list_of(row, images, 0, where, &files, error);
    if (status == DIPP_OK)
        status = list_of(row, numbers_key, json_array_size(files), where, &values, error);
    if (status == DIPP_OK)
        status = numbers_of(values, numbers_key, where, numbers, error);
    if (status != DIPP_OK)
        return status;
    uint32_t count = (uint32_t)json_array_size(files);
    for (uint32_t i = 0; i < count && status == DIPP_OK; i++) {
        const char *name = json_string_value(json_array_get(files, i));
        prompts[i] = prompt;
        if (!name)
            status = dipp_fail(error, DIPP_E_FORMAT, "%s: `%s[%u]` is not a text", where, images, i);
        else if (!(paths[i] = picture_beside(from, name)))
            status = no_memory(where, error);
    }
    dipp_preference_entry entry = {.count = count,
                                   .images = (const char *const *)paths,
                                   .prompts = prompts,
                                   .labels = ranked ? NULL : numbers,
                                   .ranks = ranked ? numbers : NULL,
                                   .probability = NAN};
    if (status == DIPP_OK)
        status = dipp_preferences_add(from->set, &entry, where, error);
    for (uint32_t i = 0; i < count; i++)
        dipp_release(paths[i]);
    return status;
}

/* ---- ImageRewardDB: rows of pictures, in the order of their prompts ---- */

/* Beside the JSON file, else where the path says from the root of the data set on. */
static char *database_picture(const importer *from, const char *image_path)
{
    char *beside = dipp_path_join(from->folder, dipp_path_name(image_path));
    char *rooted = dipp_path_join(from->root, image_path);
    bool there = beside && dipp_path_exists(beside);
    dipp_release(there ? rooted : beside);
    return there ? beside : rooted;
}

/* Rows first .. first + count - 1, all of one prompt. */
static dipp_status add_rows(importer *from, const json_t *rows, size_t first, size_t count, dipp_error *error)
{
    char *paths[DIPP_PREFERENCE_ITEMS_MAX] = {NULL}, where[WHERE_BYTES];
    const char *prompts[DIPP_PREFERENCE_ITEMS_MAX];
    double ranks[DIPP_PREFERENCE_ITEMS_MAX];
    dipp_status status = DIPP_OK;
    for (size_t i = 0; i < count && status == DIPP_OK; i++) {
        const json_t *row = json_array_get(rows, first + i), *rank = json_object_get(row, "rank");
        const char *image = NULL;
        snprintf(where, sizeof where, "%.440s: row %zu", from->path, first + i);
        status = text_of(row, "prompt", where, &prompts[i], error);
        if (status == DIPP_OK)
            status = text_of(row, "image_path", where, &image, error);
        if (status == DIPP_OK && !json_is_number(rank))
            status = dipp_fail(error, DIPP_E_FORMAT, "%s: `rank` is missing, or no number", where);
        if (status == DIPP_OK && strcmp(prompts[i], prompts[0]))
            status = dipp_fail(error, DIPP_E_FORMAT, "%s: another prompt than in the row before, under one prompt_id",
                               where);
        ranks[i] = json_number_value(rank);
        if (status == DIPP_OK && !(paths[i] = database_picture(from, image)))
            status = no_memory(where, error);
    }
    dipp_preference_entry entry = {.count = (uint32_t)count,
                                   .images = (const char *const *)paths,
                                   .prompts = prompts,
                                   .ranks = ranks,
                                   .probability = NAN};
    if (status == DIPP_OK)
        status = dipp_preferences_add(from->set, &entry, where, error);
    for (size_t i = 0; i < count; i++)
        dipp_release(paths[i]);
    return status;
}

static dipp_status add_database_file(importer *from, const json_t *rows, dipp_error *error)
{
    size_t total = json_array_size(rows);
    dipp_status status = DIPP_OK;
    for (size_t first = 0, count; first < total && status == DIPP_OK; first += count) {
        const json_t *id = json_object_get(json_array_get(rows, first), "prompt_id");
        for (count = 1; first + count < total; count++)
            if (!json_equal(id, json_object_get(json_array_get(rows, first + count), "prompt_id")))
                break;
        if (count > DIPP_PREFERENCE_ITEMS_MAX)
            return dipp_fail(error, DIPP_E_FORMAT, "%s: row %zu: more than %d pictures of one prompt", from->path,
                             first, DIPP_PREFERENCE_ITEMS_MAX);
        if (count > 1) /* a picture alone is preferred to none */
            status = add_rows(from, rows, first, count, error);
    }
    return status;
}

/* ---- Whole files of JSON ---- */

static dipp_status add_record(importer *from, const json_t *row, const char *where, dipp_error *error)
{
    if (json_object_get(row, "generations"))
        return add_list(from, row, "generations", "ranking", true, where, error);
    if (json_object_get(row, "file_path"))
        return add_list(from, row, "file_path", "human_preference", false, where, error);
    if (json_is_array(json_object_get(row, "image_path")))
        return add_list(from, row, "image_path", "rank", true, where, error);
    return dipp_fail(error, DIPP_E_FORMAT,
                     "%s: neither a record of HPDv2 (file_path or image_path) nor of ImageReward (generations)", where);
}

static dipp_status import_json(const char *path, const char *root, dipp_preferences *set, dipp_error *error)
{
    char *data = NULL, *folder = dipp_path_folder(path), where[WHERE_BYTES];
    size_t bytes = 0;
    json_error_t problem;
    importer from = {.set = set, .path = path, .folder = folder, .root = root};
    dipp_status status = folder ? dipp_file_read(path, FILE_BYTES, &data, &bytes, error) : no_memory(path, error);
    json_t *rows = status == DIPP_OK ? json_loadb(data, bytes, JSON_REJECT_DUPLICATES, &problem) : NULL;
    dipp_release(data);
    if (status == DIPP_OK && !rows)
        status = dipp_fail(error, DIPP_E_FORMAT, "%s:%d: not JSON: %s", path, problem.line, problem.text);
    else if (status == DIPP_OK && !json_is_array(rows))
        status = dipp_fail(error, DIPP_E_FORMAT, "%s: expected a list of records", path);
    bool database = status == DIPP_OK && json_is_string(json_object_get(json_array_get(rows, 0), "image_path"));
    if (database)
        status = add_database_file(&from, rows, error);
    for (size_t i = 0; i < json_array_size(rows) && !database && status == DIPP_OK; i++) {
        snprintf(where, sizeof where, "%.440s: record %zu", path, i);
        status = add_record(&from, json_array_get(rows, i), where, error);
    }
    json_decref(rows);
    dipp_release(folder);
    return status;
}

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool ends_in(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length > tail && !strcasecmp(name + length - tail, end);
}

/* Every *.json in the folder and those below it, in the order of their names. */
static dipp_status import_folder(const char *folder, const char *root, int depth, dipp_preferences *set,
                                 dipp_error *error)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, not_hidden, alphasort);
    dipp_status status = count < 0 ? dipp_fail(error, DIPP_E_IO, "%s: the folder cannot be read", folder) : DIPP_OK;
    for (int i = 0; i < count; i++) {
        char *path = status == DIPP_OK ? dipp_path_join(folder, entries[i]->d_name) : NULL;
        if (status == DIPP_OK && !path)
            status = no_memory(folder, error);
        else if (path && depth < DEPTH_MOST && dipp_path_is_directory(path))
            status = import_folder(path, root, depth + 1, set, error);
        else if (path && ends_in(path, ".json"))
            status = import_json(path, root, set, error);
        dipp_release(path);
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* ---- Pick-a-Pic ---- */

/* UID.jpg, .png or .webp beside the rows or in images/; UID.jpg where there is none. */
static char *uid_picture(const char *folder, const char *uid)
{
    static const char *const patterns[] = {"%s.jpg",        "%s.png",        "%s.webp",
                                           "images/%s.jpg", "images/%s.png", "images/%s.webp"};
    char name[512];
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        const char *mark = strstr(patterns[i], "%s");
        snprintf(name, sizeof name, "%.*s%s%s", (int)(mark - patterns[i]), patterns[i], uid, mark + 2);
        char *path = dipp_path_join(folder, name);
        if (!path || dipp_path_exists(path))
            return path;
        dipp_release(path);
    }
    snprintf(name, sizeof name, "%s.jpg", uid);
    return dipp_path_join(folder, name);
}

static dipp_status add_pick(importer *from, const char *caption, const char *const uids[2], const double labels[2],
                            const char *where, dipp_error *error)
{
    char *paths[2] = {uid_picture(from->folder, uids[0]), uid_picture(from->folder, uids[1])};
    dipp_preference_entry entry = {.count = 2,
                                   .images = (const char *const *)paths,
                                   .prompts = (const char *const[]){caption, caption},
                                   .labels = labels,
                                   .probability = NAN};
    dipp_status status =
        paths[0] && paths[1] ? dipp_preferences_add(from->set, &entry, where, error) : no_memory(where, error);
    dipp_release(paths[0]);
    dipp_release(paths[1]);
    return status;
}

static dipp_status take_pick(void *context, const json_t *row, const char *where, dipp_error *error)
{
    const char *caption = NULL, *uids[2] = {NULL, NULL};
    const json_t *first = json_object_get(row, "label_0"), *second = json_object_get(row, "label_1");
    if (json_is_false(json_object_get(row, "has_label")))
        return DIPP_OK;
    dipp_status status = text_of(row, "caption", where, &caption, error);
    if (status == DIPP_OK)
        status = text_of(row, "image_0_uid", where, &uids[0], error);
    if (status == DIPP_OK)
        status = text_of(row, "image_1_uid", where, &uids[1], error);
    if (status == DIPP_OK && !(json_is_number(first) && json_is_number(second)))
        status = dipp_fail(error, DIPP_E_FORMAT, "%s: `label_0` or `label_1` is missing, or no number", where);
    const double labels[2] = {json_number_value(first), json_number_value(second)};
    return status == DIPP_OK ? add_pick(context, caption, uids, labels, where, error) : status;
}

enum { CAPTION, UID_0, UID_1, LABEL_0, LABEL_1, HAS_LABEL, COLUMNS };
static const char *const columns[COLUMNS] = {"caption", "image_0_uid", "image_1_uid",
                                             "label_0", "label_1",     "has_label"};

/* The next field of a CSV (RFC 4180) at *at, which moves behind it; cut and unquoted in place. *last: it ends its row. NULL
 * for a quote that is never closed. */
static char *next_field(char **at, bool *last)
{
    char *field = *at, *to = *at, *from = *at;
    bool quoted = *from == '"';
    from += quoted;
    for (; *from; from++) {
        if (quoted && *from == '"' && from[1] == '"')
            from++;
        else if (quoted && *from == '"') {
            quoted = false;
            continue;
        } else if (!quoted && (*from == ',' || *from == '\n'))
            break;
        *to++ = *from;
    }
    if (quoted)
        return NULL;
    *last = *from != ',';
    *at = *from ? from + 1 : from;
    *to = 0;
    if (*last && to > field && to[-1] == '\r')
        to[-1] = 0;
    return field;
}

/* One row into the fields of the columns that are wanted; place[c] is the column's number, or -1. */
static dipp_status read_row(char **at, const int place[COLUMNS], char *fields[COLUMNS], const char *where,
                            dipp_error *error)
{
    bool last = false;
    for (int c = 0; c < COLUMNS; c++)
        fields[c] = NULL;
    for (int number = 0; !last; number++) {
        char *field = next_field(at, &last);
        if (!field)
            return dipp_fail(error, DIPP_E_FORMAT, "%s: a quote is not closed", where);
        for (int c = 0; c < COLUMNS; c++)
            if (place[c] == number)
                fields[c] = field;
    }
    return DIPP_OK;
}

static dipp_status read_header(char **at, int place[COLUMNS], const char *path, dipp_error *error)
{
    bool last = false;
    for (int c = 0; c < COLUMNS; c++)
        place[c] = -1;
    for (int number = 0; !last; number++) {
        const char *field = next_field(at, &last);
        for (int c = 0; field && c < COLUMNS; c++)
            if (!strcmp(field, columns[c]))
                place[c] = number;
        if (!field)
            break;
    }
    for (int c = 0; c < HAS_LABEL; c++)
        if (place[c] < 0)
            return dipp_fail(error, DIPP_E_FORMAT, "%s: the first row names no column `%s`", path, columns[c]);
    return DIPP_OK;
}

static dipp_status add_csv_row(importer *from, char *const fields[COLUMNS], const char *where, dipp_error *error)
{
    double labels[2];
    for (int c = 0; c < HAS_LABEL; c++)
        if (!fields[c] || !*fields[c])
            return dipp_fail(error, DIPP_E_FORMAT, "%s: `%s` is missing", where, columns[c]);
    if (!dipp_parse_double(fields[LABEL_0], &labels[0]) || !dipp_parse_double(fields[LABEL_1], &labels[1]))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: `label_0` or `label_1` is not a number", where);
    return add_pick(from, fields[CAPTION], (const char *const[]){fields[UID_0], fields[UID_1]}, labels, where, error);
}

static dipp_status import_csv(importer *from, dipp_error *error)
{
    char *data = NULL, *fields[COLUMNS], where[WHERE_BYTES];
    size_t bytes = 0;
    int place[COLUMNS];
    dipp_status status = dipp_file_read(from->path, FILE_BYTES, &data, &bytes, error);
    if (status == DIPP_OK && memchr(data, 0, bytes))
        status = dipp_fail(error, DIPP_E_FORMAT, "%s: there is a zero byte in it, so it is no CSV", from->path);
    char *at = data;
    if (status == DIPP_OK)
        status = read_header(&at, place, from->path, error);
    for (size_t number = 1; status == DIPP_OK && at[strspn(at, "\r\n")]; number++) {
        snprintf(where, sizeof where, "%.440s: row %zu", from->path, number);
        at += strspn(at, "\r\n");
        status = read_row(&at, place, fields, where, error);
        if (status == DIPP_OK && !(fields[HAS_LABEL] && !strcasecmp(fields[HAS_LABEL], "false")))
            status = add_csv_row(from, fields, where, error);
    }
    dipp_release(data);
    return status;
}

static dipp_status import_pickapic(const char *path, dipp_preferences *set, dipp_error *error)
{
    char *folder = dipp_path_folder(path);
    importer from = {.set = set, .path = path, .folder = folder};
    dipp_status status = !folder ? no_memory(path, error)
                         : ends_in(path, ".parquet")
                             ? dipp_fail(error, DIPP_E_UNSUPPORTED,
                                         "%s: parquet is not read here; export its rows as JSONL "
                                         "or CSV under their column names, and the pictures",
                                         path)
                         : ends_in(path, ".csv") ? import_csv(&from, error)
                                                 : dipp_each_json_line(path, take_pick, &from, error);
    dipp_release(folder);
    return status;
}

/* ---- Votes ---- */

static dipp_status import_votes(const char *path, dipp_preferences *set, dipp_error *error)
{
    dipp_store *store = NULL;
    dipp_votes_taken taken = {0};
    dipp_store_options reading = {.mode = DIPP_STORE_READ};
    dipp_status status = dipp_store_open(path, &reading, &store, error);
    if (status == DIPP_OK)
        status = dipp_preferences_add_votes(set, store, NULL, &taken, error);
    dipp_store_close(&store);
    if (status == DIPP_OK && !taken.taken)
        status =
            dipp_fail(error, DIPP_E_FORMAT, "%s: no vote to learn from (%zu skipped, %zu on pictures that are gone)",
                      path, taken.skipped, taken.lost);
    return status;
}

dipp_status dipp_preferences_import(const char *path, dipp_preference_format format, dipp_preferences *set,
                                    dipp_error *error)
{
    bool folder = dipp_path_is_directory(path);
    if (format == DIPP_PREFERENCES_VOTES)
        return import_votes(path, set, error);
    if (format == DIPP_PREFERENCES_PICKAPIC)
        return import_pickapic(path, set, error);
    if (folder && format == DIPP_PREFERENCES_IMAGEREWARD)
        return import_folder(path, path, 0, set, error);
    char *file = folder ? dipp_path_join(path, "train.json") : dipp_string_copy(path);
    char *root = dipp_path_folder(path);
    dipp_status status = file && root ? import_json(file, root, set, error) : no_memory(path, error);
    dipp_release(file);
    dipp_release(root);
    return status;
}
