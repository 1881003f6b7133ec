#include "train/text_cache.h"

#include "base/memory.h"
#include "tensor/graph.h"
#include "train/claims.h"
#include "train/program_io.h"
#include "train/scores.h"

#include <stdio.h>
#include <string.h>

enum { ENCODED_AT_ONCE = 16 };

/* One tensor of what encode_text gives, as it is kept: a row of numbers for each text. */
typedef struct text_part {
    dipp_dtype dtype;
    dipp_shape shape; /* of `rows` texts */
    dipp_host_type type;
    size_t numbers, bytes, offset; /* of a text's row; offset: where it lies among the text's features */
} text_part;

/* Features belong to tokens, so rewards with one encoder share them whatever their tokenizers do. Everything but reward
 * and the buffers of what is asked is of a home alone. */
struct dipp_text_cache {
    const dipp_reward_model *reward; /* whose tokenizer it is */
    dipp_text_cache *home;           /* whose encoder and features these are: itself, or an earlier cache */
    dipp_backend *backend;
    uint32_t rows, batch;  /* of what reads the features; encoded at once */
    int32_t *asked_tokens; /* [rows, L], a batch or more */
    float *asked_mask;     /* [rows, L] */

    text_part parts[DIPP_MAX_CONDITION_PARTS];
    uint32_t part_count;
    size_t length, text_bytes; /* L; of a text's features */
    dipp_program *program;
    dipp_executable *run;

    int32_t *tokens;     /* [capacity, L] */
    float *mask;         /* [capacity, L] */
    char *features;      /* [capacity, text_bytes] */
    uint32_t *buckets;   /* open hash of rows of tokens and mask: index + 1, 0 empty */
    size_t bucket_count; /* a power of two above 2 capacity */
    size_t held, encoded, capacity, most;
    uint64_t work; /* texts that were encoded in all */

    int32_t *batch_tokens; /* [batch, L] */
    float *batch_mask;     /* [batch, L] */
    char *staging;         /* a part of all rows, or of a batch */
};

static dipp_status no_memory(const dipp_reward_model *reward, dipp_error *error)
{
    return dipp_fail(error, DIPP_E_MEMORY, "no memory for the texts of %s", reward->plugin->name);
}

bool dipp_reward_caches_text(const dipp_reward_model *reward)
{
    return !reward->info.opaque && reward->info.token_length && dipp_reward_encodes(reward->vtable);
}

/* ---- Recording ---- */

static dipp_condition encode_text(const dipp_reward_model *reward, dipp_graph *g, dipp_params p, dipp_prompt text)
{
    return dipp_expect_condition(g, reward->vtable->encode_text(reward->self, g, p, text), dipp_dim(g, text.tokens, 0));
}

/* Makes an earlier cache the home where the reward's encoder is that one's: over one set, and nothing new where both
 * are recorded into one graph. */
