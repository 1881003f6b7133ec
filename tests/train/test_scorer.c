/* Scores of samples by a reward that somebody else has. */
#include "exact.h"
#include "small_rewards.h"

#include "train/scorer.h"
#include "train/streams.h"
#include "train/trainee.h"

enum { COUNT = 5 };

static const float samples[COUNT * D] = {1, 0.5f, -0.25f, 0, 0.25f, 0.75f};
static const char *const prompts[COUNT] = {"b", "a", "b", "c", "a"};

typedef struct lender {
    dipp_plugin plugin;
    dipp_backend *backend;
    dipp_trainee *trainee;
    dipp_scorer *scorer;
} lender;

static void open_lender(lender *l, const dipp_reward *reward, dipp_reward_mode mode)
{
    static const dipp_host host = {.struct_size = sizeof host};
    *l = (lender){.plugin = {.struct_size = sizeof l->plugin,
                             .abi_major = DIPP_ABI_MAJOR,
                             .abi_minor = DIPP_ABI_MINOR,
                             .kind = DIPP_PLUGIN_REWARD,
                             .name = "small",
                             .vtable = reward}};
    dipp_trainee_options options = {.reward = {&l->plugin, NULL}, .host = &host, .sample = DIPP_SHAPE(D)};
    dipp_backend_options f64 = {.struct_size = sizeof f64, .precision = "f64"};
    CHECK(dipp_reference_backend_create(&f64, &l->backend, error));
    CHECK(dipp_trainee_create(l->backend, &options, &l->trainee, error));
    dipp_parameter_set *set = l->trainee->reward.set;
    CHECK(dipp_parameter_set_initialise(set, 5, DIPP_STREAM_REWARD_INIT, error));
    CHECK(dipp_scorer_borrow(l->backend, &l->trainee->reward, set, mode, DIPP_SHAPE(D), 2, &l->scorer, error));
}

static void close_lender(lender *l)
{
    dipp_scorer_destroy(&l->scorer);
    dipp_trainee_destroy(&l->trainee);
    dipp_backend_destroy(&l->backend);
}

static void write_all(dipp_parameter_set *set, const char *name, double value)
{
    uint32_t at;
    assert_true(dipp_layout_find(set->layout, name, &at));
    const dipp_layout_entry *found = dipp_layout_entry_at(set->layout, at);
    for (size_t i = 0; i < (size_t)found->elements; i++)
        dipp_parameter_set_write_part(set, DIPP_BLOCK_MASTER, (size_t)found->offset + i, 1, &value, DIPP_HOST_F64);
    CHECK(dipp_parameter_set_refresh(set, error));
}

static void scores_are_recorded_as_asked(void **state)
{
    static const dipp_reward_mode modes[] = {DIPP_REWARD_TRAIN, DIPP_REWARD_EVALUATE};
    double scores[COUNT];
    for (int i = 0; i < 2; i++) {
        lender l;
        open_lender(&l, &small_modal, modes[i]);
        assert_int_equal(dipp_scorer_batch(l.scorer), 2); /* fewer than there are samples, and no divisor of them */
        assert_true(dipp_scorer_bytes(l.scorer) > 0);
        for (int number = 0; number < 3; number++) {
            double bias = 0.5 + number;
            write_all(l.trainee->reward.set, "bias", bias);
            CHECK(dipp_scorer_score(l.scorer, samples, prompts, COUNT, scores, error));
            for (int k = 0; k < COUNT; k++)
                assert_true(scores[k] == bias + i);
        }
        close_lender(&l);
    }
}

/* In evaluation too: whoever lends the set may train it. */
static void nothing_is_kept_of_texts(void **state)
{
    double scores[COUNT];
    lender l;
    open_lender(&l, &small_worded, DIPP_REWARD_EVALUATE);
    CHECK(dipp_scorer_learn(l.scorer, prompts, COUNT, error));
    CHECK(dipp_scorer_score(l.scorer, samples, prompts, COUNT, scores, error));
    assert_true(scores[0] != 0 && scores[1] != 0);
    write_all(l.trainee->reward.set, "text.words.weight", 0);
    CHECK(dipp_scorer_score(l.scorer, samples, prompts, COUNT, scores, error));
    assert_true(scores[0] == 0 && scores[1] == 0);
    assert_int_equal(dipp_scorer_text_bytes(l.scorer, COUNT), 0);
    close_lender(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_recorded_as_asked),
        cmocka_unit_test(nothing_is_kept_of_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
