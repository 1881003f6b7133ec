#include "plugin/plugin_child.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIPE_IN_CHILD = 3 };

/* ---- The child ------------------------------------------------------------------------------------------------- */

int dipp_child_write(const char *data, size_t size)
{
    while (size) {
        ssize_t written = write(PIPE_IN_CHILD, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        data += written;
        size -= (size_t)written;
    }
    return 0;
}

/* Files, signals and limits such that nothing of the parent's is touched by what comes next. */
static void withdraw(int pipe_end)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigset_t empty;
    sigemptyset(&empty);
    sigprocmask(SIG_SETMASK, &empty, NULL);
    if (pipe_end != PIPE_IN_CHILD)
        dup2(pipe_end, PIPE_IN_CHILD);
    int nowhere = open("/dev/null", O_RDWR);
    for (int i = 0; i < PIPE_IN_CHILD; i++)
        if (nowhere < 0)
            close(i);
        else
            dup2(nowhere, i);
    close_range(PIPE_IN_CHILD + 1, ~0u, 0);
}

/* ---- The parent ------------------------------------------------------------------------------------------------ */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void collect(int pipe_end, uint32_t timeout_ms, size_t limit, dipp_child_answer *a)
{
    int64_t deadline = now_ms() + timeout_ms;
    for (;;) {
        int64_t left = deadline - now_ms();
        struct pollfd poller = {.fd = pipe_end, .events = POLLIN};
        int ready = poll(&poller, 1, left > 0 ? (int)left : 0);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            a->timed_out = true;
            return;
        }
        if (!dipp_grow((void **)&a->data, &a->capacity, a->size + 65536, 1)) {
            a->no_memory = true;
            return;
        }
        ssize_t got = read(pipe_end, a->data + a->size, a->capacity - a->size - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return;
        a->size += (size_t)got;
        if (a->size > limit) {
            a->too_long = true;
            return;
        }
    }
}

dipp_status dipp_child_run(dipp_child_body body, void *context, uint32_t timeout_ms, size_t limit,
                           dipp_child_answer *answer, dipp_error *error)
{
    int ends[2];
    *answer = (dipp_child_answer){0};
    volatile int *stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stage == MAP_FAILED)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a child process: %s", strerror(errno));
    if (pipe2(ends, O_CLOEXEC)) {
        int why = errno;
        munmap((void *)stage, sizeof *stage);
        return dipp_fail(error, DIPP_E_IO, "no pipe for a child process: %s", strerror(why));
    }
    pid_t child = fork();
    if (child == 0) {
        withdraw(ends[1]);
        _exit(body(context, stage));
    }
    int why = errno;
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        munmap((void *)stage, sizeof *stage);
        return dipp_fail(error, DIPP_E_IO, "no child process: %s", strerror(why));
    }
    collect(ends[0], timeout_ms, limit, answer);
    close(ends[0]);
    answer->stage = *stage;
    kill(child, SIGKILL); /* one that is ending has its exit status already and keeps it; one that is not hangs */
    while (waitpid(child, &answer->wait_status, 0) < 0 && errno == EINTR)
        ;
    munmap((void *)stage, sizeof *stage);
    if (answer->data)
        answer->data[answer->size] = 0; /* collect keeps room for it */
    return DIPP_OK;
}
