#include "weights/torch_state.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/utf8.h"
#include "weights/content.h"

#include <stdio.h>
#include <string.h>

/* What a training script may have put around the state dict, the first that is there counts. Averages come last: where
 * both are there, published code reads the weights themselves. */
static const char *const wrappers[] = {"state_dict", "model_state_dict", "model", "module", "state_dict_ema", "ema"};
enum { WRAPPERS = sizeof wrappers / sizeof *wrappers, WRAPPERS_DEEP = 8, OBJECTS_DEEP = 64, NAME_BYTES = 1024 };

typedef struct finder {
    const char *path;
    dipp_arena *arena, *scratch;
    dipp_torch_state state;
    size_t capacity;
    uint64_t budget; /* of attributes looked at and bytes of names */
    dipp_error *error;
} finder;

static dipp_status fail_memory(const finder *f)
{
    return dipp_fail(f->error, DIPP_E_MEMORY, "%s: out of memory for its tensors", f->path);
}

static bool text_equals(const dipp_pickle_value *value, const char *expected)
{
    return value->kind == DIPP_PICKLE_TEXT && value->text.length == strlen(expected) &&
           !memcmp(value->text.bytes, expected, value->text.length);
}

static bool has_tensors(const dipp_pickle_value *dict)
{
    for (size_t i = 1; i < dict->list.count; i += 2)
        if (dict->list.items[i]->kind == DIPP_PICKLE_TENSOR)
            return true;
    return false;
}

/* The dict in dict that it is a wrapper of: under a known key, or the only dict there is. NULL when it wraps none. */
static const dipp_pickle_value *unwrap(const dipp_pickle_value *dict)
{
    for (size_t w = 0; w < WRAPPERS; w++)
        for (size_t i = 0; i + 1 < dict->list.count; i += 2)
            if (text_equals(dict->list.items[i], wrappers[w]) && dict->list.items[i + 1]->kind == DIPP_PICKLE_DICT)
                return dict->list.items[i + 1];
    const dipp_pickle_value *only = NULL;
    if (has_tensors(dict))
        return NULL;
    for (size_t i = 1; i < dict->list.count; i += 2)
        if (dict->list.items[i]->kind == DIPP_PICKLE_DICT) {
            if (only)
                return NULL;
            only = dict->list.items[i];
        }
    return only;
}

static dipp_status fail_no_state(const finder *f, const dipp_pickle_value *dict)
{
    dipp_text keys = {0};
    for (size_t i = 0; i < dict->list.count && keys.length < 300; i += 2) {
        const dipp_pickle_value *key = dict->list.items[i];
        char name[41], quoted[DIPP_QUOTED_BYTES];
        if (key->kind != DIPP_PICKLE_TEXT)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(key->text.length < 40 ? key->text.length : 40), key->text.bytes);
        for (char *at = name; *at; at++)
            if (*at & 0x80)
                *at = '?'; /* not checked to be UTF-8 */
        dipp_text_printf(&keys, "%s%s", keys.length ? ", " : "", dipp_weight_quote(name, quoted));
    }
    char *list = dipp_text_finish(&keys);
    dipp_status status =
        list ? dipp_fail(f->error, DIPP_E_FORMAT,
                         "%s: expected a dict of tensors, or one under state_dict, model_state_dict, model, module, "
                         "state_dict_ema or ema; found a dict with the keys: %s",
                         f->path, *list ? list : "(none)")
             : fail_memory(f);
    dipp_release(list);
    return status;
}

/* Lists a tensor under the name, of which a copy is made. */
static dipp_status add(finder *f, const char *name, size_t length, const dipp_pickle_value *tensor)
{
    dipp_torch_state *state = &f->state;
    if (state->count == f->capacity) {
        size_t capacity = 2 * f->capacity + 16;
        dipp_torch_named *grown = dipp_arena_allocate(f->scratch, capacity * sizeof *grown);
        if (!grown)
            return fail_memory(f);
        if (state->count)
            memcpy(grown, state->items, state->count * sizeof *grown);
        state->items = grown;
        f->capacity = capacity;
    }
    const char *copy = dipp_arena_string_n(f->arena, name, length);
    if (!copy)
        return fail_memory(f);
    state->items[state->count++] = (dipp_torch_named){copy, tensor};
    return DIPP_OK;
}

