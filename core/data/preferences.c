/* Sets of preferences in memory, and their JSONL. */
#include "data/preferences.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/preference_import.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHERE_BYTES = 512 };

const char *const dipp_preference_formats[] = {"jsonl", "hpdv2", "imagereward", "pickapic", "votes", NULL};

/* ---- Building ---- */

static dipp_status no_memory(const char *where, dipp_error *error)
{
    return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for preferences", where);
}

static dipp_status check_labels(const dipp_preference_entry *entry, const char *where, dipp_error *error)
{
    double sum = 0;
    for (uint32_t i = 0; i < entry->count; i++) {
        if (!(entry->labels[i] >= 0 && entry->labels[i] <= 1))
            return dipp_fail(error, DIPP_E_FORMAT, "%s: label %g; expected shares in [0, 1]", where, entry->labels[i]);
        sum += entry->labels[i];
    }
    if (fabs(sum - 1) > 1e-3)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: the labels sum to %g; expected shares that sum to 1", where, sum);
    return DIPP_OK;
}

static dipp_status check_entry(const dipp_preference_entry *entry, const char *where, dipp_error *error)
{
    if (entry->kind && strlen(entry->kind) > DIPP_PREFERENCE_KIND_BYTES)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: the kind `%.40s...` is longer than %d bytes", where, entry->kind,
                         DIPP_PREFERENCE_KIND_BYTES);
    if (entry->count < 2 || entry->count > DIPP_PREFERENCE_ITEMS_MAX)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: %u pictures; expected 2 to %d", where, entry->count,
                         DIPP_PREFERENCE_ITEMS_MAX);
    if (!entry->labels == !entry->ranks)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected either labels or rank, one number a picture", where);
    for (uint32_t i = 0; entry->ranks && i < entry->count; i++)
        if (!(entry->ranks[i] >= 0 && entry->ranks[i] < 1e9))
            return dipp_fail(error, DIPP_E_FORMAT, "%s: rank %g; expected a number from 1 on, 1 for the best", where,
                             entry->ranks[i]);
    if (!isnan(entry->probability) && (entry->count != 2 || !(entry->probability >= 0 && entry->probability <= 1)))
        return dipp_fail(error, DIPP_E_FORMAT,
                         "%s: probability %g of %u pictures; expected a number in [0, 1], of the first of two", where,
                         entry->probability, entry->count);
    return entry->labels ? check_labels(entry, where, error) : DIPP_OK;
}

/* Whether two items are a pair, and of which label: shares both of 0 say nothing of each other. */
static bool pair_of(const dipp_preference_item *a, const dipp_preference_item *b, bool ranked,
                    dipp_preference_pair *pair)
{
    pair->tie = ranked && a->rank == b->rank;
    if (ranked)
        pair->label = pair->tie ? 0.5 : a->rank < b->rank ? 1 : 0;
    else
        pair->label = a->share / (a->share + b->share);
    return !isnan(pair->label);
}

static bool add_pairs(dipp_preferences *set, const dipp_preference_line *line)
{
    for (uint32_t i = line->first; i < line->first + line->count; i++)
        for (uint32_t j = i + 1; j < line->first + line->count; j++) {
            dipp_preference_pair pair = {.items = {i, j}, .line = (uint32_t)set->line_count};
            if (!pair_of(&set->items[i], &set->items[j], line->ranked, &pair))
                continue;
            if (!dipp_grow((void **)&set->pairs, &set->pair_capacity, set->pair_count + 1, sizeof *set->pairs))
                return false;
            set->captions_differ |= set->items[i].prompt != set->items[j].prompt;
            set->pairs[set->pair_count++] = pair;
        }
    return true;
}

dipp_status dipp_preferences_add(dipp_preferences *set, const dipp_preference_entry *entry, const char *where,
                                 dipp_error *error)
{
    dipp_preference_line line = {.first = (uint32_t)set->item_count,
                                 .count = entry->count,
                                 .probability = entry->probability,
                                 .ranked = entry->ranks != NULL};
    dipp_status status = check_entry(entry, where, error);
    if (status != DIPP_OK)
        return status;
    uint32_t none;
    if ((!set->kinds.count && !dipp_string_pool_add(&set->kinds, "", &none)) ||
        (entry->kind && !dipp_string_pool_add(&set->kinds, entry->kind, &line.kind)) ||
        !dipp_grow((void **)&set->items, &set->item_capacity, set->item_count + entry->count, sizeof *set->items) ||
        !dipp_grow((void **)&set->lines, &set->line_capacity, set->line_count + 1, sizeof *set->lines))
        return no_memory(where, error);
    for (uint32_t i = 0; i < entry->count; i++) {
        dipp_preference_item *item = &set->items[set->item_count++];
        *item = (dipp_preference_item){.share = entry->labels ? entry->labels[i] : NAN,
                                       .rank = entry->ranks ? entry->ranks[i] : NAN,
                                       .utility = entry->utility ? entry->utility[i] : NAN};
        if (!dipp_string_pool_add(&set->pictures, entry->images[i], &item->picture) ||
            !dipp_string_pool_add(&set->prompts, entry->prompts[i], &item->prompt))
            return no_memory(where, error);
    }
    if (!add_pairs(set, &line))
        return no_memory(where, error);
    set->lines[set->line_count++] = line;
    return DIPP_OK;
}

