/* Arms x grid x zip x seeds: every combination gets a tree of its own, is checked, and becomes cells. */
#include "base/memory.h"
#include "experiment/matrix.h"
#include "experiment/visible.h"
#include "experiment/table.h"
#include "experiment/yaml_edit.h"

#include <stdio.h>
#include <string.h>

enum { AXES = 32 };

/* One key of grid, or all of zip: option i sets keys[k] to lists[k]->items[i]. */
struct axis {
    const dipp_yaml_entry *keys;
    size_t key_count, options;
    const char *layer;
};

struct matrix {
    dipp_schema_context *context;
    const dipp_plugin_catalog *catalog;
    const dipp_yaml_node *root, *exclude;
    struct dipp_override *overrides;
    size_t override_count;
    struct axis axes[AXES];
    size_t axis_count, combinations;
    bool excluded_any[DIPP_MATRIX_POINTS]; /* per entry of exclude: it matched something */
    dipp_cell *points;                     /* seed unset */
    char (*hashes)[DIPP_SHA256_HEX_BYTES]; /* of each point's full json */
    size_t point_count;
    dipp_mark mark;  /* of the arm at hand */
    bool incomplete; /* the arm at hand has faults, so it is not compared with others */
};

static void fault(struct matrix *matrix, const dipp_mark *mark, const char *path, const char *expected,
                  const char *hint, const char *message)
{
    dipp_fault detail = {.mark = mark, .path = path, .expected = expected, .hint = hint};
    dipp_diagnostics_add(matrix->context->diagnostics, &detail, "%s", message);
}

static bool is_matrix_key(struct matrix *matrix, const char *path)
{
    const char *first = dipp_schema_text(matrix->context, "%.*s", (int)strcspn(path, ".["), path);
    const dipp_row *row = first ? dipp_experiment_row(first) : NULL;
    return row && row->kind == DIPP_ROW_MATRIX;
}

/* A dotted key that an arm, grid or zip may set; false after a fault. */
static bool settable(struct matrix *matrix, const dipp_mark *mark, const char *path)
{
    if (!dipp_yaml_path_valid(path))
        fault(matrix, mark, NULL, "a key such as align.ta.updates or rewards[0].scale", NULL, "not a key");
    else if (is_matrix_key(matrix, path))
        fault(matrix, mark, path, "a key of the configuration", NULL,
              "this belongs to the whole experiment and cannot vary between its runs");
    else
        return true;
    return false;
}

/* tree with value at path, labelled; false after a fault. */
static bool assign(struct matrix *matrix, const dipp_yaml_node **tree, const char *path, const dipp_mark *mark,
                   const dipp_yaml_node *value, const char *layer)
{
    dipp_error error;
    const dipp_yaml_node *labelled = dipp_yaml_relabel(matrix->context->arena, value, layer);
    dipp_status status =
        labelled ? dipp_yaml_set(matrix->context->arena, *tree, path, mark, labelled, tree, &error) : DIPP_E_MEMORY;
    if (status == DIPP_E_MEMORY)
        matrix->context->out_of_memory = true;
    else if (status != DIPP_OK)
        fault(matrix, mark, path, NULL, NULL, error.message);
    return status == DIPP_OK;
}

/* The changes of an arm, dotted keys and nested maps alike. */
static void apply_arm(struct matrix *matrix, const dipp_yaml_node **tree, const dipp_yaml_node *changes,
                      const char *prefix, const char *layer)
{
    for (size_t i = 0; i < changes->count && !matrix->context->out_of_memory; i++) {
        const dipp_yaml_entry *entry = &changes->entries[i];
        const char *path = dipp_schema_text(matrix->context, "%s%s", prefix, entry->key);
        if (!path || !settable(matrix, &entry->mark, path))
            continue;
        if (entry->value->kind == DIPP_YAML_MAP) {
            const char *inner = dipp_schema_text(matrix->context, "%s.", path);
            if (inner)
                apply_arm(matrix, tree, entry->value, inner, layer);
            continue;
        }
        const dipp_yaml_node *old = dipp_yaml_at(*tree, path);
        if (old && old->layer == layer)
            fault(matrix, &entry->mark, path, NULL, "keep one of the two spellings", "this arm sets the key twice");
        else
            assign(matrix, tree, path, &entry->mark, entry->value, layer);
    }
}

