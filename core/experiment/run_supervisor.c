#include "experiment/run_supervisor.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "experiment/run_record.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_BYTES = 4096, ARGUMENTS = 128, EXIT_ELSEWHERE = 5, EXIT_INTERRUPTED = 75 };

extern char **environ;

typedef struct run_child {
    dipp_planned_cell *planned; /* NULL: free */
    pid_t pid;
    int output; /* read end of its standard output */
    char line[LINE_BYTES];
    size_t length;
    char *log;
    uint64_t started_ns, heard_ns, mark_ns;
    int64_t mark_step;
    bool stalled;
    dipp_run_progress progress;
} run_child;

typedef struct run_supervisor {
    const dipp_supervisor_options *options;
    dipp_run_plan *plan;
    dipp_store *store;
    run_child *children;
    size_t jobs, next;
    sig_atomic_t forwarded;
    dipp_supervisor_result *result;
} run_supervisor;

static void tell(const run_supervisor *supervisor, dipp_run_event event, const run_child *child, const char *text)
{
    if (supervisor->options->event)
        supervisor->options->event(supervisor->options->context, event, child->planned, &child->progress, text);
}

/* ---- Starting ---- */

static char *log_path(const run_supervisor *supervisor, const dipp_planned_cell *planned, dipp_error *error)
{
    dipp_run_record record = {0};
    char *path = NULL;
    if (dipp_run_record_open(supervisor->store, planned->run_id, planned->uuid, &record, error) == DIPP_OK &&
        !(path = dipp_run_record_path(&record, "log.txt")))
        dipp_fail(error, DIPP_E_MEMORY, "no memory for a log's path");
    dipp_run_record_close(&record);
    return path;
}

static size_t build_arguments(const run_supervisor *supervisor, const char *run, const char *threads,
                              const char *arguments[ARGUMENTS])
{
    const dipp_supervisor_options *options = supervisor->options;
    const char *fixed[] = {
        options->program, "run-cell", "--supervised", "--again", "--db", options->database, "--run", run, NULL};
    size_t count = 0;
    for (; fixed[count]; count++)
        arguments[count] = fixed[count];
    if (options->rerun)
        arguments[count++] = "--completed";
    if (options->threads) {
        arguments[count++] = "--threads";
        arguments[count++] = threads;
    }
    for (const char *const *more = options->arguments; more && *more && count + 1 < ARGUMENTS; more++)
        arguments[count++] = *more;
    arguments[count] = NULL;
    return count;
}

static dipp_status spawn(const run_supervisor *supervisor, run_child *child, int write_end, int read_end,
                         dipp_error *error)
{
    char run[24], threads[24];
    const char *arguments[ARGUMENTS];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    snprintf(run, sizeof run, "%lld", (long long)child->planned->run_id);
    snprintf(threads, sizeof threads, "%u", supervisor->options->threads);
    build_arguments(supervisor, run, threads, arguments);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, write_end, 1);
    posix_spawn_file_actions_addopen(&actions, 2, child->log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    posix_spawn_file_actions_addclose(&actions, read_end);
    posix_spawnattr_init(&attributes); /* a group of its own: a Ctrl-C reaches it through the supervisor alone */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, 0);
    int code =
        posix_spawn(&child->pid, supervisor->options->program, &actions, &attributes, (char **)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return code ? dipp_fail(error, DIPP_E_IO, "cannot start %s: %s", supervisor->options->program, strerror(code))
                : DIPP_OK;
}

static dipp_status start(run_supervisor *supervisor, run_child *child, dipp_planned_cell *planned, dipp_error *error)
{
    int ends[2];
    memset(child, 0, sizeof *child);
    child->progress = (dipp_run_progress){.reward = NAN, .ikl = NAN, .loss = NAN};
    child->planned = planned;
    child->log = log_path(supervisor, planned, error);
    dipp_status status = child->log ? DIPP_OK : error->code;
    if (status == DIPP_OK && pipe2(ends, O_CLOEXEC) != 0)
        status = dipp_fail(error, DIPP_E_IO, "cannot make a pipe: %s", strerror(errno));
    if (status == DIPP_OK) {
        status = spawn(supervisor, child, ends[1], ends[0], error);
        close(ends[1]);
        child->output = ends[0];
        if (status != DIPP_OK)
            close(ends[0]);
        else
            fcntl(ends[0], F_SETFL, O_NONBLOCK);
    }
    if (status != DIPP_OK) {
        dipp_release(child->log);
        child->planned = NULL;
        return status;
    }
    child->started_ns = child->heard_ns = child->mark_ns = dipp_clock_monotonic_ns();
    tell(supervisor, DIPP_RUN_EVENT_STARTED, child, NULL);
    return DIPP_OK;
}

/* ---- Listening ---- */

static double read_number(const char *text)
{
    double value;
    return dipp_parse_double(text, &value) ? value : NAN;
}

