/* Philox normals and uniforms: the fills of core/base, split by sample. The bits do not depend on the split. */
#include "backend/cpu/cpu.h"
#include "base/philox.h"

typedef struct random_state {
    int threads;
    int64_t samples, width;
    bool normal;
} random_state;

/* args: key {seed low, seed high, stream, step, first sample, 0}, out. One item is a sample. */
static void fill(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const random_state *s = state;
    const uint32_t *key = args[0];
    uint64_t seed = (uint64_t)key[1] << 32 | key[0];
    float *out = (float *)args[1] + begin * s->width;
    (s->normal ? dipp_philox_normal_fill : dipp_philox_uniform_fill)(out, (size_t)s->width, (uint32_t)(end - begin),
                                                                     seed, key[2], key[3], key[4] + (uint32_t)begin);
}

static void run(void *state, void *const *args)
{
    const random_state *s = state;
    dipp_cpu_parallel(s->threads, s->samples, s->samples * s->width, fill, s, args);
}

dipp_status dipp_cpu_prepare_random(dipp_cpu_context *context, const dipp_node_view *node, dipp_kernel *out,
                                    dipp_error *error)
{
    random_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_shape *shape = &node->outputs[0].shape;
    s->threads = context->threads;
    s->samples = shape->rank ? shape->dims[0] : 1;
    s->width = s->samples ? dipp_cpu_elements(shape) / s->samples : 0;
    s->normal = node->op == DIPP_OP_PHILOX_NORMAL;
    out->run = run;
    return DIPP_OK;
}