/* ---- Axes ------------------------------------------------------------------------------------------------------ */

static bool good_list(struct matrix *matrix, const dipp_yaml_entry *entry)
{
    if (!settable(matrix, &entry->mark, entry->key))
        return false;
    if (entry->value->kind == DIPP_YAML_SEQUENCE && entry->value->count)
        return true;
    fault(matrix, &entry->value->mark, entry->key, "a list of at least one value", "[32, 64]",
          "a list of values is needed here");
    return false;
}

static const dipp_yaml_node *map_of(struct matrix *matrix, const char *key)
{
    const dipp_yaml_entry *entry = dipp_yaml_find(matrix->root, key);
    if (!entry || entry->value->kind == DIPP_YAML_NULL)
        return NULL;
    if (entry->value->kind == DIPP_YAML_MAP)
        return entry->value;
    fault(matrix, &entry->value->mark, key, "a map", NULL, "this needs a map");
    return NULL;
}

static void collect_axes(struct matrix *matrix)
{
    const dipp_yaml_node *grid = map_of(matrix, "grid"), *zip = map_of(matrix, "zip");
    matrix->combinations = 1;
    for (size_t i = 0; grid && i < grid->count; i++) {
        const dipp_yaml_entry *entry = &grid->entries[i];
        if (!good_list(matrix, entry))
            continue;
        if (matrix->axis_count + 1 == AXES) {
            fault(matrix, &entry->mark, "grid", NULL, NULL, "the grid has too many keys");
            return;
        }
        matrix->axes[matrix->axis_count++] =
            (struct axis){.keys = entry, .key_count = 1, .options = entry->value->count, .layer = "grid"};
    }
    bool even = zip && zip->count;
    for (size_t i = 0; zip && i < zip->count; i++) {
        even &= good_list(matrix, &zip->entries[i]);
        if (even && zip->entries[i].value->count != zip->entries[0].value->count) {
            fault(matrix, &zip->entries[i].value->mark, zip->entries[i].key,
                  dipp_schema_text(matrix->context, "%zu values, as the first key", zip->entries[0].value->count), NULL,
                  "the lists of zip have different lengths");
            even = false;
        }
    }
    if (even)
        matrix->axes[matrix->axis_count++] = (struct axis){
            .keys = zip->entries, .key_count = zip->count, .options = zip->entries[0].value->count, .layer = "zip"};
    for (size_t i = 0; i < matrix->axis_count; i++) {
        if (matrix->combinations > DIPP_MATRIX_POINTS / matrix->axes[i].options) {
            fault(matrix, &matrix->axes[i].keys->mark, "grid",
                  dipp_schema_text(matrix->context, "at most %d", DIPP_MATRIX_POINTS), NULL, "too many combinations");
            matrix->combinations = 0;
            return;
        }
        matrix->combinations *= matrix->axes[i].options;
    }
}

/* ---- Points ---------------------------------------------------------------------------------------------------- */

static bool same_value(const dipp_yaml_node *a, const dipp_yaml_node *b)
{
    bool numbers = (a->kind == DIPP_YAML_INT || a->kind == DIPP_YAML_FLOAT) &&
                   (b->kind == DIPP_YAML_INT || b->kind == DIPP_YAML_FLOAT);
    if (numbers)
        return (a->kind == DIPP_YAML_INT ? (double)a->integer : a->real) ==
               (b->kind == DIPP_YAML_INT ? (double)b->integer : b->real);
    dipp_text left = {0}, right = {0};
    dipp_yaml_write_json(&left, a, false);
    dipp_yaml_write_json(&right, b, false);
    bool same = !left.failed && !right.failed && !strcmp(left.data, right.data);
    dipp_text_discard(&left);
    dipp_text_discard(&right);
    return same;
}

