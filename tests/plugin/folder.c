/* See folder.h. */
#include "folder.h"

#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

void folder_create(folder *f)
{
    const char *parent = getenv("TMPDIR");
    char name[FOLDER_PATH_BYTES];
    snprintf(name, sizeof name, "%s/dipp-plugin-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(name));
    char *real = realpath(name, NULL);
    assert_non_null(real);
    snprintf(f->path, sizeof f->path, "%s", real);
    free(real);
}

void folder_file(const folder *f, const char *name, char out[2 * FOLDER_PATH_BYTES])
{
    snprintf(out, 2 * FOLDER_PATH_BYTES, "%s/%s", f->path, name);
}

void folder_put(const folder *f, const char *fixture, const char *name)
{
    char from[2 * FOLDER_PATH_BYTES], to[2 * FOLDER_PATH_BYTES], *data = NULL;
    size_t bytes = 0;
    dipp_error error = {0};
    assert_non_null(getenv("DIPP_TEST_FIXTURES"));
    snprintf(from, sizeof from, "%s/%s.so", getenv("DIPP_TEST_FIXTURES"), fixture);
    folder_file(f, name, to);
    if (dipp_file_read(from, 64 << 20, &data, &bytes, &error) || dipp_file_write_atomic(to, data, bytes, &error))
        fail_msg("%s", error.message);
    dipp_release(data);
    assert_int_equal(chmod(to, 0644), 0);
}

void folder_destroy(folder *f)
{
    DIR *open = opendir(f->path);
    assert_non_null(open);
    for (struct dirent *e; (e = readdir(open));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
            char path[2 * FOLDER_PATH_BYTES];
            folder_file(f, e->d_name, path);
            unlink(path);
        }
    closedir(open);
    assert_int_equal(rmdir(f->path), 0);
}
