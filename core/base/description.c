#include "base/description.h"

#include "base/file.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_FILE = 1 << 20 };

/* Python's numbers that JSON lacks become null of the same length, outside of texts. */
static void replace_infinities(char *text, size_t bytes)
{
    static const char *const words[] = {"-Infinity", "Infinity"};
    bool quoted = false;
    for (size_t i = 0; i < bytes; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        for (size_t k = 0; k < 2 && !quoted && i < bytes; k++) {
            size_t length = strlen(words[k]);
            if (bytes - i >= length && !memcmp(text + i, words[k], length)) {
                for (size_t c = 0; c < length; c++)
                    text[i + c] = c < 4 ? "null"[c] : ' ';
            }
        }
    }
}

dipp_status dipp_json_read_object(const char *path, json_t **out, dipp_error *error)
{
    char *text = NULL;
    size_t bytes = 0;
    json_error_t trouble;
    dipp_status status = dipp_file_read(path, LARGEST_FILE, &text, &bytes, error);
    if (status != DIPP_OK)
        return status;
    replace_infinities(text, bytes);
    json_t *keys = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &trouble);
    dipp_release(text);
    if (!keys)
        return dipp_fail(error, DIPP_E_FORMAT, "%s:%d:%d: not JSON: %.200s", path, trouble.line, trouble.column,
                         trouble.text);
    if (!json_is_object(keys)) {
        json_decref(keys);
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected an object", path);
    }
    *out = keys;
    return DIPP_OK;
}

dipp_status dipp_description_open(const char *path, dipp_description *out, dipp_error *error)
{
    *out = (dipp_description){.path = path, .error = error};
    return dipp_json_read_object(path, &out->keys, error);
}

void dipp_description_refuse(dipp_description *d, dipp_status status, const char *key, const char *format, ...)
{
    char text[512];
    va_list arguments;
    if (d->status != DIPP_OK)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    d->status = dipp_fail(d->error, status, "%s: %s: %s", d->path, key, text);
}

/* As it stands in the file, shortened. */
static void value_text(const json_t *value, char out[80])
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    snprintf(out, 80, "%.76s", text ? text : "?");
    free(text);
}

/* null, false, or a list of them. */
static bool is_off(const json_t *value)
{
    size_t i = 0;
    const json_t *entry = NULL;
    if (!json_is_array(value))
        return json_is_null(value) || json_is_false(value);
    json_array_foreach(value, i, entry) if (!json_is_null(entry) && !json_is_false(entry)) return false;
    return true;
}

dipp_status dipp_description_close(dipp_description *d)
{
    const char *key = NULL;
    const json_t *value = NULL;
    json_object_foreach(d->keys, key, value)
    {
        char text[80];
        if (key[0] == '_' || is_off(value))
            continue;
        value_text(value, text);
        dipp_description_refuse(d, DIPP_E_UNSUPPORTED, key, "%s is not supported", text);
    }
    json_decref(d->keys);
    d->keys = NULL;
    return d->status;
}

bool dipp_description_has(const dipp_description *d, const char *key)
{
    return json_object_get(d->keys, key) != NULL;
}

/* The key's value, now the caller's (json_decref), NULL where there is none or where there was trouble. */
static json_t *take(dipp_description *d, const char *key)
{
    json_t *value = d->status == DIPP_OK ? json_incref(json_object_get(d->keys, key)) : NULL;
    if (value)
        json_object_del(d->keys, key);
    return value;
}

static bool is_size(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 1 && json_integer_value(value) <= INT32_MAX;
}

int64_t dipp_description_size(dipp_description *d, const char *key, int64_t otherwise)
{
    json_t *value = take(d, key);
    int64_t result = otherwise;
    if (value && is_size(value))
        result = json_integer_value(value);
    else if (value && !(json_is_null(value) && otherwise == 0))
        dipp_description_refuse(d, DIPP_E_FORMAT, key, "expected a whole number of at least 1");
    json_decref(value);
    return result;
}

double dipp_description_number(dipp_description *d, const char *key, double otherwise)
{
    json_t *value = take(d, key);
    double result = otherwise;
    if (value && json_is_number(value) && json_number_value(value) > 0)
        result = json_number_value(value);
    else if (value && !json_is_null(value))
        dipp_description_refuse(d, DIPP_E_FORMAT, key, "expected a number above 0");
    json_decref(value);
    return result;
}

