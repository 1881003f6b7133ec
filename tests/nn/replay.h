/* Runs one recording with one parameter set: what tests of networks need of core/tensor. On the reference back-end in f64
 * unless replay_on says otherwise. */
#ifndef DIPP_TEST_NN_REPLAY_H
#define DIPP_TEST_NN_REPLAY_H

#include "tensor/program.h"
#include "weights/weights.h"

typedef struct replay {
    const char *backend_name, *precision;
    dipp_backend *backend;
    dipp_layout *layout;
    dipp_graph *graph; /* until replay_prepare */
    dipp_params slot;
    dipp_layout *frozen_layout; /* NULL: one slot */
    dipp_parameter_set *frozen_set;
    dipp_program *program;
    dipp_plan *plan;
    dipp_parameter_set *set;
    dipp_executable *executable;
} replay;

/* A fresh graph with one trainable slot. Every function fails the running test with the library's message. */
void replay_begin(replay *r, const char *name);
/* A second slot, which is not trained; at most one, before replay_prepare. Its parameters get their fixture_weight too. */
dipp_params replay_freeze(replay *r, const char *name);
/* Another back-end, before replay_prepare. */
void replay_on(replay *r, const char *backend, const char *precision);
/* Whether this build and machine have it. */
bool replay_available(const char *backend, const char *precision);
/* Ends the recording; prepares the program, allocates, and gives every parameter its fixture_weight. */
void replay_prepare(replay *r);
void replay_write(replay *r, const char *input, const double *data, size_t count);
void replay_write_ids(replay *r, const char *input, const double *ids, size_t count);
void replay_run(replay *r);
void replay_run_segment(replay *r, uint32_t segment);             /* of several; replay_run runs the first */
double *replay_read(replay *r, const char *output, size_t count); /* the caller frees */
/* The gradient of one parameter, dotted with the noise named "probe." + name. */
double replay_probe_gradient(replay *r, const char *name);
void replay_end(replay *r);

/* Compares with a case of an open fixture, whose names are CASE.NAME: outputs, and the projections of all gradients by
 * weights (CASE.weight.PARAMETER), of which the fixture has as many as the network has parameters. */
void replay_write_from(replay *r, const dipp_weights *file, const char *fixture_case, const char *input, size_t count);
void replay_compare_output(replay *r, const dipp_weights *file, const char *fixture_case, const char *output,
                           size_t count, double tolerance);
void replay_compare_weights(replay *r, const dipp_weights *file, const char *fixture_case, double tolerance);

/* Checks names and shapes of all parameters declared so far with what the fixture's "manifest.NAME" says of the published
 * network: how many tensors and numbers, and the hash of the list. Needs the recording only, no weights. */
void replay_compare_manifest(const replay *r, const dipp_weights *file, const char *name);

#endif
