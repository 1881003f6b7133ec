/* Random numbers addressed by what they are for, not by when they are drawn: Philox4x32-10 in counter mode.
 *
 * Element e of sample s in step t of stream r under seed k is always the same number, whatever the batch, the order
 * of the draws, the number of threads, the backend or the arm of the experiment:
 *     key     = { low half of the seed, high half of the seed }
 *     counter = { e / 4, sample, step, stream },     lane e % 4 of the block
 * Arms never enter the counter, so arms see the same noise. The streams (which purpose has which number) are named
 * by whoever draws. Arithmetic: base/philox_math.h. Page: docs/random-numbers.md. */
#ifndef DIPP_BASE_PHILOX_H
#define DIPP_BASE_PHILOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One block of 128 bits. [any thread] */
void dipp_philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

/* Fills out[samples][count_per_sample] with standard normals: out[i * count_per_sample + e] is element e of sample
 * first_sample + i (modulo 2^32). count_per_sample is at most 2^34 (the block index has 32 bits). Needs no alignment.
 * Same bits on every CPU. [any thread] */
void dipp_philox_normal_fill(float *out, size_t count_per_sample, uint32_t samples, uint64_t seed, uint32_t stream,
                             uint32_t step, uint32_t first_sample);

/* The same with uniforms in the open interval (0, 1), odd multiples of 2^-24. [any thread] */
void dipp_philox_uniform_fill(float *out, size_t count_per_sample, uint32_t samples, uint64_t seed, uint32_t stream,
                              uint32_t step, uint32_t first_sample);

/* One uniform in the open interval (0, 1) of double resolution (odd multiples of 2^-53), for time laws and choices on
 * the host. Block index / 2, words 2 (index % 2) and the next: it shares words with the two fills above, so a stream
 * serves one of them only. [any thread] */
double dipp_philox_uniform_double(uint64_t seed, uint32_t stream, uint32_t step, uint32_t sample, uint32_t index);

/* The instruction-set paths of the fills, best first and the portable one last; all give the same bits, and the test
 * compares them. The fills take the first that this CPU supports. */
typedef struct dipp_philox_path {
    const char *name;
    bool (*supported)(void);
    void (*normal_fill)(float *out, size_t count_per_sample, uint32_t samples, uint64_t seed, uint32_t stream,
                        uint32_t step, uint32_t first_sample);
    void (*uniform_fill)(float *out, size_t count_per_sample, uint32_t samples, uint64_t seed, uint32_t stream,
                         uint32_t step, uint32_t first_sample);
} dipp_philox_path;

extern const dipp_philox_path dipp_philox_paths[];
extern const size_t dipp_philox_path_count;

#endif