static void read_progress(run_supervisor *supervisor, run_child *child, const char *line)
{
    char reward[40], ikl[40], loss[40];
    long long step, steps, images;
    unsigned long long now; /* the worker's: lines may wait in the pipe when this process gets no time */
    if (sscanf(line, "progress %llu %lld %lld %lld %39s %39s %39s", &now, &step, &steps, &images, reward, ikl, loss) !=
        7)
        return;
    dipp_run_progress *progress = &child->progress;
    if (!progress->steps) { /* the first: what came before is set-up, or the steps of an earlier attempt */
        child->mark_ns = now;
        child->mark_step = step;
    } else if (now > child->mark_ns && step > child->mark_step) {
        double rate = (double)(step - child->mark_step) / ((double)(now - child->mark_ns) / 1e9);
        progress->rate = progress->rate > 0 ? 0.7 * progress->rate + 0.3 * rate : rate;
        child->mark_ns = now;
        child->mark_step = step;
    }
    progress->step = step;
    progress->steps = steps;
    progress->images_seen = images;
    progress->reward = read_number(reward);
    progress->ikl = read_number(ikl);
    progress->loss = read_number(loss);
    tell(supervisor, DIPP_RUN_EVENT_PROGRESS, child, NULL);
}

static void read_line(run_supervisor *supervisor, run_child *child, const char *line)
{
    child->progress.seconds = (double)(dipp_clock_monotonic_ns() - child->started_ns) / 1e9;
    if (!strncmp(line, "progress ", 9))
        read_progress(supervisor, child, line);
    else if (!strncmp(line, "note ", 5))
        tell(supervisor, DIPP_RUN_EVENT_NOTE, child, line + 5);
}

/* Reads what there is; true when the pipe has ended. */
static bool listen_to(run_supervisor *supervisor, run_child *child)
{
    for (;;) {
        char data[LINE_BYTES];
        ssize_t got = read(child->output, data, sizeof data);
        if (got == 0)
            return true;
        if (got < 0)
            return errno != EAGAIN && errno != EINTR;
        child->heard_ns = dipp_clock_monotonic_ns();
        for (ssize_t i = 0; i < got; i++) {
            if (data[i] == '\n') {
                child->line[child->length] = 0;
                child->length = 0;
                read_line(supervisor, child, child->line);
            } else if (child->length + 1 < sizeof child->line) {
                child->line[child->length++] = data[i];
            }
        }
    }
}

/* ---- Ending ---- */

static int read_end(void *user, const dipp_run_row *row)
{
    dipp_planned_cell *planned = user;
    planned->status = row->status;
    snprintf(planned->reason, sizeof planned->reason, "%s", row->error ? row->error : "");
    return 1;
}

/* The last line of the log, for what no row can tell. */
static void last_words(const char *log, char *out, size_t size)
{
    char *data = NULL;
    size_t bytes = 0;
    *out = 0;
    if (dipp_file_read(log, 64u << 20, &data, &bytes, NULL) != DIPP_OK)
        return;
    while (bytes && data[bytes - 1] == '\n')
        data[--bytes] = 0;
    char *line = strrchr(data, '\n');
    snprintf(out, size, "%.400s", line ? line + 1 : data);
    dipp_release(data);
}

static dipp_status record_end(run_supervisor *supervisor, run_child *child, int wait_status, dipp_error *error)
{
    char text[640], words[440];
    int signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : -1;
    int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
    dipp_run_status status = signal == SIGKILL && !child->stalled ? DIPP_RUN_LOST : DIPP_RUN_FAILED;
    last_words(child->log, words, sizeof words);
    if (child->stalled)
        snprintf(text, sizeof text, "no sign of life for %.0f s, so it was killed; its last words: %s",
                 supervisor->options->stall_seconds, words);
    else if (signal == SIGKILL)
        snprintf(text, sizeof text, "killed from outside (by hand, or for want of memory); the same command goes on");
    else if (signal > 0)
        snprintf(text, sizeof text, "crashed by signal %d (%s), likely in a plugin; last words: %s; log: %s", signal,
                 strsignal(signal), words, child->log);
    else
        snprintf(text, sizeof text, "ended with code %d without saying why; last words: %s; log: %s", code, words,
                 child->log);
    return dipp_store_run_finish(supervisor->store, child->planned->run_id, status, code, signal, text, NULL, error);
}

