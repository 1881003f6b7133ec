#include "report_fixture.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "data/image.h"
#include "experiment/yaml_edit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char report_experiment[] = "rewards <b>&\"emoji\"'";

const char *const report_prompts[REPORT_PROMPTS] = {
    "a red apple on blue",
    "a dog on the left",
    "<script>document.title='owned'</script>",
    "quotes \" ' and entities &amp; &#60; ]]> -->",
    "\xf0\x9f\x98\x80 \xd8\xa7\xd9\x84\xd8\xb9\xd8\xb1\xd8\xa8\xd9\x8a\xd8\xa9 \xe6\x97\xa5\xe6\x9c\xac "
    "\xe2\x80\xaetxet",
    "bell \x07 escape \x1b[31m tab\t line\nend \x7f",
    "</td></table></body></html><img src=x onerror=\"document.title='owned'\">",
    "a very long prompt that goes on about a small green frog near the top of a picture whose background is yellow, "
    "and more"};

static const char *const attributes[REPORT_PROMPTS] = {
    "{\"glyph\":\"apple\",\"background\":\"blue\"}",
    "{\"glyph\":\"dog\",\"place\":\"left\"}",
    "{\"<i>key</i>\":\"<i>value</i>\"}",
    NULL,
    "{\"glyph\":\"face\"}",
    NULL,
    NULL,
    "{\"glyph\":\"frog\",\"background\":\"yellow\",\"size\":\"small\"}"};

enum { ARMS = 4, SEEDS = 3, SAMPLES = 4, POINTS = 3, STEPS = 100, SIDE = 32 };

static const struct {
    const char *name;
    double omega, scale, gain;
} arms[ARMS] = {{"none", 1, 0, 0},
                {"cfg-only", 3, 0, 0.005},
                {"weak", 1, 0.3, 0.05},
                {"strong <script>alert('arm')</script>", 1, 3, 0.2}};

typedef struct filler {
    dipp_store *store;
    const char *folder;
    dipp_error *error;
    dipp_store_experiment experiment;
    int64_t prompts, settings[POINTS], reference_settings, border_plugin, dit_plugin, border, judge;
} filler;

/* Stops at the first failure. */
#define TRY(call)                \
    do {                         \
        dipp_status s_ = (call); \
        if (s_ != DIPP_OK)       \
            return s_;           \
    } while (0)

static const char *sha_of(const char *text, char out[DIPP_SHA256_HEX_BYTES])
{
    dipp_sha256_hex(text, strlen(text), out);
    return out;
}

static dipp_status fill_shared(filler *f)
{
    char sha[DIPP_SHA256_HEX_BYTES], weights[DIPP_SHA256_HEX_BYTES];
    static const char yaml[] = "name: \"rewards\" # <script>alert('yaml')</script> & ]]>\nseeds: [0, 1, 2]\n";
    TRY(dipp_store_experiment_put(f->store, report_experiment, yaml, sha_of(yaml, sha), "cfg-only", &f->experiment,
                                  f->error));
    dipp_prompt_record prompts[REPORT_PROMPTS];
    for (int i = 0; i < REPORT_PROMPTS; i++)
        prompts[i] = (dipp_prompt_record){report_prompts[i], i < 2 ? "plain" : "<em>hostile</em>", attributes[i]};
    TRY(dipp_store_prompt_set_put(f->store, "prompts <u>", sha_of("prompts", sha), prompts, REPORT_PROMPTS, &f->prompts,
                                  f->error));
    for (int i = 0; i < POINTS; i++) {
        dipp_evaluation_settings settings = {.sampler_steps = 1, .cfg_omega = 1, .images_seen = 3200 * i};
        TRY(dipp_store_settings_put(f->store, &settings, &f->settings[i], f->error));
    }
    dipp_evaluation_settings multi = {.subject = "reference", .sampler_steps = 20, .cfg_omega = 2};
    TRY(dipp_store_settings_put(f->store, &multi, &f->reference_settings, f->error));
    dipp_plugin_record border = {.kind = "reward",
                                 .name = "border",
                                 .version = "1.0 <v>",
                                 .sha256 = sha_of("border.so", sha),
                                 .path = "plugins/<border>.so"};
    TRY(dipp_store_plugin_put(f->store, &border, &f->border_plugin, f->error));
    TRY(dipp_store_scorer_put(f->store, &border, "{\"color\":\"<blue>\"}", &f->border, f->error));
    dipp_plugin_record judge = {.kind = "metric", .name = "judge", .version = "1"};
    TRY(dipp_store_scorer_put(f->store, &judge, NULL, &f->judge, f->error));
    dipp_plugin_record dit = {.kind = "generator", .name = "dit", .version = "1.0", .sha256 = sha_of("dit.so", sha)};
    TRY(dipp_store_plugin_put(f->store, &dit, &f->dit_plugin, f->error));
    TRY(dipp_store_metric_define(f->store, "border", 1, "test", NULL, "blueness of the <border>", f->error));
    dipp_weights_record base = {.sha256 = sha_of("base", weights), .path = "weights/<one>&step", .bytes = 7};
    return dipp_store_weights_put(f->store, &base, f->error);
}

