/* What may be said about one arm against another: paired differences, and intervals that say what they cover.
 *
 * Two runs of one seed draw the same prompts from the same noise, so their scores pair up picture by picture. The unit
 * of a claim about arms is the seed: another seed is another training. Three intervals of the mean difference come out:
 *   over_seeds         Student's t of the seeds' means. Covers other seeds, on these prompts. The one verdicts use.
 *   over_both          two-level bootstrap: seeds are drawn, and prompts with all their samples. Covers other seeds and
 *                      other prompts. The prompts of a replicate are drawn once for all its seeds, because all seeds
 *                      were judged on the same prompts: drawing them anew for each would count a prompt's own
 *                      difficulty as if every seed had sampled it independently.
 *   over_prompts       bootstrap of the prompts alone. Covers other prompts, for these very trainings, and no seed.
 * Bootstrap intervals are percentiles, taken as far out as Student's t is wider than the normal (Hesterberg 2015, the
 * "expanded percentile interval", with Satterthwaite's degrees of freedom where seeds and prompts are drawn). They
 * cannot reach beyond the extreme seeds, so below five seeds over_both is too short where seeds make the difference.
 * With one seed, nothing is said over seeds. The same pairs give the same bits, in whatever order they come. */
#ifndef DIPP_EVALUATE_STATISTICS_H
#define DIPP_EVALUATE_STATISTICS_H

#include <dipp/status.h>

/* One pair of pictures: what they have in common, and the score of the arm minus the score of what it is compared
 * with. Both of a set-level metric (diversity) are one pair with prompt DIPP_WHOLE_SET. */
typedef struct dipp_paired_difference {
    int64_t seed, prompt;
    double difference;
} dipp_paired_difference;

enum { DIPP_WHOLE_SET = -1 };

typedef struct dipp_statistics_options {
    double confidence;    /* of the intervals; 0: 0.95 */
    uint32_t replicates;  /* of the bootstrap; 0: 9999 */
    uint64_t random_seed; /* of the bootstrap; 0: a fixed one */
    int direction;        /* of the metric: +1 more is better, -1 less, 0 neither (no wins then) */
} dipp_statistics_options;

typedef struct dipp_interval {
    double low, high; /* both NaN: nothing is claimed */
} dipp_interval;

/* What a pair, or a prompt with its pairs averaged, says in the metric's direction. */
typedef struct dipp_win_count {
    uint64_t wins, ties, losses;
    double rate; /* (wins + ties / 2) / all; NaN without direction or without anything counted */
} dipp_win_count;

typedef struct dipp_seed_difference {
    int64_t seed;
    double mean; /* over the seed's pairs */
    uint64_t pairs;
} dipp_seed_difference;

typedef struct dipp_paired_statistics {
    uint32_t seeds, prompts; /* prompts 0: a set-level metric */
    uint64_t pairs;
    double confidence;
    double mean; /* of the seeds' means */
    double sd;   /* of the seeds' means; NaN for one seed */
    dipp_interval over_seeds, over_both, over_prompts;
    double p_t;       /* two-sided, Student's t over seeds; NaN where over_seeds claims nothing */
    double p_flip;    /* two-sided, signs of the seeds' means flipped: at least 2 / 2^seeds; NaN for one seed */
    double p_prompts; /* exact sign test of the prompts, for these seeds only; NaN without prompts or direction */
    dipp_win_count by_pair, by_prompt;
    const char *no_claim_over_seeds; /* why over_seeds claims nothing, static; NULL when it does */
    dipp_seed_difference *by_seed;   /* [seeds], in order; dipp_paired_statistics_clear releases it */
} dipp_paired_statistics;

/* Errors: INVALID (no pairs, a difference that is not finite, whole-set pairs among others or twice for a seed, options
 * out of range), MEMORY. options NULL: all defaults, direction 0. [any thread] */
dipp_status dipp_paired_statistics_of(const dipp_paired_difference *pairs, size_t count,
                                      const dipp_statistics_options *options, dipp_paired_statistics *out,
                                      dipp_error *error);
void dipp_paired_statistics_clear(dipp_paired_statistics *statistics);

/* Holm's correction of p[count] for comparing that many arms at once; NaN (nothing claimed) stays NaN and counts for
 * nothing. adjusted may be p. Errors: MEMORY. [any thread] */
dipp_status dipp_holm(const double *p, size_t count, double *adjusted, dipp_error *error);

#endif
