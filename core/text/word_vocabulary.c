/* Sorted words, found by bisection. */
#include "text/word_vocabulary.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef char entry[DIPP_WORD_BYTES_MAX];

struct dipp_word_vocabulary {
    int size;
    entry *words; /* [size] */
};

static int is_word_byte(unsigned char c)
{
    return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Copies the next word, folded, and steps *text past it. Returns its length in bytes, 0 at the end; a longer word than
 * fits is cut, its true length returned. */
static size_t next_word(const char **text, entry word)
{
    const char *at = *text;
    while (*at && !is_word_byte((unsigned char)*at))
        at++;
    size_t length = 0;
    for (; *at && is_word_byte((unsigned char)*at); at++, length++)
        if (length < DIPP_WORD_BYTES_MAX - 1)
            word[length] = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
    word[length < DIPP_WORD_BYTES_MAX - 1 ? length : DIPP_WORD_BYTES_MAX - 1] = 0;
    *text = at;
    return length;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(a, b);
}

static dipp_status new_vocabulary(size_t room, dipp_word_vocabulary **out, dipp_error *error)
{
    dipp_word_vocabulary *vocabulary = dipp_allocate_zeroed(1, sizeof *vocabulary);
    if (vocabulary)
        vocabulary->words = dipp_allocate_zeroed(room, sizeof *vocabulary->words);
    if (!vocabulary || !vocabulary->words) {
        dipp_release(vocabulary);
        return dipp_fail(error, DIPP_E_MEMORY, "vocabulary: out of memory");
    }
    strcpy(vocabulary->words[DIPP_WORD_PAD], "<pad>");
    strcpy(vocabulary->words[DIPP_WORD_UNKNOWN], "<unknown>");
    vocabulary->size = 2;
    *out = vocabulary;
    return DIPP_OK;
}

dipp_status dipp_word_vocabulary_create(const char *const *phrases, size_t count, int limit, dipp_word_vocabulary **out,
                                        dipp_error *error)
{
    if (limit < 3 || limit > DIPP_WORD_ENTRIES_MAX)
        return dipp_fail(error, DIPP_E_INVALID, "vocabulary: limit %d; expected 3 to %d", limit, DIPP_WORD_ENTRIES_MAX);
    entry word;
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        for (const char *at = phrases[i]; next_word(&at, word);)
            total++;
    dipp_word_vocabulary *vocabulary;
    dipp_status status = new_vocabulary(total + 3, &vocabulary, error);
    if (status != DIPP_OK)
        return status;
    entry *words = vocabulary->words + 2; /* one more than there are words: the end of a phrase is written too */
    total = 0;
    for (size_t i = 0; i < count; i++) {
        const char *at = phrases[i];
        for (size_t length; (length = next_word(&at, words[total])) > 0; total++)
            if (length >= DIPP_WORD_BYTES_MAX) {
                status = dipp_fail(error, DIPP_E_INVALID,
                                   "vocabulary: the word \"%s...\" has %zu bytes; expected at most %d", words[total],
                                   length, DIPP_WORD_BYTES_MAX - 1);
                dipp_word_vocabulary_destroy(&vocabulary);
                return status;
            }
    }
    qsort(words, total, sizeof *words, by_bytes);
    size_t kept = 0;
    for (size_t i = 0; i < total; i++)
        if (!kept || strcmp(words[i], words[kept - 1]) != 0)
            memmove(words[kept++], words[i], sizeof *words);
    if (kept + 2 > (size_t)limit) {
        dipp_word_vocabulary_destroy(&vocabulary);
        return dipp_fail(error, DIPP_E_INVALID,
                         "vocabulary: %zu different words and two special entries; expected at most %d: use fewer "
                         "glyphs or keywords",
                         kept, limit);
    }
    vocabulary->size = (int)kept + 2;
    *out = vocabulary;
    return DIPP_OK;
}

void dipp_word_vocabulary_destroy(dipp_word_vocabulary **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_release((*pointer)->words);
    dipp_release(*pointer);
    *pointer = NULL;
}

/* One line of the file into the vocabulary; number is its id. */
static dipp_status take_line(dipp_word_vocabulary *vocabulary, const char *path, int number, const char *line,
                             dipp_error *error)
{
    entry word;
    if (number < 2) {
        if (!strcmp(line, vocabulary->words[number]))
            return DIPP_OK;
        return dipp_fail(error, DIPP_E_FORMAT, "%s:%d: expected \"%s\", found \"%.40s\"", path, number + 1,
                         vocabulary->words[number], line);
    }
    if (number >= DIPP_WORD_ENTRIES_MAX)
        return dipp_fail(error, DIPP_E_FORMAT, "%s:%d: more than %d entries", path, number + 1, DIPP_WORD_ENTRIES_MAX);
    const char *at = line;
    size_t length = next_word(&at, word);
    if (!length || length >= sizeof word || strcmp(word, line) != 0)
        return dipp_fail(error, DIPP_E_FORMAT,
                         "%s:%d: expected one lower-case word of at most %d bytes, found \"%.40s\"", path, number + 1,
                         DIPP_WORD_BYTES_MAX - 1, line);
    if (number > 2 && strcmp(vocabulary->words[number - 1], word) >= 0)
        return dipp_fail(error, DIPP_E_FORMAT, "%s:%d: \"%s\" after \"%s\"; expected words in byte order, each once",
                         path, number + 1, word, vocabulary->words[number - 1]);
    memcpy(vocabulary->words[number], word, sizeof word);
    vocabulary->size = number + 1;
    return DIPP_OK;
}

dipp_status dipp_word_vocabulary_load(const char *path, dipp_word_vocabulary **out, dipp_error *error)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return dipp_fail(error, errno == ENOENT ? DIPP_E_NOT_FOUND : DIPP_E_IO, "%s: cannot open the vocabulary: %s",
                         path, strerror(errno));
    dipp_word_vocabulary *vocabulary;
    dipp_status status = new_vocabulary(DIPP_WORD_ENTRIES_MAX, &vocabulary, error);
    if (status != DIPP_OK) {
        fclose(file);
        return status;
    }
    char line[2 * DIPP_WORD_BYTES_MAX];
    int number = 0;
    size_t length;
    while (status == DIPP_OK && dipp_file_line(file, line, sizeof line, &length)) {
        bool text = strlen(line) == length;
        line[strcspn(line, "\r\n")] = 0; /* a line too long for the buffer is too long for a word */
        status = text ? take_line(vocabulary, path, number, line, error)
                      : dipp_fail(error, DIPP_E_FORMAT, "%s:%d: a zero byte; expected text", path, number + 1);
        number++;
    }
    if (status == DIPP_OK && ferror(file))
        status = dipp_fail(error, DIPP_E_IO, "%s: reading failed", path);
    if (status == DIPP_OK && vocabulary->size < 3)
        status = dipp_fail(error, DIPP_E_FORMAT,
                           "%s: %d lines; expected \"<pad>\", \"<unknown>\" and at least one word", path, number);
    fclose(file);
    if (status != DIPP_OK)
        dipp_word_vocabulary_destroy(&vocabulary);
    else
        *out = vocabulary;
    return status;
}

