#include "text/unigram.h"
#include "base/arena.h"
#include "base/memory.h"
#include "base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES_MOST = 1024, UNKNOWN_PENALTY = 10 };

typedef struct piece {
    const char *text;
    uint32_t bytes, id;
    double score;
} piece;

struct dipp_unigram {
    dipp_arena *arena;
    piece *pieces; /* sorted by their bytes, a beginning before what it begins */
    size_t count, limit;
    uint32_t unknown;
    bool in_float;
    double lowest; /* of all scores */
};

dipp_unigram *dipp_unigram_create(size_t limit, uint32_t unknown, bool in_float)
{
    dipp_unigram *model = dipp_allocate_zeroed(1, sizeof *model);
    if (!model)
        return NULL;
    model->limit = limit;
    model->unknown = unknown;
    model->in_float = in_float;
    model->lowest = INFINITY;
    model->arena = dipp_arena_create(0);
    model->pieces = dipp_allocate_zeroed(limit, sizeof *model->pieces);
    if (!model->arena || !model->pieces)
        dipp_unigram_destroy(&model);
    return model;
}

void dipp_unigram_destroy(dipp_unigram **model)
{
    if (!model || !*model)
        return;
    dipp_arena_destroy(&(*model)->arena);
    dipp_release((*model)->pieces);
    dipp_release(*model);
    *model = NULL;
}

dipp_status dipp_unigram_add(dipp_unigram *model, const char *where, const char *text, size_t bytes, uint32_t id,
                             double score, dipp_error *error)
{
    if (!bytes || memchr(text, 0, bytes) || !dipp_utf8_valid(text, bytes))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: piece %u is empty, not UTF-8 or has a zero byte", where, id);
    if (!isfinite(score))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: the score of piece %u is not finite", where, id);
    if (bytes > PIECE_BYTES_MOST)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: piece %u has %zu bytes; at most %d are taken", where, id,
                         bytes, (int)PIECE_BYTES_MOST);
    const char *copy = model->count < model->limit ? dipp_arena_string_n(model->arena, text, bytes) : NULL;
    if (!copy)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for the tokenizer", where);
    model->pieces[model->count++] = (piece){copy, (uint32_t)bytes, id, score};
    if (score < model->lowest)
        model->lowest = score;
    return DIPP_OK;
}

static int compare_pieces(const void *a, const void *b)
{
    const piece *left = a, *right = b;
    uint32_t shared = left->bytes < right->bytes ? left->bytes : right->bytes;
    int order = memcmp(left->text, right->text, shared);
    return order ? order : (left->bytes > right->bytes) - (left->bytes < right->bytes);
}

dipp_status dipp_unigram_finish(dipp_unigram *model, const char *where, dipp_error *error)
{
    if (!model->count)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: the vocabulary has no ordinary piece", where);
    qsort(model->pieces, model->count, sizeof *model->pieces, compare_pieces);
    for (size_t i = 1; i < model->count; i++)
        if (!compare_pieces(&model->pieces[i - 1], &model->pieces[i]))
            return dipp_fail(error, DIPP_E_FORMAT, "%s: pieces %u and %u are the same", where, model->pieces[i - 1].id,
                             model->pieces[i].id);
    return DIPP_OK;
}

/* The best cut of the text up to a place. */
typedef struct best {
    double score;
    uint32_t start, id; /* of its last piece; start is UINT32_MAX before any cut ends here */
    uint32_t next;      /* where the piece that begins here ends, once the whole cut is known */
} best;

static double rounded(const dipp_unigram *model, double score)
{
    return model->in_float ? (double)(float)score : score;
}

/* The new sum is compared before it is rounded and kept after, as in SentencePiece. */
static void offer(const dipp_unigram *model, best *end, double score, uint32_t start, uint32_t id)
{
    if (end->start == UINT32_MAX || score > end->score)
        *end = (best){rounded(model, score), start, id, 0};
}

/* First of pieces[low..high) whose byte at depth is at least byte; all of them are longer than depth. */
static size_t lower_bound(const dipp_unigram *model, size_t low, size_t high, size_t depth, unsigned byte)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((unsigned char)model->pieces[middle].text[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Offers every piece that begins at start, and the unknown one where none is the character there; returns the
 * character's bytes. */
static size_t offer_pieces(const dipp_unigram *model, const char *text, size_t bytes, size_t start, best *cuts)
{
    uint32_t code;
    size_t length = dipp_utf8_decode(text + start, bytes - start, &code);
    bool known = false;
    size_t low = 0, high = model->count;
    for (size_t depth = 0; start + depth < bytes; depth++) {
        unsigned byte = (unsigned char)text[start + depth];
        low = lower_bound(model, low, high, depth, byte);
        high = lower_bound(model, low, high, depth, byte + 1);
        if (low == high)
            break;
        const piece *here = &model->pieces[low];
        if (here->bytes > depth + 1)
            continue;
        offer(model, &cuts[start + depth + 1], here->score + cuts[start].score, (uint32_t)start, here->id);
        known |= depth + 1 == length;
        low++; /* the others are longer */
    }
    if (!known) {
        double unknown = rounded(model, model->lowest - UNKNOWN_PENALTY);
        offer(model, &cuts[start + length], rounded(model, unknown + cuts[start].score), (uint32_t)start,
              model->unknown);
    }
    return length;
}

bool dipp_unigram_encode(const dipp_unigram *model, const char *text, size_t bytes, dipp_id_list *ids)
{
    best *cuts = dipp_allocate_zeroed(bytes + 1, sizeof *cuts);
    if (!cuts)
        return false;
    for (size_t i = 1; i <= bytes; i++)
        cuts[i].start = UINT32_MAX;
    for (size_t start = 0; start < bytes;)
        start += offer_pieces(model, text, bytes, start, cuts);
    for (size_t end = bytes; end; end = cuts[end].start)
        cuts[cuts[end].start].next = (uint32_t)end;
    bool unknown = false;
    for (size_t end = 0; end < bytes;) {
        end = cuts[end].next;
        if (!unknown || cuts[end].id != model->unknown)
            dipp_id_list_add(ids, cuts[end].id);
        unknown = cuts[end].id == model->unknown;
    }
    dipp_release(cuts);
    return true;
}
