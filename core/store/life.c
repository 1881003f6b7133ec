/* The life of a run: who executes it, attempts, heartbeats, its end, and finding out that its process died. */
#include "store/store_internal.h"

#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *dipp_run_status_name(dipp_run_status status)
{
    switch (status) {
    case DIPP_RUN_QUEUED: return "queued";
    case DIPP_RUN_RUNNING: return "running";
    case DIPP_RUN_COMPLETED: return "completed";
    case DIPP_RUN_FAILED: return "failed";
    case DIPP_RUN_KILLED: return "killed";
    case DIPP_RUN_PRUNED: return "pruned";
    case DIPP_RUN_LOST: return "lost";
    }
    return "unknown";
}

/* Field 22 of /proc/PID/stat, and field 3, the state. The name in field 2 may hold spaces and brackets: fields count
 * from the last ")". */
static bool read_process(int64_t pid, int64_t *start_time, char *state)
{
    char path[64], text[2048];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = 0;
    char *field = strrchr(text, ')');
    if (!field || field[1] != ' ')
        return false;
    *state = field[2];
    field += 2; /* field 3 */
    for (int number = 3; number < 22; number++) {
        field = strchr(field, ' ');
        if (!field)
            return false;
        field++;
    }
    *start_time = strtoll(field, NULL, 10);
    return true;
}

dipp_status dipp_process_self(dipp_process *out, dipp_error *error)
{
    dipp_process self = {.pid = getpid()};
    char state;
    if (gethostname(self.host, sizeof self.host - 1) != 0)
        return dipp_fail(error, DIPP_E_IO, "the name of this host: %s", strerror(errno));
    if (!read_process(self.pid, &self.start_time, &state))
        return dipp_fail(error, DIPP_E_IO,
                         "the start time of this process cannot be read from /proc/%lld/stat: is "
                         "/proc mounted?",
                         (long long)self.pid);
    *out = self;
    return DIPP_OK;
}

static bool on_this_host(const char *host)
{
    char here[256] = "";
    return gethostname(here, sizeof here - 1) == 0 && strcmp(here, host) == 0;
}

bool dipp_process_alive(const dipp_process *process)
{
    int64_t start_time;
    char state;
    if (!on_this_host(process->host))
        return true;
    return read_process(process->pid, &start_time, &state) && start_time == process->start_time && state != 'Z' &&
           state != 'X';
}

/* ---- lost runs ---- */

typedef struct holder {
    int64_t run_id;
    char name[256];
    dipp_process process;
    int64_t heartbeat_at;
} holder;

static void read_holder(sqlite3_stmt *statement, holder *out)
{
    const char *name = dipp_store_text(statement, 1), *host = dipp_store_text(statement, 2);
    memset(out, 0, sizeof *out);
    out->run_id = sqlite3_column_int64(statement, 0);
    snprintf(out->name, sizeof out->name, "%s", name ? name : "");
    snprintf(out->process.host, sizeof out->process.host, "%s", host ? host : "");
    out->process.pid = sqlite3_column_int64(statement, 3);
    out->process.start_time = sqlite3_column_int64(statement, 4);
    out->heartbeat_at = sqlite3_column_int64(statement, 5);
}

/* Inside a transaction. Does nothing when the run has been taken over or ended since the holder was read. */
static dipp_status set_lost(dipp_store *store, const holder *dead, bool *changed, dipp_error *error)
{
    const char *what = "mark a run as lost";
    char text[512];
    int64_t run_id;
    dipp_status status = dipp_store_integer(
        store, what, error, &run_id, changed,
        "UPDATE runs SET status='lost', ended_at=max(?1, ifnull(started_at, 0)), error=?2 WHERE run_id=?3 AND "
        "status='running' AND pid IS ?4 AND pid_start IS ?5 RETURNING run_id",
        "itizz", dipp_store_now(), "its process ended without saying why (killed, or the machine went down)",
        dead->run_id, dead->process.pid, dead->process.start_time);
    if (status != DIPP_OK || !*changed)
        return status;
    status = dipp_store_do(store, what, error,
                           "UPDATE attempts SET ended_at=max(?, started_at), reason='lost' WHERE run_id=? AND ended_at "
                           "IS NULL",
                           "ii", dipp_store_now(), dead->run_id);
    snprintf(text, sizeof text, "process %lld on %s ended without saying why", (long long)dead->process.pid,
             dead->process.host);
    if (status == DIPP_OK)
        status = dipp_store_event_put(store, dead->run_id, 0, -1, "warning", "run.lost", text, error);
    return status;
}

