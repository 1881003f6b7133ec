#include "networks.h"

#include "base/clock.h"

#include <getopt.h>
#include <stdarg.h>
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
    bench_settings s = {.width = 128,
                        .layers = 5,
                        .heads = 4,
                        .batch = 32,
                        .tokens = 16,
                        .steps = 12,
                        .warmup = 3,
                        .size = 32,
                        .channels = 3,
                        .groups = 16,
                        .backend = "cpu",
                        .precision = "auto",
                        .network = "dit",
                        .widths = "32,48,64"};
    static const struct option options[] = {{"width", 1, 0, 'w'},    {"layers", 1, 0, 'l'},    {"heads", 1, 0, 'h'},
                                            {"batch", 1, 0, 'b'},    {"tokens", 1, 0, 't'},    {"steps", 1, 0, 's'},
                                            {"threads", 1, 0, 'k'},  {"precision", 1, 0, 'p'}, {"backend", 1, 0, 'd'},
                                            {"network", 1, 0, 'n'},  {"widths", 1, 0, 'W'},    {"size", 1, 0, 'S'},
                                            {"channels", 1, 0, 'c'}, {"groups", 1, 0, 'G'},    {"ledger", 0, 0, 'g'},
                                            {"warmup", 1, 0, 'u'},   {"gradient", 1, 0, 'D'},  {0}};
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
        case 'n': s.network = optarg; break;
        case 'W': s.widths = optarg; break;
        case 'S': s.size = atoi(optarg); break;
        case 'c': s.channels = atoi(optarg); break;
        case 'G': s.groups = atoi(optarg); break;
        case 'g': s.ledger = true; break;
        case 'u': s.warmup = atoi(optarg); break;
        case 'D': s.gradient = atoi(optarg) != 0; break;
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

double bench_resident_mib(void)
{
    return status_mib("VmRSS:");
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

typedef struct assignments {
    char text[12][192];
    const char *items[12];
    uint32_t count;
} assignments;

static void assign(assignments *a, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(a->text[a->count], sizeof a->text[0], format, arguments);
    va_end(arguments);
    a->items[a->count] = a->text[a->count];
    a->count++;
}

/* "[first, rest, rest]", or the other way round. */
static const char *block_list(char *out, size_t size, int levels, const char *finest, const char *other, bool up)
{
    size_t used = 0;
    for (int i = 0; i < levels && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "[",
                                 i == (up ? levels - 1 : 0) ? finest : other);
    if (used < size)
        snprintf(out + used, size - used, "]");
    return out;
}

/* The network's parameters, which reference and generator share. */
static void assign_network(const bench_settings *s, assignments *a)
{
    assign(a, "size=%d", s->size);
    if (strcmp(s->network, "unet") != 0) {
        assign(a, "hidden=%d", s->width);
        assign(a, "layers=%d", s->layers);
        assign(a, "heads=%d", s->heads);
        return;
    }
    char list[192];
    int levels = 1;
    for (const char *c = s->widths; *c; c++)
        levels += *c == ',';
    assign(a, "channels=%d", s->channels);
    assign(a, "widths=[%s]", s->widths);
    assign(a, "layers=[%d]", s->layers);
    assign(a, "heads=[%d]", s->heads);
    assign(a, "groups=%d", s->groups);
    assign(a, "down_blocks=%s", block_list(list, sizeof list, levels, "DownBlock2D", "CrossAttnDownBlock2D", false));
    assign(a, "up_blocks=%s", block_list(list, sizeof list, levels, "UpBlock2D", "CrossAttnUpBlock2D", true));
}

void bench_open(const bench_settings *settings, bool align, bench_networks *networks)
{
    dipp_error error = {0};
    *networks = (bench_networks){0};
    dipp_backend_options options = {
        .struct_size = sizeof options, .threads = (uint32_t)settings->threads, .precision = settings->precision};
    bench_require(dipp_backend_create(settings->backend, &options, &networks->backend, &error), "back-end", &error);
    bench_require(dipp_plugins_open(NULL, &networks->plugins, &error), "plugins", &error);
    char words[32];
    write_words(words);
    assignments a = {.count = 0};
    assign_network(settings, &a);
    uint32_t shared = a.count;
    assign(&a, "token_length=%d", settings->tokens);
    assign(&a, "text_hidden=%d", settings->width);
    assign(&a, "text_heads=%d", settings->heads);
    assign(&a, "vocabulary=%s", words);
    static const dipp_host host = {.struct_size = sizeof host};
    dipp_models_options model = {.train_reference = !align, .train_generator = align, .host = &host};
    model.reference = choose(networks, DIPP_PLUGIN_REFERENCE, settings->network, a.items, a.count);
    if (align) {
        model.generator = choose(networks, DIPP_PLUGIN_GENERATOR, settings->network, a.items, shared);
        model.rewards[model.reward_count++] = choose(networks, DIPP_PLUGIN_REWARD, "border", NULL, 0);
    }
    networks->resident_mib = bench_resident_mib();
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
    if (step <= at->warmup) {
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
    printf("{\"program\": \"dipp\", \"what\": \"%s\", \"network\": \"%s\", \"backend\": \"%s\", \"precision\": \"%s\", "
           "\"isa\": \"%s\", "
           "\"threads\": %u, \"width\": %d, \"layers\": %d, \"parameters\": %lld, \"batch\": %d, "
           "\"images_per_second\": %.4g, \"images_per_cpu_second\": %.4g, \"tflops\": %.3f, \"temporaries_mib\": %.1f, "
           "\"peak_rss_mib\": %.1f, \"above_weights_mib\": %.1f}\n",
           result->what, s->network, backend->name, backend->precision, backend->isa, backend->threads, s->width,
           s->layers, (long long)result->parameters, s->batch, s->steps * s->batch / clock->wall,
           s->steps * s->batch / clock->cpu, 1e-12 * result->flops * s->steps / clock->wall, result->temporaries_mib,
           peak_mib, peak_mib - networks->resident_mib - weights_mib);
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
