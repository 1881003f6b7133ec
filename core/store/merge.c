/* Merging: what another store holds and this one lacks, by natural keys; merge.sql says what meets what. */
#include "store/store_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char merge_sql[] =
#include "store/merge.inc"
    ;
static const char merge_tables[] =
#include "store/merge_tables.inc"
    ;

static const char what[] = "merge";

/* Opening says best what is wrong with a file: foreign, damaged, of another schema. */
static dipp_status check_source(const dipp_store *store, const char *from, dipp_error *error)
{
    struct stat own, other;
    dipp_store *source = NULL;
    dipp_store_options options = {.mode = DIPP_STORE_READ};
    if (store->read_only)
        return dipp_fail(error, DIPP_E_INVALID, "%s is open for reading only", store->path);
    dipp_status status = dipp_store_open(from, &options, &source, error);
    dipp_store_close(&source);
    if (status == DIPP_OK && stat(store->path, &own) == 0 && stat(from, &other) == 0 && own.st_dev == other.st_dev &&
        own.st_ino == other.st_ino)
        status = dipp_fail(error, DIPP_E_INVALID, "%s and %s are the same file", store->path, from);
    return status;
}

/* The folder of a file as an absolute path without links; freed with free. */
static char *real_folder(const char *path)
{
    char *whole = realpath(path, NULL), *slash = whole ? strrchr(whole, '/') : NULL;
    if (slash)
        slash[slash == whole] = 0; /* "/" keeps its slash */
    return whole;
}

/* What leads from one folder to another: "", "../node1/". */
static void relative_prefix(const char *from, const char *to, char *out, size_t size)
{
    size_t common = 0, used = 0;
    for (size_t i = 0;; i++) {
        bool from_ends = from[i] == '/' || from[i] == 0, to_ends = to[i] == '/' || to[i] == 0;
        if (from_ends && to_ends)
            common = i;
        if (!from[i] || from[i] != to[i])
            break;
    }
    out[0] = 0;
    for (const char *rest = from + common; *rest; rest++)
        if (*rest == '/' && rest[1] && used + 4 < size)
            used += (size_t)snprintf(out + used, size - used, "../");
    const char *down = to[common] == '/' ? to + common + 1 : to + common;
    if (*down)
        snprintf(out + used, size - used, "%s/", down);
}

static dipp_status put_prefix(dipp_store *store, const char *from, dipp_error *error)
{
    char prefix[4096];
    char *here = real_folder(store->path), *there = real_folder(from);
    dipp_status status =
        here && there ? DIPP_OK : dipp_fail(error, DIPP_E_IO, "%s: cannot tell where %s is", what, from);
    if (status == DIPP_OK) {
        relative_prefix(here, there, prefix, sizeof prefix);
        status = dipp_store_do(store, what, error, "INSERT INTO merge_prefix VALUES(?)", "t", prefix);
    }
    free(here);
    free(there);
    return status;
}

/* More is better here and less is better there: one of the two ranks the wrong way round. */
static dipp_status check_directions(dipp_store *store, const char *from, dipp_error *error)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    dipp_status status = dipp_store_prepare(store, &statement, what,
                                            "SELECT n.name FROM other.metric_names o JOIN main.metric_names n "
                                            "USING(name) WHERE o.direction*n.direction<0 ORDER BY 1 LIMIT 1",
                                            error);
    if (status == DIPP_OK)
        status = dipp_store_step(store, statement, what, &row, error);
    if (status == DIPP_OK && row)
        status = dipp_fail(error, DIPP_E_INVALID,
                           "the metric %s is better when it is more in one of %s and %s, and when it is less in the "
                           "other; nothing was merged",
                           dipp_store_text(statement, 0), store->path, from);
    sqlite3_finalize(statement);
    return status;
}

static dipp_status merge_attached(dipp_store *store, const char *from, dipp_store_merge_report *report,
                                  dipp_error *error)
{
    int64_t known = 0, mapped = 0;
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = check_directions(store, from, error);
    if (status == DIPP_OK)
        status = dipp_store_integer(store, what, error, &known, NULL,
                                    "SELECT count(*) FROM other.runs o JOIN main.runs m USING(run_uuid)", "");
    if (status == DIPP_OK)
        status = put_prefix(store, from, error);
    if (status == DIPP_OK)
        status = dipp_store_script(store, what, merge_sql, error);
    if (status == DIPP_OK)
        status = dipp_store_integer(store, what, error, &report->runs, NULL, "SELECT count(*) FROM other.runs", "");
    if (status == DIPP_OK)
        status = dipp_store_integer(store, what, error, &mapped, NULL, "SELECT count(*) FROM temp.merge_runs", "");
    if (status == DIPP_OK)
        status =
            dipp_store_integer(store, what, error, &report->updated, NULL, "SELECT count(*) FROM temp.merge_newer", "");
    report->added = mapped - known;
    report->passed_over = report->runs - mapped;
    return dipp_store_end(store, status, error);
}

/* An earlier merge may have had no memory to let go of its file. */
static dipp_status let_go(dipp_store *store, dipp_error *error)
{
    int64_t attached = 0;
    dipp_status status = dipp_store_integer(store, what, error, &attached, NULL,
                                            "SELECT count(*) FROM pragma_database_list WHERE name='other'", "");
    return status == DIPP_OK && attached ? dipp_store_script(store, what, "DETACH other", error) : status;
}

dipp_status dipp_store_merge(dipp_store *store, const char *from, dipp_store_merge_report *report, dipp_error *error)
{
    *report = (dipp_store_merge_report){0};
    dipp_status status = dipp_store_guard(store, error);
    if (status == DIPP_OK)
        status = check_source(store, from, error);
    if (status != DIPP_OK)
        return status;
    status = let_go(store, error);
    if (status == DIPP_OK)
        status = dipp_store_do(store, what, error, "ATTACH ?1 AS other", "t", from);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_script(store, what, merge_tables, error);
    if (status == DIPP_OK)
        status = merge_attached(store, from, report, error);
    dipp_store_script(store, what, "DETACH other",
                      NULL); /* what fails here undoes no merge; the next one lets go again */
    return status;
}