dipp_status dipp_store_mark_lost(dipp_store *store, int64_t other_host_seconds, dipp_store_lost_fn lost, void *user,
                                 int *count, dipp_error *error)
{
    const char *what = "look for dead runs";
    holder *dead = NULL;
    size_t found = 0, capacity = 0;
    sqlite3_stmt *statement;
    bool row = false;
    dipp_status status = dipp_store_prepare(
        store, &statement, what,
        "SELECT run_id, name, host, pid, pid_start, heartbeat_at FROM runs WHERE status='running' ORDER BY run_id",
        error);
    if (status != DIPP_OK)
        return status;
    /* The processes are looked at outside the transaction; set_lost checks that nothing changed meanwhile. */
    while ((status = dipp_store_step(store, statement, what, &row, error)) == DIPP_OK && row) {
        holder one;
        read_holder(statement, &one);
        bool silent = other_host_seconds > 0 && dipp_store_now() - one.heartbeat_at > other_host_seconds * 1000000;
        if (on_this_host(one.process.host) ? dipp_process_alive(&one.process) : !silent)
            continue;
        if (!dipp_grow((void **)&dead, &capacity, found + 1, sizeof *dead)) {
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory to list dead runs");
            break;
        }
        dead[found++] = one;
    }
    sqlite3_finalize(statement);
    size_t marked = 0;
    if (status == DIPP_OK && found) {
        status = dipp_store_begin(store, error);
        if (status == DIPP_OK) {
            for (size_t i = 0; status == DIPP_OK && i < found; i++) {
                bool changed;
                status = set_lost(store, &dead[i], &changed, error);
                if (status == DIPP_OK && changed)
                    dead[marked++] = dead[i];
            }
            status = dipp_store_end(store, status, error);
        }
    }
    for (size_t i = 0; status == DIPP_OK && lost && i < marked; i++)
        lost(user, dead[i].run_id, dead[i].name, dead[i].process.host, dead[i].process.pid);
    dipp_release(dead);
    if (status == DIPP_OK && count)
        *count = (int)marked;
    return status;
}

/* ---- claims ---- */

static dipp_status take(dipp_store *store, int64_t run_id, const dipp_process *process, dipp_error *error)
{
    return dipp_store_do(store, "claim a run", error,
                         "UPDATE runs SET status='running', started_at=ifnull(started_at, ?1), ended_at=NULL, "
                         "heartbeat_at=max(ifnull(heartbeat_at, 0), ?1), exit_code=NULL, term_signal=NULL, error=NULL, "
                         "host=?2, pid=?3, pid_start=?4 WHERE run_id=?5",
                         "itiii", dipp_store_now(), process->host, process->pid, process->start_time, run_id);
}

