/* The training step of a DiT on this machine: pictures per second and, with --ledger, where the time goes by op.
 *
 *   step [--backend B] [--width W] [--layers L] [--heads H] [--batch N] [--tokens T] [--steps S] [--precision P]
 *        [--threads K] [--ledger]
 *
 * A step is what trains: forward, backward, clipping, AdamW and the average. Pictures are noise, so drawing costs nothing.
 * Prints one JSON line; bench/torch_dit.py prints the same for PyTorch. */
#include "base/clock.h"
#include "experiment/schema.h"
#include "plugin/plugin_host.h"
#include "train/pretrain.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

typedef struct settings {
    int width, layers, heads, batch, tokens, steps, threads;
    const char *backend, *precision;
    bool ledger;
} settings;

static void die(const char *what, const dipp_error *error)
{
    fprintf(stderr, "step: %s: %s\n", what, error->message);
    exit(1);
}

static dipp_status draw(void *context, uint64_t seed, uint64_t first, uint32_t count, float *pictures,
                        const char **captions, dipp_error *error)
{
    (void)error;
    size_t floats = *(size_t *)context;
    for (size_t i = 0; i < count * floats; i++)
        pictures[i] = (float)((i * 2654435761u + first + seed) % 1000) / 1000.0f;
    for (uint32_t i = 0; i < count; i++)
        captions[i] = "a red apple on a blue background";
    return DIPP_OK;
}

typedef struct clock_of_steps {
    double start;
    int64_t warm;
    double seconds;
} clock_of_steps;

static dipp_status after_step(void *context, dipp_pretrain *pretrain, int64_t step, dipp_error *error)
{
    (void)pretrain;
    (void)error;
    clock_of_steps *clock = context;
    double now = (double)dipp_clock_monotonic_ns() * 1e-9;
    if (step == clock->warm)
        clock->start = now;
    clock->seconds = now - clock->start;
    return DIPP_OK;
}

static void print_ledger(const dipp_ledger *ledger, double steps)
{
    double total = 0;
    for (int op = 0; op < DIPP_OP_COUNT; op++)
        total += ledger->seconds[op];
    for (;;) {
        int best = -1;
        static bool shown[DIPP_OP_COUNT];
        for (int op = 0; op < DIPP_OP_COUNT; op++)
            if (ledger->calls[op] && !shown[op] && (best < 0 || ledger->seconds[op] > ledger->seconds[best]))
                best = op;
        if (best < 0)
            return;
        shown[best] = true;
        printf("  %-24s %7.2f ms/step %5.1f %%  %6.0f calls  %7.1f GFLOP/s\n", dipp_op_infos[best].name,
               1e3 * ledger->seconds[best] / steps, 100 * ledger->seconds[best] / total,
               (double)ledger->calls[best] / steps,
               ledger->seconds[best] > 0 ? 1e-9 * ledger->flops[best] / ledger->seconds[best] : 0.0);
    }
}

static settings parse(int argc, char **argv)
{
    settings s = {160, 6, 5, 128, 16, 12, 0, "cpu", "auto", false};
    static const struct option options[] = {{"width", 1, 0, 'w'},
                                            {"layers", 1, 0, 'l'},
                                            {"heads", 1, 0, 'h'},
                                            {"batch", 1, 0, 'b'},
                                            {"tokens", 1, 0, 't'},
                                            {"steps", 1, 0, 's'},
                                            {"precision", 1, 0, 'p'},
                                            {"threads", 1, 0, 'k'},
                                            {"ledger", 0, 0, 'g'},
                                            {"backend", 1, 0, 'd'},
                                            {0}};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (c) {
        case 'w': s.width = atoi(optarg); break;
        case 'l': s.layers = atoi(optarg); break;
        case 'h': s.heads = atoi(optarg); break;
        case 'b': s.batch = atoi(optarg); break;
        case 't': s.tokens = atoi(optarg); break;
        case 's': s.steps = atoi(optarg); break;
        case 'p': s.precision = optarg; break;
        case 'd': s.backend = optarg; break;
        case 'k': s.threads = atoi(optarg); break;
        case 'g': s.ledger = true; break;
        default: exit(2);
        }
    return s;
}

