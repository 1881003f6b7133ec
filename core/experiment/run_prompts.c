#include "experiment/run_prompts.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "experiment/yaml_edit.h"

#include <stdio.h>
#include <string.h>

enum { PHRASES_PER_PAIR = 14 };

static dipp_status read_emoji(const dipp_config *config, const char *split_path, int64_t count,
                              const dipp_emoji_world *world, dipp_run_prompts *prompts, dipp_error *error)
{
    const char *split = dipp_config_string(config, split_path);
    bool train = split && !strcmp(split, "train");
    if (!train && (!split || strcmp(split, "eval")))
        return dipp_fail(error, DIPP_E_INVALID, "%s is `%s`; the set emoji has the splits train and eval", split_path,
                         split ? split : "");
    prompts->name = train ? "emoji/train" : "emoji/eval";
    int64_t most = 0;
    for (int glyph = 0; glyph < dipp_emoji_world_glyph_count(world); glyph++)
        for (int background = 0; background < DIPP_BACKGROUND_COUNT; background++)
            most += PHRASES_PER_PAIR * (dipp_emoji_pair_held_out(world, glyph, background) != (int)train);
    if (count > most && !prompts->at_most)
        return dipp_fail(error, DIPP_E_INVALID, "%lld prompts are asked for; %s of this world has %lld",
                         (long long)count, prompts->name, (long long)most);
    count = count > most ? 0 : count;
    return dipp_emoji_prompts(world, train ? DIPP_SPLIT_TRAIN : DIPP_SPLIT_EVAL, (int)(count ? count : most), 0,
                              &prompts->set, error);
}

static dipp_status copy_texts(const char *const *texts, size_t count, dipp_run_prompts *prompts, dipp_error *error)
{
    prompts->set.prompts = dipp_allocate_zeroed(count, sizeof *prompts->set.prompts);
    for (size_t i = 0; prompts->set.prompts && i < count; i++) {
        prompts->set.prompts[i] = (dipp_prompt_line){dipp_string_copy(texts[i]), DIPP_NOT_NAMED, DIPP_NOT_NAMED,
                                                     DIPP_NOT_NAMED, DIPP_NOT_NAMED};
        prompts->set.count = (int)i + 1;
        if (!prompts->set.prompts[i].text)
            return dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu prompts", count);
    }
    return prompts->set.prompts ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu prompts", count);
}

static dipp_status read_list(const dipp_yaml_node *list, dipp_run_prompts *prompts, dipp_error *error)
{
    const char **texts = dipp_allocate_zeroed(list->count + 1, sizeof *texts);
    if (!texts)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu prompts", list->count);
    for (size_t i = 0; i < list->count; i++)
        texts[i] = list->items[i]->text;
    prompts->name = "list";
    dipp_status status = copy_texts(texts, list->count, prompts, error);
    dipp_release(texts);
    return status;
}

/* The first `count` prompts. */
static dipp_status shorten(int64_t count, dipp_run_prompts *prompts, dipp_error *error)
{
    if (count > prompts->set.count && !prompts->at_most)
        return dipp_fail(error, DIPP_E_INVALID, "%lld prompts are asked for; there are %d", (long long)count,
                         prompts->set.count);
    count = count > prompts->set.count ? 0 : count;
    if (count)
        dipp_prompt_set_shorten(&prompts->set, (int)count);
    return DIPP_OK;
}

/* A folder is HPSv2's four files. */
static const char *set_name(const char *path)
{
    return dipp_path_is_directory(path) ? "hpsv2" : dipp_path_name(path);
}

static dipp_status finish(dipp_run_prompts *prompts, dipp_error *error)
{
    dipp_sha256 hash;
    prompts->count = (uint32_t)prompts->set.count;
    prompts->texts = dipp_allocate_zeroed(prompts->count + 1, sizeof *prompts->texts);
    if (!prompts->texts)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %u prompts", prompts->count);
    dipp_sha256_init(&hash);
    for (uint32_t i = 0; i < prompts->count; i++) {
        prompts->texts[i] = prompts->set.prompts[i].text;
        dipp_sha256_update(&hash, prompts->texts[i], strlen(prompts->texts[i]) + 1);
    }
    for (uint32_t i = 0; prompts->set.categories && i < prompts->count;
         i++) { /* the same texts in other groups are another set */
        const char *category = prompts->set.categories[i] ? prompts->set.categories[i] : "";
        dipp_sha256_update(&hash, category, strlen(category) + 1);
    }
    dipp_sha256_final_hex(&hash, prompts->sha256);
    return DIPP_OK;
}

