#include "experiment/visible.h"
#include "base/utf8.h"

void dipp_text_append_visible(dipp_text *text, const char *addition, size_t bytes, size_t limit)
{
    for (size_t at = 0; at < bytes; limit--) {
        if (!limit) {
            dipp_text_append(text, "...");
            return;
        }
        uint32_t code;
        size_t length = dipp_utf8_decode(addition + at, bytes - at, &code);
        if (length && code >= 0x20 && (code < 0x7f || code > 0x9f) && code != 0x2028 && code != 0x2029)
            dipp_text_append_n(text, addition + at, length);
        else if (length && (code == '\t' || code == '\n'))
            dipp_text_append(text, " ");
        else
            dipp_text_append(text, "?");
        at += length ? length : 1;
    }
}