/* A key of a state dict or an attribute: UTF-8 without zero bytes. */
static dipp_status check_name(const finder *f, const dipp_pickle_value *key)
{
    if (key->kind != DIPP_PICKLE_TEXT)
        return dipp_fail(f->error, DIPP_E_FORMAT, "%s: a tensor of the state dict has a key that is no text", f->path);
    if (!dipp_utf8_valid(key->text.bytes, key->text.length) || memchr(key->text.bytes, 0, key->text.length))
        return dipp_fail(f->error, DIPP_E_FORMAT, "%s: the name of a tensor is not UTF-8 or has a zero byte", f->path);
    return DIPP_OK;
}

static dipp_status list_dict(finder *f, const dipp_pickle_value *root)
{
    for (int depth = 0; depth < WRAPPERS_DEEP; depth++) {
        const dipp_pickle_value *inside = unwrap(root);
        if (!inside)
            break;
        root = inside;
    }
    if (!has_tensors(root))
        return fail_no_state(f, root);
    dipp_status status = DIPP_OK;
    for (size_t i = 0; i + 1 < root->list.count && !status; i += 2) {
        const dipp_pickle_value *key = root->list.items[i], *value = root->list.items[i + 1];
        if (value->kind != DIPP_PICKLE_TENSOR)
            continue; /* a number or a text beside the tensors */
        status = check_name(f, key);
        if (!status)
            status = add(f, key->text.bytes, key->text.length, value);
    }
    return status;
}

/* Objects that are attributes of several objects are listed under each path, as state_dict() does. A tree looks at no more
 * than there is in the pickle; what loops, or doubles at every level, runs into the depth or the budget. */
static dipp_status spend(finder *f, uint64_t cost)
{
    if (cost > f->budget)
        return dipp_fail(f->error, DIPP_E_FORMAT, "%s: its objects contain one another more often than a program's do",
                         f->path);
    f->budget -= cost;
    return DIPP_OK;
}

static dipp_status list_object(finder *f, const dipp_pickle_value *root)
{
    struct level {
        const dipp_pickle_value *object;
        size_t next, length; /* the attribute to look at, and how much of the name is this object's */
    } levels[OBJECTS_DEEP] = {{root, 0, 0}};
    char name[NAME_BYTES];
    size_t depth = 1;
    while (depth) {
        struct level *at = &levels[depth - 1];
        if (at->next + 1 >= at->object->list.count) {
            depth--;
            continue;
        }
        const dipp_pickle_value *key = at->object->list.items[at->next], *value = at->object->list.items[at->next + 1];
        at->next += 2;
        dipp_status status = spend(f, 1);
        if (!status && value->kind != DIPP_PICKLE_TENSOR && value->kind != DIPP_PICKLE_OBJECT)
            continue; /* a number, a text, a list: no weight */
        if (!status)
            status = check_name(f, key);
        if (status)
            return status;
        if (key->text.length + 1 > NAME_BYTES - at->length || depth == OBJECTS_DEEP)
            return dipp_fail(f->error, DIPP_E_FORMAT,
                             "%s: its objects contain one another more than %d deep, or a name is longer than %d",
                             f->path, (int)OBJECTS_DEEP, (int)NAME_BYTES - 1);
        size_t length = at->length + key->text.length;
        memcpy(name + at->length, key->text.bytes, key->text.length);
        if (value->kind == DIPP_PICKLE_TENSOR) {
            status = spend(f, length);
            if (!status)
                status = add(f, name, length, value);
            if (status)
                return status;
        } else {
            name[length] = '.';
            levels[depth++] = (struct level){value, 0, length + 1};
        }
    }
    return f->state.count
               ? DIPP_OK
               : dipp_fail(f->error, DIPP_E_FORMAT, "%s: expected a program with tensors, found none", f->path);
}

dipp_status dipp_torch_state_find(const dipp_pickle_value *root, size_t pickle_bytes, const char *file,
                                  dipp_arena *arena, dipp_arena *scratch, dipp_torch_state *out, dipp_error *error)
{
    enum { BUDGET_OF_A_BYTE = 64 }; /* as a value may take of memory; a tensor takes 40 bytes, its name about 50 */
    finder f = {.path = file,
                .arena = arena,
                .scratch = scratch,
                .budget = (uint64_t)pickle_bytes * BUDGET_OF_A_BYTE,
                .error = error};
    dipp_status status;
    if (root->kind == DIPP_PICKLE_OBJECT)
        status = list_object(&f, root);
    else if (root->kind == DIPP_PICKLE_DICT)
        status = list_dict(&f, root);
    else
        status = dipp_fail(error, DIPP_E_FORMAT, "%s: expected a dict of tensors, found another Python value", file);
    if (!status)
        *out = f.state;
    return status;
}
