/* Opening an unknown file where it can do no harm: a child process loads it, reads its descriptors and writes them as JSON
 * into a pipe. The parent waits for the end of the pipe or for the time limit, and turns what happened into a message. */
#include "plugin/plugin_host.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_LIMIT = 4 << 20, PIPE_IN_CHILD = 3 };

static const char *const type_names[] = {"",       "bool", "int",        "float",    "enum",
                                         "string", "path", "float_list", "int_list", "string_list"};

/* ---- The child ------------------------------------------------------------------------------------------------- */

static json_t *describe_parameter(const dipp_parameter *p)
{
    json_t *o = json_pack("{ss ss ss}", "key", p->key, "type", type_names[p->type], "help", p->help);
    if (p->default_text)
        json_object_set_new(o, "default", json_string(p->default_text));
    if (p->minimum != 0 || p->maximum != 0) {
        json_object_set_new(o, "minimum", json_real(p->minimum)); /* infinite: left out */
        json_object_set_new(o, "maximum", json_real(p->maximum));
    }
    if (p->type == DIPP_TYPE_ENUM) {
        json_t *choices = json_array();
        for (size_t i = 0; p->choices[i]; i++)
            json_array_append_new(choices, json_string(p->choices[i]));
        json_object_set_new(o, "choices", choices);
    }
    if (p->unit)
        json_object_set_new(o, "unit", json_string(p->unit));
    static const char *const flag_names[] = {"required", "optional", "structural", "live"};
    json_t *flags = json_array();
    for (size_t i = 0; i < sizeof flag_names / sizeof *flag_names; i++)
        if (p->flags & (1u << i))
            json_array_append_new(flags, json_string(flag_names[i]));
    json_object_set_new(o, "flags", flags);
    return o;
}

static json_t *describe_plugin(const dipp_plugin *plugin)
{
    json_t *parameters = json_array();
    for (uint32_t i = 0; i < plugin->parameter_count; i++)
        if (json_array_append_new(parameters, describe_parameter(&plugin->parameters[i])))
            return NULL; /* a text that is not UTF-8 */
    return json_pack("{ss ss ss ss ss s[ii] ss so}", "kind", dipp_plugin_kind_name(plugin->kind), "name", plugin->name,
                     "version", plugin->version, "licence", plugin->licence, "summary", plugin->summary, "abi",
                     (int)plugin->abi_major, (int)plugin->abi_minor, "build_tag", plugin->build_tag, "parameters",
                     parameters);
}

static int write_to_pipe(const char *data, size_t size, void *context)
{
    (void)context;
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

static _Noreturn void probe_in_child(const char *path, int pipe_end, volatile int *stage)
{
    withdraw(pipe_end);
    dipp_error error = {0};
    const dipp_plugin *const *list = NULL;
    uint32_t count = 0;
    json_t *answer = NULL;
    if (dipp_plugin_library_open(path, stage, &list, &count, &error)) {
        answer = json_pack("{ss}", "error", error.message);
        if (!answer) /* jansson takes UTF-8 alone; a plugin's text need not be that */
            answer = json_pack("{ss}", "error", "its descriptors hold text that is not UTF-8");
    } else {
        json_t *plugins = json_array();
        for (uint32_t i = 0; i < count; i++) {
            json_t *one = describe_plugin(list[i]);
            if (!one || json_array_append_new(plugins, one))
                answer = json_pack("{ss}", "error", "expected texts of UTF-8 in the descriptors, found others");
        }
        if (!answer)
            answer = json_pack("{so}", "plugins", plugins);
    }
    *stage = DIPP_STAGE_DONE;
    _exit(answer && !json_dump_callback(answer, write_to_pipe, NULL, JSON_COMPACT) ? 0 : 1);
}

/* ---- The parent ------------------------------------------------------------------------------------------------ */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

typedef struct answer {
    char *data;
    size_t size, capacity;
    bool timed_out, too_long, no_memory;
} answer;

static void collect(int pipe_end, uint32_t timeout_ms, answer *a)
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
        if (a->size > ANSWER_LIMIT) {
            a->too_long = true;
            return;
        }
    }
}

static const char *stage_text(int stage)
{
    switch (stage) {
    case DIPP_STAGE_LOAD: return "while being loaded (its constructors ran)";
    case DIPP_STAGE_ENTRY: return "in " DIPP_PLUGIN_ENTRY_NAME "()";
    case DIPP_STAGE_CHECK: return "while its descriptors were read";
    }
    return "after it had described itself";
}

/* What an answer that is not a description means. */
static dipp_status explain(const answer *a, int wait_status, int stage, uint32_t timeout_ms, dipp_error *error)
{
    const char *where = stage_text(stage);
    if (a->no_memory)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the description of a plugin");
    if (a->timed_out)
        return dipp_fail(error, DIPP_E_PLUGIN, "expected a description within %u ms, found none: it hung %s",
                         (unsigned)timeout_ms, where);
    if (a->too_long)
        return dipp_fail(error, DIPP_E_PLUGIN, "expected a description of at most %d bytes, found more", ANSWER_LIMIT);
    if (WIFSIGNALED(wait_status))
        return dipp_fail(error, DIPP_E_PLUGIN, "expected a description, found a crash: signal %d (%s) %s",
                         WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)), where);
    return dipp_fail(error, DIPP_E_PLUGIN,
                     "expected a description, found that it ended the process (exit status %d) %s",
                     WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1, where);
}

dipp_status dipp_plugin_probe(const char *path, uint32_t timeout_ms, char **json, dipp_error *error)
{
    if (path[0] != '/')
        return dipp_fail(error, DIPP_E_INVALID, "%s: expected an absolute path to probe, found a relative one", path);
    int ends[2];
    volatile int *stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stage == MAP_FAILED)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory to probe it: %s", path, strerror(errno));
    if (pipe2(ends, O_CLOEXEC)) {
        int why = errno;
        munmap((void *)stage, sizeof *stage);
        return dipp_fail(error, DIPP_E_IO, "%s: no pipe to probe it: %s", path, strerror(why));
    }
    pid_t child = fork();
    if (child == 0)
        probe_in_child(path, ends[1], stage);
    int why = errno;
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        munmap((void *)stage, sizeof *stage);
        return dipp_fail(error, DIPP_E_IO, "%s: no process to probe it: %s", path, strerror(why));
    }
    answer a = {0};
    collect(ends[0], timeout_ms, &a);
    close(ends[0]);
    int reached = *stage;
    kill(child, SIGKILL); /* one that is ending has its exit status already and keeps it; one that is not hangs */
    int wait_status = 0;
    while (waitpid(child, &wait_status, 0) < 0 && errno == EINTR)
        ;
    munmap((void *)stage, sizeof *stage);

    bool whole = a.size && !a.timed_out && !a.too_long && !a.no_memory;
    json_t *root = whole ? json_loadb(a.data, a.size, 0, NULL) : NULL;
    const char *refusal = json_string_value(json_object_get(root, "error"));
    dipp_status status = DIPP_OK;
    if (refusal)
        status = dipp_fail(error, DIPP_E_PLUGIN, "%s", refusal);
    else if (!whole || !json_is_array(json_object_get(root, "plugins")))
        status = explain(&a, wait_status, reached, timeout_ms, error);
    else
        a.data[a.size] = 0; /* collect keeps room for it */
    json_decref(root);
    if (status) {
        dipp_release(a.data);
        return error ? dipp_error_context(error, "%s", path) : status;
    }
    *json = a.data;
    return DIPP_OK;
}