static bool matches(struct matrix *matrix, const dipp_yaml_node *rule, const dipp_yaml_node *tree, const char *arm,
                    const char *base_arm)
{
    for (size_t i = 0; i < rule->count; i++) {
        const dipp_yaml_entry *entry = &rule->entries[i];
        if (!strcmp(entry->key, "arm")) {
            const char *text = entry->value->text;
            if (entry->value->kind != DIPP_YAML_STRING || (strcmp(text, arm) && strcmp(text, base_arm)))
                return false;
            continue;
        }
        const dipp_yaml_node *value = dipp_yaml_at(tree, entry->key);
        const dipp_row *row = dipp_experiment_row(entry->key);
        if (!value && row && row->parameter.type && !strcmp(row->parameter.key, entry->key))
            value = dipp_schema_default(matrix->context, &row->parameter, entry->key);
        if (!value || !same_value(value, entry->value))
            return false;
    }
    return true;
}

static bool excluded(struct matrix *matrix, const dipp_yaml_node *tree, const char *arm, const char *base_arm)
{
    bool out = false;
    for (size_t i = 0; matrix->exclude && i < matrix->exclude->count; i++)
        if (matrix->exclude->items[i]->kind == DIPP_YAML_MAP && matrix->exclude->items[i]->count &&
            matches(matrix, matrix->exclude->items[i], tree, arm, base_arm))
            out = matrix->excluded_any[i] = true;
    return out;
}

static const dipp_yaml_node *apply_overrides(struct matrix *matrix, const dipp_yaml_node *tree)
{
    for (size_t i = 0; i < matrix->override_count && !matrix->context->out_of_memory; i++) {
        struct dipp_override *override = &matrix->overrides[i];
        if (override->matrix)
            continue;
        dipp_status status =
            dipp_yaml_set(matrix->context->arena, tree, override->path, &override->mark, override->value, &tree, NULL);
        matrix->context->out_of_memory |= status == DIPP_E_MEMORY;
        override->applied += status == DIPP_OK;
    }
    return tree;
}

static const char *json_in_arena(dipp_schema_context *context, const dipp_yaml_node *node, bool keyed_only)
{
    dipp_text json = {0};
    dipp_yaml_write_json(&json, node, keyed_only);
    const char *text = json.failed ? NULL : dipp_arena_string_n(context->arena, json.data, json.length);
    dipp_text_discard(&json);
    context->out_of_memory |= !text;
    return text;
}

static void refuse_equal(struct matrix *matrix, const dipp_cell *point)
{
    dipp_sha256_hex(point->json, strlen(point->json), matrix->hashes[matrix->point_count]);
    for (size_t i = 0; i < matrix->point_count; i++)
        if (!memcmp(matrix->hashes[i], matrix->hashes[matrix->point_count], DIPP_SHA256_HEX_BYTES)) {
            dipp_fault detail = {.mark = matrix->mark.source ? &matrix->mark : NULL,
                                 .hint = "an override, or a list with a value twice, may have made them equal"};
            dipp_diagnostics_add(matrix->context->diagnostics, &detail, "`%s` and `%s` are the same configuration",
                                 matrix->points[i].arm, point->arm);
            return;
        }
}

static void add_point(struct matrix *matrix, const dipp_yaml_node *tree, const char *arm, const char *base_arm,
                      const char *name)
{
    dipp_schema_context *context = matrix->context;
    dipp_cell *point = &matrix->points[matrix->point_count];
    dipp_config *config = dipp_config_resolve(context, matrix->catalog, tree);
    if (!config)
        return;
    const dipp_yaml_node *root = dipp_config_node(config, "");
    dipp_yaml_node *named = dipp_yaml_new_map(context->arena, NULL);
    dipp_yaml_node *title = dipp_yaml_new_string(context->arena, name ? name : "", NULL);
    const dipp_yaml_node *whole = NULL;
    if (!named || !title || !dipp_yaml_put(context->arena, named, "name", NULL, title) ||
        !(whole = dipp_yaml_overlay(context->arena, named, root))) {
        context->out_of_memory = true;
        return;
    }
    *point = (dipp_cell){.arm = arm, .base_arm = base_arm, .point = matrix->point_count, .config = config};
    point->json = json_in_arena(context, whole, false);
    point->key_json = json_in_arena(context, root, true);
    point->values = dipp_config_values(config, &point->value_count);
    if (context->out_of_memory)
        return;
    dipp_sha256_hex(point->key_json, strlen(point->key_json), point->sha256);
    if (!matrix->incomplete)
        refuse_equal(matrix, point);
    matrix->point_count++;
}

