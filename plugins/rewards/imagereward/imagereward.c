/* ImageReward (Xu et al. 2023, arXiv 2304.05977): a BERT reads the prompt while it looks at the picture's tokens, and an affine
 * chain turns its first state into a number, which grows with how much people like the picture for that prompt.
 *
 * A set of parameters has the names of the published ImageReward.pt, whose projections for contrastive training
 * (blip.vision_proj, blip.text_proj) and position_ids no score needs. The dropout of the published training is left out. */
#include <dipp/nn.h>
#include <dipp/plugin.h>
#include <dipp/text.h>

#include <stdlib.h>
#include <string.h>

/* Word pieces of bert-base-uncased, and the two that BLIP adds to them: [DEC] and [ENC], which no text has. */
enum { PUBLISHED_WORDS = 30522, ADDED_WORDS = 2 };

typedef struct imagereward {
    dipp_blip_options network;
    int64_t length; /* of a prompt in word pieces, [CLS] and [SEP] included */
    dipp_tokenizer *tokenizer;
    double mean, std;
    bool official;
} imagereward;

static const dipp_blip_options published = {.struct_size = sizeof published,
                                            .size = 224,
                                            .patch = 16,
                                            .vision_width = 1024,
                                            .vision_layers = 24,
                                            .vision_heads = 16,
                                            .vision_inner = 4096,
                                            .vocabulary = PUBLISHED_WORDS + ADDED_WORDS,
                                            .positions = 512,
                                            .text_width = 768,
                                            .text_layers = 12,
                                            .text_heads = 12,
                                            .text_inner = 3072};

/* ---- Parameters -------------------------------------------------------------------------------------------------- */

static const char *const networks[] = {"published", "own", NULL};

#define OWN_SIZE(key_, default_, maximum_, help_)                                                        \
    {                                                                                                    \
        .key = key_, .type = DIPP_TYPE_INT, .default_text = default_, .minimum = 1, .maximum = maximum_, \
        .flags = DIPP_PARAMETER_STRUCTURAL, .help = help_                                                \
    }

static const dipp_parameter parameters[] = {
    {.key = "network",
     .type = DIPP_TYPE_ENUM,
     .default_text = "published",
     .choices = networks,
     .flags = DIPP_PARAMETER_STRUCTURAL,
     .help = "published: the sizes of ImageReward.pt; own: those below, which are read for own alone."},
    OWN_SIZE("size", "32", 4096, "Height and width to which pictures are resized; a multiple of patch."),
    OWN_SIZE("patch", "8", 1024, "Height and width of the squares into which a picture is cut."),
    OWN_SIZE("vision_width", "96", 16384,
             "Width of the picture's tokens; their feed-forward layers are four times as wide."),
    OWN_SIZE("vision_layers", "4", 64, "Blocks of the vision transformer."),
    OWN_SIZE("vision_heads", "4", 512, "Heads of its attention; they divide vision_width."),
    OWN_SIZE("text_width", "96", 16384,
             "Width of the prompt's states; their feed-forward layers are four times as wide."),
    OWN_SIZE("text_layers", "2", 64, "Layers of the BERT."),
    OWN_SIZE("text_heads", "4", 512, "Heads of its attention; they divide text_width."),
    OWN_SIZE("length", "35", 512, "Word pieces of a prompt, [CLS] and [SEP] included; a longer one is cut."),
    {.key = "vocabulary",
     .type = DIPP_TYPE_PATH,
     .flags = DIPP_PARAMETER_REQUIRED | DIPP_PARAMETER_STRUCTURAL,
     .help = "vocab.txt or tokenizer.json of an uncased BERT; the published network wants bert-base-uncased's."},
    {.key = "mean",
     .type = DIPP_TYPE_FLOAT,
     .default_text = "0.16717362830052426",
     .help = "Taken off the network's number before it is a score; published."},
    {.key = "std",
     .type = DIPP_TYPE_FLOAT,
     .default_text = "1.0333394966054072",
     .minimum = 1e-12,
     .maximum = 1e12,
     .help = "What the rest is divided by; published."},
    {.key = "official",
     .type = DIPP_TYPE_BOOL,
     .default_text = "true",
     .flags = DIPP_PARAMETER_STRUCTURAL,
     .help =
         "Whether evaluation resizes pictures in bytes, as the published scorer does; otherwise as alignment does."},
};

