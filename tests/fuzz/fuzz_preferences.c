/* Any bytes as preferences, in each layout of text that a file may have: refused with a reason, or a set whose numbers hold together,
 * which as JSONL reads back as it is. */
#include "target.h"

#include "data/preferences.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check_set(const dipp_preferences *set)
{
    if (!set->pair_count || !set->prompts.count || !set->pictures.count)
        abort();
    for (size_t i = 0; i < set->pair_count; i++) {
        const dipp_preference_pair *pair = &set->pairs[i];
        if (!(pair->label >= 0 && pair->label <= 1) || pair->line >= set->line_count || !pair->of_prompt)
            abort();
        for (int k = 0; k < 2; k++)
            if (pair->items[k] >= set->item_count || set->items[pair->items[k]].picture >= set->pictures.count ||
                set->items[pair->items[k]].prompt >= set->prompts.count)
                abort();
    }
}

static void write_and_read(const dipp_preferences *set)
{
    char path[FUZZ_PATH_BYTES];
    dipp_error error = {0};
    dipp_preferences again = {.captions_differ = false};
    snprintf(path, sizeof path, "/tmp/dipp-fuzz-%ld.jsonl", (long)getpid());
    if (dipp_preferences_write(set, path, &error) != DIPP_OK ||
        dipp_preferences_read(path, DIPP_PREFERENCES_JSONL, &again, &error) != DIPP_OK)
        abort();
    if (again.pair_count != set->pair_count || again.item_count != set->item_count)
        abort();
    for (size_t i = 0; i < set->pair_count; i++)
        if (fabs(again.pairs[i].label - set->pairs[i].label) > 1e-9 || again.pairs[i].tie != set->pairs[i].tie)
            abort();
    dipp_preferences_clear(&again);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[FUZZ_PATH_BYTES];
    int descriptor = fuzz_file(data, size, path);
    for (int format = 0; format <= DIPP_PREFERENCES_PICKAPIC; format++) {
        dipp_preferences set = {.captions_differ = false};
        dipp_error error = {0};
        if (dipp_preferences_read(path, (dipp_preference_format)format, &set, &error) == DIPP_OK) {
            check_set(&set);
            write_and_read(&set);
        } else if (set.pairs || !error.message[0]) {
            abort();
        }
        dipp_preferences_clear(&set);
    }
    dipp_captions captions = {.count = 0};
    dipp_error error = {0};
    if (dipp_captions_read(path, &captions, &error) != DIPP_OK && !error.message[0])
        abort();
    dipp_captions_clear(&captions);
    close(descriptor);
    return 0;
}
