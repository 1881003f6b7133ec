#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/dipp-file-XXXXXX";

static char *at(const char *name)
{
    char *path = dipp_path_join(folder, name);
    assert_non_null(path);
    return path;
}

static int entries(void)
{
    int count = 0;
    DIR *open_folder = opendir(folder);
    assert_non_null(open_folder);
    for (struct dirent *entry; (entry = readdir(open_folder));)
        count += entry->d_name[0] != '.';
    closedir(open_folder);
    return count;
}

static int start(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int finish(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char *path = at("a.bin");
    dipp_error error = {0};
    static const char content[] = "zero\0inside";
    assert_int_equal(dipp_file_write_atomic(path, content, sizeof content, &error), DIPP_OK);
    char *data;
    size_t bytes;
    assert_int_equal(dipp_file_read(path, sizeof content, &data, &bytes, &error), DIPP_OK);
    assert_int_equal(bytes, sizeof content);
    assert_memory_equal(data, content, sizeof content + 1 - 1);
    assert_int_equal(data[bytes], 0);
    dipp_release(data);
    assert_int_equal(dipp_file_read(path, sizeof content - 1, &data, &bytes, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, path));
    assert_non_null(strstr(error.message, "11 bytes"));
    dipp_file_map map;
    assert_int_equal(dipp_file_map_open(path, &map, &error), DIPP_OK);
    assert_int_equal(map.bytes, sizeof content);
    assert_memory_equal(map.data, content, sizeof content);
    /* a replaced file leaves the mapping as it was */
    assert_int_equal(dipp_file_write_atomic(path, "", 0, &error), DIPP_OK);
    assert_memory_equal(map.data, content, sizeof content);
    dipp_file_map_close(&map);
    assert_int_equal(dipp_file_map_open(path, &map, &error), DIPP_OK);
    assert_null(map.data);
    dipp_file_map_close(&map);
    assert_int_equal(dipp_file_read(path, 0, &data, &bytes, &error), DIPP_OK);
    assert_int_equal(bytes, 0);
    dipp_release(data);
    assert_int_equal(dipp_file_read("/proc/self/status", 1 << 20, &data, &bytes, &error), DIPP_OK); /* size unknown */
    assert_true(bytes > 100 && strstr(data, "Umask"));
    dipp_release(data);
    dipp_release(path);
}

static void missing_and_wrong_files_are_named(void **state)
{
    (void)state;
    char *path = at("missing");
    dipp_error error = {0};
    char *data;
    dipp_file_map map;
    assert_int_equal(dipp_file_read(path, 10, &data, NULL, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(dipp_file_map_open(path, &map, &error), DIPP_E_NOT_FOUND);
    assert_int_equal(dipp_file_map_open(folder, &map, &error), DIPP_E_IO);
    assert_non_null(strstr(error.message, "folder"));
    assert_int_equal(dipp_file_read(folder, 10, &data, NULL, &error), DIPP_E_IO);
    char *inside = at("missing/file");
    assert_int_equal(dipp_file_write_atomic(inside, "x", 1, &error), DIPP_E_NOT_FOUND);
    dipp_release(inside);
    dipp_release(path);
}

static void an_unfinished_write_leaves_the_old_file(void **state)
{
    (void)state;
    char *path = at("kept");
    dipp_error error = {0};
    assert_int_equal(dipp_file_write_atomic(path, "old", 3, &error), DIPP_OK);
    int before = entries();
    dipp_file_writer *writer;
    assert_int_equal(dipp_file_writer_create(path, &writer, &error), DIPP_OK);
    static char big[200000];
    assert_int_equal(dipp_file_writer_append(writer, big, sizeof big, &error), DIPP_OK);
    assert_int_equal(dipp_file_writer_append(writer, "x", 1, &error), DIPP_OK);
    assert_int_equal(dipp_file_writer_bytes(writer), sizeof big + 1);
    dipp_file_writer_destroy(&writer);
    assert_null(writer);

    /* the disk is full: here, the process may not write files beyond 100 kB */
    struct rlimit limit, small;
    getrlimit(RLIMIT_FSIZE, &limit);
    small = (struct rlimit){100000, limit.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    dipp_status status = dipp_file_write_atomic(path, big, sizeof big, &error);
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(status, DIPP_E_IO);
    assert_non_null(strstr(error.message, "the old file is untouched"));

    uint64_t nth = 1;
    for (;; nth++) {
        dipp_memory_fail_nth(nth, false);
        status = dipp_file_write_atomic(path, "old", 3, &error);
        if (!dipp_memory_has_failed())
            break;
        assert_true(status == DIPP_E_MEMORY || status == DIPP_E_IO);
    }
    assert_int_equal(status, DIPP_OK);
    assert_true(nth > 3);
    dipp_memory_fail_nth(0, false);

    char *data;
    assert_int_equal(dipp_file_read(path, 10, &data, NULL, &error), DIPP_OK);
    assert_string_equal(data, "old");
    dipp_release(data);
    assert_int_equal(entries(), before); /* no temporary stayed */
    dipp_release(path);
}

static void modes_follow_the_umask_and_the_old_file(void **state)
{
    (void)state;
    char *path = at("mode");
    dipp_error error = {0};
    struct stat about;
    mode_t mask = umask(027);
    assert_int_equal(dipp_file_write_atomic(path, "a", 1, &error), DIPP_OK);
    umask(mask);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0640);
    chmod(path, 0600);
    assert_int_equal(dipp_file_write_atomic(path, "b", 1, &error), DIPP_OK);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    dipp_release(path);
}

static void folders_are_made_with_those_above(void **state)
{
    (void)state;
    dipp_error error = {0};
    char *path = at("x/y//z/");
    assert_false(dipp_path_exists(path));
    assert_int_equal(dipp_make_directories(path, &error), DIPP_OK);
    assert_int_equal(dipp_make_directories(path, &error), DIPP_OK);
    assert_true(dipp_path_is_directory(path));
    dipp_release(path);
    path = at("plain");
    assert_int_equal(dipp_file_write_atomic(path, "", 0, &error), DIPP_OK);
    assert_true(dipp_path_exists(path) && !dipp_path_is_directory(path));
    dipp_release(path);
    path = at("plain/below");
    assert_int_equal(dipp_make_directories(path, &error), DIPP_E_IO);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(dipp_make_directories("", &error), DIPP_E_INVALID);
    dipp_release(path);
}

static void paths_are_joined_and_cut(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"a", "/b", "/b"}, {"/", "b", "/b"}};
    for (size_t i = 0; i < 5; i++) {
        char *path = dipp_path_join(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        dipp_release(path);
    }
    static const char *const cuts[][3] = {{"a/b/c", "a/b", "c"}, {"c", ".", "c"}, {"/c", "/", "c"}, {"a/", "a", ""}};
    for (size_t i = 0; i < 4; i++) {
        char *path = dipp_path_folder(cuts[i][0]);
        assert_string_equal(path, cuts[i][1]);
        assert_string_equal(dipp_path_name(cuts[i][0]), cuts[i][2]);
        dipp_release(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(missing_and_wrong_files_are_named),
        cmocka_unit_test(an_unfinished_write_leaves_the_old_file),
        cmocka_unit_test(modes_follow_the_umask_and_the_old_file),
        cmocka_unit_test(folders_are_made_with_those_above),
        cmocka_unit_test(paths_are_joined_and_cut),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