static dipp_status read_network(const dipp_parameters *p, imagereward *r, dipp_error *error)
{
    uint32_t words = dipp_tokenizer_size(r->tokenizer);
    r->network = published;
    r->length = 35;
    if (!strcmp(dipp_parameters_string(p, "network"), "published")) {
        if (words != PUBLISHED_WORDS && words != PUBLISHED_WORDS + ADDED_WORDS)
            return dipp_fail(error, DIPP_E_INVALID,
                             "imagereward: vocabulary: the published network wants the %d word pieces of "
                             "bert-base-uncased (with BLIP's own: %d); %s has %u",
                             PUBLISHED_WORDS, PUBLISHED_WORDS + ADDED_WORDS, dipp_parameters_string(p, "vocabulary"),
                             words);
        return DIPP_OK;
    }
    dipp_blip_options *o = &r->network;
    const struct {
        const char *key;
        int64_t *out;
    } sizes[] = {{"size", &o->size},
                 {"patch", &o->patch},
                 {"vision_width", &o->vision_width},
                 {"vision_layers", &o->vision_layers},
                 {"vision_heads", &o->vision_heads},
                 {"text_width", &o->text_width},
                 {"text_layers", &o->text_layers},
                 {"text_heads", &o->text_heads},
                 {"length", &r->length}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        *sizes[i].out = dipp_parameters_int(p, sizes[i].key);
    o->vision_inner = 4 * o->vision_width;
    o->text_inner = 4 * o->text_width;
    o->vocabulary = (int64_t)words + ADDED_WORDS;
    o->positions = r->length;
    if (r->length < 2)
        return dipp_fail(error, DIPP_E_INVALID, "imagereward: length: [CLS] and [SEP] need 2; found %lld",
                         (long long)r->length);
    return dipp_blip_check(o, error);
}

static void destroy(void *self)
{
    imagereward *r = self;
    if (r)
        dipp_tokenizer_destroy(&r->tokenizer);
    free(r);
}

static dipp_status create(const dipp_parameters *p, const dipp_host *host, void **self, dipp_error *error)
{
    imagereward *r = calloc(1, sizeof *r);
    if (!r)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for an imagereward reward");
    r->mean = dipp_parameters_float(p, "mean");
    r->std = dipp_parameters_float(p, "std");
    r->official = dipp_parameters_bool(p, "official");
    dipp_status status = dipp_tokenizer_create(DIPP_TOKENIZER_BERT_UNCASED, dipp_parameters_string(p, "vocabulary"),
                                               NULL, &r->tokenizer, error);
    if (status != DIPP_OK)
        dipp_error_context(error, "imagereward: vocabulary");
    else
        status = read_network(p, r, error);
    if (status != DIPP_OK) {
        destroy(r);
        return status;
    }
    *self = r;
    return DIPP_OK;
}

/* ---- What the host asks ------------------------------------------------------------------------------------------ */

static dipp_status info(void *self, dipp_reward_info *out, dipp_error *error)
{
    const imagereward *r = self;
    out->images = true;
    out->token_length = (uint32_t)r->length;
    out->direction = 1;
    out->unit = "";
    return DIPP_OK;
}

static dipp_status tokenize(void *self, const char *const *texts, uint32_t count, int32_t *tokens, float *mask,
                            dipp_error *error)
{
    const imagereward *r = self;
    size_t length = (size_t)r->length;
    for (uint32_t i = 0; i < count; i++) {
        const char *text = texts[i] ? texts[i] : "";
        size_t row = i * length, whole;
        dipp_status status =
            dipp_tokenizer_encode(r->tokenizer, text, strlen(text), (uint32_t)length, tokens + row, &whole, error);
        if (status != DIPP_OK)
            return status;
        for (size_t k = 0; k < length; k++)
            mask[row + k] = k < whole ? 1.0f : 0.0f;
    }
    return DIPP_OK;
}

/* ---- Recording --------------------------------------------------------------------------------------------------- */

/* Layer N.* of the head: x [N, in] wide -> [N, out], wide. */
static dipp_tensor affine(dipp_graph *g, dipp_params p, int n, dipp_tensor x, int64_t out, double deviation)
{
    dipp_params here = dipp_scope(g, p, "%d", n);
    const dipp_matmul_options stored = {.struct_size = sizeof stored, .transpose_b = true};
    const dipp_param_options normal = {
        .struct_size = sizeof normal, .init = DIPP_INIT_NORMAL, .value = deviation, .flags = DIPP_PARAM_WIDE};
    const dipp_param_options zeros = {.struct_size = sizeof zeros, .init = DIPP_INIT_ZEROS, .flags = DIPP_PARAM_WIDE};
    dipp_tensor weight = dipp_param(g, here, "weight", DIPP_SHAPE(out, dipp_dim(g, x, 1)), &normal);
    return dipp_add(g, dipp_matmul(g, x, weight, &stored), dipp_param(g, here, "bias", DIPP_SHAPE(out), &zeros));
}

/* Five affine layers with nothing between them but, in the published training, dropout: state [N, C] -> [N], wide. */
static dipp_tensor head(dipp_graph *g, dipp_params p, dipp_tensor state)
{
    static const struct {
        int name, out;
    } layers[] = {{0, 1024}, {2, 128}, {4, 64}, {6, 16}, {7, 1}};
    dipp_params here = dipp_scope(g, p, "mlp.layers");
    double deviation = 1.0 / (double)(dipp_dim(g, state, 1) + 1); /* of all layers, by the width of the first */
    dipp_tensor x = dipp_cast(g, state, DIPP_WIDE);
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        x = affine(g, here, layers[i].name, x, layers[i].out, deviation);
    return dipp_reshape(g, x, DIPP_SHAPE(dipp_dim(g, x, 0)));
}

/* samples [N, 3, H, W] in [0, 1] and their prompts -> scores [N], wide. */
static dipp_tensor record(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                          dipp_reward_mode mode)
{
    const imagereward *r = self;
    bool bytes = mode == DIPP_REWARD_EVALUATE && r->official;
    dipp_params blip = dipp_scope(g, p, "blip");
    dipp_tensor pictures = dipp_clip_pictures(g, samples, r->network.size, DIPP_FIT_CROP, DIPP_RESIZE_BICUBIC, bytes);
    dipp_tensor seen = dipp_blip_image(g, blip, &r->network, pictures);
    dipp_tensor score = head(g, p, dipp_blip_text(g, blip, &r->network, text.tokens, text.mask, seen));
    if (mode == DIPP_REWARD_TRAIN) /* the logit of Bradley and Terry; mean and std are measured once it is trained */
        return score;
    return dipp_scale_add(g, score, 1.0 / r->std, -r->mean / r->std);
}

static const dipp_reward reward = {
    .struct_size = sizeof reward,
    .create = create,
    .destroy = destroy,
    .info = info,
    .tokenize = tokenize,
    .record = record,
};

static const dipp_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REWARD,
    .name = "imagereward",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "ImageReward: how much people like a picture for its prompt; published sizes or own ones",
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .vtable = &reward,
};

DIPP_PLUGINS(&plugin)
