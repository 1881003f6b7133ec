/* The same gradient from random numbers as training draws them: Philox normals for z and eps, times through the law. */
#include "exact.h"

#include "base/philox.h"
#include "train/streams.h"

enum { SAMPLES = 200000 };

static void fill(nodes *at, const scenario *s, uint64_t seed)
{
    nodes_affine(at, s, 1, SAMPLES / 32); /* for the arrays */
    assert_int_equal(at->count, SAMPLES);
    float *z = test_malloc(SAMPLES * sizeof *z), *eps = test_malloc(SAMPLES * sizeof *eps);
    dipp_philox_normal_fill(z, 1, SAMPLES, seed, DIPP_STREAM_Z, 0, 0);
    dipp_philox_normal_fill(eps, 1, SAMPLES, seed, DIPP_STREAM_EPS, 0, 0);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        double u = dipp_philox_uniform_double(seed, DIPP_STREAM_TIME, 0, i, 0);
        dipp_time_draw draw = dipp_time_draw_at(&s->sampler, dipp_time_law_draw(&s->sampler, u));
        at->z[i] = (double)z[i];
        at->eps[i] = (double)eps[i];
        at->t[i] = draw.t;
        at->alpha[i] = draw.alpha;
        at->sigma[i] = draw.sigma;
        at->share[i] = 1.0 / SAMPLES;
        at->weight[i] = draw.weight / SAMPLES;
    }
    test_free(z);
    test_free(eps);
}

static void random_gradients_are_within_five_standard_errors(void **state)
{
    (void)state;
    static const scenario_name names[] = {VP_WBETA, VE_W1, DI_LN};
    for (int k = 0; k < 3; k++) {
        const scenario *s = &scenarios[names[k]];
        exact e;
        exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule});
        nodes at;
        fill(&at, s, 5);
        exact_program p;
        exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){0}, exact_divergence, 0);
        exact_run(&p, "", 1);
        double *dx0 = test_malloc(SAMPLES * sizeof *dx0), mean, factor, square = 0, square_z = 0;
        CHECK(dipp_executable_read(p.run, "dx0", dx0, DIPP_HOST_F64, SAMPLES, error));
        exact_gradient(e.models->generator_set, "mean", &mean);
        exact_gradient(e.models->generator_set, "factor", &factor);
        for (int i = 0; i < SAMPLES; i++) {
            square += dx0[i] * dx0[i] * SAMPLES;
            square_z += dx0[i] * dx0[i] * at.z[i] * at.z[i] * SAMPLES;
        }
        double spread = sqrt(square - mean * mean), spread_z = sqrt(square_z - factor * factor);
        if (names[k] == VP_WBETA) { /* the standard deviation of one sample's estimate is known */
            exact_near("standard deviation", spread, 4.1419989872, 0.02, 0);
            spread = 4.1419989872;
        }
        exact_near(s->name, mean, s->d_mu, 0, 5 * spread / sqrt(SAMPLES));
        exact_near(s->name, factor, s->d_sig, 0, 5 * spread_z / sqrt(SAMPLES));
        test_free(dx0);
        exact_program_close(&p);
        nodes_release(&at);
        exact_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_gradients_are_within_five_standard_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
