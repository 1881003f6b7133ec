/* Choosing pairs: pictures from the store or a file, all pairs of a prompt, a random order that new pictures do not upset. */
#include "label/label_pairs.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/philox.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pair that may be shown. Words are random, a function of seed and pictures. */
typedef struct candidate {
    uint32_t a, b;  /* into pictures, a has the smaller hash */
    uint32_t round; /* which of its prompt's pairs it is */
    bool one_arm;
    uint64_t word;
} candidate;

/* ---- Pictures ---- */

dipp_status dipp_label_pairs_add(dipp_label_pairs *pairs, const dipp_label_picture *picture, dipp_error *error)
{
    dipp_label_picture copy = *picture;
    copy.prompt = dipp_string_copy(picture->prompt);
    copy.path = dipp_string_copy(picture->path);
    copy.arm = dipp_string_copy(picture->arm);
    if (!copy.prompt || !copy.path || !copy.arm ||
        !dipp_grow((void **)&pairs->pictures, &pairs->picture_capacity, pairs->picture_count + 1,
                   sizeof *pairs->pictures)) {
        dipp_release(copy.prompt);
        dipp_release(copy.path);
        dipp_release(copy.arm);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for pictures to label");
    }
    pairs->pictures[pairs->picture_count++] = copy;
    return DIPP_OK;
}

typedef struct gathering {
    dipp_label_pairs *pairs;
    dipp_status status;
    dipp_error *error;
} gathering;

/* artifact, path, sha256, prompt, arm */
static int add_row(void *user, int columns, const char *const *names, const char *const *values)
{
    gathering *gather = user;
    dipp_label_picture picture = {.prompt = (char *)values[3], .path = (char *)values[1], .arm = (char *)values[4]};
    picture.artifact_id = strtoll(values[0], NULL, 10);
    snprintf(picture.sha256, sizeof picture.sha256, "%s", values[2]);
    gather->status = dipp_label_pairs_add(gather->pairs, &picture, gather->error);
    return gather->status != DIPP_OK;
}

static dipp_status add_run(dipp_store *store, int64_t run_id, bool all, dipp_label_pairs *pairs, dipp_error *error)
{
    static const char sql[] =
        "WITH p AS (SELECT a.*, json_extract(a.meta_json,'$.subject') AS subject, json_extract(a.meta_json,'$.text') "
        "AS "
        "prompt FROM artifacts a WHERE a.run_id=CAST(?1 AS INTEGER) AND a.kind='image' AND a.meta_json IS NOT NULL) "
        "SELECT p.artifact_id, p.path, p.sha256, p.prompt, printf('%s/%s/%s', x.name, CASE WHEN p.subject='reference' "
        "THEN '(reference)' WHEN p.step=0 AND p.step<(SELECT max(step) FROM p) THEN '(step 0)' ELSE r.arm END, "
        "iif(p.subject='reference' OR p.step=0, '', r.config_sha256)) FROM p JOIN runs r USING(run_id) JOIN "
        "experiments x "
        "USING(experiment_id) WHERE p.prompt IS NOT NULL AND ((p.subject<>'reference' AND p.step=(SELECT max(l.step) "
        "FROM "
        "p l WHERE l.subject<>'reference')) OR (?2='all' AND (p.subject='reference' OR p.step=0))) ORDER BY p.path";
    char run[24];
    const char *binds[] = {run, all ? "all" : ""};
    gathering gather = {.pairs = pairs, .status = DIPP_OK, .error = error};
    snprintf(run, sizeof run, "%lld", (long long)run_id);
    dipp_status status = dipp_store_query(store, sql, binds, 2, add_row, &gather, error);
    return status == DIPP_OK ? gather.status : status;
}

typedef struct run_list {
    int64_t *ids;
    size_t count, capacity;
    bool full; /* no memory for more */
} run_list;

static int list_run(void *user, const dipp_run_row *row)
{
    run_list *runs = user;
    runs->full = !dipp_grow((void **)&runs->ids, &runs->capacity, runs->count + 1, sizeof *runs->ids);
    if (!runs->full)
        runs->ids[runs->count++] = row->run_id;
    return runs->full;
}

