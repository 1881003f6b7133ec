#include "cli/progress.h"

#include "base/clock.h"
#include "cli/common.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PLAIN_EVERY_SECONDS = 15 };

char *cli_duration(double seconds, char out[24])
{
    long whole = seconds > 0 && seconds < 1e9 ? lround(seconds) : 0;
    if (whole >= 3600)
        snprintf(out, 24, "%ldh%02ldm", whole / 3600, whole / 60 % 60);
    else if (whole >= 60)
        snprintf(out, 24, "%ldm%02lds", whole / 60, whole % 60);
    else
        snprintf(out, 24, "%lds", whole);
    return out;
}

void cli_progress_begin(cli_progress *progress, bool quiet)
{
    *progress =
        (cli_progress){.quiet = quiet, .live = !quiet && cli_is_terminal(stderr), .colour = cli_colours(stderr)};
}

static int columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 100;
}

/* Appends to the text in out; what does not fit is cut off. */
__attribute__((format(printf, 3, 4))) static void add(char *out, size_t size, const char *format, ...)
{
    size_t used = strlen(out);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out + used, size - used, format, arguments);
    va_end(arguments);
}

static void describe(const dipp_planned_cell *planned, const dipp_run_progress *at, char *out, size_t size)
{
    char eta[24];
    *out = 0;
    add(out, size, "%s:%lld  ", planned->cell->arm, (long long)planned->cell->seed);
    if (!at->steps) {
        add(out, size, "starting");
        return;
    }
    add(out, size, "%lld/%lld", (long long)at->step, (long long)at->steps);
    if (at->rate > 0)
        add(out, size, "  %.*f it/s  ETA %s", at->rate < 10 ? 2 : 0, at->rate,
            cli_duration((double)(at->steps - at->step) / at->rate, eta));
    if (!isnan(at->loss))
        add(out, size, "  loss %.4g", at->loss);
    if (!isnan(at->reward))
        add(out, size, "  reward %.4g", at->reward);
    if (!isnan(at->ikl))
        add(out, size, "  ikl %.4g", at->ikl);
}

static void erase(cli_progress *progress)
{
    if (progress->drawn)
        fprintf(stderr, "\033[%dA\033[J", progress->drawn);
    progress->drawn = 0;
}

static void draw(cli_progress *progress)
{
    int width = columns();
    erase(progress);
    for (int i = 0; i < CLI_PROGRESS_LINES; i++) {
        char text[512];
        if (!progress->lines[i].planned)
            continue;
        describe(progress->lines[i].planned, &progress->lines[i].progress, text, sizeof text);
        fprintf(stderr, "%.*s\n", width - 1, text);
        progress->drawn++;
    }
    fflush(stderr);
}

/* One line that stays: with the time where nobody watches. */
static void say(cli_progress *progress, const char *colour, const char *text)
{
    char now[DIPP_TIME_TEXT_BYTES];
    if (progress->live) {
        erase(progress);
        fprintf(stderr, "%s%s%s\n", progress->colour ? colour : "", text, progress->colour && *colour ? "\033[0m" : "");
        draw(progress);
    } else {
        fprintf(stderr, "%s %s\n", dipp_clock_text(dipp_clock_wall_seconds(), now), text);
        fflush(stderr);
    }
}

static cli_progress_line *line_of(cli_progress *progress, const dipp_planned_cell *planned)
{
    cli_progress_line *room = NULL;
    for (int i = 0; i < CLI_PROGRESS_LINES; i++) {
        if (progress->lines[i].planned == planned)
            return &progress->lines[i];
        if (!progress->lines[i].planned && !room)
            room = &progress->lines[i];
    }
    return room;
}

static void ended(cli_progress *progress, const dipp_planned_cell *planned, const dipp_run_progress *now,
                  const char *text)
{
    char message[DIPP_ERROR_MESSAGE_BYTES + 256], took[24];
    bool good = planned->status == DIPP_RUN_COMPLETED;
    bool saved = planned->status == DIPP_RUN_QUEUED || planned->status == DIPP_RUN_RUNNING;
    if (progress->quiet && good)
        return;
    snprintf(message, sizeof message, "%s:%lld  %s after %s%s%s", planned->cell->arm, (long long)planned->cell->seed,
             saved ? "stopped" : dipp_run_status_name(planned->status), cli_duration(now->seconds, took),
             text && *text ? ": " : "", text ? text : "");
    say(progress, good ? "\033[32m" : saved ? "\033[33m" : "\033[31m", message);
}

void cli_progress_event(void *context, dipp_run_event event, const dipp_planned_cell *planned,
                        const dipp_run_progress *now, const char *text)
{
    cli_progress *progress = context;
    cli_progress_line *line = line_of(progress, planned);
    char message[512];
    if (line && event != DIPP_RUN_EVENT_ENDED) {
        line->planned = planned;
        line->progress = *now;
    }
    if (event == DIPP_RUN_EVENT_ENDED) {
        if (line)
            *line = (cli_progress_line){0};
        ended(progress, planned, now, text);
        return;
    }
    if (progress->quiet)
        return;
    if (event == DIPP_RUN_EVENT_NOTE) {
        snprintf(message, sizeof message, "%s:%lld  %s", planned->cell->arm, (long long)planned->cell->seed, text);
        say(progress, "", message);
    } else if (!progress->live && line) {
        bool first = event == DIPP_RUN_EVENT_STARTED;
        if (first || now->seconds - line->said >= PLAIN_EVERY_SECONDS) {
            line->said = now->seconds;
            describe(planned, now, message, sizeof message);
            say(progress, "", message);
        }
    }
}

void cli_progress_idle(void *context)
{
    cli_progress *progress = context;
    if (progress->live)
        draw(progress);
}

void cli_progress_end(cli_progress *progress)
{
    if (progress->live)
        erase(progress);
    fflush(stderr);
}
