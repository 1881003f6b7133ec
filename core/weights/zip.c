/* An archive is read from its end: the end record gives the central directory, that gives the entries. */
#include "weights/zip.h"
#include "weights/content.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    END_BYTES = 22, /* signature, four numbers of disks and entries, directory size and offset, comment length */
    COMMENT_MOST = 65535,
    LOCATOR_BYTES = 20, /* of ZIP64: signature, disk, offset of the large end record, disks */
    LARGE_END_BYTES = 56,
    CENTRAL_BYTES = 46, /* before name, extra fields and comment */
    LOCAL_BYTES = 30
};

static const uint32_t end_signature = 0x06054b50, locator_signature = 0x07064b50, large_end_signature = 0x06064b50,
                      central_signature = 0x02014b50, local_signature = 0x04034b50;

static uint32_t read_16(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static uint32_t read_32(const uint8_t *at)
{
    return read_16(at) | read_16(at + 2) << 16;
}

static uint64_t read_64(const uint8_t *at)
{
    return (uint64_t)read_32(at) | (uint64_t)read_32(at + 4) << 32;
}

typedef struct directory {
    uint64_t offset, bytes, count;
} directory;

/* The end record is the last one whose comment reaches exactly to the end of the file. */
static const uint8_t *find_end(const uint8_t *bytes, size_t size)
{
    for (size_t back = END_BYTES; back <= size && back <= (size_t)END_BYTES + COMMENT_MOST; back++) {
        const uint8_t *at = bytes + size - back;
        if (read_32(at) == end_signature && read_16(at + 20) == back - END_BYTES)
            return at;
    }
    return NULL;
}

static dipp_status find_directory(const uint8_t *bytes, size_t size, const char *file, directory *out,
                                  dipp_error *error)
{
    const uint8_t *end = find_end(bytes, size);
    if (!end)
        return dipp_fail(error, DIPP_E_FORMAT,
                         "%s: the ZIP archive has no end record; the file is cut short or damaged, copy it again",
                         file);
    uint32_t disk = read_16(end + 4), first_disk = read_16(end + 6);
    *out = (directory){read_32(end + 16), read_32(end + 12), read_16(end + 10)};
    size_t place = (size_t)(end - bytes), last = place;
    if (place >= LOCATOR_BYTES && read_32(end - LOCATOR_BYTES) == locator_signature) {
        uint64_t large = read_64(end - LOCATOR_BYTES + 8);
        if (place < LOCATOR_BYTES + LARGE_END_BYTES || large > place - LOCATOR_BYTES - LARGE_END_BYTES ||
            read_32(bytes + large) != large_end_signature)
            return dipp_fail(error, DIPP_E_FORMAT, "%s: the ZIP64 end record is not where its locator says", file);
        const uint8_t *record = bytes + large;
        disk = read_32(record + 16);
        first_disk = read_32(record + 20);
        *out = (directory){read_64(record + 48), read_64(record + 40), read_64(record + 32)};
        last = (size_t)large;
    }
    if (disk || first_disk)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: the ZIP archive is spread over several disks", file);
    if (out->offset > last || out->bytes > last - out->offset || out->count > out->bytes / CENTRAL_BYTES)
        return dipp_fail(error, DIPP_E_FORMAT,
                         "%s: the ZIP directory (%llu entries, %llu bytes from %llu on) does not fit before its end "
                         "record at %zu; the file is cut short or damaged, copy it again",
                         file, (unsigned long long)out->count, (unsigned long long)out->bytes,
                         (unsigned long long)out->offset, last);
    return DIPP_OK;
}

/* Sizes and offset that do not fit 32 bits stand in extra field 1, in this order, each only when it is needed. */
static bool read_large(const uint8_t *extra, size_t length, uint64_t *const numbers[3])
{
    bool wanted = false;
    for (int i = 0; i < 3; i++)
        wanted |= *numbers[i] == UINT32_MAX;
    while (wanted && length >= 4) {
        size_t field = read_16(extra + 2);
        if (field > length - 4)
            return false;
        if (read_16(extra) == 1) {
            const uint8_t *at = extra + 4, *end = at + field;
            for (int i = 0; i < 3; i++)
                if (*numbers[i] == UINT32_MAX) {
                    if (end - at < 8)
                        return false;
                    *numbers[i] = read_64(at);
                    at += 8;
                }
            return true;
        }
        extra += 4 + field;
        length -= 4 + field;
    }
    return true; /* a number may be just 2^32 - 1 */
}

/* The entry whose central record starts at *at; *at becomes the end of the record. */
static dipp_status parse_entry(const uint8_t *bytes, const directory *where, const uint8_t **at, const char *file,
                               dipp_arena *arena, dipp_zip_entry *entry, dipp_error *error)
{
    const uint8_t *record = *at;
    size_t left = (size_t)(bytes + where->offset + where->bytes - record);
    if (left < CENTRAL_BYTES || read_32(record) != central_signature)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: the ZIP directory is damaged", file);
    size_t name_length = read_16(record + 28), extra_length = read_16(record + 30),
           comment_length = read_16(record + 32);
    if (name_length + extra_length + comment_length > left - CENTRAL_BYTES)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: the ZIP directory is damaged", file);
    const uint8_t *name = record + CENTRAL_BYTES;
    *at = name + name_length + extra_length + comment_length;
    if (!name_length || memchr(name, 0, name_length))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: a name in the ZIP directory is empty or has a zero byte", file);
    if (!(entry->name = dipp_arena_string_n(arena, (const char *)name, name_length)))
        return dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory for the ZIP directory", file);
    char quoted[DIPP_QUOTED_BYTES];
    dipp_weight_quote(entry->name, quoted);
    uint64_t packed = read_32(record + 20), offset = read_32(record + 42);
    entry->bytes = read_32(record + 24);
    if (!read_large(name + name_length, extra_length, (uint64_t *const[3]){&entry->bytes, &packed, &offset}))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: the ZIP64 sizes of %s are damaged", file, quoted);
    if (read_16(record + 8) & 1 || read_16(record + 10))
        return DIPP_OK; /* compressed or encrypted: listed without data */
    if (packed != entry->bytes)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: %s is stored, but its two sizes differ: %llu and %llu", file,
                         quoted, (unsigned long long)packed, (unsigned long long)entry->bytes);
    /* Everything lies before the directory. */
    if (offset > where->offset || where->offset - offset < LOCAL_BYTES || read_32(bytes + offset) != local_signature)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: %s has no local header at %llu", file, quoted,
                         (unsigned long long)offset);
    const uint8_t *local = bytes + offset;
    uint64_t room = where->offset - offset - LOCAL_BYTES, head = read_16(local + 26) + read_16(local + 28);
    if (head > room || entry->bytes > room - head || read_16(local + 26) != name_length ||
        memcmp(local + LOCAL_BYTES, name, name_length) != 0)
        return dipp_fail(error, DIPP_E_FORMAT,
                         "%s: %s of %llu bytes does not lie before the ZIP directory, or is called otherwise there",
                         file, quoted, (unsigned long long)entry->bytes);
    entry->data = local + LOCAL_BYTES + head;
    return DIPP_OK;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const dipp_zip_entry *)a)->name, ((const dipp_zip_entry *)b)->name);
}