static dipp_status claim(dipp_store *store, int64_t run_id, unsigned also, const dipp_process *process,
                         dipp_error *error)
{
    const char *what = "claim a run";
    sqlite3_stmt *statement;
    holder now;
    bool row = false, changed = false;
    unsigned state = 0;
    dipp_status status =
        dipp_store_prepare(store, &statement, what,
                           "SELECT run_id, name, host, pid, pid_start, heartbeat_at, " DIPP_STORE_STATUS_NUMBER
                           " FROM runs r WHERE run_id=?",
                           error);
    if (status == DIPP_OK)
        status = dipp_store_bind(store, statement, what, error, "i", run_id);
    if (status == DIPP_OK)
        status = dipp_store_step(store, statement, what, &row, error);
    if (status == DIPP_OK && row) {
        read_holder(statement, &now);
        state = (unsigned)sqlite3_column_int(statement, 6);
    }
    sqlite3_finalize(statement);
    if (status != DIPP_OK)
        return status;
    if (!row)
        return dipp_fail(error, DIPP_E_NOT_FOUND, "there is no run %lld in %s", (long long)run_id, store->path);
    if (state == DIPP_RUN_RUNNING && !dipp_process_alive(&now.process)) {
        status = set_lost(store, &now, &changed, error);
        if (status != DIPP_OK)
            return status;
        state = DIPP_RUN_LOST;
    }
    if (state == DIPP_RUN_RUNNING)
        return dipp_fail(
            error, DIPP_E_BUSY,
            "run %lld (%s) is being executed by process %lld on %s: wait for it, or end that process first",
            (long long)run_id, now.name, (long long)now.process.pid, now.process.host);
    if (state != DIPP_RUN_QUEUED && !(also & (1u << state)))
        return dipp_fail(error, DIPP_E_INVALID, "run %lld (%s) is %s, it is not to be executed again",
                         (long long)run_id, now.name, dipp_run_status_name((dipp_run_status)state));
    return take(store, run_id, process, error);
}

dipp_status dipp_store_claim(dipp_store *store, int64_t run_id, unsigned also, const dipp_process *process,
                             dipp_error *error)
{
    dipp_process self;
    dipp_status status = process ? DIPP_OK : dipp_process_self(&self, error);
    if (status == DIPP_OK)
        status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    return dipp_store_end(store, claim(store, run_id, also, process ? process : &self, error), error);
}

dipp_status dipp_store_claim_next(dipp_store *store, int64_t experiment_id, const dipp_process *process,
                                  int64_t *run_id, dipp_error *error)
{
    dipp_process self;
    int64_t next = 0;
    bool found = false;
    dipp_status status = process ? DIPP_OK : dipp_process_self(&self, error);
    if (status == DIPP_OK)
        status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_integer(store, "claim the next run", error, &next, &found,
                                "SELECT min(run_id) FROM runs WHERE status='queued' AND (?1=0 OR experiment_id=?1)",
                                "i", experiment_id);
    if (status == DIPP_OK && found)
        status = take(store, next, process ? process : &self, error);
    status = dipp_store_end(store, status, error);
    if (status == DIPP_OK)
        *run_id = next;
    return status;
}

/* ---- attempts, heartbeat, end ---- */

dipp_status dipp_store_attempt_begin(dipp_store *store, int64_t run_id, const dipp_attempt_spec *spec, int64_t *attempt,
                                     dipp_error *error)
{
    const char *what = "record an attempt";
    int64_t number = 0, running = 0;
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_integer(store, what, error, &running, NULL,
                                "SELECT 1 FROM runs WHERE run_id=? AND status='running'", "i", run_id);
    if (status == DIPP_OK && !running)
        status =
            dipp_fail(error, DIPP_E_INVALID, "%s: run %lld is not running, claim it first", what, (long long)run_id);
    if (status == DIPP_OK)
        status = dipp_store_need_json(store, what, spec->libraries_json, error);
    if (status == DIPP_OK)
        status = dipp_store_need_json(store, what, spec->micro_batch_json, error);
    if (status == DIPP_OK)
        status = dipp_store_do(store, what, error,
                               "UPDATE attempts SET ended_at=max(?, started_at), reason='lost' WHERE run_id=? AND "
                               "ended_at IS NULL",
                               "ii", dipp_store_now(), run_id);
    if (status == DIPP_OK)
        status = dipp_store_integer(
            store, what, error, &number, NULL,
            "INSERT INTO attempts(run_id, attempt, started_at, start_step, host, pid, slurm_job, dipp_version, "
            "binary_sha256, backend, device, threads, isa, precision, libraries_json, micro_batch_json) "
            "SELECT ?1, (SELECT ifnull(max(attempt),0)+1 FROM attempts WHERE run_id=?1), ?2, ?3, host, pid, ?4, ?5, "
            "?6, "
            "?7, ?8, ?9, ?10, ?11, ?12, ?13 FROM runs WHERE run_id=?1 RETURNING attempt",
            "iiitttttdtttt", run_id, dipp_store_now(), spec->start_step, spec->slurm_job, spec->dipp_version,
            spec->binary_sha256, spec->backend, spec->device, spec->threads, spec->isa, spec->precision,
            spec->libraries_json, spec->micro_batch_json);
    status = dipp_store_end(store, status, error);
    if (status == DIPP_OK)
        *attempt = number;
    return status;
}

