/* Published pipelines through the program: the two tiny folders of fixtures/pipelines are checked, planned, trained with and without
 * adapters, and drawn from, by prompts given as text; what the files say is part of a run's key; what is missing is named. */
#include "cli_fixture.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct subject {
    const char *name, *plugin, *init, *experiment;
    const char *weights, *vocabulary; /* of a folder's parts: a file to take away, and one of the tokenizer's */
} subject;

static const subject subjects[] = {
    {"sd", "unet", "t_init: 625", "sd15", "unet/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json"},
    {"pixart", "dit", "t_init: 400, unit_noise: true", "pixart", "transformer/diffusion_pytorch_model.safetensors",
     "tokenizer/spiece.model"}};

static const char form[] = "name: %s\n"
                           "device: cpu\n"
                           "threads: 1\n"
                           "prompts: {list: [a red cat, two dogs in the snow]}\n"
                           "reference: {plugin: %s, weights: &folder %s, steps: 2, params: {pipeline: *folder}}\n"
                           "generator: {plugin: %s, init: *folder, params: {pipeline: *folder, %s}}\n"
                           "align:\n"
                           "  steps: 2\n"
                           "  batch: 2\n"
                           "  cfg_omega: 3.0\n"
                           "  time: {law: discrete_uniform, min: 20, max: 979}\n"
                           "  ta: {time: {law: discrete_uniform, min: 20, max: 979}}\n"
                           "rewards: [{plugin: colorfulness, scale: 1}]\n"
                           "evaluate: {every: 2, samples: 1, metrics: [colorfulness]}\n"
                           "arms:\n"
                           "  full: {}\n"
                           "  lora: {generator.lora: {rank: 2}, align.ta.lora: {rank: 2}}\n";

/* A copy of a fixture under ./NAME, and NAME.yaml that starts from it. */
static void prepare(const subject *s, const char *name)
{
    char text[4096];
    snprintf(text, sizeof text, "cp -r " DIPP_FIXTURE_FOLDER "/pipelines/%s %s && chmod -R u+w %s", s->name, name,
             name);
    assert_int_equal(system(text), 0);
    snprintf(text, sizeof text, form, s->name, s->plugin, name, s->plugin, s->init);
    char file[64];
    snprintf(file, sizeof file, "%s.yaml", name);
    write_file(file, text);
}

/* Runs one command line in which every @ stands for the name. */
static int run(const char *command, const char *name)
{
    char line[512] = "";
    for (size_t at = 0; *command && at + 1 < sizeof line; at = strlen(line), command++)
        snprintf(line + at, sizeof line - at, "%.*s", *command == '@' ? 64 : 1, *command == '@' ? name : command);
    return dipp(line);
}

static void expect(const char *text)
{
    if (!output_has(text))
        fail_msg("expected \"%s\" in:\n%s", text, output(NULL));
}

static void change(const char *folder, const char *file, const char *script)
{
    char line[512];
    snprintf(line, sizeof line, "sed -i '%s' %s/%s", script, folder, file);
    assert_int_equal(system(line), 0);
}

static void through_all_commands(const subject *s)
{
    char text[128];
    prepare(s, s->name);
    assert_int_equal(run("check @.yaml", s->name), 0);
    expect("full: ok");
    expect("lora: ok");
    assert_int_equal(run("plan @.yaml", s->name), 0);
    expect("text encoder");
    expect("decoder");
    run("doctor @.yaml --db @.db", s->name);
    snprintf(text, sizeof text, "files of %s: all there", s->name);
    expect(text);
    assert_int_equal(run("run @.yaml --db @.db --quiet", s->name), 0);
    snprintf(text, sizeof text, "%s.db", s->name);
    assert_int_equal(ask(text, "SELECT count(*) FROM runs WHERE status='completed'"), 2);
    assert_int_equal(ask(text, "SELECT count(*) FROM metrics JOIN metric_names USING(metric_id) "
                               "WHERE name='train/ta_loss' AND abs(value) < 1e9"),
                     4);
    assert_sound(text);

    /* Text is read: another prompt gives another picture, from the trained weights and from the reference. */
    assert_int_equal(run("sample full:0 -e @ --db @.db -n 1 -p cat -o cat.png", s->name), 0);
    assert_int_equal(run("sample full:0 -e @ --db @.db -n 1 -p dogs -o dogs.png", s->name), 0);
    assert_int_not_equal(digest_file("cat.png"), digest_file("dogs.png"));
    assert_int_equal(run("sample @.yaml -n 1 -p cat -o drawn.png --reference", s->name), 0);
    assert_true(dipp_path_exists("drawn.png"));
}

