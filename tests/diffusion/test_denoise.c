/* Every parameterisation leads to the same denoised x0, and the native weight of a loss is 1 on the prediction itself. */
#include "exact.h"

/* A Gaussian N(-0.5, 1.69) whose exact denoiser is spoken in any parameterisation. */
typedef struct speaker {
    dipp_parameterisation parameterisation;
    double sigma_data;
} speaker;

static dipp_tensor constant(dipp_graph *g, double value)
{
    return dipp_constant(g, DIPP_SHAPE(1), &value);
}

/* What a network of this parameterisation should say when the denoised x0 is d. y = x_t / alpha, r = sigma / alpha;
 * EDM: F = (D - c_skip y) / c_out. */
static dipp_tensor native(const speaker *s, dipp_graph *g, dipp_tensor d, dipp_tensor x_t, dipp_level level)
{
    dipp_tensor a = dipp_per_sample(g, level.alpha, x_t), sigma = dipp_per_sample(g, level.sigma, x_t);
    dipp_tensor eps = dipp_div(g, dipp_sub(g, x_t, dipp_mul(g, a, d)), sigma);
    switch (s->parameterisation) {
    case DIPP_PREDICTS_X0: return d;
    case DIPP_PREDICTS_EPS: return eps;
    case DIPP_PREDICTS_V: return dipp_sub(g, dipp_mul(g, a, eps), dipp_mul(g, sigma, d));
    case DIPP_PREDICTS_FLOW: return dipp_sub(g, eps, d);
    case DIPP_PREDICTS_SCORE: return dipp_scale_add(g, dipp_div(g, eps, sigma), -1, 0);
    case DIPP_PREDICTS_EDM: break;
    }
    dipp_tensor r = dipp_div(g, sigma, a),
                total = dipp_scale_add(g, dipp_mul(g, r, r), 1, s->sigma_data * s->sigma_data);
    dipp_tensor skip = dipp_div(g, constant(g, s->sigma_data * s->sigma_data), total);
    dipp_tensor out = dipp_div(g, dipp_scale_add(g, r, s->sigma_data, 0), dipp_sqrt(g, total));
    return dipp_div(g, dipp_sub(g, d, dipp_mul(g, skip, dipp_div(g, x_t, a))), out);
}

static dipp_tensor predict(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level, dipp_condition c)
{
    const speaker *s = self;
    dipp_tensor a = dipp_per_sample(g, level.alpha, x), sigma = dipp_per_sample(g, level.sigma, x);
    if (s->parameterisation == DIPP_PREDICTS_EDM) { /* undo the scaling of the input, with r from t = ln(r)/4 */
        dipp_tensor r = dipp_exp(g, dipp_scale_add(g, dipp_per_sample(g, level.t, x), 4, 0));
        x = dipp_mul(g, dipp_mul(g, x, a),
                     dipp_sqrt(g, dipp_scale_add(g, dipp_mul(g, r, r), 1, s->sigma_data * s->sigma_data)));
    }
    dipp_tensor v = dipp_add(g, dipp_scale_add(g, dipp_mul(g, a, a), 1.69, 0), dipp_mul(g, sigma, sigma));
    dipp_tensor centred = dipp_add(g, x, dipp_scale_add(g, a, 0.5, 0));
    dipp_tensor d = dipp_scale_add(g, dipp_div(g, dipp_mul(g, dipp_scale_add(g, a, 1.69, 0), centred), v), 1, -0.5);
    return native(s, g, d, x, level);
}