dipp_status dipp_preferences_finish(dipp_preferences *set, const char *where, dipp_error *error)
{
    if (!set->pair_count)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: there is no pair of pictures with a preference", where);
    uint32_t *counts = dipp_allocate_zeroed(set->prompts.count, sizeof *counts);
    if (!counts)
        return no_memory(where, error);
    for (size_t i = 0; i < set->pair_count; i++)
        counts[set->items[set->pairs[i].items[0]].prompt]++;
    for (size_t i = 0; i < set->pair_count; i++)
        set->pairs[i].of_prompt = counts[set->items[set->pairs[i].items[0]].prompt];
    dipp_release(counts);
    return DIPP_OK;
}

void dipp_preferences_clear(dipp_preferences *set)
{
    dipp_string_pool_clear(&set->pictures);
    dipp_string_pool_clear(&set->prompts);
    dipp_string_pool_clear(&set->kinds);
    dipp_release(set->items);
    dipp_release(set->lines);
    dipp_release(set->pairs);
    *set = (dipp_preferences){0};
}

/* ---- Lines ---- */

/* What reading works with. */
typedef struct reader {
    dipp_preferences *set;
    dipp_captions *captions;
    const char *folder;
} reader;

/* A text that is not empty. */
static dipp_status text_of(const json_t *value, const char *key, const char *where, const char **out, dipp_error *error)
{
    if (!json_is_string(value) || !json_string_length(value))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: `%s` is %s; expected a text", where, key,
                         value ? "not a text, or empty" : "missing");
    *out = json_string_value(value);
    return DIPP_OK;
}

/* Numbers of a list of `count`; NULL where the key is not there. */
static dipp_status numbers_of(const json_t *object, const char *key, uint32_t count, const char *where, double *numbers,
                              const double **out, dipp_error *error)
{
    const json_t *list = json_object_get(object, key);
    *out = NULL;
    if (!list || json_is_null(list))
        return DIPP_OK;
    if (!json_is_array(list) || json_array_size(list) != count)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: `%s` is not a list of %u numbers, one a picture", where, key,
                         count);
    for (uint32_t i = 0; i < count; i++) {
        const json_t *number = json_array_get(list, i);
        if (!json_is_number(number))
            return dipp_fail(error, DIPP_E_FORMAT, "%s: `%s[%u]` is not a number", where, key, i);
        numbers[i] = json_number_value(number);
    }
    *out = numbers;
    return DIPP_OK;
}

/* Texts of a line while it is read. */
typedef struct line_texts {
    const char *images[DIPP_PREFERENCE_ITEMS_MAX], *prompts[DIPP_PREFERENCE_ITEMS_MAX];
    char *owned[DIPP_PREFERENCE_ITEMS_MAX];
} line_texts;

static dipp_status images_of(const json_t *list, uint32_t count, const char *folder, const char *where,
                             line_texts *texts, dipp_error *error)
{
    size_t given = json_array_size(list);
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < count && status == DIPP_OK; i++) {
        const char *name = NULL;
        status = text_of(json_array_get(list, given == 1 ? 0 : i), "images", where, &name, error);
        texts->owned[i] = name ? dipp_path_join(folder, name) : NULL;
        texts->images[i] = texts->owned[i];
        if (status == DIPP_OK && !texts->owned[i])
            status = no_memory(where, error);
    }
    return status;
}

static dipp_status prompts_of(const json_t *object, uint32_t count, const char *where, line_texts *texts,
                              dipp_error *error)
{
    const json_t *list = json_object_get(object, "prompts");
    dipp_status status = DIPP_OK;
    if (list && (!json_is_array(list) || json_array_size(list) != count))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: `prompts` is not a list of %u texts, one a side", where, count);
    for (uint32_t i = 0; i < count && status == DIPP_OK; i++)
        status = text_of(list ? json_array_get(list, i) : json_object_get(object, "prompt"),
                         list ? "prompts" : "prompt", where, &texts->prompts[i], error);
    for (uint32_t i = 1; i < count && list && status == DIPP_OK; i++)
        if (strcmp(texts->images[i], texts->images[0]))
            return dipp_fail(error, DIPP_E_FORMAT,
                             "%s: `prompts` differ and `images` too; sides that differ in caption have one picture",
                             where);
    return status;
}

