/* One plugin of the build tree, recorded for a batch and replayed on the f64 oracle: its output, and the gradient of a
 * weighted sum of the output with respect to its input and its parameters. */
#ifndef DIPP_TEST_PLUGIN_MODEL_H
#define DIPP_TEST_PLUGIN_MODEL_H

#include "plugin/plugin_host.h"
#include "tensor/program.h"

/* Ends the test with the message of a call that should have succeeded. */
#define CHECK(call)                                         \
    do {                                                    \
        dipp_error check_error = {0};                       \
        dipp_error *error = &check_error;                   \
        if ((call) != DIPP_OK)                              \
            fail_msg("%s: %s", #call, check_error.message); \
    } while (0)

typedef struct model {
    dipp_plugins *plugins;
    const dipp_plugin *plugin;
    dipp_parameters *parameters;
    void *self;
    dipp_backend *backend;
    dipp_layout *layout;
    dipp_parameter_set *set;
    dipp_program *program;
    dipp_plan *plan;
    dipp_executable *run;
    int64_t batch;
    size_t inputs, outputs; /* elements of x and of the output */
} model;

/* Finds the plugin and creates an instance from "key=value" texts, NULL-terminated. A name that ends in .so is the file of
 * a fixture, whose plugin is called fixture. */
void model_open(model *m, dipp_plugin_kind kind, const char *name, const char *const *assignments);

/* The error of an instance that cannot be created, DIPP_OK when it can. */
dipp_status model_refusal(dipp_plugin_kind kind, const char *name, const char *const *assignments, dipp_error *error);

/* Records predict, generate or record for x of this shape (batch first). with_tokens: the condition comes from tokens. */
void model_record(model *m, dipp_shape shape, bool with_tokens);

/* y receives outputs numbers. alpha and sigma [batch] are for references; tokens [batch] or NULL. */
void model_run(model *m, const double *x, const double *alpha, const double *sigma, const int32_t *tokens, double *y);

/* Compares the recorded gradients of sum(w y), w fixed, with central differences, both to x and to every parameter. */
void model_check_gradients(model *m, const double *x, const double *alpha, const double *sigma, const int32_t *tokens,
                           double tolerance);

void model_close(model *m);

#endif
