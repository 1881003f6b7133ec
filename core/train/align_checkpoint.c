/* What a checkpoint of an alignment holds: what is trained. The frozen bases of adapters are read from their files again. */
#include "train/align_programs.h"

#include "train/checkpoint.h"

#include <stdio.h>

enum { MAX_BLOCKS = 7, COUNTERS = 19 };

static uint32_t collect(const dipp_align *align, dipp_checkpoint_block blocks[MAX_BLOCKS])
{
    dipp_trained theta = dipp_trained_generator(align->models), psi = dipp_trained_ta(align->models);
    uint32_t count = 0;
    blocks[count++] = (dipp_checkpoint_block){"generator.master", theta.set, DIPP_BLOCK_MASTER};
    blocks[count++] = (dipp_checkpoint_block){"generator.moment1", theta.set, DIPP_BLOCK_MOMENT1};
    blocks[count++] = (dipp_checkpoint_block){"generator.moment2", theta.set, DIPP_BLOCK_MOMENT2};
    blocks[count++] = (dipp_checkpoint_block){"average.master", theta.average, DIPP_BLOCK_MASTER};
    if (align->teach) {
        blocks[count++] = (dipp_checkpoint_block){"ta.master", psi.set, DIPP_BLOCK_MASTER};
        blocks[count++] = (dipp_checkpoint_block){"ta.moment1", psi.set, DIPP_BLOCK_MOMENT1};
        blocks[count++] = (dipp_checkpoint_block){"ta.moment2", psi.set, DIPP_BLOCK_MOMENT2};
    }
    return count;
}

static void counters_of(dipp_align *align, dipp_checkpoint_counter counters[COUNTERS])
{
    static const char *const sums[4] = {"taught.sum.0", "taught.sum.1", "taught.sum.2", "taught.sum.3"};
    static const char *const counts[4] = {"taught.count.0", "taught.count.1", "taught.count.2", "taught.count.3"};
    uint32_t i = 0;
    counters[i++] = (dipp_checkpoint_counter){"step", .value = &align->step};
    counters[i++] = (dipp_checkpoint_counter){"ta_steps", .value = &align->ta_steps};
    counters[i++] = (dipp_checkpoint_counter){"skipped", .value = &align->skipped};
    counters[i++] = (dipp_checkpoint_counter){"generator_updates", .value = &align->generator_update.done};
    counters[i++] = (dipp_checkpoint_counter){"generator_attempts", .value = &align->generator_update.attempts};
    counters[i++] = (dipp_checkpoint_counter){"ta_updates", .value = &align->ta_update.done};
    counters[i++] = (dipp_checkpoint_counter){"ta_attempts", .value = &align->ta_update.attempts};
    counters[i++] = (dipp_checkpoint_counter){"nonfinite", .value = &align->nonfinite};
    /* Files of before a checkpoint could lie inside an iteration lack the rest, which is 0 between iterations. */
    counters[i++] = (dipp_checkpoint_counter){"taught.skipped", .value = &align->taught.skipped, .may_lack = true};
    counters[i++] = (dipp_checkpoint_counter){"taught.loss", .number = &align->taught.loss, .may_lack = true};
    counters[i++] = (dipp_checkpoint_counter){"taught.norm", .number = &align->taught.norm, .may_lack = true};
    for (int k = 0; k < 4; k++) {
        counters[i++] = (dipp_checkpoint_counter){sums[k], .number = &align->taught.bins[k], .may_lack = true};
        counters[i++] = (dipp_checkpoint_counter){counts[k], .number = &align->taught.counts[k], .may_lack = true};
    }
}

static void identity_of(const dipp_align *align, char *out, size_t size)
{
    dipp_trained theta = dipp_trained_generator(align->models), psi = dipp_trained_ta(align->models);
    char formats[64], ta_formats[64];
    dipp_checkpoint_formats(theta.set, formats, sizeof formats);
    dipp_checkpoint_formats(psi.set, ta_formats, sizeof ta_formats);
    snprintf(out, size, "seed %llu batch %u generator %lld, %s; ta %lld, %s", (unsigned long long)align->settings.seed,
             align->settings.batch, (long long)dipp_layout_parameters(theta.layout), formats,
             (long long)dipp_layout_parameters(psi.layout), ta_formats);
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
