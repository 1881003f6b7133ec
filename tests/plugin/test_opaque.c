/* The opaque rewards as host calls: compressibility against the sizes that another build of libjpeg-turbo gives, and
 * pipe with programs that keep to the protocol and programs that do not. */
#include "model.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { W = 37, H = 21, PIXELS = W * H };
static const char *const prompts[] = {"a \"red\" cat", "", "\"count\":7 dogs"};

static dipp_status score(const model *m, const float *samples, const dipp_shape *shape, uint32_t count, double *scores,
                         dipp_error *error)
{
    bool has_gradient = false;
    dipp_status status = ((const dipp_reward *)m->plugin->vtable)
                             ->score(m->self, samples, shape, prompts, count, scores, NULL, &has_gradient, error);
    assert_false(has_gradient);
    return status;
}

/* ---- compressibility ---- */

/* Sizes by Pillow 13.0 (libjpeg-turbo 3.2): im.save(f, "JPEG", quality=q) of these pictures. */
static void compressibility_is_minus_the_kilobytes_of_the_jpeg(void **state)
{
    (void)state;
    static const struct {
        const char *quality;
        double varied, flat;
    } expected[] = {
        {"quality=5", 693, 650}, {"quality=50", 967, 652}, {"quality=95", 1738, 654}, {"quality=100", 2541, 655}};
    static float pictures[3 * 3 * PIXELS];
    const double flat[3] = {200, 100, 50};
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            const int varied[3] = {(x * 7 + y * 3) % 256, (x * x + y * 11) % 256, x * y * 5 % 256};
            for (int c = 0; c < 3; c++) {
                float *at = pictures + c * PIXELS + y * W + x;
                at[0] = (float)varied[c] / 255.0f;
                at[3 * PIXELS] = (float)(flat[c] + 0.4) / 255.0f; /* rounds to the flat colour */
                at[6 * PIXELS] = c == 0 && x == 3 && y == 3 ? NAN : 2.0f;
            }
        }
    const dipp_shape shape = DIPP_SHAPE(3, H, W);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        model m;
        double scores[3];
        model_open(&m, DIPP_PLUGIN_REWARD, "compressibility", TEXTS(expected[i].quality));
        CHECK(score(&m, pictures, &shape, 3, scores, error));
        assert_true(scores[0] == -expected[i].varied / 1000);
        assert_true(scores[1] == -expected[i].flat / 1000);
        assert_true(isnan(scores[2])); /* a picture with a number that is none has no score */
        model_close(&m);
    }
    model m;
    double one;
    dipp_error error = {0};
    model_open(&m, DIPP_PLUGIN_REWARD, "compressibility", TEXTS("quality=50"));
    const dipp_shape vector = DIPP_SHAPE(4);
    assert_int_equal(score(&m, pictures, &vector, 1, &one, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "expected pictures [N, 3, H, W]"));
    model_close(&m);
}

/* ---- pipe ---- */

static char folder[64], script[96], parameter[128];

