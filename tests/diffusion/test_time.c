/* Schedules, laws of time and weights against formulas written out. */
#include "exact.h"

#include "base/philox.h"

static void schedules_have_the_known_levels(void **state)
{
    (void)state;
    double a, s;
    dipp_schedule sd = {
        .kind = DIPP_SCHEDULE_DISCRETE, .a = 0.00085, .b = 0.012, .t_max = 999, .steps = 1000, .scaled_linear = 1};
    static const struct {
        double t, alpha_bar;
    } known[] = {{0, 0.99915}, {625, 0.13776903}, {999, 0.00466010}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        dipp_schedule_at(&sd, known[i].t, &a, &s);
        exact_near("alpha_bar", a * a, known[i].alpha_bar, 1e-6, 0);
        exact_near("alpha^2 + sigma^2", a * a + s * s, 1, 1e-14, 0);
    }
    exact_near("t of sigma 2.5017", dipp_schedule_time_of(&sd, sqrt(1 / 0.13776903 - 1)), 625, 1e-6, 0);
    dipp_schedule linear = {.kind = DIPP_SCHEDULE_DISCRETE, .a = 1e-4, .b = 0.02, .t_max = 999, .steps = 1000};
    assert_true(fabs(dipp_schedule_time_of(&linear, 2.5) - 440) < 1);
    dipp_schedule vp = {.kind = DIPP_SCHEDULE_VP, .a = 0.1, .b = 19.9, .t_min = 1e-3, .t_max = 1};
    dipp_schedule_at(&vp, 0.3, &a, &s);
    exact_near("VP alpha", a, exp(-0.5 * (0.03 + 0.5 * 19.9 * 0.09)), 1e-14, 0);
    exact_near("VP sigma", s, sqrt(1 - a * a), 1e-14, 0);
    dipp_schedule_at(&vp, 1e-3, &a, &s); /* without the cancellation of 1 - a^2 */
    exact_near("VP sigma^2", s * s, 1.0995e-4 - 0.5 * 1.0995e-4 * 1.0995e-4, 1e-7, 0);
    dipp_schedule ou = {.kind = DIPP_SCHEDULE_OU, .a = 4, .t_min = 0, .t_max = 1};
    dipp_schedule_at(&ou, 0.25, &a, &s);
    exact_near("OU alpha", a, exp(-0.5), 1e-14, 0);
    const dipp_schedule *const all[] = {&sd, &linear, &vp, &(dipp_schedule){.kind = DIPP_SCHEDULE_FLOW, .t_max = 1}};
    for (int i = 0; i < 4; i++)
        for (double ratio = 0.2; ratio < 8; ratio *= 1.7) {
            dipp_schedule_at(all[i], dipp_schedule_time_of(all[i], ratio), &a, &s);
            exact_near("inverse of a schedule", s / a, ratio, 1e-9, 0);
        }
}

/* Discrete schedules against the sum of logarithms that defines them: levels between and at integers, and the time of a
 * ratio, exact to rounding at both ends of the range. */
static void discrete_schedules_are_their_definition(void **state)
{
    (void)state;
    for (int scaled = 0; scaled < 2; scaled++) {
        dipp_schedule schedule = {.kind = DIPP_SCHEDULE_DISCRETE,
                                  .a = scaled ? 0.00085 : 1e-4,
                                  .b = scaled ? 0.012 : 0.02,
                                  .t_max = 999,
                                  .steps = 1000,
                                  .scaled_linear = (uint8_t)scaled};
        long double sums[1000], sum = 0;
        for (int i = 0; i < 1000; i++) {
            long double first = scaled ? sqrtl((long double)schedule.a) : (long double)schedule.a;
            long double last = scaled ? sqrtl((long double)schedule.b) : (long double)schedule.b;
            long double beta = first + (last - first) * i / 999;
            sums[i] = sum += log1pl(-(scaled ? beta * beta : beta));
        }
        for (double t = 0; t <= 999; t += t < 3 ? 0.125 : 16.625) {
            int low = (int)t;
            long double value = sums[low];
            if (t > low)
                value += (t - low) * (sums[low + 1] - sums[low]);
            double alpha, sigma, expected = (double)sqrtl(-expm1l(value));
            dipp_schedule_at(&schedule, t, &alpha, &sigma);
            exact_near("alpha", alpha, (double)expl(value / 2), 1e-13, 0);
            exact_near("sigma", sigma, expected, 1e-13, 0);
            exact_near("time", dipp_schedule_time_of(&schedule, (double)(expected * expl(-value / 2))), t, 1e-10,
                       1e-10);
        }
        assert_true(dipp_schedule_time_of(&schedule, 1e-6) == 0);
        assert_true(dipp_schedule_time_of(&schedule, 1e6) == 999);
        schedule.t_min = 20, schedule.t_max = 979;
        assert_true(dipp_schedule_time_of(&schedule, 1e-6) == 20);
        assert_true(dipp_schedule_time_of(&schedule, 1e6) == 979);
    }
}

