#include "text/code_points.h"
#include "base/memory.h"

#include <string.h>
#include <utf8proc.h>

void dipp_codes_append(dipp_codes *text, int32_t code)
{
    if (text->failed || !dipp_grow((void **)&text->codes, &text->capacity, text->count + 1, sizeof *text->codes)) {
        text->failed = true;
        return;
    }
    text->codes[text->count++] = code;
}

void dipp_codes_clear(dipp_codes *text)
{
    dipp_release(text->codes);
    *text = (dipp_codes){0};
}

void dipp_codes_append_utf8(dipp_codes *text, const char *bytes, size_t size)
{
    const uint8_t *at = (const uint8_t *)bytes, *end = at + size;
    while (at < end) {
        uint8_t first = *at++;
        if (first < 0x80) {
            dipp_codes_append(text, first);
            continue;
        }
        int more = first >= 0xc2 && first <= 0xdf   ? 1
                   : first >= 0xe0 && first <= 0xef ? 2
                   : first >= 0xf0 && first <= 0xf4 ? 3
                                                    : 0;
        int32_t code = more ? first & (0x3f >> more) : 0xfffd;
        /* The second byte's range keeps out overlong forms, surrogates and what is beyond U+10FFFF. */
        uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        for (; more; more--) {
            if (at == end || *at < low || *at > high) {
                code = 0xfffd;
                break;
            }
            code = code << 6 | (*at++ & 0x3f);
            low = 0x80;
            high = 0xbf;
        }
        dipp_codes_append(text, code);
    }
}

size_t dipp_code_to_utf8(int32_t code, char out[4])
{
    return (size_t)utf8proc_encode_char(code, (utf8proc_uint8_t *)out);
}

static int combining_class(int32_t code)
{
    return utf8proc_get_property(code)->combining_class;
}

void dipp_codes_decompose(dipp_codes *text)
{
    enum { LONGEST = 8 }; /* four code points are the most that one decomposes to */
    dipp_codes out = {0};
    for (size_t i = 0; i < text->count; i++) {
        utf8proc_int32_t parts[LONGEST];
        int boundary = 0;
        utf8proc_ssize_t count =
            utf8proc_decompose_char(text->codes[i], parts, LONGEST, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &boundary);
        for (utf8proc_ssize_t k = 0; k < count && k < LONGEST; k++) {
            dipp_codes_append(&out, parts[k]);
            int class = combining_class(parts[k]);
            for (size_t place = out.failed ? 0 : out.count - 1; class && place; place--) { /* into canonical order */
                int32_t before = out.codes[place - 1];
                if (combining_class(before) <= class)
                    break;
                out.codes[place - 1] = out.codes[place];
                out.codes[place] = before;
            }
        }
    }
    out.failed |= text->failed;
    dipp_codes_clear(text);
    *text = out;
}

void dipp_codes_compose(dipp_codes *text)
{
    dipp_codes_decompose(text);
    if (text->failed || !text->count)
        return;
    utf8proc_ssize_t count =
        utf8proc_normalize_utf32(text->codes, (utf8proc_ssize_t)text->count, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    text->count = count < 0 ? 0 : (size_t)count;
}

void dipp_codes_append_narrow(dipp_codes *text, int32_t code)
{
    utf8proc_int32_t parts[8];
    int boundary = 0;
    utf8proc_ssize_t count =
        code >= 0xff01 && code <= 0xffef
            ? utf8proc_decompose_char(code, parts, 8, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_STABLE, &boundary)
            : 0;
    if (count < 1 || count > 8)
        dipp_codes_append(text, code);
    for (utf8proc_ssize_t i = 0; i < count && i < 8; i++)
        dipp_codes_append(text, parts[i]);
}

typedef struct code_range {
    int32_t first, last;
} code_range;

static bool in_ranges(int32_t code, const code_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

/* The property Cased: the letters with case, and what Unicode lists as Other_Lowercase and Other_Uppercase. */
static bool is_cased(int32_t code)
{
    static const code_range more[] = {
        {0xaa, 0xaa},       {0xba, 0xba},       {0x2b0, 0x2b8},     {0x2c0, 0x2c1},   {0x2e0, 0x2e4},
        {0x345, 0x345},     {0x37a, 0x37a},     {0x1d2c, 0x1d6a},   {0x1d78, 0x1d78}, {0x1d9b, 0x1dbf},
        {0x2071, 0x2071},   {0x207f, 0x207f},   {0x2090, 0x209c},   {0x2160, 0x217f}, {0x24b6, 0x24e9},
        {0x2c7c, 0x2c7d},   {0xa69c, 0xa69d},   {0xa770, 0xa770},   {0xa7f8, 0xa7f9}, {0xab5c, 0xab5f},
        {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189},
    };
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT: return true;
    default: return in_ranges(code, more, sizeof more / sizeof *more);
    }
}

/* The property Case_Ignorable: marks, formats, modifiers, and punctuation that stands inside words. */
static bool is_case_ignorable(int32_t code)
{
    static const code_range more[] = {{0x27, 0x27},     {0x2e, 0x2e},     {0x3a, 0x3a},     {0xb7, 0xb7},
                                      {0x387, 0x387},   {0x55f, 0x55f},   {0x5f4, 0x5f4},   {0x2018, 0x2019},
                                      {0x2024, 0x2024}, {0x2027, 0x2027}, {0xfe13, 0xfe13}, {0xfe52, 0xfe52},
                                      {0xfe55, 0xfe55}, {0xff07, 0xff07}, {0xff0e, 0xff0e}, {0xff1a, 0xff1a}};
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: return in_ranges(code, more, sizeof more / sizeof *more);
    }
}

