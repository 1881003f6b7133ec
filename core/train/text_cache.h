/* What a frozen reward makes of prompts (encode_text), computed once for each and kept on the host, so that programs that
 * score samples read it as inputs and hold no text encoder. It is kept by tokens: rewards whose encoders are one and the same
 * computation over one parameter set share it, and each has a cache that tokenizes.
 *
 * create records the encoder; plan and bind put it into a plan; then learn and write. Lifetime: back-end, reward and its
 * parameter set > cache; the cache goes before the plan, and nothing is asked of one whose home is gone. [one thread at a
 * time per home] */
#ifndef DIPP_TRAIN_TEXT_CACHE_H
#define DIPP_TRAIN_TEXT_CACHE_H

#include "train/models.h"

/* The usual limit: 65536 prompts of 1024 numbers. */
enum { DIPP_TEXT_CACHE_BYTES = 256 << 20 };

typedef struct dipp_text_cache dipp_text_cache;

/* Whether the reward looks at prompts apart from samples. */
bool dipp_reward_caches_text(const dipp_reward_model *reward);

/* Records encode_text for a few prompts at a time. rows: how many texts dipp_text_cache_write writes. limit: most bytes
 * of features; where more are wanted all are forgotten, and what is met again is encoded again. others (NULL ones are
 * passed over): caches before it, one of which is its home where it has the back-end and rows of this one, its reward
 * has the parameters of this one, and its encoder records the same operations; encoder, features and limit are the
 * home's then. The reward's layout may still be open; its set is read by bind. DIPP_E_INVALID, DIPP_E_UNSUPPORTED: what
 * the recording says. */
dipp_status dipp_text_cache_create(const dipp_reward_model *reward, dipp_backend *backend, uint32_t rows, size_t limit,
                                   dipp_text_cache *const *others, uint32_t other_count, dipp_text_cache **out,
                                   dipp_error *error);
void dipp_text_cache_destroy(dipp_text_cache **cache);
/* Whether encoder and features are its own. Where they are not, plan and bind do nothing, and it has no bytes and no
 * work. */
bool dipp_text_cache_is_home(const dipp_text_cache *cache);

/* The parts of rows texts as inputs NAME.0, NAME.1, ... [rows, ...] of another recording. */
dipp_condition dipp_text_cache_inputs(const dipp_text_cache *cache, dipp_graph *g, const char *name);

/* Appends the encoder's step; it belongs before those of programs that read what it gives. */
dipp_status dipp_text_cache_plan(dipp_text_cache *cache, dipp_plan *plan, dipp_error *error);
/* After the plan's memory is there. */
dipp_status dipp_text_cache_bind(dipp_text_cache *cache, dipp_plan *plan, dipp_error *error);

/* Encodes those of the texts that are not kept yet, as far as there is room. */
dipp_status dipp_text_cache_learn(dipp_text_cache *cache, const char *const *texts, size_t count, dipp_error *error);

/* Writes the parts of count texts (1 to rows) to the inputs that dipp_text_cache_inputs declared; rows beyond repeat the
 * first. What is not kept is encoded. */
dipp_status dipp_text_cache_write(dipp_text_cache *cache, dipp_executable *run, const char *name,
                                  const char *const *texts, uint32_t count, dipp_error *error);

/* Host bytes of the features of so many different texts. */
size_t dipp_text_cache_bytes(const dipp_text_cache *cache, size_t texts);
/* Useful work of encoding one text. */
double dipp_text_cache_flops(const dipp_text_cache *cache);
/* How many texts were encoded so far. */
uint64_t dipp_text_cache_work(const dipp_text_cache *cache);

#endif