/* OU with constant beta 4 on [0, 1], w = 1: A = int a^2/(a^2 q + s^2) dt; and t uniform on the 960 steps of the grid of
 * Stable Diffusion. */
static void weights_integrate_to_known_numbers(void **state)
{
    (void)state;
    scenario ou = {.sampler = {.schedule = {.kind = DIPP_SCHEDULE_OU, .a = 4, .t_min = 0, .t_max = 1},
                               .law = {.kind = DIPP_TIME_UNIFORM, .min = 1e-9, .max = 1},
                               .weighting = DIPP_WEIGHT_SCORE1,
                               .measure = DIPP_MEASURE_DT},
                   .first = 1e-9,
                   .last = 1};
    nodes at;
    nodes_affine(&at, &ou, 1, 40);
    double narrow = 0, wide = 0;
    for (int64_t i = 0; i < at.count; i++) {
        double a2 = at.alpha[i] * at.alpha[i], s2 = at.sigma[i] * at.sigma[i];
        narrow += at.weight[i] * a2 / (a2 * 0.25 + s2);
        wide += at.weight[i] * a2 / (a2 * 1.69 + s2);
    }
    exact_near("OU, q = 0.25", narrow, 0.4574874700, 1e-7, 0);
    exact_near("OU, q = 1.69", wide, 0.1855688147, 1e-7, 0);
    nodes_release(&at);

    static const dipp_weighting weightings[] = {DIPP_WEIGHT_SCORE1, DIPP_WEIGHT_EPS1, DIPP_WEIGHT_DATA1};
    static const double unit[] = {0.3681830749, 0.3321140745, 0.6318169251};
    static const double quarter[] = {0.8263371123, 0.5539638700, 0.7934157219};
    for (int k = 0; k < 3; k++) {
        dipp_time_sampler sampler = {.schedule = {.kind = DIPP_SCHEDULE_DISCRETE,
                                                  .a = 0.00085,
                                                  .b = 0.012,
                                                  .t_max = 999,
                                                  .steps = 1000,
                                                  .scaled_linear = 1},
                                     .law = {.kind = DIPP_TIME_DISCRETE, .min = 20, .max = 979},
                                     .weighting = weightings[k]};
        double one = 0, other = 0;
        for (int i = 0; i < 960; i++) {
            dipp_time_draw draw = dipp_time_draw_at(&sampler, dipp_time_law_draw(&sampler, (i + 0.5) / 960));
            assert_true(draw.t == 20 + i);
            double a2 = draw.alpha * draw.alpha, s2 = draw.sigma * draw.sigma;
            one += draw.weight * a2 / (a2 + s2) / 960;
            other += draw.weight * a2 / (a2 * 0.25 + s2) / 960;
        }
        exact_near("grid, v = 1", one, unit[k], 1e-8, 0);
        exact_near("grid, v = 0.25", other, quarter[k], 1e-8, 0);
    }
}

