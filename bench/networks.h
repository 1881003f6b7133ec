/* What the benches of training share: a network in three roles, of a size given on the command line, on a back-end.
 *
 *   PROGRAM [--backend B] [--precision P] [--threads K] [--width W] [--layers L] [--heads H] [--tokens T] [--batch N]
 *           [--steps S] [--warmup S] [--ledger] [--network dit|unet] [--widths A,B,...] [--size S] [--channels C]
 *           [--groups G] [--gradient 0|1]
 *
 * The text encoder has width W and knows WORDS words, so that bench/torch_dit.py and torch_unet.py count the same
 * parameters. Samples have S x S pixels. The transformer has three channels and is as wide as the text encoder. The UNet has a
 * level for each of widths, finest first, with attention in all but the finest, for samples of C channels; layers, groups and
 * heads hold for every level.
 * A bench has nothing to clean up when something fails: it says what and exits. */
#ifndef DIPP_BENCH_NETWORKS_H
#define DIPP_BENCH_NETWORKS_H

#include "plugin/plugin_host.h"
#include "train/models.h"

typedef struct bench_settings {
    int width, layers, heads, batch, tokens, steps, warmup, threads, size, channels, groups;
    const char *backend, *precision, *network, *widths;
    bool ledger, gradient;
} bench_settings;

/* The values that options leave out are those of the shipped weights and of the plugin `unet`; an unknown option ends the
 * program. */
bench_settings bench_parse(int argc, char **argv);

typedef struct bench_networks {
    dipp_backend *backend;
    dipp_plugins *plugins;
    dipp_parameters *parameters[3]; /* of reference, generator, reward */
    dipp_models *models;
    double resident_mib; /* of the process before there was any network */
} bench_networks;

/* The reference with its text encoder, to be trained; or, when align, also a generator, a TA and the reward `border`. */
void bench_open(const bench_settings *settings, bool align, bench_networks *networks);
void bench_close(bench_networks *networks);

/* Ends the program unless status is DIPP_OK. */
void bench_require(dipp_status status, const char *what, const dipp_error *error);

/* Of the process, now. */
double bench_resident_mib(void);

/* Times the steps after the first `warmup`: called after every one of them, and before the first with step 0. cpu:
 * of all threads, for a machine that others use too (with one thread, for those that spin while they wait count). */
typedef struct bench_clock {
    int warmup;
    double wall_start, cpu_start, wall, cpu; /* seconds */
} bench_clock;
void bench_clock_tick(bench_clock *clock, int64_t step);

/* One JSON line: what ran, its speed, and its memory: the peak in the timed steps, and that peak without what the
 * process held before there was a network and without the loaded weights in f32. */
typedef struct bench_result {
    const char *what;
    int64_t parameters; /* of one network and the text encoder */
    int64_t loaded;     /* of everything that is loaded before training starts */
    double flops;       /* of one step */
    double temporaries_mib;
} bench_result;
void bench_print(const bench_settings *settings, const bench_networks *networks, const bench_clock *clock,
                 const bench_result *result);

/* The ledger of so many steps, the dearest op first. */
void bench_print_ledger(const dipp_ledger *ledger, double steps);

#endif
