#include "experiment/run_garbage.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "experiment/run_record.h"

#include <dirent.h>
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct garbage_search {
    dipp_store *store;
    dipp_garbage *garbage;
    char *root, *name; /* the database's folder; the folder beside it, relative to root */
    dipp_error *error;
} garbage_search;

typedef dipp_status (*each_name)(garbage_search *search, const char *folder, const char *name);

/* Calls each for what a folder (relative to root) holds; one that does not exist holds nothing. */
static dipp_status each_in(garbage_search *search, const char *folder, each_name each)
{
    char *path = dipp_path_join(search->root, folder);
    DIR *directory = path ? opendir(path) : NULL;
    dipp_status status = DIPP_OK;
    if (!path)
        status = dipp_fail(search->error, DIPP_E_MEMORY, "no memory to look into %s", folder);
    else if (!directory && errno != ENOENT)
        status = dipp_fail(search->error, DIPP_E_IO, "%s: %s", path, strerror(errno));
    for (struct dirent *entry; status == DIPP_OK && directory && (entry = readdir(directory));)
        if (entry->d_name[0] != '.')
            status = each(search, folder, entry->d_name);
    if (directory)
        closedir(directory);
    dipp_release(path);
    return status;
}

static dipp_status add(garbage_search *search, dipp_garbage_item item, const char *folder, const char *name,
                       int64_t bytes)
{
    dipp_garbage *garbage = search->garbage;
    item.path = dipp_path_join(folder, name);
    item.bytes = bytes;
    if (!item.path ||
        !dipp_grow((void **)&garbage->items, &garbage->capacity, garbage->count + 1, sizeof *garbage->items)) {
        dipp_release(item.path);
        return dipp_fail(search->error, DIPP_E_MEMORY, "no memory for a list of files");
    }
    garbage->items[garbage->count++] = item;
    garbage->bytes += bytes;
    return DIPP_OK;
}

static int64_t bytes_of(const garbage_search *search, const char *folder, const char *name)
{
    struct stat information;
    char *path = dipp_path_join(folder, name), *whole = path ? dipp_path_join(search->root, path) : NULL;
    int64_t bytes = whole && lstat(whole, &information) == 0 ? (int64_t)information.st_size : 0;
    dipp_release(path);
    dipp_release(whole);
    return bytes;
}

/* ---- Folders and checkpoints of runs ---- */

typedef struct run_row {
    int64_t run_id, rows; /* rows: that the checkpoint in question has */
    bool known, completed;
} run_row;

static int read_row(void *user, int columns, const char *const *names, const char *const *values)
{
    run_row *row = user;
    row->known = true;
    row->run_id = strtoll(values[0], NULL, 10);
    row->completed = !strcmp(values[1], "completed");
    row->rows = values[2] ? strtoll(values[2], NULL, 10) : 0;
    return 1;
}

/* The run of this uuid, and whether it has a row of this step's checkpoint. */
static dipp_status look_up(const garbage_search *search, const char *uuid, int64_t step, run_row *row)
{
    char text[24];
    const char *binds[] = {uuid, text};
    snprintf(text, sizeof text, "%lld", (long long)step);
    *row = (run_row){.known = false};
    return dipp_store_query(
        search->store,
        "SELECT r.run_id, r.status, (SELECT count(*) FROM checkpoints c WHERE c.run_id=r.run_id AND "
        "c.step=CAST(?2 AS INTEGER)) FROM runs r WHERE r.run_uuid=?1",
        binds, 2, read_row, row, search->error);
}

static dipp_status add_checkpoint(garbage_search *search, const char *folder, const char *name)
{
    long long step;
    char expected[DIPP_CHECKPOINT_NAME_BYTES];
    run_row row;
    if (sscanf(name, "checkpoint-%lld.safetensors", &step) != 1 || strcmp(dipp_checkpoint_name(step, expected), name))
        return DIPP_OK;
    dipp_status status = look_up(search, dipp_path_name(folder), step, &row);
    if (status != DIPP_OK ||
        !row.completed) /* one that may go on needs them; the row of a new one comes after its file */
        return status;
    dipp_garbage_item item = {.kind = DIPP_GARBAGE_CHECKPOINT, .run_id = row.rows ? row.run_id : 0, .step = step};
    return add(search, item, folder, name, bytes_of(search, folder, name));
}

/* Everything below a path, links not followed: adds up the bytes, or removes it. */
static dipp_status walk(const char *path, bool remove_all, int64_t *bytes, dipp_error *error)
{
    char *paths[] = {(char *)path, NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    dipp_status status = tree ? DIPP_OK : dipp_fail(error, DIPP_E_IO, "%s: %s", path, strerror(errno));
    for (FTSENT *entry; status == DIPP_OK && (entry = fts_read(tree));) {
        if (entry->fts_info == FTS_D)
            continue;
        if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR)
            status = dipp_fail(error, DIPP_E_IO, "%s: %s", entry->fts_path, strerror(entry->fts_errno));
        else if (remove_all && remove(entry->fts_path) != 0 && errno != ENOENT)
            status = dipp_fail(error, DIPP_E_IO, "%s: %s", entry->fts_path, strerror(errno));
        else if (entry->fts_info != FTS_DP && entry->fts_info != FTS_NS)
            *bytes += (int64_t)entry->fts_statp->st_size;
    }
    if (tree)
        fts_close(tree);
    return status;
}

