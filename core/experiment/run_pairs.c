#include "experiment/run_pairs.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "base/text.h"
#include "data/image.h"
#include "evaluate/gold.h"
#include "experiment/experiment.h"
#include "experiment/run_settings.h"
#include "experiment/yaml_edit.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_DIGITS = 20, PICTURE_BYTES = 1 << 20 };
static const double same_gold = 1e-9;

typedef struct pair_picture {
    char *path; /* relative to the database's folder */
    char sha256[DIPP_SHA256_HEX_BYTES];
    uint32_t prompt;
    bool judged, written;
    dipp_verdict verdict;
} pair_picture;

typedef struct pair_maker {
    const dipp_pairs_request *request;
    char *root; /* the database's folder */
    dipp_emoji_world *world;
    dipp_judge *judge; /* made with the first picture that it looks at */
    int side;
    dipp_prompt_line *prompts;
    size_t prompt_count, prompt_capacity;
    pair_picture *pictures;
    double *utility;  /* [picture_capacity] */
    uint32_t *starts; /* [prompt_count + 1] */
    size_t picture_count, picture_capacity, utility_capacity;
    dipp_gold_pairs pairs;
    dipp_text runs, uuids; /* JSON lists; numbers change when databases are merged */
    dipp_status status;    /* of a reading callback */
    dipp_error error;
} pair_maker;

/* ---- The world ---- */

typedef struct stored_run {
    char *config_json;
    char uuid[40];
} stored_run;

static int read_run(void *user, const dipp_run_row *row)
{
    stored_run *run = user;
    run->config_json = dipp_string_copy(row->config_json);
    snprintf(run->uuid, sizeof run->uuid, "%s", row->run_uuid);
    return 1;
}

static dipp_status create_world(const char *json, dipp_plugins *plugins, dipp_emoji_world **world, dipp_error *error)
{
    dipp_plugin_catalog catalog = {plugins, dipp_plugins_parameter_table, dipp_plugins_name};
    dipp_diagnostics *diagnostics = dipp_diagnostics_create();
    dipp_experiment *experiment = NULL;
    dipp_emoji_world_options options;
    size_t count = 0;
    if (!diagnostics || !json) {
        dipp_diagnostics_destroy(&diagnostics);
        return dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for a run's configuration");
    }
    dipp_status status =
        dipp_experiment_parse("configuration", json, strlen(json), NULL, 0, &catalog, diagnostics, &experiment, error);
    if (status == DIPP_OK) {
        dipp_run_world_options(dipp_experiment_cells(experiment, &count)[0].config, &options);
        status = dipp_emoji_world_create(&options, world, error);
    }
    dipp_experiment_destroy(&experiment);
    dipp_diagnostics_destroy(&diagnostics);
    return status;
}

/* Takes a run's number and sees that its world is that of the runs before. */
static dipp_status take_run(pair_maker *maker, dipp_store *store, int64_t run_id, dipp_plugins *plugins,
                            dipp_error *error)
{
    dipp_run_filter filter = {.run_id = run_id};
    stored_run run = {0};
    dipp_emoji_world *world = NULL;
    dipp_status status = dipp_store_each_run(store, &filter, read_run, &run, error);
    if (status == DIPP_OK)
        status = create_world(run.config_json, plugins, &world, error);
    if (status == DIPP_OK && !maker->world) {
        maker->world = world;
        world = NULL;
    } else if (status == DIPP_OK && dipp_emoji_world_fingerprint(world) != dipp_emoji_world_fingerprint(maker->world)) {
        status = dipp_fail(error, DIPP_E_INVALID, "pairs: run %lld is of another world than the runs before it",
                           (long long)run_id);
    }
    dipp_text_printf(&maker->runs, "%s%lld", maker->runs.length ? "," : "[", (long long)run_id);
    dipp_text_printf(&maker->uuids, "%s\"%s\"", maker->uuids.length ? "," : "[", run.uuid);
    dipp_emoji_world_destroy(&world);
    dipp_release(run.config_json);
    return status;
}