dipp_status dipp_zip_parse(const uint8_t *bytes, size_t size, const char *file, dipp_arena *arena, dipp_zip *out,
                           dipp_error *error)
{
    directory where = {0};
    dipp_status status = find_directory(bytes, size, file, &where, error);
    if (status)
        return status;
    dipp_zip made = {.entries = dipp_arena_allocate_zeroed(arena, (size_t)where.count, sizeof *made.entries),
                     .count = (size_t)where.count};
    if (!made.entries)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory for the ZIP directory", file);
    const uint8_t *at = bytes + where.offset;
    for (size_t i = 0; i < made.count; i++)
        if ((status = parse_entry(bytes, &where, &at, file, arena, &made.entries[i], error)))
            return status;
    qsort(made.entries, made.count, sizeof *made.entries, compare_entries);
    for (size_t i = 1; i < made.count; i++) {
        char quoted[DIPP_QUOTED_BYTES];
        if (!strcmp(made.entries[i - 1].name, made.entries[i].name))
            return dipp_fail(error, DIPP_E_FORMAT, "%s: %s is twice in the ZIP archive", file,
                             dipp_weight_quote(made.entries[i].name, quoted));
    }
    *out = made;
    return DIPP_OK;
}

const dipp_zip_entry *dipp_zip_find(const dipp_zip *zip, const char *name)
{
    const dipp_zip_entry wanted = {.name = name};
    return zip->count ? bsearch(&wanted, zip->entries, zip->count, sizeof wanted, compare_entries) : NULL;
}
