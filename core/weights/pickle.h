/* A pickle machine that executes nothing: it knows the values that weights are made of and refuses everything else.
 * Inside libdipp. */
#ifndef DIPP_WEIGHTS_PICKLE_H
#define DIPP_WEIGHTS_PICKLE_H

#include "base/arena.h"
#include "weights/number.h"

#include <dipp/status.h>

typedef enum dipp_pickle_kind {
    DIPP_PICKLE_NONE,
    DIPP_PICKLE_BOOL,
    DIPP_PICKLE_INT,
    DIPP_PICKLE_HUGE, /* an int beyond 64 bits */
    DIPP_PICKLE_FLOAT,
    DIPP_PICKLE_TEXT,
    DIPP_PICKLE_TUPLE,
    DIPP_PICKLE_LIST,
    DIPP_PICKLE_DICT,   /* dict or collections.OrderedDict */
    DIPP_PICKLE_OBJECT, /* of a TorchScript program: its attributes, as a dict's items; what class it is of is lost */
    DIPP_PICKLE_STORAGE,
    DIPP_PICKLE_TENSOR,
    DIPP_PICKLE_GLOBAL, /* one of the names that the machine knows, not called yet */
    DIPP_PICKLE_MARK    /* only inside the machine */
} dipp_pickle_kind;

typedef struct dipp_pickle_value dipp_pickle_value;
struct dipp_pickle_value {
    dipp_pickle_kind kind;
    union {
        int64_t integer; /* bool, int; a global's row in the table of known names, -1: a class of a program */
        double number;
        struct {
            const char *bytes; /* in the pickle; not zero terminated, not checked to be UTF-8 */
            size_t length;
        } text;
        struct {
            dipp_pickle_value **items; /* a dict, an object: key, value, key, value */
            size_t count, capacity;
        } list;
        struct {
            const char *type; /* "Float" of torch.FloatStorage; static */
            const dipp_pickle_value *key;
            int64_t count;
        } storage;
        struct {
            const dipp_pickle_value *storage, *shape, *strides; /* tuples of ints of equal length */
            int64_t offset;                                     /* in elements */
        } tensor;
    };
};

/* A pickle of more bytes is refused: a value may take 64 times its bytes here. */
enum { DIPP_PICKLE_LIMIT = 32 << 20 };

/* Runs bytes[size], protocol 2 to 5 with the opcodes that torch.save and torch.jit.save write. Values are in the arena, texts point into
 * bytes; values may be shared and, in a hostile file, contain themselves. DIPP_E_FORMAT names the Python object or the
 * opcode that is not allowed and the place; DIPP_E_MEMORY. [one thread at a time for the arena] */
dipp_status dipp_pickle_load(const uint8_t *bytes, size_t size, const char *file, dipp_arena *arena,
                             const dipp_pickle_value **root, dipp_error *error);

#endif