/* ---- Pictures and their gold ---- */

static int32_t find_word(const char *word, int32_t count, const char *(*name)(int32_t))
{
    for (int32_t i = 0; word && i < count; i++)
        if (!strcmp(word, name(i)))
            return i;
    return DIPP_NOT_NAMED;
}

static const char *background_name(int32_t index)
{
    return dipp_backgrounds[index].name;
}

static const char *place_name(int32_t index)
{
    return dipp_place_words[index];
}

static const char *size_name(int32_t index)
{
    return dipp_size_words[index];
}

/* The columns of the query. */
enum { TEXT, GLYPH, BACKGROUND, PLACE, SIZE, GOLD, PATH, SHA256, COLUMNS };

static dipp_status add_prompt(pair_maker *maker, const char *const *values, dipp_error *error)
{
    if (!dipp_grow((void **)&maker->prompts, &maker->prompt_capacity, maker->prompt_count + 1, sizeof *maker->prompts))
        return dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for prompts");
    dipp_prompt_line *prompt = &maker->prompts[maker->prompt_count];
    *prompt =
        (dipp_prompt_line){.text = dipp_string_copy(values[TEXT]),
                           .glyph = values[GLYPH] ? dipp_emoji_world_find(maker->world, values[GLYPH]) : DIPP_NOT_NAMED,
                           .background = find_word(values[BACKGROUND], DIPP_BACKGROUND_COUNT, background_name),
                           .place = find_word(values[PLACE], DIPP_PLACE_COUNT, place_name),
                           .size_class = find_word(values[SIZE], DIPP_SIZE_CLASS_COUNT, size_name)};
    if (!prompt->text)
        return dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for prompts");
    maker->prompt_count++;
    return DIPP_OK;
}

static dipp_status add_picture(pair_maker *maker, const char *const *values, dipp_error *error)
{
    size_t at = maker->picture_count, prompts = maker->prompt_count;
    const pair_picture *last = at ? &maker->pictures[at - 1] : NULL;
    bool known = prompts && !strcmp(maker->prompts[prompts - 1].text, values[TEXT]);
    dipp_status status = known ? DIPP_OK : add_prompt(maker, values, error);
    if (status != DIPP_OK || (known && last && !strcmp(last->sha256, values[SHA256])))
        return status; /* the same picture by another run */
    if (!dipp_grow((void **)&maker->pictures, &maker->picture_capacity, at + 1, sizeof *maker->pictures) ||
        !dipp_grow((void **)&maker->utility, &maker->utility_capacity, at + 1, sizeof *maker->utility))
        return dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for pictures");
    pair_picture *picture = &maker->pictures[at];
    *picture = (pair_picture){.path = dipp_string_copy(values[PATH]), .prompt = (uint32_t)maker->prompt_count - 1};
    snprintf(picture->sha256, sizeof picture->sha256, "%s", values[SHA256]);
    maker->utility[at] = strtod(values[GOLD], NULL);
    maker->picture_count++;
    return picture->path ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for pictures");
}

static int read_picture(void *user, int columns, const char *const *names, const char *const *values)
{
    pair_maker *maker = user;
    maker->status = columns == COLUMNS ? add_picture(maker, values, &maker->error) : DIPP_E_INTERNAL;
    return maker->status != DIPP_OK;
}

