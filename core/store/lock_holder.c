/* Who holds a database's write lock, from /proc/locks. The files themselves are never opened here: closing a descriptor
 * of a file drops all POSIX locks that this process has on it, SQLite's included. */
#include "store/store_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool dipp_store_lock_holder(const char *path, bool wal, char *text, size_t size)
{
    /* The write lock is byte 120 of PATH-shm in WAL mode (sqlite.org/walformat.html), the reserved byte 0x40000001 of
     * the database otherwise (sqlite.org/fileformat2.html). */
    char file[4096];
    if (snprintf(file, sizeof file, "%s%s", path, wal ? "-shm" : "") >= (int)sizeof file)
        return false;
    unsigned long long byte = wal ? 120 : 0x40000001ULL;
    struct stat status;
    FILE *locks;
    if (stat(file, &status) != 0 || !(locks = fopen("/proc/locks", "r")))
        return false;
    char line[512];
    long holder = 0;
    while (holder <= 0 && fgets(line, sizeof line, locks)) {
        /* "1: POSIX  ADVISORY  WRITE 1234 08:01:5678 120 120"; the last number may be EOF */
        long pid;
        unsigned major, minor;
        unsigned long long inode, first, last;
        char kind[16], access[16], end[32];
        if (sscanf(line, "%*d: %15s %*s %15s %ld %x:%x:%llu %llu %31s", kind, access, &pid, &major, &minor, &inode,
                   &first, end) != 8 ||
            strcmp(kind, "POSIX") != 0 || strcmp(access, "WRITE") != 0 || inode != (unsigned long long)status.st_ino)
            continue;
        if (sscanf(end, "%llu", &last) != 1)
            last = ~0ULL;
        if (first <= byte && byte <= last)
            holder = pid;
    }
    fclose(locks);
    if (holder <= 0)
        return false;
    char command[64] = "";
    snprintf(file, sizeof file, "/proc/%ld/comm", holder);
    FILE *name = fopen(file, "r");
    if (name) {
        if (fgets(command, sizeof command, name))
            command[strcspn(command, "\n")] = 0;
        fclose(name);
    }
    if (command[0])
        snprintf(text, size, "process %ld (%s)", holder, command);
    else
        snprintf(text, size, "process %ld", holder);
    return true;
}
