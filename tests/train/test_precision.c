/* Updates of a set without masters and with moments in fewer bits: what they converge to, that rounding is unbiased, that
 * all back-ends round alike, and that a checkpoint goes on bit for bit. A set of one matrix and one wide gain; the gradient
 * is written by the test. */
#include "runner.h"
#include "tensor/state_format.h"
#include "train/checkpoint.h"

#include <stdlib.h>
#include <unistd.h>

enum { ROWS = 32, COLUMNS = 64, GAINS = 40, MATRIX = ROWS * COLUMNS };

typedef struct bench {
    dipp_backend *backend;
    dipp_layout *layout;
    dipp_parameter_set *set, *average;
    dipp_updater updater;
    dipp_plan *plan;
    size_t elements, matrix, gains; /* where the two entries begin */
    double *numbers;                /* [elements] */
} bench;

/* false where this machine has no such back-end. */
static bool bench_open(bench *b, const char *backend, const char *precision, dipp_formats formats,
                       const dipp_optimizer_settings *settings)
{
    dipp_error why = {0};
    *b = (bench){0};
    if (dipp_backend_create(
            backend,
            &(dipp_backend_options){.struct_size = sizeof(dipp_backend_options), .precision = precision, .threads = 2},
            &b->backend, &why) != DIPP_OK)
        return false;
    CHECK(dipp_layout_create("net", &b->layout, error));
    const dipp_param_options wide = {.struct_size = sizeof wide, .flags = DIPP_PARAM_WIDE};
    uint32_t matrix, gains;
    CHECK(dipp_layout_declare(b->layout, "matrix", DIPP_SHAPE(ROWS, COLUMNS), NULL, "", &matrix, error));
    CHECK(dipp_layout_declare(b->layout, "gains", DIPP_SHAPE(GAINS), &wide, "", &gains, error));
    CHECK(dipp_parameter_set_create_in("net", b->layout, b->backend, formats, &b->set, error));
    CHECK(dipp_parameter_set_create("average", b->layout, b->backend, false, &b->average, error));
    b->elements = (size_t)dipp_layout_elements(b->layout);
    b->matrix = (size_t)dipp_layout_entry_at(b->layout, matrix)->offset;
    b->gains = (size_t)dipp_layout_entry_at(b->layout, gains)->offset;
    b->numbers = test_calloc(b->elements, sizeof(double));
    CHECK(dipp_updater_record(&b->updater, "update", b->set, settings, true, error));
    b->updater.seed = 11;
    b->updater.stream = 3;
    b->updater.average_decay = 0.5;
    b->updater.total = 200;
    CHECK(dipp_plan_create(b->backend, &b->plan, error));
    CHECK(dipp_plan_step(b->plan, b->updater.program, 0, error));
    CHECK(dipp_plan_solve(b->plan, 0, NULL, error));
    CHECK(dipp_plan_allocate(b->plan, error));
    CHECK(dipp_updater_bind(&b->updater, b->plan, b->set, b->average, error));
    return true;
}

static void bench_close(bench *b)
{
    dipp_updater_destroy(&b->updater);
    dipp_plan_destroy(&b->plan);
    dipp_parameter_set_destroy(&b->set);
    dipp_parameter_set_destroy(&b->average);
    dipp_layout_destroy(&b->layout);
    dipp_backend_destroy(&b->backend);
    test_free(b->numbers);
}

static void fill(bench *b, double value)
{
    for (size_t i = 0; i < b->elements; i++)
        b->numbers[i] = value;
    dipp_parameter_set_write(b->set, DIPP_BLOCK_MASTER, b->numbers, DIPP_HOST_F64);
    CHECK(dipp_parameter_set_refresh(b->set, error));
}

static void step(bench *b)
{
    double norm;
    bool applied;
    CHECK(dipp_updater_step(&b->updater, &norm, &applied, error));
    assert_true(applied);
}

