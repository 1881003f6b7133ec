#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int fuzz_file(const uint8_t *data, size_t size, char path[FUZZ_PATH_BYTES])
{
    int descriptor = memfd_create("fuzz", 0);
    if (descriptor < 0 || (size && write(descriptor, data, size) != (ssize_t)size))
        abort();
    snprintf(path, FUZZ_PATH_BYTES, "/proc/self/fd/%d", descriptor);
    return descriptor;
}
