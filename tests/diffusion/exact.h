/* Models made of the exact plugins (affine, mixture, linear, quadratic) on the f64 oracle, and programs that differentiate
 * the divergence with noise, levels and weights given as inputs. */
#ifndef DIPP_TEST_DIFFUSION_EXACT_H
#define DIPP_TEST_DIFFUSION_EXACT_H

#include "diffusion/divergence.h"
#include "plugin/plugin_host.h"
#include "scenario.h"
#include "train/models.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* Ends the test with the message of a call that should have succeeded. */
#define CHECK(call)                                         \
    do {                                                    \
        dipp_error check_error = {0};                       \
        dipp_error *error = &check_error;                   \
        if ((call) != DIPP_OK)                              \
            fail_msg("%s: %s", #call, check_error.message); \
    } while (0)

enum { EXACT_REWARDS = 4 };

/* Parameters are "key=value; key=value". */
typedef struct exact_choice {
    const char *reference, *reference_parameters; /* NULL: affine, N(1, 0.25) */
    const char *generator;                        /* parameters of affine; NULL: mu = -0.5, sig = 1.3 */
    const char *ta;                               /* parameters of affine; NULL: those of the generator */
    const char *rewards[EXACT_REWARDS], *reward_parameters[EXACT_REWARDS], *reward_files[EXACT_REWARDS],
        *reward_heads[EXACT_REWARDS]; /* which of them share a file; none is read */
    dipp_schedule schedule;
    dipp_generator_steps steps;
    dipp_formats formats, ta_formats;
    const char *device;    /* NULL: the reference */
    const char *precision; /* NULL: f64 */
    size_t memory_limit;   /* of a device that has one */
} exact_choice;

typedef struct exact {
    dipp_plugins *plugins;
    dipp_parameters *parameters[3 + EXACT_REWARDS];
    dipp_backend *backend;
    dipp_models *models; /* initialised */
} exact;

void exact_open(exact *e, const exact_choice *choice);
void exact_close(exact *e);

/* Numbers of a named entry of a set. */
void exact_write(dipp_parameter_set *set, const char *entry, const double *values);
void exact_read(const dipp_parameter_set *set, const char *entry, double *values);
/* The accumulated gradient of an entry. */
void exact_gradient(const dipp_parameter_set *set, const char *entry, double *values);
void exact_clear_gradient(dipp_parameter_set *set);

/* Everything of a recording between generator and gradient. */
typedef struct exact_step {
    dipp_divergence_spec spec;
    dipp_divergence_inputs in;
    dipp_tensor share; /* [N] */
} exact_step;

/* Says what is differentiated: y with the upstream gradient dy. */
typedef void (*exact_rule)(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy);

/* The rule of the method: y = x0, dy as dipp_record_divergence gives it. */
void exact_divergence(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy);

typedef struct exact_program {
    exact *e;
    const nodes *at, *cfg; /* cfg: level, noise and weight of the CFG term; NULL: as at */
    dipp_program *program;
    dipp_plan *plan;
    dipp_executable *run;
} exact_program;

/* Records generator -> divergence (by rule) and rewards with scale alpha -> gradient of the generator, for these nodes. */
void exact_record_generator(exact_program *p, exact *e, const nodes *at, const dipp_divergence_spec *spec,
                            exact_rule rule, double alpha);
/* Records the TA's loss sum(share |D - x0|^2) -> gradient of the TA; output "loss". */
void exact_record_ta(exact_program *p, exact *e, const nodes *at);

/* Replays with the parameters as they are. Gradients of the trained set are cleared first. label: the prompt. */
void exact_run(exact_program *p, const char *label, double omega);
void exact_program_close(exact_program *p);

/* sum_i factors[i] output[i] of a named output [N]; factors may be NULL for 1. */
double exact_total(const exact_program *p, const char *output, const double *factors);

/* |found - expected| <= relative |expected| + absolute, or the test fails saying what. */
void exact_near(const char *what, double found, double expected, double relative, double absolute);

#endif