static void content_makes_the_key(const subject *s)
{
    char name[64], database[64];
    snprintf(name, sizeof name, "%s-moved", s->name);
    snprintf(database, sizeof database, "%s.db", s->name);
    prepare(s, name);
    char line[256];
    snprintf(line, sizeof line, "run %s.yaml --db %s --dry-run", name, database);
    assert_int_equal(dipp(line), 0);
    expect("0 to run, 2 done"); /* the same files elsewhere */
    change(name, "scheduler/scheduler_config.json", "s/\"beta_end\": [0-9.]*/\"beta_end\": 0.0125/");
    assert_int_equal(dipp(line), 0);
    expect("2 to run, 0 done");
}

static void what_is_missing_is_named(const subject *s)
{
    char name[64], line[1024];
    snprintf(name, sizeof name, "%s-less", s->name);
    prepare(s, name);
    snprintf(line, sizeof line, "rm %s/%s %s/%s %s/scheduler/scheduler_config.json %s/vae/*.safetensors", name,
             s->weights, name, s->vocabulary, name, name);
    assert_int_equal(system(line), 0);
    assert_int_equal(run("doctor @.yaml", name), 3);
    expect(s->weights);
    expect(s->vocabulary);
    expect("/scheduler/scheduler_config.json");
    expect("/vae/diffusion_pytorch_model.safetensors");
    expect(s->name[0] == 's' ? "stable-diffusion-v1-5/stable-diffusion-v1-5" : "PixArt-alpha/PixArt-XL-2-512x512");
    assert_int_not_equal(run("check @.yaml", name), 0);
    expect("scheduler_config.json");

    /* What the files say and dipp does not know is refused by name. */
    prepare(s, "odd");
    change("odd", "scheduler/scheduler_config.json",
           "s/\"beta_start\"/\"rescale_betas_zero_snr\": true, \"beta_start\"/; "
           "s/\"rescale_betas_zero_snr\": false,//");
    assert_int_not_equal(dipp("check odd.yaml"), 0);
    expect("rescale_betas_zero_snr: true is not supported");
    assert_int_not_equal(dipp("check odd.yaml reference.params.layers=1"), 0);
    expect("`layers` is written beside `pipeline`");
    assert_int_equal(system("rm -r odd"), 0);
}

/* The experiments for the published pipelines are sound but for the files. */
/* A folder whose text encoder is in several files of PyTorch's own kind: their index is found, and believed. */
static void an_index_of_older_files_is_read(const subject *s)
{
    char line[1024];
    prepare(s, "older");
    snprintf(
        line, sizeof line,
        "cd older/text_encoder && mv model.safetensors pytorch_model-00001-of-00001.bin && echo "
        "'{\"weight_map\": {\"of.nobody\": \"pytorch_model-00001-of-00001.bin\"}}' > pytorch_model.bin.index.json");
    assert_int_equal(system(line), 0);
    assert_int_not_equal(dipp("run older.yaml"), 0);
    expect("pytorch_model.bin.index.json");
    expect("of.nobody");
    assert_int_equal(system("rm -r older"), 0);
}

static void experiments_start_from_such_folders(const subject *s)
{
    char line[1024];
    write_file("prompts.txt", "a red cat\nsnow\n");
    snprintf(line, sizeof line,
             "check %s/experiments/%s.yaml ~arms ~baseline reference.weights=%s reference.params.pipeline=%s "
             "generator.init=%s generator.params.pipeline=%s prompts.file=prompts.txt "
             "evaluate.prompts.file=prompts.txt evaluate.prompts.count=2 "
             "rewards=[] evaluate.scorers=[]",
             getenv("DIPP_SOURCE"), s->experiment, s->name, s->name, s->name, s->name);
    if (dipp(line) != 0)
        fail_msg("%s", output(NULL));
    snprintf(line, sizeof line, "doctor %s/experiments/%s.yaml", getenv("DIPP_SOURCE"), s->experiment);
    assert_int_equal(dipp(line), 3);
    expect("reference.weights: there is no models/");
    expect("HPS_v2.1_compressed.pt");
    expect("yuvalkirstain/PickScore_v1");
}

static void everything_of(const subject *s)
{
    through_all_commands(s);
    content_makes_the_key(s);
    what_is_missing_is_named(s);
    an_index_of_older_files_is_read(s);
    experiments_start_from_such_folders(s);
}

static void stable_diffusion(void **state)
{
    (void)state;
    everything_of(&subjects[0]);
}

static void pixart(void **state)
{
    (void)state;
    everything_of(&subjects[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(stable_diffusion, cli_setup, cli_teardown),
                                       cmocka_unit_test_setup_teardown(pixart, cli_setup, cli_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
