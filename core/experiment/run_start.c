#include "experiment/run_start.h"

#include "base/file.h"
#include "base/memory.h"
#include "experiment/run_weights.h"
#include "train/adapter_io.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static dipp_status no_memory(dipp_error *error)
{
    return dipp_fail(error, DIPP_E_MEMORY, "no memory for the files that a run starts from");
}

dipp_status dipp_run_lora(const dipp_config *config, const char *section, dipp_lora_options *lora, dipp_error *error)
{
    static const char *const usual[] = {"to_q", "to_k", "to_v", "to_out.0"}; /* those of attention, as trainers do */
    char rank[64], alpha[64], targets[64];
    snprintf(rank, sizeof rank, "%s.rank", section);
    snprintf(alpha, sizeof alpha, "%s.alpha", section);
    snprintf(targets, sizeof targets, "%s.targets", section);
    const dipp_yaml_node *list = dipp_config_node(config, targets);
    *lora =
        (dipp_lora_options){.rank = (uint32_t)dipp_config_int(config, rank), .alpha = dipp_config_float(config, alpha)};
    if (!lora->rank && (list || dipp_config_has(config, alpha)))
        return dipp_fail(error, DIPP_E_INVALID, "%s is given without %s, which asks for an adapter",
                         list ? targets : alpha, rank);
    if (!lora->rank)
        return DIPP_OK;
    if (!dipp_config_has(config, alpha))
        lora->alpha = lora->rank;
    size_t count = list ? list->count : sizeof usual / sizeof *usual;
    if (!count || count > DIPP_MAX_ADAPTER_TARGETS)
        return dipp_fail(error, DIPP_E_INVALID, "%s has %zu layers; 1 to %d are possible", targets, count,
                         DIPP_MAX_ADAPTER_TARGETS);
    for (size_t i = 0; i < count; i++)
        lora->targets[i] = list ? list->items[i]->text : usual[i];
    lora->target_count = (uint32_t)count;
    return DIPP_OK;
}

/* Whether two files have one content; a missing one has none. */
static dipp_status same_content(dipp_run_hashes *hashes, const char *a, const char *b, bool *same, dipp_error *error)
{
    struct stat of_a, of_b;
    char sha256_a[DIPP_SHA256_HEX_BYTES] = "", sha256_b[DIPP_SHA256_HEX_BYTES] = "";
    *same = false;
    if (stat(a, &of_a) != 0 || stat(b, &of_b) != 0 || of_a.st_size != of_b.st_size)
        return DIPP_OK;
    dipp_status status = dipp_run_hashes_of(hashes, a, sha256_a, error);
    if (status == DIPP_OK)
        status = dipp_run_hashes_of(hashes, b, sha256_b, error);
    *same = status == DIPP_OK && !strcmp(sha256_a, sha256_b);
    return status;
}

static dipp_status find_generator(const dipp_config *config, dipp_run_hashes *hashes, const char *reference,
                                  dipp_run_start *start, dipp_error *error)
{
    const char *init = dipp_config_string(config, "generator.init");
    const char *adapter = dipp_config_string(config, "generator.adapter");
    if (init && !(start->generator = dipp_run_weights_generator(init)))
        return no_memory(error);
    if (init && !dipp_path_exists(start->generator) && dipp_path_is_directory(init)) {
        char *found = dipp_run_weights_file(init, DIPP_GENERATOR_ADAPTER);
        bool adapted = found && dipp_path_exists(found);
        dipp_release(found);
        if (adapted)
            return dipp_fail(
                error, DIPP_E_INVALID,
                "generator.init: %s holds an adapter, not whole weights; name it as generator.adapter, and "
                "as generator.init what it was trained over, if that is not the reference",
                init);
    }
    if (adapter && !(start->generator_adapter = dipp_run_weights_file(adapter, DIPP_GENERATOR_ADAPTER)))
        return no_memory(error);
    start->generator_over_reference = !init && reference;
    /* Asked only where it saves memory: hashing takes its time. */
    if (init && reference && dipp_config_int(config, "generator.lora.rank"))
        return same_content(hashes, start->generator, reference, &start->generator_over_reference, error);
    return DIPP_OK;
}

static char *beside(const char *path, const char *name)
{
    char *folder = dipp_path_is_directory(path) ? dipp_string_copy(path) : dipp_path_folder(path);
    char file[64];
    snprintf(file, sizeof file, "%s.safetensors", name);
    char *found = folder ? dipp_path_join(folder, file) : NULL;
    dipp_release(folder);
    return found;
}

