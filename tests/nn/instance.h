/* Instances of plugins, for tests of them. */
#ifndef DIPP_TEST_NN_INSTANCE_H
#define DIPP_TEST_NN_INSTANCE_H

#include <dipp/plugin.h>

typedef struct instance {
    dipp_parameters *parameters;
    void *self;
} instance;

/* Opens a shared object of two descriptors, reference and generator; fails the running test otherwise. */
void instance_load(const char *file, const dipp_plugin **reference, const dipp_plugin **generator);

/* out becomes first, then second, each ended by NULL or its eighth entry; of one key the last assignment stays. */
uint32_t instance_join(const char *const first[8], const char *const second[8], const char **out, uint32_t most);

/* Parameters from "key=value" texts, which must be sound (else the test fails), then the plugin's create, whose status is
 * returned. instance_destroy also after an error. */
dipp_status instance_create(const dipp_plugin *plugin, const char *const *assignments, uint32_t count, instance *out,
                            dipp_error *error);
void instance_destroy(const dipp_plugin *plugin, instance *i);

#endif