/* A flat picture with a square, so that every column has pictures of its own. */
static dipp_status put_picture(filler *f, int64_t run_id, int arm, int seed, bool reference, int step, int prompt,
                               int64_t *artifact)
{
    char name[160], path[512], sha[DIPP_SHA256_HEX_BYTES];
    dipp_image image;
    snprintf(name, sizeof name, "store/runs/%d-%d/%s-%03d/p%03d-s0.png", arm, seed, reference ? "reference" : "step",
             step, prompt);
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    char *folder = dipp_path_folder(path);
    dipp_status status =
        folder ? dipp_make_directories(folder, f->error) : dipp_fail(f->error, DIPP_E_MEMORY, "no memory");
    dipp_release(folder);
    TRY(status);
    TRY(dipp_image_create(SIDE, SIDE, 200, &image, f->error));
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            uint8_t *pixel = image.pixels + (y * SIDE + x) * 3;
            bool inside = x > 7 && x < 24 && y > 7 && y < 24;
            pixel[0] = (uint8_t)(inside ? 30 * prompt : 60 + 40 * arm);
            pixel[1] = (uint8_t)(inside ? 200 - 20 * prompt : 120);
            pixel[2] = (uint8_t)(inside ? 80 : step ? 100 + 40 * arm : 90);
        }
    status = dipp_image_write_png(path, &image, f->error);
    dipp_image_clear(&image);
    TRY(status);
    TRY(dipp_sha256_file(path, sha, f->error));
    dipp_text json = {0};
    dipp_text_printf(&json, "{\"prompt\":%d,\"sample\":0,\"subject\":\"%s\",\"text\":", prompt,
                     reference ? "reference" : "generator");
    dipp_json_write_string(&json, report_prompts[prompt]);
    dipp_text_append(&json, "}");
    dipp_file_record row = {
        .step = step, .kind = "image", .path = name, .sha256 = sha, .bytes = 1, .meta_json = json.data};
    status = dipp_store_artifact_put(f->store, run_id, &row, artifact, f->error);
    dipp_text_discard(&json);
    return status;
}

static dipp_status put_evaluation(filler *f, int64_t run_id, int arm, int seed, bool reference, int point)
{
    dipp_evaluation_row rows[2 * REPORT_PROMPTS * SAMPLES];
    size_t count = 0;
    int step = point * STEPS / (POINTS - 1);
    double part = reference ? 0 : (double)step / STEPS;
    for (int prompt = 0; prompt < REPORT_PROMPTS; prompt++) {
        int64_t artifact = 0;
        if (reference || point != 1)
            TRY(put_picture(f, run_id, arm, seed, reference, step, prompt, &artifact));
        for (int sample = 0; sample < SAMPLES; sample++) {
            uint64_t noise = (uint64_t)(SAMPLES * prompt + sample);
            double border =
                0.4 + 0.01 * prompt + 0.001 * sample + 0.01 * seed + arms[arm].gain * part * (1 + 0.1 * seed);
            bool wrong = !reference && arm == 3 && point == 2 && (prompt + sample + seed) % 3 == 0;
            bool nan = !reference && arm == 1 && seed == 0 && point == 2 && !prompt && !sample;
            rows[count++] =
                (dipp_evaluation_row){"border", f->border, prompt, sample, noise, border, sample ? 0 : artifact};
            rows[count++] = (dipp_evaluation_row){
                "glyph", f->judge, prompt, sample, noise, nan ? (double)NAN : wrong ? 0 : 1, sample ? 0 : artifact};
        }
    }
    int64_t settings = reference ? f->reference_settings : f->settings[point];
    TRY(dipp_store_evaluations_put(f->store, run_id, step, settings, f->prompts, rows, count, f->error));
    dipp_set_metric_row sets[] = {
        {"diversity", f->judge, NULL, 0.2 - arms[arm].gain / 2 * part + 0.001 * seed, REPORT_PROMPTS * SAMPLES},
        {"ikl", f->judge, NULL, 20 * arms[arm].gain * part * (1 + 0.1 * seed), 64}};
    return dipp_store_set_metrics_put(f->store, run_id, step, settings, f->prompts, sets, reference ? 1 : 2, f->error);
}