dipp_status dipp_store_attempt_end(dipp_store *store, int64_t run_id, int64_t attempt, const char *reason,
                                   int64_t end_step, const char *detail, dipp_error *error)
{
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_do(store, "record the end of an attempt", error,
                           "UPDATE attempts SET ended_at=max(?, started_at), reason=?, end_step=?, detail=? WHERE "
                           "run_id=? AND attempt=? AND ended_at IS NULL",
                           "ititii", dipp_store_now(), reason, end_step, detail, run_id, attempt);
    return dipp_store_end(store, status, error);
}

dipp_status dipp_store_heartbeat(dipp_store *store, int64_t run_id, int64_t step, int64_t images_seen,
                                 dipp_error *error)
{
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_do(store, "record a heartbeat", error,
                           "UPDATE runs SET heartbeat_at=max(ifnull(heartbeat_at, 0), ?), step=?, images_seen=? WHERE "
                           "run_id=?",
                           "iiii", dipp_store_now(), step, images_seen, run_id);
    return dipp_store_end(store, status, error);
}

static dipp_status end_attempts(dipp_store *store, int64_t run_id, const char *reason, const char *detail,
                                dipp_error *error)
{
    return dipp_store_do(
        store, "record the end of an attempt", error,
        "UPDATE attempts SET ended_at=max(?1, started_at), reason=?2, detail=?3, end_step=(SELECT step "
        "FROM runs WHERE run_id=?4) WHERE run_id=?4 AND ended_at IS NULL",
        "itti", dipp_store_now(), reason, detail, run_id);
}

dipp_status dipp_store_run_finish(dipp_store *store, int64_t run_id, dipp_run_status end, int exit_code,
                                  int term_signal, const char *text, bool *changed, dipp_error *error)
{
    const char *what = "record the end of a run";
    int64_t known = 0;
    bool ended = false, open = false;
    if ((unsigned)end < DIPP_RUN_COMPLETED || (unsigned)end > DIPP_RUN_LOST)
        return dipp_fail(error, DIPP_E_INVALID, "%s: a run cannot end as %s", what, dipp_run_status_name(end));
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_integer(store, what, error, &known, NULL, "SELECT 1 FROM runs WHERE run_id=?", "i", run_id);
    if (status == DIPP_OK && !known)
        status = dipp_fail(error, DIPP_E_NOT_FOUND, "there is no run %lld in %s", (long long)run_id, store->path);
    if (status == DIPP_OK)
        status = dipp_store_integer(store, what, error, &known, &open,
                                    "UPDATE runs SET status=?, ended_at=max(?, ifnull(started_at, 0)), exit_code=?, "
                                    "term_signal=?, error=? WHERE "
                                    "run_id=? AND status IN('queued','running') RETURNING run_id",
                                    "tiddti", dipp_run_status_name(end), dipp_store_now(), exit_code, term_signal, text,
                                    run_id);
    ended = status == DIPP_OK && open;
    if (ended)
        status = end_attempts(store, run_id, dipp_run_status_name(end), text, error);
    status = dipp_store_end(store, status, error);
    if (status == DIPP_OK && changed)
        *changed = ended;
    return status;
}

dipp_status dipp_store_run_requeue(dipp_store *store, int64_t run_id, const char *reason, dipp_error *error)
{
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = end_attempts(store, run_id, reason, NULL, error);
    if (status == DIPP_OK)
        status = dipp_store_do(store, "queue a run again", error,
                               "UPDATE runs SET status='queued', ended_at=NULL, host=NULL, pid=NULL, pid_start=NULL "
                               "WHERE run_id=?",
                               "i", run_id);
    return dipp_store_end(store, status, error);
}
