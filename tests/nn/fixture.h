/* Numbers for comparing networks with other implementations: the committed fixtures (safetensors, F64) and the
 * deterministic noise that stands for stored weights (the same functions as in tests/fixtures/fixture_noise.py). */
#ifndef DIPP_TEST_NN_FIXTURE_H
#define DIPP_TEST_NN_FIXTURE_H

#include "weights/weights.h"

/* FNV-1a of all texts given so far: hash is the last result, or FIXTURE_HASH_START. */
#define FIXTURE_HASH_START 0xCBF29CE484222325u
uint64_t fixture_hash(uint64_t hash, const char *text);

/* Uniform in [-scale, scale), a function of the name and the element's index. */
void fixture_noise(const char *name, double scale, double *out, size_t count);
/* What a weight of this name and rank is in the fixtures. */
void fixture_weight(const char *name, uint32_t rank, double *out, size_t count);

/* Fails the running test when the file is missing or malformed; close with dipp_weights_destroy. */
dipp_weights *fixture_open(const char *path);
/* A tensor of count numbers, for the caller to free; fails the test when it is missing or of another size. */
double *fixture_get(const dipp_weights *file, const char *name, size_t count);
/* Number of tensors whose name starts with prefix. */
size_t fixture_count(const dipp_weights *file, const char *prefix);

/* Fails the test unless max |a - b| <= tolerance; what names the comparison. */
void fixture_compare(const char *what, const double *a, const double *b, size_t count, double tolerance);

#endif
