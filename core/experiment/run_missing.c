#include "experiment/run_missing.h"

#include <dipp/nn.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "experiment/run_setup.h"
#include "experiment/run_start.h"
#include "experiment/run_weights.h"

#include <stdio.h>
#include <string.h>

/* Repositories are on huggingface.co unless said otherwise. dipp downloads nothing. */
static const struct {
    const char *plugin, *files;
} published[] = {
    {"dit", "weights/emoji-dit and weights/emoji-dit-onestep ship with dipp; of this architecture "
            "PixArt-alpha/PixArt-XL-2-512x512 is published, whose folder is named as a whole: transformer/, vae/ and "
            "text_encoder/ with config.json and *.safetensors, tokenizer/spiece.model, scheduler/scheduler_config.json "
            "(docs/pipelines.md)"},
    {"unet", "weights/emoji-unet and weights/emoji-unet-onestep ship with dipp; of this architecture "
             "stable-diffusion-v1-5/stable-diffusion-v1-5 is published, whose folder is named as a whole: unet/, vae/ "
             "and text_encoder/ with config.json and *.safetensors, tokenizer/vocab.json and merges.txt, "
             "scheduler/scheduler_config.json (docs/pipelines.md)"},
    {"hps", "xswu/HPSv2: HPS_v2_compressed.pt (2.0), HPS_v2.1_compressed.pt (2.1); vocabulary: github.com/openai/CLIP: "
            "clip/bpe_simple_vocab_16e6.txt.gz"},
    {"pickscore", "yuvalkirstain/PickScore_v1: model.safetensors; vocabulary: laion/CLIP-ViT-H-14-laion2B-s32B-b79K: "
                  "tokenizer.json"},
    {"clipscore",
     "openai/clip-vit-base-patch32 (hessel) or openai/clip-vit-large-patch14 (torchmetrics, imagereward): "
     "model.safetensors; laion/CLIP-ViT-g-14-laion2B-s12B-b42K (dmd2, sid) or "
     "laion/CLIP-ViT-H-14-laion2B-s32B-b79K (diffusion_dpo, reno): open_clip_pytorch_model.bin; vocabulary: "
     "github.com/openai/CLIP: clip/bpe_simple_vocab_16e6.txt.gz"},
    {"aesthetic", "weights: openai/clip-vit-large-patch14: model.safetensors; head_weights: "
                  "github.com/christophschuhmann/improved-aesthetic-predictor: sac+logos+ava1-l14-linearMSE.pth, or "
                  "github.com/LAION-AI/aesthetic-predictor: sa_0_4_vit_l_14_linear.pth (head: v1)"},
    {"imagereward", "THUDM/ImageReward: ImageReward.pt; vocabulary: google-bert/bert-base-uncased: vocab.txt"},
};

const char *dipp_published(const char *plugin)
{
    for (size_t i = 0; plugin && i < sizeof published / sizeof *published; i++)
        if (!strcmp(published[i].plugin, plugin))
            return published[i].files;
    return NULL;
}

typedef struct missing_search {
    dipp_missing_fn each;
    void *user;
    const dipp_cell *cell;
    char **seen;
    size_t count, capacity;
    bool stopped;
} missing_search;

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && !strcmp(text + length - tail, end);
}

/* "rewards[0].weights" and "reference.params.vocabulary" belong to the plugin of "rewards[0]" and "reference". */
static const char *plugin_of(const dipp_cell *cell, const char *key)
{
    char section[128];
    snprintf(section, sizeof section, "%s", key);
    for (char *dot = strrchr(section, '.'); dot; dot = strrchr(section, '.')) {
        snprintf(dot, sizeof section - (size_t)(dot - section), ".plugin");
        for (size_t i = 0; i < cell->value_count; i++)
            if (!strcmp(cell->values[i].key, section))
                return cell->values[i].text;
        *dot = 0;
    }
    return NULL;
}

/* Takes over path. */
static dipp_status look_for(missing_search *search, const char *key, char *path, dipp_error *error)
{
    bool known = path && dipp_path_exists(path);
    for (size_t i = 0; path && i < search->count && !known; i++)
        known = !strcmp(search->seen[i], path);
    if (known) {
        dipp_release(path);
        return DIPP_OK;
    }
    if (!path || !dipp_grow((void **)&search->seen, &search->capacity, search->count + 1, sizeof *search->seen)) {
        dipp_release(path);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a list of files");
    }
    search->seen[search->count++] = path;
    search->stopped = search->each(search->user, key, path, dipp_published(plugin_of(search->cell, key))) != 0;
    return DIPP_OK;
}

