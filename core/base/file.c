#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static dipp_status fail_errno(dipp_error *error, const char *path, const char *what, int reason)
{
    bool full = reason == ENOSPC || reason == EDQUOT;
    return dipp_fail(error, reason == ENOENT ? DIPP_E_NOT_FOUND : DIPP_E_IO, "%s: cannot %s: %s%s", path, what,
                     strerror(reason), full ? "; free some space and run the same command again" : "");
}

static dipp_status fail_memory(dipp_error *error, const char *path)
{
    return dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory while handling this file", path);
}

dipp_status dipp_file_read(const char *path, size_t limit, char **data, size_t *bytes, dipp_error *error)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return fail_errno(error, path, "open for reading", errno);
    char *buffer = NULL;
    size_t length = 0, capacity = 0;
    struct stat about;
    if (!fstat(descriptor, &about) && about.st_size > 0 && (uint64_t)about.st_size <= limit)
        length = (size_t)about.st_size; /* a hint for the first allocation, nothing more */
    dipp_status status = DIPP_OK;
    if (!dipp_grow((void **)&buffer, &capacity, length + 2, 1))
        status = fail_memory(error, path);
    length = 0;
    while (!status) {
        /* one byte past the limit is asked for, to tell a full file from one that is too large */
        size_t room = capacity - 1 - length;
        if (room > limit - length && limit - length < SIZE_MAX)
            room = limit - length + 1;
        ssize_t got = read(descriptor, buffer + length, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = fail_errno(error, path, "read", errno);
        if (got <= 0)
            break;
        length += (size_t)got;
        if (length > limit)
            status = dipp_fail(error, DIPP_E_INVALID, "%s: larger than the %zu bytes that are read of such a file",
                               path, limit);
        else if (length + 1 >= capacity && !dipp_grow((void **)&buffer, &capacity, length + 2, 1))
            status = fail_memory(error, path);
    }
    close(descriptor);
    if (status) {
        dipp_release(buffer);
        return status;
    }
    buffer[length] = 0;
    *data = buffer;
    if (bytes)
        *bytes = length;
    return DIPP_OK;
}

struct dipp_file_writer {
    int descriptor;
    uint64_t appended;
    char *path, *temporary;
    size_t buffered;
    uint8_t buffer[65536]; /* small appends (headers, padding) become one write */
};

void dipp_file_writer_destroy(dipp_file_writer **writer)
{
    if (!writer || !*writer)
        return;
    if ((*writer)->descriptor >= 0) {
        close((*writer)->descriptor);
        unlink((*writer)->temporary);
    }
    dipp_release((*writer)->path);
    dipp_release((*writer)->temporary);
    dipp_release(*writer);
    *writer = NULL;
}

dipp_status dipp_file_writer_create(const char *path, dipp_file_writer **writer, dipp_error *error)
{
    dipp_file_writer *made = dipp_allocate_zeroed(1, sizeof *made);
    if (!made)
        return fail_memory(error, path);
    made->descriptor = -1;
    made->path = dipp_string_copy(path);
    dipp_text name = {0};
    dipp_text_printf(&name, "%s.tmp.XXXXXX", path);
    made->temporary = dipp_text_finish(&name);
    if (!made->path || !made->temporary) {
        dipp_file_writer_destroy(&made);
        return fail_memory(error, path);
    }
    made->descriptor = mkostemp(made->temporary, O_CLOEXEC);
    if (made->descriptor < 0) {
        int reason = errno;
        dipp_file_writer_destroy(&made);
        return fail_errno(error, path, "create a temporary file beside it", reason);
    }
    *writer = made;
    return DIPP_OK;
}

static dipp_status write_all(dipp_file_writer *writer, const uint8_t *data, size_t bytes, dipp_error *error)
{
    while (bytes) {
        ssize_t put = write(writer->descriptor, data, bytes);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail_errno(error, writer->path, "write (the old file is untouched)", errno);
        data += put;
        bytes -= (size_t)put;
    }
    return DIPP_OK;
}

static dipp_status flush_buffer(dipp_file_writer *writer, dipp_error *error)
{
    size_t bytes = writer->buffered;
    writer->buffered = 0;
    return write_all(writer, writer->buffer, bytes, error);
}

dipp_status dipp_file_writer_append(dipp_file_writer *writer, const void *data, size_t bytes, dipp_error *error)
{
    writer->appended += bytes;
    if (bytes > sizeof writer->buffer - writer->buffered) {
        dipp_status status = flush_buffer(writer, error);
        if (status)
            return status;
    }
    if (bytes > sizeof writer->buffer)
        return write_all(writer, data, bytes, error);
    if (bytes)
        memcpy(writer->buffer + writer->buffered, data, bytes);
    writer->buffered += bytes;
    return DIPP_OK;
}

uint64_t dipp_file_writer_bytes(const dipp_file_writer *writer)
{
    return writer->appended;
}

/* A rename is only durable when the folder that holds the name is synced too. File systems that cannot sync a folder
 * say EINVAL; there is nothing more to do for those. */
static int sync_folder_of(const char *path)
{
    char *folder = dipp_path_folder(path);
    if (!folder)
        return ENOMEM;
    int reason = 0, descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dipp_release(folder);
    if (descriptor < 0)
        return errno;
    if (fsync(descriptor) && errno != EINVAL)
        reason = errno;
    close(descriptor);
    return reason;
}

