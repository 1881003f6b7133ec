/* A plugin's parameters as JSON: canonical, in the order of its table, as the store keeps a scorer's. */
#ifndef DIPP_EXPERIMENT_PARAMETERS_JSON_H
#define DIPP_EXPERIMENT_PARAMETERS_JSON_H

#include <dipp/parameter.h>

#include <stdint.h>

/* All that are set; freed with dipp_release, NULL without memory. [any thread] */
char *dipp_parameters_json(const dipp_parameter *table, uint32_t count, const dipp_parameters *parameters);

/* Such a text less what stands at its default, for people; as it is where the table does not take it, as that of
 * another version may not. Freed with dipp_release, NULL without memory. [any thread] */
char *dipp_parameters_json_changed(const dipp_parameter *table, uint32_t count, const char *json);

#endif
