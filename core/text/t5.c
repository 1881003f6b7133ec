#include "text/t5.h"
#include "base/memory.h"

#include <string.h>

const char *const dipp_t5_words[DIPP_T5_WORDS] = {"</s>", "<unk>", "<pad>"};

dipp_t5 *dipp_t5_create(void)
{
    return dipp_allocate_zeroed(1, sizeof(dipp_t5));
}

void dipp_t5_destroy(dipp_t5 **t5)
{
    if (!t5 || !*t5)
        return;
    dipp_unigram_destroy(&(*t5)->pieces);
    dipp_charsmap_destroy(&(*t5)->charsmap);
    dipp_release(*t5);
    *t5 = NULL;
}

/* Whether text[count] begins with word. */
static bool begins_with(const int32_t *text, size_t count, const char *word)
{
    size_t same = 0;
    while (same < count && word[same] && text[same] == (unsigned char)word[same])
        same++;
    return !word[same];
}

/* The special word that text[count] begins with: its length, 0 for none. */
static size_t special_at(const dipp_t5 *t5, const int32_t *text, size_t count, uint32_t *id, dipp_t5_strips *strips)
{
    static const char extra[] = "<extra_id_";
    *strips = t5->word_strips;
    for (size_t i = 0; i < DIPP_T5_WORDS; i++)
        if (begins_with(text, count, dipp_t5_words[i])) {
            *id = t5->words[i];
            return strlen(dipp_t5_words[i]);
        }
    if (!begins_with(text, count, extra))
        return 0;
    size_t at = strlen(extra);
    uint32_t number = 0, digits = 0;
    for (; at < count && text[at] >= '0' && text[at] <= '9' && digits < 2; at++, digits++)
        number = 10 * number + (uint32_t)(text[at] - '0');
    if (!digits || (digits == 2 && number < 10) || at == count || text[at] != '>')
        return 0;
    *id = t5->extra_first - number;
    *strips = t5->extra_strips;
    return at + 1;
}

/* Python's and Rust's white space. */
static bool is_blank(const dipp_t5 *t5, int32_t code)
{
    return t5->from_json ? dipp_code_is_space(code) : dipp_code_is_python_space(code);
}

bool dipp_t5_encode(const dipp_t5 *t5, const dipp_codes *text, dipp_id_list *ids)
{
    bool done = true;
    for (size_t start = 0; start < text->count && done;) {
        size_t at = start, length = 0;
        uint32_t id = 0;
        dipp_t5_strips strips = {0};
        while (at < text->count && !(length = special_at(t5, text->codes + at, text->count - at, &id, &strips)))
            at++;
        size_t end = at, next = at + length;
        while (length && strips.left && end > start && is_blank(t5, text->codes[end - 1]))
            end--;
        while (length && strips.right && next < text->count && is_blank(t5, text->codes[next]))
            next++;
        done = t5->from_json ? dipp_t5_encode_json(t5, text->codes + start, end - start, !start, ids)
                             : dipp_t5_encode_spiece(t5, text->codes + start, end - start, ids);
        if (length)
            dipp_id_list_add(ids, id);
        start = next;
    }
    return done;
}
