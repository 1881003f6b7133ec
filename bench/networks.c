#include "networks.h"

#include "base/clock.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 1024 };

void bench_require(dipp_status status, const char *what, const dipp_error *error)
{
    if (status == DIPP_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, error->message);
    exit(1);
}

bench_settings bench_parse(int argc, char **argv)
{
    bench_settings s = {128, 5, 4, 32, 16, 12, 0, "cpu", "auto", false};
    static const struct option options[] = {{"width", 1, 0, 'w'},
                                            {"layers", 1, 0, 'l'},
                                            {"heads", 1, 0, 'h'},
                                            {"batch", 1, 0, 'b'},
                                            {"tokens", 1, 0, 't'},
                                            {"steps", 1, 0, 's'},
                                            {"threads", 1, 0, 'k'},
                                            {"precision", 1, 0, 'p'},
                                            {"backend", 1, 0, 'd'},
                                            {"ledger", 0, 0, 'g'},
                                            {0}};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (c) {
        case 'w': s.width = atoi(optarg); break;
        case 'l': s.layers = atoi(optarg); break;
        case 'h': s.heads = atoi(optarg); break;
        case 'b': s.batch = atoi(optarg); break;
        case 't': s.tokens = atoi(optarg); break;
        case 's': s.steps = atoi(optarg); break;
        case 'k': s.threads = atoi(optarg); break;
        case 'p': s.precision = optarg; break;
        case 'd': s.backend = optarg; break;
        case 'g': s.ledger = true; break;
        default: exit(2);
        }
    return s;
}

/* ---- Memory ---- */

/* A line of /proc/self/status in MiB; 0 where there is none. */
static double status_mib(const char *key)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[128];
    double kib = 0;
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, key, strlen(key)))
            kib = strtod(line + strlen(key), NULL);
    if (file)
        fclose(file);
    return kib / 1024;
}

/* VmHWM counts from here. */
static void reset_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file)
        return;
    fputs("5", file);
    fclose(file);
}

/* ---- Networks ---- */

/* A vocabulary of WORDS words in byte order in a new file. */
static void write_words(char path[32])
{
    static const char *const words[] = {"<pad>", "<unknown>", "a", "apple", "background", "blue", "on", "red"};
    snprintf(path, 32, "/tmp/dipp-bench-XXXXXX");
    int descriptor = mkstemp(path);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    if (!file) {
        perror("the vocabulary's file");
        exit(1);
    }
    for (int i = 0; i < WORDS; i++)
        if (i < (int)(sizeof words / sizeof *words))
            fprintf(file, "%s\n", words[i]);
        else
            fprintf(file, "word%04d\n", i);
    fclose(file);
}

static dipp_model_choice choose(bench_networks *networks, dipp_plugin_kind kind, const char *name,
                                const char *const *assignments, uint32_t count)
{
    dipp_error error = {0};
    const dipp_loaded_plugin *plugin;
    dipp_parameters **parameters = &networks->parameters[kind == DIPP_PLUGIN_REFERENCE   ? 0
                                                         : kind == DIPP_PLUGIN_GENERATOR ? 1
                                                                                         : 2];
    bench_require(dipp_plugins_find(networks->plugins, kind, name, &plugin, &error), name, &error);
    bench_require(dipp_parameters_create_from_text(plugin->descriptor->parameters, plugin->descriptor->parameter_count,
                                                   assignments, count, parameters, &error),
                  name, &error);
    return (dipp_model_choice){plugin->descriptor, *parameters};
}