/* "arm/align.batch=32,align.steps=5" for combination number `index`; *tree receives its values. */
static const char *combine(struct matrix *matrix, const char *arm, size_t index, const dipp_yaml_node **tree)
{
    dipp_text label = {0};
    dipp_text_printf(&label, "%s", arm);
    bool named = *arm != 0, good = true;
    size_t rest = matrix->combinations;
    for (size_t i = 0; i < matrix->axis_count; i++) {
        const struct axis *axis = &matrix->axes[i];
        rest /= axis->options;
        size_t option = index / rest % axis->options;
        for (size_t k = 0; k < axis->key_count; k++) {
            const dipp_yaml_node *value = axis->keys[k].value->items[option];
            dipp_text_printf(&label, "%s%s=", named ? "/" : i || k ? "," : "", axis->keys[k].key);
            named = false;
            if (value->kind == DIPP_YAML_STRING)
                dipp_text_append_visible(&label, value->text, strlen(value->text), 60);
            else
                dipp_yaml_write_json(&label, value, false);
            good &= assign(matrix, tree, axis->keys[k].key, &axis->keys[k].mark, value, axis->layer);
        }
    }
    const char *text = label.failed ? NULL : dipp_arena_string_n(matrix->context->arena, label.data, label.length);
    dipp_text_discard(&label);
    matrix->context->out_of_memory |= !text;
    return good ? text : NULL;
}

static void expand_arm(struct matrix *matrix, const char *arm, const dipp_yaml_node *tree, const char *name)
{
    for (size_t i = 0; i < matrix->combinations && !matrix->context->out_of_memory; i++) {
        const dipp_yaml_node *own = tree;
        const char *label = combine(matrix, arm, i, &own);
        if (!label)
            continue;
        own = apply_overrides(matrix, own);
        const char *base = *arm ? arm : "default";
        label = *label ? label : "default";
        if (matrix->context->out_of_memory || excluded(matrix, own, label, base))
            continue;
        add_point(matrix, own, label, base, name);
    }
}

static bool good_arm_name(const char *name)
{
    size_t length = strlen(name);
    return length && length <= 64 && strchr("+-.", *name) == NULL &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.@") == length;
}

static void expand_arms(struct matrix *matrix, const char *name)
{
    const dipp_yaml_node *arms = map_of(matrix, "arms");
    if (!arms || !arms->count) {
        expand_arm(matrix, "", matrix->root, name);
        return;
    }
    for (size_t i = 0; i < arms->count && !matrix->context->out_of_memory; i++) {
        const dipp_yaml_entry *entry = &arms->entries[i];
        const char *path = dipp_schema_text(matrix->context, "arms.%s", entry->key);
        if (!good_arm_name(entry->key)) {
            fault(matrix, &entry->mark, path, "1 to 64 letters, digits and _ + - . @, the first a letter, digit or _",
                  NULL, "not a name for an arm");
            continue;
        }
        if (entry->value->kind != DIPP_YAML_MAP && entry->value->kind != DIPP_YAML_NULL) {
            fault(matrix, &entry->value->mark, path, "a map of what the arm changes", NULL, "this needs a map");
            continue;
        }
        const dipp_yaml_node *tree = matrix->root;
        const char *layer = dipp_schema_text(matrix->context, "arm %s", entry->key);
        size_t errors = dipp_diagnostics_errors(matrix->context->diagnostics);
        if (layer && entry->value->kind == DIPP_YAML_MAP)
            apply_arm(matrix, &tree, entry->value, "", layer);
        matrix->incomplete = dipp_diagnostics_errors(matrix->context->diagnostics) != errors;
        matrix->mark = entry->mark;
        expand_arm(matrix, entry->key, tree, name);
    }
}

