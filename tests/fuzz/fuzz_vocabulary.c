/* Any bytes as a vocabulary: refused with a reason, or each word has its own id, both ways and in a text. */
#include "target.h"

#include "text/word_vocabulary.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[FUZZ_PATH_BYTES];
    dipp_word_vocabulary *vocabulary = NULL;
    dipp_error error = {0};
    int descriptor = fuzz_file(data, size, path);
    dipp_status status = dipp_word_vocabulary_load(path, &vocabulary, &error);
    close(descriptor);
    if (status != DIPP_OK) {
        if (vocabulary || !error.message[0])
            abort();
        return 0;
    }
    int entries = dipp_word_vocabulary_size(vocabulary);
    if (entries < 3 || entries > DIPP_WORD_ENTRIES_MAX || dipp_word_vocabulary_word(vocabulary, entries))
        abort();
    for (int id = 2; id < entries; id++) {
        const char *word = dipp_word_vocabulary_word(vocabulary, id);
        int32_t ids[2];
        if (!word || dipp_word_vocabulary_id(vocabulary, word) != id)
            abort();
        if (dipp_word_vocabulary_tokenize(vocabulary, word, 2, ids) != 1 || ids[0] != id || ids[1] != DIPP_WORD_PAD)
            abort();
    }
    dipp_word_vocabulary_destroy(&vocabulary);
    return 0;
}
