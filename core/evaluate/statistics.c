/* See statistics.h. The pairs become a table [seeds][prompts] of sums and counts; everything reads that table. */
#include "evaluate/statistics.h"

#include "base/memory.h"
#include "base/philox.h"
#include "evaluate/distribution.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_REPLICATES = 9999,
    MOST_REPLICATES = 10000000,
    MOST_SEEDS_ENUMERATED = 16, /* beyond, sign flips are drawn and not enumerated */
    STREAM_SEEDS = 1,           /* which seed a replicate takes at a place */
    STREAM_PROMPTS = 2,
    STREAM_SIGNS = 3
};
static const uint64_t default_random_seed = 0x44492B2B;

typedef struct cell {
    double sum; /* of the pairs' differences */
    uint64_t count;
} cell;

typedef struct pair_table {
    uint32_t seeds, prompts; /* prompts is 1 for a set-level metric */
    bool whole_set;
    cell *cells; /* [seeds][prompts] */
} pair_table;

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* By seed and value, so that no sum depends on the order in which pairs came. */
static int by_seed_and_value(const void *a, const void *b)
{
    const dipp_paired_difference *x = a, *y = b;
    if (x->seed != y->seed)
        return x->seed < y->seed ? -1 : 1;
    return by_number(&x->difference, &y->difference);
}

static int by_index(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static dipp_status check_pairs(const dipp_paired_difference *pairs, size_t count,
                               const dipp_statistics_options *options, dipp_error *error)
{
    if (!count || count > UINT32_MAX)
        return dipp_fail(error, DIPP_E_INVALID, "statistics: %zu pairs; expected at least one, and below 2^32", count);
    if (!(options->confidence > 0) || !(options->confidence < 1) || options->replicates < 99 ||
        options->replicates > MOST_REPLICATES || abs(options->direction) > 1)
        return dipp_fail(error, DIPP_E_INVALID,
                         "statistics: confidence %g, %u replicates, direction %d; expected a confidence between 0 and "
                         "1, 99 to %d replicates, and -1, 0 or 1",
                         options->confidence, options->replicates, options->direction, MOST_REPLICATES);
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(pairs[i].difference))
            return dipp_fail(error, DIPP_E_INVALID, "statistics: the difference of seed %lld is not finite",
                             (long long)pairs[i].seed);
        if (pairs[i].prompt < 0 && pairs[i].prompt != DIPP_WHOLE_SET)
            return dipp_fail(error, DIPP_E_INVALID, "statistics: prompt %lld", (long long)pairs[i].prompt);
    }
    return DIPP_OK;
}

/* Lists the distinct prompts of sorted pairs in order; prompts[count] has room. */
static uint32_t list_prompts(const dipp_paired_difference *pairs, size_t count, int64_t *prompts)
{
    for (size_t i = 0; i < count; i++)
        prompts[i] = pairs[i].prompt;
    qsort(prompts, count, sizeof *prompts, by_index);
    uint32_t distinct = 0;
    for (size_t i = 0; i < count; i++)
        if (!i || prompts[i] != prompts[i - 1])
            prompts[distinct++] = prompts[i];
    return distinct;
}

/* Fills the table; prompts has room for count. sorted is by seed. */
static dipp_status fill_table(const dipp_paired_difference *sorted, size_t count, int64_t *prompts, pair_table *table,
                              dipp_error *error)
{
    table->prompts = list_prompts(sorted, count, prompts);
    table->whole_set = prompts[0] == DIPP_WHOLE_SET;
    for (size_t i = 0; i < count; i++) {
        bool new_seed = !i || sorted[i].seed != sorted[i - 1].seed;
        table->seeds += new_seed;
        if (table->whole_set && (table->prompts > 1 || !new_seed))
            return dipp_fail(error, DIPP_E_INVALID,
                             "statistics: seed %lld has other pairs beside its number of the whole set",
                             (long long)sorted[i].seed);
    }
    table->cells = dipp_allocate_zeroed((size_t)table->seeds * table->prompts, sizeof *table->cells);
    if (!table->cells)
        return dipp_fail(error, DIPP_E_MEMORY, "statistics: out of memory for %u seeds x %u prompts", table->seeds,
                         table->prompts);
    uint32_t seed = 0;
    for (size_t i = 0; i < count; i++) {
        seed += i && sorted[i].seed != sorted[i - 1].seed;
        const int64_t *place = bsearch(&sorted[i].prompt, prompts, table->prompts, sizeof *prompts, by_index);
        cell *target = &table->cells[(size_t)seed * table->prompts + (size_t)(place - prompts)];
        target->sum += sorted[i].difference;
        target->count++;
    }
    return DIPP_OK;
}