dipp_status dipp_word_vocabulary_save(const dipp_word_vocabulary *vocabulary, const char *path, dipp_error *error)
{
    dipp_text text = {0};
    for (int i = 0; i < vocabulary->size; i++)
        dipp_text_printf(&text, "%s\n", vocabulary->words[i]);
    size_t bytes = text.length;
    char *all = dipp_text_finish(&text);
    if (!all)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory for the vocabulary", path);
    dipp_status status = dipp_file_write_atomic(path, all, bytes, error);
    dipp_release(all);
    return status;
}

int dipp_word_vocabulary_size(const dipp_word_vocabulary *vocabulary)
{
    return vocabulary->size;
}

const char *dipp_word_vocabulary_word(const dipp_word_vocabulary *vocabulary, int id)
{
    return id >= 0 && id < vocabulary->size ? vocabulary->words[id] : NULL;
}

int dipp_word_vocabulary_id(const dipp_word_vocabulary *vocabulary, const char *word)
{
    const entry *found =
        bsearch(word, vocabulary->words + 2, (size_t)vocabulary->size - 2, sizeof *vocabulary->words, by_bytes);
    return found ? (int)(found - (const entry *)vocabulary->words) : DIPP_WORD_UNKNOWN;
}

int dipp_word_vocabulary_tokenize(const dipp_word_vocabulary *vocabulary, const char *text, int length, int32_t *ids)
{
    entry word;
    int count = 0;
    for (const char *at = text ? text : ""; next_word(&at, word); count++)
        if (count < length)
            ids[count] = dipp_word_vocabulary_id(vocabulary, word);
    for (int i = count; i < length; i++)
        ids[i] = DIPP_WORD_PAD;
    return count;
}
