/* The plugin ABI. A plugin is a shared object that exports one function, dipp_plugin_entry_v1, returning const descriptors;
 * it links libdipp and includes <dipp/...> only. It records what is to be computed (dipp/tensor.h) and computes nothing,
 * which is what makes it short, differentiable, device-neutral and plannable.
 *
 * Versioning: abi_major must equal the host's, abi_minor must not exceed it. Structs only grow at the end and start with
 * their size; a reader looks at a field only when struct_size covers it.
 * Thread tags: [entry] may be called in a probing child process, must not allocate or run model code;
 * [main] one call at a time per instance. No function may exit, abort, longjmp or keep pointers it was not given to keep.
 * Libraries are never unloaded during a run. */
#ifndef DIPP_PLUGIN_H
#define DIPP_PLUGIN_H

#include <dipp/parameter.h>
#include <dipp/schedule.h>
#include <dipp/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DIPP_ABI_MAJOR 1
#define DIPP_ABI_MINOR 4

/* What silently breaks us when it differs: sizes that cross the border by value. Compared as text, reported when unequal. */
#define DIPP_BUILD_TAG "shape56-tensor4-params8"

typedef enum dipp_plugin_kind {
    DIPP_PLUGIN_GENERATOR = 1,
    DIPP_PLUGIN_REFERENCE = 2,
    DIPP_PLUGIN_REWARD = 3
} dipp_plugin_kind;

typedef struct dipp_plugin {
    uint32_t struct_size;
    uint16_t abi_major, abi_minor;
    const char *build_tag; /* DIPP_BUILD_TAG */
    dipp_plugin_kind kind;
    const char *name;    /* lower case, [a-z0-9_-]+, unique per kind */
    const char *version; /* of the plugin, "1.0.0" */
    const char *licence;
    const char *summary; /* one line */
    const dipp_parameter *parameters;
    uint32_t parameter_count;
    const void *vtable; /* const dipp_generator *, const dipp_reference * or const dipp_reward * by kind */
} dipp_plugin;

/* [entry] count receives the number of descriptors; array and descriptors are const data of the plugin. */
typedef const dipp_plugin *const *(*dipp_plugin_entry)(uint32_t *count);
#define DIPP_PLUGIN_ENTRY_NAME "dipp_plugin_entry_v1"

/* Defines the entry function for a list of descriptor addresses: DIPP_PLUGINS(&linear_plugin, &quadratic_plugin) */
#define DIPP_PLUGINS(...)                                            \
    const dipp_plugin *const *dipp_plugin_entry_v1(uint32_t *count); \
    const dipp_plugin *const *dipp_plugin_entry_v1(uint32_t *count)  \
    {                                                                \
        static const dipp_plugin *const list[] = {__VA_ARGS__};      \
        *count = (uint32_t)(sizeof list / sizeof *list);             \
        return list;                                                 \
    }

/* ---- Services of the host ------------------------------------------------------------------------------------- */

typedef struct dipp_host {
    uint32_t struct_size;
    void (*log)(const struct dipp_host *host, int level, const char *message); /* 0 error, 1 warning, 2 info, 3 debug */
    void *context;
} dipp_host;

/* ---- Shared vocabulary ---------------------------------------------------------------------------------------- */

/* Level of noise per sample, each wide [N]. t is as the parameterisation wants it (EDM: ln(sigma/alpha)/4). */
typedef struct dipp_level {
    dipp_tensor t, alpha, sigma;
} dipp_level;

/* What a text (or label) became: up to four tensors whose first dim is the batch. Opaque to the core. */
typedef struct dipp_condition {
    uint32_t count;
    dipp_tensor parts[4];
} dipp_condition;

/* Text as a recording gets it: tokens int32 [N, L] and mask wide [N, L] (1 valid, 0 padding). */
typedef struct dipp_prompt {
    dipp_tensor tokens, mask;
} dipp_prompt;

/* Space in which a reference or generator works. */
typedef struct dipp_space {
    uint32_t struct_size;
    dipp_shape sample; /* of one x0, without the batch: [d] or [channels, height, width] */
    dipp_parameterisation parameterisation;
    double sigma_data;      /* EDM only */
    dipp_schedule schedule; /* kind ANY: the configuration names it */
    uint32_t token_length;  /* L of tokenize; 0: takes no text */
    bool images;            /* decode gives pictures [N,3,H,W], nominally in [0,1]; otherwise rewards see x0 itself */
} dipp_space;

/* Reads a trained parameter as double; count elements are written to out. DIPP_E_NOT_FOUND for unknown names. */
typedef dipp_status (*dipp_parameter_reader)(void *context, const char *name, double *out, size_t count);
typedef void (*dipp_metric_writer)(void *context, const char *name, double value);

/* ---- Reference diffusions -------------------------------------------------------------------------------------- */

