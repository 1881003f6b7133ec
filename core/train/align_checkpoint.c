/* What a checkpoint of an alignment holds. */
#include "train/align_programs.h"

#include "train/checkpoint.h"

#include <stdio.h>

enum { MAX_BLOCKS = 7, COUNTERS = 8 };

static uint32_t collect(const dipp_align *align, dipp_checkpoint_block blocks[MAX_BLOCKS])
{
    dipp_models *models = align->models;
    uint32_t count = 0;
    blocks[count++] = (dipp_checkpoint_block){"generator.master", models->generator_set, DIPP_BLOCK_MASTER};
    blocks[count++] = (dipp_checkpoint_block){"generator.moment1", models->generator_set, DIPP_BLOCK_MOMENT1};
    blocks[count++] = (dipp_checkpoint_block){"generator.moment2", models->generator_set, DIPP_BLOCK_MOMENT2};
    blocks[count++] = (dipp_checkpoint_block){"average.master", models->generator_ema, DIPP_BLOCK_MASTER};
    if (align->teach) {
        blocks[count++] = (dipp_checkpoint_block){"ta.master", models->ta_set, DIPP_BLOCK_MASTER};
        blocks[count++] = (dipp_checkpoint_block){"ta.moment1", models->ta_set, DIPP_BLOCK_MOMENT1};
        blocks[count++] = (dipp_checkpoint_block){"ta.moment2", models->ta_set, DIPP_BLOCK_MOMENT2};
    }
    return count;
}

static void counters_of(dipp_align *align, dipp_checkpoint_counter counters[COUNTERS])
{
    counters[0] = (dipp_checkpoint_counter){"step", &align->step};
    counters[1] = (dipp_checkpoint_counter){"ta_steps", &align->ta_steps};
    counters[2] = (dipp_checkpoint_counter){"skipped", &align->skipped};
    counters[3] = (dipp_checkpoint_counter){"generator_updates", &align->generator_update.done};
    counters[4] = (dipp_checkpoint_counter){"generator_attempts", &align->generator_update.attempts};
    counters[5] = (dipp_checkpoint_counter){"ta_updates", &align->ta_update.done};
    counters[6] = (dipp_checkpoint_counter){"ta_attempts", &align->ta_update.attempts};
    counters[7] = (dipp_checkpoint_counter){"nonfinite", &align->nonfinite};
}

static void identity_of(const dipp_align *align, char *out, size_t size)
{
    char formats[64], ta_formats[64];
    dipp_checkpoint_formats(align->models->generator_set, formats, sizeof formats);
    dipp_checkpoint_formats(align->models->ta_set, ta_formats, sizeof ta_formats);
    snprintf(out, size, "seed %llu batch %u generator %lld, %s; ta %lld, %s", (unsigned long long)align->settings.seed,
             align->settings.batch, (long long)dipp_layout_parameters(align->models->generator_layout), formats,
             (long long)dipp_layout_parameters(align->models->ta_layout), ta_formats);
}

dipp_status dipp_align_save(const dipp_align *align, const char *path, char *sha256, dipp_error *error)
{
    dipp_checkpoint_block blocks[MAX_BLOCKS];
    dipp_checkpoint_counter counters[COUNTERS];
    char identity[256];
    dipp_align copy = *align; /* counters are read through pointers */
    counters_of(&copy, counters);
    identity_of(align, identity, sizeof identity);
    return dipp_checkpoint_write(path, "dipp.align", identity, blocks, collect(align, blocks), counters, COUNTERS,
                                 sha256, error);
}

dipp_status dipp_align_load(dipp_align *align, const char *path, dipp_error *error)
{
    dipp_checkpoint_block blocks[MAX_BLOCKS];
    dipp_checkpoint_counter counters[COUNTERS];
    char identity[256];
    counters_of(align, counters);
    identity_of(align, identity, sizeof identity);
    return dipp_checkpoint_read(path, "dipp.align", identity, blocks, collect(align, blocks), counters, COUNTERS,
                                error);
}