int main(int argc, char **argv)
{
    settings s = parse(argc, argv);
    dipp_error error = {0};
    dipp_backend *backend;
    dipp_backend_options options = {
        .struct_size = sizeof options, .threads = (uint32_t)s.threads, .precision = s.precision};
    if (dipp_backend_create(s.backend, &options, &backend, &error) != DIPP_OK)
        die("back-end", &error);
    dipp_plugins *plugins;
    const dipp_loaded_plugin *dit;
    if (dipp_plugins_open(NULL, &plugins, &error) != DIPP_OK ||
        dipp_plugins_find(plugins, DIPP_PLUGIN_REFERENCE, "dit", &dit, &error) != DIPP_OK)
        die("plugin dit", &error);
    FILE *words = fopen("/tmp/dipp-bench-words.txt", "w");
    if (!words)
        return 1;
    fputs("<pad>\n<unknown>\na\napple\nbackground\nblue\non\nred\n", words);
    fclose(words);
    char texts[6][64];
    snprintf(texts[0], sizeof texts[0], "hidden=%d", s.width);
    snprintf(texts[1], sizeof texts[1], "layers=%d", s.layers);
    snprintf(texts[2], sizeof texts[2], "heads=%d", s.heads);
    snprintf(texts[3], sizeof texts[3], "token_length=%d", s.tokens);
    snprintf(texts[4], sizeof texts[4], "text_hidden=160");
    snprintf(texts[5], sizeof texts[5], "vocabulary=/tmp/dipp-bench-words.txt");
    const char *assignments[6] = {texts[0], texts[1], texts[2], texts[3], texts[4], texts[5]};
    dipp_parameters *parameters;
    if (dipp_parameters_create_from_text(dit->descriptor->parameters, dit->descriptor->parameter_count, assignments, 6,
                                         &parameters, &error) != DIPP_OK)
        die("parameters", &error);
    dipp_host host = {.struct_size = sizeof host};
    dipp_models *models;
    if (dipp_models_create(
            backend,
            &(dipp_models_options){.reference = {dit->descriptor, parameters}, .train_reference = true, .host = &host},
            &models, &error) != DIPP_OK ||
        dipp_models_initialise(models, 1, &error) != DIPP_OK)
        die("models", &error);
    size_t floats = (size_t)dipp_shape_elements(&models->space.sample);
    dipp_ledger ledger = {0};
    dipp_pretrain_settings train = {.seed = 1,
                                    .steps = s.steps + 3,
                                    .batch = (uint32_t)s.batch,
                                    .prompt_dropout = 0.1,
                                    .time = {.law = {DIPP_TIME_LOG_NORMAL, 0, 0, 0.3, 1.4}},
                                    .optimizer = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .clip = 1},
                                    .average = {.decay = 0.999},
                                    .ledger = s.ledger ? &ledger : NULL};
    dipp_plan_report report;
    dipp_pretrain *pretrain;
    if (dipp_pretrain_create(models, &(dipp_sample_source){&floats, draw}, &train, &report, &pretrain, &error) !=
        DIPP_OK)
        die("training", &error);
    clock_of_steps clock = {.warm = 3};
    if (dipp_pretrain_run(pretrain, &(dipp_pretrain_observer){.context = &clock, .after_step = after_step}, &error) !=
        DIPP_OK)
        die("training", &error);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double rate = s.steps * s.batch / clock.seconds;
    printf("{\"program\": \"dipp\", \"backend\": \"%s\", \"precision\": \"%s\", \"isa\": \"%s\", \"threads\": %u, "
           "\"width\": %d, "
           "\"layers\": %d, "
           "\"parameters\": %lld, \"batch\": %d, \"images_per_second\": %.1f, \"tflops\": %.3f, \"temporaries_mib\": "
           "%.1f, "
           "\"peak_rss_mib\": %.1f}\n",
           backend->name, backend->precision, backend->isa, backend->threads, s.width, s.layers,
           (long long)(dipp_layout_parameters(models->reference_layout) + dipp_layout_parameters(models->text_layout)),
           s.batch, rate, 1e-12 * dipp_pretrain_flops(pretrain) * s.steps / clock.seconds,
           (double)report.arena_bytes / 1048576.0, (double)usage.ru_maxrss / 1024.0);
    if (s.ledger)
        print_ledger(&ledger, s.steps + 3);
    dipp_pretrain_destroy(&pretrain);
    dipp_models_destroy(&models);
    dipp_parameters_destroy(&parameters);
    dipp_plugins_destroy(&plugins);
    dipp_backend_destroy(&backend);
    return 0;
}
