/* The list of a ZIP archive and the bytes of entries that are stored, not compressed, as torch.save writes them.
 * Inside libdipp. */
#ifndef DIPP_WEIGHTS_ZIP_H
#define DIPP_WEIGHTS_ZIP_H

#include "base/arena.h"

#include <dipp/status.h>

typedef struct dipp_zip_entry {
    const char *name;    /* no zero bytes in it */
    const uint8_t *data; /* NULL when the entry is compressed or encrypted, which is not read */
    uint64_t bytes;
} dipp_zip_entry;

typedef struct dipp_zip {
    dipp_zip_entry *entries; /* sorted by name, names distinct */
    size_t count;
} dipp_zip;

/* Parses the archive bytes[size]. Sizes come from the central directory (a writer that streams leaves them out of
 * the local headers); ZIP64 is read; every range is checked to lie in the archive. Checksums are not verified.
 * Entries point into bytes, names and the list are in the arena. DIPP_E_FORMAT; DIPP_E_UNSUPPORTED for an archive of
 * several disks; DIPP_E_MEMORY. file is for messages. [one thread at a time for the arena] */
dipp_status dipp_zip_parse(const uint8_t *bytes, size_t size, const char *file, dipp_arena *arena, dipp_zip *out,
                           dipp_error *error);

/* NULL when there is none of that name. */
const dipp_zip_entry *dipp_zip_find(const dipp_zip *zip, const char *name);

#endif
