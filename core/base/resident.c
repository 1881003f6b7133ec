#include "base/resident.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

/* A line of a file under /proc that is given in kB. */
static size_t bytes_in(const char *path, const char *key)
{
    FILE *file = fopen(path, "r");
    char line[128];
    unsigned long long kib = 0;
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, key, strlen(key)) && sscanf(line + strlen(key), "%llu", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return (size_t)kib * 1024;
}

size_t dipp_resident_now(void)
{
    malloc_trim(0);
    return bytes_in("/proc/self/status", "VmRSS:");
}

size_t dipp_resident_most(void)
{
    return bytes_in("/proc/self/status", "VmHWM:");
}

void dipp_machine_memory(size_t *available, size_t *total)
{
    *available = bytes_in("/proc/meminfo", "MemAvailable:");
    *total = bytes_in("/proc/meminfo", "MemTotal:");
}
