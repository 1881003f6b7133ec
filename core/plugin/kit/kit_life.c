/* Checks of what a plugin does before anything runs: descriptor, parameters, instances, and memory that is refused. */
#include "plugin/kit/kit_private.h"

#include "base/memory.h"
#include "plugin/plugin_host.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- descriptor ---- */

void kit_check_descriptor(const kit_case *c, kit_verdict *verdict)
{
    const dipp_plugin *const *first = NULL, *const *again = NULL;
    uint32_t count = 0, later = 0;
    dipp_error error = {0};
    size_t before = 0, after = 0;
    if (dipp_plugin_library_open(c->path, NULL, &first, &count, &error) != DIPP_OK) {
        kit_fault(verdict, "%s", error.message);
        return;
    }
    dipp_plugin copy = *c->plugin;
    for (int i = 0; i < 10; i++) {
        if (i == 2) /* what the linker keeps is kept by now */
            before = mallinfo2().uordblks;
        if (dipp_plugin_library_open(c->path, NULL, &again, &later, &error) != DIPP_OK || again != first ||
            /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): the copy has the padding, too */
            later != count || memcmp(&copy, c->plugin, sizeof copy)) {
            kit_fault(verdict, "two calls of %s give different descriptors", DIPP_PLUGIN_ENTRY_NAME);
            return;
        }
    }
    after = mallinfo2().uordblks;
    if (after > before)
        kit_fault(verdict, "%s allocates memory: %zu bytes in 8 calls", DIPP_PLUGIN_ENTRY_NAME, after - before);
    else
        kit_pass(verdict, "ABI %d.%d, %u parameters, the same at every call", c->plugin->abi_major,
                 c->plugin->abi_minor, c->plugin->parameter_count);
}

/* ---- parameters ---- */

typedef struct tally {
    uint32_t taken, refused;
} tally;

/* Everything short of running: all that an instance records; of an opaque reward one call. */
static dipp_status record_all(const kit_instance *instance, dipp_error *error)
{
    dipp_shape sample;
    dipp_status status = kit_sample_of(instance, KIT_MAIN, &sample, error);
    if (status == DIPP_OK && kit_is_opaque(instance))
        status = kit_opaque_try(instance, &sample, error);
    for (int f = 0; f < KIT_FUNCTIONS && status == DIPP_OK; f++) {
        kit_recording recording;
        if (!kit_has(instance, (kit_function)f))
            continue;
        status = kit_sample_of(instance, (kit_function)f, &sample, error);
        if (status == DIPP_OK)
            status = kit_record(instance, (kit_function)f, &sample, 2, 0, NULL, &recording, error);
        if (status == DIPP_OK)
            kit_recording_release(&recording);
    }
    return status;
}

/* A setting is taken or refused in the right way; false when the verdict is there. */
static bool try_setting(const kit_case *c, const char *override, tally *settings, kit_verdict *verdict)
{
    kit_instance instance;
    dipp_error error = {0};
    const char *shown = override ? override : "the parameters as given";
    dipp_status status = kit_instance_create(c, override, &instance, &error);
    if (status == DIPP_OK) {
        /* An opaque reward is not asked at its extremes, which may rightly fail it: a time limit of no time. */
        if (!override || !kit_is_opaque(&instance))
            status = record_all(&instance, &error);
        kit_instance_destroy(&instance);
    }
    if (status == DIPP_OK) {
        settings->taken++;
        return true;
    }
    settings->refused++;
    if (!error.message[0])
        kit_fault(verdict, "%s: refused without a message", shown);
    else if (!override)
        kit_fault(verdict, "refused: %.400s", error.message);
    else if (status != DIPP_E_INVALID && status != DIPP_E_MEMORY)
        kit_fault(verdict, "%s: refused as \"%s\" instead of \"%s\": %.300s", shown, dipp_status_name(status),
                  dipp_status_name(DIPP_E_INVALID), error.message);
    else
        return true;
    return false;
}

/* The settings of one parameter: its ends, or all of a choice; returns how many. */
static uint32_t settings_of(const dipp_parameter *row, char texts[][96], uint32_t limit)
{
    uint32_t count = 0;
    bool limited = row->minimum != 0 || row->maximum != 0;
    const double ends[2] = {row->minimum, row->maximum};
    if (row->type == DIPP_TYPE_BOOL)
        for (; count < 2; count++)
            snprintf(texts[count], sizeof texts[count], "%s=%s", row->key, count ? "true" : "false");
    for (; row->type == DIPP_TYPE_ENUM && count < limit && row->choices[count]; count++)
        snprintf(texts[count], sizeof texts[count], "%s=\"%s\"", row->key, row->choices[count]);
    for (int i = 0; i < 2 && limited && isfinite(ends[i]); i++)
        if (row->type == DIPP_TYPE_INT)
            snprintf(texts[count++], sizeof texts[0], "%s=%lld", row->key, (long long)ends[i]);
        else if (row->type == DIPP_TYPE_FLOAT)
            snprintf(texts[count++], sizeof texts[0], "%s=%.17e", row->key, ends[i]);
    return count;
}

void kit_check_parameters(const kit_case *c, kit_verdict *verdict)
{
    tally settings = {0, 0};
    char texts[32][96];
    if (!try_setting(c, NULL, &settings, verdict))
        return;
    for (uint32_t i = 0; i < c->plugin->parameter_count; i++) {
        uint32_t count = settings_of(&c->plugin->parameters[i], texts, 32);
        for (uint32_t k = 0; k < count; k++)
            if (!try_setting(c, texts[k], &settings, verdict))
                return;
    }
    kit_pass(verdict, "%u settings taken, %u refused with a message", settings.taken, settings.refused);
}

