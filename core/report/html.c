#include "report/html.h"

#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

static const char *reference_of(char c)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

/* XML 1.0 forbids some of these even as references; the others would change how the text around them is shown. */
static bool unfit(uint32_t code)
{
    bool bidirectional = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    return (code >= 0x80 && code < 0xa0) || bidirectional || (code & 0xfffe) == 0xfffe ||
           (code >= 0xfdd0 && code <= 0xfdef);
}

void dipp_html_text(dipp_text *out, const char *text)
{
    const char *plain = text ? text : ""; /* start of what needs no change */
    size_t left = strlen(plain);
    for (const char *at = plain; left;) {
        uint32_t code = 0;
        size_t length = dipp_utf8_decode(at, left, &code);
        const char *instead = length == 1 ? reference_of(*at) : NULL;
        char picture[4] = "\xe2\x90"; /* U+2400 */
        if (!length || (length > 1 && unfit(code)))
            instead = replacement;
        else if (code == 0x7f || (code < 0x20 && code != '\t' && code != '\n')) {
            picture[2] = (char)(code == 0x7f ? 0xa1 : 0x80 + (int)code);
            instead = picture;
        }
        length = length ? length : 1;
        if (instead) {
            dipp_text_append_n(out, plain, (size_t)(at - plain));
            dipp_text_append(out, instead);
            plain = at + length;
        }
        at += length;
        left -= length;
    }
    dipp_text_append(out, plain);
}

void dipp_html_textf(dipp_text *out, const char *format, ...)
{
    dipp_text plain = {0};
    va_list arguments;
    va_start(arguments, format);
    dipp_text_vprintf(&plain, format, arguments);
    va_end(arguments);
    dipp_html_text(out, plain.data);
    out->failed |= plain.failed;
    dipp_text_discard(&plain);
}

void dipp_html_attribute(dipp_text *out, const char *name, const char *text)
{
    dipp_text_printf(out, " %s=\"", name);
    dipp_html_text(out, text);
    dipp_text_append(out, "\"");
}

void dipp_html_element(dipp_text *out, const char *tag, const char *class_name, const char *text)
{
    dipp_text_printf(out, "<%s", tag);
    if (class_name)
        dipp_html_attribute(out, "class", class_name);
    dipp_text_append(out, ">");
    dipp_html_text(out, text);
    dipp_text_printf(out, "</%s>", tag);
}

void dipp_html_name(dipp_text *out, const char *text)
{
    dipp_html_element(out, "bdi", NULL, text);
}

char *dipp_html_shorten(const char *text, size_t characters, char *out, size_t bytes)
{
    static const char ellipsis[] = "\xe2\x80\xa6";
    size_t left = strlen(text), used = 0, count = 0, fits = 0; /* fits: what leaves room for the ellipsis */
    while (left) {
        uint32_t code = 0;
        size_t length = dipp_utf8_decode(text + used, left, &code);
        length = length ? length : 1;
        if (count == characters || used + length + sizeof ellipsis > bytes) {
            snprintf(out, bytes, "%.*s%s", (int)fits, text, ellipsis);
            return out;
        }
        used += length;
        left -= length;
        if (++count < characters)
            fits = used;
    }
    snprintf(out, bytes, "%s", text);
    return out;
}

void dipp_html_base64(dipp_text *out, const void *bytes, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = bytes;
    char piece[1024];
    size_t used = 0;
    for (size_t i = 0; i < count; i += 3) {
        uint32_t three = (uint32_t)in[i] << 16 | (i + 1 < count ? (uint32_t)in[i + 1] << 8 : 0) |
                         (i + 2 < count ? (uint32_t)in[i + 2] : 0);
        piece[used++] = digits[three >> 18];
        piece[used++] = digits[three >> 12 & 63];
        piece[used++] = i + 1 < count ? digits[three >> 6 & 63] : '=';
        piece[used++] = i + 2 < count ? digits[three & 63] : '=';
        if (used == sizeof piece) {
            dipp_text_append_n(out, piece, used);
            used = 0;
        }
    }
    dipp_text_append_n(out, piece, used);
}

char *dipp_html_number(double value, int digits, bool signed_always, char out[DIPP_HTML_NUMBER_BYTES])
{
    char figures[32] = "";
    double size = fabs(value);
    if (isnan(value))
        return strcpy(out, "nan");
    if (isinf(value)) {
        snprintf(figures, sizeof figures, "%s", "\xe2\x88\x9e");
    } else if (size == 0) {
        snprintf(figures, sizeof figures, "0");
    } else {
        snprintf(figures, sizeof figures, "%.*e", digits - 1, size);
        int exponent = atoi(strchr(figures, 'e') + 1); /* after rounding to these digits */
        if (exponent >= -4 && exponent < 6)
            snprintf(figures, sizeof figures, "%.*f", digits - 1 > exponent ? digits - 1 - exponent : 0, size);
    }
    const char *sign = size == 0 ? "" : value < 0 ? "\xe2\x88\x92" : signed_always ? "+" : "";
    snprintf(out, DIPP_HTML_NUMBER_BYTES, "%s%s", sign, figures);
    return out;
}
