#include "experiment/run_score_files.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/image.h"
#include "experiment/run_prompts.h"
#include "experiment/run_settings.h"
#include "experiment/yaml_edit.h"
#include "tensor/backend.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANIFEST_BYTES = 64 << 20, MOST_PICTURES = 1 << 20, BATCH = 16 };

typedef struct picture_file {
    long prompt, sample;
    char *path; /* relative to the folder, or absolute */
} picture_file;

typedef struct file_scoring {
    const dipp_score_files_request *request;
    picture_file *files;
    size_t count, capacity;
    uint32_t samples;
    dipp_run_prompts prompts;
    dipp_emoji_world *world;
    dipp_backend *backend;
    dipp_run_hashes *hashes;
    dipp_run_metrics metrics;
    dipp_picture_sizes sizes;
    dipp_evaluation_result result;
    size_t bytes, room;                          /* of the pictures in result.rgb, and of its memory */
    char pictures_sha256[DIPP_SHA256_HEX_BYTES]; /* of all pixels in order */
} file_scoring;

/* ---- Which file is which picture? ---- */

static dipp_status add_file(file_scoring *scoring, long prompt, long sample, const char *path, dipp_error *error)
{
    if (scoring->count == MOST_PICTURES)
        return dipp_fail(error, DIPP_E_INVALID, "more than %d pictures", MOST_PICTURES);
    if (!dipp_grow((void **)&scoring->files, &scoring->capacity, scoring->count + 1, sizeof *scoring->files))
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the pictures' names");
    picture_file *file = &scoring->files[scoring->count];
    *file = (picture_file){prompt, sample, dipp_string_copy(path)};
    if (!file->path)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the pictures' names");
    scoring->count++;
    return DIPP_OK;
}