static dipp_status read_pictures(pair_maker *maker, dipp_store *store, dipp_error *error)
{
    static const char query[] =
        "SELECT p.text, json_extract(p.attributes_json,'$.glyph'), json_extract(p.attributes_json,'$.background'), "
        "json_extract(p.attributes_json,'$.place'), json_extract(p.attributes_json,'$.size'), "
        "printf('%!.17g', e.value), a.path, a.sha256 "
        "FROM evaluations e JOIN metric_names n USING(metric_id) JOIN prompts p USING(prompt_id) "
        "JOIN artifacts a ON a.artifact_id=e.artifact_id "
        "WHERE n.name='gold' AND e.kind='finite' AND e.run_id IN (SELECT value FROM json_each(?1)) "
        "ORDER BY p.text, a.sha256";
    const char *binds[] = {maker->runs.data};
    dipp_status status = dipp_store_query(store, query, binds, 1, read_picture, maker, error);
    if (status == DIPP_OK && maker->status != DIPP_OK) {
        *error = maker->error;
        status = maker->status;
    }
    if (status == DIPP_OK && !maker->picture_count)
        status =
            dipp_fail(error, DIPP_E_NOT_FOUND,
                      "pairs: these runs kept no picture with a gold score; expected gold among evaluate.metrics, and "
                      "evaluate.pictures and evaluate.grid_samples that keep some");
    maker->starts = status == DIPP_OK ? dipp_allocate_zeroed(maker->prompt_count + 1, sizeof *maker->starts) : NULL;
    if (status == DIPP_OK && !maker->starts)
        status = dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for prompts");
    for (size_t i = 0; i < maker->picture_count && status == DIPP_OK; i++)
        maker->starts[maker->pictures[i].prompt + 1] = (uint32_t)i + 1;
    return status;
}

/* The judge's verdict on a stored picture, whose stored gold must follow from it. */
static dipp_status judge(pair_maker *maker, uint32_t index, dipp_error *error)
{
    pair_picture *picture = &maker->pictures[index];
    dipp_image image = {0};
    char *path = dipp_path_join(maker->root, picture->path);
    dipp_status status =
        path ? dipp_image_read(path, &image, error) : dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for a path");
    if (status == DIPP_OK && !maker->judge) {
        maker->side = image.width;
        status = dipp_judge_create(maker->world, image.width, &maker->judge, error);
    }
    if (status == DIPP_OK && (image.width != maker->side || image.height != maker->side))
        status = dipp_fail(error, DIPP_E_INVALID, "%s is %d x %d; expected pictures of one size, here %d", path,
                           image.width, image.height, maker->side);
    if (status == DIPP_OK)
        status = dipp_judge_bytes(maker->judge, image.pixels, &picture->verdict, error);
    if (status == DIPP_OK) {
        double gold = dipp_gold_utility(&maker->prompts[picture->prompt], &picture->verdict);
        picture->judged = true;
        if (fabs(gold - maker->utility[index]) > same_gold)
            status = dipp_fail(error, DIPP_E_INVALID,
                               "%s: its gold is %.9g in the database and %.9g by this judge; score its run again (dipp "
                               "eval)",
                               path, maker->utility[index], gold);
    }
    dipp_image_clear(&image);
    dipp_release(path);
    return status;
}

static dipp_status utility_under(void *user, uint32_t picture, uint32_t prompt, double *utility, dipp_error *error)
{
    pair_maker *maker = user;
    dipp_status status = maker->pictures[picture].judged ? DIPP_OK : judge(maker, picture, error);
    if (status == DIPP_OK)
        *utility = dipp_gold_utility(&maker->prompts[prompt], &maker->pictures[picture].verdict);
    return status;
}

/* ---- Files ---- */

/* Pictures are never written in place, so a second name of the same file will do; where there can be none, a copy. */
static dipp_status keep_picture(pair_maker *maker, uint32_t index, dipp_error *error)
{
    pair_picture *picture = &maker->pictures[index];
    char name[64], *data = NULL;
    size_t bytes = 0;
    if (picture->written)
        return DIPP_OK;
    snprintf(name, sizeof name, "pictures/%.*s.png", (int)NAME_DIGITS, picture->sha256);
    char *from = dipp_path_join(maker->root, picture->path), *to = dipp_path_join(maker->request->folder, name);
    dipp_status status = from && to ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for a path");
    if (status == DIPP_OK && link(from, to) != 0 && errno != EEXIST) {
        status = dipp_file_read(from, PICTURE_BYTES, &data, &bytes, error);
        if (status == DIPP_OK)
            status = dipp_file_write_atomic(to, data, bytes, error);
    }
    picture->written = status == DIPP_OK;
    dipp_release(data);
    dipp_release(from);
    dipp_release(to);
    return status;
}