static void count_one(double difference, int direction, dipp_win_count *count)
{
    if (direction == 0)
        return;
    if (difference == 0)
        count->ties++;
    else if (difference * direction > 0)
        count->wins++;
    else
        count->losses++;
}

static void finish_count(dipp_win_count *count)
{
    uint64_t all = count->wins + count->ties + count->losses;
    count->rate = all ? ((double)count->wins + 0.5 * (double)count->ties) / (double)all : NAN;
}

static void count_wins(const dipp_paired_difference *sorted, size_t count, const pair_table *table, int direction,
                       dipp_paired_statistics *out)
{
    for (size_t i = 0; i < count; i++)
        count_one(sorted[i].difference, direction, &out->by_pair);
    for (uint32_t prompt = 0; prompt < table->prompts && !table->whole_set; prompt++) {
        double sum = 0;
        for (uint32_t seed = 0; seed < table->seeds; seed++)
            sum += table->cells[(size_t)seed * table->prompts + prompt].sum;
        count_one(sum, direction, &out->by_prompt);
    }
    finish_count(&out->by_pair);
    finish_count(&out->by_prompt);
}

/* The mean of one seed's pairs when prompt p is taken times[p] times (NULL: each once); NaN when nothing is left. */
static double seed_mean(const pair_table *table, uint32_t seed, const uint32_t *times, uint64_t *pairs)
{
    const cell *row = table->cells + (size_t)seed * table->prompts;
    double sum = 0;
    uint64_t count = 0;
    for (uint32_t prompt = 0; prompt < table->prompts; prompt++) {
        uint32_t factor = times ? times[prompt] : 1;
        sum += factor * row[prompt].sum;
        count += factor * row[prompt].count;
    }
    if (pairs)
        *pairs = count;
    return count ? sum / (double)count : NAN;
}

static void describe_seeds(dipp_paired_statistics *out)
{
    double sum = 0, squares = 0, largest = 0;
    for (uint32_t seed = 0; seed < out->seeds; seed++) {
        sum += out->by_seed[seed].mean;
        largest = fmax(largest, fabs(out->by_seed[seed].mean));
    }
    out->mean = sum / out->seeds;
    for (uint32_t seed = 0; seed < out->seeds; seed++)
        squares += (out->by_seed[seed].mean - out->mean) * (out->by_seed[seed].mean - out->mean);
    out->sd = out->seeds > 1 ? sqrt(squares / (out->seeds - 1)) : NAN;
    out->over_seeds = (dipp_interval){NAN, NAN};
    out->p_t = NAN;
    if (out->seeds < 2)
        out->no_claim_over_seeds = "one seed: nothing is claimed over seeds";
    else if (out->sd <= 1e-12 * largest) /* equal but for rounding: a spread of 0 would claim certainty */
        out->no_claim_over_seeds = "the seeds do not differ: they say nothing about their spread";
    else {
        double error = out->sd / sqrt(out->seeds);
        double half = error * dipp_student_half_width(1 - out->confidence, out->seeds - 1.0);
        out->over_seeds = (dipp_interval){out->mean - half, out->mean + half};
        out->p_t = dipp_student_two_sided(out->mean / error, out->seeds - 1.0);
    }
}

/* How many of the sign patterns make the mean at least as large as it is: all patterns, or drawn ones with the
 * observed pattern among them. */
static double flip_signs(const dipp_paired_statistics *statistics, uint32_t replicates, uint64_t random_seed)
{
    uint32_t seeds = statistics->seeds;
    if (seeds < 2)
        return NAN;
    double observed = 0, scale = 0;
    for (uint32_t seed = 0; seed < seeds; seed++) {
        observed += statistics->by_seed[seed].mean;
        scale += fabs(statistics->by_seed[seed].mean);
    }
    bool enumerate = seeds <= MOST_SEEDS_ENUMERATED;
    uint32_t patterns = enumerate ? 1u << seeds : replicates, reached = 0;
    for (uint32_t pattern = 0; pattern < patterns; pattern++) {
        double sum = 0;
        for (uint32_t seed = 0; seed < seeds; seed++) {
            bool flip = enumerate ? pattern >> seed & 1
                                  : dipp_philox_uniform_double(random_seed, STREAM_SIGNS, 0, pattern, seed) < 0.5;
            sum += flip ? -statistics->by_seed[seed].mean : statistics->by_seed[seed].mean;
        }
        reached += fabs(sum) >= fabs(observed) - 1e-12 * scale; /* ties of sums rounded in another order are ties */
    }
    return enumerate ? (double)reached / patterns : (reached + 1.0) / (patterns + 1.0);
}