static void all_parameterisations_denoise_alike(void **state)
{
    (void)state;
    static const double alpha[] = {0.8, 1, 0.3, 0.99}, sigma[] = {0.6, 3, 0.7, 0.02};
    static const double x0[] = {0.4, -1.2, 2, -0.5}, eps[] = {1.1, -0.3, 0.2, 2};
    enum { N = 4 };
    for (int kind = DIPP_PREDICTS_X0; kind <= DIPP_PREDICTS_EDM; kind++) {
        speaker self = {(dipp_parameterisation)kind, 0.7};
        dipp_network network = {predict, &self, self.parameterisation, 0.7};
        dipp_backend *backend;
        CHECK(dipp_reference_backend_create(
            &(dipp_backend_options){.struct_size = sizeof(dipp_backend_options), .precision = "f64"}, &backend, error));
        dipp_graph *g;
        CHECK(dipp_graph_create("denoise", &g, error));
        dipp_level level = dipp_level_inputs(g, "level", N);
        dipp_tensor clean = dipp_input(g, "x0", DIPP_WIDE, DIPP_SHAPE(N, 1));
        dipp_tensor noise = dipp_input(g, "eps", DIPP_WIDE, DIPP_SHAPE(N, 1));
        dipp_tensor x_t = dipp_add_noise(g, clean, noise, level);
        dipp_tensor d = dipp_denoise(&network, g, (dipp_params){0}, x_t, level, (dipp_condition){0});
        /* the error of the native prediction against the native target of the true x0 */
        dipp_tensor miss = dipp_sub(g, native(&self, g, d, x_t, level), native(&self, g, clean, x_t, level));
        dipp_output(g, "d", d);
        dipp_output(g, "miss", miss);
        dipp_program *program;
        dipp_plan *plan;
        dipp_executable *run;
        dipp_plan_report report;
        CHECK(dipp_program_create(&g, backend, &program, error));
        CHECK(dipp_plan_create(backend, &plan, error));
        CHECK(dipp_plan_step(plan, program, 0, error));
        CHECK(dipp_plan_solve(plan, 0, &report, error));
        CHECK(dipp_plan_allocate(plan, error));
        CHECK(dipp_executable_create(plan, program, NULL, 0, &run, error));
        double t[N], denoised[N], missed[N];
        for (int i = 0; i < N; i++)
            t[i] = dipp_network_time(self.parameterisation, 0.37, alpha[i], sigma[i]);
        if (kind == DIPP_PREDICTS_EDM)
            CHECK(dipp_executable_write(run, "level.t", t, DIPP_HOST_F64, N, error));
        else
            assert_true(t[0] == 0.37);
        CHECK(dipp_executable_write(run, "level.alpha", alpha, DIPP_HOST_F64, N, error));
        CHECK(dipp_executable_write(run, "level.sigma", sigma, DIPP_HOST_F64, N, error));
        CHECK(dipp_executable_write(run, "x0", x0, DIPP_HOST_F64, N, error));
        CHECK(dipp_executable_write(run, "eps", eps, DIPP_HOST_F64, N, error));
        dipp_execute(run, 0);
        CHECK(dipp_executable_read(run, "d", denoised, DIPP_HOST_F64, N, error));
        CHECK(dipp_executable_read(run, "miss", missed, DIPP_HOST_F64, N, error));
        for (int i = 0; i < N; i++) {
            double a = alpha[i], s = sigma[i], x = a * x0[i] + s * eps[i];
            double expected = -0.5 + 1.69 * a / (1.69 * a * a + s * s) * (x + 0.5 * a);
            exact_near("denoised", denoised[i], expected, 1e-10, 1e-12);
            double error = (expected - x0[i]) * (expected - x0[i]);
            exact_near("native weight", dipp_loss_weight_at(DIPP_LOSS_NATIVE, &network, a, s) * error,
                       missed[i] * missed[i], 1e-8, 0);
            exact_near("eps weight", dipp_loss_weight_at(DIPP_LOSS_EPS1, &network, a, s), a * a / (s * s), 1e-14, 0);
            exact_near("data weight", dipp_loss_weight_at(DIPP_LOSS_DATA1, &network, a, s), 1, 0, 0);
        }
        dipp_executable_destroy(&run);
        dipp_plan_destroy(&plan);
        dipp_program_destroy(&program);
        dipp_backend_destroy(&backend);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_parameterisations_denoise_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