/* What element i shall become: of both signs and two decades. */
static double target(size_t i)
{
    return (i % 2 ? -1 : 1) * exp2(-3.0 + 5.0 * (double)(i * 37 % 101) / 101);
}

/* One update on the gradient of |p - target|^2 / 2. */
static void descend(bench *b)
{
    dipp_parameter_set_read(b->set, DIPP_BLOCK_MASTER, b->numbers, DIPP_HOST_F64);
    for (size_t i = 0; i < b->elements; i++)
        b->numbers[i] -= target(i);
    dipp_parameter_set_write(b->set, DIPP_BLOCK_GRADIENT, b->numbers, DIPP_HOST_F64);
    step(b);
}

static const dipp_optimizer_settings adamw = {.kind = DIPP_OPTIMIZER_ADAMW,
                                              .lr = 0.1,
                                              .beta1 = 0.9,
                                              .beta2 = 0.99,
                                              .epsilon = 1e-8,
                                              .schedule = DIPP_RATE_COSINE};
static const dipp_formats all_formats[] = {{false, DIPP_STATE_F32}, {false, DIPP_STATE_BF16}, {false, DIPP_STATE_8BIT},
                                           {true, DIPP_STATE_F32},  {true, DIPP_STATE_BF16},  {true, DIPP_STATE_8BIT}};
enum { FORMATS = sizeof all_formats / sizeof *all_formats };

static const char *const machines[][2] = {{"reference", "f64"}, {"cpu", "f32"}, {"cpu", "bf16"}};
enum { MACHINES = sizeof machines / sizeof *machines };

/* The band: 0.2 % of the target plus 0.002; and three units in the last place without masters: random rounding keeps the
 * weights walking about until the rate is too small to move them. */
static void a_quadratic_reaches_its_minimum(void **state)
{
    (void)state;
    for (int m = 0; m < MACHINES; m++)
        for (int f = 0; f < FORMATS; f++) {
            bench b;
            if (!bench_open(&b, machines[m][0], machines[m][1], all_formats[f], &adamw))
                continue;
            fill(&b, 0);
            for (int n = 0; n < 200; n++)
                descend(&b);
            dipp_parameter_set_read(b.set, DIPP_BLOCK_MASTER, b.numbers, DIPP_HOST_F64);
            for (size_t i = 0; i < MATRIX; i++) {
                double want = target(b.matrix + i), band = 0.002 + fabs(want) * 0.002;
                band += all_formats[f].bf16_weights ? fabs(want) * 3 * 0x1p-7 : 0;
                exact_near("matrix", b.numbers[b.matrix + i], want, 0, band);
            }
            for (size_t i = 0; i < GAINS; i++)
                exact_near("gain", b.numbers[b.gains + i], target(b.gains + i), 0.002, 0.002);
            bench_close(&b);
        }
}

static double mean_of_matrix(bench *b, dipp_block block)
{
    double sum = 0;
    dipp_parameter_set_read(b->set, block, b->numbers, DIPP_HOST_F64);
    for (size_t i = 0; i < MATRIX; i++)
        sum += b->numbers[b->matrix + i];
    return sum / MATRIX;
}

/* 256 updates of 1/64 of a unit in the last place each: from 1.5, to nearest, none would move anything. The mean has a
 * standard error of sqrt(256 q (1 - q) / MATRIX) units with q = 1/64. */