int dipp_description_maybe(dipp_description *d, const char *key)
{
    json_t *value = take(d, key);
    if (value && !json_is_boolean(value) && !json_is_null(value))
        dipp_description_refuse(d, DIPP_E_FORMAT, key, "expected true, false or null");
    int result = json_is_true(value) ? 1 : json_is_false(value) ? 0 : -1;
    json_decref(value);
    return result;
}

bool dipp_description_flag(dipp_description *d, const char *key, bool otherwise)
{
    bool has = dipp_description_has(d, key);
    int found = dipp_description_maybe(d, key);
    if (has && found < 0)
        dipp_description_refuse(d, DIPP_E_FORMAT, key, "expected true or false");
    return found < 0 ? otherwise : found == 1;
}

/* The index of a value among choices; refuses, and gives 0, when it is none of them. */
static size_t choice_of(dipp_description *d, const char *key, const json_t *value, const char *const *choices)
{
    const char *name = json_is_null(value) ? "null" : json_string_value(value);
    char text[80], list[256] = "";
    for (size_t i = 0; choices[i]; i++)
        if (name && !strcmp(choices[i], name))
            return i;
    for (size_t i = 0; choices[i]; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", choices[i]);
    value_text(value, text);
    dipp_description_refuse(d, DIPP_E_UNSUPPORTED, key, "%s is not supported (%s)", text, list);
    return 0;
}

size_t dipp_description_choice(dipp_description *d, const char *key, const char *const *choices, size_t otherwise)
{
    json_t *value = take(d, key);
    size_t result = value ? choice_of(d, key, value, choices) : otherwise;
    json_decref(value);
    return result;
}

uint32_t dipp_description_sizes(dipp_description *d, const char *key, int64_t *out, uint32_t most)
{
    json_t *value = take(d, key);
    size_t count = json_is_array(value) ? json_array_size(value) : value && !json_is_null(value);
    if (count > most)
        dipp_description_refuse(d, DIPP_E_UNSUPPORTED, key, "%zu entries; at most %u are possible", count, most);
    for (size_t i = 0; i < count && d->status == DIPP_OK; i++) {
        const json_t *entry = json_is_array(value) ? json_array_get(value, i) : value;
        if (is_size(entry))
            out[i] = json_integer_value(entry);
        else
            dipp_description_refuse(d, DIPP_E_UNSUPPORTED, key, "expected whole numbers of at least 1");
    }
    json_decref(value);
    return d->status == DIPP_OK ? (uint32_t)count : 0;
}

uint32_t dipp_description_choices(dipp_description *d, const char *key, const char *const *choices, size_t *out,
                                  uint32_t most)
{
    json_t *value = take(d, key);
    size_t count = json_array_size(value);
    if (value && !json_is_array(value))
        dipp_description_refuse(d, DIPP_E_FORMAT, key, "expected a list");
    if (count > most)
        dipp_description_refuse(d, DIPP_E_UNSUPPORTED, key, "%zu entries; at most %u are possible", count, most);
    for (size_t i = 0; i < count && d->status == DIPP_OK; i++)
        out[i] = choice_of(d, key, json_array_get(value, i), choices);
    json_decref(value);
    return d->status == DIPP_OK ? (uint32_t)count : 0;
}

static bool is_among(const json_t *value, const json_t *accepted)
{
    size_t i = 0;
    const json_t *one = NULL;
    json_array_foreach(accepted, i, one)
    {
        bool numbers = json_is_number(value) && json_is_number(one); /* 1 and 1.0 are one number */
        if (numbers ? json_number_value(value) == json_number_value(one) : json_equal(value, one))
            return true;
    }
    return false;
}

void dipp_description_expect(dipp_description *d, const dipp_described *table)
{
    for (const dipp_described *row = table; row->key; row++) {
        json_t *value = take(d, row->key), *accepted = value ? json_loads(row->accepted, 0, NULL) : NULL;
        bool good = !value || is_among(value, accepted);
        if (!good && json_is_array(value) && json_array_size(value)) {
            size_t i = 0;
            const json_t *entry = NULL;
            good = true;
            json_array_foreach(value, i, entry) good = good && is_among(entry, accepted);
        }
        if (!good) {
            char text[80];
            value_text(value, text);
            dipp_description_refuse(d, DIPP_E_UNSUPPORTED, row->key, "%s is not supported, only %s", text,
                                    row->accepted);
        }
        json_decref(value);
        json_decref(accepted);
    }
}

void dipp_description_ignore(dipp_description *d, const char *const *keys)
{
    for (; *keys; keys++)
        json_object_del(d->keys, *keys);
}
