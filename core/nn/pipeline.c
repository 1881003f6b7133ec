/* Folders as diffusers' save_pretrained writes them: where in them is what, and which text encoder they have. */
#include <dipp/nn.h>

#include "base/description.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

enum { MOST_NAMES = 4 };

static const char *const names[DIPP_PIPELINE_FILES][MOST_NAMES] = {
    [DIPP_PIPELINE_NETWORK] = {"unet/config.json", "transformer/config.json"},
    [DIPP_PIPELINE_SCHEDULER] = {"scheduler/scheduler_config.json"},
    [DIPP_PIPELINE_AUTOENCODER] = {"vae/config.json"},
    [DIPP_PIPELINE_TEXT_ENCODER] = {"text_encoder/config.json"},
    [DIPP_PIPELINE_TOKENIZER] = {"tokenizer/vocab.json", "tokenizer/spiece.model", "tokenizer/tokenizer.json"},
    [DIPP_PIPELINE_MERGES] = {"tokenizer/merges.txt"},
    [DIPP_PIPELINE_TOKENIZER_SETTINGS] = {"tokenizer/tokenizer_config.json"},
    [DIPP_PIPELINE_SPECIAL_TOKENS] = {"tokenizer/special_tokens_map.json"},
};

static bool put(const char *folder, const char *name, char *out, size_t size)
{
    return (size_t)snprintf(out, size, "%s/%s", folder, name) < size && dipp_path_exists(out);
}

bool dipp_pipeline_file(const char *folder, dipp_pipeline_part part, char *out, size_t size)
{
    for (size_t i = 0; i < MOST_NAMES && names[part][i]; i++)
        if (put(folder, names[part][i], out, size))
            return true;
    char other[DIPP_PIPELINE_PATH_BYTES];
    bool transformer = put(folder, "transformer", other, sizeof other); /* whose pipelines have the second names */
    put(folder, names[part][transformer && names[part][1]], out, size);
    return false;
}

/* A token as tokenizers write them, a text or an object with its content; taken out. */
static bool token_is(dipp_description *d, const char *key, const char *wanted)
{
    const json_t *value = json_object_get(d->keys, key);
    const char *text = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    return !value || (text && !strcmp(text, wanted));
}

/* The networks read padding as they read text, so it must be the one that dipp's tokenizer writes; and as many tokens. */
static dipp_status check_tokenizer_file(const char *path, int64_t positions, dipp_error *error)
{
    dipp_description d;
    dipp_status status = dipp_description_open(path, &d, error);
    if (status != DIPP_OK)
        return status;
    if (!token_is(&d, "pad_token", "<|endoftext|>"))
        dipp_description_refuse(&d, DIPP_E_UNSUPPORTED, "pad_token", "only <|endoftext|> is supported");
    const json_t *length = json_object_get(d.keys, "model_max_length");
    if (length && (!json_is_integer(length) || json_integer_value(length) != positions))
        dipp_description_refuse(&d, DIPP_E_UNSUPPORTED, "model_max_length",
                                "only the number of the text encoder's positions, %lld, is supported",
                                (long long)positions);
    json_object_clear(d.keys); /* the rest is for its classes */
    return dipp_description_close(&d);
}

dipp_status dipp_pipeline_check_clip_tokenizer(const char *folder, int64_t positions, dipp_error *error)
{
    static const dipp_pipeline_part parts[] = {DIPP_PIPELINE_TOKENIZER_SETTINGS, DIPP_PIPELINE_SPECIAL_TOKENS};
    char path[DIPP_PIPELINE_PATH_BYTES];
    dipp_status status = DIPP_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == DIPP_OK; i++)
        if (dipp_pipeline_file(folder, parts[i], path, sizeof path))
            status = check_tokenizer_file(path, positions, error);
    return status;
}

dipp_status dipp_pipeline_read_text_kind(const char *folder, dipp_pipeline_text *out, dipp_error *error)
{
    static const char *const types[] = {"clip_text_model", "t5", NULL}; /* in the order of dipp_pipeline_text */
    char path[DIPP_PIPELINE_PATH_BYTES];
    dipp_description d;
    dipp_pipeline_file(folder, DIPP_PIPELINE_TEXT_ENCODER, path, sizeof path);
    dipp_status status = dipp_description_open(path, &d, error);
    if (status != DIPP_OK)
        return status;
    if (!dipp_description_has(&d, "model_type"))
        dipp_description_refuse(&d, DIPP_E_UNSUPPORTED, "model_type", "missing; clip_text_model and t5 are supported");
    size_t kind = dipp_description_choice(&d, "model_type", types, 0);
    json_object_clear(d.keys); /* the encoders' own readers judge them */
    status = dipp_description_close(&d);
    if (status == DIPP_OK)
        *out = (dipp_pipeline_text)kind;
    return status;
}
