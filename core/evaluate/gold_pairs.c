#include "evaluate/gold_pairs.h"

#include "base/memory.h"
#include "base/philox.h"
#include "evaluate/gold.h"

#include <math.h>

enum { STREAM_SPLIT = 1, STREAM_PAIRS, STREAM_PICTURES, STREAM_PROMPTS, STREAM_SIDES, STREAM_LABELS, BISECTIONS = 200 };

const char *const dipp_gold_pair_kind_names[DIPP_GOLD_PAIR_KINDS] = {"model", "caption"};
const char *const dipp_gold_pair_split_names[DIPP_GOLD_PAIR_SPLITS] = {"train", "validate", "test"};

typedef struct maker {
    const dipp_gold_pair_pictures *pictures;
    const dipp_gold_pair_options *options;
    dipp_gold_pairs *made;
    dipp_gold_pair_split *splits;        /* [prompt_count] */
    uint32_t *order, *others;            /* of what is being shuffled: pairs or pictures of a prompt; prompts */
    uint64_t model_pairs, caption_pairs; /* of each part so far */
} maker;

/* 0 .. count-1 in an order that (seed, stream, which) decides. */
static void shuffle(uint64_t seed, uint32_t stream, uint32_t which, uint32_t *order, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    for (uint32_t left = count; left > 1; left--) {
        double u = dipp_philox_uniform_double(seed, stream, which, 0, left);
        uint32_t with = (uint32_t)(u * left), kept = order[left - 1];
        order[left - 1] = order[with];
        order[with] = kept;
    }
}

static uint32_t pictures_of(const maker *m, uint32_t prompt)
{
    return m->pictures->starts[prompt + 1] - m->pictures->starts[prompt];
}

/* ---- Which prompt is for what ---- */

static dipp_status split_prompts(maker *m, dipp_error *error)
{
    uint32_t count = m->pictures->prompt_count;
    uint32_t validate = (uint32_t)lround(m->options->validate * count),
             test = (uint32_t)lround(m->options->test * count);
    const uint32_t sizes[] = {count - validate - test, validate, test};
    const bool wanted[] = {true, m->options->validate > 0, m->options->test > 0};
    for (int s = 0; s < DIPP_GOLD_PAIR_SPLITS; s++)
        if (wanted[s] && (sizes[s] < 2 || sizes[s] > count))
            return dipp_fail(error, DIPP_E_INVALID,
                             "pairs: %u prompts leave fewer than 2 for %s; expected more prompts or other shares",
                             count, dipp_gold_pair_split_names[s]);
    shuffle(m->options->seed, STREAM_SPLIT, 0, m->order, count);
    for (uint32_t i = 0; i < count; i++)
        m->splits[m->order[i]] = i < validate          ? DIPP_GOLD_PAIR_VALIDATE
                                 : i < validate + test ? DIPP_GOLD_PAIR_TEST
                                                       : DIPP_GOLD_PAIR_TRAIN;
    return DIPP_OK;
}

/* ---- Pairs ---- */

/* The sides come in the order of the store, which knows which run they are of, so a coin decides which is first. */
static dipp_status add_pair(maker *m, dipp_gold_pair pair, dipp_error *error)
{
    dipp_gold_pairs *made = m->made;
    uint32_t number = (uint32_t)made->count;
    if (!dipp_grow((void **)&made->pairs, &made->capacity, made->count + 1, sizeof *made->pairs))
        return dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for %zu", made->count + 1);
    dipp_gold_pair *kept = &made->pairs[made->count++];
    *kept = pair;
    if (dipp_philox_uniform_double(m->options->seed, STREAM_SIDES, 0, number, 0) < 0.5)
        for (int side = 0; side < 2; side++) {
            kept->pictures[side] = pair.pictures[1 - side];
            kept->prompts[side] = pair.prompts[1 - side];
            kept->utility[side] = pair.utility[1 - side];
        }
    return DIPP_OK;
}

/* The two pictures of pair number `index` among all of `count` pictures: (0,1) (0,2) (1,2) (0,3) ... */
static void unrank(uint32_t index, uint32_t *low, uint32_t *high)
{
    *high = 1;
    while (index >= *high)
        index -= (*high)++;
    *low = index;
}

