/* Heads of aesthetic predictors: small ones against sums written out here, the published ones against known scores. */
#include "base/file.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "data/npy.h"
#include "evaluate/aesthetic_head.h"
#include "experiment/run_metric_names.h"
#include "weights/writer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../shared_data.h"

static char path[] = "/tmp/dipp-head-XXXXXX";

static int start(void **state)
{
    (void)state;
    int descriptor = mkstemp(path);
    return descriptor < 0 ? -1 : close(descriptor);
}

static int finish(void **state)
{
    (void)state;
    return unlink(path);
}

enum { LAYERS = 5 };
static const size_t widths[LAYERS + 1] = {4, 6, 5, 3, 2, 1};

static float number(size_t layer, size_t index)
{
    return (float)((layer * 31 + index * 17) % 23) / 11 - 1;
}

static const char *const linear_places[LAYERS] = {"layers.0", "layers.2", "layers.4", "layers.6", "layers.7"};
static const char *const rectified_places[LAYERS] = {"layers.0", "layers.3", "layers.6", "layers.9", "layers.11"};

typedef struct change {
    size_t layer, out, in; /* of this layer other sizes; 0 none */
    const char *more;      /* a further tensor */
    bool without_bias;     /* of the last layer */
} change;

static void write_head(const char *const places[LAYERS], const change *c)
{
    dipp_error error = {0};
    dipp_weights_writer *writer = NULL;
    static float values[LAYERS][2][64];
    assert_int_equal(dipp_weights_writer_create(path, &writer, &error), DIPP_OK);
    for (size_t l = 0; l < LAYERS; l++) {
        char name[40];
        uint64_t shape[2] = {c->layer == l && c->out ? c->out : widths[l + 1],
                             c->layer == l && c->in ? c->in : widths[l]};
        for (size_t i = 0; i < 64; i++) {
            values[l][0][i] = number(l, i);
            values[l][1][i] = number(l, i + 100);
        }
        snprintf(name, sizeof name, "%s.weight", places[l]);
        assert_int_equal(dipp_weights_writer_add_f32(writer, name, DIPP_WEIGHT_F32, 2, shape, values[l][0], &error),
                         DIPP_OK);
        snprintf(name, sizeof name, "%s.bias", places[l]);
        if (!c->without_bias || l + 1 < LAYERS)
            assert_int_equal(dipp_weights_writer_add_f32(writer, name, DIPP_WEIGHT_F32, 1, shape, values[l][1], &error),
                             DIPP_OK);
    }
    if (c->more)
        assert_int_equal(dipp_weights_writer_add_f32(writer, c->more, DIPP_WEIGHT_F32, 0, NULL, values[0][0], &error),
                         DIPP_OK);
    assert_int_equal(dipp_weights_writer_commit(&writer, &error), DIPP_OK);
}

static dipp_status load(dipp_aesthetic_head *head, dipp_error *error)
{
    dipp_weights *weights = NULL;
    dipp_status status = dipp_weights_open(path, &weights, error);
    if (status == DIPP_OK)
        status = dipp_aesthetic_head_load(weights, head, error);
    dipp_weights_destroy(&weights);
    return status;
}

static double expected_score(const double embedding[4], bool rectified)
{
    double values[8], length = 0;
    for (size_t i = 0; i < 4; i++)
        length += embedding[i] * embedding[i];
    for (size_t i = 0; i < 4; i++)
        values[i] = embedding[i] / sqrt(length);
    for (size_t l = 0; l < LAYERS; l++) {
        double next[8] = {0};
        for (size_t o = 0; o < widths[l + 1]; o++) {
            next[o] = number(l, o + 100);
            for (size_t i = 0; i < widths[l]; i++)
                next[o] += (double)number(l, o * widths[l] + i) * values[i];
            if (rectified && l + 1 < LAYERS)
                next[o] = fmax(next[o], 0);
        }
        memcpy(values, next, sizeof values);
    }
    return values[0];
}

static void small_heads_are_summed_right(void **state)
{
    (void)state;
    static const double embeddings[3][4] = {{1, 2, 3, 4}, {-0.5, 0.25, 0, 2}, {1e-3, 0, 0, 0}};
    double apart = 0;
    for (int rectified = 0; rectified < 2; rectified++) {
        dipp_aesthetic_head head = {0};
        dipp_error error = {0};
        write_head(rectified ? rectified_places : linear_places, &(change){0});
        if (load(&head, &error))
            fail_msg("%s", error.message);
        assert_int_equal(head.layer_count, LAYERS);
        assert_int_equal(head.rectified, rectified);
        for (size_t i = 0; i < 3; i++) {
            double score, longer[4];
            assert_int_equal(dipp_aesthetic_head_score(&head, embeddings[i], &score, &error), DIPP_OK);
            assert_float_equal(score, expected_score(embeddings[i], rectified), 1e-12);
            apart += fabs(score - expected_score(embeddings[i], !rectified));
            for (size_t k = 0; k < 4; k++)
                longer[k] = 8 * embeddings[i][k];
            double again;
            assert_int_equal(dipp_aesthetic_head_score(&head, longer, &again, &error), DIPP_OK);
            assert_true(again == score); /* length does not matter */
        }
        static const double bad[2][4] = {{0, 0, 0, 0}, {1, NAN, 0, 0}};
        for (size_t i = 0; i < 2; i++) {
            double score;
            assert_int_equal(dipp_aesthetic_head_score(&head, bad[i], &score, &error), DIPP_E_INVALID);
        }
        dipp_aesthetic_head_clear(&head);
    }
    assert_true(apart > 0.1); /* the rectifiers are not without effect here */
}