/* Density = derivative of the distribution = 1 / (derivative of the inverse), by differences. */
static void densities_belong_to_their_draws(void **state)
{
    (void)state;
    dipp_time_sampler samplers[] = {
        scenarios[DI_LN].sampler,
        scenarios[VP_WBETA].sampler,
        {.schedule = scenarios[VP_WBETA].sampler.schedule,
         .law = {.kind = DIPP_TIME_LOG_NORMAL, .mean = -0.6, .std = 1.1}},
        {.schedule = scenarios[FM_W1].sampler.schedule, .law = {.kind = DIPP_TIME_LOG_NORMAL, .mean = 0.2, .std = 0.9}},
    };
    for (size_t i = 0; i < sizeof samplers / sizeof *samplers; i++)
        for (double u = 0.05; u < 1; u += 0.15) {
            double h = 1e-5, t = dipp_time_law_draw(&samplers[i], u);
            double slope =
                (dipp_time_law_draw(&samplers[i], u + h) - dipp_time_law_draw(&samplers[i], u - h)) / (2 * h);
            exact_near("density", dipp_time_law_density(&samplers[i], t), 1 / slope, 1e-5, 0);
        }
    /* The log-normal law has the right mean and spread in ln(sigma), tails included. */
    double sum = 0, square = 0;
    enum { N = 20000 };
    for (int i = 0; i < N; i++) {
        double z = (log(dipp_time_law_draw(&samplers[0], (i + 0.5) / N)) + 1.2) / 1.2;
        sum += z / N;
        square += z * z / N;
    }
    exact_near("mean", sum, 0, 0, 1e-9);
    exact_near("variance", square, 1, 1e-3, 0);
    exact_near("quantile", (log(dipp_time_law_draw(&samplers[0], 0.9772498680518208)) + 1.2) / 1.2, 2, 1e-12, 0);
    exact_near("quantile", (log(dipp_time_law_draw(&samplers[0], 1.3498980316300946e-3)) + 1.2) / 1.2, -3, 1e-12, 0);
}

static void weights_are_one_where_their_names_say(void **state)
{
    (void)state;
    /* G = w a delta_s and the identities between predictions: the factor on each difference is 1. */
    dipp_time_sampler sampler = {.schedule = scenarios[VP_W1].sampler.schedule};
    double a = 0.8, s = 0.6;
    sampler.weighting = DIPP_WEIGHT_DATA1;
    exact_near("data", dipp_weight_at(&sampler, 0.5, a, s) * a * a / (s * s), 1, 1e-14, 0);
    sampler.weighting = DIPP_WEIGHT_EPS1;
    exact_near("eps", dipp_weight_at(&sampler, 0.5, a, s) * a / s, 1, 1e-14, 0);
    sampler.weighting = DIPP_WEIGHT_V1;
    exact_near("v", dipp_weight_at(&sampler, 0.5, a, s) * a * a / s, 1, 1e-14, 0);
    sampler.weighting = DIPP_WEIGHT_DATA_L2; /* of w f^2 ||delta_D||^2, f = a/s^2 */
    exact_near("data, squared", dipp_weight_at(&sampler, 0.5, a, s) * pow(a / (s * s), 2), 1, 1e-14, 0);
    dipp_weighting named;
    assert_true(dipp_weighting_by_name("sigma4", &named) && named == DIPP_WEIGHT_DATA_L2);
    sampler.weighting = DIPP_WEIGHT_BETA;
    exact_near("beta", dipp_weight_at(&sampler, 0.5, a, s), 0.1 + 19.9 * 0.5, 1e-14, 0);
}

static void laws_and_schedules_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    const dipp_schedule vp = scenarios[VP_W1].sampler.schedule, ve = scenarios[VE_W1].sampler.schedule;
    const struct {
        dipp_time_sampler sampler;
        const char *text;
    } wrong[] = {
        {{.schedule = ve, .law = {.min = 0.1, .max = 1}, .weighting = DIPP_WEIGHT_BETA}, "beta needs a vp"},
        {{.schedule = vp, .law = {.kind = DIPP_TIME_DISCRETE, .min = 1, .max = 9}}, "discrete steps"},
        {{.schedule = vp, .law = {.kind = DIPP_TIME_LOG_NORMAL}}, "std above 0"},
        {{.schedule = vp, .law = {.min = 0.5, .max = 0.5}}, "not below max"},
        {{.schedule = vp, .law = {.min = 0.5, .max = 1.5}}, "leaves the schedule's range"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        dipp_error error = {0};
        assert_int_equal(dipp_time_sampler_check(&wrong[i].sampler, &error), DIPP_E_INVALID);
        assert_non_null(strstr(error.message, wrong[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules_have_the_known_levels),
        cmocka_unit_test(discrete_schedules_are_their_definition),
        cmocka_unit_test(weights_integrate_to_known_numbers),
        cmocka_unit_test(densities_belong_to_their_draws),
        cmocka_unit_test(weights_are_one_where_their_names_say),
        cmocka_unit_test(laws_and_schedules_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
