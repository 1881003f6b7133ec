#include "base/memory.h"
#include "base/text.h"
#include "experiment/diagnostics.h"
#include "experiment/visible.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_FAULTS = 50, LINE_WIDTH = 110 };

struct kept {
    char *text;
    unsigned order;
    uint32_t line, column;
    size_t number; /* of arrival, for a stable order */
};

struct dipp_diagnostics {
    size_t errors, warnings, unseen;
    size_t count;
    struct kept faults[KEPT_FAULTS];
    dipp_text rendered;
};

dipp_diagnostics *dipp_diagnostics_create(void)
{
    return dipp_allocate_zeroed(1, sizeof(dipp_diagnostics));
}

void dipp_diagnostics_destroy(dipp_diagnostics **diagnostics)
{
    if (!diagnostics || !*diagnostics)
        return;
    for (size_t i = 0; i < (*diagnostics)->count; i++)
        dipp_release((*diagnostics)->faults[i].text);
    dipp_text_discard(&(*diagnostics)->rendered);
    dipp_release(*diagnostics);
    *diagnostics = NULL;
}

void dipp_mark_describe(const dipp_mark *mark, char *out, size_t bytes)
{
    if (!mark || !mark->source)
        snprintf(out, bytes, "default");
    else if (mark->source->override || !mark->line)
        snprintf(out, bytes, "%s", mark->source->name);
    else
        snprintf(out, bytes, "%s:%u:%u", mark->source->name, (unsigned)mark->line, (unsigned)mark->column);
}

/* Bytes of a line break as libyaml counts them, 0 when there is none at text. */
static size_t line_break(const char *text, size_t bytes)
{
    if (text[0] == '\r')
        return bytes > 1 && text[1] == '\n' ? 2 : 1;
    if (text[0] == '\n')
        return 1;
    if (bytes > 1 && !memcmp(text, "\xc2\x85", 2))
        return 2;
    if (bytes > 2 && (!memcmp(text, "\xe2\x80\xa8", 3) || !memcmp(text, "\xe2\x80\xa9", 3)))
        return 3;
    return 0;
}

static void source_line(const dipp_yaml_source *source, uint32_t number, const char **line, size_t *bytes)
{
    size_t at = 0;
    for (uint32_t current = 1; current < number && at < source->bytes;) {
        size_t length = line_break(source->text + at, source->bytes - at);
        current += length > 0;
        at += length ? length : 1;
    }
    size_t end = at;
    while (end < source->bytes && !line_break(source->text + end, source->bytes - end))
        end++;
    *line = source->text + at;
    *bytes = end - at;
}

static size_t characters(const char *text, size_t bytes, size_t limit, size_t *passed)
{
    size_t at = 0, count = 0;
    while (at < bytes && count < limit) {
        uint32_t code;
        size_t length = dipp_utf8_decode(text + at, bytes - at, &code);
        at += length ? length : 1;
        count++;
    }
    *passed = at;
    return count;
}

/* The line with an underline below it; a long line is cut to the part around the mark. */
static void show_line(dipp_text *out, const dipp_mark *mark)
{
    const char *line;
    size_t bytes, skipped = 0, at;
    source_line(mark->source, mark->line, &line, &bytes);
    uint32_t column = mark->column ? mark->column - 1 : 0;
    size_t total = characters(line, bytes, SIZE_MAX, &at);
    if (column > total)
        column = (uint32_t)total;
    if (total > LINE_WIDTH && column > LINE_WIDTH / 2)
        skipped = column - LINE_WIDTH / 2;
    characters(line, bytes, skipped, &at);
    char margin[32];
    int width = mark->source->override ? snprintf(margin, sizeof margin, "   ")
                                       : snprintf(margin, sizeof margin, "%5u", (unsigned)mark->line);
    dipp_text_printf(out, "\n%s | %s", margin, skipped ? "..." : "");
    dipp_text_append_visible(out, line + at, bytes - at, LINE_WIDTH);
    dipp_text_printf(out, "\n%*s | %*s^", width, "", (int)(column - skipped) + (skipped ? 3 : 0), "");
    size_t length = mark->length > 1 ? mark->length - 1 : 0;
    if (length > total - column)
        length = total - column ? total - column - 1 : 0;
    if (length > LINE_WIDTH / 2)
        length = LINE_WIDTH / 2;
    for (size_t i = 0; i < length; i++)
        dipp_text_append_n(out, "~", 1);
}

