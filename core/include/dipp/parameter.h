/* Parameter tables: how core and plugins declare what can be configured. The core parses, checks, fills defaults and stores;
 * a plugin reads the typed result and never sees text. */
#ifndef DIPP_PARAMETER_H
#define DIPP_PARAMETER_H

#include <dipp/status.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dipp_parameter_type {
    DIPP_TYPE_BOOL = 1,
    DIPP_TYPE_INT,
    DIPP_TYPE_FLOAT,
    DIPP_TYPE_ENUM, /* one of choices */
    DIPP_TYPE_STRING,
    DIPP_TYPE_PATH,
    DIPP_TYPE_FLOAT_LIST, /* numbers, or rows of numbers of equal length */
    DIPP_TYPE_INT_LIST,
    DIPP_TYPE_STRING_LIST
} dipp_parameter_type;

enum {
    DIPP_PARAMETER_REQUIRED = 1u << 0,
    DIPP_PARAMETER_OPTIONAL = 1u << 1,   /* may stay unset: dipp_parameters_has() is false */
    DIPP_PARAMETER_STRUCTURAL = 1u << 2, /* changes the recording or the set of tensors */
    DIPP_PARAMETER_LIVE = 1u << 3,       /* may change between steps */
    /* Since 1.4, of tables with an optional path `pipeline`, a folder whose files say what is not written: while that is set, */
    DIPP_PARAMETER_FROM_PIPELINE = 1u << 4,     /* the default does not count: unset where it is not written */
    DIPP_PARAMETER_NOT_WITH_PIPELINE = 1u << 5, /* the same, and writing it is an error */
};

typedef struct dipp_parameter {
    const char *key;
    dipp_parameter_type type;
    const char *default_text;   /* as written in YAML; NULL with REQUIRED or OPTIONAL */
    double minimum, maximum;    /* inclusive, of numbers and of list entries; both 0 means unlimited */
    const char *const *choices; /* ENUM: NULL-terminated */
    const char *unit;           /* may be NULL */
    uint32_t flags;
    const char *help; /* one sentence */
} dipp_parameter;

/* Typed values of one table, read-only. Asking for a key that the table lacks, or for another type, is a programming
 * error and gives the zero value. [any thread] */
typedef struct dipp_parameters dipp_parameters;

bool dipp_parameters_has(const dipp_parameters *parameters, const char *key);
bool dipp_parameters_bool(const dipp_parameters *parameters, const char *key);
int64_t dipp_parameters_int(const dipp_parameters *parameters, const char *key);
double dipp_parameters_float(const dipp_parameters *parameters, const char *key);       /* INT also reads as double */
const char *dipp_parameters_string(const dipp_parameters *parameters, const char *key); /* STRING, PATH, ENUM */
/* Lists: *count entries in row-major order, owned by parameters. */
const double *dipp_parameters_floats(const dipp_parameters *parameters, const char *key, size_t *count);
const int64_t *dipp_parameters_ints(const dipp_parameters *parameters, const char *key, size_t *count);
const char *const *dipp_parameters_strings(const dipp_parameters *parameters, const char *key, size_t *count);
/* Rows and columns of a FLOAT_LIST; a flat list has rows 1. */
void dipp_parameters_list_shape(const dipp_parameters *parameters, const char *key, size_t *rows, size_t *columns);

/* From "key=value" texts (values in YAML flow syntax), for tests and tools. Destroy with dipp_parameters_destroy. */
dipp_status dipp_parameters_create_from_text(const dipp_parameter *table, uint32_t table_count,
                                             const char *const *assignments, uint32_t assignment_count,
                                             dipp_parameters **out, dipp_error *error);
void dipp_parameters_destroy(dipp_parameters **parameters);

#ifdef __cplusplus
}
#endif
#endif