static bool is_uuid(const char *name)
{
    return strlen(name) == 36 && strspn(name, "0123456789abcdef-") == 36;
}

static dipp_status add_folder(garbage_search *search, const char *folder, const char *name)
{
    run_row row;
    struct stat information;
    if (!is_uuid(name)) /* not ours */
        return DIPP_OK;
    char *path = dipp_path_join(folder, name), *whole = path ? dipp_path_join(search->root, path) : NULL;
    dipp_status status = whole ? look_up(search, name, -1, &row)
                               : dipp_fail(search->error, DIPP_E_MEMORY, "no memory to look at %s", name);
    if (status == DIPP_OK && lstat(whole, &information) == 0 && S_ISDIR(information.st_mode)) {
        if (row.known) {
            status = each_in(search, path, add_checkpoint);
        } else {
            int64_t bytes = 0;
            status = walk(whole, false, &bytes, search->error);
            if (status == DIPP_OK)
                status = add(search, (dipp_garbage_item){.kind = DIPP_GARBAGE_FOLDER, .step = -1}, folder, name, bytes);
        }
    }
    dipp_release(path);
    dipp_release(whole);
    return status;
}

/* ---- The cache, and the whole ---- */

static dipp_status add_cached(garbage_search *search, const char *folder, const char *name)
{
    static const char begin[] = "reference-", end[] = ".samples";
    size_t length = strlen(name);
    if (strncmp(name, begin, sizeof begin - 1) || length < sizeof end || strcmp(name + length - sizeof end + 1, end))
        return DIPP_OK;
    return add(search, (dipp_garbage_item){.kind = DIPP_GARBAGE_CACHE, .step = -1}, folder, name,
               bytes_of(search, folder, name));
}

static bool is_database(const garbage_search *search, const char *name)
{
    static const char magic[] = "SQLite format 3";
    char found[sizeof magic] = "", *path = dipp_path_join(search->root, name);
    FILE *stream = path ? fopen(path, "r") : NULL;
    size_t got = stream ? fread(found, 1, sizeof found, stream) : 0;
    if (stream)
        fclose(stream);
    dipp_release(path);
    return got == sizeof magic && !memcmp(found, magic, sizeof magic);
}

/* a.db and a.sqlite would both keep their runs in a: one must not tidy up after the other. */
static dipp_status check_alone(garbage_search *search, const char *folder, const char *name)
{
    const char *own = dipp_path_name(dipp_store_path(search->store));
    if (!strncmp(name, own, strlen(own)) || !strcmp(name, search->name)) /* with -wal, -shm and backups */
        return DIPP_OK;
    char *other = dipp_run_store_folder(name);
    dipp_status status = !other ? dipp_fail(search->error, DIPP_E_MEMORY, "no memory for %s", name)
                         : strcmp(other, search->name) || !is_database(search, name)
                             ? DIPP_OK
                             : dipp_fail(search->error, DIPP_E_INVALID,
                                         "%s and %s keep their files in one folder, %s; move one of them first", own,
                                         name, search->name);
    dipp_release(other);
    return status;
}

static int stop_at_first(void *user, const dipp_run_row *row)
{
    *(bool *)user = true;
    return 1;
}

dipp_status dipp_garbage_find(dipp_store *store, dipp_garbage *garbage, dipp_error *error)
{
    garbage_search search = {.store = store, .garbage = garbage, .error = error};
    dipp_run_filter running = {.statuses = 1u << DIPP_RUN_RUNNING};
    bool busy = false;
    *garbage = (dipp_garbage){0};
    search.root = dipp_path_folder(dipp_store_path(store));
    search.name = dipp_run_store_folder(dipp_store_path(store));
    char *runs = search.name ? dipp_path_join(search.name, "runs") : NULL;
    char *cache = search.name ? dipp_path_join(search.name, "cache") : NULL;
    dipp_status status =
        search.root && runs && cache ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory to look for files");
    if (status == DIPP_OK)
        status = each_in(&search, "", check_alone);
    if (status == DIPP_OK)
        status = each_in(&search, runs, add_folder);
    if (status == DIPP_OK)
        status = dipp_store_each_run(store, &running, stop_at_first, &busy, error);
    if (status == DIPP_OK && !busy)
        status = each_in(&search, cache, add_cached);
    dipp_release(runs);
    dipp_release(cache);
    dipp_release(search.root);
    dipp_release(search.name);
    if (status != DIPP_OK)
        dipp_garbage_clear(garbage);
    return status;
}

dipp_status dipp_garbage_delete(dipp_store *store, const dipp_garbage *garbage, dipp_error *error)
{
    char *root = dipp_path_folder(dipp_store_path(store));
    dipp_status status = root ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory to delete files");
    for (size_t i = 0; i < garbage->count && status == DIPP_OK; i++) {
        const dipp_garbage_item *item = &garbage->items[i];
        int64_t bytes = 0;
        char *path = dipp_path_join(root, item->path);
        if (!path)
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory to delete files");
        if (status == DIPP_OK && item->run_id)
            status = dipp_store_checkpoint_remove(store, item->run_id, item->step, error);
        if (status == DIPP_OK)
            status = walk(path, true, &bytes, error);
        dipp_release(path);
    }
    dipp_release(root);
    return status;
}

void dipp_garbage_clear(dipp_garbage *garbage)
{
    for (size_t i = 0; i < garbage->count; i++)
        dipp_release(garbage->items[i].path);
    dipp_release(garbage->items);
    *garbage = (dipp_garbage){0};
}