/* The mode of the file being replaced, else what open() would give: mkostemp makes 0600. The umask cannot be read
 * without setting it, which is not for a library with threads, so the kernel tells it. */
static mode_t mode_for(const char *path)
{
    struct stat about;
    if (!stat(path, &about))
        return about.st_mode & 07777;
    mode_t mask = 022;
    FILE *status = fopen("/proc/self/status", "re");
    if (status) {
        char line[128];
        unsigned found;
        while (fgets(line, sizeof line, status))
            if (sscanf(line, "Umask: %o", &found) == 1)
                mask = (mode_t)found;
        fclose(status);
    }
    return 0666 & ~mask;
}

dipp_status dipp_file_writer_commit(dipp_file_writer **writer, dipp_error *error)
{
    dipp_file_writer *own = *writer;
    dipp_status status = flush_buffer(own, error);
    if (!status && (fchmod(own->descriptor, mode_for(own->path)) || fsync(own->descriptor)))
        status = fail_errno(error, own->path, "sync to disk (the old file is untouched)", errno);
    if (!status && rename(own->temporary, own->path))
        status = fail_errno(error, own->path, "put the new file in place (the old one is untouched)", errno);
    if (!status) {
        close(own->descriptor);
        own->descriptor = -1; /* the temporary name is gone: nothing to remove */
        int reason = sync_folder_of(own->path);
        if (reason)
            status = fail_errno(error, own->path,
                                "sync the folder (the new file is in place, but may be lost by a power cut)", reason);
    }
    dipp_file_writer_destroy(writer);
    return status;
}

dipp_status dipp_file_write_atomic(const char *path, const void *data, size_t bytes, dipp_error *error)
{
    dipp_file_writer *writer = NULL;
    dipp_status status = dipp_file_writer_create(path, &writer, error);
    if (!status)
        status = dipp_file_writer_append(writer, data, bytes, error);
    if (!status)
        status = dipp_file_writer_commit(&writer, error);
    dipp_file_writer_destroy(&writer);
    return status;
}

bool dipp_file_line(FILE *stream, char *line, size_t size, size_t *length)
{
    size_t used = 0;
    for (int c; used + 1 < size && (c = getc_unlocked(stream)) != EOF;) {
        line[used++] = (char)c;
        if (c == '\n')
            break;
    }
    line[used] = 0;
    *length = used;
    return used > 0;
}

dipp_status dipp_file_map_open(const char *path, dipp_file_map *map, dipp_error *error)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return fail_errno(error, path, "open for reading", errno);
    struct stat about;
    dipp_status status = DIPP_OK;
    dipp_file_map made = {0};
    if (fstat(descriptor, &about))
        status = fail_errno(error, path, "look at", errno);
    else if (!S_ISREG(about.st_mode))
        status = dipp_fail(error, DIPP_E_IO, "%s: expected a regular file, found a %s", path,
                           S_ISDIR(about.st_mode) ? "folder" : "device or pipe");
    else if (about.st_size > 0) {
        void *data = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (data == MAP_FAILED)
            status = fail_errno(error, path, "map", errno);
        else
            made.data = data, made.bytes = (size_t)about.st_size;
    }
    close(descriptor);
    if (!status)
        *map = made;
    return status;
}

void dipp_file_map_close(dipp_file_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->bytes);
    *map = (dipp_file_map){0};
}

dipp_status dipp_make_directories(const char *path, dipp_error *error)
{
    char *prefix = dipp_string_copy(path);
    if (!prefix)
        return fail_memory(error, path);
    dipp_status status = *path ? DIPP_OK : dipp_fail(error, DIPP_E_INVALID, "cannot make a folder with an empty name");
    for (char *next = prefix; !status && *next;) {
        next += strspn(next, "/");
        next += strcspn(next, "/");
        char separator = *next;
        *next = 0;
        if (*prefix && mkdir(prefix, 0777) && !dipp_path_is_directory(prefix))
            status = fail_errno(error, path, "make this folder", errno);
        *next = separator;
    }
    dipp_release(prefix);
    return status;
}

bool dipp_path_exists(const char *path)
{
    struct stat about;
    return !stat(path, &about);
}

bool dipp_path_is_directory(const char *path)
{
    struct stat about;
    return !stat(path, &about) && S_ISDIR(about.st_mode);
}

char *dipp_path_join(const char *folder, const char *name)
{
    size_t length = strlen(folder);
    if (!length || *name == '/')
        return dipp_string_copy(name);
    dipp_text path = {0};
    dipp_text_printf(&path, "%s%s%s", folder, folder[length - 1] == '/' ? "" : "/", name);
    return dipp_text_finish(&path);
}

const char *dipp_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *dipp_path_resolved(const char *path)
{
    char *real = realpath(path, NULL);
    char *copy = dipp_string_copy(real ? real : path);
    free(real);
    return copy;
}

char *dipp_path_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return dipp_string_copy(".");
    dipp_text folder = {0};
    dipp_text_append_n(&folder, path, slash == path ? 1 : (size_t)(slash - path));
    return dipp_text_finish(&folder);
}
