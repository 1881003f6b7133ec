/* Any bytes as a file of prompts: refused with a reason, or lines of text without what a line is cut of. */
#include "target.h"

#include "data/prompts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[FUZZ_PATH_BYTES];
    dipp_prompt_set set = {0};
    dipp_error error = {0};
    int descriptor = fuzz_file(data, size, path);
    dipp_status status = dipp_prompts_read(path, &set, &error);
    close(descriptor);
    if (status != DIPP_OK) {
        if (set.prompts || !error.message[0])
            abort();
        return 0;
    }
    size_t bytes = 0;
    if (set.count < 1 || memchr(data, 0, size))
        abort();
    for (int i = 0; i < set.count; i++) {
        const char *text = set.prompts[i].text;
        size_t length = strlen(text);
        if (!length || length > 4095 || strpbrk(text, "\r\n") == text || strchr(" \t", text[length - 1]) ||
            strchr(text, '\n') || set.prompts[i].glyph != set.prompts[0].glyph)
            abort();
        bytes += length;
    }
    if (bytes > size)
        abort();
    dipp_prompt_set_clear(&set);
    return 0;
}