static void updates_far_below_a_unit_add_up(void **state)
{
    (void)state;
    const double unit = 0x1p-7, update = unit / 64, error = unit * sqrt(256.0 / 64 * 63 / 64 / MATRIX);
    const dipp_optimizer_settings sgd = {.kind = DIPP_OPTIMIZER_SGD, .lr = update};
    for (int m = 0; m < MACHINES; m++) {
        bench b;
        if (!bench_open(&b, machines[m][0], machines[m][1], (dipp_formats){.bf16_weights = true}, &sgd))
            continue;
        fill(&b, 1.5 + update); /* writing rounds to nearest */
        assert_true(mean_of_matrix(&b, DIPP_BLOCK_MASTER) == 1.5);
        for (int n = 0; n < 256; n++) {
            for (size_t i = 0; i < b.elements; i++)
                b.numbers[i] = 1;
            dipp_parameter_set_write(b.set, DIPP_BLOCK_GRADIENT, b.numbers, DIPP_HOST_F64);
            step(&b);
        }
        exact_near("mean", mean_of_matrix(&b, DIPP_BLOCK_MASTER), 1.5 - 256 * update, 0, 5 * error);
        for (size_t i = 0; i < MATRIX; i++) { /* and they are bf16 numbers everywhere */
            uint32_t bits = dipp_bits_of_float((float)b.numbers[b.matrix + i]);
            assert_true((double)dipp_float_of_bits(bits & 0xffff0000u) == b.numbers[b.matrix + i]);
        }
        exact_near("gain", b.numbers[b.gains], 1.5 + update - 256 * update, 0, 1e-6); /* wide: no rounding */
        bench_close(&b);
    }
}

/* beta2 = 0.999 moves a second moment by less than half a unit of bf16 most of the time: to nearest it would stay at about
 * a quarter of where it belongs. */
static void a_second_moment_in_bf16_does_not_stall(void **state)
{
    (void)state;
    dipp_optimizer_settings settings = adamw;
    settings.beta2 = 0.999;
    bench b;
    assert_true(bench_open(&b, "reference", "f32", (dipp_formats){.state = DIPP_STATE_BF16}, &settings));
    fill(&b, 0);
    for (int n = 0; n < 600; n++) {
        for (size_t i = 0; i < b.elements; i++)
            b.numbers[i] = 0.3;
        dipp_parameter_set_write(b.set, DIPP_BLOCK_GRADIENT, b.numbers, DIPP_HOST_F64);
        step(&b);
    }
    double want = 0.09 * (1 - pow(0.999, 600));
    exact_near("second moment", mean_of_matrix(&b, DIPP_BLOCK_MOMENT2), want, 0.01, 0);
    bench_close(&b);
}

/* SGD on numbers that single precision holds exactly: whatever differs is the rounding. */
static void all_back_ends_round_alike(void **state)
{
    (void)state;
    const dipp_optimizer_settings sgd = {.kind = DIPP_OPTIMIZER_SGD, .lr = 0x1p-9};
    double *first = NULL;
    for (int m = 0; m < MACHINES; m++)
        for (uint64_t seed = 11; seed < 13; seed++) {
            bench b;
            if (!bench_open(&b, machines[m][0], machines[m][1], (dipp_formats){.bf16_weights = true}, &sgd))
                continue;
            fill(&b, 1.5);
            b.updater.seed = seed;
            for (size_t i = 0; i < b.elements; i++)
                b.numbers[i] = (double)(i % 64) / 64;
            dipp_parameter_set_write(b.set, DIPP_BLOCK_GRADIENT, b.numbers, DIPP_HOST_F64);
            step(&b);
            dipp_parameter_set_read(b.set, DIPP_BLOCK_MASTER, b.numbers, DIPP_HOST_F64);
            if (!first) {
                first = test_malloc(b.elements * sizeof *first);
                memcpy(first, b.numbers, b.elements * sizeof *first);
            }
            bool same = !memcmp(first + b.matrix, b.numbers + b.matrix, MATRIX * sizeof *first);
            assert_true(same == (seed == 11));
            bench_close(&b);
        }
    test_free(first);
}

