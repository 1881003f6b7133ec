/* Any bytes as a file of prompts, of the kind that the first byte chooses: refused with a reason, or texts. */
#include "target.h"

#include "base/utf8.h"
#include "data/prompts.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a.txt", "a.tsv", "a.json", "a.jsonl", "photo.json"};
    enum { KINDS = sizeof names / sizeof *names };
    int kind = size ? data[0] % KINDS : 0;
    dipp_prompt_set set = {0};
    dipp_error error = {0};
    size_t bytes = size ? size - 1 : 0;
    char *text = malloc(bytes + 1);
    if (!text)
        abort();
    memcpy(text, data + (size != 0), bytes);
    text[bytes] = 0;
    dipp_status status = dipp_prompts_parse(text, bytes, names[kind], &set, &error);
    free(text);
    if (status != DIPP_OK) {
        if (set.prompts || !error.message[0])
            abort();
        return 0;
    }
    if (set.count < 1)
        abort();
    for (int i = 0; i < set.count; i++) {
        const char *prompt = set.prompts[i].text;
        size_t length = strlen(prompt);
        if (!length || length > 4095 || !dipp_utf8_valid(prompt, length) || set.prompts[i].glyph != DIPP_NOT_NAMED)
            abort();
        if (kind < 2 && (strchr(" \t\r", *prompt) || strchr(" \t\r", prompt[length - 1]) || strchr(prompt, '\n')))
            abort();
        if (kind == 4 && strcmp(set.categories[i], "photo"))
            abort();
    }
    dipp_prompt_set_clear(&set);
    return 0;
}
