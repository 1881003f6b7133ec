#include "base/resident.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

/* A line of /proc/self/status that is given in kB. */
static size_t status_bytes(const char *key)
{
    FILE *file = fopen("/proc/self/status", "r");
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
    return status_bytes("VmRSS:");
}

size_t dipp_resident_most(void)
{
    return status_bytes("VmHWM:");
}