static void other_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        change change;
        const char *said;
    } cases[] = {
        {{.more = "scale"}, "and nothing else; found 11 tensors"},
        {{.without_bias = true}, "found 9 tensors"},
        {{.layer = 2, .in = 4}, "tensor \"layers.4.weight\": expected [out, 5] and a bias, found [3, 4] and [3]"},
        {{.layer = 4, .out = 2}, "tensor \"layers.7.weight\": expected [1, 2] and a bias, found [2, 2] and [2]"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_aesthetic_head head = {0};
        dipp_error error = {0};
        write_head(linear_places, &cases[i].change);
        assert_int_equal(load(&head, &error), DIPP_E_INVALID);
        if (!strstr(error.message, cases[i].said))
            fail_msg("%s", error.message);
        assert_null(head.numbers);
    }
    dipp_aesthetic_head head = {0};
    dipp_error error = {0};
    write_head(linear_places, &(change){0});
    uint64_t nth = 1;
    for (bool failed = true; failed; nth++) {
        dipp_memory_fail_nth(nth, false);
        dipp_status status = load(&head, &error);
        failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
    }
    assert_true(nth > 4);
    double score;
    dipp_memory_fail_nth(1, false);
    assert_int_equal(dipp_aesthetic_head_score(&head, (double[4]){1, 0, 0, 0}, &score, &error), DIPP_E_MEMORY);
    dipp_memory_fail_nth(0, false);
    dipp_aesthetic_head_clear(&head);
}

/* Mean embeddings of pictures that people rated 0 to 9, and what the published heads say of them. */
static void published_heads_give_known_scores(void **state)
{
    (void)state;
    static const double version_1[10] = {-2.45791, -0.13786, 1.89511, 3.58493,  5.09973,
                                         6.4701,   7.78699,  9.048,   10.22641, 11.30443};
    static const double version_2[10] = {1.65548,  2.359275, 3.069824, 3.672451, 4.23801,
                                         4.701021, 5.073054, 5.365362, 5.576664, 5.746761};
    static const struct {
        const char *file, *name;
        const double *scores;
        double tolerance; /* half a digit of what is known */
    } heads[] = {{"sa_0_4_vit_l_14_linear.pth", "aesthetic:sa_0_4_vit_l_14_linear", version_1, 5.1e-6},
                 {"sac+logos+ava1-l14-linearMSE.pth", "aesthetic", version_2, 5.1e-7}};
    for (size_t h = 0; h < 2; h++) {
        char name[100], file[SHARED_PATH_BYTES], metric[DIPP_METRIC_NAME_BYTES], digest[DIPP_SHA256_HEX_BYTES];
        dipp_weights *weights = NULL;
        dipp_aesthetic_head head = {0};
        dipp_error error = {0};
        char *bytes = NULL;
        size_t size;
        snprintf(name, sizeof name, "aesthetic/%s", heads[h].file);
        shared_data_or_skip(name, file);
        if (dipp_weights_open(file, &weights, &error) || dipp_aesthetic_head_load(weights, &head, &error))
            fail_msg("%s", error.message);
        dipp_weights_destroy(&weights);
        assert_int_equal(dipp_file_read(file, 1 << 24, &bytes, &size, &error), DIPP_OK);
        dipp_sha256_hex(bytes, size, digest);
        assert_string_equal(dipp_metric_name_of_head(digest, file, metric), heads[h].name);
        dipp_release(bytes);
        for (int rating = 0; rating < 10; rating++) {
            dipp_npy embeddings = {0};
            double score;
            snprintf(name, sizeof name, "aesthetic/vit_l_14_embeddings/rating%d.npy", rating);
            shared_data_or_skip(name, file);
            if (dipp_npy_read(file, &embeddings, &error))
                fail_msg("%s", error.message);
            assert_int_equal(embeddings.rows, 1);
            assert_int_equal(embeddings.columns, 768);
            assert_int_equal(dipp_aesthetic_head_score(&head, embeddings.values, &score, &error), DIPP_OK);
            assert_float_equal(score, heads[h].scores[rating], heads[h].tolerance);
            dipp_npy_clear(&embeddings);
        }
        dipp_aesthetic_head_clear(&head);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_heads_are_summed_right),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(published_heads_give_known_scores),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
