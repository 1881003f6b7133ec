/* Fuzz target of the reader of torch.save's and torch.jit.save's files, in libFuzzer's form; test_torch_file.c replays a corpus through it.
 * To hunt: clang -fsanitize=fuzzer,address,undefined with the sources of core/base and core/weights, and
 * tests/fixtures/torch as the first corpus. */
#include "weights/weights.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Opens the bytes as a file; what opens must be readable to its last byte, sorted and found by name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dipp_weights *weights = NULL;
    dipp_error error = {0};
    if (dipp_weights_open_memory(data, size, "input", &weights, &error)) {
        if (weights || !error.message[0])
            abort();
        return 0;
    }
    uint64_t copied = 0, named = 0;
    unsigned sum = 0;
    for (size_t i = 0; i < dipp_weights_count(weights); i++) {
        const dipp_weight_tensor *tensor = dipp_weights_at(weights, i);
        const uint8_t *bytes = tensor->data;
        if (tensor->bytes > size || tensor->bytes != tensor->count * dipp_weight_dtype_bytes(tensor->dtype))
            abort();
        if (i && strcmp(dipp_weights_at(weights, i - 1)->name, tensor->name) >= 0)
            abort();
        if (dipp_weights_find(weights, tensor->name) != tensor)
            abort();
        named += strlen(tensor->name);
        if (bytes < data || bytes + tensor->bytes > data + size)
            copied += tensor->bytes;
        for (uint64_t k = 0; k < tensor->bytes; k++) /* a sanitizer sees what is not ours */
            sum += bytes[k];
    }
    if (copied > size || named > 64 * (uint64_t)size || (sum && !size))
        abort();
    dipp_weights_destroy(&weights);
    return 0;
}