/* ---- Seeds, exclusions, baseline ------------------------------------------------------------------------------- */

/* NULL after a fault. */
static int64_t *read_seeds(struct matrix *matrix, size_t *count)
{
    const dipp_yaml_entry *entry = dipp_yaml_find(matrix->root, "seeds");
    const dipp_yaml_node *node = entry && entry->value->kind != DIPP_YAML_NULL ? entry->value : NULL;
    bool list = node && node->kind == DIPP_YAML_SEQUENCE;
    bool good = !node || (list ? node->count > 0 : node->kind == DIPP_YAML_INT && node->integer >= 1);
    *count = !node ? 1 : list ? node->count : good ? (size_t)node->integer : 0;
    good &= *count <= DIPP_MATRIX_CELLS;
    int64_t *seeds = good ? dipp_arena_allocate_zeroed(matrix->context->arena, *count, sizeof *seeds) : NULL;
    if (good && !seeds)
        matrix->context->out_of_memory = true;
    for (size_t i = 0; seeds && i < *count; i++) {
        seeds[i] = (int64_t)i;
        if (!list)
            continue;
        if (node->items[i]->kind != DIPP_YAML_INT || node->items[i]->integer < 0) {
            fault(matrix, &node->items[i]->mark, "seeds", "whole numbers of at least 0", NULL, "not a seed");
            continue;
        }
        seeds[i] = node->items[i]->integer;
        for (size_t j = 0; j < i && i < 10000; j++)
            if (seeds[j] == seeds[i])
                fault(matrix, &node->items[i]->mark, "seeds", NULL, NULL, "this seed is given twice");
    }
    if (!good)
        fault(matrix, &node->mark, "seeds", "a list of seeds, or how many there are: [0, 1, 2] or 3", NULL,
              "the seeds do not fit");
    return seeds;
}

static void check_exclude(struct matrix *matrix)
{
    const dipp_yaml_entry *entry = dipp_yaml_find(matrix->root, "exclude");
    if (!entry || entry->value->kind == DIPP_YAML_NULL)
        return;
    if (entry->value->kind != DIPP_YAML_SEQUENCE || entry->value->count > DIPP_MATRIX_POINTS) {
        fault(matrix, &entry->value->mark, "exclude", "a list of maps", "[{arm: none, align.batch: 64}]",
              "this needs a list");
        return;
    }
    matrix->exclude = entry->value;
    for (size_t i = 0; i < entry->value->count; i++) {
        const dipp_yaml_node *rule = entry->value->items[i];
        if (rule->kind != DIPP_YAML_MAP || !rule->count)
            fault(matrix, &rule->mark, "exclude", "a map of dotted keys to values", NULL, "this needs a map");
        for (size_t j = 0; rule->kind == DIPP_YAML_MAP && j < rule->count; j++)
            if (strcmp(rule->entries[j].key, "arm") &&
                (!dipp_yaml_path_valid(rule->entries[j].key) || !dipp_experiment_row(rule->entries[j].key)))
                fault(matrix, &rule->entries[j].mark, "exclude", "arm, or a key of the configuration", NULL,
                      "unknown key");
    }
}

static void check_baseline(struct matrix *matrix, const char *baseline)
{
    const dipp_yaml_entry *arms = dipp_yaml_find(matrix->root, "arms");
    size_t named = arms && arms->value->kind == DIPP_YAML_MAP ? arms->value->count : 0, count = 0;
    const char **names = dipp_arena_allocate_zeroed(matrix->context->arena, named + matrix->point_count, sizeof *names);
    if (!names) {
        matrix->context->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < named; i++)
        names[count++] = arms->value->entries[i].key;
    for (size_t i = 0; i < matrix->point_count; i++)
        names[count++] = matrix->points[i].arm;
    for (size_t i = 0; i < count; i++)
        if (!strcmp(names[i], baseline))
            return;
    const dipp_yaml_entry *entry = dipp_yaml_find(matrix->root, "baseline");
    dipp_fault detail = {
        .mark = &entry->value->mark, .path = "baseline", .word = baseline, .names = names, .name_count = count};
    dipp_diagnostics_add(matrix->context->diagnostics, &detail, "there is no arm `%.64s`", baseline);
}