/* The weights that the TA's adapter was trained over: the reference's, or those of a TA beside generator.init. */
static dipp_status find_ta_base(const dipp_config *config, dipp_run_hashes *hashes, const char *reference,
                                dipp_run_start *start, dipp_error *error)
{
    const char *init = dipp_config_string(config, "generator.init");
    char wanted[DIPP_SHA256_HEX_BYTES], found[DIPP_SHA256_HEX_BYTES] = "";
    dipp_status status = dipp_adapter_base(start->ta_adapter, wanted, error);
    if (status == DIPP_OK && reference && dipp_path_exists(reference) && *wanted)
        status = dipp_run_hashes_of(hashes, reference, found, error);
    if (status != DIPP_OK)
        return status;
    start->ta_over_reference = !strcmp(wanted, found) || !*wanted;
    if (start->ta_over_reference)
        return DIPP_OK;
    start->ta = init ? beside(init, "ta") : NULL;
    if (init && !start->ta)
        return no_memory(error);
    if (start->ta && dipp_path_exists(start->ta))
        status = dipp_run_hashes_of(hashes, start->ta, found, error);
    if (status == DIPP_OK && strcmp(wanted, found))
        status = dipp_fail(error, DIPP_E_INVALID,
                           "the TA's adapter %s was trained over the weights of SHA-256 %.16s..., and neither "
                           "reference.weights nor a ta.safetensors beside generator.init is that file",
                           start->ta_adapter, wanted);
    return status;
}

static dipp_status find_ta(const dipp_config *config, dipp_run_hashes *hashes, const char *reference,
                           dipp_run_start *start, dipp_error *error)
{
    const char *init = dipp_config_string(config, "generator.init");
    const char *adapter = dipp_config_string(config, "generator.adapter"), *stage1 = adapter ? adapter : init;
    const char *from = dipp_config_string(config, "align.ta.init");
    bool own_network = dipp_config_has(config, "align.ta.plugin");
    if (!from || strcmp(from, "stage1")) {
        start->ta_over_reference = !own_network;
        return DIPP_OK;
    }
    if (!stage1)
        return dipp_fail(error, DIPP_E_INVALID,
                         "align.ta.init is stage1, which takes ta.safetensors from beside generator.init, and that is "
                         "not set; set it, or align.ta.init: reference");
    start->ta_adapter = beside(stage1, DIPP_TA_ADAPTER);
    if (!start->ta_adapter)
        return no_memory(error);
    if (dipp_path_exists(start->ta_adapter)) {
        dipp_status status = find_ta_base(config, hashes, own_network ? NULL : reference, start, error);
        start->ta_over_reference = start->ta_over_reference && !own_network;
        return status;
    }
    dipp_release(start->ta_adapter);
    start->ta_adapter = NULL;
    start->ta = beside(stage1, "ta");
    return start->ta ? DIPP_OK : no_memory(error);
}

dipp_status dipp_run_start_find(const dipp_config *config, dipp_run_hashes *hashes, dipp_run_start *start,
                                dipp_error *error)
{
    const char *weights = dipp_config_string(config, "reference.weights");
    char *reference = weights ? dipp_run_weights_part(weights, DIPP_PART_NETWORK) : NULL;
    *start = (dipp_run_start){.generator = NULL};
    dipp_status status =
        weights && !reference ? no_memory(error) : find_generator(config, hashes, reference, start, error);
    if (status == DIPP_OK)
        status = find_ta(config, hashes, reference, start, error);
    dipp_release(reference);
    return status;
}

void dipp_run_start_clear(dipp_run_start *start)
{
    dipp_release(start->generator);
    dipp_release(start->generator_adapter);
    dipp_release(start->ta);
    dipp_release(start->ta_adapter);
    *start = (dipp_run_start){.generator = NULL};
}

dipp_status dipp_run_check_adapter_base(const char *adapter, const char *base, dipp_error *error)
{
    char wanted[DIPP_SHA256_HEX_BYTES];
    dipp_status status = dipp_adapter_base(adapter, wanted, error);
    if (status == DIPP_OK && *wanted && (!base || strcmp(wanted, base)))
        status = dipp_fail(error, DIPP_E_INVALID,
                           "the adapter %s was trained over the weights of SHA-256 %.16s..., and here it would be laid "
                           "over %.16s",
                           adapter, wanted, base ? base : "weights from no file");
    return status;
}
