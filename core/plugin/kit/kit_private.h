/* Between the files of the kit: an instance of a plugin of any kind, what it computes recorded and replayed, and the
 * checks. */
#ifndef DIPP_PLUGIN_KIT_KIT_PRIVATE_H
#define DIPP_PLUGIN_KIT_KIT_PRIVATE_H

#include "plugin/kit/kit.h"
#include "tensor/program.h"

/* What a check is about. */
typedef struct kit_case {
    const char *path;
    const dipp_plugin *plugin;
    const dipp_kit_options *options;
} kit_case;

/* How it ended. ok with nothing tried says why in text. */
typedef struct kit_verdict {
    bool ok;
    char text[512];
} kit_verdict;

void kit_pass(kit_verdict *verdict, const char *format, ...) DIPP_PRINTF(2, 3);
void kit_fault(kit_verdict *verdict, const char *format, ...) DIPP_PRINTF(2, 3);

/* ---- Instances (kit_instance.c) ---- */

typedef struct kit_instance {
    const kit_case *of;
    dipp_parameters *parameters;
    void *self;
    /* by kind */
    dipp_reward_info info;
    dipp_reward_mode mode; /* that its scores are recorded in: ALIGN unless a check asks for another */
    dipp_space space;
    dipp_generator_info generator;
} kit_instance;

/* override ("key=value", may be NULL) stands above the assignments of the options. What the plugin wrote in error
 * stays. */
dipp_status kit_instance_create(const kit_case *c, const char *override, kit_instance *out, dipp_error *error);
void kit_instance_destroy(kit_instance *instance);

bool kit_is_opaque(const kit_instance *instance);

/* What a plugin may record. */
typedef enum kit_function { KIT_MAIN = 0, KIT_DECODE, KIT_ENCODE, KIT_CONTRAST, KIT_FUNCTIONS } kit_function;
bool kit_has(const kit_instance *instance, kit_function function);
const char *kit_function_name(const kit_instance *instance, kit_function function); /* "record", "predict", ... */

/* The shape of one sample that function takes: as told, as the plugin says, or found by trying. */
dipp_status kit_sample_of(const kit_instance *instance, kit_function function, dipp_shape *sample, dipp_error *error);

/* [n, sample...]. */
dipp_shape kit_batch(const dipp_shape *sample, int64_t n);

/* ---- Recordings (kit_model.c) ---- */

/* Segment 0: "x" [n, sample...], levels and text -> "y". Segment 1: "dy" -> "dx", gradients of the parameters. */
typedef struct kit_recording {
    dipp_graph *graph;
    dipp_layout *layout, *text_layout; /* of the function, and of the text encoder */
    dipp_shape out;                    /* of y */
} kit_recording;

/* Records and judges the result's shape. limit is 0, or how many values the plugin may make before one fails for
 * want of memory; *count (may be NULL) receives how many it made. DIPP_E_INVALID and DIPP_E_MEMORY are the
 * recording's own errors; DIPP_E_PLUGIN a result of a wrong shape. On failure nothing is left. */
dipp_status kit_record(const kit_instance *instance, kit_function function, const dipp_shape *sample, int64_t n,
                       size_t limit, size_t *count, kit_recording *out, dipp_error *error);
void kit_recording_release(kit_recording *recording);

typedef struct kit_model {
    const kit_instance *instance;
    dipp_backend *backend; /* owned */
    kit_recording recording;
    dipp_parameter_set *set, *text_set;
    dipp_program *program;
    dipp_plan *plan;
    dipp_executable *run;
    int64_t n;
    size_t inputs, outputs;   /* elements of x and y */
    const char *const *texts; /* [n], or NULL: the prompt that was given and the null prompt in turn */
} kit_model;

/* On the f64 oracle or, with f32, on the fastest CPU back-end there is in f32. Parameters are their initial values
 * moved by noise, so that nothing is zero by construction; the same for every model of a function. */
dipp_status kit_model_create(const kit_instance *instance, kit_function function, const dipp_shape *sample, int64_t n,
                             bool f32, kit_model *out, dipp_error *error);
void kit_model_destroy(kit_model *model);

/* y [outputs] at x [inputs]. Row i has the level and text of row first + i. */
dipp_status kit_model_forward(kit_model *model, uint32_t first, const double *x, double *y, dipp_error *error);
/* dx [inputs] of sum(dy y) at the last x; gradients of the parameters are in the sets, added to what was there. */
dipp_status kit_model_backward(kit_model *model, const double *dy, double *dx, dipp_error *error);

/* Fixed samples x [n, sample...], numbers a float can hold: uniform in (0, 1) for pictures, else normal; and numbers of
 * either sign for directions and weights. */
void kit_samples(bool pictures, double *x, size_t count);
void kit_signs(uint32_t stream, double *out, size_t count);
bool kit_takes_pictures(const kit_instance *instance, kit_function function);

/* ---- Checks, in the order of the report; each fills the verdict ---- */

void kit_check_descriptor(const kit_case *c, kit_verdict *verdict); /* kit_life.c */
void kit_check_parameters(const kit_case *c, kit_verdict *verdict);
void kit_check_instances(const kit_case *c, kit_verdict *verdict);
void kit_check_memory(const kit_case *c, kit_verdict *verdict);
void kit_check_result(const kit_case *c, kit_verdict *verdict); /* kit_numbers.c */
void kit_check_gradients(const kit_case *c, kit_verdict *verdict);
void kit_check_batches(const kit_case *c, kit_verdict *verdict);
void kit_check_text(const kit_case *c, kit_verdict *verdict); /* kit_text.c */
void kit_check_repeat(const kit_case *c, kit_verdict *verdict);
void kit_check_precision(const kit_case *c, kit_verdict *verdict);

/* The same of opaque rewards (kit_opaque.c). */
dipp_status kit_opaque_try(const kit_instance *instance, const dipp_shape *sample, dipp_error *error);
void kit_opaque_result(const kit_instance *instance, kit_verdict *verdict);
void kit_opaque_gradients(const kit_instance *instance, kit_verdict *verdict);
void kit_opaque_batches(const kit_instance *instance, kit_verdict *verdict);
void kit_opaque_repeat(const kit_instance *instance, kit_verdict *verdict);

#endif
