/* Loaded before libc (LD_PRELOAD): a system whose disk is full for some files, and whose wall clock jumps.
 * DIPP_TEST_FULL=TEXT: writing to a file whose path has TEXT in it finds no space.
 * DIPP_TEST_CLOCK=SECONDS@CALLS: from so many looks at it on, the wall clock of a process is off by so many seconds. */
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static bool is_full(int descriptor)
{
    const char *text = getenv("DIPP_TEST_FULL");
    char link[64], path[PATH_MAX];
    if (!text)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    return strstr(path, text) != NULL;
}

ssize_t write(int descriptor, const void *data, size_t bytes)
{
    if (is_full(descriptor)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_write, descriptor, data, bytes);
}

ssize_t pwrite64(int descriptor, const void *data, size_t bytes, off64_t offset)
{
    if (is_full(descriptor)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, descriptor, data, bytes, offset);
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    static atomic_long calls;
    const char *text = clock == CLOCK_REALTIME ? getenv("DIPP_TEST_CLOCK") : NULL;
    long seconds, from;
    int result = (int)syscall(SYS_clock_gettime, clock, out);
    if (text && sscanf(text, "%ld@%ld", &seconds, &from) == 2 && calls++ >= from)
        out->tv_sec += seconds;
    return result;
}
