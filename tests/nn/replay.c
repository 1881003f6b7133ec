#include "replay.h"
#include "fixture.h"
#include "tensor/graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MUST(call)                                     \
    do {                                               \
        dipp_error error_ = {0};                       \
        if ((call) != DIPP_OK)                         \
            fail_msg("%s: %s", #call, error_.message); \
    } while (0)

void replay_begin(replay *r, const char *name)
{
    memset(r, 0, sizeof *r);
    replay_on(r, "reference", "f64");
    MUST(dipp_layout_create(name, &r->layout, &error_));
    MUST(dipp_graph_create(name, &r->graph, &error_));
    r->slot = dipp_graph_slot(r->graph, name, r->layout, true);
}

dipp_params replay_freeze(replay *r, const char *name)
{
    MUST(dipp_layout_create(name, &r->frozen_layout, &error_));
    return dipp_graph_slot(r->graph, name, r->frozen_layout, false);
}

void replay_on(replay *r, const char *backend, const char *precision)
{
    r->backend_name = backend;
    r->precision = precision;
}

bool replay_available(const char *backend, const char *precision)
{
    dipp_backend_options options = {.struct_size = sizeof options, .threads = 1, .precision = precision};
    dipp_backend *found = NULL;
    dipp_error error = {0};
    bool available = dipp_backend_create(backend, &options, &found, &error) == DIPP_OK;
    dipp_backend_destroy(&found);
    return available;
}

static void fill(dipp_parameter_set *set)
{
    double *block = calloc((size_t)dipp_layout_elements(set->layout) + 1, sizeof *block);
    assert_non_null(block);
    for (uint32_t i = 0; i < dipp_layout_count(set->layout); ++i) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(set->layout, i);
        fixture_weight(entry->name, entry->shape.rank, block + entry->offset, (size_t)entry->elements);
    }
    dipp_parameter_set_write(set, DIPP_BLOCK_MASTER, block, DIPP_HOST_F64);
    free(block);
    MUST(dipp_parameter_set_refresh(set, &error_));
}

void replay_prepare(replay *r)
{
    dipp_backend_options options = {.struct_size = sizeof options, .threads = 1, .precision = r->precision};
    MUST(dipp_graph_status(r->graph, &error_));
    MUST(dipp_backend_create(r->backend_name, &options, &r->backend, &error_));
    MUST(dipp_parameter_set_create("network", r->layout, r->backend, true, &r->set, &error_));
    fill(r->set);
    if (r->frozen_layout) {
        MUST(dipp_parameter_set_create("frozen", r->frozen_layout, r->backend, false, &r->frozen_set, &error_));
        fill(r->frozen_set);
    }

    MUST(dipp_program_create(&r->graph, r->backend, &r->program, &error_));
    MUST(dipp_plan_create(r->backend, &r->plan, &error_));
    for (uint32_t i = 0; i < dipp_program_segments(r->program); ++i)
        MUST(dipp_plan_step(r->plan, r->program, i, &error_));
    dipp_plan_report report;
    MUST(dipp_plan_solve(r->plan, 0, &report, &error_));
    MUST(dipp_plan_allocate(r->plan, &error_));
    dipp_binding bindings[2] = {{.set = r->set}, {.set = r->frozen_set}};
    MUST(dipp_executable_create(r->plan, r->program, bindings, r->frozen_layout ? 2 : 1, &r->executable, &error_));
}

void replay_write(replay *r, const char *input, const double *data, size_t count)
{
    MUST(dipp_executable_write(r->executable, input, data, DIPP_HOST_F64, count, &error_));
}

void replay_write_ids(replay *r, const char *input, const double *ids, size_t count)
{
    int32_t *whole = malloc(count * sizeof *whole);
    assert_non_null(whole);
    for (size_t i = 0; i < count; ++i)
        whole[i] = (int32_t)ids[i];
    MUST(dipp_executable_write(r->executable, input, whole, DIPP_HOST_I32, count, &error_));
    free(whole);
}

void replay_run_segment(replay *r, uint32_t segment)
{
    dipp_execute(r->executable, segment);
}

void replay_run(replay *r)
{
    replay_run_segment(r, 0);
}

double *replay_read(replay *r, const char *output, size_t count)
{
    double *data = malloc(count * sizeof *data);
    assert_non_null(data);
    MUST(dipp_executable_read(r->executable, output, data, DIPP_HOST_F64, count, &error_));
    return data;
}

