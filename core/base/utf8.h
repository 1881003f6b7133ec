/* One code point at a time, strictly (no overlong forms, no surrogates). */
#ifndef DIPP_BASE_UTF8_H
#define DIPP_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the code point at text (1 to 4) and its value; 0 when the bytes are no UTF-8. [any thread] */
static inline size_t dipp_utf8_decode(const char *text, size_t bytes, uint32_t *code)
{
    const unsigned char *at = (const unsigned char *)text;
    if (!bytes)
        return 0;
    if (at[0] < 0x80) {
        *code = at[0];
        return 1;
    }
    size_t length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (at[0] < 0xc2 || at[0] > 0xf4 || length > bytes)
        return 0;
    uint32_t value = at[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (at[i] & 0x3fu);
    }
    if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return 0;
    *code = value;
    return length;
}

/* Whether all bytes are UTF-8. [any thread] */
static inline bool dipp_utf8_valid(const char *text, size_t bytes)
{
    uint32_t code;
    for (size_t at = 0, length; at < bytes; at += length)
        if (!(length = dipp_utf8_decode(text + at, bytes - at, &code)))
            return false;
    return true;
}

#endif