static dipp_status find_home(dipp_text_cache *cache, dipp_text_cache *other, dipp_error *error)
{
    const dipp_reward_model *reward = cache->reward;
    dipp_graph *g;
    if (other->home != other || other->backend != cache->backend || other->rows != cache->rows || !reward->home ||
        reward->home != other->reward->home || cache->length != other->length)
        return DIPP_OK;
    dipp_status status = dipp_graph_create("encoders of texts", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_graph_share_equal(g, true);
    dipp_params p = dipp_graph_slot(g, "reward", reward->layout, false);
    dipp_prompt text = dipp_prompt_inputs(g, "", (int64_t)cache->batch, reward->info.token_length);
    dipp_condition a = encode_text(other->reward, g, p, text), b = encode_text(reward, g, p, text);
    bool alike = a.count == b.count;
    for (uint32_t i = 0; i < a.count && alike; i++)
        alike = a.parts[i].id == b.parts[i].id;
    status = dipp_graph_status(g, error);
    if (status == DIPP_OK && alike)
        cache->home = other;
    dipp_graph_destroy(&g);
    return status;
}

static dipp_status record(dipp_text_cache *cache, dipp_error *error)
{
    const dipp_reward_model *reward = cache->reward;
    char name[96];
    dipp_graph *g;
    snprintf(name, sizeof name, "text of %s", reward->plugin->name);
    dipp_status status = dipp_graph_create(name, &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params own = dipp_graph_slot(g, "reward", reward->layout, false);
    dipp_prompt text = dipp_prompt_inputs(g, "", (int64_t)cache->batch, reward->info.token_length);
    dipp_condition c = encode_text(reward, g, own, text);
    for (uint32_t i = 0; i < c.count; i++) {
        text_part *part = &cache->parts[cache->part_count++];
        *part = (text_part){.dtype = dipp_dtype_of(g, c.parts[i]), .shape = dipp_shape_of(g, c.parts[i])};
        part->numbers = (size_t)(dipp_shape_elements(&part->shape) / part->shape.dims[0]);
        part->shape.dims[0] = cache->rows;
        snprintf(name, sizeof name, "text.%u", i);
        dipp_output(g, name, c.parts[i]);
    }
    return dipp_program_create(&g, cache->backend, &cache->program, error);
}

/* What a device's numbers are kept as without a loss. */
static dipp_host_type kept_as(const dipp_backend *backend, dipp_dtype dtype)
{
    if (dtype == DIPP_INT32)
        return DIPP_HOST_I32;
    return backend->element_size[dtype] > sizeof(float) ? DIPP_HOST_F64 : DIPP_HOST_F32;
}

static bool arrange(dipp_text_cache *cache, size_t limit)
{
    size_t staged = 1, tokens = (size_t)cache->batch * cache->length;
    size_t most_rows = cache->rows > cache->batch ? cache->rows : cache->batch;
    for (uint32_t i = 0; i < cache->part_count; i++) {
        text_part *part = &cache->parts[i];
        part->type = kept_as(cache->backend, part->dtype);
        part->bytes = part->numbers * (part->type == DIPP_HOST_F64 ? sizeof(double) : sizeof(float));
        part->offset = cache->text_bytes;
        cache->text_bytes += (part->bytes + sizeof(double) - 1) / sizeof(double) * sizeof(double);
        if (part->bytes * most_rows > staged)
            staged = part->bytes * most_rows;
    }
    cache->most = limit / (cache->text_bytes ? cache->text_bytes : 1);
    if (cache->most < cache->rows)
        cache->most = cache->rows;
    cache->batch_tokens = dipp_allocate_zeroed(tokens, sizeof *cache->batch_tokens);
    cache->batch_mask = dipp_allocate_zeroed(tokens, sizeof *cache->batch_mask);
    cache->staging = dipp_allocate(staged);
    return cache->batch_tokens && cache->batch_mask && cache->staging;
}

dipp_status dipp_text_cache_create(const dipp_reward_model *reward, dipp_backend *backend, uint32_t rows, size_t limit,
                                   dipp_text_cache *const *others, uint32_t other_count, dipp_text_cache **out,
                                   dipp_error *error)
{
    dipp_text_cache *cache = dipp_allocate_zeroed(1, sizeof *cache);
    if (!cache)
        return no_memory(reward, error);
    cache->reward = reward;
    cache->home = cache;
    cache->backend = backend;
    cache->rows = rows;
    cache->batch = rows < ENCODED_AT_ONCE ? rows : ENCODED_AT_ONCE;
    cache->length = reward->info.token_length;
    size_t asked = (size_t)rows * cache->length;
    cache->asked_tokens = dipp_allocate_zeroed(asked, sizeof *cache->asked_tokens);
    cache->asked_mask = dipp_allocate_zeroed(asked, sizeof *cache->asked_mask);
    dipp_status status = cache->asked_tokens && cache->asked_mask ? DIPP_OK : no_memory(reward, error);
    for (uint32_t i = 0; i < other_count && cache->home == cache && status == DIPP_OK; i++)
        if (others[i])
            status = find_home(cache, others[i], error);
    if (status == DIPP_OK && cache->home == cache)
        status = record(cache, error);
    if (status == DIPP_OK && cache->home == cache && !arrange(cache, limit))
        status = no_memory(reward, error);
    if (status != DIPP_OK)
        dipp_text_cache_destroy(&cache);
    *out = cache;
    return status;
}

void dipp_text_cache_destroy(dipp_text_cache **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_text_cache *cache = *pointer;
    dipp_executable_destroy(&cache->run);
    dipp_program_destroy(&cache->program);
    void *memory[] = {cache->asked_tokens, cache->asked_mask,   cache->tokens,     cache->mask,   cache->features,
                      cache->buckets,      cache->batch_tokens, cache->batch_mask, cache->staging};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        dipp_release(memory[i]);
    dipp_release(cache);
    *pointer = NULL;
}

bool dipp_text_cache_is_home(const dipp_text_cache *cache)
{
    return cache->home == cache;
}

dipp_condition dipp_text_cache_inputs(const dipp_text_cache *cache, dipp_graph *g, const char *name)
{
    const dipp_text_cache *home = cache->home;
    dipp_condition c = {.count = home->part_count};
    for (uint32_t i = 0; i < c.count; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s.%u", name, i);
        c.parts[i] = dipp_input(g, text, home->parts[i].dtype, home->parts[i].shape);
    }
    return c;
}

dipp_status dipp_text_cache_plan(dipp_text_cache *cache, dipp_plan *plan, dipp_error *error)
{
    return cache->home == cache ? dipp_plan_step(plan, cache->program, 0, error) : DIPP_OK;
}

dipp_status dipp_text_cache_bind(dipp_text_cache *cache, dipp_plan *plan, dipp_error *error)
{
    return cache->home == cache
               ? dipp_executable_create(plan, cache->program, &(dipp_binding){cache->reward->set, NULL}, 1, &cache->run,
                                        error)
               : DIPP_OK;
}

/* ---- What is kept ---- */

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t bytes)
{
    for (const unsigned char *at = data, *end = at + bytes; at < end; at++)
        hash = (hash ^ *at) * 1099511628211u; /* FNV-1a */
    return hash;
}

/* Where a row of tokens and mask [L] is among the buckets, or belongs. */
static size_t place_of(const dipp_text_cache *home, const int32_t *tokens, const float *mask)
{
    size_t length = home->length, bytes = length * sizeof *tokens, mask_bytes = length * sizeof *mask;
    uint64_t hash = hash_bytes(hash_bytes(1469598103934665603u, tokens, bytes), mask, mask_bytes);
    size_t at = (size_t)(hash ^ hash >> 32) & (home->bucket_count - 1);
    for (; home->buckets[at]; at = (at + 1) & (home->bucket_count - 1)) {
        size_t row = (home->buckets[at] - 1) * length;
        if (!memcmp(home->tokens + row, tokens, bytes) && !memcmp(home->mask + row, mask, mask_bytes))
            break;
    }
    return at;
}

static bool is_kept(const dipp_text_cache *home, const int32_t *tokens, const float *mask)
{
    return home->bucket_count && home->buckets[place_of(home, tokens, mask)];
}

static void forget(dipp_text_cache *home)
{
    home->held = home->encoded = 0;
    if (home->bucket_count)
        memset(home->buckets, 0, home->bucket_count * sizeof *home->buckets);
}

/* Room for so many texts in all, as far as the cache may grow; by half at least, so that one by one is no worse. */
static bool reserve(dipp_text_cache *home, size_t texts)
{
    if (texts > home->most)
        texts = home->most;
    if (texts <= home->capacity)
        return true;
    if (texts < home->capacity + home->capacity / 2)
        texts = home->capacity + home->capacity / 2 < home->most ? home->capacity + home->capacity / 2 : home->most;
    size_t buckets = home->bucket_count ? home->bucket_count : 64;
    while (buckets < 2 * texts + 1)
        buckets *= 2;
    char *features = dipp_reallocate(home->features, texts * home->text_bytes + 1);
    home->features = features ? features : home->features;
    int32_t *tokens = features ? dipp_reallocate(home->tokens, texts * home->length * sizeof *tokens) : NULL;
    home->tokens = tokens ? tokens : home->tokens;
    float *mask = tokens ? dipp_reallocate(home->mask, texts * home->length * sizeof *mask) : NULL;
    home->mask = mask ? mask : home->mask;
    uint32_t *table = mask ? dipp_allocate_zeroed(buckets, sizeof *table) : NULL;
    if (!table)
        return false;
    dipp_release(home->buckets);
    home->buckets = table;
    home->bucket_count = buckets;
    home->capacity = texts;
    for (size_t i = 0; i < home->held; i++)
        home->buckets[place_of(home, home->tokens + i * home->length, home->mask + i * home->length)] = (uint32_t)i + 1;
    return true;
}

/* Features of the texts [encoded, held), a batch of them at most. */
static dipp_status encode(dipp_text_cache *home, dipp_error *error)
{
    size_t length = home->length, count = home->held - home->encoded;
    if (!count)
        return DIPP_OK;
    for (size_t i = 0; i < home->batch; i++) { /* rows beyond the last repeat the first */
        size_t row = (home->encoded + (i < count ? i : 0)) * length;
        memcpy(home->batch_tokens + i * length, home->tokens + row, length * sizeof *home->tokens);
        memcpy(home->batch_mask + i * length, home->mask + row, length * sizeof *home->mask);
    }
    dipp_status status =
        dipp_write_text(home->run, "", home->batch_tokens, home->batch_mask, home->batch * length, error);
    if (status == DIPP_OK)
        dipp_execute(home->run, 0);
    for (uint32_t k = 0; k < home->part_count && status == DIPP_OK; k++) {
        const text_part *part = &home->parts[k];
        char name[16];
        snprintf(name, sizeof name, "text.%u", k);
        status = dipp_executable_read(home->run, name, home->staging, part->type, home->batch * part->numbers, error);
        for (size_t i = 0; i < count && status == DIPP_OK; i++)
            memcpy(home->features + (home->encoded + i) * home->text_bytes + part->offset,
                   home->staging + i * part->bytes, part->bytes);
    }
    if (status != DIPP_OK)
        return status;
    home->encoded = home->held;
    home->work += count;
    return DIPP_OK;
}

/* Tokens and mask of texts, at most rows of them, to where asked ones are. */
static dipp_status tokenize(dipp_text_cache *cache, const char *const *texts, size_t count, dipp_error *error)
{
    const dipp_reward_model *reward = cache->reward;
    return reward->vtable->tokenize(reward->self, texts, (uint32_t)count, cache->asked_tokens, cache->asked_mask,
                                    error);
}

/* Keeps the asked texts 0 .. count - 1, as far as there is room. */
static dipp_status keep(dipp_text_cache *cache, size_t count, dipp_error *error)
{
    dipp_text_cache *home = cache->home;
    size_t length = home->length;
    dipp_status status = DIPP_OK;
    for (size_t i = 0; i < count && status == DIPP_OK; i++) {
        const int32_t *tokens = cache->asked_tokens + i * length;
        const float *mask = cache->asked_mask + i * length;
        if (is_kept(home, tokens, mask))
            continue;
        if (home->held == home->most)
            break;
        if (!reserve(home, home->held + 1))
            return no_memory(cache->reward, error);
        memcpy(home->tokens + home->held * length, tokens, length * sizeof *tokens);
        memcpy(home->mask + home->held * length, mask, length * sizeof *mask);
        home->buckets[place_of(home, tokens, mask)] = (uint32_t)++home->held;
        if (home->held - home->encoded == home->batch)
            status = encode(home, error);
    }
    return status;
}

/* Encodes what is still to be; after an error a text may stand there without its features. */
static dipp_status finish(dipp_text_cache *cache, dipp_status status, dipp_error *error)
{
    if (status == DIPP_OK)
        status = encode(cache->home, error);
    if (status == DIPP_OK)
        return DIPP_OK;
    forget(cache->home);
    return dipp_error_context(error, "texts of %s", cache->reward->plugin->name);
}

dipp_status dipp_text_cache_learn(dipp_text_cache *cache, const char *const *texts, size_t count, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (size_t first = 0; first < count && status == DIPP_OK; first += cache->rows) {
        size_t piece = count - first < cache->rows ? count - first : cache->rows;
        status = tokenize(cache, texts + first, piece, error);
        if (status == DIPP_OK)
            status = keep(cache, piece, error);
    }
    return finish(cache, status, error);
}

dipp_status dipp_text_cache_write(dipp_text_cache *cache, dipp_executable *run, const char *name,
                                  const char *const *texts, uint32_t count, dipp_error *error)
{
    dipp_text_cache *home = cache->home;
    size_t missing = 0, length = home->length;
    dipp_status status = tokenize(cache, texts, count, error);
    for (uint32_t i = 0; i < count && status == DIPP_OK; i++)
        missing += !is_kept(home, cache->asked_tokens + i * length, cache->asked_mask + i * length);
    if (home->held + missing > home->most)
        forget(home);
    if (status == DIPP_OK)
        status = keep(cache, count, error);
    status = finish(cache, status, error);
    for (uint32_t k = 0; k < home->part_count && status == DIPP_OK; k++) {
        const text_part *part = &home->parts[k];
        char input[64];
        snprintf(input, sizeof input, "%s.%u", name, k);
        for (uint32_t i = 0; i < cache->rows; i++) {
            size_t row = (i < count ? i : 0) * length;
            size_t text = home->buckets[place_of(home, cache->asked_tokens + row, cache->asked_mask + row)] - 1;
            memcpy(home->staging + i * part->bytes, home->features + text * home->text_bytes + part->offset,
                   part->bytes);
        }
        status = dipp_executable_write(run, input, home->staging, part->type, home->rows * part->numbers, error);
    }
    return status;
}

size_t dipp_text_cache_bytes(const dipp_text_cache *cache, size_t texts)
{
    return cache->home == cache ? (texts < cache->most ? texts : cache->most) * cache->text_bytes : 0;
}

double dipp_text_cache_flops(const dipp_text_cache *cache)
{
    return cache->home == cache ? dipp_program_flops(cache->program, 0) / cache->batch : 0;
}

uint64_t dipp_text_cache_work(const dipp_text_cache *cache)
{
    return cache->work;
}
