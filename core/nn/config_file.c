#include "nn/config_file.h"

#include <stdio.h>
#include <string.h>

/* NULL where the default stands: the key is absent or null, or there was trouble before. */
static const json_t *find(const dipp_nn_section *s, const char *key)
{
    const json_t *value = s->status == DIPP_OK ? json_object_get(s->keys, key) : NULL;
    return json_is_null(value) ? NULL : value;
}

int64_t dipp_nn_config_size(dipp_nn_section *s, const char *key, int64_t otherwise)
{
    const json_t *value = find(s, key);
    if (!value)
        return otherwise;
    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > INT32_MAX)
        s->status = dipp_fail(s->error, DIPP_E_FORMAT, "%s: %s%s: expected a whole number of at least 1", s->path,
                              s->name, key);
    return json_integer_value(value);
}

double dipp_nn_config_positive(dipp_nn_section *s, const char *key, double otherwise)
{
    const json_t *value = find(s, key);
    if (!value)
        return otherwise;
    if (!json_is_number(value) || !(json_number_value(value) > 0))
        s->status = dipp_fail(s->error, DIPP_E_FORMAT, "%s: %s%s: expected a number above 0", s->path, s->name, key);
    return json_number_value(value);
}

size_t dipp_nn_config_choice(dipp_nn_section *s, const char *key, const char *const *names, size_t otherwise)
{
    const json_t *value = find(s, key);
    if (!value)
        return otherwise;
    const char *name = json_string_value(value);
    for (size_t i = 0; name && names[i]; i++)
        if (!strcmp(name, names[i]))
            return i;
    char expected[128] = "";
    for (size_t i = 0, used = 0; names[i] && used < sizeof expected; i++)
        used += (size_t)snprintf(expected + used, sizeof expected - used, "%s%s", i ? " or " : "", names[i]);
    s->status = dipp_fail(s->error, DIPP_E_UNSUPPORTED, "%s: %s%s: expected %s, found %.40s", s->path, s->name, key,
                          expected, name ? name : "what is no text");
    return otherwise;
}

void dipp_nn_config_expect(dipp_nn_section *s, const char *key, bool value)
{
    const json_t *found = find(s, key);
    if (found && (!json_is_boolean(found) || json_is_true(found) != value))
        s->status = dipp_fail(s->error, DIPP_E_UNSUPPORTED, "%s: %s%s: expected %s", s->path, s->name, key,
                              value ? "true" : "false");
}
