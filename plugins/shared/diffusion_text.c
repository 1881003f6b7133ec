/* The text encoders of networks that denoise: dipp's own, and those that Stable Diffusion and PixArt-alpha come with. */
#include "diffusion.h"

#include <stdlib.h>
#include <string.h>

enum { OWN_LENGTH = 16, T5_LENGTH = 120 /* what PixArt-alpha was trained with */ };

const char *const diffusion_text_encoders[] = {"own", "clip", "t5", NULL};

void diffusion_release(diffusion *d)
{
    dipp_vocabulary_destroy(&d->text.vocabulary);
    dipp_tokenizer_destroy(&d->text.tokenizer);
}

static bool wants(const dipp_parameters *parameters, diffusion_text_kind kind)
{
    return strcmp(dipp_parameters_string(parameters, "text_encoder"), diffusion_text_encoders[kind]) == 0;
}

static dipp_status read_own(const dipp_parameters *parameters, diffusion *d, dipp_error *error)
{
    diffusion_text *text = &d->text;
    dipp_status status =
        dipp_vocabulary_load(dipp_parameters_string(parameters, "vocabulary"), &text->vocabulary, error);
    if (status != DIPP_OK) {
        dipp_error_context(error, "%s: parameter vocabulary", d->name);
        return status;
    }
    dipp_text_encoder_options *o = &text->own;
    o->struct_size = sizeof *o;
    o->vocabulary = dipp_vocabulary_size(text->vocabulary);
    o->length = text->length = text->length ? text->length : OWN_LENGTH;
    o->width = text->width = dipp_parameters_int(parameters, "text_hidden");
    o->layers = dipp_parameters_int(parameters, "text_layers");
    o->heads = dipp_parameters_int(parameters, "text_heads");
    return dipp_text_encoder_check(o, error);
}

/* Files of a published encoder: its config.json, its tokenizer's vocabulary, and the merges of a vocab.json or NULL. */
typedef struct text_files {
    const char *config, *vocabulary, *merges;
} text_files;

static dipp_status read_published(diffusion *d, const text_files *files, dipp_error *error)
{
    diffusion_text *text = &d->text;
    bool clip = text->kind == DIFFUSION_TEXT_CLIP;
    dipp_status status = clip ? dipp_clip_read_text_config(files->config, &text->clip, error)
                              : dipp_t5_read_config(files->config, &text->t5, error);
    if (status == DIPP_OK)
        status = dipp_tokenizer_create(clip ? DIPP_TOKENIZER_HUGGING_FACE_CLIP : DIPP_TOKENIZER_T5, files->vocabulary,
                                       files->merges, &text->tokenizer, error);
    if (status != DIPP_OK)
        return dipp_error_context(error, "%s", d->name);
    int64_t ids = clip ? text->clip.vocabulary : text->t5.vocabulary, positions = clip ? text->clip.length : 0;
    text->width = clip ? text->clip.text.width : text->t5.width;
    text->length = text->length ? text->length : clip ? (uint32_t)positions : T5_LENGTH;
    /* T5 has rows to spare in its table; CLIP may be published with a few more than its tokenizer uses, too. */
    if (dipp_tokenizer_size(text->tokenizer) > ids)
        return dipp_fail(error, DIPP_E_INVALID, "%s: the text encoder knows %lld token ids, its tokenizer %s makes %u",
                         d->name, (long long)ids, files->vocabulary, dipp_tokenizer_size(text->tokenizer));
    if (text->length < 2 || (clip && text->length > positions))
        return dipp_fail(error, DIPP_E_INVALID,
                         "%s: token_length %u is not possible; %s needs at least 2 and has %lld positions", d->name,
                         text->length, diffusion_text_encoders[text->kind], (long long)positions);
    return DIPP_OK;
}

static dipp_status read_pipeline(diffusion *d, int64_t caption_channels, dipp_error *error)
{
    char config[DIPP_PIPELINE_PATH_BYTES], vocabulary[DIPP_PIPELINE_PATH_BYTES], merges[DIPP_PIPELINE_PATH_BYTES];
    dipp_pipeline_text kind;
    dipp_status status = dipp_pipeline_read_text_kind(d->pipeline, &kind, error);
    if (status != DIPP_OK)
        return status;
    d->text.present = true;
    d->text.kind = kind == DIPP_PIPELINE_CLIP ? DIFFUSION_TEXT_CLIP : DIFFUSION_TEXT_T5;
    dipp_pipeline_file(d->pipeline, DIPP_PIPELINE_TEXT_ENCODER, config, sizeof config);
    dipp_pipeline_file(d->pipeline, DIPP_PIPELINE_TOKENIZER, vocabulary, sizeof vocabulary);
    bool with_merges = dipp_pipeline_file(d->pipeline, DIPP_PIPELINE_MERGES, merges, sizeof merges) &&
                       strstr(vocabulary, "vocab.json");
    status = read_published(d, &(text_files){config, vocabulary, with_merges ? merges : NULL}, error);
    if (status == DIPP_OK && kind == DIPP_PIPELINE_CLIP)
        status = dipp_pipeline_check_clip_tokenizer(d->pipeline, d->text.clip.length, error);
    if (status == DIPP_OK && caption_channels && caption_channels != d->text.width)
        return dipp_fail(error, DIPP_E_INVALID, "%s: %s makes text of width %lld, the network reads %lld", d->name,
                         config, (long long)d->text.width, (long long)caption_channels);
    return status;
}

