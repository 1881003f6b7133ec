/* The small text encoder against torch.nn.TransformerEncoderLayer (tests/fixtures/make_dit_fixture.py), in double. */
#include "fixture.h"
#include "replay.h"

#include <dipp/nn.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N = 2, L = 6, WIDTH = 24, STATES = N * L * WIDTH };

static const dipp_text_encoder_options tiny = {
    .vocabulary = 50, .length = L, .width = WIDTH, .layers = 2, .heads = 3, .mlp_ratio = 4};

static void states_and_gradients_agree_with_torch(void **state)
{
    const double tolerance = 1e-9;
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/dit.safetensors");
    replay r;
    replay_begin(&r, "text");
    dipp_graph *g = r.graph;
    dipp_tensor tokens = dipp_input(g, "tokens", DIPP_INT32, DIPP_SHAPE(N, L));
    dipp_tensor mask = dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(N, L));
    dipp_tensor y = dipp_text_encoder(g, r.slot, &tiny, tokens, mask);
    dipp_tensor probe = dipp_input(g, "probe", DIPP_WIDE, DIPP_SHAPE(N, L, WIDTH));
    dipp_tensor loss = dipp_sum(g, dipp_mul(g, y, probe), 0x7, false);
    dipp_gradients(g, 1, &loss, NULL, 0, NULL, NULL);
    dipp_output(g, "y", y);
    replay_prepare(&r);

    double *ids = fixture_get(file, "text.tokens", N * L), *valid = fixture_get(file, "text.mask", N * L);
    double numbers[STATES];
    fixture_noise("probe", 1.0, numbers, STATES);
    replay_write_ids(&r, "tokens", ids, N * L);
    replay_write(&r, "mask", valid, N * L);
    replay_write(&r, "probe", numbers, STATES);
    replay_run(&r);

    replay_compare_output(&r, file, "text", "y", STATES, tolerance);
    replay_compare_weights(&r, file, "text", 100 * tolerance);
    free(ids);
    free(valid);
    dipp_weights_destroy(&file);
    replay_end(&r);
}

static void wrong_options_and_inputs_are_named(void **state)
{
    dipp_error error = {0};
    dipp_text_encoder_options o = tiny;
    o.heads = 5;
    assert_int_equal(dipp_text_encoder_check(&o, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "heads 5"));
    o = tiny;
    o.vocabulary = 0;
    assert_int_equal(dipp_text_encoder_check(&o, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "vocabulary"));

    replay r;
    replay_begin(&r, "wrong");
    dipp_tensor tokens = dipp_input(r.graph, "tokens", DIPP_INT32, DIPP_SHAPE(N, L + 1));
    dipp_tensor mask = dipp_input(r.graph, "mask", DIPP_WIDE, DIPP_SHAPE(N, L + 1));
    assert_int_equal(dipp_text_encoder(r.graph, r.slot, &tiny, tokens, mask).id, 0);
    assert_int_not_equal(dipp_graph_status(r.graph, &error), DIPP_OK);
    assert_non_null(strstr(error.message, "must be [N, 6]"));
    replay_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_and_gradients_agree_with_torch),
        cmocka_unit_test(wrong_options_and_inputs_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
