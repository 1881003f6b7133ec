/* Files: bounded reading, writing that never leaves half a file, mapping, folders. */
#ifndef DIPP_BASE_FILE_H
#define DIPP_BASE_FILE_H

#include <dipp/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Reads a whole regular file (or pipe) of at most limit bytes; *data gets one zero byte more than *bytes and is freed
 * with dipp_release. bytes may be NULL. DIPP_E_NOT_FOUND, DIPP_E_IO, DIPP_E_INVALID beyond the limit, DIPP_E_MEMORY.
 * [any thread] */
dipp_status dipp_file_read(const char *path, size_t limit, char **data, size_t *bytes, dipp_error *error);

/* Replaces path by these bytes or leaves it as it was: written beside it, synced, renamed, folder synced.
 * New files get mode 0666 less the umask. DIPP_E_IO, DIPP_E_NOT_FOUND (no such folder), DIPP_E_MEMORY. [any thread] */
dipp_status dipp_file_write_atomic(const char *path, const void *data, size_t bytes, dipp_error *error);

/* The same in pieces. create opens a temporary file beside path; append adds; commit syncs, renames and destroys the
 * writer whether it succeeds or not; destroy without commit removes the temporary and leaves path as it was.
 * After a failed append only destroy is useful. [one thread at a time] */
typedef struct dipp_file_writer dipp_file_writer;
dipp_status dipp_file_writer_create(const char *path, dipp_file_writer **writer, dipp_error *error);
dipp_status dipp_file_writer_append(dipp_file_writer *writer, const void *data, size_t bytes, dipp_error *error);
dipp_status dipp_file_writer_commit(dipp_file_writer **writer, dipp_error *error);
uint64_t dipp_file_writer_bytes(const dipp_file_writer *writer); /* appended so far */
void dipp_file_writer_destroy(dipp_file_writer **writer);

/* The next line of a stream into line [size], its '\n' included, ended by a zero; *length counts bytes, so that a zero byte in
 * the file is seen. A longer line comes in pieces. false at the end, or when reading failed (ferror). [one thread at a time] */
bool dipp_file_line(FILE *stream, char *line, size_t size, size_t *length);

/* A file mapped for reading. data is NULL for an empty file. The bytes stay readable until unmap also when the file is
 * renamed or deleted; a file that somebody truncates meanwhile ends the process with SIGBUS, so dipp never writes
 * in place. [any thread] */
typedef struct dipp_file_map {
    const uint8_t *data;
    size_t bytes;
} dipp_file_map;
dipp_status dipp_file_map_open(const char *path, dipp_file_map *map, dipp_error *error);
void dipp_file_map_close(dipp_file_map *map); /* sets it to {0}; {0} is accepted */

/* Makes the folder and those above it (0777 less the umask); one that exists is fine. [any thread] */
dipp_status dipp_make_directories(const char *path, dipp_error *error);

bool dipp_path_exists(const char *path);       /* follows links; false also when it may not be looked at */
bool dipp_path_is_directory(const char *path); /* the same */

/* "folder/name", or name alone when it is absolute or folder is empty; freed with dipp_release, NULL for no memory. */
char *dipp_path_join(const char *folder, const char *name);

/* What is behind the last '/', a pointer into path. */
const char *dipp_path_name(const char *path);

/* The folder part: "." without '/', "/" for "/x"; freed with dipp_release, NULL for no memory. */
char *dipp_path_folder(const char *path);

/* The one absolute path that all paths to a file lead to, links followed; a copy of path where there is no such file. NULL for no
 * memory. The caller releases it. [any thread] */
char *dipp_path_resolved(const char *path);

#endif