dipp_status diffusion_read_text(const dipp_parameters *parameters, diffusion *d, int64_t caption_channels,
                                dipp_error *error)
{
    diffusion_text *text = &d->text;
    text->length = (uint32_t)dipp_parameters_int(parameters, "token_length"); /* unset: 0 */
    if (d->pipeline)
        return read_pipeline(d, caption_channels, error);
    text->present = dipp_parameters_has(parameters, "vocabulary");
    text->kind = wants(parameters, DIFFUSION_TEXT_CLIP) ? DIFFUSION_TEXT_CLIP
                 : wants(parameters, DIFFUSION_TEXT_T5) ? DIFFUSION_TEXT_T5
                                                        : DIFFUSION_TEXT_OWN;
    text_files files = {dipp_parameters_string(parameters, "text_config"),
                        dipp_parameters_string(parameters, "vocabulary"), dipp_parameters_string(parameters, "merges")};
    if (text->kind == DIFFUSION_TEXT_OWN && (files.config || files.merges))
        return dipp_fail(error, DIPP_E_INVALID, "%s: %s is for the text encoders clip and t5", d->name,
                         files.config ? "text_config" : "merges");
    if (text->kind == DIFFUSION_TEXT_OWN)
        return text->present ? read_own(parameters, d, error) : DIPP_OK;
    if (!files.config || !files.vocabulary)
        return dipp_fail(error, DIPP_E_INVALID, "%s: text_encoder %s needs %s", d->name,
                         diffusion_text_encoders[text->kind], files.config ? "vocabulary" : "text_config");
    return read_published(d, &files, error);
}

/* As PixArt-alpha's pipeline prepares a prompt where it does not clean captions: lower case, cut at both ends. */
static dipp_status encode_lowered(const diffusion_text *text, const char *prompt, int32_t *tokens, size_t *count,
                                  dipp_error *error)
{
    size_t bytes = strlen(prompt);
    char *lowered = malloc(3 * bytes + 4);
    if (!lowered)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a prompt of %zu bytes", bytes);
    dipp_status status = dipp_prompt_lowered(prompt, bytes, lowered, &bytes, error);
    if (status == DIPP_OK)
        status = dipp_tokenizer_encode(text->tokenizer, lowered, bytes, text->length, tokens, count, error);
    free(lowered);
    return status;
}

/* CLIP's network reads all tokens, padding too. */
static dipp_status encode_published(const diffusion_text *text, const char *prompt, int32_t *tokens, float *mask,
                                    dipp_error *error)
{
    bool clip = text->kind == DIFFUSION_TEXT_CLIP;
    size_t count = 0;
    dipp_status status =
        clip ? dipp_tokenizer_encode(text->tokenizer, prompt, strlen(prompt), text->length, tokens, &count, error)
             : encode_lowered(text, prompt, tokens, &count, error);
    for (uint32_t k = 0; k < text->length; ++k)
        mask[k] = clip || k < count ? 1.0f : 0.0f;
    return status;
}

dipp_status diffusion_tokenize(const diffusion *d, const char *const *texts, uint32_t count, int32_t *tokens,
                               float *mask, dipp_error *error)
{
    const diffusion_text *text = &d->text;
    if (!text->present)
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "%s: this model takes no text; set its parameter vocabulary to give it one", d->name);
    for (uint32_t i = 0; i < count; ++i) {
        size_t row = (size_t)i * text->length;
        const char *prompt = texts[i] ? texts[i] : "";
        dipp_status status =
            text->kind == DIFFUSION_TEXT_OWN
                ? dipp_vocabulary_encode(text->vocabulary, prompt, text->length, tokens + row, mask + row, error)
                : encode_published(text, prompt, tokens + row, mask + row, error);
        if (status != DIPP_OK)
            return status;
    }
    return DIPP_OK;
}

dipp_condition diffusion_encode_text(const diffusion *d, dipp_graph *g, dipp_params p, dipp_prompt text)
{
    if (!d->text.present) {
        dipp_graph_fail(g, "%s: this model takes no text; set its parameter vocabulary to give it one", d->name);
        return (dipp_condition){.count = 0};
    }
    dipp_tensor states;
    switch (d->text.kind) {
    case DIFFUSION_TEXT_OWN: states = dipp_text_encoder(g, p, &d->text.own, text.tokens, text.mask); break;
    case DIFFUSION_TEXT_CLIP: states = dipp_clip_text_states(g, p, &d->text.clip, text.tokens); break;
    case DIFFUSION_TEXT_T5: states = dipp_t5_encoder(g, p, &d->text.t5, text.tokens, text.mask); break;
    }
    return (dipp_condition){.count = 2, .parts = {states, text.mask}};
}
