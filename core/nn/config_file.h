/* config.json of published networks: an object whose keys are read one by one, by whoever knows what they mean. */
#ifndef DIPP_NN_CONFIG_FILE_H
#define DIPP_NN_CONFIG_FILE_H

#include <dipp/status.h>

#include <jansson.h>
#include <stdbool.h>

/* The file's object, or an object in it, while it is read. After the first trouble nothing more is looked at. */
typedef struct dipp_nn_section {
    const char *path; /* of the file */
    const char
        *name; /* of the section with a point behind it, "" for the file's object: what messages put before a key */
    const json_t *keys; /* NULL or null: all defaults */
    dipp_status status; /* the first trouble */
    dipp_error *error;  /* its message, which names file and key */
} dipp_nn_section;

/* Keys that are absent or null give `otherwise`; what is no such value is DIPP_E_FORMAT. [any thread] */
int64_t dipp_nn_config_size(dipp_nn_section *s, const char *key, int64_t otherwise);   /* whole, 1 to 2^31 - 1 */
double dipp_nn_config_positive(dipp_nn_section *s, const char *key, double otherwise); /* above 0 */

/* The index of the key's text among `names`, which NULL ends; what is not among them is DIPP_E_UNSUPPORTED. [any thread] */
size_t dipp_nn_config_choice(dipp_nn_section *s, const char *key, const char *const *names, size_t otherwise);

/* A switch that is not read but has to be `value` where the file has it; otherwise DIPP_E_UNSUPPORTED. [any thread] */
void dipp_nn_config_expect(dipp_nn_section *s, const char *key, bool value);

#endif