/* The kinds of picture that are read. */
static bool is_picture(const char *end)
{
    static const char *const ends[] = {".png", ".jpg", ".jpeg", ".webp"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (!strcasecmp(end, ends[i]))
            return true;
    return false;
}

/* "p003-s1.png", "3_1.jpg", "00003.webp"; false when the name says no number. */
static bool read_name(const char *name, long *prompt, long *sample)
{
    const char *at = name + (*name == 'p');
    char *end = NULL;
    *sample = 0;
    if (!isdigit((unsigned char)*at))
        return false;
    *prompt = strtol(at, &end, 10);
    if (*end == '-' || *end == '_') {
        at = end + 1;
        at += *at == 's';
        if (!isdigit((unsigned char)*at))
            return false;
        *sample = strtol(at, &end, 10);
    }
    return is_picture(end) && *prompt < MOST_PICTURES && *sample < MOST_PICTURES;
}

/* The pictures in folder, whose names count from prompt `first` on; before: what leads there from the scored folder. */
static dipp_status list_folder(file_scoring *scoring, const char *folder, const char *before, long first,
                               dipp_error *error)
{
    DIR *directory = opendir(folder);
    if (!directory)
        return dipp_fail(error, errno == ENOENT ? DIPP_E_NOT_FOUND : DIPP_E_IO, "%s: %s", folder, strerror(errno));
    dipp_status status = DIPP_OK;
    for (struct dirent *entry; status == DIPP_OK && (entry = readdir(directory));) {
        const char *dot = strrchr(entry->d_name, '.');
        long prompt, sample;
        if (!dot || !is_picture(dot))
            continue;
        if (!read_name(entry->d_name, &prompt, &sample))
            status = dipp_fail(error, DIPP_E_INVALID,
                               "%s/%s: the name says neither prompt nor sample; expected p003-s1.png, 3-1.png or "
                               "00003.png, or give a manifest",
                               folder, entry->d_name);
        else {
            char name[320];
            snprintf(name, sizeof name, "%s%s", before, entry->d_name);
            status = add_file(scoring, first + prompt, sample, name, error);
        }
    }
    closedir(directory);
    return status;
}

/* The folder itself; or, as HPSv2's benchmark has them, a folder for each style, in which pictures count from 0. */
static dipp_status list_folders(file_scoring *scoring, dipp_error *error)
{
    const char *folder = scoring->request->folder;
    char *const *categories = scoring->prompts.set.categories;
    dipp_status status = DIPP_OK;
    bool any = false;
    for (uint32_t p = 0; categories && p < scoring->prompts.count && status == DIPP_OK; p++) {
        char before[64];
        if (!categories[p] || (p && categories[p - 1] && !strcmp(categories[p], categories[p - 1])))
            continue;
        snprintf(before, sizeof before, "%.60s/", categories[p]);
        char *inner = dipp_path_join(folder, categories[p]);
        if (!inner)
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the pictures' names");
        else if (dipp_path_is_directory(inner)) {
            any = true;
            status = list_folder(scoring, inner, before, (long)p, error);
        }
        dipp_release(inner);
    }
    return any || status != DIPP_OK ? status : list_folder(scoring, folder, "", 0, error);
}

static dipp_status read_manifest(file_scoring *scoring, dipp_error *error)
{
    char *text = NULL, *rest = NULL;
    const char *path = scoring->request->manifest;
    dipp_status status = dipp_file_read(path, MANIFEST_BYTES, &text, NULL, error);
    int number = 0;
    for (char *line = status == DIPP_OK ? strtok_r(text, "\n", &rest) : NULL; line && status == DIPP_OK;
         line = strtok_r(NULL, "\n", &rest)) {
        char *end = NULL;
        number++;
        line[strcspn(line, "\r")] = 0;
        if (!*line)
            continue;
        long prompt = strtol(line, &end, 10);
        bool good = isdigit((unsigned char)*line) && *end == '\t' && isdigit((unsigned char)end[1]);
        long sample = good ? strtol(end + 1, &end, 10) : 0;
        if (!good || *end != '\t' || !end[1] || prompt >= MOST_PICTURES || sample >= MOST_PICTURES)
            status = dipp_fail(error, DIPP_E_INVALID,
                               "%s, entry %d: expected PROMPT<tab>SAMPLE<tab>FILE, found `%.80s`", path, number, line);
        else
            status = add_file(scoring, prompt, sample, end + 1, error);
    }
    dipp_release(text);
    return status;
}

static int by_place(const void *a, const void *b)
{
    const picture_file *x = a, *y = b;
    if (x->prompt != y->prompt)
        return x->prompt < y->prompt ? -1 : 1;
    return (x->sample > y->sample) - (x->sample < y->sample);
}

/* Sorts the files and sees that they are prompts x samples without gap or repetition. */
static dipp_status check_files(file_scoring *scoring, dipp_error *error)
{
    const char *folder = scoring->request->folder;
    if (!scoring->count)
        return dipp_fail(error, DIPP_E_NOT_FOUND, "%s holds no .png, .jpg or .webp", folder);
    qsort(scoring->files, scoring->count, sizeof *scoring->files, by_place);
    long samples = 0;
    for (size_t i = 0; i < scoring->count && scoring->files[i].prompt == scoring->files[0].prompt; i++)
        samples++;
    for (size_t i = 0; i < scoring->count; i++) {
        const picture_file *file = &scoring->files[i];
        long prompt = (long)i / samples, sample = (long)i % samples;
        if (file->prompt != prompt || file->sample != sample)
            return dipp_fail(
                error, DIPP_E_INVALID,
                "%s: expected sample %ld of prompt %ld, found %s; every prompt from 0 on needs the samples "
                "0 to %ld, each once",
                folder, sample, prompt, file->path, samples - 1);
    }
    if (scoring->count != (size_t)samples * scoring->prompts.count)
        return dipp_fail(error, DIPP_E_INVALID, "%s has pictures of %zu prompts, and there are %u prompts", folder,
                         scoring->count / (size_t)samples, scoring->prompts.count);
    scoring->samples = (uint32_t)samples;
    return DIPP_OK;
}

/* Adds one picture to those before it. */
static dipp_status read_picture(file_scoring *scoring, size_t index, dipp_picture_size *size, dipp_error *error)
{
    dipp_image image = {0};
    char *path = dipp_path_join(scoring->request->folder, scoring->files[index].path);
    dipp_status status =
        path ? dipp_image_read(path, &image, error) : dipp_fail(error, DIPP_E_MEMORY, "no memory for a picture's name");
    if (status == DIPP_OK) {
        size_t bytes = 3 * (size_t)image.width * (size_t)image.height;
        *size = (dipp_picture_size){image.width, image.height};
        if (dipp_grow((void **)&scoring->result.rgb, &scoring->room, scoring->bytes + bytes, 1)) {
            memcpy(scoring->result.rgb + scoring->bytes, image.pixels, bytes);
            scoring->bytes += bytes;
        } else {
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu pictures, %zu MiB of them read", scoring->count,
                               scoring->bytes >> 20);
        }
    }
    dipp_image_clear(&image);
    dipp_release(path);
    return status;
}

