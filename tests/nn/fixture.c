#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <cmocka.h>

uint64_t fixture_hash(uint64_t hash, const char *text)
{
    for (const char *c = text; *c; ++c)
        hash = (hash ^ (unsigned char)*c) * 0x100000001B3u;
    return hash;
}

void fixture_noise(const char *name, double scale, double *out, size_t count)
{
    uint64_t hash = fixture_hash(FIXTURE_HASH_START, name);
    for (size_t i = 0; i < count; ++i) { /* splitmix64 */
        uint64_t z = hash + (uint64_t)i * 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        z ^= z >> 31;
        out[i] = ((double)(z >> 40) / 16777216.0 * 2.0 - 1.0) * scale;
    }
}

void fixture_weight(const char *name, uint32_t rank, double *out, size_t count)
{
    size_t length = strlen(name);
    bool gain = strstr(name, "norm") && length >= 6 && strcmp(name + length - 6, "weight") == 0;
    fixture_noise(name, gain || rank < 2 ? 0.25 : 0.125, out, count);
    for (size_t i = 0; gain && i < count; ++i)
        out[i] += 1.0;
}

dipp_weights *fixture_open(const char *path)
{
    dipp_weights *file = NULL;
    dipp_error error = {0};
    if (dipp_weights_open(path, &file, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    return file;
}

double *fixture_get(const dipp_weights *file, const char *name, size_t count)
{
    const dipp_weight_tensor *tensor = dipp_weights_find(file, name);
    if (!tensor)
        fail_msg("the fixture has no tensor %s", name);
    if (tensor->count != count || tensor->bytes != count * sizeof(double))
        fail_msg("fixture tensor %s has %zu elements of %zu bytes in all, not %zu doubles", name, (size_t)tensor->count,
                 (size_t)tensor->bytes, count);
    double *copy = malloc(count * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, tensor->data, count * sizeof *copy);
    return copy;
}

size_t fixture_count(const dipp_weights *file, const char *prefix)
{
    size_t count = 0;
    for (size_t i = 0; i < dipp_weights_count(file); ++i)
        count += strncmp(dipp_weights_at(file, i)->name, prefix, strlen(prefix)) == 0;
    return count;
}

void fixture_compare(const char *what, const double *a, const double *b, size_t count, double tolerance)
{
    for (size_t i = 0; i < count; ++i) {
        if (!(fabs(a[i] - b[i]) <= tolerance))
            fail_msg("%s: element %zu is %.12g, expected %.12g (tolerance %g)", what, i, a[i], b[i], tolerance);
    }
}
