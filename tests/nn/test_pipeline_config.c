/* Descriptions of published pipelines: what diffusers 0.29.2 makes of the same texts, and what is refused, by name. */
#include "fixture.h"
#include "replay.h"

#include <dipp/nn.h>
#include <dipp/schedule.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char path[] = "/tmp/dipp-description-XXXXXX";

static void put(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Stable Diffusion 1.5's, as it is published; 2.1's, whose heads and projections differ. */
static const char sd15[] =
    "{\"_class_name\":\"UNet2DConditionModel\",\"_diffusers_version\":\"0.6.0\",\"act_fn\":\"silu\",\"attention_head_"
    "dim\":8,"
    "\"block_out_channels\":[320,640,1280,1280],\"center_input_sample\":false,\"cross_attention_dim\":768,"
    "\"down_block_types\":[\"CrossAttnDownBlock2D\",\"CrossAttnDownBlock2D\",\"CrossAttnDownBlock2D\",\"DownBlock2D\"],"
    "\"downsample_padding\":1,\"flip_sin_to_cos\":true,\"freq_shift\":0,\"in_channels\":4,\"layers_per_block\":2,"
    "\"mid_block_scale_factor\":1,\"norm_eps\":1e-05,\"norm_num_groups\":32,\"out_channels\":4,\"sample_size\":64,"
    "\"up_block_types\":[\"UpBlock2D\",\"CrossAttnUpBlock2D\",\"CrossAttnUpBlock2D\",\"CrossAttnUpBlock2D\"]}";
static const char sd21[] =
    "{\"_class_name\":\"UNet2DConditionModel\",\"attention_head_dim\":[5,10,20,20],\"cross_attention_dim\":1024,"
    "\"sample_size\":96,\"dual_cross_attention\":false,\"num_class_embeds\":null,\"only_cross_attention\":false,"
    "\"upcast_attention\":true,\"use_linear_projection\":true}";

static void unets_are_diffusers(void **state)
{
    (void)state;
    dipp_unet_options o;
    dipp_error error = {0};
    int64_t size = 0;
    put(sd15);
    if (dipp_unet_read_config(path, &o, &size, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    assert_int_equal(size, 64);
    assert_int_equal(o.caption_channels, 768);
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/unet.safetensors");
    replay r;
    replay_begin(&r, "unet");
    dipp_graph *g = r.graph;
    dipp_unet(g, r.slot, &o, dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(1, 4, 64, 64)),
              dipp_input(g, "t", DIPP_WIDE, DIPP_SHAPE(1)), dipp_input(g, "text", DIPP_WIDE, DIPP_SHAPE(1, 77, 768)),
              DIPP_NONE);
    replay_compare_manifest(&r, file, "sd15");
    replay_end(&r);
    dipp_weights_destroy(&file);

    put(sd21);
    assert_int_equal(dipp_unet_read_config(path, &o, &size, &error), DIPP_OK);
    assert_int_equal(size, 96);
    assert_int_equal(o.level[0].heads, 5);
    assert_int_equal(o.level[3].heads, 20);
    assert_int_equal(o.level[3].channels, 1280);
    assert_true(o.linear_projection && !o.level[3].down_attention && !o.level[3].up_attention &&
                o.level[0].up_attention);

    put("{\"block_out_channels\":[8,16],\"norm_num_groups\":4,\"down_block_types\":[\"DownBlock2D\","
        "\"CrossAttnDownBlock2D\"],"
        "\"up_block_types\":[\"UpBlock2D\",\"CrossAttnUpBlock2D\"],\"layers_per_block\":[1,3],\"attention_head_dim\":["
        "2,4],"
        "\"transformer_layers_per_block\":[1,2],\"mid_block_type\":null,\"sample_size\":null,\"norm_eps\":1e-3}");
    assert_int_equal(dipp_unet_read_config(path, &o, &size, &error), DIPP_OK);
    assert_int_equal(size, 0);
    assert_int_equal(o.mid, DIPP_UNET_MID_NONE);
    assert_int_equal(o.level[1].layers, 3);
    assert_int_equal(o.level[1].transformer_layers, 2);
    assert_true(o.level[1].down_attention && !o.level[1].up_attention && o.level[0].up_attention);
    assert_true(o.epsilon == 1e-3);
}

static void autoencoders_are_diffusers(void **state)
{
    (void)state;
    dipp_vae_options o;
    dipp_error error = {0};
    put("{\"_class_name\":\"AutoencoderKL\",\"act_fn\":\"silu\",\"block_out_channels\":[128,256,512,512],\"down_block_"
        "types\":"
        "[\"DownEncoderBlock2D\",\"DownEncoderBlock2D\",\"DownEncoderBlock2D\",\"DownEncoderBlock2D\"],\"in_channels\":"
        "3,"
        "\"latent_channels\":4,\"layers_per_block\":2,\"norm_num_groups\":32,\"out_channels\":3,\"sample_size\":512,"
        "\"up_block_types\":[\"UpDecoderBlock2D\",\"UpDecoderBlock2D\",\"UpDecoderBlock2D\",\"UpDecoderBlock2D\"]}");
    if (dipp_vae_read_config(path, &o, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    assert_int_equal(o.levels, 4);
    assert_int_equal(o.channels[1], 256);
    assert_int_equal(o.layers, 2);
    assert_true(o.scaling == 0.18215 && o.epsilon == 1e-6);
    put("{\"scaling_factor\":0.13025,\"force_upcast\":true,\"shift_factor\":null}");
    assert_int_equal(dipp_vae_read_config(path, &o, &error), DIPP_OK);
    assert_int_equal(o.levels, 1);
    assert_int_equal(o.channels[0], 64);
    assert_int_equal(o.layers, 1);
    assert_true(o.scaling == 0.13025);
}

static void transformers_are_diffusers(void **state)
{
    (void)state;
    dipp_dit_options o;
    dipp_error error = {0};
    /* PixArt-XL-2-512x512 as an older file describes it. */
    put("{\"_class_name\":\"Transformer2DModel\",\"activation_fn\":\"gelu-approximate\",\"attention_bias\":true,"
        "\"attention_head_dim\":72,\"attention_type\":\"default\",\"caption_channels\":4096,\"cross_attention_dim\":"
        "1152,"
        "\"double_self_attention\":false,\"dropout\":0.0,\"in_channels\":4,\"norm_elementwise_affine\":false,\"norm_"
        "eps\":1e-06,"
        "\"norm_num_groups\":32,\"norm_type\":\"ada_norm_single\",\"num_attention_heads\":16,\"num_embeds_ada_norm\":"
        "1000,"
        "\"num_layers\":28,\"num_vector_embeds\":null,\"only_cross_attention\":false,\"out_channels\":8,\"patch_size\":"
        "2,"
        "\"sample_size\":64,\"upcast_attention\":false,\"use_linear_projection\":false}");
    if (dipp_dit_read_config(path, &o, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    assert_int_equal(o.hidden, 1152);
    assert_int_equal(o.layers, 28);
    assert_int_equal(o.height, 64);
    assert_int_equal(o.position_base, 32);
    assert_int_equal(o.caption_channels, 4096);
    assert_true(o.learn_sigma && o.position_scale == 1 && o.micro_height == 0);
    /* The 1024 px model, by defaults; then what the file says against them. */
    put("{\"_class_name\":\"PixArtTransformer2DModel\",\"caption_channels\":4096}");
    assert_int_equal(dipp_dit_read_config(path, &o, &error), DIPP_OK);
    assert_int_equal(o.height, 128);
    assert_true(o.position_scale == 2 && o.micro_height == 1024 && o.micro_width == 1024);
    put("{\"caption_channels\":64,\"sample_size\":128,\"interpolation_scale\":0.5,\"use_additional_conditions\":false,"
        "\"out_channels\":null}");
    assert_int_equal(dipp_dit_read_config(path, &o, &error), DIPP_OK);
    assert_true(o.position_scale == 0.5 && o.micro_height == 0 && !o.learn_sigma);
}

static void schedules_are_diffusers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double a, b;
        int scaled, steps;
        dipp_parameterisation prediction;
    } cases[] = {
        {"{\"_class_name\":\"PNDMScheduler\",\"beta_end\":0.012,\"beta_schedule\":\"scaled_linear\",\"beta_start\":0."
         "00085,"
         "\"num_train_timesteps\":1000,\"set_alpha_to_one\":false,\"skip_prk_steps\":true,\"steps_offset\":1,"
         "\"trained_betas\":null,\"clip_sample\":false}",
         0.00085, 0.012, 1, 1000, DIPP_PREDICTS_EPS},
        {"{\"_class_name\":\"DPMSolverMultistepScheduler\",\"lambda_min_clipped\":-Infinity,\"sigma_max\":Infinity}",
         0.0001, 0.02, 0, 1000, DIPP_PREDICTS_EPS},
        {"{\"_class_name\":\"LCMScheduler\",\"prediction_type\":\"v_prediction\"}", 0.00085, 0.012, 1, 1000,
         DIPP_PREDICTS_V},
        {"{\"_class_name\":\"HeunDiscreteScheduler\",\"num_train_timesteps\":500}", 0.00085, 0.012, 0, 500,
         DIPP_PREDICTS_EPS},
        {"{\"_class_name\":\"DDIMScheduler\",\"prediction_type\":\"sample\",\"rescale_betas_zero_snr\":false}", 0.0001,
         0.02, 0, 1000, DIPP_PREDICTS_X0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_schedule s;
        dipp_parameterisation prediction;
        dipp_error error = {0};
        put(cases[i].text);
        if (dipp_schedule_read_config(path, &s, &prediction, &error) != DIPP_OK)
            fail_msg("%s", error.message);
        assert_true(s.a == cases[i].a && s.b == cases[i].b && s.scaled_linear == cases[i].scaled);
        assert_int_equal(s.steps, cases[i].steps);
        assert_true(s.t_max == cases[i].steps - 1 && s.t_min == 0);
        assert_int_equal(prediction, cases[i].prediction);
    }
}

typedef enum reader { UNET, VAE, DIT, SCHEDULE } reader;

static dipp_status read_as(reader as, dipp_error *error)
{
    dipp_unet_options unet;
    dipp_vae_options vae;
    dipp_dit_options dit;
    dipp_schedule schedule;
    dipp_parameterisation prediction;
    int64_t size;
    switch (as) {
    case UNET: return dipp_unet_read_config(path, &unet, &size, error);
    case VAE: return dipp_vae_read_config(path, &vae, error);
    case DIT: return dipp_dit_read_config(path, &dit, error);
    default: return dipp_schedule_read_config(path, &schedule, &prediction, error);
    }
}

#define CAPTION "\"caption_channels\":64,"

static void what_is_not_known_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        reader as;
        const char *text;
        dipp_status status;
        const char *message;
    } cases[] = {
        {UNET, "{\"class_embed_type\":\"timestep\"}", DIPP_E_UNSUPPORTED,
         "class_embed_type: \"timestep\" is not supported"},
        {UNET, "{\"num_class_embeds\":10}", DIPP_E_UNSUPPORTED, "num_class_embeds: 10"},
        {UNET, "{\"addition_embed_type\":\"text_time\"}", DIPP_E_UNSUPPORTED, "addition_embed_type"},
        {UNET, "{\"encoder_hid_dim\":64}", DIPP_E_UNSUPPORTED, "encoder_hid_dim"},
        {UNET, "{\"dual_cross_attention\":true}", DIPP_E_UNSUPPORTED, "dual_cross_attention: true"},
        {UNET, "{\"only_cross_attention\":[false,true,false,false]}", DIPP_E_UNSUPPORTED, "only_cross_attention"},
        {UNET, "{\"center_input_sample\":true}", DIPP_E_UNSUPPORTED, "center_input_sample"},
        {UNET, "{\"time_cond_proj_dim\":256}", DIPP_E_UNSUPPORTED, "time_cond_proj_dim"},
        {UNET, "{\"num_attention_heads\":8}", DIPP_E_UNSUPPORTED, "num_attention_heads"},
        {UNET, "{\"act_fn\":\"gelu\"}", DIPP_E_UNSUPPORTED, "act_fn: \"gelu\" is not supported, only"},
        {UNET, "{\"flip_sin_to_cos\":false}", DIPP_E_UNSUPPORTED, "flip_sin_to_cos: false"},
        {UNET, "{\"freq_shift\":1}", DIPP_E_UNSUPPORTED, "freq_shift"},
        {UNET, "{\"resnet_time_scale_shift\":\"scale_shift\"}", DIPP_E_UNSUPPORTED, "resnet_time_scale_shift"},
        {UNET, "{\"transformer_layers_per_block\":[[1],[1],[1],[1]]}", DIPP_E_UNSUPPORTED,
         "transformer_layers_per_block"},
        {UNET, "{\"cross_attention_dim\":[768,768,768,512]}", DIPP_E_UNSUPPORTED, "cross_attention_dim: levels differ"},
        {UNET, "{\"sample_size\":[64,96]}", DIPP_E_UNSUPPORTED, "sample_size: height and width differ"},
        {UNET, "{\"down_block_types\":[\"AttnDownBlock2D\"]}", DIPP_E_UNSUPPORTED, "AttnDownBlock2D"},
        {UNET, "{\"mid_block_type\":\"UNetMidBlock2DSimpleCrossAttn\"}", DIPP_E_UNSUPPORTED, "mid_block_type"},
        {UNET, "{\"block_out_channels\":[320,640]}", DIPP_E_FORMAT, "entries for 2 levels"},
        {UNET, "{\"norm_num_groups\":null}", DIPP_E_FORMAT, "norm_num_groups: expected a whole number"},
        {UNET, "{\"attention_head_dim\":7}", DIPP_E_INVALID, "heads must divide"},
        {UNET, "{\"_class_name\":\"UNet2DModel\"}", DIPP_E_UNSUPPORTED, "UNet2DModel"},
        {UNET, "{\"act_fn\":\"silu\",\"act_fn\":\"silu\"}", DIPP_E_FORMAT, "not JSON"},
        {UNET, "[1]", DIPP_E_FORMAT, "expected an object"},
        {UNET, "{\"norm_eps\":-Infinity", DIPP_E_FORMAT, "not JSON"},
        {VAE, "{\"shift_factor\":0.1}", DIPP_E_UNSUPPORTED, "shift_factor: 0.1"},
        {VAE, "{\"latents_mean\":[0.5]}", DIPP_E_UNSUPPORTED, "latents_mean"},
        {VAE, "{\"use_quant_conv\":false}", DIPP_E_UNSUPPORTED, "use_quant_conv: false"},
        {VAE, "{\"out_channels\":4}", DIPP_E_UNSUPPORTED, "out_channels: 4"},
        {VAE, "{\"scaling_factor\":0}", DIPP_E_FORMAT, "scaling_factor: expected a number above 0"},
        {VAE, "{\"_class_name\":\"AsymmetricAutoencoderKL\"}", DIPP_E_UNSUPPORTED, "AsymmetricAutoencoderKL"},
        {VAE, "{\"up_block_types\":[\"AttnUpDecoderBlock2D\"]}", DIPP_E_UNSUPPORTED, "AttnUpDecoderBlock2D"},
        {DIT, "{\"caption_channels\":null}", DIPP_E_UNSUPPORTED, "caption_channels"},
        {DIT, "{" CAPTION "\"_class_name\":\"Transformer2DModel\"}", DIPP_E_UNSUPPORTED, "norm_type"},
        {DIT, "{" CAPTION "\"_class_name\":\"DiTTransformer2DModel\"}", DIPP_E_UNSUPPORTED, "DiTTransformer2DModel"},
        {DIT, "{" CAPTION "\"norm_type\":\"ada_norm_zero\"}", DIPP_E_UNSUPPORTED, "ada_norm_zero"},
        {DIT, "{" CAPTION "\"activation_fn\":\"geglu\"}", DIPP_E_UNSUPPORTED, "activation_fn"},
        {DIT, "{" CAPTION "\"attention_bias\":false}", DIPP_E_UNSUPPORTED, "attention_bias"},
        {DIT, "{" CAPTION "\"cross_attention_dim\":768}", DIPP_E_UNSUPPORTED, "cross_attention_dim: 768"},
        {DIT, "{" CAPTION "\"out_channels\":6}", DIPP_E_UNSUPPORTED, "out_channels: 6"},
        {DIT, "{" CAPTION "\"norm_eps\":1e-5}", DIPP_E_UNSUPPORTED, "norm_eps"},
        {DIT, "{" CAPTION "\"num_vector_embeds\":8}", DIPP_E_UNSUPPORTED, "num_vector_embeds"},
        {SCHEDULE, "{\"_class_name\":\"FlowMatchEulerDiscreteScheduler\"}", DIPP_E_UNSUPPORTED,
         "FlowMatchEulerDiscrete"},
        {SCHEDULE, "{\"_class_name\":\"EDMEulerScheduler\"}", DIPP_E_UNSUPPORTED, "EDMEulerScheduler"},
        {SCHEDULE, "{\"rescale_betas_zero_snr\":true}", DIPP_E_UNSUPPORTED, "rescale_betas_zero_snr: true"},
        {SCHEDULE, "{\"trained_betas\":[0.1,0.2]}", DIPP_E_UNSUPPORTED, "trained_betas: [0.1,0.2]"},
        {SCHEDULE, "{\"beta_schedule\":\"squaredcos_cap_v2\"}", DIPP_E_UNSUPPORTED, "squaredcos_cap_v2"},
        {SCHEDULE, "{\"prediction_type\":\"flow_prediction\"}", DIPP_E_UNSUPPORTED, "flow_prediction"},
        {SCHEDULE, "{\"timestep_type\":\"continuous\"}", DIPP_E_UNSUPPORTED, "timestep_type"},
        {SCHEDULE, "{\"use_flow_sigmas\":true}", DIPP_E_UNSUPPORTED, "use_flow_sigmas"},
        {SCHEDULE, "{\"beta_end\":1.5}", DIPP_E_FORMAT, "betas must be below 1"},
        {SCHEDULE, "{\"num_train_timesteps\":10000000}", DIPP_E_UNSUPPORTED, "num_train_timesteps"},
        {SCHEDULE, "{\"beta_start\":\"0.1\"}", DIPP_E_FORMAT, "beta_start: expected a number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_error error = {0};
        put(cases[i].text);
        dipp_status status = read_as(cases[i].as, &error);
        if (status != cases[i].status || !strstr(error.message, cases[i].message) || !strstr(error.message, path))
            fail_msg("%s: %s: %s", cases[i].text, dipp_status_name(status), error.message);
    }
    unlink(path);
    for (int as = UNET; as <= SCHEDULE; as++)
        assert_int_equal(read_as((reader)as, NULL), DIPP_E_NOT_FOUND);
}

/* A folder of its own with one file, NAME, of this content; gone after the next call. */
static const char *folder_with(const char *part, const char *name, const char *text)
{
    static char folder[] = "/tmp/dipp-pipeline-XXXXXX";
    char line[256];
    static bool made;
    if (!made)
        assert_non_null(mkdtemp(folder));
    made = true;
    snprintf(line, sizeof line, "rm -rf %s/*", folder);
    assert_int_equal(system(line), 0);
    if (!part)
        return folder;
    snprintf(line, sizeof line, "%s/%s", folder, part);
    assert_int_equal(mkdir(line, 0755), 0);
    snprintf(line, sizeof line, "%s/%s/%s", folder, part, name);
    FILE *file = fopen(line, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return folder;
}

static void padding_must_be_that_of_the_tokenizer(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *message; /* NULL: fine */
    } cases[] = {
        {"tokenizer_config.json", "{\"pad_token\":\"<|endoftext|>\",\"model_max_length\":77}", NULL},
        {"special_tokens_map.json", "{\"pad_token\":{\"content\":\"<|endoftext|>\"},\"bos_token\":\"x\"}", NULL},
        {"special_tokens_map.json", "{\"pad_token\":\"!\"}", "pad_token: only <|endoftext|>"}, /* SD 2's */
        {"tokenizer_config.json", "{\"pad_token\":{\"content\":\"!\"}}", "pad_token"},
        {"tokenizer_config.json", "{\"model_max_length\":64}", "model_max_length"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_error error = {0};
        dipp_status status =
            dipp_pipeline_check_clip_tokenizer(folder_with("tokenizer", cases[i].name, cases[i].text), 77, &error);
        assert_int_equal(status, cases[i].message ? DIPP_E_UNSUPPORTED : DIPP_OK);
        if (cases[i].message && !strstr(error.message, cases[i].message))
            fail_msg("%s", error.message);
    }
}

static void folders_say_what_they_hold(void **state)
{
    (void)state;
    char found[DIPP_PIPELINE_PATH_BYTES];
    dipp_pipeline_text kind = DIPP_PIPELINE_CLIP;
    dipp_error error = {0};
    const char *folder = folder_with("transformer", "config.json", "{}");
    assert_true(dipp_pipeline_file(folder, DIPP_PIPELINE_NETWORK, found, sizeof found));
    assert_non_null(strstr(found, "/transformer/config.json"));
    assert_false(dipp_pipeline_file(folder, DIPP_PIPELINE_TOKENIZER, found, sizeof found));
    assert_non_null(strstr(found, "/tokenizer/spiece.model"));
    assert_false(dipp_pipeline_file(folder, DIPP_PIPELINE_SCHEDULER, found, sizeof found));
    assert_non_null(strstr(found, "/scheduler/scheduler_config.json"));
    assert_false(dipp_pipeline_file(folder_with(NULL, NULL, NULL), DIPP_PIPELINE_TOKENIZER, found, sizeof found));
    assert_non_null(strstr(found, "/tokenizer/vocab.json"));
    assert_int_equal(dipp_pipeline_read_text_kind(folder, &kind, &error), DIPP_E_NOT_FOUND);
    folder = folder_with("text_encoder", "config.json", "{\"model_type\":\"t5\",\"d_model\":4096}");
    assert_int_equal(dipp_pipeline_read_text_kind(folder, &kind, &error), DIPP_OK);
    assert_int_equal(kind, DIPP_PIPELINE_T5);
    folder = folder_with("text_encoder", "config.json", "{\"model_type\":\"umt5\"}");
    assert_int_equal(dipp_pipeline_read_text_kind(folder, &kind, &error), DIPP_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "umt5"));
    folder = folder_with(NULL, NULL, NULL);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unets_are_diffusers),
        cmocka_unit_test(autoencoders_are_diffusers),
        cmocka_unit_test(transformers_are_diffusers),
        cmocka_unit_test(schedules_are_diffusers),
        cmocka_unit_test(what_is_not_known_is_refused_by_name),
        cmocka_unit_test(padding_must_be_that_of_the_tokenizer),
        cmocka_unit_test(folders_say_what_they_hold),
    };
    int file = mkstemp(path);
    if (file < 0)
        return 1;
    close(file);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
