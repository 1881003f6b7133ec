#include "text/html.h"
#include "text/html_entities.h"

#include <stdlib.h>
#include <string.h>

int32_t dipp_windows_1252(int32_t code)
{
    static const uint16_t characters[32] = {0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021,
                                            0x2c6,  0x2030, 0x160,  0x2039, 0x152,  0x8d,   0x17d,  0x8f,
                                            0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                            0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};
    return code >= 0x80 && code <= 0x9f ? characters[code - 0x80] : code;
}

static bool is_ascii_digit(int32_t code, bool hexadecimal)
{
    return (code >= '0' && code <= '9') ||
           (hexadecimal && ((code >= 'a' && code <= 'f') || (code >= 'A' && code <= 'F')));
}

/* What a number stands for; code points that HTML does not allow give nothing. */
static void append_number(dipp_codes *out, uint32_t number)
{
    if (!number || number > 0x10ffff || (number >= 0xd800 && number <= 0xdfff))
        dipp_codes_append(out, 0xfffd);
    else if (number >= 0x80 && number <= 0x9f)
        dipp_codes_append(out, dipp_windows_1252((int32_t)number));
    else if (!(number < 0x20 && number != '\t' && number != '\n' && number != '\f' && number != '\r') &&
             number != 0x7f && !(number >= 0xfdd0 && number <= 0xfdef) && (number & 0xfffe) != 0xfffe)
        dipp_codes_append(out, (int32_t)number);
}

/* "#65;" at text, without the '&'; how many code points it takes, 0 when it is none. */
static size_t take_number(const int32_t *text, size_t count, bool strict, dipp_codes *out)
{
    bool hexadecimal = count > 1 && (text[1] == 'x' || text[1] == 'X');
    size_t start = hexadecimal ? 2 : 1, at = start;
    uint32_t number = 0;
    for (; at < count && is_ascii_digit(text[at], hexadecimal); at++) {
        int32_t digit = text[at];
        number = number * (hexadecimal ? 16 : 10) + (uint32_t)(digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10);
        if (number > 0x110000)
            number = 0x110000; /* too much, however it goes on */
    }
    bool closed = at < count && text[at] == ';';
    if (at == start || (strict && !closed))
        return 0;
    append_number(out, number);
    return at + closed;
}

static size_t matched(const char *name, size_t length, const int32_t *text, size_t count)
{
    if (length > count)
        return 0;
    for (size_t i = 0; i < length; i++)
        if (text[i] != (unsigned char)name[i])
            return 0;
    return length;
}

/* The longest name at text, without the '&'; how many code points it takes, 0 when there is none. */
static size_t take_name(const int32_t *text, size_t count, bool strict, dipp_codes *out)
{
    enum { NAME_MOST = 32 }; /* a reference is looked for among so many characters, and a semicolon */
    size_t run = 0;
    while (run < count && run < NAME_MOST &&
           !strchr("\t\n\f <&#;", text[run] < 0x80 && text[run] ? (int)text[run] : 'x'))
        run++;
    bool semicolon = run < count && text[run] == ';';
    bool upper = run && text[0] >= 'A' && text[0] <= 'Z', lower = run && text[0] >= 'a' && text[0] <= 'z';
    if (!upper && !lower)
        return 0;
    const char *at = dipp_html_entities[lower][text[0] - (lower ? 'a' : 'A')], *best = NULL;
    size_t longest = 0;
    while (*at) {
        bool bare = *at == '!';
        const char *name = at + bare, *codes = strchr(name, '=');
        size_t length = (size_t)(codes - name);
        size_t found = matched(name, length, text, run);
        if (found && found == run && semicolon)
            found++;
        else if (!bare || strict)
            found = 0;
        if (found > longest) {
            longest = found;
            best = codes + 1;
        }
        at = strchr(codes, ' ') + 1;
    }
    while (best) {
        char *end;
        dipp_codes_append(out, (int32_t)strtol(best, &end, 16));
        best = *end == ',' ? end + 1 : NULL;
    }
    return longest;
}

bool dipp_html_unescape(dipp_codes *text, bool strict)
{
    dipp_codes out = {0};
    bool any = false;
    for (size_t at = 0; at < text->count;) {
        size_t taken = 0, left = text->count - at - 1;
        const int32_t *rest = text->codes + at + 1;
        if (text->codes[at] == '&' && left)
            taken = *rest == '#' ? take_number(rest, left, strict, &out) : take_name(rest, left, strict, &out);
        if (!taken)
            dipp_codes_append(&out, text->codes[at]);
        any |= taken > 0;
        at += 1 + taken;
    }
    out.failed |= text->failed;
    dipp_codes_clear(text);
    *text = out;
    return any;
}
