#include "experiment/run_hashes.h"

#include "base/memory.h"
#include "weights/weights.h"

#include <string.h>
#include <sys/stat.h>

typedef struct known_file {
    char identity[DIPP_SHA256_HEX_BYTES], sha256[DIPP_SHA256_HEX_BYTES];
} known_file;

struct dipp_run_hashes {
    known_file *files;
    size_t count, capacity;
};

dipp_status dipp_run_hashes_create(dipp_run_hashes **out, dipp_error *error)
{
    *out = dipp_allocate_zeroed(1, sizeof **out);
    return *out ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for the hashes of weight files");
}

void dipp_run_hashes_destroy(dipp_run_hashes **hashes)
{
    if (!hashes || !*hashes)
        return;
    dipp_release((*hashes)->files);
    dipp_release(*hashes);
    *hashes = NULL;
}

/* What changes when the file does, into the digest; a file that is not there adds nothing, and its reader says so. */
static void add_identity(const char *path, dipp_sha256 *identity)
{
    struct stat is;
    if (stat(path, &is) != 0)
        return;
    const uint64_t numbers[] = {(uint64_t)is.st_dev,         (uint64_t)is.st_ino,          (uint64_t)is.st_size,
                                (uint64_t)is.st_mtim.tv_sec, (uint64_t)is.st_mtim.tv_nsec, (uint64_t)is.st_ctim.tv_sec,
                                (uint64_t)is.st_ctim.tv_nsec};
    dipp_sha256_update(identity, numbers, sizeof numbers);
}

static dipp_status identify(const char *path, char out[DIPP_SHA256_HEX_BYTES], dipp_error *error)
{
    size_t length = strlen(path);
    dipp_sha256 identity;
    dipp_weights *weights = NULL;
    dipp_status status = DIPP_OK;
    dipp_sha256_init(&identity);
    add_identity(path, &identity);
    if (length > 5 && !strcmp(path + length - 5, ".json"))
        status = dipp_weights_open(path, &weights, error);
    for (size_t i = 0; weights && i < dipp_weights_file_count(weights); i++)
        add_identity(dipp_weights_file(weights, i), &identity);
    dipp_weights_destroy(&weights);
    dipp_sha256_final_hex(&identity, out);
    return status;
}

dipp_status dipp_run_hashes_of(dipp_run_hashes *hashes, const char *path, char out[DIPP_SHA256_HEX_BYTES],
                               dipp_error *error)
{
    char identity[DIPP_SHA256_HEX_BYTES];
    dipp_status status = identify(path, identity, error);
    for (size_t i = 0; i < hashes->count && status == DIPP_OK; i++)
        if (!strcmp(hashes->files[i].identity, identity)) {
            memcpy(out, hashes->files[i].sha256, DIPP_SHA256_HEX_BYTES);
            return DIPP_OK;
        }
    if (status == DIPP_OK)
        status = dipp_weights_sha256(path, out, error);
    if (status != DIPP_OK)
        return status;
    if (!dipp_grow((void **)&hashes->files, &hashes->capacity, hashes->count + 1, sizeof *hashes->files))
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the hash of %s", path);
    known_file *file = &hashes->files[hashes->count++];
    memcpy(file->identity, identity, sizeof file->identity);
    memcpy(file->sha256, out, sizeof file->sha256);
    return DIPP_OK;
}

size_t dipp_run_hashes_count(const dipp_run_hashes *hashes)
{
    return hashes->count;
}