static void write_or_read(bench *b, const char *path, bool write)
{
    const dipp_checkpoint_block blocks[] = {{"net.master", b->set, DIPP_BLOCK_MASTER},
                                            {"net.moment1", b->set, DIPP_BLOCK_MOMENT1},
                                            {"net.moment2", b->set, DIPP_BLOCK_MOMENT2},
                                            {"average.master", b->average, DIPP_BLOCK_MASTER}};
    const dipp_checkpoint_counter counters[] = {{"done", .value = &b->updater.done},
                                                {"attempts", .value = &b->updater.attempts}};
    char identity[64];
    dipp_checkpoint_formats(b->set, identity, sizeof identity);
    if (write)
        CHECK(dipp_checkpoint_write(path, "test", identity, blocks, 4, counters, 2, NULL, error));
    else
        CHECK(dipp_checkpoint_read(path, "test", identity, blocks, 4, counters, 2, error));
}

static bool same_block(const bench *a, const bench *b, dipp_block block)
{
    dipp_parameter_set_read(a->set, block, a->numbers, DIPP_HOST_F64);
    dipp_parameter_set_read(b->set, block, b->numbers, DIPP_HOST_F64);
    return !memcmp(a->numbers, b->numbers, a->elements * sizeof *a->numbers);
}

static void a_checkpoint_goes_on_bit_for_bit_in_every_format(void **state)
{
    (void)state;
    char folder[] = "/tmp/dipp-precision-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", folder);
    for (int m = 0; m < MACHINES; m++)
        for (int f = 0; f < FORMATS; f++) {
            bench whole, rest;
            if (!bench_open(&whole, machines[m][0], machines[m][1], all_formats[f], &adamw))
                continue;
            assert_true(bench_open(&rest, machines[m][0], machines[m][1], all_formats[f], &adamw));
            fill(&whole, 0.3);
            for (int n = 0; n < 7; n++) {
                if (n == 4)
                    write_or_read(&whole, path, true);
                descend(&whole);
            }
            write_or_read(&rest, path, false);
            assert_false(same_block(&whole, &rest, DIPP_BLOCK_MOMENT2));
            for (int n = 4; n < 7; n++)
                descend(&rest);
            assert_true(same_block(&whole, &rest, DIPP_BLOCK_MASTER));
            assert_true(same_block(&whole, &rest, DIPP_BLOCK_MOMENT1));
            assert_true(same_block(&whole, &rest, DIPP_BLOCK_MOMENT2));
            bench_close(&whole);
            bench_close(&rest);
        }
    unlink(path);
    rmdir(folder);
}

/* Bytes a parameter: 16 in f32 (18 with a compute copy); 12 and 8.03 by moments; 2 less for the master without one. */
static void sets_take_the_bytes_that_arithmetic_says(void **state)
{
    (void)state;
    for (int narrow = 0; narrow < 2; narrow++)
        for (int f = 0; f < FORMATS; f++) {
            bench b;
            assert_true(bench_open(&b, "null", narrow ? "bf16" : "f32", all_formats[f], &adamw));
            size_t n = b.elements, wide = (size_t)dipp_layout_wide_elements(b.layout), bytes = 4 * n;
            assert_int_equal(n, MATRIX + 256);
            assert_int_equal(wide, 256);
            bytes += narrow ? 2 * n + 4 * (all_formats[f].bf16_weights ? wide : n) : 4 * n;
            bytes += 2 * (all_formats[f].state == DIPP_STATE_F32    ? 4 * n
                          : all_formats[f].state == DIPP_STATE_BF16 ? 2 * n
                                                                    : n + n / 256 * 4);
            assert_int_equal(dipp_parameter_set_bytes(b.set), bytes);
            bench_close(&b);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quadratic_reaches_its_minimum),
        cmocka_unit_test(updates_far_below_a_unit_add_up),
        cmocka_unit_test(a_second_moment_in_bf16_does_not_stall),
        cmocka_unit_test(all_back_ends_round_alike),
        cmocka_unit_test(a_checkpoint_goes_on_bit_for_bit_in_every_format),
        cmocka_unit_test(sets_take_the_bytes_that_arithmetic_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
