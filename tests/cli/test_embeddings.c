/* dipp eval --embeddings: a head of torch's, embeddings of numpy's, and what is wrong with a command line or a file. */
#include "cli_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../shared_data.h"

/* tests/fixtures/make_torch_fixture.py: weight [[0.5, -1, 2]], bias [0.25]. */
#define HEAD DIPP_FIXTURE_FOLDER "/torch/head.pt"

static void write_npy(const char *name, size_t rows, size_t columns, const float *values)
{
    char header[119] = "";
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    snprintf(header, sizeof header, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", rows, columns);
    fwrite("\x93NUMPY\1\0\x76\0", 1, 10, file);
    for (size_t i = strlen(header); i < 118; i++)
        header[i] = ' ';
    fwrite(header, 1, 118, file);
    fwrite(values, sizeof *values, rows * columns, file);
    assert_int_equal(fclose(file), 0);
}

static void rows_are_scored(void **state)
{
    (void)state;
    static const float values[6] = {3, 0, 4, 0, -2, 0}, more[3] = {0, 0, 9};
    write_npy("a.npy", 2, 3, values);
    write_npy("b.npy", 1, 3, more);
    assert_int_equal(dipp("eval --embeddings a.npy b.npy --metrics aesthetic --head " HEAD), 0);
    assert_string_equal(output(NULL), "embeddings  row  aesthetic:head\n"
                                      "----------  ---  --------------\n"
                                      "a.npy         0        2.150000\n"
                                      "a.npy         1        1.250000\n"
                                      "b.npy         0        2.250000\n");
    assert_int_equal(dipp("eval --embeddings a.npy --embeddings b.npy --metrics aesthetic --head " HEAD), 0);
    assert_true(output_has("b.npy         0        2.250000\n"));
}

static void mistakes_are_explained(void **state)
{
    (void)state;
    static const float values[4] = {0, 0, 0, 1};
    write_npy("wide.npy", 1, 4, values);
    write_npy("zero.npy", 1, 3, values);
    write_file("text.npy", "3 4 5\n");
    static const struct {
        const char *line;
        int code;
        const char *said;
    } cases[] = {
        {"eval --embeddings wide.npy --metrics aesthetic", 2, "--embeddings needs --metrics aesthetic and --head FILE"},
        {"eval --embeddings wide.npy --metrics border --head " HEAD, 2, "--embeddings needs --metrics aesthetic"},
        {"eval --embeddings wide.npy --images . --metrics aesthetic --head " HEAD, 2, "--metrics and --head alone"},
        {"eval --head " HEAD " run", 2, "--head goes with --embeddings"},
        {"eval --embeddings wide.npy --metrics aesthetic --head " HEAD, 3,
         "embeddings of 4 numbers, and the head reads 3"},
        {"eval --embeddings zero.npy --metrics aesthetic --head " HEAD, 3, "zero.npy, row 0: an embedding is zero"},
        {"eval --embeddings text.npy --metrics aesthetic --head " HEAD, 3, "text.npy: not an .npy file"},
        {"eval --embeddings wide.npy --metrics aesthetic --head " DIPP_FIXTURE_FOLDER "/torch/code.pt", 3,
         "asks for the Python object \"posix.system\""},
        {"eval --embeddings wide.npy --metrics aesthetic --head " DIPP_FIXTURE_FOLDER "/torch/flat.pt", 3,
         "expected the head of an aesthetic predictor"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int code = dipp(cases[i].line);
        if (code != cases[i].code || !output_has(cases[i].said))
            fail_msg("`%s` ends with %d\n%s", cases[i].line, code, output(NULL));
    }
}

static void published_head_gives_known_scores(void **state)
{
    (void)state;
    char head[SHARED_PATH_BYTES], embeddings[SHARED_PATH_BYTES], line[3 * SHARED_PATH_BYTES];
    shared_data_or_skip("aesthetic/sac+logos+ava1-l14-linearMSE.pth", head);
    shared_data_or_skip("aesthetic/vit_l_14_embeddings/rating9.npy", embeddings);
    snprintf(line, sizeof line, "eval --embeddings %s --metrics aesthetic --head %s", embeddings, head);
    assert_int_equal(dipp(line), 0);
    assert_true(output_has("row  aesthetic\n"));
    assert_true(output_has("0   5.746761\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_are_scored, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(mistakes_are_explained, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(published_head_gives_known_scores, cli_setup, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
