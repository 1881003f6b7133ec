/* Pretraining of an autoencoder, on one that is linear, so that its loss, its gradient and its optimum are known: vectors of
 * two numbers to a latent z = e.x, and (z + s eps) d back. */
#include "exact.h"

#include "base/philox.h"
#include "train/pretrain.h"
#include "train/streams.h"

enum { D = 2, BATCH = 8, UNEVEN = 6 };

/* ---- The plugin ---- */

static dipp_status create(const dipp_parameters *parameters, const dipp_host *host, void **self, dipp_error *error)
{
    static int nothing;
    *self = &nothing;
    return DIPP_OK;
}

static void destroy(void *self)
{
}

static dipp_status space(void *self, dipp_space *out, dipp_error *error)
{
    out->sample = DIPP_SHAPE(1);
    out->parameterisation = DIPP_PREDICTS_X0;
    out->schedule = (dipp_schedule){.kind = DIPP_SCHEDULE_VE, .t_min = 0.01, .t_max = 10};
    return DIPP_OK;
}

static dipp_tensor predict(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level, dipp_condition c)
{
    return dipp_mul(g, x, dipp_param(g, p, "gain", DIPP_SHAPE(1), &(dipp_param_options){.flags = DIPP_PARAM_WIDE}));
}

static const double start_e[D] = {0.6, -0.3}, start_d[D] = {0.2, 0.7};

static dipp_tensor row(dipp_graph *g, dipp_params p, const char *name, const double *start)
{
    dipp_param_options options = {.init = DIPP_INIT_DATA, .data = start, .flags = DIPP_PARAM_WIDE};
    return dipp_param(g, p, name, DIPP_SHAPE(1, D), &options);
}

/* x [N, 2] -> [N, 1] */
static dipp_tensor encode(void *self, dipp_graph *g, dipp_params p, dipp_tensor x)
{
    return dipp_sum(g, dipp_mul(g, x, row(g, p, "e", start_e)), 2, true);
}

/* z [N, 1] -> [N, 2] */
static dipp_tensor decode(void *self, dipp_graph *g, dipp_params p, dipp_tensor z)
{
    return dipp_mul(g, z, row(g, p, "d", start_d));
}

static const dipp_reference linear = {.struct_size = sizeof linear,
                                      .create = create,
                                      .destroy = destroy,
                                      .space = space,
                                      .predict = predict,
                                      .decode = decode,
                                      .encode = encode};

static const dipp_reference plain = {
    .struct_size = sizeof plain, .create = create, .destroy = destroy, .space = space, .predict = predict};

/* ---- Data: four points whose covariance has the directions (0.8, 0.6) and (-0.6, 0.8), variances 0.5 and 0.02 ---- */

static const double along[D] = {0.8, 0.6}, variance[D] = {0.5, 0.02};

static void point(uint64_t index, double x[D])
{
    double a = sqrt(variance[0]) * (index & 1 ? 1 : -1), b = sqrt(variance[1]) * (index & 2 ? 1 : -1);
    x[0] = a * along[0] - b * along[1];
    x[1] = a * along[1] + b * along[0];
}

static dipp_status draw(void *context, uint64_t seed, uint64_t first, uint32_t count, float *pictures,
                        const char **captions, dipp_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        double x[D];
        point(first + i, x);
        for (int k = 0; k < D; k++)
            pictures[i * D + k] = (float)x[k];
        captions[i] = "";
    }
    return DIPP_OK;
}

/* ---- Runs ---- */

typedef struct trainer {
    dipp_plugin plugin;
    dipp_backend *backend;
    dipp_models *models;
    dipp_pretrain *pretrain;
    size_t metric_count; /* of the last iteration */
    double metrics[8];
} trainer;

static const dipp_pretrain_settings base_settings = {.seed = 7,
                                                     .autoencoder = true,
                                                     .latent_noise = 0.3,
                                                     .kl_weight = 0.02,
                                                     .steps = 1,
                                                     .batch = BATCH,
                                                     .optimizer = {.kind = DIPP_OPTIMIZER_SGD, .lr = 0.5}};

static dipp_status try_open(trainer *t, const dipp_reference *reference, const dipp_pretrain_settings *settings,
                            dipp_error *problem)
{
    static const dipp_host host = {.struct_size = sizeof host};
    static const dipp_sample_source source = {.draw = draw};
    dipp_plan_report report;
    *t = (trainer){.plugin = {.struct_size = sizeof t->plugin,
                              .abi_major = DIPP_ABI_MAJOR,
                              .abi_minor = DIPP_ABI_MINOR,
                              .kind = DIPP_PLUGIN_REFERENCE,
                              .name = "linear",
                              .vtable = reference}};
    dipp_models_options options = {.reference = {&t->plugin, NULL}, .train_decoder = true, .host = &host};
    dipp_backend_options f64 = {.struct_size = sizeof f64, .precision = "f64"};
    CHECK(dipp_reference_backend_create(&f64, &t->backend, error));
    CHECK(dipp_models_create(t->backend, &options, &t->models, error));
    CHECK(dipp_models_initialise(t->models, 1, error));
    return dipp_pretrain_create(t->models, &source, settings, &report, &t->pretrain, problem);
}

static void open_linear(trainer *t, const dipp_pretrain_settings *settings)
{
    dipp_error error = {0};
    if (try_open(t, &linear, settings, &error) != DIPP_OK)
        fail_msg("%s", error.message);
}

static void keep(void *context, int64_t step, const char *const *names, const double *values, size_t count)
{
    trainer *t = context;
    t->metric_count = count;
    assert_string_equal(names[4], "train/psnr");
    assert_string_equal(names[5], "train/latent_std");
    memcpy(t->metrics, values, count * sizeof *values);
}

