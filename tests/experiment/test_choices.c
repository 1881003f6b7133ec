/* Words of the experiment file that become an enum of the program: each means what it says, wherever it stands in the
 * table. */
#include "catalog.h"
#include "experiment/experiment.h"
#include "experiment/run_settings.h"
#include "experiment/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

typedef struct choices { /* what one configuration sets */
    dipp_align_settings align;
    dipp_reward_settings reward;
    dipp_formats formats;
} choices;

static const char aligning[] = "name: x\nreference: {plugin: dit}\ngenerator: {plugin: dit}\nschedule: {name: vp}\n"
                               "rewards: [{plugin: border, scale: 1}]\nalign: {divergence: {name: ikl}}\n";
static const char learning[] = "name: x\nstage: reward\nreward: {plugin: border}\npreferences: {train: pairs}\n";

static choices read_with(const char *key, const char *word)
{
    bool learns = !strncmp(key, "learn.", 6);
    const char *text = learns ? learning : aligning;
    char given[96];
    const char *overrides[] = {given, "~preferences", "preferences.size=32"};
    bool captions = !strcmp(word, "contrastive"); /* which learns from captioned pictures, not from pairs */
    choices out;
    dipp_error error = {0};
    dipp_schedule schedule;
    dipp_experiment *experiment = NULL;
    dipp_diagnostics *diagnostics = dipp_diagnostics_create();
    snprintf(given, sizeof given, "%s=%s", key, word);
    if (dipp_experiment_parse("e.yaml", text, strlen(text), overrides, captions ? 3 : 1, &test_catalog, diagnostics,
                              &experiment, &error) != DIPP_OK)
        fail_msg("%s: %s", given, dipp_diagnostics_text(diagnostics));
    size_t count;
    const dipp_config *config = dipp_experiment_cells(experiment, &count)[0].config;
    dipp_run_schedule(config, &schedule);
    dipp_status status = learns ? dipp_run_reward_settings(config, 0, &out.reward, &error)
                                : dipp_run_align_settings(config, &schedule, 0, &out.align, &error);
    if (status != DIPP_OK)
        fail_msg("%s: %s", given, error.message);
    out.formats = dipp_run_formats(config, learns ? "learn.optimizer" : "align.optimizer");
    dipp_experiment_destroy(&experiment);
    dipp_diagnostics_destroy(&diagnostics);
    return out;
}

static int loss_of(const choices *c)
{
    return (int)c->reward.loss;
}

static int state_of(const choices *c)
{
    return (int)c->formats.state;
}

static int rate_of(const choices *c)
{
    return (int)c->align.optimizer.schedule;
}

static int law_of(const choices *c)
{
    return (int)c->align.time.law.kind;
}

static int ta_loss_of(const choices *c)
{
    return (int)c->align.ta_loss;
}

static int recompute_of(const choices *c)
{
    return (int)c->align.recompute;
}

static int ramp_of(const choices *c)
{
    return (int)c->align.rewards[0].ramp;
}

static int clamp_of(const choices *c)
{
    return c->align.clamp;
}

enum { MOST = 5 };

static const struct {
    const char *key;
    int (*of)(const choices *c);
    struct {
        const char *word;
        int value;
    } words[MOST];
} cases[] = {
    {"learn.loss",
     loss_of,
     {{"bt_mean", DIPP_LOSS_BT_MEAN},
      {"bt_sum", DIPP_LOSS_BT_SUM},
      {"pair_cross_entropy", DIPP_LOSS_PAIR_CROSS_ENTROPY},
      {"kl_tie", DIPP_LOSS_KL_TIE},
      {"contrastive", DIPP_LOSS_CONTRASTIVE}}},
    {"align.optimizer.state",
     state_of,
     {{"f32", DIPP_STATE_F32}, {"bf16", DIPP_STATE_BF16}, {"8bit", DIPP_STATE_8BIT}}},
    {"align.optimizer.schedule",
     rate_of,
     {{"constant", DIPP_RATE_CONSTANT}, {"linear", DIPP_RATE_LINEAR}, {"cosine", DIPP_RATE_COSINE}}},
    {"align.time.law",
     law_of,
     {{"uniform", DIPP_TIME_UNIFORM}, {"discrete_uniform", DIPP_TIME_DISCRETE}, {"log_normal", DIPP_TIME_LOG_NORMAL}}},
    {"align.ta.loss", ta_loss_of, {{"native", DIPP_LOSS_NATIVE}, {"data1", DIPP_LOSS_DATA1}, {"eps1", DIPP_LOSS_EPS1}}},
    {"recompute",
     recompute_of,
     {{"none", DIPP_RECOMPUTE_NONE}, {"blocks", DIPP_RECOMPUTE_BLOCKS}, {"auto", DIPP_RECOMPUTE_AUTO}}},
    {"rewards[0].schedule",
     ramp_of,
     {{"constant", DIPP_RAMP_CONSTANT}, {"linear", DIPP_RAMP_LINEAR}, {"cosine", DIPP_RAMP_COSINE}}},
    {"align.clamp", clamp_of, {{"none", 0}, {"hard", 1}, {"straight_through", 2}}},
};

static void words_mean_what_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const dipp_row *row = dipp_experiment_row(cases[i].key);
        int count = 0;
        while (row->parameter.choices[count]) /* none is left out here */
            count++;
        for (int k = 0; k < MOST && cases[i].words[k].word; k++, count--) {
            choices read = read_with(cases[i].key, cases[i].words[k].word);
            if (cases[i].of(&read) != cases[i].words[k].value)
                fail_msg("%s=%s is %d", cases[i].key, cases[i].words[k].word, cases[i].of(&read));
        }
        assert_int_equal(count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_mean_what_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
