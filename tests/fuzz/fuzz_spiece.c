/* Any bytes as T5's tokenizer, a spiece.model or a tokenizer.json: refused with a reason, or texts (among them the file
 * itself) become ids that are in the vocabulary. */
#include "target.h"

#include <dipp/text.h>

#include <stdlib.h>
#include <string.h>

enum { LENGTH = 9, TEXT_MOST = 4096 };

static void encode(const dipp_tokenizer *tokenizer, const char *text, size_t bytes)
{
    int32_t ids[LENGTH];
    size_t count = 0;
    dipp_error error = {0};
    if (dipp_tokenizer_encode(tokenizer, text, bytes, LENGTH, ids, &count, &error)) {
        if (!error.message[0])
            abort();
        return;
    }
    for (size_t i = 0; i < LENGTH; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= dipp_tokenizer_size(tokenizer))
            abort();
    if (!count)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = " A \xef\xac\x81 e\xcc\x81  abcabc\t<extra_id_7> \xe3\x80\x80 bca</s> \xff caab <pad>";
    dipp_tokenizer *tokenizer = NULL;
    dipp_error error = {0};
    if (dipp_tokenizer_create_memory(DIPP_TOKENIZER_T5, "input", data, size, NULL, 0, &tokenizer, &error)) {
        if (tokenizer || !error.message[0])
            abort();
        return 0;
    }
    encode(tokenizer, text, sizeof text - 1);
    encode(tokenizer, "", 0);
    encode(tokenizer, (const char *)data, size < TEXT_MOST ? size : TEXT_MOST);
    dipp_tokenizer_destroy(&tokenizer);
    return 0;
}