/* Where the prompts are, whatever of them is taken. */
static dipp_status read_section(const dipp_config *config, const char *section, int64_t count, bool at_most,
                                const dipp_emoji_world *world, dipp_run_prompts *prompts, dipp_error *error)
{
    static const char *const nothing[1] = {""};
    char path[64], split_path[64];
    *prompts = (dipp_run_prompts){.configured = true, .at_most = at_most};
    snprintf(split_path, sizeof split_path, "%s.split", section);
    snprintf(path, sizeof path, "%s.set", section);
    const char *set = dipp_config_string(config, path);
    snprintf(path, sizeof path, "%s.file", section);
    const char *file = dipp_config_string(config, path);
    snprintf(path, sizeof path, "%s.list", section);
    const dipp_yaml_node *list = dipp_config_node(config, path);
    dipp_status status = DIPP_OK;
    if (set && strcmp(set, "emoji")) {
        status =
            dipp_fail(error, DIPP_E_INVALID, "there is no prompt set `%s`; expected emoji, or a file or list", set);
    } else if (set && (file || list)) {
        status = dipp_fail(error, DIPP_E_INVALID, "a set and a file or list are both given; leave one out");
    } else if (set) {
        status = world ? read_emoji(config, split_path, count, world, prompts, error)
                       : dipp_fail(error, DIPP_E_INTERNAL, "the prompt set emoji needs its world");
    } else if (file && list) {
        status = dipp_fail(error, DIPP_E_INVALID, "file and list are both given; leave one out");
    } else if (file) {
        status = dipp_prompts_read(file, &prompts->set, error);
        prompts->name = set_name(file);
    } else if (list && list->count) {
        status = read_list(list, prompts, error);
    } else {
        prompts->configured = false;
        prompts->name = "none";
        status = copy_texts(nothing, 1, prompts, error);
    }
    if (status == DIPP_OK && !set)
        status = shorten(prompts->configured ? count : 0, prompts, error);
    if (status == DIPP_OK)
        status = finish(prompts, error);
    if (status != DIPP_OK) {
        dipp_run_prompts_clear(prompts);
        dipp_error_context(error, "%s", section);
    }
    return status;
}

dipp_status dipp_run_prompts_read(const dipp_config *config, const char *section, const dipp_emoji_world *world,
                                  dipp_run_prompts *prompts, dipp_error *error)
{
    char path[64];
    snprintf(path, sizeof path, "%s.count", section);
    return read_section(config, section, dipp_config_int(config, path), false, world, prompts, error);
}

/* Whether a section names prompts of its own. */
static bool has_prompts(const dipp_config *config, const char *section)
{
    static const char *const keys[] = {"set", "file", "list"};
    bool has = false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s.%s", section, keys[i]);
        has |= dipp_config_has(config, path);
    }
    return has;
}

dipp_status dipp_run_prompts_read_evaluation(const dipp_config *config, const dipp_emoji_world *world,
                                             dipp_run_prompts *prompts, dipp_error *error)
{
    bool own = has_prompts(config, "evaluate.prompts");
    return dipp_run_prompts_read(config, own ? "evaluate.prompts" : "prompts", world, prompts, error);
}

dipp_status dipp_run_prompts_read_monitor(const dipp_config *config, const dipp_emoji_world *world,
                                          dipp_run_prompts *prompts, dipp_error *error)
{
    bool own = has_prompts(config, "monitor.prompts");
    return read_section(config, own ? "monitor.prompts" : "prompts", dipp_config_int(config, "monitor.prompts.count"),
                        true, world, prompts, error);
}

dipp_status dipp_run_prompts_from_file(const char *path, dipp_run_prompts *prompts, dipp_error *error)
{
    *prompts = (dipp_run_prompts){.configured = true, .name = set_name(path)};
    dipp_status status = dipp_prompts_read(path, &prompts->set, error);
    if (status == DIPP_OK)
        status = finish(prompts, error);
    if (status != DIPP_OK)
        dipp_run_prompts_clear(prompts);
    return status;
}

void dipp_run_prompts_clear(dipp_run_prompts *prompts)
{
    dipp_prompt_set_clear(&prompts->set);
    dipp_release(prompts->texts);
    *prompts = (dipp_run_prompts){0};
}

/* ---- Rows ---- */

static char *attributes_json(const dipp_emoji_world *world, const dipp_prompt_line *prompt)
{
    dipp_text text = {0};
    const char *comma = "";
    if (!world || (prompt->glyph == DIPP_NOT_NAMED && prompt->background == DIPP_NOT_NAMED &&
                   prompt->size_class == DIPP_NOT_NAMED && prompt->place == DIPP_NOT_NAMED))
        return NULL;
    const struct {
        const char *key;
        const char *value;
    } named[] = {
        {"glyph", prompt->glyph == DIPP_NOT_NAMED ? NULL : dipp_emoji_world_glyph(world, prompt->glyph)->name},
        {"background", prompt->background == DIPP_NOT_NAMED ? NULL : dipp_backgrounds[prompt->background].name},
        {"size", prompt->size_class == DIPP_NOT_NAMED ? NULL : dipp_size_words[prompt->size_class]},
        {"place", prompt->place == DIPP_NOT_NAMED ? NULL : dipp_place_words[prompt->place]}};
    dipp_text_append(&text, "{");
    for (size_t i = 0; i < 4; i++)
        if (named[i].value) {
            dipp_text_printf(&text, "%s\"%s\":", comma, named[i].key);
            dipp_json_write_string(&text, named[i].value);
            comma = ",";
        }
    dipp_text_append(&text, "}");
    return dipp_text_finish(&text);
}

dipp_status dipp_run_prompts_store(const dipp_run_prompts *prompts, const dipp_emoji_world *world, dipp_store *store,
                                   int64_t *prompt_set_id, dipp_error *error)
{
    dipp_prompt_record *records = dipp_allocate_zeroed(prompts->count, sizeof *records);
    if (!records)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %u prompts", prompts->count);
    for (uint32_t i = 0; i < prompts->count; i++)
        records[i] = (dipp_prompt_record){.text = prompts->texts[i],
                                          .category = prompts->set.categories ? prompts->set.categories[i] : NULL,
                                          .attributes_json = attributes_json(world, &prompts->set.prompts[i])};
    dipp_status status =
        dipp_store_prompt_set_put(store, prompts->name, prompts->sha256, records, prompts->count, prompt_set_id, error);
    for (uint32_t i = 0; i < prompts->count; i++)
        dipp_release((char *)records[i].attributes_json);
    dipp_release(records);
    return status;
}
