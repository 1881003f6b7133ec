#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 4096, GRACE_MS = 500 };

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- Starting and ending --------------------------------------------------------------------------------------- */

/* Only calls that are allowed between fork and exec in a process that has threads. */
static _Noreturn void become(char *const *argv, int in, int out, int report)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0)
        execvp(argv[0], argv);
    int why = errno;
    _exit(write(report, &why, sizeof why) == sizeof why ? 127 : 126);
}

dipp_status child_start(child *c, char *const *argv, dipp_error *error)
{
    /* A socket rather than a pipe: writing to one whose reader is gone can be told not to raise SIGPIPE. */
    int in[2] = {-1, -1}, out[2] = {-1, -1}, report[2] = {-1, -1}, why = 0;
    bool good = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) == 0 && pipe2(out, O_CLOEXEC) == 0 &&
                pipe2(report, O_CLOEXEC) == 0 && fcntl(in[0], F_SETFL, O_NONBLOCK) == 0 &&
                fcntl(out[0], F_SETFL, O_NONBLOCK) == 0;
    pid_t pid = good ? fork() : -1;
    if (pid == 0)
        become(argv, in[1], out[1], report[1]);
    if (pid < 0)
        why = errno;
    else
        setpgid(pid, pid); /* whoever is first */
    const int passed[] = {in[1], out[1], report[1]};
    for (int i = 0; i < 3; i++)
        if (passed[i] >= 0)
            close(passed[i]);
    bool failed_to_run = pid > 0 && read(report[0], &why, sizeof why) == sizeof why;
    if (report[0] >= 0)
        close(report[0]);
    if (pid > 0)
        *c = (child){.pid = pid, .in = in[0], .out = out[0]};
    if (pid > 0 && !failed_to_run)
        return DIPP_OK;
    if (pid > 0) {
        child_stop(c);
        return dipp_fail(error, DIPP_E_NOT_FOUND, "cannot run `%s`: %s", argv[0], strerror(why));
    }
    if (in[0] >= 0)
        close(in[0]);
    if (out[0] >= 0)
        close(out[0]);
    return dipp_fail(error, DIPP_E_IO, "no process for `%s`: %s", argv[0], strerror(why));
}

/* Whether it has ended, waiting up to GRACE_MS. It is left to be waited for, so that its number is not given away
 * yet. */
static bool has_ended(const child *c)
{
    for (int waited = 0; waited < GRACE_MS; waited += 5) {
        siginfo_t information = {0};
        if (waitid(P_PID, (id_t)c->pid, &information, WEXITED | WNOWAIT | WNOHANG) == 0 && information.si_pid)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return false;
}

/* Kills the group, which holds what the program itself started, and gives the program's status. */
static int end_group(child *c)
{
    int status = 0;
    kill(-c->pid, SIGKILL);
    kill(c->pid, SIGKILL); /* should it have left the group; one that has ended keeps its status */
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static void discard(child *c)
{
    close(c->in);
    close(c->out);
    free(c->line);
    *c = (child){0};
}

void child_stop(child *c)
{
    if (!c->pid)
        return;
    end_group(c);
    discard(c);
}

/* Says how it ended, and ends it. */
static dipp_status ended(child *c, dipp_error *error)
{
    bool by_itself = has_ended(c);
    int status = end_group(c);
    discard(c);
    if (!by_itself)
        return dipp_fail(error, DIPP_E_PLUGIN, "the program closed its standard output instead of answering");
    if (WIFSIGNALED(status))
        return dipp_fail(error, DIPP_E_PLUGIN, "the program was ended by signal %d (%s) instead of answering",
                         WTERMSIG(status), strsignal(WTERMSIG(status)));
    return dipp_fail(error, DIPP_E_PLUGIN, "the program ended with exit status %d instead of answering",
                     WEXITSTATUS(status));
}

/* ---- One request ----------------------------------------------------------------------------------------------- */

static dipp_status refuse(child *c, dipp_error *error, const char *what)
{
    child_stop(c);
    return dipp_fail(error, DIPP_E_PLUGIN, "%s", what);
}

/* Appends what has arrived. Returns bytes read, 0 at the end, -1 for nothing yet, -2 for no memory. */
static ssize_t receive(child *c)
{
    if (c->capacity - c->length < CHUNK) {
        char *grown = realloc(c->line, 2 * c->capacity + CHUNK);
        if (!grown)
            return -2;
        c->line = grown;
        c->capacity = 2 * c->capacity + CHUNK;
    }
    ssize_t got = read(c->out, c->line + c->length, c->capacity - c->length - 1);
    if (got > 0)
        c->length += (size_t)got;
    return got < 0 && errno != EAGAIN && errno != EINTR ? 0 : got;
}

/* Whether the answer is there; *status is set when something is wrong with it. */
static bool complete(child *c, size_t limit, dipp_status *status, dipp_error *error)
{
    char *end = memchr(c->line, '\n', c->length);
    if (end && end + 1 == c->line + c->length) {
        *end = 0;
        return true;
    }
    if (end)
        *status = refuse(c, error, "the program wrote more than the one line of its answer");
    else if (c->length > limit)
        *status = refuse(c, error, "the program's answer is too long and has no end of line");
    return false;
}

dipp_status child_ask(child *c, const void *request, size_t bytes, size_t limit, double seconds, dipp_error *error)
{
    const char *at = request;
    int64_t deadline = now_ms() + (int64_t)(seconds * 1000);
    c->length = 0;
    ssize_t early = receive(c);
    if (early > 0)
        return refuse(c, error, "the program wrote something before it was asked");
    dipp_status status = early == 0 ? ended(c, error) : DIPP_OK;
    while (status == DIPP_OK) {
        int64_t left = deadline - now_ms();
        struct pollfd ends[2] = {{.fd = c->out, .events = POLLIN}, {.fd = bytes ? c->in : -1, .events = POLLOUT}};
        int ready = left > 0 ? poll(ends, 2, left > INT32_MAX ? INT32_MAX : (int)left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            child_stop(c);
            return dipp_fail(error, DIPP_E_PLUGIN, "the program gave no answer within %g s (params.timeout)", seconds);
        }
        if (ends[1].revents) {
            ssize_t sent = send(c->in, at, bytes, MSG_NOSIGNAL);
            if (sent > 0)
                at += sent, bytes -= (size_t)sent;
            else if (sent < 0 && errno != EAGAIN && errno != EINTR)
                bytes = 0; /* it reads no more: what it answers, or how it ended, is seen below */
        }
        if (!ends[0].revents)
            continue;
        ssize_t got = receive(c);
        if (got == -2) {
            child_stop(c);
            return dipp_fail(error, DIPP_E_MEMORY, "no memory for the program's answer");
        }
        if (got == 0)
            return ended(c, error);
        if (got > 0 && complete(c, limit, &status, error))
            return DIPP_OK;
    }
    return status;
}