static void detail(dipp_text *out, const char *name, const char *text)
{
    if (text && *text)
        dipp_text_printf(out, "\n      %s: %s", name, text);
}

void dipp_diagnostics_add(dipp_diagnostics *diagnostics, const dipp_fault *fault, const char *format, ...)
{
    static const dipp_fault nothing;
    if (!fault)
        fault = &nothing;
    const dipp_mark *mark = fault->mark && fault->mark->source ? fault->mark : NULL;
    dipp_text out = {0};
    if (mark) {
        dipp_text_append_n(&out, mark->source->name, strlen(mark->source->name));
        if (mark->line && !mark->source->override)
            dipp_text_printf(&out, ":%u:%u", (unsigned)mark->line, (unsigned)mark->column);
        dipp_text_append_n(&out, ": ", 2);
    }
    if (fault->severity == DIPP_SEVERITY_WARNING)
        dipp_text_append_n(&out, "warning: ", 9);
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    dipp_text_append_visible(&out, message, strlen(message), sizeof message);
    if (mark && mark->line)
        show_line(&out, mark);
    detail(&out, "key", fault->path);
    detail(&out, "expected", fault->expected);
    const char *nearest = fault->word ? dipp_nearest_word(fault->word, fault->names, fault->name_count) : NULL;
    if (!nearest)
        nearest = fault->elsewhere;
    if (nearest)
        dipp_text_printf(&out, "\n      did you mean `%s`?", nearest);
    detail(&out, "hint", fault->hint);

    if (!out.failed)
        for (size_t i = 0; i < diagnostics->count; i++)
            if (!strcmp(diagnostics->faults[i].text, out.data)) {
                dipp_text_discard(&out);
                return;
            }
    if (fault->severity == DIPP_SEVERITY_WARNING)
        diagnostics->warnings++;
    else
        diagnostics->errors++;
    if (out.failed || diagnostics->count == KEPT_FAULTS) {
        diagnostics->unseen++;
        dipp_text_discard(&out);
        return;
    }
    diagnostics->faults[diagnostics->count] = (struct kept){.text = out.data,
                                                            .order = mark ? mark->source->order : UINT32_MAX,
                                                            .line = mark ? mark->line : 0,
                                                            .column = mark ? mark->column : 0,
                                                            .number = diagnostics->count};
    diagnostics->count++;
}

size_t dipp_diagnostics_errors(const dipp_diagnostics *diagnostics)
{
    return diagnostics->errors;
}

size_t dipp_diagnostics_warnings(const dipp_diagnostics *diagnostics)
{
    return diagnostics->warnings;
}

static int by_place(const void *left, const void *right)
{
    const struct kept *a = left, *b = right;
    if (a->order != b->order)
        return a->order < b->order ? -1 : 1;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

const char *dipp_diagnostics_text(dipp_diagnostics *diagnostics)
{
    dipp_text_discard(&diagnostics->rendered);
    dipp_text *out = &diagnostics->rendered;
    dipp_text_append_n(out, "", 0);
    qsort(diagnostics->faults, diagnostics->count, sizeof *diagnostics->faults, by_place);
    for (size_t i = 0; i < diagnostics->count; i++) {
        dipp_text_append_n(out, "\n", i ? 1 : 0);
        dipp_text_printf(out, "%s\n", diagnostics->faults[i].text);
    }
    if (diagnostics->unseen)
        dipp_text_printf(out, "\nand %zu more\n", diagnostics->unseen);
    return out->failed ? NULL : out->data;
}
