/* SHA-256 (FIPS 180-4): names weights, plugins and configurations in the store by their content. */
#ifndef DIPP_BASE_SHA256_H
#define DIPP_BASE_SHA256_H

#include <dipp/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIPP_SHA256_BYTES = 32, DIPP_SHA256_HEX_BYTES = 65 };

/* The instruction-set paths, best first and the portable one last; all give the same digest, and the test compares
 * them. compress folds blocks of 64 bytes into the state. init takes the first that this CPU supports. */
typedef struct dipp_sha256_path {
    const char *name;
    bool (*supported)(void);
    void (*compress)(uint32_t state[8], const uint8_t *data, size_t blocks);
} dipp_sha256_path;

extern const dipp_sha256_path dipp_sha256_paths[];
extern const size_t dipp_sha256_path_count;

typedef struct dipp_sha256 {
    const dipp_sha256_path *path;
    uint32_t state[8];
    uint64_t total_bytes;
    uint8_t block[64]; /* the first total_bytes % 64 are waiting */
} dipp_sha256;

/* Streaming use: init, any number of updates, one final. A value may be copied to fork the digest.
 * data may be NULL when bytes is 0. [one thread at a time] */
void dipp_sha256_init(dipp_sha256 *hash);
void dipp_sha256_update(dipp_sha256 *hash, const void *data, size_t bytes);

/* Writes the 32 byte digest; the value must be initialised again before further use. */
void dipp_sha256_final(dipp_sha256 *hash, uint8_t digest[DIPP_SHA256_BYTES]);

/* The same as 64 lower-case hexadecimal digits and a terminating zero. */
void dipp_sha256_final_hex(dipp_sha256 *hash, char out[DIPP_SHA256_HEX_BYTES]);

/* Digest of one buffer as hexadecimal text. [any thread] */
void dipp_sha256_hex(const void *data, size_t bytes, char out[DIPP_SHA256_HEX_BYTES]);

/* Digest of a file's content, read in pieces. DIPP_E_NOT_FOUND when there is no such file, DIPP_E_IO when it
 * cannot be read (a folder included). out is untouched on failure. [any thread] */
dipp_status dipp_sha256_file(const char *path, char out[DIPP_SHA256_HEX_BYTES], dipp_error *error);

#endif
