/* Compiled twice, without optimisation and with all of it, to show that the compiler cannot change the bits. */
#include "base/philox_math.h"
#include "philox_bits.h"

void PHILOX_BITS(uint32_t blocks, uint32_t *normals, uint32_t *uniforms)
{
    for (uint32_t b = 0; b < blocks; b++) {
        uint32_t words[4];
        float values[4];
        dipp_philox_block(0x89abcdefu, 0x01234567u, b, 5, 3, 7, &words[0], &words[1], &words[2], &words[3]);
        dipp_normals_of_bits(words, values);
        for (uint32_t j = 0; j < 4; j++) {
            normals[4 * b + j] = dipp_bits_of_float(values[j]);
            uniforms[4 * b + j] = dipp_bits_of_float(dipp_uniform_of_bits(words[j]));
        }
    }
}
