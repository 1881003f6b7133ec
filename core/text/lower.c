#include "text/code_points.h"

#include <dipp/text.h>

dipp_status dipp_prompt_lowered(const char *text, size_t bytes, char *out, size_t *out_bytes, dipp_error *error)
{
    if (bytes > DIPP_TOKENIZER_TEXT_MOST)
        return dipp_fail(error, DIPP_E_INVALID, "a text of %zu bytes; at most %d are possible", bytes,
                         (int)DIPP_TOKENIZER_TEXT_MOST);
    dipp_codes codes = {0};
    dipp_codes_append_utf8(&codes, text, bytes);
    dipp_codes_lower_words(&codes);
    if (codes.failed) {
        dipp_codes_clear(&codes);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a text of %zu bytes", bytes);
    }
    size_t first = 0, end = codes.count, length = 0;
    while (first < end && dipp_code_is_python_space(codes.codes[first]))
        first++;
    while (end > first && dipp_code_is_python_space(codes.codes[end - 1]))
        end--;
    for (size_t i = first; i < end; i++)
        length += dipp_code_to_utf8(codes.codes[i], out + length);
    out[length] = 0;
    *out_bytes = length;
    dipp_codes_clear(&codes);
    return DIPP_OK;
}
