#include "train/text_cache.h"

#include "base/arena.h"
#include "base/memory.h"
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

struct dipp_text_cache {
    const dipp_reward_model *reward;
    dipp_backend *backend;
    uint32_t rows, batch; /* of what reads the features; encoded at once */
    text_part parts[DIPP_MAX_CONDITION_PARTS];
    uint32_t part_count;
    size_t text_bytes; /* of a text's features */
    dipp_program *program;
    dipp_executable *run;

    dipp_arena *names;   /* the texts */
    const char **texts;  /* [held] */
    char *features;      /* [capacity, text_bytes] */
    uint32_t *buckets;   /* open hash of texts: index + 1, 0 empty */
    size_t bucket_count; /* a power of two above 2 capacity */
    size_t held, encoded, capacity, most;

    int32_t *tokens; /* [batch, L] */
    float *mask;     /* [batch, L] */
    char *staging;   /* a part of all rows, or of a batch */
};

bool dipp_reward_caches_text(const dipp_reward_model *reward)
{
    return !reward->info.opaque && reward->info.token_length && dipp_reward_encodes(reward->vtable);
}

/* ---- Recording ---- */

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
    dipp_condition c =
        dipp_expect_condition(g, reward->vtable->encode_text(reward->self, g, own, text), (int64_t)cache->batch);
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
    size_t staged = 1, tokens = (size_t)cache->batch * cache->reward->info.token_length;
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
    cache->names = dipp_arena_create(0);
    cache->tokens = dipp_allocate_zeroed(tokens, sizeof *cache->tokens);
    cache->mask = dipp_allocate_zeroed(tokens, sizeof *cache->mask);
    cache->staging = dipp_allocate(staged);
    return cache->names && cache->tokens && cache->mask && cache->staging;
}

dipp_status dipp_text_cache_create(const dipp_reward_model *reward, dipp_backend *backend, uint32_t rows, size_t limit,
                                   dipp_text_cache **out, dipp_error *error)
{
    dipp_text_cache *cache = dipp_allocate_zeroed(1, sizeof *cache);
    if (!cache)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the texts of %s", reward->plugin->name);
    cache->reward = reward;
    cache->backend = backend;
    cache->rows = rows;
    cache->batch = rows < ENCODED_AT_ONCE ? rows : ENCODED_AT_ONCE;
    dipp_status status = record(cache, error);
    if (status == DIPP_OK && !arrange(cache, limit))
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the texts of %s", reward->plugin->name);
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
    dipp_arena_destroy(&cache->names);
    void *memory[] = {(void *)cache->texts, cache->features, cache->buckets,
                      cache->tokens,        cache->mask,     cache->staging};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        dipp_release(memory[i]);
    dipp_release(cache);
    *pointer = NULL;
}

dipp_condition dipp_text_cache_inputs(const dipp_text_cache *cache, dipp_graph *g, const char *name)
{
    dipp_condition c = {.count = cache->part_count};
    for (uint32_t i = 0; i < c.count; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s.%u", name, i);
        c.parts[i] = dipp_input(g, text, cache->parts[i].dtype, cache->parts[i].shape);
    }
    return c;
}

dipp_status dipp_text_cache_plan(dipp_text_cache *cache, dipp_plan *plan, dipp_error *error)
{
    return dipp_plan_step(plan, cache->program, 0, error);
}

dipp_status dipp_text_cache_bind(dipp_text_cache *cache, dipp_plan *plan, dipp_error *error)
{
    return dipp_executable_create(plan, cache->program, &(dipp_binding){cache->reward->set, NULL}, 1, &cache->run,
                                  error);
}

/* ---- What is kept ---- */