/* Of all pixels, and of the sizes where they are not all one square. */
static void hash_pictures(file_scoring *scoring)
{
    dipp_sha256 hash;
    dipp_sha256_init(&hash);
    for (size_t i = 0; i < scoring->count && !scoring->sizes.side; i++) {
        char size[32];
        snprintf(size, sizeof size, "%dx%d\n", scoring->sizes.size[i].width, scoring->sizes.size[i].height);
        dipp_sha256_update(&hash, size, strlen(size));
    }
    dipp_sha256_update(&hash, scoring->result.rgb, scoring->bytes);
    dipp_sha256_final_hex(&hash, scoring->pictures_sha256);
}

static dipp_status read_pictures(file_scoring *scoring, dipp_error *error)
{
    dipp_evaluation_result *result = &scoring->result;
    dipp_picture_size *sizes = NULL;
    dipp_status status = scoring->request->manifest ? read_manifest(scoring, error) : list_folders(scoring, error);
    if (status == DIPP_OK)
        status = check_files(scoring, error);
    if (status == DIPP_OK) {
        sizes = dipp_allocate(scoring->count * sizeof *sizes);
        result->finite = dipp_allocate(scoring->count);
        if (!sizes || !result->finite)
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu pictures", scoring->count);
    }
    for (size_t i = 0; i < scoring->count && status == DIPP_OK; i++)
        status = read_picture(scoring, i, &sizes[i], error);
    if (status == DIPP_OK)
        status = dipp_picture_sizes_create(sizes, (uint32_t)scoring->count, &scoring->sizes, error);
    if (status == DIPP_OK) {
        result->count = (uint32_t)scoring->count;
        memset(result->finite, 1, scoring->count);
        hash_pictures(scoring);
    }
    dipp_release(sizes);
    return status;
}

/* ---- What they are scored with ---- */

static dipp_status prepare(file_scoring *scoring, dipp_error *error)
{
    const dipp_score_files_request *request = scoring->request;
    const dipp_config *config = request->config;
    dipp_backend_options plain = {.struct_size = sizeof plain, .threads = request->threads};
    dipp_emoji_world_options options;
    dipp_status status = dipp_run_hashes_create(&scoring->hashes, error);
    scoring->metrics.hashes = scoring->hashes;
    if (status == DIPP_OK)
        status = config ? dipp_run_backend_create(config, request->threads, &scoring->backend, error)
                        : dipp_backend_create(NULL, &plain, &scoring->backend, error);
    if (status == DIPP_OK && config && dipp_run_needs_world(config)) {
        dipp_run_world_options(config, &options);
        status = dipp_emoji_world_create(&options, &scoring->world, error);
    }
    if (status == DIPP_OK)
        status = request->prompts ? dipp_run_prompts_from_file(request->prompts, &scoring->prompts, error)
                                  : dipp_run_prompts_read_evaluation(config, scoring->world, &scoring->prompts, error);
    if (status == DIPP_OK && config)
        status = dipp_run_metrics_read(&scoring->metrics, config, error);
    for (size_t i = 0; i < request->metric_count && status == DIPP_OK; i++)
        status = dipp_run_metrics_add(&scoring->metrics, request->metrics[i], error);
    if (status == DIPP_OK && request->given)
        status = dipp_run_metrics_add_given(&scoring->metrics, request->given, error);
    if (status == DIPP_OK && !scoring->metrics.count)
        status = dipp_fail(error, DIPP_E_INVALID, "no metric is asked for");
    return status;
}

static dipp_status score(file_scoring *scoring, dipp_error *error)
{
    dipp_evaluation *evaluation = NULL;
    uint32_t fewest = dipp_picture_sizes_fewest(&scoring->sizes);
    dipp_evaluation_options options = {.backend = scoring->backend,
                                       .sizes = &scoring->sizes,
                                       .world = scoring->world,
                                       .prompts = scoring->prompts.set.prompts,
                                       .texts = scoring->prompts.texts,
                                       .prompt_count = scoring->prompts.count,
                                       .samples = scoring->samples,
                                       .batch = fewest < BATCH ? fewest : BATCH,
                                       .metrics = scoring->metrics.metrics,
                                       .metric_count = scoring->metrics.count,
                                       .stop = scoring->request->stop,
                                       .scored = scoring->request->scored,
                                       .scored_context = scoring->request->scored_context};
    dipp_status status = dipp_evaluation_create(&options, &evaluation, error);
    if (status == DIPP_OK)
        status = dipp_evaluation_score_result(evaluation, false, &scoring->result, error);
    dipp_evaluation_destroy(&evaluation);
    return status;
}

/* ---- Rows ---- */

