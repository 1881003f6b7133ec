#include "label_fixture.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "base/text.h"
#include "data/image.h"
#include "experiment/yaml_edit.h"

#include <stdio.h>
#include <string.h>

const char label_experiment[] = "faces";
const char *const label_prompts[LABEL_PROMPTS] = {"a fox on a blue background", "<b>\"two\" & three</b>",
                                                  "\xf0\x9f\x98\x80 \xd8\xb9\xd8\xb1\xd8\xa8\xd9\x8a"};

enum { SIDE = 16, ARMS = 2, SEEDS = 2, SAMPLES = 2, LAST_STEP = 40 };

static dipp_status put_picture(dipp_store *store, const char *folder, int64_t run_id, int64_t step, const char *subject,
                               int prompt, int sample, uint32_t look, dipp_error *error)
{
    char name[80], sha256[DIPP_SHA256_HEX_BYTES];
    dipp_image image = {0};
    dipp_text json = {0};
    snprintf(name, sizeof name, "pictures/%lld-%s-%lld-%d-%d.png", (long long)run_id, subject, (long long)step, prompt,
             sample);
    dipp_status status = dipp_image_create(SIDE, SIDE, (uint8_t)(60 + 40 * prompt), &image, error);
    for (int i = 0; status == DIPP_OK && i < SIDE * SIDE; i++) { /* stripes that say which picture it is */
        image.pixels[3 * i] = (uint8_t)(look * 37);
        image.pixels[3 * i + 1] = (uint8_t)((i / SIDE + (int)look) % 5 * 50);
    }
    dipp_text_printf(&json, "{\"prompt\":%d,\"sample\":%d,\"subject\":\"%s\",\"text\":", prompt, sample, subject);
    dipp_json_write_string(&json, label_prompts[prompt]);
    dipp_text_append(&json, "}");
    char *path = dipp_path_join(folder, name);
    if (status == DIPP_OK)
        status = dipp_image_write_png(path, &image, error);
    if (status == DIPP_OK)
        status = dipp_sha256_file(path, sha256, error);
    if (status == DIPP_OK) {
        dipp_file_record file = {
            .step = step, .kind = "image", .path = name, .sha256 = sha256, .bytes = 100, .meta_json = json.data};
        status = dipp_store_artifact_put(store, run_id, &file, NULL, error);
    }
    dipp_release(path);
    dipp_text_discard(&json);
    dipp_image_clear(&image);
    return status;
}

static dipp_status put_run(dipp_store *store, const char *folder, const dipp_store_experiment *experiment, int arm,
                           int seed, dipp_error *error)
{
    char config[DIPP_SHA256_HEX_BYTES];
    dipp_run_ref run;
    dipp_sha256_hex(&arm, sizeof arm, config);
    dipp_run_spec spec = {.experiment_id = experiment->experiment_id,
                          .revision = experiment->revision,
                          .arm = arm ? "bold" : "plain",
                          .seed = seed,
                          .config_sha256 = config};
    dipp_status status = dipp_store_run_create(store, &spec, &run, error);
    for (int p = 0; p < LABEL_PROMPTS && status == DIPP_OK; p++) {
        for (int s = 0; s < SAMPLES && status == DIPP_OK; s++)
            status = put_picture(store, folder, run.run_id, LAST_STEP, "generator", p, s,
                                 (uint32_t)(8 + 4 * arm + 2 * seed + s), error);
        if (status == DIPP_OK) /* every run starts from the same weights and has the same reference */
            status = put_picture(store, folder, run.run_id, 0, "generator", p, 0, 2, error);
        if (status == DIPP_OK)
            status = put_picture(store, folder, run.run_id, 0, "reference", p, 0, 3, error);
    }
    return status == DIPP_OK ? dipp_store_run_finish(store, run.run_id, DIPP_RUN_COMPLETED, 0, -1, NULL, NULL, error)
                             : status;
}

dipp_status fill_label_store(const char *folder, dipp_error *error)
{
    static const char yaml[] = "name: faces\n";
    char sha256[DIPP_SHA256_HEX_BYTES];
    dipp_store *store = NULL;
    dipp_store_experiment experiment;
    char *pictures = dipp_path_join(folder, "pictures"), *database = dipp_path_join(folder, "store.db");
    dipp_sha256_hex(yaml, sizeof yaml - 1, sha256);
    dipp_status status = dipp_make_directories(pictures, error);
    if (status == DIPP_OK)
        status = dipp_store_open(database, NULL, &store, error);
    if (status == DIPP_OK)
        status = dipp_store_experiment_put(store, label_experiment, yaml, sha256, NULL, &experiment, error);
    for (int arm = 0; arm < ARMS; arm++)
        for (int seed = 0; seed < SEEDS && status == DIPP_OK; seed++)
            status = put_run(store, folder, &experiment, arm, seed, error);
    dipp_store_close(&store);
    dipp_release(pictures);
    dipp_release(database);
    return status;
}
