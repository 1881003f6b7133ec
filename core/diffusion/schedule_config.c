/* scheduler/scheduler_config.json of diffusers: of everything in it, what was trained under counts, and what steers a sampler
 * does not. Keys that are absent have the defaults that the class has in diffusers 0.29.2. */
#include <dipp/schedule.h>

#include "base/description.h"

enum { SCALED_FROM = 19, WIDE_FROM = 15 }; /* places in the list: where defaults change */

/* Their betas are 0.0001 to 0.02, linear; from WIDE_FROM on 0.00085 to 0.012; from SCALED_FROM on these scaled linear. */
static const char *const classes[] = {"DDIMScheduler",
                                      "DDIMInverseScheduler",
                                      "DDIMParallelScheduler",
                                      "DDPMScheduler",
                                      "DDPMParallelScheduler",
                                      "DEISMultistepScheduler",
                                      "DPMSolverMultistepScheduler",
                                      "DPMSolverMultistepInverseScheduler",
                                      "DPMSolverSinglestepScheduler",
                                      "EulerAncestralDiscreteScheduler",
                                      "EulerDiscreteScheduler",
                                      "LMSDiscreteScheduler",
                                      "PNDMScheduler",
                                      "SASolverScheduler",
                                      "UniPCMultistepScheduler",
                                      "DPMSolverSDEScheduler",
                                      "HeunDiscreteScheduler",
                                      "KDPM2AncestralDiscreteScheduler",
                                      "KDPM2DiscreteScheduler",
                                      "LCMScheduler",
                                      "TCDScheduler",
                                      NULL};
static const char *const beta_schedules[] = {"linear", "scaled_linear", NULL};
static const char *const predictions[] = {"epsilon", "v_prediction", "sample", NULL};
static const dipp_parameterisation parameterisations[] = {DIPP_PREDICTS_EPS, DIPP_PREDICTS_V, DIPP_PREDICTS_X0};

static const dipp_described expected[] = {{"timestep_type", "[\"discrete\"]"}, {NULL, NULL}};

static const char *const samplers[] = {"algorithm_type",
                                       "clip_sample",
                                       "clip_sample_range",
                                       "corrector_order",
                                       "disable_corrector",
                                       "dynamic_thresholding_ratio",
                                       "euler_at_final",
                                       "final_sigmas_type",
                                       "flow_shift",
                                       "interpolation_type",
                                       "lambda_min_clipped",
                                       "lower_order_final",
                                       "noise_sampler_seed",
                                       "original_inference_steps",
                                       "predict_x0",
                                       "predictor_order",
                                       "sample_max_value",
                                       "set_alpha_to_one",
                                       "sigma_max",
                                       "sigma_min",
                                       "skip_prk_steps",
                                       "solver_order",
                                       "solver_p",
                                       "solver_type",
                                       "steps_offset",
                                       "tau_func",
                                       "thresholding",
                                       "timestep_scaling",
                                       "timestep_spacing",
                                       "use_beta_sigmas",
                                       "use_exponential_sigmas",
                                       "use_karras_sigmas",
                                       "use_lu_lambdas",
                                       "variance_type",
                                       NULL};

dipp_status dipp_schedule_read_config(const char *path, dipp_schedule *out, dipp_parameterisation *parameterisation,
                                      dipp_error *error)
{
    dipp_description d;
    dipp_status status = dipp_description_open(path, &d, error);
    if (status != DIPP_OK)
        return status;
    size_t class = dipp_description_choice(&d, "_class_name", classes, 0);
    dipp_schedule s = {.kind = DIPP_SCHEDULE_DISCRETE};
    s.a = dipp_description_number(&d, "beta_start", class < WIDE_FROM ? 0.0001 : 0.00085);
    s.b = dipp_description_number(&d, "beta_end", class < WIDE_FROM ? 0.02 : 0.012);
    s.scaled_linear = (uint8_t)dipp_description_choice(&d, "beta_schedule", beta_schedules, class >= SCALED_FROM);
    s.steps = (uint32_t)dipp_description_size(&d, "num_train_timesteps", 1000);
    s.t_max = (double)s.steps - 1;
    size_t prediction = dipp_description_choice(&d, "prediction_type", predictions, 0);
    if (!(s.a < 1) || !(s.b < 1))
        dipp_description_refuse(&d, DIPP_E_FORMAT, "beta_end", "betas must be below 1, found %g to %g", s.a, s.b);
    if (s.steps > DIPP_SCHEDULE_STEPS_MOST)
        dipp_description_refuse(&d, DIPP_E_UNSUPPORTED, "num_train_timesteps", "%u; at most %d are possible", s.steps,
                                (int)DIPP_SCHEDULE_STEPS_MOST);
    dipp_description_expect(&d, expected);
    dipp_description_ignore(&d, samplers);
    status = dipp_description_close(&d);
    if (status == DIPP_OK) {
        *out = s;
        *parameterisation = parameterisations[prediction];
    }
    return status;
}
