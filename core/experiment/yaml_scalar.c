/* YAML 1.2 core schema for plain scalars (spec 10.3.2), leading zeros refused. */
#include "base/text.h"
#include "experiment/yaml_tree.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool one_of(const char *text, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(text, *list))
            return true;
    return false;
}

static size_t digits(const char *text)
{
    return strspn(text, "0123456789");
}

/* Unsigned digits of base 8 or 16 after 0o or 0x. */
static bool based_integer(const char *text, int64_t *value, bool *range)
{
    if (text[0] != '0' || (text[1] != 'x' && text[1] != 'o'))
        return false;
    int base = text[1] == 'x' ? 16 : 8;
    const char *body = text + 2;
    if (!*body || body[strspn(body, base == 16 ? "0123456789abcdefABCDEF" : "01234567")])
        return false;
    errno = 0;
    long long parsed = strtoll(body, NULL, base);
    *range = errno != ERANGE;
    *value = parsed;
    return true;
}

const char *dipp_yaml_type_plain(const char *text, dipp_yaml_node *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const infinities[] = {".inf", ".Inf", ".INF", NULL};
    static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
    node->text = text;
    node->kind = DIPP_YAML_STRING;
    if (one_of(text, nulls)) {
        node->kind = DIPP_YAML_NULL;
        return NULL;
    }
    if (one_of(text, trues) || one_of(text, falses)) {
        node->kind = DIPP_YAML_BOOL;
        node->boolean = one_of(text, trues);
        return NULL;
    }
    bool fits;
    if (based_integer(text, &node->integer, &fits)) {
        node->kind = DIPP_YAML_INT;
        return fits ? NULL : "the number does not fit 64 bits";
    }
    const char *body = text + (*text == '-' || *text == '+');
    if (one_of(body, infinities)) {
        node->kind = DIPP_YAML_FLOAT;
        node->real = *text == '-' ? -INFINITY : INFINITY;
        return NULL;
    }
    if (one_of(text, nans)) {
        node->kind = DIPP_YAML_FLOAT;
        node->real = NAN;
        return NULL;
    }
    size_t whole = digits(body), fraction = 0;
    const char *at = body + whole;
    bool is_float = *at == '.';
    if (is_float) {
        fraction = digits(at + 1);
        at += 1 + fraction;
    }
    if (!whole && !fraction)
        return NULL;
    if (*at == 'e' || *at == 'E') {
        const char *exponent = at + 1 + (at[1] == '-' || at[1] == '+');
        size_t length = digits(exponent);
        if (!length)
            return NULL;
        is_float = true;
        at = exponent + length;
    }
    if (*at)
        return NULL;
    errno = 0;
    if (is_float) {
        node->kind = DIPP_YAML_FLOAT;
        if (!dipp_parse_double(text + (*text == '+'), &node->real))
            node->real = INFINITY;
    } else {
        node->kind = DIPP_YAML_INT;
        node->integer = strtoll(text, NULL, 10);
    }
    if (whole > 1 && *body == '0')
        return "a leading zero is read as octal by some and as decimal by others";
    if (!is_float && errno == ERANGE)
        return "the number does not fit 64 bits";
    if (is_float && isinf(node->real))
        return "the number is too large for a double";
    return NULL;
}

const char *dipp_yaml_kind_name(dipp_yaml_kind kind)
{
    switch (kind) {
    case DIPP_YAML_NULL: return "null";
    case DIPP_YAML_BOOL: return "a boolean";
    case DIPP_YAML_INT: return "a whole number";
    case DIPP_YAML_FLOAT: return "a number";
    case DIPP_YAML_STRING: return "a string";
    case DIPP_YAML_SEQUENCE: return "a list";
    case DIPP_YAML_MAP: return "a map";
    }
    return "a value";
}

const dipp_yaml_entry *dipp_yaml_find(const dipp_yaml_node *map, const char *key)
{
    if (!map || map->kind != DIPP_YAML_MAP)
        return NULL;
    for (size_t i = 0; i < map->count; i++)
        if (!strcmp(map->entries[i].key, key))
            return &map->entries[i];
    return NULL;
}