static dipp_status take_preference(void *context, const json_t *object, const char *where, dipp_error *error)
{
    reader *reading = context;
    const json_t *images = json_object_get(object, "images"), *prompts = json_object_get(object, "prompts");
    const json_t *kind = json_object_get(object, "kind"), *probability = json_object_get(object, "probability");
    if (!json_is_array(images) || !json_array_size(images) || json_array_size(images) > DIPP_PREFERENCE_ITEMS_MAX)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: `images` is %s; expected a list of 2 to %d paths", where,
                         images ? "not a list of so many" : "missing", DIPP_PREFERENCE_ITEMS_MAX);
    if ((kind && !json_is_string(kind)) || (probability && !json_is_number(probability)))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: `%s` is not a %s", where,
                         kind && !json_is_string(kind) ? "kind" : "probability",
                         kind && !json_is_string(kind) ? "text" : "number");
    size_t sides =
        json_array_size(images) == 1 && json_array_size(prompts) ? json_array_size(prompts) : json_array_size(images);
    if (sides < 2 || sides > DIPP_PREFERENCE_ITEMS_MAX)
        return dipp_fail(error, DIPP_E_FORMAT,
                         "%s: %zu picture; a preference is between 2 to %d, or between captions (`prompts`) of one",
                         where, sides, DIPP_PREFERENCE_ITEMS_MAX);
    double labels[DIPP_PREFERENCE_ITEMS_MAX], ranks[DIPP_PREFERENCE_ITEMS_MAX], utility[DIPP_PREFERENCE_ITEMS_MAX];
    line_texts texts = {.owned = {NULL}};
    dipp_preference_entry entry = {.count = (uint32_t)sides,
                                   .images = texts.images,
                                   .prompts = texts.prompts,
                                   .kind = kind ? json_string_value(kind) : NULL,
                                   .probability = probability ? json_number_value(probability) : NAN};
    dipp_status status = images_of(images, entry.count, reading->folder, where, &texts, error);
    if (status == DIPP_OK)
        status = prompts_of(object, entry.count, where, &texts, error);
    if (status == DIPP_OK)
        status = numbers_of(object, "labels", entry.count, where, labels, &entry.labels, error);
    if (status == DIPP_OK)
        status = numbers_of(object, "rank", entry.count, where, ranks, &entry.ranks, error);
    if (status == DIPP_OK)
        status = numbers_of(object, "utility", entry.count, where, utility, &entry.utility, error);
    if (status == DIPP_OK)
        status = dipp_preferences_add(reading->set, &entry, where, error);
    for (size_t i = 0; i < sides; i++)
        dipp_release(texts.owned[i]);
    return status;
}

static dipp_status read_jsonl(const char *path, dipp_preferences *set, dipp_error *error)
{
    char *folder = dipp_path_folder(path);
    reader reading = {.set = set, .folder = folder};
    dipp_status status = folder ? dipp_each_json_line(path, take_preference, &reading, error) : no_memory(path, error);
    dipp_release(folder);
    return status;
}

dipp_status dipp_preferences_read(const char *path, dipp_preference_format format, dipp_preferences *set,
                                  dipp_error *error)
{
    dipp_preferences found = {.captions_differ = false};
    dipp_status status = format == DIPP_PREFERENCES_JSONL ? read_jsonl(path, &found, error)
                                                          : dipp_preferences_import(path, format, &found, error);
    if (status == DIPP_OK)
        status = dipp_preferences_finish(&found, path, error);
    if (status == DIPP_OK)
        *set = found;
    else
        dipp_preferences_clear(&found);
    return status;
}

/* ---- Captions ---- */

static dipp_status take_caption(void *context, const json_t *object, const char *where, dipp_error *error)
{
    reader *reading = context;
    dipp_captions *captions = reading->captions;
    const char *image = NULL, *prompt = NULL;
    dipp_status status = text_of(json_object_get(object, "image"), "image", where, &image, error);
    if (status == DIPP_OK)
        status = text_of(json_object_get(object, "prompt"), "prompt", where, &prompt, error);
    if (status != DIPP_OK)
        return status;
    char *path = dipp_path_join(reading->folder, image);
    dipp_captioned row;
    bool good = path && dipp_string_pool_add(&captions->pictures, path, &row.picture) &&
                dipp_string_pool_add(&captions->prompts, prompt, &row.prompt) &&
                dipp_grow((void **)&captions->rows, &captions->capacity, captions->count + 1, sizeof *captions->rows);
    dipp_release(path);
    if (!good)
        return no_memory(where, error);
    captions->rows[captions->count++] = row;
    return DIPP_OK;
}

