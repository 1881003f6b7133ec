/* What computing blocks again saves and costs at published sizes: arena and work of a forward and backward pass through each
 * network, planned on the null back-end, with nothing allocated. Prints a table in markdown: bench-recompute [f32|bf16].
 *
 * UNet and transformer are trained: the forward pass is one segment, the backward another, as the generator's. The decoder
 * is frozen, with a gradient to its latents, as before a reward. */
#include "base/clock.h"
#include "tensor/program.h"

#include <dipp/nn.h>

#include <stdio.h>
#include <stdlib.h>

static void require(dipp_status status, const dipp_error *error)
{
    if (status == DIPP_OK)
        return;
    fprintf(stderr, "recompute: %s\n", error->message);
    exit(1);
}

static dipp_tensor record_unet(dipp_graph *g, dipp_params p, dipp_tensor x)
{
    static const int64_t channels[4] = {320, 640, 1280, 1280};
    dipp_unet_options o = {.in_channels = 4, .out_channels = 4, .levels = 4, .caption_channels = 768};
    for (int i = 0; i < 4; i++)
        o.level[i] = (dipp_unet_level){
            .channels = channels[i], .layers = 2, .heads = 8, .down_attention = i < 3, .up_attention = i < 3};
    dipp_tensor t = dipp_input(g, "t", DIPP_WIDE, DIPP_SHAPE(dipp_dim(g, x, 0)));
    dipp_tensor caption = dipp_input(g, "caption", DIPP_WIDE, DIPP_SHAPE(dipp_dim(g, x, 0), 77, 768));
    return dipp_unet(g, p, &o, x, t, caption, DIPP_NONE);
}

static dipp_tensor record_dit(dipp_graph *g, dipp_params p, dipp_tensor x)
{
    const dipp_dit_options o = {.channels = 4,
                                .height = 64,
                                .width = 64,
                                .patch = 2,
                                .hidden = 1152,
                                .layers = 28,
                                .heads = 16,
                                .caption_channels = 4096,
                                .learn_sigma = true};
    dipp_tensor t = dipp_input(g, "t", DIPP_WIDE, DIPP_SHAPE(dipp_dim(g, x, 0)));
    dipp_tensor caption = dipp_input(g, "caption", DIPP_WIDE, DIPP_SHAPE(dipp_dim(g, x, 0), 120, 4096));
    dipp_tensor mask = dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(dipp_dim(g, x, 0), 120));
    return dipp_dit(g, p, &o, x, t, caption, mask);
}

static dipp_tensor record_decoder(dipp_graph *g, dipp_params p, dipp_tensor x)
{
    const dipp_vae_options o = {.latent_channels = 4, .levels = 4, .channels = {128, 256, 512, 512}, .layers = 2};
    return dipp_vae_decode(g, p, &o, x);
}

static const struct network {
    const char *name;
    dipp_tensor (*record)(dipp_graph *g, dipp_params p, dipp_tensor x);
    bool trained;
} networks[] = {{"SD 1.5 UNet", record_unet, true},
                {"PixArt-alpha transformer", record_dit, true},
                {"SD VAE decoder", record_decoder, false}};

static void print_row(const struct network *network, dipp_backend *backend, int64_t n, bool recompute)
{
    dipp_error error = {0};
    dipp_layout *layout;
    dipp_graph *g;
    dipp_program *program;
    dipp_plan *plan;
    dipp_plan_report report;
    uint64_t start = dipp_clock_monotonic_ns();
    require(dipp_layout_create(network->name, &layout, &error), &error);
    require(dipp_graph_create(network->name, &g, &error), &error);
    dipp_params p = dipp_graph_slot(g, "network", layout, network->trained);
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(n, 4, 64, 64)); /* latents of 512 px pictures */
    dipp_tensor y = network->record(g, p, x), dx;
    dipp_output(g, "y", y);
    dipp_graph_begin_segment(g);
    dipp_tensor dy = dipp_input(g, "dy", DIPP_WIDE, dipp_shape_of(g, y));
    dipp_graph_recompute_blocks(g, recompute);
    dipp_gradients(g, 1, &y, &dy, network->trained ? 0 : 1, &x, &dx);
    if (!network->trained)
        dipp_output(g, "dx", dx);
    require(dipp_program_create(&g, backend, &program, &error), &error);
    require(dipp_plan_create(backend, &plan, &error), &error);
    for (uint32_t s = 0; s < 2; s++)
        require(dipp_plan_step(plan, program, s, &error), &error);
    require(dipp_plan_solve(plan, 0, &report, &error), &error);
    printf("| %s | %lld | %s | %.0f | %.0f | %s | %.0f | %.0f | %.2f |\n", network->name, (long long)n,
           recompute ? "recomputed" : "kept", (double)report.arena_bytes / 1048576.0,
           (double)report.peak_bytes / 1048576.0, report.peak_op,
           1e-9 * (dipp_program_flops(program, 0) + dipp_program_flops(program, 1)),
           1e-9 * dipp_program_recomputed_flops(program, 1), (double)(dipp_clock_monotonic_ns() - start) * 1e-9);
    dipp_plan_destroy(&plan);
    dipp_program_destroy(&program);
    dipp_layout_destroy(&layout);
}

int main(int argc, char **argv)
{
    dipp_error error = {0};
    dipp_backend *backend;
    dipp_backend_options options = {.struct_size = sizeof options, .precision = argc > 1 ? argv[1] : "f32"};
    require(dipp_null_backend_create(&options, &backend, &error), &error);
    printf("| network, %s | batch | blocks | arena MiB | most alive MiB | at | useful GFLOP | again GFLOP | planned in "
           "s |\n"
           "|---|---|---|---|---|---|---|---|---|\n",
           backend->precision);
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        for (int64_t n = 1; n <= 4; n += 3)
            for (int recompute = 0; recompute < 2; recompute++)
                print_row(&networks[i], backend, n, recompute);
    dipp_backend_destroy(&backend);
    return 0;
}