/* The descriptions in a folder, of which a generator needs the first few; all of a folder that is not there at all. */
static dipp_status look_at_pipeline(missing_search *search, const dipp_config_value *value, dipp_error *error)
{
    bool generator = !strncmp(value->key, "generator.", 10);
    int count = generator ? (int)DIPP_PIPELINE_GENERATOR_FILES : (int)DIPP_PIPELINE_TOKENIZER_SETTINGS;
    char path[DIPP_PIPELINE_PATH_BYTES], tokenizer[DIPP_PIPELINE_PATH_BYTES];
    dipp_status status = DIPP_OK;
    if (!dipp_path_exists(value->text))
        return look_for(search, value->key, dipp_string_copy(value->text), error);
    dipp_pipeline_file(value->text, DIPP_PIPELINE_TOKENIZER, tokenizer, sizeof tokenizer);
    for (int i = 0; i < count && status == DIPP_OK && !search->stopped; i++)
        if (!dipp_pipeline_file(value->text, (dipp_pipeline_part)i, path, sizeof path) &&
            (i != DIPP_PIPELINE_MERGES || ends_with(tokenizer, "vocab.json")))
            status = look_for(search, value->key, dipp_string_copy(path), error);
    return status;
}

/* Of a reference that is described by a pipeline: the parts beside its network. */
static dipp_status look_at_parts(missing_search *search, const dipp_config_value *value, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    if (strcmp(value->key, "reference.weights") || !dipp_run_weights_is_pipeline(value->text) ||
        !dipp_config_has(search->cell->config, "reference.params.pipeline"))
        return DIPP_OK;
    if (!dipp_config_has(search->cell->config, "reference.decoder"))
        status = look_for(search, value->key, dipp_run_weights_part(value->text, DIPP_PART_AUTOENCODER), error);
    if (status == DIPP_OK && !search->stopped)
        status = look_for(search, value->key, dipp_run_weights_part(value->text, DIPP_PART_TEXT), error);
    return status;
}

static dipp_status look_at(missing_search *search, const dipp_config_value *value, dipp_error *error)
{
    if (strcmp(value->type, "path") || !strcmp(value->key, "output"))
        return DIPP_OK;
    if (dipp_run_weights_key_describes(value->key))
        return look_at_pipeline(search, value, error);
    bool init = !strcmp(value->key, "generator.init");
    bool adapted = dipp_config_has(search->cell->config, "generator.adapter"); /* then the TA lies beside that */
    char *file = NULL;
    if (init)
        file = dipp_run_weights_generator(value->text);
    else if (!strcmp(value->key, "generator.adapter"))
        file = dipp_run_weights_file(value->text, DIPP_GENERATOR_ADAPTER);
    else if (ends_with(value->key, ".weights"))
        file = dipp_run_weights_part(value->text, DIPP_PART_NETWORK);
    else if (!strcmp(value->key, "reference.decoder"))
        file = dipp_run_weights_part(value->text, DIPP_PART_AUTOENCODER);
    else
        file = dipp_string_copy(value->text);
    dipp_status status = look_for(search, value->key, file, error);
    if (status == DIPP_OK && !search->stopped)
        status = look_at_parts(search, value, error);
    const char *ta = dipp_config_string(search->cell->config, "align.ta.init");
    if (status == DIPP_OK && init && !adapted && ta && !strcmp(ta, "stage1") && dipp_path_is_directory(value->text))
        status = look_for(search, value->key, dipp_run_weights_file(value->text, "ta"), error);
    return status;
}

dipp_status dipp_run_missing(const dipp_experiment *experiment, dipp_missing_fn each, void *user, dipp_error *error)
{
    missing_search search = {.each = each, .user = user};
    size_t count = 0;
    const dipp_cell *cells = dipp_experiment_cells(experiment, &count);
    dipp_status status = DIPP_OK;
    for (size_t i = 0; i < count && status == DIPP_OK; i++) {
        search.cell = &cells[i];
        for (size_t k = 0; k < cells[i].value_count && status == DIPP_OK && !search.stopped; k++)
            status = look_at(&search, &cells[i].values[k], error);
    }
    for (size_t i = 0; i < search.count; i++)
        dipp_release(search.seen[i]);
    dipp_release(search.seen);
    return status;
}
