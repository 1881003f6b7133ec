/* A catalog of plugins for tests: parameter tables without code. */
#ifndef DIPP_TESTS_EXPERIMENT_CATALOG_H
#define DIPP_TESTS_EXPERIMENT_CATALOG_H

#include "experiment/config.h"

#include <math.h>
#include <string.h>

static const char *const test_heads[] = {"eps", "v", "edm", NULL};

static const dipp_parameter test_dit[] = {
    {"width", DIPP_TYPE_INT, "256", 8, 4096, NULL, NULL, DIPP_PARAMETER_STRUCTURAL, "Channels."},
    {"head", DIPP_TYPE_ENUM, "edm", 0, 0, test_heads, NULL, 0, "Parameterisation."},
    {"sigma_init", DIPP_TYPE_FLOAT, "2.5", 0, INFINITY, NULL, "sigma", 0, "First noise level."},
    {"vocabulary", DIPP_TYPE_PATH, NULL, 0, 0, NULL, NULL, DIPP_PARAMETER_OPTIONAL, "Vocabulary file."},
};

static const dipp_parameter test_mixture[] = {
    {"means", DIPP_TYPE_FLOAT_LIST, NULL, 0, 0, NULL, NULL, DIPP_PARAMETER_REQUIRED, "One row per component."},
    {"covariances", DIPP_TYPE_FLOAT_LIST, NULL, 0, 0, NULL, NULL, DIPP_PARAMETER_OPTIONAL, "One matrix per component."},
    {"labels", DIPP_TYPE_STRING_LIST, "[]", 0, 0, NULL, NULL, 0, "Names of the components."},
    {"exact", DIPP_TYPE_BOOL, "true", 0, 0, NULL, NULL, 0, "Exact prediction."},
};

static const dipp_parameter test_border[] = {
    {"color", DIPP_TYPE_FLOAT_LIST, "[1, 0, 0]", 0, 1, NULL, NULL, DIPP_PARAMETER_LIVE, "Wanted border colour, RGB."},
    {"width", DIPP_TYPE_INT, "4", 1, 64, NULL, "pixels", 0, "Border width."},
    {"bins", DIPP_TYPE_INT_LIST, "[1, 2]", 0, 10, NULL, NULL, 0, "Bins."},
};

static const struct {
    dipp_plugin_kind kind;
    const char *name;
    const dipp_parameter *table;
    uint32_t count;
} test_plugins[] = {
    {DIPP_PLUGIN_REFERENCE, "dit", test_dit, 4},   {DIPP_PLUGIN_REFERENCE, "mixture", test_mixture, 4},
    {DIPP_PLUGIN_GENERATOR, "dit", test_dit, 4},   {DIPP_PLUGIN_REWARD, "border", test_border, 3},
    {DIPP_PLUGIN_REWARD, "colorfulness", NULL, 0},
};

enum { TEST_PLUGINS = sizeof test_plugins / sizeof *test_plugins };

static dipp_status test_parameters(void *context, dipp_plugin_kind kind, const char *name, const dipp_parameter **table,
                                   uint32_t *count, dipp_error *error)
{
    (void)context;
    for (int i = 0; i < TEST_PLUGINS; i++)
        if (test_plugins[i].kind == kind && !strcmp(test_plugins[i].name, name)) {
            *table = test_plugins[i].table;
            *count = test_plugins[i].count;
            return DIPP_OK;
        }
    if (!strcmp(name, "broken"))
        return dipp_fail(error, DIPP_E_PLUGIN, "built for ABI 7, this is ABI 1");
    return dipp_fail(error, DIPP_E_NOT_FOUND, "no such plugin");
}

static const char *test_name(void *context, dipp_plugin_kind kind, size_t index)
{
    (void)context;
    for (int i = 0; i < TEST_PLUGINS; i++)
        if (test_plugins[i].kind == kind && !index--)
            return test_plugins[i].name;
    return NULL;
}

static const dipp_plugin_catalog test_catalog = {NULL, test_parameters, test_name};

#endif
