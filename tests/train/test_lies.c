/* Plugins that lie about sizes, kinds and shapes, at every door: what each lie is answered with. Each answer comes before
 * anything was sized by the lie, or at the first recording of a batch. */
#include "exact.h"
#include "train/align.h"
#include "train/scorer.h"

#include <stdlib.h>

enum { BATCH = 4 };

typedef struct lie {
    const char *about, *said;
} lie;

typedef struct stand {
    dipp_plugins *plugins;
    dipp_backend *backend;
    dipp_parameters *parameters[3];
} stand;

static void open_stand(stand *s)
{
    const char *file = getenv("DIPP_TEST_LIARS");
    *s = (stand){0};
    CHECK(dipp_plugins_open(&(dipp_plugins_options){.files = &file, .file_count = 1, .no_environment = true},
                            &s->plugins, error));
    CHECK(dipp_reference_backend_create(
        &(dipp_backend_options){.struct_size = sizeof(dipp_backend_options), .precision = "f64"}, &s->backend, error));
}

static void close_stand(stand *s)
{
    dipp_backend_destroy(&s->backend);
    dipp_plugins_destroy(&s->plugins);
}

static dipp_model_choice choose(stand *s, int slot, dipp_plugin_kind kind, const char *name, const char *about)
{
    const dipp_loaded_plugin *loaded = NULL;
    char text[64];
    const char *assignment = text;
    snprintf(text, sizeof text, "lie=%s", about);
    CHECK(dipp_plugins_find(s->plugins, kind, name, &loaded, error));
    const dipp_plugin *plugin = loaded->descriptor;
    CHECK(dipp_parameters_create_from_text(plugin->parameters, plugin->parameter_count, &assignment, 1,
                                           &s->parameters[slot], error));
    return (dipp_model_choice){.plugin = plugin, .parameters = s->parameters[slot]};
}

/* Everything that happens before the first step: models, prompts, programs. */
static dipp_status prepare(stand *s, const dipp_models_options *options, dipp_error *error)
{
    const scenario *known = &scenarios[VP_WBETA];
    static const char *const prompts[] = {"a word"};
    dipp_models *models = NULL;
    dipp_prompt_table *table = NULL;
    dipp_align *align = NULL;
    dipp_align_settings settings = {.steps = 1,
                                    .batch = BATCH,
                                    .cfg_omega = 1,
                                    .time = known->sampler,
                                    .ta_time = known->sampler,
                                    .ta_updates = 1,
                                    .optimizer = {.kind = DIPP_OPTIMIZER_SGD, .lr = 0.1},
                                    .ta_optimizer = {.kind = DIPP_OPTIMIZER_SGD, .lr = 0.1},
                                    .rewards = {{.scale = 1}}};
    dipp_status status = dipp_models_create(s->backend, options, &models, error);
    if (status == DIPP_OK)
        status = dipp_models_initialise(models, 1, error);
    if (status == DIPP_OK)
        status = dipp_prompt_table_create(models, prompts, models->space.token_length ? 1 : 0, &table, error);
    if (status == DIPP_OK)
        status = dipp_align_create(models, table, &settings, NULL, &align, error);
    if (status == DIPP_OK)
        status = dipp_align_run(align, &(dipp_align_observer){0}, error);
    dipp_align_destroy(&align);
    dipp_prompt_table_destroy(&table);
    dipp_models_destroy(&models);
    return status;
}

/* One of the three lies; said NULL: it is taken. */
static void tell(dipp_plugin_kind kind, const char *reference, const lie *lies, size_t count)
{
    static const dipp_host host = {.struct_size = sizeof host};
    const dipp_schedule schedule = {.kind = DIPP_SCHEDULE_VP, .a = 0.1, .b = 19.9, .t_min = 1e-3, .t_max = 1};
    stand s;
    open_stand(&s);
    for (size_t i = 0; i < count; i++) {
        dipp_models_options options = {.schedule = &schedule, .train_generator = true, .host = &host};
        const char *about[3] = {"none", "none", "none"};
        about[kind == DIPP_PLUGIN_REFERENCE ? 0 : kind == DIPP_PLUGIN_GENERATOR ? 1 : 2] = lies[i].about;
        options.reference = choose(&s, 0, DIPP_PLUGIN_REFERENCE, reference, about[0]);
        options.generator = choose(&s, 1, DIPP_PLUGIN_GENERATOR, "liar", about[1]);
        options.rewards[0] = choose(&s, 2, DIPP_PLUGIN_REWARD, "liar", about[2]);
        options.reward_count = kind == DIPP_PLUGIN_REWARD || strcmp(lies[i].about, "pictures") != 0;
        dipp_error error = {0};
        dipp_status status = prepare(&s, &options, &error);
        if ((status == DIPP_OK) != !lies[i].said || (lies[i].said && !strstr(error.message, lies[i].said)))
            fail_msg("%s lies about `%s`: %s, %s", dipp_plugin_kind_name(kind), lies[i].about, dipp_status_name(status),
                     error.message);
        for (int k = 0; k < 3; k++)
            dipp_parameters_destroy(&s.parameters[k]);
    }
    close_stand(&s);
}

#define TELL(kind, reference, lies) tell(kind, reference, lies, sizeof lies / sizeof *lies)

static const char shape[] = "expected dimensions of at least 1 and at most 2^31 - 1 numbers";