static int open_folder(void **state)
{
    strcpy(folder, "/tmp/dipp-pipe-XXXXXX");
    *state = NULL;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* A program in shell; given by --script, so that its text is a file. */
static void open_pipe(model *m, const char *body, const char *samples, const char *timeout)
{
    snprintf(script, sizeof script, "%s/program.sh", folder);
    FILE *file = fopen(script, "w");
    assert_non_null(file);
    fputs(body, file);
    fclose(file);
    snprintf(parameter, sizeof parameter, "script=%s", script);
    model_open(m, DIPP_PLUGIN_REWARD, "pipe", TEXTS("command=[sh]", parameter, samples, timeout));
}

/* Writes down what it gets and answers in order. */
static const char keeper[] = "read -r header; printf '%s' \"$header\" >${0%/*}/header; head -c 24 >${0%/*}/body\n"
                             "echo '{\"scores\": [1.5, null]}'\n"
                             "read -r header; head -c 24 >/dev/null; echo '{\"scores\":[-2,7e3],\"more\":1}'\n"
                             "read -r nothing\n";

static void read_file(const char *name, char *out, size_t size)
{
    char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("the program wrote no %s", name);
    out[fread(out, 1, size - 1, file)] = 0;
    fclose(file);
}

static void pictures_go_out_and_scores_come_back(void **state)
{
    (void)state;
    model m;
    double scores[2];
    char header[256], body[25];
    float pictures[2 * 3 * 4]; /* two of 2 x 2 */
    for (int i = 0; i < 24; i++)
        pictures[i] = (float)(i - 2) / 20.0f; /* beyond both ends of [0, 1] */
    const dipp_shape shape = DIPP_SHAPE(3, 2, 2);
    open_pipe(&m, keeper, "samples=pictures", "timeout=60");
    CHECK(score(&m, pictures, &shape, 2, scores, error));
    assert_true(scores[0] == 1.5 && isnan(scores[1]));
    CHECK(score(&m, pictures, &shape, 2, scores, error));
    assert_true(scores[0] == -2 && scores[1] == 7000);
    read_file("header", header, sizeof header);
    assert_string_equal(header, "{\"version\":1,\"format\":\"rgb8\",\"count\":2,\"width\":2,\"height\":2,\"bytes\":24,"
                                "\"prompts\":[\"a \\\"red\\\" cat\",\"\"]}");
    read_file("body", body, sizeof body);
    for (int n = 0; n < 2; n++)
        for (int k = 0; k < 4; k++)
            for (int c = 0; c < 3; c++) {
                float value = pictures[(n * 3 + c) * 4 + k];
                int byte = value <= 0 ? 0 : value >= 1 ? 255 : (int)lrintf(value * 255);
                assert_int_equal((unsigned char)body[(n * 4 + k) * 3 + c], byte);
            }
    model_close(&m);
}

static void vectors_go_out_as_floats(void **state)
{
    (void)state;
    model m;
    double scores[2];
    char header[256], body[25];
    const float vectors[6] = {1.25f, -3e7f, 0, 1e-20f, 5, -6};
    const dipp_shape shape = DIPP_SHAPE(3);
    open_pipe(&m, keeper, "samples=vectors", "timeout=60");
    CHECK(score(&m, vectors, &shape, 2, scores, error));
    read_file("header", header, sizeof header);
    assert_string_equal(header, "{\"version\":1,\"format\":\"f32\",\"count\":2,\"dimension\":3,\"bytes\":24,"
                                "\"prompts\":[\"a \\\"red\\\" cat\",\"\"]}");
    read_file("body", body, sizeof body);
    assert_memory_equal(body, vectors, sizeof vectors);
    model_close(&m);
}

/* What a program may do wrong, and what is said of it; the next question starts it again. */
static void programs_that_break_the_protocol_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *body, *text;
    } cases[] = {
        {"exit 3\n", "the program ended with exit status 3 instead of answering"},
        {"read -r header; kill -9 $$\n", "the program was ended by signal 9"},
        {"read -r header; echo nonsense\nread -r x\n", "expected one JSON object, found `nonsense`"},
        {"read -r header; echo '[1, 2]'\nread -r x\n", "expected one JSON object, found `[1, 2]`"},
        {"read -r header; echo '{\"scores\": [1]}'\nread -r x\n", "expected {\"scores\": [2 numbers]}, found 1"},
        {"read -r header; echo '{\"scores\": [1, \"x\"]}'\nread -r x\n", "score 1 of 2: expected a number"},
        {"read -r header; printf '{\"scores\": [1, 2]}\\nhello\\n'\nread -r x\n", "more than the one line"},
        {"read -r header; echo '{\"error\": \"no such model\"}'\nread -r x\n", "the program says: no such model"},
        {"exec >&-\nsleep 60\n", "closed its standard output"},
        {"sleep 60\n", "gave no answer within 0.3 s"},
        {"read -r header; head -c 200000 /dev/zero | tr '\\0' x\nsleep 60\n", "too long"},
    };
    const float vectors[6] = {0};
    const dipp_shape shape = DIPP_SHAPE(3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model m;
        double scores[2];
        dipp_error error = {0};
        bool hangs = strstr(cases[i].text, "no answer") != NULL;
        open_pipe(&m, cases[i].body, "samples=vectors", hangs ? "timeout=0.3" : "timeout=60");
        for (int again = 0; again < 2; again++) {
            assert_int_equal(score(&m, vectors, &shape, 2, scores, &error), DIPP_E_PLUGIN);
            if (!strstr(error.message, cases[i].text))
                fail_msg("expected \"%s\" in \"%s\"", cases[i].text, error.message);
            assert_non_null(strstr(error.message, "pipe `sh`: "));
        }
        model_close(&m);
    }
}

static void a_program_that_is_not_there_is_named(void **state)
{
    (void)state;
    model m;
    double scores[2];
    dipp_error error = {0};
    const float vectors[6] = {0};
    const dipp_shape shape = DIPP_SHAPE(3);
    model_open(&m, DIPP_PLUGIN_REWARD, "pipe", TEXTS("command=[/nowhere/judge, -v]", "samples=vectors"));
    assert_int_equal(score(&m, vectors, &shape, 2, scores, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "cannot run `/nowhere/judge`: No such file or directory"));
    model_close(&m);
    assert_int_equal(model_refusal(DIPP_PLUGIN_REWARD, "pipe", TEXTS("command=[]"), &error), DIPP_E_INVALID);
}