/* ---- instances ---- */

enum { CYCLES = 100 };

void kit_check_instances(const kit_case *c, kit_verdict *verdict)
{
    kit_instance instance, other;
    dipp_error error = {0};
    size_t used[3] = {0}; /* after a few to warm up, after CYCLES more, after as many again */
    for (int i = 0; i < 3 * CYCLES; i++) {
        if (kit_instance_create(c, NULL, &instance, &error) != DIPP_OK) {
            kit_fault(verdict, "instance %d cannot be created: %.400s", i + 1, error.message);
            return;
        }
        kit_instance_destroy(&instance);
        if (i % CYCLES == CYCLES - 1)
            used[i / CYCLES] = mallinfo2().uordblks;
    }
    /* What malloc keeps for later goes up and down; what is lost goes up, by a block of at least 16 bytes each time. */
    if (used[1] >= used[0] + 16 * CYCLES && used[2] >= used[1] + 16 * CYCLES) {
        kit_fault(verdict, "about %zu bytes are lost with each instance", (used[2] - used[0]) / (2 * CYCLES));
        return;
    }
    dipp_status status = kit_instance_create(c, NULL, &instance, &error); /* two at once, the first ends first */
    if (status == DIPP_OK) {
        status = kit_instance_create(c, NULL, &other, &error);
        kit_instance_destroy(&instance);
    }
    if (status == DIPP_OK) {
        status = record_all(&other, &error);
        kit_instance_destroy(&other);
    }
    if (status != DIPP_OK)
        kit_fault(verdict, "a second instance fails when the first is gone: %.400s", error.message);
    else
        kit_pass(verdict, "%d created and destroyed, nothing lost", 3 * CYCLES);
}

/* ---- memory ---- */

/* An instance and its recordings while the nth allocation of libdipp fails; the failure must be told. */
static bool survive(const kit_case *c, uint64_t nth, bool keep_failing, bool *happened, kit_verdict *verdict)
{
    kit_instance instance;
    dipp_error error = {0};
    dipp_memory_fail_nth(nth, keep_failing);
    dipp_status status = kit_instance_create(c, NULL, &instance, &error);
    if (status == DIPP_OK) {
        status = record_all(&instance, &error);
        kit_instance_destroy(&instance);
    }
    *happened = dipp_memory_has_failed();
    dipp_memory_fail_nth(0, false);
    if (*happened && status == DIPP_OK)
        kit_fault(verdict, "allocation %llu failed and nothing was said", (unsigned long long)nth);
    else if (*happened && !error.message[0])
        kit_fault(verdict, "allocation %llu failed and the error has no message", (unsigned long long)nth);
    else if (!*happened && status != DIPP_OK)
        kit_fault(verdict, "%.400s", error.message);
    else
        return true;
    return false;
}

enum { POINTS = 200 };

/* Each value that a function records fails once, whether or not it needs an allocation of its own. */
static bool survive_values(const kit_instance *instance, uint64_t *tried, uint64_t *all, kit_verdict *verdict)
{
    dipp_error error = {0};
    dipp_shape sample;
    kit_recording recording;
    for (int f = 0; f < KIT_FUNCTIONS; f++) {
        size_t count = 0;
        if (!kit_has(instance, (kit_function)f))
            continue;
        dipp_status status = kit_sample_of(instance, (kit_function)f, &sample, &error);
        if (status == DIPP_OK)
            status = kit_record(instance, (kit_function)f, &sample, 2, 0, &count, &recording, &error);
        if (status != DIPP_OK) {
            kit_fault(verdict, "%.400s", error.message);
            return false;
        }
        kit_recording_release(&recording);
        for (size_t limit = 1; limit <= count; limit += count / POINTS + 1, ++*tried) {
            status = kit_record(instance, (kit_function)f, &sample, 2, limit, NULL, &recording, &error);
            if (status != DIPP_OK)
                continue;
            kit_recording_release(&recording);
            kit_fault(verdict, "value %zu of %s failed and nothing was said", limit,
                      kit_function_name(instance, (kit_function)f));
            return false;
        }
        *all += count;
    }
    return true;
}

void kit_check_memory(const kit_case *c, kit_verdict *verdict)
{
    kit_instance instance;
    dipp_error error = {0};
    bool happened = true;
    uint64_t low = 0, high = 1; /* allocation low exists, allocation high does not */
    while (happened) {
        if (!survive(c, high, false, &happened, verdict))
            return;
        if (happened)
            low = high, high *= 2;
    }
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (!survive(c, middle, false, &happened, verdict))
            return;
        *(happened ? &low : &high) = middle;
    }
    uint64_t stride = low / POINTS + 1, tried = 0;
    for (uint64_t nth = 1; nth <= low; nth += stride, tried++)
        if (!survive(c, nth, false, &happened, verdict) || !survive(c, nth, true, &happened, verdict))
            return;
    uint64_t values = 0, failed = 0;
    if (kit_instance_create(c, NULL, &instance, &error) != DIPP_OK) {
        kit_fault(verdict, "%.400s", error.message);
        return;
    }
    if (survive_values(&instance, &failed, &values, verdict))
        kit_pass(verdict, "%llu of %llu allocations and %llu of %llu recorded values failed one by one, each was told",
                 (unsigned long long)tried, (unsigned long long)low, (unsigned long long)failed,
                 (unsigned long long)values);
    kit_instance_destroy(&instance);
}
