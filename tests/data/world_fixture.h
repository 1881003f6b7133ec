/* The demo world, built once per test program, and a few helpers. */
#ifndef DIPP_TESTS_DATA_WORLD_FIXTURE_H
#define DIPP_TESTS_DATA_WORLD_FIXTURE_H

#include "data/scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static int build_world(void **state)
{
    dipp_error error = {0};
    dipp_emoji_world_options options;
    dipp_emoji_world_options_default(&options);
    options.glyph_limit = 64; /* the larger world that these tests were worked out for */
    options.size_min = 0.7;
    options.rotation_max = 0.2;
    options.background_jitter = 0;
    dipp_emoji_world *world = NULL;
    if (dipp_emoji_world_create(&options, &world, &error) != DIPP_OK) {
        print_error("%s\n", error.message);
        return -1;
    }
    *state = world;
    return 0;
}

static int destroy_world(void **state)
{
    dipp_emoji_world *world = *state;
    dipp_emoji_world_destroy(&world);
    return 0;
}

#endif
