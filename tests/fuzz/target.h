/* What fuzz targets share: a file of the bytes, and libFuzzer's entry, which replay.c calls for a committed corpus. */
#ifndef DIPP_TESTS_FUZZ_TARGET_H
#define DIPP_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file that holds these bytes, and its path; close(descriptor) ends it. */
enum { FUZZ_PATH_BYTES = 64 };
int fuzz_file(const uint8_t *data, size_t size, char path[FUZZ_PATH_BYTES]);

#endif