static void run(trainer *t)
{
    dipp_pretrain_observer observer = {.context = t, .metrics = keep};
    CHECK(dipp_pretrain_run(t->pretrain, &observer, error));
}

static void close_trainer(trainer *t)
{
    dipp_pretrain_destroy(&t->pretrain);
    dipp_models_destroy(&t->models);
    dipp_backend_destroy(&t->backend);
}

/* ---- Tests ---- */

/* Loss and metrics of one batch of UNEVEN, whose mean is not 0, under e and d, with the noise of iteration 0. */
static double loss_of(const double e[D], const double d[D], double *squared_error, double *latent_std)
{
    float eps[UNEVEN];
    double s = base_settings.latent_noise, error = 0, mean = 0, square = 0;
    dipp_philox_normal_fill(eps, 1, UNEVEN, base_settings.seed, DIPP_STREAM_DATA_EPS, 0, 0);
    for (int i = 0; i < UNEVEN; i++) {
        double x[D];
        point((uint64_t)i, x);
        double z = e[0] * x[0] + e[1] * x[1];
        for (int k = 0; k < D; k++)
            error += pow(d[k] * (z + s * eps[i]) - x[k], 2) / D / UNEVEN;
        mean += z / UNEVEN;
        square += z * z / UNEVEN;
    }
    *squared_error = error;
    *latent_std = sqrt(square - mean * mean);
    return error + base_settings.kl_weight * square / 2;
}

/* One step of plain gradient descent moves every parameter by the rate times the difference quotient of the loss above. */
static void test_step(void **state)
{
    double e[D], d[D], error, deviation, ignored, h = 1e-4;
    dipp_pretrain_settings settings = base_settings;
    trainer t;
    settings.batch = UNEVEN;
    open_linear(&t, &settings);
    run(&t);
    double loss = loss_of(start_e, start_d, &error, &deviation);
    assert_int_equal(t.metric_count, 6);
    assert_true(fabs(t.metrics[0] - loss) < 1e-6 * loss);
    assert_true(fabs(t.metrics[4] + 10 * log10(error)) < 1e-5);
    assert_true(fabs(t.metrics[5] - deviation) < 1e-6);
    exact_read(t.models->decoder_set, "e", e);
    exact_read(t.models->decoder_set, "d", d);
    for (int k = 0; k < 2 * D; k++) {
        double at[2][2][D], values[2]; /* [side][e, d] */
        for (int side = 0; side < 2; side++) {
            memcpy(at[side][0], start_e, sizeof start_e);
            memcpy(at[side][1], start_d, sizeof start_d);
            at[side][k / D][k % D] += side ? h : -h;
            values[side] = loss_of(at[side][0], at[side][1], &ignored, &ignored);
        }
        double gradient = (values[1] - values[0]) / (2 * h);
        double moved = k < D ? e[k] - start_e[k] : d[k - D] - start_d[k - D];
        if (fabs(moved + 0.5 * gradient) > 1e-6)
            fail_msg("parameter %d moved by %.9f where the gradient is %.9f", k, moved, gradient);
    }
    close_trainer(&t);
}

/* With E x x^T of eigenvalues v > w the optimum is e = c u, d = g u along the first direction, g c = 1 - r and g/c = sqrt(v k)/s
 * with r = s sqrt(k/v): more noise or weight, smaller pictures. */
static void test_optimum(void **state)
{
    dipp_pretrain_settings settings = base_settings;
    settings.steps = 12000;
    settings.optimizer.lr = 0.2;
    settings.optimizer.schedule = DIPP_RATE_COSINE;
    settings.average.decay = 0.99;
    double s = settings.latent_noise, k = settings.kl_weight, v = variance[0], e[D], d[D];
    double product = 1 - s * sqrt(k / v), quotient = sqrt(v * k) / s;
    double c = sqrt(product / quotient), gain = sqrt(product * quotient);
    trainer t;
    open_linear(&t, &settings);
    run(&t);
    exact_read(t.models->decoder_ema, "e", e);
    exact_read(t.models->decoder_ema, "d", d);
    for (int i = 0; i < D; i++)
        if (fabs(e[i] - c * along[i]) > 0.02 * c || fabs(d[i] - gain * along[i]) > 0.02 * gain)
            fail_msg("e[%d] is %.4f and d[%d] %.4f; %.4f and %.4f are best", i, e[i], i, d[i], c * along[i],
                     gain * along[i]);
    close_trainer(&t);
}

/* Micro-batches add up to the batch. */
static void test_micro_batch(void **state)
{
    dipp_pretrain_settings settings = base_settings;
    double whole[2][D] = {{0}}, parts[2][D] = {{0}};
    trainer t;
    settings.steps = 5;
    for (int i = 0; i < 2; i++) {
        settings.micro_batch = i ? BATCH / 4 : 0;
        open_linear(&t, &settings);
        run(&t);
        exact_read(t.models->decoder_set, "e", i ? parts[0] : whole[0]);
        exact_read(t.models->decoder_set, "d", i ? parts[1] : whole[1]);
        close_trainer(&t);
    }
    for (int k = 0; k < 2 * D; k++)
        assert_true(fabs(whole[k / D][k % D] - parts[k / D][k % D]) < 1e-12);
}

static void test_refusals(void **state)
{
    dipp_pretrain_settings settings = base_settings;
    dipp_error error = {0};
    trainer t;
    assert_int_equal(try_open(&t, &plain, &settings, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "no autoencoder to train"));
    close_trainer(&t);
    settings.micro_batch = 3;
    assert_int_equal(try_open(&t, &linear, &settings, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "micro_batch 3 does not divide batch 8"));
    close_trainer(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_step), cmocka_unit_test(test_optimum),
                                       cmocka_unit_test(test_micro_batch), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
