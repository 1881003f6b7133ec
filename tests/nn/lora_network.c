/* See lora_network.h. */
#include "lora_network.h"
#include "fixture.h"

#include <dipp/nn.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

dipp_lora_options lora_every_layer(uint32_t rank, double alpha)
{
    return (dipp_lora_options){.rank = rank,
                               .alpha = alpha,
                               .targets = {"to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in",
                                           "proj_out", "conv1", "conv2", "conv_shortcut", "time_emb_proj", "conv_in",
                                           "conv_out", "downsamplers.0.conv", "upsamplers.0.conv",
                                           "time_embedding.linear_1", "time_embedding.linear_2"},
                               .target_count = 18};
}

dipp_lora_options lora_few_layers(uint32_t rank, double alpha)
{
    return (dipp_lora_options){.rank = rank, .alpha = alpha, .targets = {"attn1.to_q", "conv1"}, .target_count = 2};
}

void lora_network(replay *r, const dipp_lora_options *lora, const char *backend, const char *precision)
{
    static const dipp_unet_options network = {
        .in_channels = 3,
        .out_channels = 3,
        .levels = 2,
        .level = {{.channels = 4, .layers = 1, .heads = 2, .down_attention = true, .up_attention = true},
                  {.channels = 8, .layers = 1, .heads = 2}},
        .caption_channels = 6,
        .groups = 2,
    };
    replay_begin(r, lora ? "overlay" : "network");
    replay_on(r, backend, precision);
    dipp_graph *g = r->graph;
    dipp_params p = r->slot;
    if (lora) {
        p = replay_freeze(r, "network");
        dipp_graph_adapt(g, p, r->slot, lora);
    }
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(LORA_N, 3, 8, 6));
    dipp_tensor t = dipp_input(g, "t", DIPP_WIDE, DIPP_SHAPE(LORA_N));
    dipp_tensor caption = dipp_input(g, "caption", DIPP_WIDE, DIPP_SHAPE(LORA_N, LORA_TEXT, 6));
    dipp_tensor mask = dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(LORA_N, LORA_TEXT));
    dipp_tensor y = dipp_unet(g, p, &network, x, t, caption, mask), gradient;
    dipp_tensor probe = dipp_input(g, "probe", DIPP_WIDE, DIPP_SHAPE(LORA_N, 3, 8, 6));
    dipp_graph_check_adapter(g, p);
    dipp_output(g, "y", y);
    dipp_gradients(g, 1, &y, &probe, 1, &x, &gradient);
    dipp_output(g, "gradient.x", gradient);
    replay_prepare(r);
}

void lora_run(replay *r)
{
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/lora/unet.safetensors");
    replay_write_from(r, file, "unet", "x", LORA_X);
    replay_write_from(r, file, "unet", "t", LORA_N);
    replay_write_from(r, file, "unet", "caption", LORA_N * LORA_TEXT * 6);
    replay_write_from(r, file, "unet", "mask", LORA_N * LORA_TEXT);
    double *probe = malloc(LORA_X * sizeof *probe);
    assert_non_null(probe);
    fixture_noise("probe", 1.0, probe, LORA_X);
    replay_write(r, "probe", probe, LORA_X);
    free(probe);
    replay_run(r);
    dipp_weights_destroy(&file);
}