static void write_two(dipp_text *line, const char *key, double a, double b)
{
    dipp_text_printf(line, ",\"%s\":[", key);
    dipp_text_append_double(line, a);
    dipp_text_append(line, ",");
    dipp_text_append_double(line, b);
    dipp_text_append(line, "]");
}

/* One line of the format that data/preferences.h reads. */
static void write_line(const pair_maker *maker, const dipp_gold_pair *pair, dipp_text *line)
{
    const char *first = maker->prompts[pair->prompts[0]].text, *second = maker->prompts[pair->prompts[1]].text;
    bool captions = pair->kind == DIPP_GOLD_PAIR_CAPTION;
    dipp_text_append(line, "{\"prompt\":");
    dipp_json_write_string(line, maker->prompts[maker->pictures[pair->pictures[0]].prompt].text);
    if (captions) {
        dipp_text_append(line, ",\"prompts\":[");
        dipp_json_write_string(line, first);
        dipp_text_append(line, ",");
        dipp_json_write_string(line, second);
        dipp_text_append(line, "]");
    }
    dipp_text_append(line, ",\"images\":[");
    for (int side = 0; side < (captions ? 1 : 2); side++)
        dipp_text_printf(line, "%s\"pictures/%.*s.png\"", side ? "," : "", (int)NAME_DIGITS,
                         maker->pictures[pair->pictures[side]].sha256);
    dipp_text_printf(line, "],\"labels\":[%d,%d],\"kind\":\"%s\",\"probability\":", pair->first, !pair->first,
                     dipp_gold_pair_kind_names[pair->kind]);
    dipp_text_append_double(line, pair->probability);
    write_two(line, "utility", pair->utility[0], pair->utility[1]);
    dipp_text_append(line, "}\n");
}

static dipp_status write_file(const pair_maker *maker, const char *name, dipp_text *text, dipp_error *error)
{
    char *path = text->failed ? NULL : dipp_path_join(maker->request->folder, name);
    dipp_status status = path ? dipp_file_write_atomic(path, text->data ? text->data : "", text->length, error)
                              : dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for %s", name);
    dipp_release(path);
    dipp_text_discard(text);
    return status;
}

static dipp_status write_part(pair_maker *maker, uint32_t part, dipp_gold_pair_split split, dipp_error *error)
{
    dipp_text text = {0}, name = {0};
    dipp_status status = DIPP_OK;
    for (size_t i = 0; i < maker->pairs.count && status == DIPP_OK; i++) {
        const dipp_gold_pair *pair = &maker->pairs.pairs[i];
        if (pair->part != part || pair->split != split)
            continue;
        for (int side = 0; side < 2 && status == DIPP_OK; side++)
            status = keep_picture(maker, pair->pictures[side], error);
        write_line(maker, pair, &text);
    }
    dipp_text_printf(&name, "%s-%s.jsonl", maker->request->parts[part], dipp_gold_pair_split_names[split]);
    if (status == DIPP_OK)
        status = name.failed ? dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for a name")
                             : write_file(maker, name.data, &text, error);
    dipp_text_discard(&text);
    dipp_text_discard(&name);
    return status;
}

static dipp_status write_about(pair_maker *maker, const dipp_pairs_report *report, dipp_error *error)
{
    const dipp_gold_pair_options *o = &maker->request->options;
    dipp_text text = {0};
    dipp_text_printf(
        &text, "{\"labels\":\"Bradley-Terry on the gold utility\",\"runs\":%s,\"seed\":%llu,\"world\":\"%016llx\"",
        maker->uuids.data, (unsigned long long)o->seed, (unsigned long long)dipp_emoji_world_fingerprint(maker->world));
    dipp_text_append(&text, ",\"temperature\":");
    dipp_text_append_double(&text, report->temperature);
    dipp_text_append(&text, ",\"bayes\":");
    dipp_text_append_double(&text, maker->pairs.bayes);
    dipp_text_printf(&text, ",\"prompts\":%u,\"pictures\":%u,\"pairs\":%zu}\n", report->prompts, report->pictures,
                     maker->pairs.count);
    return write_file(maker, "about.json", &text, error);
}

