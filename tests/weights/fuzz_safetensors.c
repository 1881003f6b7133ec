/* Fuzz target of the safetensors reader, in libFuzzer's form; test_safetensors.c replays a corpus through it.
 * To hunt: clang -fsanitize=fuzzer,address,undefined with the sources of core/base and core/weights. */
#include "weights/weights.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Opens the bytes as a file; what opens must be readable to its last byte, sorted, found by name, and within bounds. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dipp_weights *weights = NULL;
    dipp_error error = {0};
    if (dipp_weights_open_memory(data, size, "input", &weights, &error)) {
        if (weights || !error.message[0])
            abort();
        return 0;
    }
    uint64_t total = 0;
    for (size_t i = 0; i < dipp_weights_count(weights); i++) {
        const dipp_weight_tensor *tensor = dipp_weights_at(weights, i);
        const uint8_t *bytes = tensor->data;
        if (bytes < data || tensor->bytes > size || bytes + tensor->bytes > data + size)
            abort();
        if (tensor->bytes != tensor->count * dipp_weight_dtype_bytes(tensor->dtype))
            abort();
        if (i && strcmp(dipp_weights_at(weights, i - 1)->name, tensor->name) >= 0)
            abort();
        if (dipp_weights_find(weights, tensor->name) != tensor)
            abort();
        float *values = malloc((size_t)tensor->count * sizeof *values + 1);
        if (values)
            dipp_weight_to_f32(tensor->dtype, tensor->data, values, (size_t)tensor->count);
        free(values);
        total += tensor->bytes;
    }
    if (total > size)
        abort();
    for (size_t i = 0; i < dipp_weights_metadata_count(weights); i++) {
        const char *key, *value;
        dipp_weights_metadata_at(weights, i, &key, &value);
        if (!key || !value || !dipp_weights_metadata(weights, key))
            abort();
    }
    dipp_weights_destroy(&weights);
    return 0;
}