static dipp_status add_model_pairs(maker *m, uint32_t prompt, uint32_t wanted, dipp_error *error)
{
    uint32_t first = m->pictures->starts[prompt], count = pictures_of(m, prompt), parts = m->options->parts;
    uint32_t all = count * (count - (count > 0)) / 2, each = wanted < all / parts ? wanted : all / parts;
    dipp_status status = DIPP_OK;
    shuffle(m->options->seed, STREAM_PAIRS, prompt, m->order, all);
    for (uint32_t i = 0; i < each * parts && status == DIPP_OK; i++) {
        uint32_t low, high;
        unrank(m->order[i], &low, &high);
        dipp_gold_pair pair = {.kind = DIPP_GOLD_PAIR_MODEL,
                               .split = m->splits[prompt],
                               .part = i / each,
                               .pictures = {first + low, first + high},
                               .prompts = {prompt, prompt},
                               .utility = {m->pictures->utility[first + low], m->pictures->utility[first + high]}};
        status = add_pair(m, pair, error);
    }
    m->model_pairs += each;
    return status;
}

/* The prompts of the same split that contradict this one, in an order of its own: near ones, which name its glyph or its
 * background, from the front of others, and the rest from its back. */
static void list_contradicting(maker *m, uint32_t prompt, uint32_t *near, uint32_t *far)
{
    const dipp_prompt_line *own = &m->pictures->prompts[prompt];
    uint32_t count = m->pictures->prompt_count;
    *near = *far = 0;
    shuffle(m->options->seed, STREAM_PROMPTS, prompt, m->order, count);
    for (uint32_t i = 0; i < count; i++) {
        const dipp_prompt_line *other = &m->pictures->prompts[m->order[i]];
        if (m->splits[m->order[i]] != m->splits[prompt] || !dipp_prompts_contradict(own, other))
            continue;
        bool shares = (own->glyph != DIPP_NOT_NAMED && own->glyph == other->glyph) ||
                      (own->background != DIPP_NOT_NAMED && own->background == other->background);
        m->others[shares ? (*near)++ : count - 1 - (*far)++] = m->order[i];
    }
}

/* Near and far prompts by turns, while there are both: a reward that knows colours alone would be right on the far ones. Each
 * picture in turn, with another prompt in every round. */
static dipp_status add_caption_pairs(maker *m, uint32_t prompt, uint64_t wanted, dipp_error *error)
{
    uint32_t first = m->pictures->starts[prompt], count = pictures_of(m, prompt), parts = m->options->parts;
    uint32_t lists[2] = {0}; /* how many are near and far */
    uint64_t used[2] = {0};
    list_contradicting(m, prompt, &lists[0], &lists[1]);
    uint64_t all = (uint64_t)count * (lists[0] + lists[1]), each = wanted < all / parts ? wanted : all / parts;
    dipp_status status = DIPP_OK;
    shuffle(m->options->seed, STREAM_PICTURES, prompt, m->order, count);
    for (uint64_t i = 0; i < each * parts && status == DIPP_OK; i++) {
        int list = (int)(i & 1);
        if (used[list] == (uint64_t)count * lists[list])
            list = 1 - list;
        uint64_t turn = used[list] % count, round = used[list] / count;
        uint32_t at = (uint32_t)((turn + round) % lists[list]);
        uint32_t picture = first + m->order[turn];
        uint32_t other = m->others[list ? m->pictures->prompt_count - 1 - at : at];
        used[list]++;
        dipp_gold_pair pair = {.kind = DIPP_GOLD_PAIR_CAPTION,
                               .split = m->splits[prompt],
                               .part = (uint32_t)(i / each),
                               .pictures = {picture, picture},
                               .prompts = {prompt, other},
                               .utility = {m->pictures->utility[picture], 0}};
        status = m->pictures->utility_under(m->pictures->user, picture, other, &pair.utility[1], error);
        if (status == DIPP_OK)
            status = add_pair(m, pair, error);
    }
    m->caption_pairs += each;
    return status;
}

static dipp_status add_all(maker *m, dipp_error *error)
{
    const dipp_gold_pair_options *o = m->options;
    uint64_t count = m->pictures->prompt_count, wanted = (uint64_t)llround(o->pairs * (1 - o->captions));
    dipp_status status = DIPP_OK;
    for (uint32_t p = 0; p < count && status == DIPP_OK; p++) {
        status = add_model_pairs(m, p, (uint32_t)((p + 1) * wanted / count - p * wanted / count), error);
        double due = (double)m->model_pairs * o->captions / (1 - o->captions);
        if (status == DIPP_OK && due >= (double)m->caption_pairs + 1)
            status = add_caption_pairs(m, p, (uint64_t)due - m->caption_pairs, error);
    }
    return status;
}

