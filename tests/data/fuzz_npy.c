/* Fuzz target of the .npy reader, in libFuzzer's form; test_npy.c replays a corpus through it. To hunt: clang
 * -fsanitize=fuzzer,address,undefined with core/data/npy.c, core/weights/number.c and the sources of core/base. */
#include "data/npy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dipp_npy array = {0};
    dipp_error error = {0};
    if (dipp_npy_read_memory(data, size, "input", &array, &error)) {
        if (array.values || !error.message[0])
            abort();
        return 0;
    }
    if (!array.values || array.rows * array.columns > size)
        abort();
    unsigned negative = 0;
    for (size_t i = 0; i < array.rows * array.columns; i++)
        negative += array.values[i] < 0;
    if (negative > size)
        abort();
    dipp_npy_clear(&array);
    return 0;
}