/* The runs of an experiment of this name, else the one run that is meant. */
static dipp_status add_named(dipp_store *store, const char *name, bool all, dipp_label_pairs *pairs, dipp_error *error)
{
    run_list runs = {0};
    dipp_run_filter filter = {.experiment = name};
    int64_t run_id = 0;
    dipp_status status = dipp_store_each_run(store, &filter, list_run, &runs, error);
    if (status == DIPP_OK && !runs.count && !runs.full) {
        status = dipp_store_find_run(store, name, NULL, &run_id, error);
        if (status == DIPP_E_NOT_FOUND)
            status = dipp_fail(error, status, "%s has neither an experiment nor a run `%s`; `dipp ls` lists them",
                               dipp_store_path(store), name);
        if (status == DIPP_OK)
            status = add_run(store, run_id, all, pairs, error);
    }
    if (runs.full)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the runs of %s", name);
    for (size_t i = 0; i < runs.count && status == DIPP_OK; i++)
        status = add_run(store, runs.ids[i], all, pairs, error);
    dipp_release(runs.ids);
    return status;
}

static int by_prompt_and_hash(const void *a, const void *b)
{
    const dipp_label_picture *x = a, *y = b;
    int order = strcmp(x->prompt, y->prompt);
    if (!order)
        order = (x->line > y->line) - (x->line < y->line);
    if (!order)
        order = strcmp(x->sha256, y->sha256);
    return order ? order : (x->artifact_id > y->artifact_id) - (x->artifact_id < y->artifact_id);
}

static void release_picture(dipp_label_picture *picture)
{
    dipp_release(picture->prompt);
    dipp_release(picture->path);
    dipp_release(picture->arm);
}

/* Sorts, and keeps one of the same file and prompt: every run of an experiment has the reference's. */
static void sort_pictures(dipp_label_pairs *pairs)
{
    size_t kept = 0;
    if (pairs->picture_count)
        qsort(pairs->pictures, pairs->picture_count, sizeof *pairs->pictures, by_prompt_and_hash);
    for (size_t i = 0; i < pairs->picture_count; i++) {
        dipp_label_picture *last = kept ? &pairs->pictures[kept - 1] : NULL, *next = &pairs->pictures[i];
        if (last && !strcmp(last->prompt, next->prompt) && last->line == next->line &&
            !strcmp(last->sha256, next->sha256))
            release_picture(&pairs->pictures[i]);
        else
            pairs->pictures[kept++] = pairs->pictures[i];
    }
    pairs->picture_count = kept;
}

/* ---- Pairs ---- */

static uint64_t leading_word(const char *sha256)
{
    char digits[17];
    snprintf(digits, sizeof digits, "%.16s", sha256);
    return strtoull(digits, NULL, 16);
}

/* 64 random bits of two pictures: they stay the same when others join. */
static uint64_t random_word(uint64_t seed, const char *a_sha256, const char *b_sha256)
{
    uint64_t a = leading_word(a_sha256), b = leading_word(b_sha256);
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, out[4];
    uint32_t counter[4] = {(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b, (uint32_t)(b >> 32)};
    dipp_philox4x32(key, counter, out);
    return (uint64_t)out[0] << 32 | out[1];
}

/* The end of the pictures that may be compared with the one at `from`. */
static size_t end_of_prompt(const dipp_label_pairs *pairs, size_t from)
{
    const dipp_label_picture *first = &pairs->pictures[from];
    size_t end = from + 1;
    while (end < pairs->picture_count && pairs->pictures[end].line == first->line &&
           !strcmp(pairs->pictures[end].prompt, first->prompt))
        end++;
    return end;
}

static int by_arms_and_word(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->one_arm != y->one_arm)
        return x->one_arm ? 1 : -1;
    return (x->word > y->word) - (x->word < y->word);
}

static int by_round_and_word(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->round != y->round)
        return x->round < y->round ? -1 : 1;
    return (x->word > y->word) - (x->word < y->word);
}

/* The same pair of two lines of a file has one word, and stands together by its place among the pictures of a prompt. */
static int by_word(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->word != y->word)
        return x->word < y->word ? -1 : 1;
    return (x->a > y->a) - (x->a < y->a);
}