double replay_probe_gradient(replay *r, const char *name)
{
    uint32_t index;
    if (!dipp_layout_find(r->layout, name, &index))
        fail_msg("the network has no parameter %s", name);
    const dipp_layout_entry *entry = dipp_layout_entry_at(r->layout, index);
    size_t count = (size_t)entry->elements;
    double *block = malloc((size_t)dipp_layout_elements(r->layout) * sizeof *block);
    double *probe = malloc(count * sizeof *probe);
    assert_non_null(block);
    assert_non_null(probe);
    dipp_parameter_set_read(r->set, DIPP_BLOCK_GRADIENT, block, DIPP_HOST_F64);
    char full[256];
    snprintf(full, sizeof full, "probe.%s", name);
    fixture_noise(full, 1.0, probe, count);
    double sum = 0;
    for (size_t i = 0; i < count; ++i)
        sum += block[(size_t)entry->offset + i] * probe[i];
    free(block);
    free(probe);
    return sum;
}

void replay_end(replay *r)
{
    dipp_executable_destroy(&r->executable);
    dipp_plan_destroy(&r->plan);
    dipp_program_destroy(&r->program);
    dipp_parameter_set_destroy(&r->set);
    dipp_parameter_set_destroy(&r->frozen_set);
    dipp_backend_destroy(&r->backend);
    dipp_graph_destroy(&r->graph);
    dipp_layout_destroy(&r->layout);
    dipp_layout_destroy(&r->frozen_layout);
}

void replay_write_from(replay *r, const dipp_weights *file, const char *fixture_case, const char *input, size_t count)
{
    char key[256];
    snprintf(key, sizeof key, "%s.%s", fixture_case, input);
    double *data = fixture_get(file, key, count);
    replay_write(r, input, data, count);
    free(data);
}

void replay_compare_output(replay *r, const dipp_weights *file, const char *fixture_case, const char *output,
                           size_t count, double tolerance)
{
    char key[256];
    snprintf(key, sizeof key, "%s.%s", fixture_case, output);
    double *expected = fixture_get(file, key, count), *found = replay_read(r, output, count);
    fixture_compare(key, found, expected, count, tolerance);
    free(expected);
    free(found);
}

void replay_compare_weights(replay *r, const dipp_weights *file, const char *fixture_case, double tolerance)
{
    char key[256];
    snprintf(key, sizeof key, "%s.weight.", fixture_case);
    assert_int_equal(dipp_layout_count(r->layout), fixture_count(file, key));
    for (uint32_t i = 0; i < dipp_layout_count(r->layout); ++i) {
        const char *parameter = dipp_layout_entry_at(r->layout, i)->name;
        snprintf(key, sizeof key, "%s.weight.%s", fixture_case, parameter);
        double *expected = fixture_get(file, key, 1), found = replay_probe_gradient(r, parameter);
        fixture_compare(key, &found, expected, 1, tolerance);
        free(expected);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const dipp_layout_entry *const *)a)->name, (*(const dipp_layout_entry *const *)b)->name);
}

void replay_compare_manifest(const replay *r, const dipp_weights *file, const char *name)
{
    uint32_t count = dipp_layout_count(r->layout);
    const dipp_layout_entry **entries = malloc(count * sizeof(const dipp_layout_entry *));
    assert_non_null(entries);
    for (uint32_t i = 0; i < count; ++i)
        entries[i] = dipp_layout_entry_at(r->layout, i);
    qsort(entries, count, sizeof *entries, by_name);
    uint64_t hash = FIXTURE_HASH_START;
    for (uint32_t i = 0; i < count; ++i) {
        char shape[128];
        hash = fixture_hash(fixture_hash(hash, entries[i]->name), " ");
        hash = fixture_hash(fixture_hash(hash, dipp_shape_text(&entries[i]->shape, shape, sizeof shape)), "\n");
    }
    free(entries);

    char key[256];
    snprintf(key, sizeof key, "manifest.%s", name);
    double *expected = fixture_get(file, key, 4);
    double found[4] = {count, (double)dipp_layout_parameters(r->layout), (double)(hash >> 32),
                       (double)(hash & 0xFFFFFFFFu)};
    fixture_compare(key, found, expected, 4, 0);
    free(expected);
}