static size_t place_of(const dipp_text_cache *cache, const char *text)
{
    uint64_t hash = 1469598103934665603u; /* FNV-1a */
    for (const char *c = text; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    size_t at = hash & (cache->bucket_count - 1);
    while (cache->buckets[at] && strcmp(cache->texts[cache->buckets[at] - 1], text))
        at = (at + 1) & (cache->bucket_count - 1);
    return at;
}

static bool is_kept(const dipp_text_cache *cache, const char *text)
{
    return cache->bucket_count && cache->buckets[place_of(cache, text)];
}

static void forget(dipp_text_cache *cache)
{
    cache->held = cache->encoded = 0;
    dipp_arena_reset(cache->names);
    if (cache->bucket_count)
        memset(cache->buckets, 0, cache->bucket_count * sizeof *cache->buckets);
}

/* Room for so many texts in all, as far as the cache may grow; by half at least, so that one by one is no worse. */
static bool reserve(dipp_text_cache *cache, size_t texts)
{
    if (texts > cache->most)
        texts = cache->most;
    if (texts <= cache->capacity)
        return true;
    if (texts < cache->capacity + cache->capacity / 2)
        texts =
            cache->capacity + cache->capacity / 2 < cache->most ? cache->capacity + cache->capacity / 2 : cache->most;
    size_t buckets = cache->bucket_count ? cache->bucket_count : 64;
    while (buckets < 2 * texts + 1)
        buckets *= 2;
    char *features = dipp_reallocate(cache->features, texts * cache->text_bytes + 1);
    cache->features = features ? features : cache->features;
    const char **names = features ? dipp_reallocate((void *)cache->texts, texts * sizeof *names) : NULL;
    cache->texts = names ? names : cache->texts;
    uint32_t *table = names ? dipp_allocate_zeroed(buckets, sizeof *table) : NULL;
    if (!table)
        return false;
    dipp_release(cache->buckets);
    cache->buckets = table;
    cache->bucket_count = buckets;
    cache->capacity = texts;
    for (size_t i = 0; i < cache->held; i++)
        cache->buckets[place_of(cache, cache->texts[i])] = (uint32_t)i + 1;
    return true;
}

/* Features of the texts [encoded, held), a batch of them at most. */
static dipp_status encode(dipp_text_cache *cache, dipp_error *error)
{
    const dipp_reward_model *reward = cache->reward;
    size_t length = reward->info.token_length, count = cache->held - cache->encoded;
    if (!count)
        return DIPP_OK;
    dipp_status status = reward->vtable->tokenize(reward->self, cache->texts + cache->encoded, (uint32_t)count,
                                                  cache->tokens, cache->mask, error);
    for (size_t i = count; i < cache->batch && status == DIPP_OK; i++) { /* rows beyond the last repeat the first */
        memcpy(cache->tokens + i * length, cache->tokens, length * sizeof *cache->tokens);
        memcpy(cache->mask + i * length, cache->mask, length * sizeof *cache->mask);
    }
    if (status == DIPP_OK)
        status = dipp_write_text(cache->run, "", cache->tokens, cache->mask, cache->batch * length, error);
    if (status == DIPP_OK)
        dipp_execute(cache->run, 0);
    for (uint32_t k = 0; k < cache->part_count && status == DIPP_OK; k++) {
        const text_part *part = &cache->parts[k];
        char name[16];
        snprintf(name, sizeof name, "text.%u", k);
        status =
            dipp_executable_read(cache->run, name, cache->staging, part->type, cache->batch * part->numbers, error);
        for (size_t i = 0; i < count && status == DIPP_OK; i++)
            memcpy(cache->features + (cache->encoded + i) * cache->text_bytes + part->offset,
                   cache->staging + i * part->bytes, part->bytes);
    }
    if (status != DIPP_OK)
        return dipp_error_context(error, "texts of %s", reward->plugin->name);
    cache->encoded = cache->held;
    return DIPP_OK;
}

static dipp_status learn(dipp_text_cache *cache, const char *const *texts, size_t count, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (size_t i = 0; i < count && status == DIPP_OK; i++) {
        if (is_kept(cache, texts[i]))
            continue;
        if (cache->held == cache->most)
            break;
        char *name = reserve(cache, cache->held + 1) ? dipp_arena_string(cache->names, texts[i]) : NULL;
        if (!name)
            return dipp_fail(error, DIPP_E_MEMORY, "no memory for the texts of %s", cache->reward->plugin->name);
        cache->texts[cache->held++] = name;
        cache->buckets[place_of(cache, name)] = (uint32_t)cache->held;
        if (cache->held - cache->encoded == cache->batch)
            status = encode(cache, error);
    }
    return status == DIPP_OK ? encode(cache, error) : status;
}

dipp_status dipp_text_cache_learn(dipp_text_cache *cache, const char *const *texts, size_t count, dipp_error *error)
{
    size_t missing = 0;
    for (size_t i = 0; i < count; i++)
        missing += !is_kept(cache, texts[i]);
    dipp_status status =
        !missing || reserve(cache, cache->held + missing)
            ? learn(cache, texts, count, error)
            : dipp_fail(error, DIPP_E_MEMORY, "no memory for the texts of %s", cache->reward->plugin->name);
    if (status != DIPP_OK) /* a text may stand there without its features */
        forget(cache);
    return status;
}

dipp_status dipp_text_cache_write(dipp_text_cache *cache, dipp_executable *run, const char *name,
                                  const char *const *texts, uint32_t count, dipp_error *error)
{
    size_t missing = 0;
    for (uint32_t i = 0; i < count; i++)
        missing += !is_kept(cache, texts[i]);
    if (cache->held + missing > cache->most)
        forget(cache);
    dipp_status status = dipp_text_cache_learn(cache, texts, count, error);
    for (uint32_t k = 0; k < cache->part_count && status == DIPP_OK; k++) {
        const text_part *part = &cache->parts[k];
        char input[64];
        snprintf(input, sizeof input, "%s.%u", name, k);
        for (uint32_t i = 0; i < cache->rows; i++) {
            size_t text = cache->buckets[place_of(cache, texts[i < count ? i : 0])] - 1;
            memcpy(cache->staging + i * part->bytes, cache->features + text * cache->text_bytes + part->offset,
                   part->bytes);
        }
        status = dipp_executable_write(run, input, cache->staging, part->type, cache->rows * part->numbers, error);
    }
    return status;
}

size_t dipp_text_cache_bytes(const dipp_text_cache *cache, size_t texts)
{
    return (texts < cache->most ? texts : cache->most) * cache->text_bytes;
}

double dipp_text_cache_flops(const dipp_text_cache *cache)
{
    return dipp_program_flops(cache->program, 0) / cache->batch;
}
