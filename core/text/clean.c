#include "text/clean.h"
#include "text/html.h"

#include <string.h>

static void replace(dipp_codes *text, dipp_codes *with)
{
    with->failed |= text->failed;
    dipp_codes_clear(text);
    *text = *with;
}

static void append_ascii(dipp_codes *out, const char *letters)
{
    for (; *letters; letters++)
        dipp_codes_append(out, (unsigned char)*letters);
}

/* Letters that were joined for typesetting or for another alphabet, as ftfy parts them. true when code was one. */
static bool part_ligature(dipp_codes *out, int32_t code)
{
    static const struct {
        uint16_t code;
        const char *letters;
    } joined[] = {{0x132, "IJ"},  {0x133, "ij"},  {0x1f1, "DZ"},   {0x1f2, "Dz"},   {0x1f3, "dz"}, {0x1c7, "LJ"},
                  {0x1c8, "Lj"},  {0x1c9, "lj"},  {0x1ca, "NJ"},   {0x1cb, "Nj"},   {0x1cc, "nj"}, {0xfb00, "ff"},
                  {0xfb01, "fi"}, {0xfb02, "fl"}, {0xfb03, "ffi"}, {0xfb04, "ffl"}, {0xfb06, "st"}};
    static const uint16_t others[][3] = {
        {0x149, 0x2bc, 'n'}, {0x1c4, 'D', 0x17d}, {0x1c5, 'D', 0x17e}, {0x1c6, 'd', 0x17e}, {0xfb05, 0x17f, 't'}};
    if (code < 0x132 || code > 0xfb06)
        return false;
    for (size_t i = 0; i < sizeof joined / sizeof *joined; i++)
        if (joined[i].code == code) {
            append_ascii(out, joined[i].letters);
            return true;
        }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i][0] == code) {
            dipp_codes_append(out, others[i][1]);
            dipp_codes_append(out, others[i][2]);
            return true;
        }
    return false;
}

/* Straight quotes for curled ones. */
static int32_t uncurl(int32_t code)
{
    return code == 0x2bc || (code >= 0x2018 && code <= 0x201b) ? '\'' : code >= 0x201c && code <= 0x201f ? '"' : code;
}

static bool is_dropped_control(int32_t code)
{
    return (code < 0x20 && code != '\t' && code != '\n' && code != '\f' && code != '\r') || code == 0x7f ||
           (code >= 0x206a && code <= 0x206f) || code == 0xfeff || (code >= 0xfff9 && code <= 0xfffc);
}

/* "ESC [ 0 ; 31 m": how many code points a terminal's escape at text takes, 0 when it is none. */
static size_t terminal_escape(const int32_t *text, size_t count)
{
    size_t at = 2;
    if (count < 3 || text[0] != 0x1b || text[1] != '[')
        return 0;
    while (at < count && ((text[at] >= '0' && text[at] <= '9') || text[at] == ';'))
        at++;
    bool letter = at < count && ((text[at] >= 'A' && text[at] <= 'Z') || (text[at] >= 'a' && text[at] <= 'z'));
    return letter ? at + 1 : 0;
}

/* The steps of ftfy.fix_text that look at one character at a time, in its order. Its repair of text that was decoded
 * in a wrong encoding is not done. */
static void fix_characters(dipp_codes *text)
{
    bool markup = false;
    for (size_t i = 0; i < text->count; i++)
        markup |= text->codes[i] == '<';
    while (!markup && dipp_html_unescape(text, true)) /* a reference is longer than what it stands for: this ends */
        ;
    dipp_codes out = {0};
    for (size_t i = 0; i < text->count; i++) {
        size_t escape = terminal_escape(text->codes + i, text->count - i);
        if (escape) {
            i += escape - 1;
            continue;
        }
        size_t first = out.count;
        int32_t code = dipp_windows_1252(text->codes[i]);
        if (code == 0x3000)
            dipp_codes_append(&out, ' ');
        else if (!part_ligature(&out, code))
            dipp_codes_append_narrow(&out, code);
        size_t kept = first;
        for (size_t k = first; k < out.count; k++)
            if (!is_dropped_control(out.codes[k]))
                out.codes[kept++] = uncurl(out.codes[k]);
        out.count = kept;
    }
    replace(text, &out);
    dipp_codes_compose(text);
}

/* Runs of space become one; with trim none is left at the ends. */
static void collapse_spaces(dipp_codes *text, bool (*is_space)(int32_t), bool trim)
{
    size_t kept = 0;
    for (size_t i = 0; i < text->count; i++) {
        if (!is_space(text->codes[i]))
            text->codes[kept++] = text->codes[i];
        else if (kept ? text->codes[kept - 1] != ' ' : !trim)
            text->codes[kept++] = ' ';
    }
    if (trim && kept && text->codes[kept - 1] == ' ')
        kept--;
    text->count = kept;
}

void dipp_clean_open_clip(dipp_codes *text)
{
    fix_characters(text);
    dipp_html_unescape(text, false);
    dipp_html_unescape(text, false);
    collapse_spaces(text, dipp_code_is_python_space, true);
    dipp_codes_lower_words(text);
}

void dipp_clean_hugging_face(dipp_codes *text)
{
    dipp_codes_compose(text);
    collapse_spaces(text, dipp_code_is_space, false);
    dipp_codes_lower(text);
}

static bool is_ideograph(int32_t code)
{
    return (code >= 0x4e00 && code <= 0x9fff) || (code >= 0x3400 && code <= 0x4dbf) ||
           (code >= 0x20000 && code <= 0x2a6df) || (code >= 0x2a700 && code <= 0x2b73f) ||
           (code >= 0x2b740 && code <= 0x2b81f) || (code >= 0x2b820 && code <= 0x2ceaf) ||
           (code >= 0xf900 && code <= 0xfaff) || (code >= 0x2f800 && code <= 0x2fa1f);
}

void dipp_clean_bert(dipp_codes *text)
{
    dipp_codes out = {0};
    for (size_t i = 0; i < text->count; i++) {
        int32_t code = text->codes[i];
        bool ideograph = is_ideograph(code), space = code == '\t' || code == '\n' || code == '\r';
        if (!space && (!code || code == 0xfffd || dipp_code_is_other(code)))
            continue;
        if (ideograph)
            dipp_codes_append(&out, ' ');
        dipp_codes_append(&out, space || dipp_code_is_space(code) ? ' ' : code);
        if (ideograph)
            dipp_codes_append(&out, ' ');
    }
    replace(text, &out);
    dipp_codes_lower_words(text);
    dipp_codes_decompose(text);
    size_t kept = 0;
    for (size_t i = 0; i < text->count; i++)
        if (!dipp_code_is_accent(text->codes[i]))
            text->codes[kept++] = text->codes[i];
    text->count = kept;
}