static void of_references(void **state)
{
    (void)state;
    static const lie lies[] = {{"none", NULL},
                               {"rank 0", "a sample has 0 dimensions; expected 1 to 5"},
                               {"rank 6", "a sample has 6 dimensions"},
                               {"rank 99", "a sample has 99 dimensions"},
                               {"no dimension", "the shape [0]"},
                               {"negative", "the shape [-2]"},
                               {"huge", shape},
                               {"large", shape},
                               {"another", "the generator makes samples [2], the reference knows [3]"},
                               {"parameterisation", "it predicts quantity 77; known are 0 to 5"},
                               {"sigma_data", "its sigma_data is 0; expected a finite number above 0"},
                               {"schedule", "it has noise schedule 77"},
                               {"end of time", "its noise schedule holds a number that is not finite"},
                               {"no steps", "its noise schedule has no steps"},
                               {"tokens", "it takes 4 tokens, but has no encode_text and tokenize"},
                               {"many tokens", "it takes 4294967295 tokens; expected at most 65536"},
                               {"pictures", "gives [1, 2] for one sample; expected [1, 3, height, width]"},
                               {"sum", "a network's prediction gives [1]; expected [1, 2]"},
                               {"one", "a network's prediction gives [1, 2]; expected [4, 2]"},
                               {"wide", "a network's prediction gives [1, 4]; expected [1, 2]"},
                               {"nothing", "a network's prediction: an operand is missing"},
                               {"made up", "a network's prediction: an operand is missing"},
                               {"decode one", "the reference's decode gives [1, 2]; expected [4, 2]"},
                               {"decode sum", "the reference's decode gives [1] for one sample"}};
    TELL(DIPP_PLUGIN_REFERENCE, "liar", lies);
}

static void of_references_that_read(void **state)
{
    (void)state;
    static const lie lies[] = {{"none", NULL},
                               {"token", NULL}, /* an id that the table does not have reads as row 0 */
                               {"many tokens", "it takes 4294967295 tokens; expected at most 65536"},
                               {"no part", "encode_text gives no condition"},
                               {"many parts", "a condition of 9 parts; expected at most 4"},
                               {"part of one", "encode_text gives [1, 4, 2]; expected [4, 4, 2]"},
                               {"made up part", "encode_text: an operand is missing"}};
    TELL(DIPP_PLUGIN_REFERENCE, "reading-liar", lies);
}

static void of_generators(void **state)
{
    (void)state;
    static const lie lies[] = {{"rank 0", "a sample has 0 dimensions"},
                               {"rank 99", "a sample has 99 dimensions"},
                               {"negative", "the shape [-2]"},
                               {"huge", shape},
                               {"another", "the generator makes samples [3], the reference knows [2]"},
                               {"one level", "its sigma_init is nan; expected a finite number above 0"},
                               {"sum", "the generator gives [1]; expected [1, 2]"},
                               {"one", "the generator gives [1, 2]; expected [4, 2]"},
                               {"wide", "the generator gives [1, 4]; expected [1, 2]"},
                               {"nothing", "the generator: an operand is missing"},
                               {"made up", "the generator: an operand is missing"}};
    TELL(DIPP_PLUGIN_GENERATOR, "liar", lies);
}

static void of_rewards(void **state)
{
    (void)state;
    static const lie lies[] = {{"direction", "its direction is 5; expected -1, 0 or 1"},
                               {"tokens", "it takes 4 tokens, but has no tokenize"},
                               {"opaque", "it says that it is opaque, but has no score"},
                               {"pictures", "reward liar scores pictures, but the reference gives vectors"},
                               {"samples", "reward liar gives [1, 2]; expected [1]"},
                               {"one", "the reward gives [1]; expected [4]"},
                               {"nothing", "reward liar: an operand is missing"},
                               {"made up", "reward liar: an operand is missing"}};
    TELL(DIPP_PLUGIN_REWARD, "liar", lies);
}

/* The same rewards as metrics: a door of its own. */
static void of_metrics(void **state)
{
    (void)state;
    static const lie lies[] = {{"none", NULL},
                               {"direction", "metric liar: its direction is 5; expected -1, 0 or 1"},
                               {"tokens", "metric liar: it takes 4 tokens, but has no tokenize"},
                               {"opaque", "metric liar: it says that it is opaque, but has no score"},
                               {"samples", "it gives [4, 2]; expected [4]"},
                               {"one", "it gives [1]; expected [4]"},
                               {"nothing", "it: an operand is missing"}};
    static const dipp_host host = {.struct_size = sizeof host};
    stand s;
    open_stand(&s);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        dipp_scorer *scorer = NULL;
        dipp_error error = {0};
        dipp_model_choice choice = choose(&s, 0, DIPP_PLUGIN_REWARD, "liar", lies[i].about);
        dipp_status status = dipp_scorer_create(s.backend, choice.plugin, choice.parameters, &host, NULL, NULL,
                                                DIPP_SHAPE(2), BATCH, &scorer, &error);
        if ((status == DIPP_OK) != !lies[i].said || (lies[i].said && !strstr(error.message, lies[i].said)))
            fail_msg("`%s`: %s, %s", lies[i].about, dipp_status_name(status), error.message);
        dipp_scorer_destroy(&scorer);
        dipp_parameters_destroy(&s.parameters[0]);
    }
    close_stand(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_references), cmocka_unit_test(of_references_that_read),
        cmocka_unit_test(of_generators), cmocka_unit_test(of_rewards),
        cmocka_unit_test(of_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
