/* Two clocks: one for intervals, one for the calendar. */
#ifndef DIPP_BASE_CLOCK_H
#define DIPP_BASE_CLOCK_H

#include <stdint.h>

enum { DIPP_TIME_TEXT_BYTES = 32 };

/* Nanoseconds since an arbitrary start; never goes back; for intervals. [any thread] */
uint64_t dipp_clock_monotonic_ns(void);

/* Seconds since 1970-01-01 UTC; may be set by somebody; for records. [any thread] */
double dipp_clock_wall_seconds(void);

/* "2026-01-31T12:34:56.789Z" of such a time; outside the years 0 to 9999 "invalid time". Returns out. [any thread] */
char *dipp_clock_text(double wall_seconds, char out[DIPP_TIME_TEXT_BYTES]);

#endif