void bench_open(const bench_settings *settings, bool align, bench_networks *networks)
{
    dipp_error error = {0};
    *networks = (bench_networks){0};
    dipp_backend_options options = {
        .struct_size = sizeof options, .threads = (uint32_t)settings->threads, .precision = settings->precision};
    bench_require(dipp_backend_create(settings->backend, &options, &networks->backend, &error), "back-end", &error);
    bench_require(dipp_plugins_open(NULL, &networks->plugins, &error), "plugins", &error);
    char words[32], texts[7][64];
    write_words(words);
    snprintf(texts[0], sizeof texts[0], "hidden=%d", settings->width);
    snprintf(texts[1], sizeof texts[1], "layers=%d", settings->layers);
    snprintf(texts[2], sizeof texts[2], "heads=%d", settings->heads);
    snprintf(texts[3], sizeof texts[3], "token_length=%d", settings->tokens);
    snprintf(texts[4], sizeof texts[4], "text_hidden=%d", settings->width);
    snprintf(texts[5], sizeof texts[5], "text_heads=%d", settings->heads);
    snprintf(texts[6], sizeof texts[6], "vocabulary=%s", words);
    const char *assignments[7];
    for (int i = 0; i < 7; i++)
        assignments[i] = texts[i];
    static const dipp_host host = {.struct_size = sizeof host};
    dipp_models_options model = {.train_reference = !align, .train_generator = align, .host = &host};
    model.reference = choose(networks, DIPP_PLUGIN_REFERENCE, "dit", assignments, 7);
    if (align) {
        model.generator = choose(networks, DIPP_PLUGIN_GENERATOR, "dit", assignments, 3);
        model.rewards[model.reward_count++] = choose(networks, DIPP_PLUGIN_REWARD, "border", NULL, 0);
    }
    networks->resident_mib = status_mib("VmRSS:");
    dipp_status status = dipp_models_create(networks->backend, &model, &networks->models, &error);
    unlink(words); /* it has been read */
    bench_require(status, "models", &error);
    bench_require(dipp_models_initialise(networks->models, 1, &error), "models", &error);
}

void bench_close(bench_networks *networks)
{
    dipp_models_destroy(&networks->models);
    for (int i = 0; i < 3; i++)
        dipp_parameters_destroy(&networks->parameters[i]);
    dipp_plugins_destroy(&networks->plugins);
    dipp_backend_destroy(&networks->backend);
}

/* ---- Results ---- */

void bench_clock_tick(bench_clock *at, int64_t step)
{
    double wall = (double)dipp_clock_monotonic_ns() * 1e-9, cpu = (double)clock() / CLOCKS_PER_SEC;
    if (step <= BENCH_WARM_STEPS) {
        reset_peak();
        at->wall_start = wall;
        at->cpu_start = cpu;
    }
    at->wall = wall - at->wall_start;
    at->cpu = cpu - at->cpu_start;
}

void bench_print(const bench_settings *s, const bench_networks *networks, const bench_clock *clock,
                 const bench_result *result)
{
    const dipp_backend *backend = networks->backend;
    double weights_mib = (double)result->loaded * sizeof(float) / 1048576.0, peak_mib = status_mib("VmHWM:");
    printf("{\"program\": \"dipp\", \"what\": \"%s\", \"backend\": \"%s\", \"precision\": \"%s\", \"isa\": \"%s\", "
           "\"threads\": %u, \"width\": %d, \"layers\": %d, \"parameters\": %lld, \"batch\": %d, "
           "\"images_per_second\": %.1f, \"images_per_cpu_second\": %.2f, \"tflops\": %.3f, \"temporaries_mib\": %.1f, "
           "\"peak_rss_mib\": %.1f, \"above_weights_mib\": %.1f}\n",
           result->what, backend->name, backend->precision, backend->isa, backend->threads, s->width, s->layers,
           (long long)result->parameters, s->batch, s->steps * s->batch / clock->wall, s->steps * s->batch / clock->cpu,
           1e-12 * result->flops * s->steps / clock->wall, result->temporaries_mib, peak_mib,
           peak_mib - networks->resident_mib - weights_mib);
}

void bench_print_ledger(const dipp_ledger *ledger, double steps)
{
    double total = 0;
    bool shown[DIPP_OP_COUNT] = {false};
    for (int op = 0; op < DIPP_OP_COUNT; op++)
        total += ledger->seconds[op];
    for (;;) {
        int best = -1;
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