/* A cased letter before it and none behind, not counting what is ignorable. */
static bool ends_word(const dipp_codes *text, size_t place)
{
    size_t before = place, behind = place + 1;
    while (before && is_case_ignorable(text->codes[before - 1]))
        before--;
    while (behind < text->count && is_case_ignorable(text->codes[behind]))
        behind++;
    return before && is_cased(text->codes[before - 1]) && !(behind < text->count && is_cased(text->codes[behind]));
}

static void lower(dipp_codes *text, bool words)
{
    enum { CAPITAL_SIGMA = 0x3a3, SIGMA = 0x3c3, FINAL_SIGMA = 0x3c2, DOTTED_CAPITAL_I = 0x130, DOT_ABOVE = 0x307 };
    dipp_codes out = {0};
    for (size_t i = 0; i < text->count; i++) {
        int32_t code = text->codes[i];
        if (code == DOTTED_CAPITAL_I) {
            dipp_codes_append(&out, 'i');
            dipp_codes_append(&out, DOT_ABOVE);
        } else if (code == CAPITAL_SIGMA) {
            dipp_codes_append(&out, words && ends_word(text, i) ? FINAL_SIGMA : SIGMA);
        } else {
            dipp_codes_append(&out, utf8proc_tolower(code));
        }
    }
    out.failed |= text->failed;
    dipp_codes_clear(text);
    *text = out;
}

size_t dipp_codes_cluster(const int32_t *codes, size_t count)
{
    utf8proc_int32_t state = 0;
    size_t length = 1;
    while (length < count && !utf8proc_grapheme_break_stateful(codes[length - 1], codes[length], &state))
        length++;
    return length;
}

void dipp_codes_lower(dipp_codes *text)
{
    lower(text, false);
}

void dipp_codes_lower_words(dipp_codes *text)
{
    lower(text, true);
}

bool dipp_code_is_letter(int32_t code)
{
    utf8proc_category_t category = utf8proc_category(code);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool dipp_code_is_number(int32_t code)
{
    utf8proc_category_t category = utf8proc_category(code);
    return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool dipp_code_is_accent(int32_t code)
{
    return utf8proc_category(code) == UTF8PROC_CATEGORY_MN;
}

bool dipp_code_is_punctuation(int32_t code)
{
    utf8proc_category_t category = utf8proc_category(code);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool dipp_code_is_other(int32_t code)
{
    utf8proc_category_t category = utf8proc_category(code);
    return category == UTF8PROC_CATEGORY_CN || (category >= UTF8PROC_CATEGORY_CC && category <= UTF8PROC_CATEGORY_CO);
}

bool dipp_code_is_space(int32_t code)
{
    utf8proc_category_t category = utf8proc_category(code);
    return (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP) || (code >= 9 && code <= 13) ||
           code == 0x85;
}

bool dipp_code_is_python_space(int32_t code)
{
    return dipp_code_is_space(code) || (code >= 0x1c && code <= 0x1f);
}