static dipp_status finish(run_supervisor *supervisor, run_child *child, dipp_error *error)
{
    int wait_status = 0;
    while (waitpid(child->pid, &wait_status, 0) < 0 && errno == EINTR)
        continue;
    close(child->output);
    dipp_planned_cell *planned = child->planned;
    int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
    dipp_run_filter filter = {.run_id = planned->run_id};
    dipp_status status = DIPP_OK;
    const char *text = NULL;
    if (code == EXIT_INTERRUPTED) {
        planned->status = DIPP_RUN_QUEUED;
        supervisor->result->interrupted++;
        text = "interrupted; its state is saved";
    } else {
        if (code != EXIT_ELSEWHERE && code != 0)
            status = record_end(supervisor, child, wait_status, error); /* unless the worker did */
        if (status == DIPP_OK)
            status = dipp_store_each_run(supervisor->store, &filter, read_end, planned, error);
        text = status == DIPP_OK ? planned->reason : "what came of it could not be read back";
        if (planned->status == DIPP_RUN_COMPLETED)
            supervisor->result->completed++;
        else if (code == EXIT_ELSEWHERE || planned->status == DIPP_RUN_RUNNING)
            supervisor->result->elsewhere++;
        else
            supervisor->result->failed++;
    }
    child->progress.seconds = (double)(dipp_clock_monotonic_ns() - child->started_ns) / 1e9;
    tell(supervisor, DIPP_RUN_EVENT_ENDED, child, text);
    dipp_release(child->log);
    child->planned = NULL;
    return status;
}

/* ---- The loop ---- */

static void forward_stop(run_supervisor *supervisor)
{
    sig_atomic_t stop = supervisor->options->stop ? *supervisor->options->stop : 0;
    if (stop <= supervisor->forwarded)
        return;
    for (size_t i = 0; i < supervisor->jobs; i++)
        if (supervisor->children[i].planned)
            kill(supervisor->children[i].pid, stop > 1 ? SIGKILL : SIGTERM);
    supervisor->forwarded = stop;
}

static void kill_stalled(run_supervisor *supervisor)
{
    double limit = supervisor->options->stall_seconds;
    uint64_t now = dipp_clock_monotonic_ns();
    for (size_t i = 0; i < supervisor->jobs && limit > 0; i++) {
        run_child *child = &supervisor->children[i];
        if (child->planned && !child->stalled && (double)(now - child->heard_ns) / 1e9 > limit) {
            child->stalled = true;
            kill(child->pid, SIGKILL);
        }
    }
}

static dipp_status fill(run_supervisor *supervisor, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (size_t i = 0; i < supervisor->jobs && status == DIPP_OK; i++) {
        if (supervisor->children[i].planned || supervisor->forwarded)
            continue;
        while (supervisor->next < supervisor->plan->count &&
               supervisor->plan->cells[supervisor->next].action != DIPP_CELL_RUN)
            supervisor->next++;
        if (supervisor->next < supervisor->plan->count)
            status = start(supervisor, &supervisor->children[i], &supervisor->plan->cells[supervisor->next++], error);
    }
    return status;
}

static dipp_status wait_for_lines(run_supervisor *supervisor, size_t *active, dipp_error *error)
{
    struct pollfd files[64];
    run_child *owners[64];
    nfds_t count = 0;
    for (size_t i = 0; i < supervisor->jobs && count < 64; i++)
        if (supervisor->children[i].planned) {
            owners[count] = &supervisor->children[i];
            files[count++] = (struct pollfd){.fd = supervisor->children[i].output, .events = POLLIN};
        }
    *active = count;
    if (!count)
        return DIPP_OK;
    poll(files, count, 250);
    dipp_status status = DIPP_OK;
    for (nfds_t i = 0; i < count; i++)
        if (files[i].revents && listen_to(supervisor, owners[i])) {
            dipp_status ended = finish(supervisor, owners[i], error);
            status = status == DIPP_OK ? ended : status;
        }
    return status;
}

dipp_status dipp_supervise(dipp_run_plan *plan, dipp_store *store, const dipp_supervisor_options *options,
                           dipp_supervisor_result *result, dipp_error *error)
{
    size_t jobs = options->jobs ? options->jobs : 1, active = 0;
    run_supervisor supervisor = {
        .options = options, .plan = plan, .store = store, .jobs = jobs < 64 ? jobs : 64, .result = result};
    *result = (dipp_supervisor_result){0};
    supervisor.children = dipp_allocate_zeroed(supervisor.jobs, sizeof *supervisor.children);
    if (!supervisor.children)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu workers", jobs);
    dipp_status status = DIPP_OK;
    do {
        dipp_error *sink = status == DIPP_OK ? error : NULL; /* the first failure is told; the rest is wound up */
        forward_stop(&supervisor);
        kill_stalled(&supervisor);
        dipp_status now = status == DIPP_OK ? fill(&supervisor, error) : DIPP_OK;
        if (now == DIPP_OK)
            now = wait_for_lines(&supervisor, &active, sink);
        status = status == DIPP_OK ? now : status;
        if (options->idle)
            options->idle(options->context);
    } while (active);
    for (size_t i = supervisor.next; i < plan->count; i++)
        result->interrupted += plan->cells[i].action == DIPP_CELL_RUN;
    dipp_release(supervisor.children);
    return status;
}
