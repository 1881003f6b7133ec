/* SHA-256 after FIPS 180-4, sections 4.1.2, 5.1.1 and 6.2. */
#include "base/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#endif

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate_right(uint32_t value, unsigned count)
{
    return value >> count | value << (32 - count);
}

static void compress_portable(uint32_t state[8], const uint8_t *block)
{
    uint32_t schedule[64];
    for (unsigned t = 0; t < 16; t++)
        schedule[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
                      (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
    for (unsigned t = 16; t < 64; t++) {
        uint32_t early = schedule[t - 15], late = schedule[t - 2];
        uint32_t small_0 = rotate_right(early, 7) ^ rotate_right(early, 18) ^ early >> 3;
        uint32_t small_1 = rotate_right(late, 17) ^ rotate_right(late, 19) ^ late >> 10;
        schedule[t] = small_1 + schedule[t - 7] + small_0 + schedule[t - 16];
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (unsigned t = 0; t < 64; t++) {
        uint32_t big_1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
        uint32_t first = h + big_1 + ((e & f) ^ (~e & g)) + round_constants[t] + schedule[t];
        uint32_t big_0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
        uint32_t second = big_0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + first;
        d = c, c = b, b = a, a = first + second;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

static void compress_blocks_portable(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    for (; blocks; data += 64, blocks--)
        compress_portable(state, data);
}

#if defined(__x86_64__) && defined(__GNUC__)
/* The SHA instructions do two rounds at a time on the state kept as the words (a b e f) and (c d g h), highest first;
 * ten times as fast as portable C, which matters for weights of gigabytes. Four registers hold the last 16 words of
 * the schedule. Instruction semantics: Intel SDM volume 2, SHA256RNDS2, SHA256MSG1, SHA256MSG2. */
__attribute__((target("sha,sse4.1,ssse3"))) static void compress_blocks_sha(uint32_t state[8], const uint8_t *data,
                                                                            size_t blocks)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abef = _mm_set_epi32((int)state[0], (int)state[1], (int)state[4], (int)state[5]);
    __m128i cdgh = _mm_set_epi32((int)state[2], (int)state[3], (int)state[6], (int)state[7]);
    for (; blocks; data += 64, blocks--) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i words[4];
        for (int group = 0; group < 16; group++) {
            __m128i *now = &words[group % 4];
            if (group < 4) {
                *now =
                    _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(data + 16 * group)), big_endian);
            } else { /* *now holds words t-16; the others t-12, t-8 and t-4 */
                const __m128i t_12 = words[(group + 1) % 4], t_8 = words[(group + 2) % 4], t_4 = words[(group + 3) % 4];
                __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(*now, t_12), _mm_alignr_epi8(t_4, t_8, 4));
                *now = _mm_sha256msg2_epu32(sum, t_4);
            }
            const void *constants = round_constants + 4 * group;
            __m128i rounds = _mm_add_epi32(*now, _mm_loadu_si128((const __m128i *)constants));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, rounds); /* the old abef become cdgh: the names swap twice */
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(rounds, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    state[0] = (uint32_t)_mm_extract_epi32(abef, 3), state[1] = (uint32_t)_mm_extract_epi32(abef, 2);
    state[4] = (uint32_t)_mm_extract_epi32(abef, 1), state[5] = (uint32_t)_mm_extract_epi32(abef, 0);
    state[2] = (uint32_t)_mm_extract_epi32(cdgh, 3), state[3] = (uint32_t)_mm_extract_epi32(cdgh, 2);
    state[6] = (uint32_t)_mm_extract_epi32(cdgh, 1), state[7] = (uint32_t)_mm_extract_epi32(cdgh, 0);
}

static bool supported_sha(void)
{
    unsigned a, b = 0, c, d;
    return __builtin_cpu_supports("sse4.1") && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}
#endif

static bool supported_portable(void)
{
    return true;
}

const dipp_sha256_path dipp_sha256_paths[] = {
#if defined(__x86_64__) && defined(__GNUC__)
    {"sha", supported_sha, compress_blocks_sha},
#endif
    {"portable", supported_portable, compress_blocks_portable},
};
const size_t dipp_sha256_path_count = sizeof dipp_sha256_paths / sizeof *dipp_sha256_paths;

static const dipp_sha256_path *best_path(void)
{
    const dipp_sha256_path *path = dipp_sha256_paths;
    while (!path->supported())
        path++;
    return path;
}

void dipp_sha256_init(dipp_sha256 *hash)
{
    *hash = (dipp_sha256){
        .path = best_path(),
        .state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void dipp_sha256_update(dipp_sha256 *hash, const void *data, size_t bytes)
{
    if (!bytes)
        return; /* data may be NULL */
    const uint8_t *next = data;
    size_t waiting = hash->total_bytes % 64;
    hash->total_bytes += bytes;
    if (waiting) {
        size_t taken = 64 - waiting < bytes ? 64 - waiting : bytes;
        memcpy(hash->block + waiting, next, taken);
        next += taken, bytes -= taken;
        if (waiting + taken < 64)
            return;
        hash->path->compress(hash->state, hash->block, 1);
    }
    hash->path->compress(hash->state, next, bytes / 64);
    next += bytes / 64 * 64, bytes %= 64;
    if (bytes)
        memcpy(hash->block, next, bytes);
}

void dipp_sha256_final(dipp_sha256 *hash, uint8_t digest[DIPP_SHA256_BYTES])
{
    static const uint8_t padding[64] = {0x80};
    uint64_t bits = hash->total_bytes * 8;
    size_t waiting = hash->total_bytes % 64;
    dipp_sha256_update(hash, padding, waiting < 56 ? 56 - waiting : 120 - waiting);
    uint8_t length[8];
    for (unsigned i = 0; i < 8; i++)
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    dipp_sha256_update(hash, length, sizeof length);
    for (unsigned i = 0; i < 32; i++)
        digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
}

void dipp_sha256_final_hex(dipp_sha256 *hash, char out[DIPP_SHA256_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[DIPP_SHA256_BYTES];
    dipp_sha256_final(hash, digest);
    for (unsigned i = 0; i < DIPP_SHA256_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[2 * DIPP_SHA256_BYTES] = 0;
}

void dipp_sha256_hex(const void *data, size_t bytes, char out[DIPP_SHA256_HEX_BYTES])
{
    dipp_sha256 hash;
    dipp_sha256_init(&hash);
    dipp_sha256_update(&hash, data, bytes);
    dipp_sha256_final_hex(&hash, out);
}

dipp_status dipp_sha256_file(const char *path, char out[DIPP_SHA256_HEX_BYTES], dipp_error *error)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return dipp_fail(error, errno == ENOENT ? DIPP_E_NOT_FOUND : DIPP_E_IO, "%s: cannot open to hash: %s", path,
                         strerror(errno));
    dipp_sha256 hash;
    dipp_sha256_init(&hash);
    uint8_t buffer[32768];
    for (;;) {
        ssize_t got = read(descriptor, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int reason = errno;
            close(descriptor);
            return dipp_fail(error, DIPP_E_IO, "%s: cannot read after %llu bytes: %s", path,
                             (unsigned long long)hash.total_bytes, strerror(reason));
        }
        if (got == 0)
            break;
        dipp_sha256_update(&hash, buffer, (size_t)got);
    }
    close(descriptor);
    dipp_sha256_final_hex(&hash, out);
    return DIPP_OK;
}
