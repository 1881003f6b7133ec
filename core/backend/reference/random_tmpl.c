/* Philox normals and uniforms: binary32 bits (base/philox_math.h), widened. key is {seed low, seed high, stream, step,
 * first sample, 0}; element e of row n is lane e % 4 of the block with counter {e / 4, first + n, step, stream}. */

static void philox_fill(const reference_node *node, void *const *args, bool normal)
{
    const dipp_shape *shape = &node->view.outputs[0].shape;
    const uint32_t *numbers = args[0];
    const uint32_t key[2] = {numbers[0], numbers[1]};
    int64_t samples = shape->dims[0], count = reference_elements(shape) / samples;
    real *out = args[1];
    for (int64_t n = 0; n < samples; n++)
        for (int64_t start = 0; start < count; start += 4) {
            const uint32_t counter[4] = {(uint32_t)(start / 4), numbers[4] + (uint32_t)n, numbers[3], numbers[2]};
            uint32_t words[4];
            float values[4];
            dipp_philox4x32(key, counter, words);
            if (normal)
                dipp_normals_of_bits(words, values);
            for (int64_t lane = 0; lane < 4 && start + lane < count; lane++)
                out[n * count + start + lane] = normal ? values[lane] : dipp_uniform_of_bits(words[lane]);
        }
}

static void philox_normal(const reference_node *node, void *const *args)
{
    philox_fill(node, args, true);
}

static void philox_uniform(const reference_node *node, void *const *args)
{
    philox_fill(node, args, false);
}
