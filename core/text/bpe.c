/* The lowest rank first, among equal ranks the leftmost pair: a heap of pairs over a list of symbols. */
#include "text/bpe.h"
#include "base/memory.h"

#include <string.h>

typedef struct merge {
    uint64_t pair; /* left in the upper half; FREE when the slot is free */
    uint32_t rank, result;
} merge;

static const uint64_t FREE = UINT64_MAX;

struct dipp_bpe {
    uint32_t byte_ids[2][256];
    merge *merges; /* open addressing, at most half full */
    size_t mask, count, limit;
};

dipp_bpe *dipp_bpe_create(const uint32_t byte_ids[2][256], size_t merge_limit)
{
    dipp_bpe *bpe = dipp_allocate_zeroed(1, sizeof *bpe);
    size_t slots = 16;
    while (slots / 2 <= merge_limit)
        slots *= 2;
    if (!bpe)
        return NULL;
    memcpy(bpe->byte_ids, byte_ids, sizeof bpe->byte_ids);
    bpe->mask = slots - 1;
    bpe->limit = merge_limit;
    bpe->merges = dipp_allocate_zeroed(slots, sizeof *bpe->merges);
    if (!bpe->merges)
        dipp_bpe_destroy(&bpe);
    for (size_t i = 0; bpe && i < slots; i++)
        bpe->merges[i].pair = FREE;
    return bpe;
}

void dipp_bpe_destroy(dipp_bpe **bpe)
{
    if (!bpe || !*bpe)
        return;
    dipp_release((*bpe)->merges);
    dipp_release(*bpe);
    *bpe = NULL;
}

static merge *place_of(const dipp_bpe *bpe, uint64_t pair)
{
    uint64_t hash = (pair ^ pair >> 29) * 0x9e3779b97f4a7c15u;
    size_t at = (size_t)(hash >> 32) & bpe->mask;
    while (bpe->merges[at].pair != FREE && bpe->merges[at].pair != pair)
        at = (at + 1) & bpe->mask;
    return &bpe->merges[at];
}

bool dipp_bpe_add(dipp_bpe *bpe, uint32_t left, uint32_t right, uint32_t result)
{
    uint64_t pair = (uint64_t)left << 32 | right;
    merge *place = place_of(bpe, pair);
    if (bpe->count >= bpe->limit || place->pair != FREE)
        return false;
    *place = (merge){pair, (uint32_t)bpe->count++, result};
    return true;
}

static bool is_printable(int byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

int32_t dipp_bpe_letter(uint8_t byte)
{
    int32_t letter = 256;
    if (is_printable(byte))
        return byte;
    for (int other = 0; other < byte; other++)
        letter += !is_printable(other);
    return letter;
}

typedef struct symbol {
    uint32_t id;
    uint32_t before, after; /* NONE at the ends */
    uint32_t gone;          /* 1 when it was joined to the one before */
} symbol;

typedef struct candidate {
    uint32_t rank, place; /* of the left symbol */
    uint32_t left, right, result;
} candidate;

enum { NONE = UINT32_MAX - 1 };

struct dipp_bpe_room {
    symbol *symbols;
    candidate *heap; /* a word of n bytes starts n - 1 pairs, and each of at most n - 1 joins starts two */
    size_t waiting;
};

dipp_bpe_room *dipp_bpe_room_create(size_t bytes)
{
    size_t each = sizeof(symbol) + 3 * sizeof(candidate), size;
    if (__builtin_mul_overflow(bytes + 1, each, &size) || bytes >= NONE)
        return NULL;
    dipp_bpe_room *room = dipp_allocate(sizeof *room + size);
    if (!room)
        return NULL;
    room->symbols = (symbol *)(room + 1);
    room->heap = (candidate *)(room->symbols + bytes + 1);
    room->waiting = 0;
    return room;
}

static bool comes_before(const candidate *a, const candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->place < b->place;
}

static void push_pair(const dipp_bpe *bpe, dipp_bpe_room *room, uint32_t place)
{
    const symbol *left = &room->symbols[place];
    if (left->after == NONE)
        return;
    uint32_t right = room->symbols[left->after].id;
    const merge *found = place_of(bpe, (uint64_t)left->id << 32 | right);
    if (found->pair == FREE)
        return;
    candidate made = {found->rank, place, left->id, right, found->result};
    size_t at = room->waiting++;
    for (; at && comes_before(&made, &room->heap[(at - 1) / 2]); at = (at - 1) / 2)
        room->heap[at] = room->heap[(at - 1) / 2];
    room->heap[at] = made;
}

static candidate pop_pair(dipp_bpe_room *room)
{
    candidate top = room->heap[0], last = room->heap[--room->waiting];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < room->waiting; at = child) {
        child += child + 1 < room->waiting && comes_before(&room->heap[child + 1], &room->heap[child]);
        if (!comes_before(&room->heap[child], &last))
            break;
        room->heap[at] = room->heap[child];
    }
    room->heap[at] = last;
    return top;
}

size_t dipp_bpe_encode(const dipp_bpe *bpe, const uint8_t *word, size_t bytes, dipp_bpe_room *room, int32_t *ids)
{
    symbol *symbols = room->symbols;
    size_t count = 0;
    room->waiting = 0;
    for (size_t i = 0; i < bytes; i++)
        symbols[i] = (symbol){bpe->byte_ids[i + 1 == bytes][word[i]], i ? (uint32_t)i - 1 : NONE,
                              i + 1 < bytes ? (uint32_t)i + 1 : NONE, 0};
    for (size_t i = 0; i + 1 < bytes; i++)
        push_pair(bpe, room, (uint32_t)i);
    while (room->waiting) {
        candidate best = pop_pair(room);
        symbol *left = &symbols[best.place];
        if (left->gone || left->id != best.left || left->after == NONE || symbols[left->after].id != best.right)
            continue; /* an earlier join took one of the two */
        symbol *right = &symbols[left->after];
        left->id = best.result;
        left->after = right->after;
        right->gone = 1;
        if (left->after != NONE)
            symbols[left->after].before = best.place;
        push_pair(bpe, room, best.place);
        if (left->before != NONE)
            push_pair(bpe, room, left->before);
    }
    for (size_t at = 0; bytes && at != NONE; at = symbols[at].after)
        ids[count++] = (int32_t)symbols[at].id;
    return count;
}
