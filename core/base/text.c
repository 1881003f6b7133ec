#include "base/text.h"
#include "base/memory.h"

#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *reserve(dipp_text *text, size_t addition)
{
    if (text->failed || addition > SIZE_MAX - text->length - 1 ||
        !dipp_grow((void **)&text->data, &text->capacity, text->length + addition + 1, 1)) {
        text->failed = true;
        return NULL;
    }
    return text->data + text->length;
}

void dipp_text_append_n(dipp_text *text, const char *addition, size_t bytes)
{
    char *end = reserve(text, bytes);
    if (!end)
        return;
    if (bytes)
        memcpy(end, addition, bytes);
    end[bytes] = 0;
    text->length += bytes;
}

void dipp_text_append(dipp_text *text, const char *addition)
{
    dipp_text_append_n(text, addition, strlen(addition));
}

void dipp_text_vprintf(dipp_text *text, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int bytes = vsnprintf(NULL, 0, format, arguments);
    if (bytes < 0)
        text->failed = true;
    char *end = reserve(text, bytes < 0 ? 0 : (size_t)bytes);
    if (end) {
        vsnprintf(end, (size_t)bytes + 1, format, again);
        text->length += (size_t)bytes;
    }
    va_end(again);
}

void dipp_text_printf(dipp_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    dipp_text_vprintf(text, format, arguments);
    va_end(arguments);
}

void dipp_text_append_double(dipp_text *text, double value)
{
    char number[DIPP_DOUBLE_TEXT_BYTES];
    dipp_text_append(text, dipp_format_double(value, number));
}

char *dipp_text_finish(dipp_text *text)
{
    dipp_text_append_n(text, "", 0);
    if (text->failed) {
        dipp_text_discard(text);
        return NULL;
    }
    char *data = text->data;
    *text = (dipp_text){0};
    return data;
}

void dipp_text_discard(dipp_text *text)
{
    dipp_release(text->data);
    *text = (dipp_text){0};
}

char *dipp_format_double(double value, char out[DIPP_DOUBLE_TEXT_BYTES])
{
    if (!isfinite(value))
        return strcpy(out, isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
    if (value == 0)
        return strcpy(out, signbit(value) ? "-0" : "0");
    char scientific[40]; /* d.ddde+XX in the current locale, which strtod reads in the same locale */
    int digits = 1;
    for (; digits < 17; digits++) {
        snprintf(scientific, sizeof scientific, "%.*e", digits - 1, fabs(value));
        if (strtod(scientific, NULL) == fabs(value))
            break;
    }
    snprintf(scientific, sizeof scientific, "%.*e", digits - 1, fabs(value));
    char figures[18] = "";
    int count = 0;
    const char *next = scientific;
    for (; *next != 'e'; next++)
        if (*next >= '0' && *next <= '9')
            figures[count++] = *next;
    int exponent = atoi(next + 1);
    char *end = out;
    if (value < 0)
        *end++ = '-';
    if (exponent >= -4 && exponent < 16) {
        if (exponent < 0) {
            *end++ = '0', *end++ = '.';
            for (int i = -1; i > exponent; i--)
                *end++ = '0';
        }
        for (int i = 0; i < count || i <= exponent; i++) {
            *end++ = i < count ? figures[i] : '0';
            if (i == exponent && i + 1 < count)
                *end++ = '.';
        }
        *end = 0;
    } else {
        *end++ = figures[0];
        if (count > 1) {
            *end++ = '.';
            memcpy(end, figures + 1, (size_t)count - 1);
            end += count - 1;
        }
        snprintf(end, 7, "e%+03d", exponent);
    }
    return out;
}

bool dipp_parse_double(const char *text, double *value)
{
    const char *body = text + (*text == '-' || *text == '+');
    bool number = (*body >= '0' && *body <= '9') || *body == '.';
    if (!number && strcmp(body, "inf") && strcmp(body, "nan"))
        return false;
    if (number && body[strspn(body, "0123456789.eE+-")])
        return false;
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* glibc hands out a static object for "C" */
    if (!plain)
        return false;
    char *end;
    double result = strtod_l(text, &end, plain);
    freelocale(plain);
    if (end == text || *end || (number && isinf(result)))
        return false;
    *value = result;
    return true;
}

size_t dipp_edit_distance(const char *a, const char *b)
{
    enum { LIMIT = 127 };
    size_t columns = strlen(b), rows = strlen(a);
    if (rows > LIMIT || columns > LIMIT)
        return strcmp(a, b) ? (rows > columns ? rows : columns) : 0;
    uint8_t lines[3][LIMIT + 1];
    uint8_t *two_up = lines[0], *up = lines[1], *line = lines[2];
    for (size_t j = 0; j <= columns; j++)
        line[j] = (uint8_t)j;
    for (size_t i = 1; i <= rows; i++) {
        uint8_t *spare = two_up;
        two_up = up, up = line, line = spare;
        line[0] = (uint8_t)i;
        for (size_t j = 1; j <= columns; j++) {
            unsigned best = up[j - 1] + (a[i - 1] != b[j - 1]);
            if (up[j] + 1u < best)
                best = up[j] + 1u;
            if (line[j - 1] + 1u < best)
                best = line[j - 1] + 1u;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two_up[j - 2] + 1u < best)
                best = two_up[j - 2] + 1u;
            line[j] = (uint8_t)best;
        }
    }
    return line[columns];
}

const char *dipp_nearest_word(const char *word, const char *const *candidates, size_t count)
{
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(word), other = strlen(candidates[i]);
        size_t allowed = (length > other ? length : other) / 3;
        size_t distance = dipp_edit_distance(word, candidates[i]);
        if (distance <= (allowed ? allowed : 1) && distance < least) {
            nearest = candidates[i];
            least = distance;
        }
    }
    return nearest;
}