typedef struct dipp_reference {
    uint32_t struct_size;
    /* [main] *self is owned by the host until destroy. parameters are valid until destroy. */
    dipp_status (*create)(const dipp_parameters *parameters, const dipp_host *host, void **self, dipp_error *error);
    void (*destroy)(void *self);
    dipp_status (*space)(void *self, dipp_space *out, dipp_error *error);

    /* The network's native prediction at x [N, sample...] (preconditioned when EDM), of x's shape, wide or compute. */
    dipp_tensor (*predict)(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level, dipp_condition c);

    /* Optional (NULL): text -> tokens on the host; tokens int32 [count, L], mask float [count, L]. "" is the null prompt. */
    dipp_status (*tokenize)(void *self, const char *const *texts, uint32_t count, int32_t *tokens, float *mask,
                            dipp_error *error);
    /* Optional: tokens -> condition. p is a parameter set of its own, frozen unless the reference is being pretrained. */
    dipp_condition (*encode_text)(void *self, dipp_graph *g, dipp_params p, dipp_prompt text);

    /* Optional: x0 -> pictures, not clamped; NULL is the identity. p is the autoencoder's parameter set, which decode and
     * encode share: frozen unless the autoencoder itself is being pretrained. */
    dipp_tensor (*decode)(void *self, dipp_graph *g, dipp_params p, dipp_tensor x0);
    /* Optional: pictures -> x0. NULL is the identity. */
    dipp_tensor (*encode)(void *self, dipp_graph *g, dipp_params p, dipp_tensor images);

    /* Optional: numbers worth recording that follow from the parameters alone (mean, covariance). */
    dipp_status (*metrics)(void *self, dipp_parameter_reader read, void *read_context, dipp_metric_writer write,
                           void *write_context, dipp_error *error);
} dipp_reference;

/* ---- Generators ------------------------------------------------------------------------------------------------ */

typedef struct dipp_generator_info {
    uint32_t struct_size;
    dipp_shape sample;
    dipp_parameterisation parameterisation;
    double sigma_data;
    double sigma_init; /* sigma/alpha at which the first step starts; x_T = sigma z (scaled) or z (unit) at that t */
    bool unit_noise;
    bool takes_noise; /* true: generate gets z itself and returns x0, whatever the level (affine) */
} dipp_generator_info;

typedef struct dipp_generator {
    uint32_t struct_size;
    dipp_status (*create)(const dipp_parameters *parameters, const dipp_host *host, void **self, dipp_error *error);
    void (*destroy)(void *self);
    dipp_status (*info)(void *self, dipp_generator_info *out, dipp_error *error);
    /* As reference.predict; the core composes one or K steps from it. c comes from the reference's encode_text. */
    dipp_tensor (*generate)(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level,
                            dipp_condition c);
    /* Optional, as in dipp_reference. */
    dipp_status (*metrics)(void *self, dipp_parameter_reader read, void *read_context, dipp_metric_writer write,
                           void *write_context, dipp_error *error);
} dipp_generator;

/* ---- Rewards --------------------------------------------------------------------------------------------------- */

typedef enum dipp_reward_mode {
    DIPP_REWARD_ALIGN = 0,
    DIPP_REWARD_EVALUATE = 1,
    DIPP_REWARD_TRAIN = 2
} dipp_reward_mode;

typedef struct dipp_reward_info {
    uint32_t struct_size;
    bool images;           /* wants [N,3,H,W] in [0,1]; otherwise x0 [N, d] itself */
    bool opaque;           /* has score() and no record() */
    uint32_t token_length; /* 0: takes no text */
    int direction;         /* +1: larger is better (what alignment maximises), -1, 0 */
    const char *unit;
} dipp_reward_info;

typedef struct dipp_reward {
    uint32_t struct_size;
    dipp_status (*create)(const dipp_parameters *parameters, const dipp_host *host, void **self, dipp_error *error);
    void (*destroy)(void *self);
    dipp_status (*info)(void *self, dipp_reward_info *out, dipp_error *error);
    dipp_status (*tokenize)(void *self, const char *const *texts, uint32_t count, int32_t *tokens, float *mask,
                            dipp_error *error); /* optional */
    /* samples -> scores [N], wide. p: its own parameter set (frozen in ALIGN and EVALUATE, trained in TRAIN). */
    dipp_tensor (*record)(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                          dipp_reward_mode mode);
    /* Opaque rewards (docs/opaque-rewards.md): samples on the host, [count, sample...] with shape the shape of one
     * sample ([3, H, W] or [d]), and their count prompts ("" where a run has none) -> scores[count]; NaN where there is
     * none. gradient is NULL where none is wanted; otherwise count * sample numbers, entry i the derivative of scores[i]
     * to samples[i], filled when *has_gradient is set to true. *has_gradient arrives false, is never NULL, and must
     * become the same in every call that wants a gradient. Each sample is scored by itself, whatever the batch; an error
     * ends the run. [main]; may wait for another process. */
    dipp_status (*score)(void *self, const float *samples, const dipp_shape *shape, const char *const *prompts,
                         uint32_t count, double *scores, float *gradient, bool *has_gradient, dipp_error *error);

    /* Since 1.3. Rewards whose view of a prompt does not depend on samples have these two in place of record: scores are
     * record_encoded(samples, encode_text(text)). Where the reward is frozen, encode_text runs once for each prompt and what it
     * gives is kept. Both use p. In TRAIN mode a score is the logit whose differences say how likely one sample is preferred. */
    dipp_condition (*encode_text)(void *self, dipp_graph *g, dipp_params p, dipp_prompt text);
    dipp_tensor (*record_encoded)(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_condition text,
                                  dipp_reward_mode mode);
    /* Optional, since 1.3: samples [N, ...] against the texts of a condition of M rows -> logits [N, M], wide, for
     * contrastive training. */
    dipp_tensor (*contrast)(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_condition text);
} dipp_reward;

#ifdef __cplusplus
}
#endif
#endif
