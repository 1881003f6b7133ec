#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t dipp_clock_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double dipp_clock_wall_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

char *dipp_clock_text(double wall_seconds, char out[DIPP_TIME_TEXT_BYTES])
{
    double milliseconds = floor(wall_seconds * 1000 + 0.5);
    struct tm parts;
    if (!(milliseconds >= -62167219200e3 && milliseconds < 253402300800e3))
        return strcpy(out, "invalid time");
    time_t seconds = (time_t)floor(milliseconds / 1000);
    int rest = (int)(milliseconds - (double)seconds * 1000);
    if (!gmtime_r(&seconds, &parts))
        return strcpy(out, "invalid time");
    size_t used = strftime(out, DIPP_TIME_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out + used, DIPP_TIME_TEXT_BYTES - used, ".%03dZ", rest % 1000);
    return out;
}