static double variance(const double *values, uint32_t count)
{
    double mean = 0, squares = 0;
    for (uint32_t i = 0; i < count; i++)
        mean += values[i] / count;
    for (uint32_t i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    return squares / count;
}

/* The probability that a percentile interval leaves out at either end, so that it reaches as far as Student's t would.
 * drawn[2] are the bootstrap's variances from units[0] and units[1] that were drawn (1: none were). A bootstrap of n
 * units is short of the variance by (n - 1) / n; the degrees of freedom of the sum are Satterthwaite's. */
static double expanded_tail(const double drawn[2], const uint32_t units[2], double confidence)
{
    double sum = 0, whole = 0, over_freedom = 0;
    for (int i = 0; i < 2; i++)
        if (units[i] > 1) {
            double unbiased = drawn[i] * units[i] / (units[i] - 1.0);
            sum += drawn[i];
            whole += unbiased;
            over_freedom += unbiased * unbiased / (units[i] - 1.0);
        }
    if (!(over_freedom > 0)) /* nothing varies: every percentile is the same */
        return 0.5 * (1 - confidence);
    double t = dipp_student_half_width(1 - confidence, whole * whole / over_freedom);
    return dipp_normal_below(-t * sqrt(whole / sum));
}

/* What lies between the replicates at tail and 1 - tail. */
static dipp_interval percentiles(const double *sorted, uint32_t count, double tail)
{
    double place = fmax(tail * (count + 1.0) - 1, 0);
    uint32_t below = (uint32_t)place;
    uint32_t next = below + 1 < count ? below + 1 : below;
    double share = place - below;
    return (dipp_interval){sorted[below] + share * (sorted[next] - sorted[below]),
                           sorted[count - 1 - below] - share * (sorted[count - 1 - below] - sorted[count - 1 - next])};
}

static uint32_t draw(uint64_t random_seed, uint32_t stream, uint32_t replicate, uint32_t place, uint32_t of)
{
    uint32_t drawn = (uint32_t)(dipp_philox_uniform_double(random_seed, stream, 0, replicate, place) * of);
    return drawn < of ? drawn : of - 1;
}

/* Both bootstraps from the same draws. A seed that has no pair under the drawn prompts is left out of the replicate; a
 * replicate without any keeps the observed mean. */
static dipp_status bootstrap(const pair_table *table, uint32_t replicates, uint64_t random_seed,
                             dipp_paired_statistics *out, dipp_error *error)
{
    out->over_both = out->over_prompts = (dipp_interval){NAN, NAN};
    bool prompts_vary = table->prompts > 1, seeds_vary = table->seeds > 1;
    if (!prompts_vary && !seeds_vary)
        return DIPP_OK;
    double *both = dipp_allocate_zeroed(2 * (size_t)replicates + table->seeds, sizeof *both);
    uint32_t *times = dipp_allocate_zeroed(table->prompts, sizeof *times);
    if (!both || !times) {
        dipp_release(both);
        dipp_release(times);
        return dipp_fail(error, DIPP_E_MEMORY, "statistics: out of memory for %u replicates", replicates);
    }
    double *alone = both + replicates, *means = alone + replicates;
    for (uint32_t replicate = 0; replicate < replicates; replicate++) {
        memset(times, 0, table->prompts * sizeof *times);
        for (uint32_t i = 0; i < table->prompts; i++)
            times[prompts_vary ? draw(random_seed, STREAM_PROMPTS, replicate, i, table->prompts) : i]++;
        double sums[2] = {0};
        uint32_t counts[2] = {0};
        for (uint32_t seed = 0; seed < table->seeds; seed++) {
            means[seed] = seed_mean(table, seed, times, NULL);
            if (isnan(means[seed]))
                continue;
            sums[0] += means[seed];
            counts[0]++;
        }
        for (uint32_t i = 0; i < table->seeds; i++) {
            double mean = means[draw(random_seed, STREAM_SEEDS, replicate, i, table->seeds)];
            if (isnan(mean))
                continue;
            sums[1] += mean;
            counts[1]++;
        }
        alone[replicate] = counts[0] ? sums[0] / counts[0] : out->mean;
        both[replicate] = counts[1] ? sums[1] / counts[1] : out->mean;
    }
    qsort(alone, replicates, sizeof *alone, by_number);
    qsort(both, replicates, sizeof *both, by_number);
    double from_prompts = variance(alone, replicates);
    double drawn[2] = {fmax(variance(both, replicates) - from_prompts, 0), from_prompts};
    const uint32_t units[2] = {table->seeds, table->prompts}, prompts_only[2] = {1, table->prompts};
    if (prompts_vary)
        out->over_prompts = percentiles(alone, replicates, expanded_tail(drawn, prompts_only, out->confidence));
    if (seeds_vary)
        out->over_both = percentiles(both, replicates, expanded_tail(drawn, units, out->confidence));
    dipp_release(times);
    dipp_release(both);
    return DIPP_OK;
}

static dipp_status describe(const dipp_paired_difference *sorted, size_t count, const pair_table *table,
                            const dipp_statistics_options *options, dipp_paired_statistics *out, dipp_error *error)
{
    out->seeds = table->seeds;
    out->prompts = table->whole_set ? 0 : table->prompts;
    out->pairs = count;
    out->confidence = options->confidence;
    out->by_seed = dipp_allocate_zeroed(table->seeds, sizeof *out->by_seed);
    if (!out->by_seed)
        return dipp_fail(error, DIPP_E_MEMORY, "statistics: out of memory for %u seeds", table->seeds);
    size_t first = 0;
    for (uint32_t seed = 0; seed < table->seeds; seed++) {
        out->by_seed[seed].seed = sorted[first].seed;
        out->by_seed[seed].mean = seed_mean(table, seed, NULL, &out->by_seed[seed].pairs);
        first += out->by_seed[seed].pairs;
    }
    describe_seeds(out);
    count_wins(sorted, count, table, options->direction, out);
    out->p_flip = flip_signs(out, options->replicates, options->random_seed);
    out->p_prompts =
        out->prompts && options->direction ? dipp_sign_test(out->by_prompt.wins, out->by_prompt.losses) : NAN;
    return bootstrap(table, options->replicates, options->random_seed, out, error);
}

dipp_status dipp_paired_statistics_of(const dipp_paired_difference *pairs, size_t count,
                                      const dipp_statistics_options *options, dipp_paired_statistics *out,
                                      dipp_error *error)
{
    dipp_statistics_options chosen = options ? *options : (dipp_statistics_options){0};
    if (chosen.confidence == 0)
        chosen.confidence = 0.95;
    if (!chosen.replicates)
        chosen.replicates = DEFAULT_REPLICATES;
    if (!chosen.random_seed)
        chosen.random_seed = default_random_seed;
    dipp_status status = check_pairs(pairs, count, &chosen, error);
    if (status != DIPP_OK)
        return status;
    dipp_paired_difference *sorted = dipp_allocate(count * sizeof *sorted);
    int64_t *prompts = dipp_allocate(count * sizeof *prompts);
    pair_table table = {0};
    dipp_paired_statistics result = {0};
    if (!sorted || !prompts)
        status = dipp_fail(error, DIPP_E_MEMORY, "statistics: out of memory for %zu pairs", count);
    if (status == DIPP_OK) {
        memcpy(sorted, pairs, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, by_seed_and_value);
        status = fill_table(sorted, count, prompts, &table, error);
    }
    if (status == DIPP_OK)
        status = describe(sorted, count, &table, &chosen, &result, error);
    dipp_release(table.cells);
    dipp_release(prompts);
    dipp_release(sorted);
    if (status == DIPP_OK)
        *out = result;
    else
        dipp_paired_statistics_clear(&result);
    return status;
}

void dipp_paired_statistics_clear(dipp_paired_statistics *statistics)
{
    dipp_release(statistics->by_seed);
    *statistics = (dipp_paired_statistics){0};
}

dipp_status dipp_holm(const double *p, size_t count, double *adjusted, dipp_error *error)
{
    double *sorted = dipp_allocate_zeroed(count, sizeof *sorted);
    if (!sorted)
        return dipp_fail(error, DIPP_E_MEMORY, "statistics: out of memory for %zu comparisons", count);
    size_t family = 0;
    for (size_t i = 0; i < count; i++)
        if (!isnan(p[i]))
            sorted[family++] = p[i];
    qsort(sorted, family, sizeof *sorted, by_number);
    for (size_t i = 0; i < count; i++) {
        double value = 0, own = p[i];
        for (size_t rank = 0; rank < family && sorted[rank] <= own; rank++)
            value = fmax(value, fmin(1, (double)(family - rank) * sorted[rank]));
        adjusted[i] = isnan(own) ? NAN : value;
    }
    dipp_release(sorted);
    return DIPP_OK;
}