static dipp_status write_all(pair_maker *maker, const dipp_pairs_report *report, dipp_error *error)
{
    char *folder = dipp_path_join(maker->request->folder, "pictures");
    dipp_status status = folder ? dipp_make_directories(folder, error)
                                : dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for a folder's name");
    dipp_release(folder);
    for (uint32_t part = 0; part < maker->request->options.parts; part++)
        for (int split = 0; split < DIPP_GOLD_PAIR_SPLITS && status == DIPP_OK; split++)
            status = write_part(maker, part, (dipp_gold_pair_split)split, error);
    return status == DIPP_OK ? write_about(maker, report, error) : status;
}

/* ---- Door ---- */

static void count_pairs(const pair_maker *maker, dipp_pairs_report *report)
{
    uint64_t all[DIPP_GOLD_PAIR_KINDS] = {0};
    *report = (dipp_pairs_report){.pictures = (uint32_t)maker->picture_count,
                                  .prompts = (uint32_t)maker->prompt_count,
                                  .temperature = maker->pairs.temperature};
    for (size_t i = 0; i < maker->pairs.count; i++) {
        const dipp_gold_pair *pair = &maker->pairs.pairs[i];
        report->count[pair->kind][pair->split]++;
        report->bayes[pair->kind] += fmax(pair->probability, 1 - pair->probability);
        all[pair->kind]++;
    }
    for (int kind = 0; kind < DIPP_GOLD_PAIR_KINDS; kind++)
        report->bayes[kind] = all[kind] ? report->bayes[kind] / (double)all[kind] : 0;
}

static void clear(pair_maker *maker)
{
    for (size_t i = 0; i < maker->prompt_count; i++)
        dipp_release(maker->prompts[i].text);
    for (size_t i = 0; i < maker->picture_count; i++)
        dipp_release(maker->pictures[i].path);
    dipp_release(maker->prompts);
    dipp_release(maker->pictures);
    dipp_release(maker->utility);
    dipp_release(maker->starts);
    dipp_release(maker->root);
    dipp_text_discard(&maker->runs);
    dipp_text_discard(&maker->uuids);
    dipp_gold_pairs_clear(&maker->pairs);
    dipp_judge_destroy(&maker->judge);
    dipp_emoji_world_destroy(&maker->world);
}

dipp_status dipp_run_pairs(dipp_store *store, const dipp_pairs_request *request, dipp_plugins *plugins,
                           dipp_pairs_report *report, dipp_error *error)
{
    pair_maker maker = {.request = request, .root = dipp_path_folder(dipp_store_path(store))};
    dipp_status status = maker.root ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for a path");
    for (size_t i = 0; i < request->run_count && status == DIPP_OK; i++)
        status = take_run(&maker, store, request->run_ids[i], plugins, error);
    dipp_text_append(&maker.runs, "]");
    dipp_text_append(&maker.uuids, "]");
    if (status == DIPP_OK && (maker.runs.failed || maker.uuids.failed))
        status = dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for the runs");
    if (status == DIPP_OK)
        status = read_pictures(&maker, store, error);
    if (status == DIPP_OK) {
        dipp_gold_pair_pictures pictures = {.prompts = maker.prompts,
                                            .prompt_count = (uint32_t)maker.prompt_count,
                                            .starts = maker.starts,
                                            .utility = maker.utility,
                                            .utility_under = utility_under,
                                            .user = &maker};
        status = dipp_gold_pairs_make(&pictures, &request->options, &maker.pairs, error);
    }
    if (status == DIPP_OK) {
        count_pairs(&maker, report);
        status = write_all(&maker, report, error);
    }
    clear(&maker);
    return status;
}