/* The run's cell: pictures and prompts, not what judged them, so that further metrics join the same run. */
static dipp_status create_run(file_scoring *scoring, dipp_store *store, dipp_run_ref *run, dipp_error *error)
{
    const dipp_score_files_request *request = scoring->request;
    char key[DIPP_SHA256_HEX_BYTES], text_sha256[DIPP_SHA256_HEX_BYTES];
    dipp_store_experiment experiment;
    dipp_text json = {0}, yaml = {0};
    dipp_text_printf(&json, "{\"images\":\"%s\",\"prompts\":\"%s\",\"samples\":%u}", scoring->pictures_sha256,
                     scoring->prompts.sha256, scoring->samples);
    dipp_text_append(&yaml, "# pictures from files, scored by dipp eval --images\nname: ");
    dipp_json_write_string(&yaml, request->experiment);
    dipp_text_append(&yaml, "\n");
    dipp_status status = json.failed || yaml.failed ? dipp_fail(error, DIPP_E_MEMORY, "no memory for a run") : DIPP_OK;
    if (status == DIPP_OK) {
        dipp_sha256_hex(json.data, json.length, key);
        dipp_sha256_hex(yaml.data, yaml.length, text_sha256);
        status =
            dipp_store_experiment_put(store, request->experiment, yaml.data, text_sha256, NULL, &experiment, error);
    }
    if (status == DIPP_OK) {
        dipp_run_spec spec = {.experiment_id = experiment.experiment_id,
                              .revision = experiment.revision,
                              .arm = request->arm ? request->arm : dipp_path_name(request->folder),
                              .config_sha256 = key,
                              .config_json = json.data,
                              .stage = "evaluate"};
        status = dipp_store_run_create(store, &spec, run, error);
    }
    dipp_text_discard(&json);
    dipp_text_discard(&yaml);
    return status;
}

static dipp_status put_rows(file_scoring *scoring, dipp_store *store, dipp_score_files_report *report,
                            dipp_error *error)
{
    dipp_run_ref run = {0};
    dipp_run_scores_place place = {.store = store,
                                   .texts = scoring->prompts.texts,
                                   .categories = scoring->prompts.set.categories,
                                   .prompt_count = scoring->prompts.count,
                                   .samples = scoring->samples};
    dipp_evaluation_settings settings = {
        .subject = "files", .weights = "raw", .cfg_omega = 1, .precision = scoring->backend->precision};
    int64_t *artifacts = dipp_allocate_zeroed(scoring->count, sizeof *artifacts);
    if (!artifacts)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu scores", scoring->count);
    dipp_status status = create_run(scoring, store, &run, error);
    place.run_id = run.run_id;
    if (status == DIPP_OK)
        status = dipp_run_metrics_introduce(&scoring->metrics, store, error);
    if (status == DIPP_OK)
        status = dipp_run_prompts_store(&scoring->prompts, scoring->world, store, &place.prompt_set_id, error);
    if (status == DIPP_OK)
        status = dipp_store_settings_put(store, &settings, &place.settings_id, error);
    if (status == DIPP_OK)
        status = dipp_run_metrics_store(&scoring->metrics, &place, &scoring->result, artifacts, error);
    if (status == DIPP_OK)
        status = dipp_store_run_finish(store, run.run_id, DIPP_RUN_COMPLETED, 0, -1, NULL, NULL, error);
    dipp_release(artifacts);
    *report = (dipp_score_files_report){run.run_id, scoring->prompts.count, scoring->samples, !run.created};
    return status;
}

static void clear(file_scoring *scoring)
{
    for (size_t i = 0; i < scoring->count; i++)
        dipp_release(scoring->files[i].path);
    dipp_release(scoring->files);
    dipp_run_metrics_clear(&scoring->metrics);
    dipp_run_hashes_destroy(&scoring->hashes);
    dipp_run_prompts_clear(&scoring->prompts);
    dipp_picture_sizes_clear(&scoring->sizes);
    dipp_evaluation_result_clear(&scoring->result);
    dipp_emoji_world_destroy(&scoring->world);
    dipp_backend_destroy(&scoring->backend);
}

dipp_status dipp_run_score_files(dipp_store *store, const dipp_score_files_request *request, dipp_plugins *plugins,
                                 dipp_score_files_report *report, dipp_error *error)
{
    file_scoring scoring = {.request = request, .metrics = {.plugins = plugins}};
    dipp_status status = prepare(&scoring, error);
    if (status == DIPP_OK)
        status = read_pictures(&scoring, error);
    if (status == DIPP_OK)
        status = score(&scoring, error);
    if (status == DIPP_OK)
        status = dipp_store_begin(store, error);
    if (status == DIPP_OK) {
        status = put_rows(&scoring, store, report, error);
        if (status == DIPP_OK)
            status = dipp_store_commit(store, error);
        else
            dipp_store_rollback(store);
    }
    clear(&scoring);
    return status;
}