static dipp_status put_training(filler *f, int64_t run_id, int arm, int seed, int steps)
{
    for (int step = 1; step <= steps; step++) {
        double value = step == 30 ? (double)NAN : 0.4 + arms[arm].gain * step / STEPS + 0.01 * sin(step + seed);
        dipp_metric_point points[] = {{"ikl", step, 20 * arms[arm].gain * step / STEPS * (1 + 0.1 * seed)},
                                      {"train/reward.border", step, value}};
        TRY(dipp_store_metrics_put(f->store, run_id, 1, points, arms[arm].scale > 0 ? 2 : 1, f->error));
    }
    dipp_run_param params[] = {
        {.key = "align.cfg_omega", .type = DIPP_STORE_REAL, .real = arms[arm].omega, .source = DIPP_SOURCE_SWEEP},
        {.key = "align.steps", .type = DIPP_STORE_INT, .integer = STEPS, .source = DIPP_SOURCE_FILE},
        {.key = "generator.init",
         .type = DIPP_STORE_TEXT,
         .text = arm == 3 ? "weights/<other>" : "weights/<one>&step",
         .source = DIPP_SOURCE_FILE},
        {.key = "rewards[0].scale", .type = DIPP_STORE_REAL, .real = arms[arm].scale, .source = DIPP_SOURCE_SWEEP}};
    TRY(dipp_store_params_put(f->store, run_id, params, arms[arm].scale > 0 ? 4 : 3, f->error));
    dipp_run_plugin plugins[] = {
        {.role = "generator", .plugin_id = f->dit_plugin},
        {.role = "reward", .plugin_id = f->border_plugin, .metric = "border", .scale = arms[arm].scale}};
    TRY(dipp_store_run_plugins_put(f->store, run_id, plugins, arms[arm].scale > 0 ? 2 : 1, f->error));
    char weights[DIPP_SHA256_HEX_BYTES];
    return dipp_store_run_weights_put(f->store, run_id, "generator", sha_of("base", weights), f->error);
}

static dipp_status put_run(filler *f, int arm, int seed)
{
    char config[DIPP_SHA256_HEX_BYTES];
    bool fails = arm == 3 && seed == 2;
    dipp_run_spec spec = {.experiment_id = f->experiment.experiment_id,
                          .revision = 1,
                          .arm = arms[arm].name,
                          .seed = seed,
                          .config_sha256 = sha_of(arms[arm].name, config),
                          .config_json = "{\"name\":\"<script>alert('config')</script>\"}",
                          .overrides_json = "[\"output='a b'; rm <x>\"]",
                          .code_commit = "0123456789abcdef",
                          .code_dirty = true};
    dipp_run_ref run;
    TRY(dipp_store_run_create(f->store, &spec, &run, f->error));
    TRY(dipp_store_claim(f->store, run.run_id, 0, NULL, f->error));
    int64_t attempt;
    dipp_attempt_spec started = {.dipp_version = "0.1.0",
                                 .backend = "cpu",
                                 .device = "<cpu>",
                                 .threads = 2,
                                 .isa = "AVX2",
                                 .precision = "f32",
                                 .libraries_json = "{\"oneDNN\":\"<2.6>\"}"};
    TRY(dipp_store_attempt_begin(f->store, run.run_id, &started, &attempt, f->error));
    TRY(put_training(f, run.run_id, arm, seed, fails ? 40 : STEPS));
    for (int point = 0; point < (fails ? 1 : POINTS); point++)
        TRY(put_evaluation(f, run.run_id, arm, seed, false, point));
    if (arm == 0 && seed == 0)
        TRY(put_evaluation(f, run.run_id, arm, seed, true, 0));
    TRY(dipp_store_heartbeat(f->store, run.run_id, fails ? 40 : STEPS, fails ? 2560 : 6400, f->error));
    TRY(dipp_store_event_put(f->store, run.run_id, attempt, 30, "warning", "step.nonfinite",
                             "<b>1 non-finite</b> step was skipped", f->error));
    return dipp_store_run_finish(f->store, run.run_id, fails ? DIPP_RUN_FAILED : DIPP_RUN_COMPLETED, fails, -1,
                                 fails ? "<img src=x onerror=\"document.title='owned'\"> \x1b[31m \xff\xfe" : NULL,
                                 NULL, f->error);
}

dipp_status fill_report_store(dipp_store *store, const char *folder, dipp_error *error)
{
    filler f = {.store = store, .folder = folder, .error = error};
    TRY(fill_shared(&f));
    for (int arm = 0; arm < ARMS; arm++)
        for (int seed = 0; seed < SEEDS; seed++)
            TRY(put_run(&f, arm, seed));
    return DIPP_OK;
}
