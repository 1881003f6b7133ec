#ifndef PHILOX_BITS_H
#define PHILOX_BITS_H
#include <stdint.h>

/* Normals and uniforms of seed 0x0123456789abcdef, stream 7, step 3, sample 5, as bit patterns [4 * blocks]. */
void philox_bits_plain(uint32_t blocks, uint32_t *normals, uint32_t *uniforms);
void philox_bits_optimised(uint32_t blocks, uint32_t *normals, uint32_t *uniforms);
#endif
