#include "synthetic.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int make_directory(void **state)
{
    test_directory *directory = calloc(1, sizeof *directory);
    if (!directory)
        return -1;
    const char *parent = getenv("TMPDIR");
    snprintf(directory->path, sizeof directory->path, "%.200s/dipp-store-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(directory->path)) {
        free(directory);
        return -1;
    }
    chmod(directory->path, 0755);
    snprintf(directory->store, sizeof directory->store, "%s/store.db", directory->path);
    *state = directory;
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

int remove_directory(void **state)
{
    test_directory *directory = *state;
    chmod(directory->path, 0755);
    nftw(directory->path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(directory);
    return 0;
}

const char *fake_sha256(const char *word, char out[65])
{
    uint64_t hash = 1469598103934665603ULL; /* FNV-1a */
    for (const char *c = word; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211ULL;
    for (int i = 0; i < 4; i++)
        snprintf(out + 16 * i, 17, "%016llx", (unsigned long long)(hash + (uint64_t)i));
    return out;
}

static int first_value(void *user, int columns, const char *const *names, const char *const *values)
{
    (void)columns, (void)names;
    snprintf(user, 512, "%s", values[0] ? values[0] : "");
    return 1;
}

const char *text_of(dipp_store *store, const char *sql, char *out, size_t size)
{
    char value[512] = "";
    dipp_error error = {0};
    if (dipp_store_query(store, sql, NULL, 0, first_value, value, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    snprintf(out, size, "%s", value);
    return out;
}

double number_of(dipp_store *store, const char *sql)
{
    char value[512];
    text_of(store, sql, value, sizeof value);
    return value[0] ? strtod(value, NULL) : (double)NAN;
}

void one_run(dipp_store *store, int64_t *experiment_id, int64_t *run_id)
{
    dipp_error error = {0};
    char yaml[65], config[65];
    dipp_store_experiment experiment;
    assert_ok(
        dipp_store_experiment_put(store, "one", "name: one\n", fake_sha256("one", yaml), NULL, &experiment, &error),
        error);
    dipp_run_spec spec = {.experiment_id = experiment.experiment_id,
                          .revision = experiment.revision,
                          .arm = "a",
                          .config_sha256 = fake_sha256("config", config)};
    dipp_run_ref run;
    assert_ok(dipp_store_run_create(store, &spec, &run, &error), error);
    if (experiment_id)
        *experiment_id = experiment.experiment_id;
    *run_id = run.run_id;
}

/* ---- the synthetic experiment ---- */

enum { PROMPTS = 4, SAMPLES = 2, POINTS = 3 };

typedef struct arm {
    const char *name;
    int seeds;
    double omega;
    double gain[PROMPTS]; /* of hps, at the last step */
    double border[POINTS], ikl[POINTS];
} arm;

static const arm arms[] = {
    {"cfg-only", 3, 3.0, {0.02, 0.02, 0.02, 0.02}, {0, 0.1, 0.2}, {0, 1, 2}},
    {"reward", 4, 1.0, {0.05, 0.05, 0.01, 0.02}, {0, 0.6, 0.9}, {0, 3, 5}},
    {"hps", 1, 1.0, {0.06, 0.06, 0.06, 0.06}, {0, 0, 0}, {0, 1, 1}},
};

typedef struct world {
    dipp_store *store;
    dipp_error error;
    int64_t experiment, revision, prompt_set;
    int64_t settings[POINTS], reference_settings;
    int64_t hps, border, judge; /* scorers */
    int64_t hps_plugin, border_plugin, generator, reference;
    int64_t first_run; /* of the stage-1 experiment */
} world;

#define WORLD_OK(call) assert_ok(call, w->error)

static void fill_shared(world *w)
{
    char sha[65], weights[65];
    dipp_store_experiment experiment;
    WORLD_OK(dipp_store_experiment_put(w->store, "emoji-rewards", "name: emoji-rewards\n", fake_sha256("yaml", sha),
                                       "cfg-only", &experiment, &w->error));
    w->experiment = experiment.experiment_id;
    w->revision = experiment.revision;
    const dipp_prompt_record prompts[PROMPTS] = {{"a red apple on blue", "food", "{\"glyph\":\"apple\"}"},
                                                 {"a dog", "animal", NULL},
                                                 {"a cat on green", "animal", NULL},
                                                 {"a \"quoted\" <b>car</b>", "travel", NULL}};
    WORLD_OK(dipp_store_prompt_set_put(w->store, "emoji eval", fake_sha256("prompts", sha), prompts, PROMPTS,
                                       &w->prompt_set, &w->error));
    for (int i = 0; i < POINTS; i++) {
        dipp_evaluation_settings settings = {.sampler_steps = 1, .cfg_omega = 1, .images_seen = 6400 * i};
        WORLD_OK(dipp_store_settings_put(w->store, &settings, &w->settings[i], &w->error));
    }
    dipp_evaluation_settings multi = {.subject = "reference", .sampler_steps = 20, .cfg_omega = 3};
    WORLD_OK(dipp_store_settings_put(w->store, &multi, &w->reference_settings, &w->error));

    dipp_plugin_record hps = {.kind = "reward",
                              .name = "hps",
                              .version = "1.0",
                              .sha256 = fake_sha256("hps.so", sha),
                              .weights_sha256 = fake_sha256("hps weights", weights)};
    WORLD_OK(dipp_store_plugin_put(w->store, &hps, &w->hps_plugin, &w->error));
    WORLD_OK(dipp_store_scorer_put(w->store, &hps, NULL, &w->hps, &w->error));
    dipp_plugin_record border = {.kind = "reward", .name = "border", .version = "1.0", .sha256 = sha};
    fake_sha256("border.so", sha);
    WORLD_OK(dipp_store_plugin_put(w->store, &border, &w->border_plugin, &w->error));
    dipp_plugin_record judge = {.kind = "metric", .name = "border judge", .version = "0.1.0"};
    WORLD_OK(dipp_store_scorer_put(w->store, &judge, "{\"width\":2}", &w->border, &w->error));
    judge.name = "set statistics";
    WORLD_OK(dipp_store_scorer_put(w->store, &judge, NULL, &w->judge, &w->error));
    dipp_plugin_record dit = {.kind = "generator", .name = "dit", .version = "1.0", .sha256 = sha};
    WORLD_OK(dipp_store_plugin_put(w->store, &dit, &w->generator, &w->error));
    dit.kind = "reference";
    WORLD_OK(dipp_store_plugin_put(w->store, &dit, &w->reference, &w->error));

    /* stage 1: a run that made the weights which reward/0 starts from */
    WORLD_OK(dipp_store_experiment_put(w->store, "emoji-stage1", "name: emoji-stage1\n", fake_sha256("stage1", sha),
                                       NULL, &experiment, &w->error));
    dipp_run_spec spec = {.experiment_id = experiment.experiment_id,
                          .revision = 1,
                          .arm = "onestep",
                          .stage = "pretrain",
                          .config_sha256 = sha};
    dipp_run_ref run;
    WORLD_OK(dipp_store_run_create(w->store, &spec, &run, &w->error));
    w->first_run = run.run_id;
    dipp_weights_record base = {.sha256 = fake_sha256("dit", sha), .path = "weights/emoji-dit", .bytes = 9};
    WORLD_OK(dipp_store_weights_put(w->store, &base, &w->error));
    WORLD_OK(dipp_store_run_weights_put(w->store, run.run_id, "reference", sha, &w->error));
    dipp_file_record checkpoint = {
        .step = 900, .path = "stage1/900.ckpt", .sha256 = fake_sha256("stage1 ckpt", sha), .bytes = 10};
    WORLD_OK(dipp_store_checkpoint_put(w->store, run.run_id, 1, &checkpoint, &w->error));
    WORLD_OK(dipp_store_run_finish(w->store, run.run_id, DIPP_RUN_COMPLETED, 0, -1, NULL, NULL, &w->error));
}

static void fill_scores(world *w, const arm *a, int64_t run_id, int seed)
{
    for (int point = 0; point < POINTS; point++) {
        dipp_evaluation_row rows[2 * PROMPTS * SAMPLES];
        size_t count = 0;
        for (int prompt = 0; prompt < PROMPTS; prompt++) {
            for (int sample = 0; sample < SAMPLES; sample++) {
                uint64_t noise = 0xF000000000000000ULL + (uint64_t)(100 * prompt + sample);
                double hps = 0.2 + 0.01 * prompt + 0.001 * sample + 0.002 * seed + a->gain[prompt] * (point / 2.0);
                if (strcmp(a->name, "hps") == 0 && point == 2 && prompt == 1 && sample == 1)
                    hps = (double)NAN;
                rows[count++] = (dipp_evaluation_row){"hps", w->hps, prompt, sample, noise, hps, 0};
                rows[count++] = (dipp_evaluation_row){"border", w->border, prompt, sample, noise, a->border[point], 0};
            }
        }
        WORLD_OK(dipp_store_evaluations_put(w->store, run_id, 100 * point, w->settings[point], w->prompt_set, rows,
                                            count, &w->error));
        dipp_set_metric_row sets[] = {
            {"diversity", w->judge, NULL, 1 - a->ikl[point] / 10, PROMPTS * SAMPLES},
            {"diversity", w->judge, "animal", 0.5, 4},
            {"ikl", w->judge, NULL, a->ikl[point], 64},
        };
        WORLD_OK(dipp_store_set_metrics_put(w->store, run_id, 100 * point, w->settings[point], w->prompt_set, sets,
                                            strcmp(a->name, "cfg-only") == 0 ? 2 : 3, &w->error));
    }
}

static void fill_training(world *w, const arm *a, int64_t run_id, int seed)
{
    bool logs_ikl = strcmp(a->name, "cfg-only") == 0;
    for (int step = 0; step <= 200; step += 20) {
        dipp_metric_point points[] = {{"train/reward", step, 0.001 * step + 0.01 * seed},
                                      {"train/loss", step, step == 60 ? (double)NAN : 1.0 / (step + 1)},
                                      {"ikl", step, 0.01 * step}};
        WORLD_OK(dipp_store_metrics_put(w->store, run_id, 1, points, logs_ikl ? 3 : 2, &w->error));
    }
    dipp_run_param params[] = {
        {.key = "align.cfg_omega", .type = DIPP_STORE_REAL, .real = a->omega, .source = DIPP_SOURCE_SWEEP},
        {.key = "align.steps",
         .type = DIPP_STORE_INT,
         .integer = 200,
         .source = DIPP_SOURCE_FILE,
         .origin = "e.yaml:6"},
        {.key = "align.batch", .type = DIPP_STORE_INT, .integer = 64},
        {.key = "align.divergence.name", .type = DIPP_STORE_TEXT, .text = "ikl"},
        {.key = "align.optimizer.lr", .type = DIPP_STORE_REAL, .real = 5e-5, .source = DIPP_SOURCE_OVERRIDE},
        {.key = "align.ta.init", .type = DIPP_STORE_TEXT, .text = "stage1"},
        {.key = "align.clamp", .type = DIPP_STORE_BOOL, .integer = 1},
        {.key = "align.resume", .type = DIPP_STORE_NULL},
        {.key = "rewards", .type = DIPP_STORE_JSON, .text = "[]"},
    };
    WORLD_OK(dipp_store_params_put(w->store, run_id, params, sizeof params / sizeof params[0], &w->error));
    dipp_run_plugin plugins[] = {{.role = "generator", .plugin_id = w->generator},
                                 {.role = "reference", .plugin_id = w->reference},
                                 {.role = "reward", .plugin_id = w->border_plugin, .metric = "border", .scale = 1},
                                 {.role = "reward", .position = 1, .plugin_id = w->hps_plugin, .scale = 0}};
    if (strcmp(a->name, "hps") == 0) /* found by plugin and weights, not by the metric's name */
        plugins[2] = (dipp_run_plugin){.role = "reward", .plugin_id = w->hps_plugin, .scale = 10};
    WORLD_OK(dipp_store_run_plugins_put(w->store, run_id, plugins,
                                        strcmp(a->name, "reward") == 0 ? 4
                                        : strcmp(a->name, "hps") == 0  ? 3
                                                                       : 2,
                                        &w->error));
}

/* Of the arms reward and hps: looks at steps 100 and 200, evidence 0.5 + seed and 1.5 + seed; an alarm of reward/1 at 200. */
static void fill_monitor(world *w, int64_t run_id, int64_t attempt, const char *name, int seed)
{
    dipp_run_param params[] = {
        {.key = "monitor.every", .type = DIPP_STORE_INT, .integer = 100, .source = DIPP_SOURCE_FILE},
        {.key = "monitor.level", .type = DIPP_STORE_REAL, .real = 0.05},
        {.key = "monitor.margin", .type = DIPP_STORE_REAL, .real = 0}};
    WORLD_OK(dipp_store_params_put(w->store, run_id, params, 3, &w->error));
    for (int look = 1; look <= 2; look++) {
        dipp_metric_point points[] = {{"monitor.evidence", 100 * look, look - 0.5 + seed},
                                      {"monitor.reward.border.p", 100 * look, 0.001},
                                      {"monitor.hps.p", 100 * look, 0.5 * pow(10, 0.5 - look - seed)}};
        WORLD_OK(dipp_store_metrics_put(w->store, run_id, attempt, points, 3, &w->error));
    }
    if (strcmp(name, "reward") == 0 && seed == 1)
        WORLD_OK(dipp_store_event_put(w->store, run_id, attempt, 200, "warning", "monitor.alarm",
                                      "reward.border went up while hps fell", &w->error));
}

static void fill_run(world *w, const arm *a, int seed)
{
    char config[65], sha[65];
    dipp_run_spec spec = {.experiment_id = w->experiment,
                          .revision = w->revision,
                          .arm = a->name,
                          .seed = seed,
                          .config_sha256 = fake_sha256(a->name, config)};
    dipp_run_ref run;
    bool starts_from_stage1 = strcmp(a->name, "reward") == 0 && seed == 0;
    if (starts_from_stage1)
        spec.parent_run_id = w->first_run;
    WORLD_OK(dipp_store_run_create(w->store, &spec, &run, &w->error));
    if (starts_from_stage1)
        WORLD_OK(
            dipp_store_run_weights_put(w->store, run.run_id, "generator", fake_sha256("stage1 ckpt", sha), &w->error));
    WORLD_OK(dipp_store_claim(w->store, run.run_id, 0, NULL, &w->error));
    int64_t attempt;
    dipp_attempt_spec attempt_spec = {.dipp_version = "0.1.0", .backend = "reference", .threads = 2, .isa = "AVX2"};
    WORLD_OK(dipp_store_attempt_begin(w->store, run.run_id, &attempt_spec, &attempt, &w->error));
    fill_training(w, a, run.run_id, seed);
    fill_scores(w, a, run.run_id, seed);
    if (strcmp(a->name, "cfg-only") != 0)
        fill_monitor(w, run.run_id, attempt, a->name, seed);
    WORLD_OK(dipp_store_heartbeat(w->store, run.run_id, 200, 12800, &w->error));
    if (seed == 3) {
        WORLD_OK(dipp_store_event_put(w->store, run.run_id, attempt, 60, "warning", "step.nonfinite",
                                      "1 non-finite step was skipped", &w->error));
        WORLD_OK(dipp_store_run_finish(w->store, run.run_id, DIPP_RUN_FAILED, 1, -1, "diverged", NULL, &w->error));
        return;
    }
    if (strcmp(a->name, "cfg-only") == 0 && seed == 0) {
        dipp_evaluation_row rows[PROMPTS];
        for (int prompt = 0; prompt < PROMPTS; prompt++)
            rows[prompt] = (dipp_evaluation_row){"hps", w->hps, prompt, 0, (uint64_t)prompt, 0.3, 0};
        WORLD_OK(dipp_store_evaluations_put(w->store, run.run_id, 0, w->reference_settings, w->prompt_set, rows,
                                            PROMPTS, &w->error));
    }
    WORLD_OK(dipp_store_run_finish(w->store, run.run_id, DIPP_RUN_COMPLETED, 0, -1, NULL, NULL, &w->error));
}

void fill_synthetic(dipp_store *store)
{
    world all = {.store = store};
    fill_shared(&all);
    for (size_t a = 0; a < sizeof arms / sizeof arms[0]; a++)
        for (int seed = 0; seed < arms[a].seeds; seed++)
            fill_run(&all, &arms[a], seed);
}