/* ---- Labels ---- */

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* The mean of max(p, 1 - p): falls from 1 (less what ties take) to a half as the temperature rises. */
static double bayes_of(const dipp_gold_pairs *made, double temperature)
{
    double sum = 0;
    for (size_t i = 0; i < made->count; i++)
        sum += sigmoid(fabs(made->pairs[i].utility[0] - made->pairs[i].utility[1]) / temperature);
    return sum / (double)made->count;
}

static dipp_status label(maker *m, dipp_error *error)
{
    dipp_gold_pairs *made = m->made;
    double low = log(1e-9), high = log(1e9);
    double most = made->count ? bayes_of(made, exp(low)) : 0;
    if (most <= m->options->bayes)
        return dipp_fail(
            error, DIPP_E_INVALID,
            "pairs: of %zu pairs so many have equal utilities that no temperature gives a Bayes accuracy of %g; "
            "at most %g",
            made->count, m->options->bayes, most);
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = 0.5 * (low + high);
        *(bayes_of(made, exp(middle)) > m->options->bayes ? &low : &high) = middle;
    }
    made->temperature = exp(0.5 * (low + high));
    made->bayes = bayes_of(made, made->temperature);
    for (size_t i = 0; i < made->count; i++) {
        dipp_gold_pair *pair = &made->pairs[i];
        pair->probability = sigmoid((pair->utility[0] - pair->utility[1]) / made->temperature);
        pair->first =
            dipp_philox_uniform_double(m->options->seed, STREAM_LABELS, 0, (uint32_t)i, 0) < pair->probability;
    }
    return DIPP_OK;
}

/* ---- Doors ---- */

static dipp_status check(const dipp_gold_pair_options *o, dipp_error *error)
{
    if (o->parts < 1 || o->pairs < 1 || !(o->bayes > 0.5 && o->bayes < 1) || !(o->captions >= 0 && o->captions < 1) ||
        !(o->validate >= 0 && o->test >= 0 && o->validate + o->test < 1))
        return dipp_fail(
            error, DIPP_E_INVALID,
            "pairs: %u of each of %u parts, Bayes accuracy %g, captions %g, validate %g, test %g; expected at "
            "least 1 and 1, within 0.5 and 1, from 0 to below 1, and together below 1",
            o->pairs, o->parts, o->bayes, o->captions, o->validate, o->test);
    return DIPP_OK;
}

dipp_status dipp_gold_pairs_make(const dipp_gold_pair_pictures *pictures, const dipp_gold_pair_options *options,
                                 dipp_gold_pairs *pairs, dipp_error *error)
{
    maker m = {.pictures = pictures, .options = options, .made = pairs};
    uint32_t count = pictures->prompt_count, room = count;
    *pairs = (dipp_gold_pairs){0};
    dipp_status status = check(options, error);
    if (status != DIPP_OK)
        return status;
    for (uint32_t p = 0; p < count; p++) {
        uint64_t of = pictures_of(&m, p), all = of * (of - (of > 0)) / 2;
        if (all > UINT32_MAX / 2)
            return dipp_fail(error, DIPP_E_INVALID, "pairs: %llu pictures of one prompt", (unsigned long long)of);
        room = all > room ? (uint32_t)all : room;
        room = of > room ? (uint32_t)of : room;
    }
    m.splits = dipp_allocate_zeroed(count + 1, sizeof *m.splits);
    m.order = dipp_allocate_zeroed((size_t)room + 1, sizeof *m.order);
    m.others = dipp_allocate_zeroed(count + 1, sizeof *m.others);
    if (!m.splits || !m.order || !m.others)
        status = dipp_fail(error, DIPP_E_MEMORY, "pairs: no memory for %u prompts", count);
    if (status == DIPP_OK)
        status = split_prompts(&m, error);
    if (status == DIPP_OK)
        status = add_all(&m, error);
    if (status == DIPP_OK)
        status = label(&m, error);
    dipp_release(m.splits);
    dipp_release(m.order);
    dipp_release(m.others);
    if (status != DIPP_OK)
        dipp_gold_pairs_clear(pairs);
    return status;
}

void dipp_gold_pairs_clear(dipp_gold_pairs *pairs)
{
    dipp_release(pairs->pairs);
    *pairs = (dipp_gold_pairs){0};
}
