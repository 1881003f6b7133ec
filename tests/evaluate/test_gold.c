/* The gold utility by its definition, and the pairs that are made of it. */
#include "evaluate/gold.h"

#include "base/memory.h"
#include "evaluate/gold_pairs.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---- The utility ---- */

enum { NOT = DIPP_NOT_NAMED };

static dipp_verdict verdict_of(int glyph, int background, int place, int size, double distance)
{
    return (dipp_verdict){.fit = {.glyph = glyph, .background = background, .place = place, .size_class = size},
                          .distance = distance};
}

static void utility_is_as_defined(void **state)
{
    const dipp_verdict seen = verdict_of(3, 4, 1, 2, 0.1), sharp = verdict_of(3, 4, 1, 2, 0);
    const struct {
        dipp_prompt_line prompt;
        double at_distance, drawn;
    } rows[] = {
        {{NULL, 3, 4, 2, 1}, 11.0 / 12, 1},           {{NULL, 3, 4, NOT, NOT}, 9.0 / 10, 1},
        {{NULL, 5, 4, NOT, NOT}, 4.0 / 10, 0.5},      {{NULL, 3, 5, NOT, NOT}, 6.0 / 10, 0.7},
        {{NULL, 5, 5, 0, 0}, 1.0 / 12, 2.0 / 12},     {{NULL, 3, 4, 1, NOT}, 9.0 / 11, 10.0 / 11},
        {{NULL, 3, 4, NOT, 0}, 9.0 / 11, 10.0 / 11},  {{NULL, NOT, NOT, NOT, NOT}, 0.5, 1},
        {{NULL, NOT, 5, NOT, NOT}, 1.0 / 5, 2.0 / 5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(fabs(dipp_gold_utility(&rows[i].prompt, &seen) - rows[i].at_distance) < 1e-15);
        assert_true(fabs(dipp_gold_utility(&rows[i].prompt, &sharp) - rows[i].drawn) < 1e-15);
    }
    /* Better drawn is better, whatever is named; and never beyond the bounds. */
    double last = 1;
    for (double distance = 0.01; distance < 3; distance *= 1.5) {
        dipp_verdict far = verdict_of(3, 4, 1, 2, distance);
        double utility = dipp_gold_utility(&rows[2].prompt, &far);
        assert_true(utility < last && utility >= 0);
        last = utility;
    }
}

static void prompts_contradict_where_both_name(void **state)
{
    const dipp_prompt_line fox = {NULL, 1, 2, NOT, NOT}, cat = {NULL, 3, 2, NOT, NOT}, blue = {NULL, NOT, 4, NOT, NOT},
                           small = {NULL, 1, 2, 0, NOT}, large = {NULL, 1, 2, 2, NOT}, left = {NULL, 1, 2, NOT, 1},
                           top = {NULL, 1, 2, NOT, 3};
    assert_true(dipp_prompts_contradict(&fox, &cat) && dipp_prompts_contradict(&fox, &blue));
    assert_true(dipp_prompts_contradict(&small, &large) && dipp_prompts_contradict(&left, &top));
    assert_false(dipp_prompts_contradict(&fox, &fox) || dipp_prompts_contradict(&fox, &small) ||
                 dipp_prompts_contradict(&small, &left));
}

/* ---- Pairs ---- */

enum { PROMPTS = 60, PICTURES = 9, PARTS = 2 };

typedef struct world {
    dipp_prompt_line prompts[PROMPTS];
    uint32_t starts[PROMPTS + 1];
    double utility[PROMPTS * PICTURES];
    dipp_gold_pair_pictures pictures;
} world;

/* Half of what the picture has under its own prompt, and something of the other's. */
static dipp_status utility_under(void *user, uint32_t picture, uint32_t prompt, double *utility, dipp_error *error)
{
    *utility = 0.5 * ((world *)user)->utility[picture] + 0.001 * prompt;
    return DIPP_OK;
}

static int setup(void **state)
{
    static world w;
    for (uint32_t p = 0; p < PROMPTS; p++) {
        w.prompts[p] = (dipp_prompt_line){NULL, (int)p / 2, (int)p % 2, NOT, NOT};
        w.starts[p + 1] = w.starts[p] + PICTURES;
    }
    for (uint32_t i = 0; i < PROMPTS * PICTURES; i++)
        w.utility[i] = (double)(i * 2654435761u % 1000) / 1000;
    w.pictures = (dipp_gold_pair_pictures){w.prompts, PROMPTS, w.starts, w.utility, utility_under, &w};
    *state = &w;
    return 0;
}

static const dipp_gold_pair_options usual = {
    .parts = PARTS, .pairs = 900, .bayes = 0.75, .captions = 0.2, .validate = 0.1, .test = 0.2, .seed = 7};

static double bayes_of(const dipp_gold_pairs *made)
{
    double sum = 0;
    for (size_t i = 0; i < made->count; i++)
        sum += fmax(made->pairs[i].probability, 1 - made->pairs[i].probability);
    return sum / (double)made->count;
}

static void labels_follow_the_law(void **state)
{
    const world *w = *state;
    dipp_gold_pairs made;
    assert_int_equal(dipp_gold_pairs_make(&w->pictures, &usual, &made, NULL), DIPP_OK);
    assert_in_range(made.count, 1780, 1800);
    double expected = 0, variance = 0, swapped = 0;
    uint64_t as_likelier = 0; /* labels on the side that is likelier */
    for (size_t i = 0; i < made.count; i++) {
        const dipp_gold_pair *pair = &made.pairs[i];
        double p = 1 / (1 + exp((pair->utility[1] - pair->utility[0]) / made.temperature));
        assert_true(fabs(pair->probability - p) < 1e-12);
        expected += fmax(p, 1 - p);
        variance += p * (1 - p);
        as_likelier += pair->first == (p > 0.5);
        swapped += pair->pictures[0] > pair->pictures[1];
        for (int side = 0; side < 2; side++) {
            double utility = w->utility[pair->pictures[side]];
            if (pair->pictures[side] / PICTURES != pair->prompts[side])
                utility_under((void *)w, pair->pictures[side], pair->prompts[side], &utility, NULL);
            assert_true(pair->utility[side] == utility);
        }
    }
    assert_true(fabs(bayes_of(&made) - 0.75) < 1e-9 && fabs(made.bayes - 0.75) < 1e-9);
    assert_true(fabs((double)as_likelier - expected) < 4 * sqrt(variance));
    assert_in_range(swapped, 600, 840); /* of 1440 pairs of pictures */
    dipp_gold_pairs_clear(&made);
}

static int by_what(const void *a, const void *b)
{
    return memcmp(a, b, 4 * sizeof(uint32_t));
}

static void splits_and_parts_share_nothing(void **state)
{
    const world *w = *state;
    dipp_gold_pairs made;
    assert_int_equal(dipp_gold_pairs_make(&w->pictures, &usual, &made, NULL), DIPP_OK);
    int split_of[PROMPTS];
    uint32_t prompts_in[DIPP_GOLD_PAIR_SPLITS] = {0}, count[PARTS][DIPP_GOLD_PAIR_KINDS] = {{0}};
    uint32_t near = 0;
    uint32_t(*what)[4] = calloc(made.count, sizeof *what);
    memset(split_of, -1, sizeof split_of);
    for (size_t i = 0; i < made.count; i++) {
        const dipp_gold_pair *pair = &made.pairs[i];
        count[pair->part][pair->kind]++;
        if (pair->kind == DIPP_GOLD_PAIR_CAPTION) {
            assert_int_equal(pair->pictures[0], pair->pictures[1]);
            const dipp_prompt_line *a = &w->prompts[pair->prompts[0]], *b = &w->prompts[pair->prompts[1]];
            assert_true(dipp_prompts_contradict(a, b));
            near += a->glyph == b->glyph || a->background == b->background;
        } else {
            assert_int_equal(pair->prompts[0], pair->prompts[1]);
            assert_true(pair->pictures[0] != pair->pictures[1]);
        }
        for (int side = 0; side < 2; side++) {
            int *known = &split_of[pair->prompts[side]];
            assert_true(*known < 0 || *known == (int)pair->split);
            prompts_in[pair->split] += *known < 0;
            *known = (int)pair->split;
        }
        int lower = pair->pictures[0] > pair->pictures[1] || pair->prompts[0] > pair->prompts[1];
        for (int side = 0; side < 2; side++) {
            what[i][2 * side] = pair->pictures[side ^ lower];
            what[i][2 * side + 1] = pair->prompts[side ^ lower];
        }
    }
    assert_int_equal(prompts_in[DIPP_GOLD_PAIR_VALIDATE], 6);
    assert_int_equal(prompts_in[DIPP_GOLD_PAIR_TEST], 12);
    assert_int_equal(prompts_in[DIPP_GOLD_PAIR_TRAIN], 42);
    for (int part = 0; part < PARTS; part++) {
        assert_int_equal(count[part][DIPP_GOLD_PAIR_MODEL], 720);
        assert_in_range(count[part][DIPP_GOLD_PAIR_CAPTION], 170, 180);
    }
    assert_in_range(near, 160, 190);                /* of 360: by turns */
    qsort(what, made.count, sizeof *what, by_what); /* no pair is there twice, in no part */
    for (size_t i = 1; i < made.count; i++)
        assert_true(memcmp(what[i - 1], what[i], sizeof *what) != 0);
    free(what);
    dipp_gold_pairs_clear(&made);
}

static void seeds_decide(void **state)
{
    const world *w = *state;
    dipp_gold_pairs made, again, other;
    dipp_gold_pair_options options = usual;
    assert_int_equal(dipp_gold_pairs_make(&w->pictures, &options, &made, NULL), DIPP_OK);
    assert_int_equal(dipp_gold_pairs_make(&w->pictures, &options, &again, NULL), DIPP_OK);
    options.seed = 8;
    assert_int_equal(dipp_gold_pairs_make(&w->pictures, &options, &other, NULL), DIPP_OK);
    assert_true(made.count == again.count && made.temperature == again.temperature);
    uint32_t same = 0;
    for (size_t i = 0; i < made.count; i++) {
        const dipp_gold_pair *a = &made.pairs[i], *b = &again.pairs[i], *c = &other.pairs[i];
        assert_true(a->first == b->first && a->split == b->split && a->part == b->part &&
                    !memcmp(a->pictures, b->pictures, sizeof a->pictures) &&
                    !memcmp(a->prompts, b->prompts, sizeof a->prompts) && a->probability == b->probability);
        same += !memcmp(a->pictures, c->pictures, sizeof a->pictures);
    }
    assert_true(same < made.count / 2);
    dipp_gold_pairs_clear(&made);
    dipp_gold_pairs_clear(&again);
    dipp_gold_pairs_clear(&other);
}

/* As many as there are: 36 pairs of 9 pictures, shared between two parts. */
static void pairs_end_where_pictures_do(void **state)
{
    const world *w = *state;
    dipp_gold_pairs made;
    dipp_gold_pair_options options = usual;
    options.pairs = 1000000;
    options.captions = 0;
    assert_int_equal(dipp_gold_pairs_make(&w->pictures, &options, &made, NULL), DIPP_OK);
    assert_int_equal(made.count, PROMPTS * 36);
    dipp_gold_pairs_clear(&made);
}

static void bad_wishes_are_refused(void **state)
{
    world *w = *state;
    const struct {
        double bayes, captions, validate, test;
        uint32_t parts, pairs;
    } rows[] = {{0.5, 0, 0, 0, 1, 9},     {1, 0, 0, 0, 1, 9},      {0.7, 1, 0, 0, 1, 9},      {0.7, -0.1, 0, 0, 1, 9},
                {0.7, 0, 0.6, 0.4, 1, 9}, {0.7, 0, 0.01, 0, 1, 9}, {0.7, 0, 0.5, 0.49, 1, 9}, {0.7, 0, 0, 0, 0, 9},
                {0.7, 0, 0, 0, 1, 0},     {NAN, 0, 0, 0, 1, 9}};
    dipp_gold_pairs made;
    dipp_error error;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        dipp_gold_pair_options options = {
            rows[i].parts, rows[i].pairs, rows[i].bayes, rows[i].captions, rows[i].validate, rows[i].test, 0};
        assert_int_equal(dipp_gold_pairs_make(&w->pictures, &options, &made, &error), DIPP_E_INVALID);
        assert_true(!made.pairs && !strncmp(error.message, "pairs: ", 7));
    }
    double flat[PROMPTS * PICTURES] = {0};
    dipp_gold_pair_pictures pictures = w->pictures;
    dipp_gold_pair_options options = usual;
    pictures.utility = flat;
    options.captions = 0;
    assert_int_equal(dipp_gold_pairs_make(&pictures, &options, &made, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "equal utilities"));
    uint64_t nth = 1;
    dipp_status status = DIPP_E_MEMORY;
    for (; status == DIPP_E_MEMORY; nth++) {
        dipp_memory_fail_nth(nth, false);
        status = dipp_gold_pairs_make(&w->pictures, &usual, &made, &error);
        dipp_memory_fail_nth(0, false);
        assert_true(status == DIPP_OK || !made.pairs);
    }
    assert_int_equal(status, DIPP_OK);
    assert_true(nth > 5);
    dipp_gold_pairs_clear(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utility_is_as_defined),  cmocka_unit_test(prompts_contradict_where_both_name),
        cmocka_unit_test(labels_follow_the_law),  cmocka_unit_test(splits_and_parts_share_nothing),
        cmocka_unit_test(seeds_decide),           cmocka_unit_test(pairs_end_where_pictures_do),
        cmocka_unit_test(bad_wishes_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
