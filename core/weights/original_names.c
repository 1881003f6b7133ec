#include "weights/original_names.h"
#include "weights/name_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NUMBERS = 2 };

/* What a name has in the place of a pattern's signs. */
typedef struct match {
    uint32_t numbers[MOST_NUMBERS], count;
    uint32_t part, parts;
    const char *rest;
} match;

/* The digits of a block's number, at most 3, no leading zero; 0 when there are none. */
static size_t number_length(const char *text)
{
    size_t length = strspn(text, "0123456789");
    return length > 3 || (length > 1 && *text == '0') ? 0 : length;
}

static bool matches(const char *name, const char *pattern, const char *letters, match *m)
{
    *m = (match){.parts = 1, .rest = ""};
    for (; *pattern; pattern++) {
        size_t length = 1;
        if (*pattern == '*') {
            m->rest = name;
            return *name;
        }
        if (*pattern == '?') {
            const char *letter = *name ? strchr(letters, *name) : NULL;
            if (!letter)
                return false;
            m->part = (uint32_t)(letter - letters);
            m->parts = (uint32_t)strlen(letters);
        } else if (*pattern == '#') {
            length = m->count < MOST_NUMBERS ? number_length(name) : 0;
            if (!length)
                return false;
            m->numbers[m->count++] = (uint32_t)strtoul(name, NULL, 10);
        } else if (*name != *pattern) {
            return false;
        }
        name += length;
    }
    return !*name;
}

/* What '@' is, and how many of the numbers it stands for. */
static bool place_of(dipp_name_place place, const match *m, const dipp_block_counts *counts, uint32_t *index,
                     uint32_t *taken)
{
    uint32_t block = m->numbers[0], before = 0;
    bool down = place == DIPP_PLACE_DOWN || place == DIPP_PLACE_DOWN_END;
    const uint32_t *layers = down ? counts->down : counts->up;
    *taken = place == DIPP_PLACE_DOWN || place == DIPP_PLACE_UP ? 2 : 1;
    if (place == DIPP_PLACE_REVERSED) {
        *index = counts->decoder - 1 - block;
        return block < counts->decoder;
    }
    if (block >= DIPP_ORIGINAL_MAX_BLOCKS || !layers[block])
        return false;
    for (uint32_t i = 0; i < block; i++)
        before += layers[i] + down;
    if (place == DIPP_PLACE_DOWN_END)
        *index = 1 + before + layers[block];
    else if (place == DIPP_PLACE_UP_END)
        *index = before + layers[block] - 1;
    else
        *index = down + before + m->numbers[1];
    return true;
}

static bool append(dipp_original_name *out, const char *text)
{
    size_t used = strlen(out->name), length = strlen(text);
    if (length >= sizeof out->name - used)
        return false;
    memcpy(out->name + used, text, length + 1);
    return true;
}

/* Appends what the rule makes of a name that it fits. */
static bool translate(const dipp_name_rule *rule, const match *m, const dipp_block_counts *counts,
                      dipp_original_name *out)
{
    uint32_t number = 0, index = 0, taken = 0;
    out->transposed = rule->transposed;
    out->part = m->part;
    out->parts = m->parts;
    for (const char *at = rule->theirs; *at; at++) {
        char text[16] = {*at, 0};
        if (*at == '*') {
            match end;
            const dipp_name_rule *tail = rule->ends;
            while (tail && tail->ours && !matches(m->rest, tail->ours, tail->letters, &end))
                tail++;
            return tail ? tail->ours && translate(tail, &end, counts, out) : append(out, m->rest);
        }
        if (*at == '@') {
            if (!place_of(rule->place, m, counts, &index, &taken))
                return false;
            snprintf(text, sizeof text, "%u", index);
            number += taken;
        } else if (*at == '#') {
            snprintf(text, sizeof text, "%u", m->numbers[number++]);
        }
        if (!append(out, text))
            return false;
    }
    return true;
}

bool dipp_original_name_of(const char *name, const dipp_block_counts *counts, uint32_t choice, dipp_original_name *out)
{
    static const dipp_name_rule *const tables[] = {dipp_clip_rules, dipp_pixart_rules, dipp_ldm_rules};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const dipp_name_rule *rule = tables[i]; rule->ours; rule++) {
            match m;
            out->name[0] = 0;
            if (matches(name, rule->ours, rule->letters, &m) && translate(rule, &m, counts, out) && !choice--)
                return true;
        }
    return false;
}

void dipp_block_counts_note(dipp_block_counts *counts, const char *name)
{
    match m;
    uint32_t *count = NULL, found = 0;
    if (matches(name, "decoder.up_blocks.#.resnets.#.*", NULL, &m)) {
        count = &counts->decoder;
        found = m.numbers[0] + 1;
    } else if (matches(name, "down_blocks.#.resnets.#.*", NULL, &m) && m.numbers[0] < DIPP_ORIGINAL_MAX_BLOCKS) {
        count = &counts->down[m.numbers[0]];
        found = m.numbers[1] + 1;
    } else if (matches(name, "up_blocks.#.resnets.#.*", NULL, &m) && m.numbers[0] < DIPP_ORIGINAL_MAX_BLOCKS) {
        count = &counts->up[m.numbers[0]];
        found = m.numbers[1] + 1;
    }
    if (count && *count < found)
        *count = found;
}
