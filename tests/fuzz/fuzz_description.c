/* Any bytes as the description of a published network or schedule: refused with a reason, or options that their own check allows
 * and a schedule whose numbers are finite. */
#include "target.h"

#include <dipp/nn.h>
#include <dipp/schedule.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A refusal has a code and a message that names the file. */
static void check_refusal(dipp_status status, const dipp_error *error, const char *path)
{
    if (status != error->code || !strstr(error->message, path))
        abort();
}

static void check_schedule(const char *path)
{
    dipp_schedule schedule;
    dipp_parameterisation prediction;
    dipp_error error = {0};
    dipp_status status = dipp_schedule_read_config(path, &schedule, &prediction, &error);
    if (status != DIPP_OK) {
        check_refusal(status, &error, path);
        return;
    }
    double alpha, sigma;
    dipp_schedule_at(&schedule, schedule.t_max, &alpha, &sigma);
    if (!isfinite(alpha) || !isfinite(sigma) || schedule.steps > DIPP_SCHEDULE_STEPS_MOST)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[FUZZ_PATH_BYTES];
    int descriptor = fuzz_file(data, size, path);
    dipp_unet_options unet;
    dipp_vae_options vae;
    dipp_dit_options dit;
    int64_t side = 0;
    dipp_error error = {0};
    dipp_status status = dipp_unet_read_config(path, &unet, &side, &error);
    if (status != DIPP_OK)
        check_refusal(status, &error, path);
    else if (dipp_unet_check(&unet, NULL) != DIPP_OK || side < 0)
        abort();
    if ((status = dipp_vae_read_config(path, &vae, &error)) != DIPP_OK)
        check_refusal(status, &error, path);
    else if (dipp_vae_check(&vae, NULL) != DIPP_OK)
        abort();
    if ((status = dipp_dit_read_config(path, &dit, &error)) != DIPP_OK)
        check_refusal(status, &error, path);
    else if (dipp_dit_check(&dit, NULL) != DIPP_OK)
        abort();
    check_schedule(path);
    close(descriptor);
    return 0;
}
