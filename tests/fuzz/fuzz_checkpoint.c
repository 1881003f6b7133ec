/* Any bytes as a checkpoint of three numbers and two counters: refused with a reason and nothing taken over, or all of it. */
#include "target.h"

#include "train/checkpoint.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void must(dipp_status status)
{
    if (status != DIPP_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static dipp_backend *backend;
    static dipp_layout *layout;
    static dipp_parameter_set *set; /* made once, as the program's are */
    static size_t elements;
    if (!set) {
        dipp_graph *g = NULL;
        must(dipp_reference_backend_create(
            &(dipp_backend_options){.struct_size = sizeof(dipp_backend_options), .precision = "f32"}, &backend, NULL));
        must(dipp_layout_create("fuzz", &layout, NULL));
        must(dipp_graph_create("fuzz", &g, NULL));
        dipp_param(g, dipp_graph_slot(g, "fuzz", layout, false), "three", DIPP_SHAPE(3), NULL);
        must(dipp_graph_status(g, NULL));
        dipp_graph_destroy(&g);
        must(dipp_parameter_set_create("fuzz", layout, backend, false, &set, NULL));
        elements = (size_t)dipp_layout_elements(layout);
    }
    float *before = calloc(elements, sizeof *before), *after = calloc(elements, sizeof *after);
    if (!before || !after)
        abort();
    before[0] = 0.5f;
    dipp_parameter_set_write(set, DIPP_BLOCK_MASTER, before, DIPP_HOST_F32);
    int64_t step = -7;
    double loss = -7;
    const dipp_checkpoint_counter counters[] = {{"step", .value = &step}, {"loss", .number = &loss, .may_lack = true}};
    const dipp_checkpoint_block block = {"master", set, DIPP_BLOCK_MASTER};
    char path[FUZZ_PATH_BYTES];
    dipp_error error = {0};
    int descriptor = fuzz_file(data, size, path);
    dipp_status status = dipp_checkpoint_read(path, "fuzz", "three", &block, 1, counters, 2, &error);
    close(descriptor);
    dipp_parameter_set_read(set, DIPP_BLOCK_MASTER, after, DIPP_HOST_F32);
    if (status != DIPP_OK &&
        (!error.message[0] || step != -7 || loss != -7 || memcmp(before, after, elements * sizeof *before)))
        abort();
    free(before);
    free(after);
    return 0;
}