static bool gone(const char *name)
{
    char text[32];
    read_file(name, text, sizeof text);
    for (int i = 0; i < 400; i++) { /* a grandchild is reaped by whoever adopts it, which may take a moment */
        char path[64], line[256] = "";
        snprintf(path, sizeof path, "/proc/%d/stat", atoi(text));
        FILE *file = fopen(path, "r");
        size_t got = file ? fread(line, 1, sizeof line - 1, file) : 0;
        if (file)
            fclose(file);
        if (!got || strstr(line, ") Z "))
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

static void the_program_and_its_children_end_with_the_reward(void **state)
{
    (void)state;
    model m;
    double scores[2];
    const float vectors[6] = {0};
    const dipp_shape shape = DIPP_SHAPE(3);
    open_pipe(&m,
              "sleep 600 & echo $! >${0%/*}/below; echo $$ >${0%/*}/own\n"
              "read -r header; head -c 24 >/dev/null; echo '{\"scores\": [1, 2]}'\nwait\n",
              "samples=vectors", "timeout=60");
    CHECK(score(&m, vectors, &shape, 2, scores, error));
    char text[32];
    read_file("own", text, sizeof text);
    assert_int_equal(kill(atoi(text), 0), 0);
    model_close(&m);
    assert_true(gone("own"));
    assert_true(gone("below"));
}

/* Larger than any pipe holds, and the answer before all is read: neither side waits for the other. */
static void large_requests_do_not_deadlock(void **state)
{
    (void)state;
    enum { D = 600000 };
    model m;
    double one = 0;
    float *vector = test_malloc(D * sizeof *vector);
    memset(vector, 0, D * sizeof *vector);
    const dipp_shape shape = DIPP_SHAPE(D);
    open_pipe(&m, "read -r h; head -c 2400000 | wc -c | { read -r n; echo \"{\\\"scores\\\": [$n]}\"; }\nread -r x\n",
              "samples=vectors", "timeout=60");
    CHECK(score(&m, vector, &shape, 1, &one, error));
    assert_true(one == 4.0 * D);
    test_free(vector);
    model_close(&m);
}

/* ---- The examples ---- */

static void the_examples_score(void **state)
{
    (void)state;
    static const struct {
        const char *command, *name;
    } examples[] = {{"command=[python3]", "warmth.py"}, {"command=[sh]", "gzip_size.sh"}};
    float pictures[3 * 3 * 64];
    for (int i = 0; i < 3 * 3 * 64; i++) /* a red one, a blue one, a varied one */
        pictures[i] = i < 192 ? i < 64 : i < 384 ? i >= 320 : (float)(i * 37 % 256) / 255.0f;
    const dipp_shape shape = DIPP_SHAPE(3, 8, 8);
    for (int k = 0; k < 2; k++) {
        model m;
        double scores[3], again[3];
        snprintf(parameter, sizeof parameter, "script=%s/%s", getenv("DIPP_PIPE_EXAMPLES"), examples[k].name);
        model_open(&m, DIPP_PLUGIN_REWARD, "pipe", TEXTS(examples[k].command, parameter));
        CHECK(score(&m, pictures, &shape, 3, scores, error));
        CHECK(score(&m, pictures, &shape, 3, again, error));
        assert_memory_equal(scores, again, sizeof scores);
        if (k == 0)
            assert_true(scores[0] == 1 && scores[1] == -1 && fabs(scores[2]) < 0.5);
        else
            assert_true(scores[0] > -60 && scores[1] > -60 && scores[2] < -150);
        model_close(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compressibility_is_minus_the_kilobytes_of_the_jpeg),
        cmocka_unit_test_setup_teardown(pictures_go_out_and_scores_come_back, open_folder, remove_folder),
        cmocka_unit_test_setup_teardown(vectors_go_out_as_floats, open_folder, remove_folder),
        cmocka_unit_test_setup_teardown(programs_that_break_the_protocol_are_named, open_folder, remove_folder),
        cmocka_unit_test(a_program_that_is_not_there_is_named),
        cmocka_unit_test_setup_teardown(the_program_and_its_children_end_with_the_reward, open_folder, remove_folder),
        cmocka_unit_test_setup_teardown(large_requests_do_not_deadlock, open_folder, remove_folder),
        cmocka_unit_test(the_examples_score),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
