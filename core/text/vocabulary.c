/* The public door to vocabularies (dipp/text.h): today there is one kind, the word vocabulary. */
#include <dipp/text.h>

#include "base/memory.h"
#include "text/word_vocabulary.h"

struct dipp_vocabulary {
    dipp_word_vocabulary *words;
};

dipp_status dipp_vocabulary_load(const char *path, dipp_vocabulary **out, dipp_error *error)
{
    dipp_vocabulary *vocabulary = dipp_allocate_zeroed(1, sizeof *vocabulary);
    if (!vocabulary)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for the vocabulary", path);
    dipp_status status = dipp_word_vocabulary_load(path, &vocabulary->words, error);
    if (status != DIPP_OK) {
        dipp_release(vocabulary);
        return status;
    }
    *out = vocabulary;
    return DIPP_OK;
}

uint32_t dipp_vocabulary_size(const dipp_vocabulary *vocabulary)
{
    return (uint32_t)dipp_word_vocabulary_size(vocabulary->words);
}

dipp_status dipp_vocabulary_encode(const dipp_vocabulary *vocabulary, const char *text, uint32_t length,
                                   int32_t *tokens, float *mask, dipp_error *error)
{
    if (length < 1 || length > INT32_MAX)
        return dipp_fail(error, DIPP_E_INVALID, "vocabulary: cannot encode into %u tokens; give it at least 1", length);
    int count = dipp_word_vocabulary_tokenize(vocabulary->words, text, (int)length, tokens);
    /* The null prompt is one padding token that counts, so that attention always has a key. */
    uint32_t valid = count < 1 ? 1 : (uint32_t)count;
    for (uint32_t i = 0; i < length; ++i)
        mask[i] = i < valid ? 1.0f : 0.0f;
    return DIPP_OK;
}

void dipp_vocabulary_destroy(dipp_vocabulary **vocabulary)
{
    if (!vocabulary || !*vocabulary)
        return;
    dipp_word_vocabulary_destroy(&(*vocabulary)->words);
    dipp_release(*vocabulary);
    *vocabulary = NULL;
}