dipp_status dipp_captions_read(const char *path, dipp_captions *captions, dipp_error *error)
{
    dipp_captions found = {.count = 0};
    char *folder = dipp_path_folder(path);
    reader reading = {.captions = &found, .folder = folder};
    dipp_status status = folder ? dipp_each_json_line(path, take_caption, &reading, error) : no_memory(path, error);
    dipp_release(folder);
    if (status == DIPP_OK && !found.count)
        status = dipp_fail(error, DIPP_E_FORMAT, "%s: there is no captioned picture in it", path);
    if (status == DIPP_OK)
        *captions = found;
    else
        dipp_captions_clear(&found);
    return status;
}

void dipp_captions_clear(dipp_captions *captions)
{
    dipp_string_pool_clear(&captions->pictures);
    dipp_string_pool_clear(&captions->prompts);
    dipp_release(captions->rows);
    *captions = (dipp_captions){0};
}

/* ---- Writing ---- */

/* One number an item. */
static json_t *numbers_json(const dipp_preferences *set, const dipp_preference_line *line, size_t field)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < line->count; i++) {
        const char *item = (const char *)&set->items[line->first + i];
        double number;
        memcpy(&number, item + field, sizeof number);
        bool whole = number == floor(number) && fabs(number) < 1e15;
        if (json_array_append_new(list, whole ? json_integer((json_int_t)number) : json_real(number)))
            break;
    }
    return list;
}

/* The path as the file names it: prefix is the file's folder with a '/', or "". */
static const char *name_of(const char *picture, const char *prefix)
{
    size_t length = strlen(prefix);
    return length && !strncmp(picture, prefix, length) && picture[length] ? picture + length : picture;
}

static json_t *line_json(const dipp_preferences *set, const dipp_preference_line *line, const char *prefix)
{
    const dipp_preference_item *items = &set->items[line->first];
    json_t *object = json_object(), *images = json_array(), *prompts = json_array();
    bool captions = false, bad = !object || !images || !prompts;
    for (uint32_t i = 0; i < line->count; i++) {
        captions |= items[i].prompt != items[0].prompt;
        bad |= json_array_append_new(images, json_string(name_of(set->pictures.texts[items[i].picture], prefix))) != 0;
        bad |= json_array_append_new(prompts, json_string(set->prompts.texts[items[i].prompt])) != 0;
    }
    if (captions)
        bad |= json_object_set(object, "prompts", prompts) != 0;
    else
        bad |= json_object_set(object, "prompt", json_array_get(prompts, 0)) != 0;
    json_decref(prompts);
    bad |= json_object_set_new(object, "images", images) != 0;
    size_t field = line->ranked ? offsetof(dipp_preference_item, rank) : offsetof(dipp_preference_item, share);
    bad |= json_object_set_new(object, line->ranked ? "rank" : "labels", numbers_json(set, line, field)) != 0;
    if (line->kind)
        bad |= json_object_set_new(object, "kind", json_string(set->kinds.texts[line->kind])) != 0;
    if (!isnan(line->probability))
        bad |= json_object_set_new(object, "probability", json_real(line->probability)) != 0;
    if (!isnan(items[0].utility))
        bad |= json_object_set_new(object, "utility",
                                   numbers_json(set, line, offsetof(dipp_preference_item, utility))) != 0;
    if (bad)
        json_decref(object);
    return bad ? NULL : object;
}

dipp_status dipp_preferences_write(const dipp_preferences *set, const char *path, dipp_error *error)
{
    dipp_file_writer *writer = NULL;
    char *folder = dipp_path_folder(path), real[PATH_MAX] = "", prefix[PATH_MAX + 1];
    bool known = folder && realpath(folder, real);
    snprintf(prefix, sizeof prefix, "%s%s", real, known ? "/" : "");
    dipp_release(folder);
    dipp_status status = dipp_file_writer_create(path, &writer, error);
    for (size_t i = 0; i < set->line_count && status == DIPP_OK; i++) {
        json_t *object = line_json(set, &set->lines[i], prefix);
        char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
        status = text ? dipp_file_writer_append(writer, text, strlen(text), error) : no_memory(path, error);
        if (status == DIPP_OK)
            status = dipp_file_writer_append(writer, "\n", 1, error);
        free(text);
        json_decref(object);
    }
    if (status == DIPP_OK)
        status = dipp_file_writer_commit(&writer, error);
    dipp_file_writer_destroy(&writer);
    return status;
}
