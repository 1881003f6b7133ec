#include "experiment/run_metric_names.h"

#include "base/file.h"
#include "weights/published.h"

#include <stdio.h>
#include <string.h>

bool dipp_metric_is_published(const char *plugin)
{
    static const char *const plugins[] = {"hps", "pickscore", "imagereward", "aesthetic", "clipscore"};
    for (size_t i = 0; i < sizeof plugins / sizeof *plugins; i++)
        if (!strcmp(plugins[i], plugin))
            return true;
    return false;
}

/* PREFIX:NAME, NAME the last part of path without its ending. */
static char *name_by_path(const char *prefix, const char *path, char out[DIPP_METRIC_NAME_BYTES])
{
    const char *name = path && *dipp_path_name(path) ? dipp_path_name(path) : path ? path : "untrained";
    const char *dot = strrchr(name, '.');
    size_t length = path && dot && dot != name ? (size_t)(dot - name) : strlen(name);
    snprintf(out, DIPP_METRIC_NAME_BYTES, "%s:%.*s", prefix, (int)(length < 100 ? length : 100), name);
    return out;
}

/* The network with which a variant of clipscore is published. */
static bool is_variants_network(const char *variant, const char *network)
{
    static const char *const pairs[][2] = {{"hessel", "b32"}, {"torchmetrics", "l14"}, {"dmd2", "g14"},
                                           {"sid", "g14"},    {"imagereward", "l14"},  {"diffusion_dpo", "h14"},
                                           {"reno", "h14"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (!strcmp(pairs[i][0], variant))
            return !strcmp(pairs[i][1], network);
    return false;
}

/* Whether evaluation works as published: pictures seen so, and the activation that belongs to the weights. */
static bool is_as_published(const dipp_parameters *parameters)
{
    if (dipp_parameters_has(parameters, "official") && !dipp_parameters_bool(parameters, "official"))
        return false;
    return !dipp_parameters_has(parameters, "activation");
}

char *dipp_metric_name_of(const char *plugin, const dipp_parameters *parameters, const dipp_scorer_files *files,
                          char out[DIPP_METRIC_NAME_BYTES])
{
    const dipp_published_file *weights = dipp_published_find(files->weights_sha256);
    const dipp_published_file *head = dipp_published_find(files->head_sha256);
    const char *metric = NULL, *variant = dipp_parameters_string(parameters, "variant");
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s", plugin);
    if (variant)
        snprintf(prefix, sizeof prefix, "%s:%s", plugin, variant);
    if (!strcmp(plugin, "aesthetic")) {
        bool tower = weights && weights->network && !strcmp(weights->network, "l14");
        metric = tower && head && head->metric && !strcmp(head->metric, "aesthetic") ? head->metric : NULL;
    } else if (variant) {
        metric = weights && weights->network && is_variants_network(variant, weights->network) ? prefix : NULL;
    } else if (weights && weights->metric && !strncmp(weights->metric, plugin, strlen(plugin))) {
        metric = weights->metric; /* hps: hps or hps21 */
    }
    if (metric && is_as_published(parameters))
        snprintf(out, DIPP_METRIC_NAME_BYTES, "%s", metric);
    else
        name_by_path(prefix, files->head ? files->head : files->weights, out);
    return out;
}

char *dipp_metric_name_of_head(const char *sha256, const char *path, char out[DIPP_METRIC_NAME_BYTES])
{
    const dipp_published_file *head = dipp_published_find(sha256);
    if (!head || !head->metric || strcmp(head->metric, "aesthetic") != 0)
        return name_by_path("aesthetic", path, out);
    snprintf(out, DIPP_METRIC_NAME_BYTES, "%s", head->metric);
    return out;
}

char *dipp_scorer_files_sha256(const dipp_scorer_files *files, char out[DIPP_SHA256_HEX_BYTES])
{
    dipp_sha256 hash;
    if (!files->head) {
        memcpy(out, files->weights_sha256, DIPP_SHA256_HEX_BYTES);
        return out;
    }
    dipp_sha256_init(&hash);
    dipp_sha256_update(&hash, files->weights_sha256, strlen(files->weights_sha256));
    dipp_sha256_update(&hash, files->head_sha256, strlen(files->head_sha256));
    dipp_sha256_final_hex(&hash, out);
    return out;
}