static void check_left_over(struct matrix *matrix, const dipp_experiment *experiment, size_t errors_before)
{
    dipp_diagnostics *diagnostics = matrix->context->diagnostics;
    for (size_t i = 0; i < matrix->override_count; i++)
        if (!matrix->overrides[i].matrix && !matrix->overrides[i].applied)
            fault(matrix, &matrix->overrides[i].mark, matrix->overrides[i].path, NULL, NULL,
                  "no run has such a list entry");
    bool complete = dipp_diagnostics_errors(diagnostics) == errors_before;
    if (experiment->baseline && (complete || !strchr(experiment->baseline, '=')))
        check_baseline(matrix, experiment->baseline);
    if (!complete)
        return;
    for (size_t i = 0; matrix->exclude && i < matrix->exclude->count; i++)
        if (!matrix->excluded_any[i]) {
            dipp_fault detail = {
                .severity = DIPP_SEVERITY_WARNING, .mark = &matrix->exclude->items[i]->mark, .path = "exclude"};
            dipp_diagnostics_add(diagnostics, &detail, "this excludes nothing");
        }
    if (!matrix->point_count)
        fault(matrix, matrix->exclude ? &matrix->exclude->mark : NULL, "exclude", NULL, NULL, "nothing is left to run");
}

void dipp_matrix_expand(dipp_schema_context *context, const dipp_plugin_catalog *catalog, const dipp_yaml_node *root,
                        struct dipp_override *overrides, size_t override_count, dipp_experiment *experiment)
{
    struct matrix *matrix = dipp_arena_allocate_zeroed(context->arena, 1, sizeof *matrix);
    size_t errors = dipp_diagnostics_errors(context->diagnostics), seed_count = 0;
    if (!matrix) {
        context->out_of_memory = true;
        return;
    }
    *matrix = (struct matrix){
        .context = context, .catalog = catalog, .root = root, .overrides = overrides, .override_count = override_count};
    collect_axes(matrix);
    check_exclude(matrix);
    const int64_t *seeds = read_seeds(matrix, &seed_count);
    const dipp_yaml_entry *arms = dipp_yaml_find(root, "arms");
    size_t arm_count = arms && arms->value->kind == DIPP_YAML_MAP && arms->value->count ? arms->value->count : 1;
    size_t capacity = arm_count * matrix->combinations;
    if (capacity > DIPP_MATRIX_POINTS || (capacity && seed_count > DIPP_MATRIX_CELLS / capacity)) {
        fault(matrix, arms ? &arms->mark : NULL, NULL,
              dipp_schema_text(context, "at most %d combinations and %d runs", DIPP_MATRIX_POINTS, DIPP_MATRIX_CELLS),
              NULL, "the matrix of runs is too large");
        return;
    }
    matrix->points = dipp_arena_allocate_zeroed(context->arena, capacity, sizeof *matrix->points);
    matrix->hashes = dipp_arena_allocate_zeroed(context->arena, capacity, sizeof *matrix->hashes);
    if (!matrix->points || !matrix->hashes) {
        context->out_of_memory = true;
        return;
    }
    expand_arms(matrix, experiment->name);
    if (context->out_of_memory)
        return;
    check_left_over(matrix, experiment, errors);
    if (!seeds || dipp_diagnostics_errors(context->diagnostics) != errors)
        return;
    experiment->cells =
        dipp_arena_allocate_zeroed(context->arena, matrix->point_count * seed_count, sizeof *experiment->cells);
    if (!experiment->cells) {
        context->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < matrix->point_count; i++)
        for (size_t j = 0; j < seed_count; j++) {
            dipp_cell *cell = &experiment->cells[experiment->count++];
            *cell = matrix->points[i];
            cell->seed = seeds[j];
        }
}