static dipp_status list_candidates(const dipp_label_pairs *pairs, uint64_t seed, candidate **out, size_t *count,
                                   dipp_error *error)
{
    uint64_t total = 0;
    for (size_t from = 0, end; from < pairs->picture_count; from = end) {
        end = end_of_prompt(pairs, from);
        total += (uint64_t)(end - from) * (end - from - 1) / 2;
    }
    if (!total)
        return dipp_fail(
            error, DIPP_E_NOT_FOUND,
            "there are no two pictures of one prompt to compare: runs keep pictures when evaluate.pictures "
            "and evaluate.grid_samples say so, and --all adds the reference and step 0");
    if (total > DIPP_LABEL_PAIRS_MAX)
        return dipp_fail(error, DIPP_E_INVALID, "%llu pairs are more than %d; name fewer runs",
                         (unsigned long long)total, (int)DIPP_LABEL_PAIRS_MAX);
    candidate *list = dipp_allocate_zeroed((size_t)total, sizeof *list);
    if (!list)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %llu pairs", (unsigned long long)total);
    *out = list;
    *count = (size_t)total;
    for (size_t from = 0, end; from < pairs->picture_count; from = end) {
        candidate *first = list;
        end = end_of_prompt(pairs, from);
        for (size_t a = from; a < end; a++)
            for (size_t b = a + 1; b < end; b++)
                *list++ = (candidate){.a = (uint32_t)a,
                                      .b = (uint32_t)b,
                                      .one_arm = !strcmp(pairs->pictures[a].arm, pairs->pictures[b].arm),
                                      .word = random_word(seed, pairs->pictures[a].sha256, pairs->pictures[b].sha256)};
        if (list > first)
            qsort(first, (size_t)(list - first), sizeof *first, by_arms_and_word);
        for (candidate *at = first; at < list; at++)
            at->round = (uint32_t)(at - first);
    }
    return DIPP_OK;
}

static bool same_pair(const dipp_label_pairs *pairs, const candidate *x, const candidate *y)
{
    const dipp_label_picture *pictures = pairs->pictures;
    return !strcmp(pictures[x->a].sha256, pictures[y->a].sha256) &&
           !strcmp(pictures[x->b].sha256, pictures[y->b].sha256) &&
           !strcmp(pictures[x->a].prompt, pictures[y->a].prompt);
}

/* Order and sides for this voter; a pair that two lines of a file have stays once. Returns the number left. */
static size_t shuffle_for(const char *voter, uint64_t seed, const dipp_label_pairs *pairs, candidate *list,
                          size_t count)
{
    char hash[DIPP_SHA256_HEX_BYTES];
    dipp_sha256_hex(voter, strlen(voter), hash);
    uint64_t own = seed ^ leading_word(hash);
    for (size_t i = 0; i < count; i++)
        list[i].word = random_word(own, pairs->pictures[list[i].a].sha256, pairs->pictures[list[i].b].sha256);
    qsort(list, count, sizeof *list, by_word);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!kept || !same_pair(pairs, &list[kept - 1], &list[i]))
            list[kept++] = list[i];
    return kept;
}

/* ---- What the voter has judged, and what can be shown ---- */

typedef struct judging {
    const dipp_label_pairs *pairs;
    const candidate *list;
    size_t count;
    uint8_t *judged; /* [count] */
} judging;

static int mark_judged(void *user, const dipp_vote *vote)
{
    judging *state = user;
    bool in_order = strcmp(vote->left.sha256, vote->right.sha256) < 0;
    const char *low = in_order ? vote->left.sha256 : vote->right.sha256;
    const char *high = in_order ? vote->right.sha256 : vote->left.sha256;
    for (size_t i = 0; i < state->count; i++) {
        const dipp_label_picture *a = &state->pairs->pictures[state->list[i].a];
        const dipp_label_picture *b = &state->pairs->pictures[state->list[i].b];
        if (!strcmp(a->sha256, low) && !strcmp(b->sha256, high) && !strcmp(a->prompt, vote->prompt))
            state->judged[i] = 1;
    }
    return 0;
}

static const char *picture_type(const char *bytes, size_t count)
{
    if (count >= 8 && !memcmp(bytes, "\x89PNG\r\n\x1a\n", 8))
        return "image/png";
    if (count >= 3 && !memcmp(bytes, "\xff\xd8\xff", 3))
        return "image/jpeg";
    return count >= 12 && !memcmp(bytes, "RIFF", 4) && !memcmp(bytes + 8, "WEBP", 4) ? "image/webp" : NULL;
}

