#include "train/reconstruct.h"

#include "base/memory.h"

#include <string.h>

struct dipp_reconstructor {
    dipp_models *models;
    uint32_t n;
    bool average;
    size_t floats; /* of a picture */
    dipp_program *program;
    dipp_executable *run;
    dipp_plan *plan;
    float *batch; /* [n, floats] */
};

static dipp_status record(dipp_reconstructor *reconstructor, dipp_error *error)
{
    dipp_models *models = reconstructor->models;
    dipp_graph *g;
    dipp_status status = dipp_graph_create("reconstruct", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params p = dipp_graph_slot(g, "decoder", models->decoder_layout, false);
    dipp_tensor pictures = dipp_input(g, "pictures", DIPP_WIDE, dipp_picture_batch_shape(models, reconstructor->n));
    dipp_tensor z = dipp_cast(g, models->reference->encode(models->reference_self, g, p, pictures), DIPP_WIDE);
    dipp_output(g, "back", dipp_record_pictures(models, g, p, z, 1));
    return dipp_program_create(&g, models->backend, &reconstructor->program, error);
}

static dipp_status build(dipp_reconstructor *reconstructor, dipp_error *error)
{
    dipp_models *models = reconstructor->models;
    dipp_binding slot = {reconstructor->average ? models->decoder_ema : models->decoder_set, NULL};
    dipp_status status = record(reconstructor, error);
    if (status == DIPP_OK)
        status = dipp_plan_create(models->backend, &reconstructor->plan, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(reconstructor->plan, reconstructor->program, 0, error);
    if (status == DIPP_OK)
        status = dipp_plan_solve(reconstructor->plan, 0, NULL, error);
    if (status == DIPP_OK)
        status = dipp_plan_allocate(reconstructor->plan, error);
    if (status == DIPP_OK)
        status =
            dipp_executable_create(reconstructor->plan, reconstructor->program, &slot, 1, &reconstructor->run, error);
    return status;
}

dipp_status dipp_reconstructor_create(dipp_models *models, uint32_t batch, bool use_average, dipp_reconstructor **out,
                                      dipp_error *error)
{
    *out = NULL;
    if (!models->reference->encode || !models->reference->decode)
        return dipp_fail(error, DIPP_E_INVALID, "the reference has no autoencoder to show pictures through");
    dipp_reconstructor *reconstructor = dipp_allocate_zeroed(1, sizeof *reconstructor);
    if (!reconstructor)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for reconstructions");
    reconstructor->models = models;
    reconstructor->n = batch ? batch : 1;
    reconstructor->average = use_average && models->decoder_ema;
    reconstructor->floats = (size_t)dipp_shape_elements(&models->picture);
    reconstructor->batch = dipp_allocate_zeroed(reconstructor->n, reconstructor->floats * sizeof(float));
    dipp_status status = reconstructor->batch
                             ? build(reconstructor, error)
                             : dipp_fail(error, DIPP_E_MEMORY, "no memory for %u reconstructions", reconstructor->n);
    if (status != DIPP_OK)
        dipp_reconstructor_destroy(&reconstructor);
    *out = reconstructor;
    return status;
}

void dipp_reconstructor_destroy(dipp_reconstructor **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_reconstructor *reconstructor = *pointer;
    dipp_executable_destroy(&reconstructor->run);
    dipp_program_destroy(&reconstructor->program);
    dipp_plan_destroy(&reconstructor->plan);
    dipp_release(reconstructor->batch);
    dipp_release(reconstructor);
    *pointer = NULL;
}

dipp_status dipp_reconstruct(dipp_reconstructor *reconstructor, float *pictures, uint32_t count, dipp_error *error)
{
    size_t floats = reconstructor->floats, all = reconstructor->n * floats;
    dipp_status status = DIPP_OK;
    if (reconstructor->average) /* compute copies of averages are made on demand */
        status = dipp_parameter_set_refresh(reconstructor->models->decoder_ema, error);
    for (uint32_t done = 0; done < count && status == DIPP_OK; done += reconstructor->n) {
        uint32_t wanted = count - done < reconstructor->n ? count - done : reconstructor->n;
        memcpy(reconstructor->batch, pictures + done * floats, wanted * floats * sizeof(float));
        status = dipp_executable_write(reconstructor->run, "pictures", reconstructor->batch, DIPP_HOST_F32, all, error);
        if (status == DIPP_OK) {
            dipp_execute(reconstructor->run, 0);
            status = dipp_executable_read(reconstructor->run, "back", reconstructor->batch, DIPP_HOST_F32, all, error);
        }
        if (status == DIPP_OK)
            memcpy(pictures + done * floats, reconstructor->batch, wanted * floats * sizeof(float));
    }
    return status;
}