dipp_status dipp_label_picture_read(const dipp_store *store, const dipp_label_picture *picture, char **bytes,
                                    size_t *count, const char **type, dipp_error *error)
{
    char hash[DIPP_SHA256_HEX_BYTES], *folder = dipp_path_folder(dipp_store_path(store));
    char *path = folder ? dipp_path_join(folder, picture->path) : NULL;
    *bytes = NULL;
    dipp_status status = path ? dipp_file_read(path, DIPP_LABEL_PICTURE_BYTES, bytes, count, error)
                              : dipp_fail(error, DIPP_E_MEMORY, "no memory for a picture's path");
    if (status == DIPP_OK) {
        dipp_sha256_hex(*bytes, *count, hash);
        *type = picture_type(*bytes, *count);
        if (!*type || strcmp(hash, picture->sha256))
            status = dipp_fail(error, DIPP_E_FORMAT,
                               *type ? "%s was changed since it was recorded" : "%s is no PNG, JPEG or WebP", path);
    }
    if (status != DIPP_OK) {
        dipp_release(*bytes);
        *bytes = NULL;
    }
    dipp_release(path);
    dipp_release(folder);
    return status;
}

static dipp_status is_readable(const dipp_store *store, const dipp_label_picture *picture, bool *readable,
                               dipp_error *error)
{
    char *bytes = NULL;
    size_t count = 0;
    const char *type = NULL;
    dipp_status status = dipp_label_picture_read(store, picture, &bytes, &count, &type, error);
    dipp_release(bytes);
    *readable = status == DIPP_OK;
    return status == DIPP_E_MEMORY ? status : DIPP_OK;
}

static dipp_status keep_open(dipp_store *store, const candidate *list, const uint8_t *judged, size_t count,
                             dipp_label_pairs *pairs, dipp_error *error)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t a = list[i].a, b = list[i].b;
        bool first = false, second = false;
        if (judged[i]) {
            pairs->judged++;
            continue;
        }
        dipp_status status = is_readable(store, &pairs->pictures[a], &first, error);
        if (status == DIPP_OK)
            status = is_readable(store, &pairs->pictures[b], &second, error);
        if (status != DIPP_OK)
            return status;
        if (!first || !second) {
            pairs->unread++;
            continue;
        }
        pairs->pairs[pairs->count++] = list[i].word & 1 ? (dipp_label_pair){b, a} : (dipp_label_pair){a, b};
    }
    return DIPP_OK;
}

static dipp_status choose(dipp_store *store, const dipp_label_request *request, dipp_label_pairs *pairs,
                          dipp_error *error)
{
    candidate *list = NULL;
    size_t count = 0;
    dipp_status status = list_candidates(pairs, request->seed, &list, &count, error);
    if (status != DIPP_OK)
        return status;
    qsort(list, count, sizeof *list, by_round_and_word);
    if (request->count && request->count < count)
        count = request->count;
    count = shuffle_for(request->voter, request->seed, pairs, list, count);
    judging state = {.pairs = pairs, .list = list, .count = count, .judged = dipp_allocate_zeroed(count, 1)};
    pairs->pairs = dipp_allocate_zeroed(count, sizeof *pairs->pairs);
    if (!state.judged || !pairs->pairs)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu pairs", count);
    if (status == DIPP_OK)
        status = dipp_store_each_vote(store, request->voter, mark_judged, &state, error);
    if (status == DIPP_OK)
        status = keep_open(store, list, state.judged, count, pairs, error);
    dipp_release(state.judged);
    dipp_release(list);
    return status;
}

dipp_status dipp_label_pairs_choose(dipp_store *store, const dipp_label_request *request, dipp_label_pairs *out,
                                    dipp_error *error)
{
    dipp_label_pairs pairs = {0};
    dipp_status status = request->file ? dipp_label_pairs_read_file(request->file, &pairs, error) : DIPP_OK;
    for (size_t i = 0; i < request->name_count && status == DIPP_OK; i++)
        status = add_named(store, request->names[i], request->all, &pairs, error);
    if (status == DIPP_OK) {
        sort_pictures(&pairs);
        status = choose(store, request, &pairs, error);
    }
    if (status != DIPP_OK)
        dipp_label_pairs_clear(&pairs);
    else
        *out = pairs;
    return status;
}

void dipp_label_pairs_clear(dipp_label_pairs *pairs)
{
    for (size_t i = 0; i < pairs->picture_count; i++)
        release_picture(&pairs->pictures[i]);
    dipp_release(pairs->pictures);
    dipp_release(pairs->pairs);
    *pairs = (dipp_label_pairs){0};
}
