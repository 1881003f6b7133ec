/* A magic number, a version, the length of a header, the header (a Python dict as text), the numbers. */
#include "data/npy.h"

#include "base/file.h"
#include "base/memory.h"
#include "weights/number.h"

#include <stdbool.h>
#include <string.h>

enum { FILE_BYTES_MOST = 1 << 30, SHAPE_MOST = 2, TYPE_BYTES = 8 };

typedef struct header {
    const char *at, *end; /* what is left of the text */
    char type[TYPE_BYTES];
    bool fortran;
    size_t shape[SHAPE_MOST], rank;
    unsigned seen; /* a bit for each key */
} header;

/* Blanks are allowed between everything. */
static bool take(header *h, const char *expected)
{
    while (h->at < h->end && (*h->at == ' ' || *h->at == '\n'))
        h->at++;
    size_t length = strlen(expected);
    if ((size_t)(h->end - h->at) < length || memcmp(h->at, expected, length) != 0)
        return false;
    h->at += length;
    return true;
}

static bool take_number(header *h, size_t *number)
{
    bool any = false;
    *number = 0;
    take(h, "");
    for (; h->at < h->end && *h->at >= '0' && *h->at <= '9'; h->at++, any = true)
        if (__builtin_mul_overflow(*number, (size_t)10, number) ||
            __builtin_add_overflow(*number, (size_t)(*h->at - '0'), number))
            return false;
    return any;
}

/* "(3, 4)", "(4,)", "()"; dimensions beyond SHAPE_MOST are counted. */
static bool take_shape(header *h)
{
    if (!take(h, "("))
        return false;
    for (h->rank = 0; !take(h, ")"); h->rank++) {
        size_t number;
        if (!take_number(h, &number))
            return false;
        if (h->rank < SHAPE_MOST)
            h->shape[h->rank] = number;
        if (!take(h, ",")) {
            h->rank++;
            return take(h, ")");
        }
    }
    return true;
}

static bool take_type(header *h)
{
    size_t length = 0;
    if (!take(h, "'"))
        return false;
    while (h->at < h->end && *h->at != '\'' && length + 1 < TYPE_BYTES)
        h->type[length++] = *h->at++;
    h->type[length] = 0;
    return take(h, "'");
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (1, 768), } with the keys in any order, each once. */
static bool take_header(header *h)
{
    if (!take(h, "{"))
        return false;
    while (!take(h, "}")) {
        unsigned key;
        bool good;
        if (take(h, "'descr':")) {
            key = 1;
            good = take_type(h);
        } else if (take(h, "'fortran_order':")) {
            key = 2;
            h->fortran = take(h, "True");
            good = h->fortran || take(h, "False");
        } else {
            key = 4;
            good = take(h, "'shape':") && take_shape(h);
        }
        if (!good || h->seen & key)
            return false;
        h->seen |= key;
        if (!take(h, ","))
            return take(h, "}") && h->seen == 7;
    }
    return h->seen == 7;
}

static dipp_status take_values(const header *h, const uint8_t *body, size_t size, const char *label, dipp_npy *array,
                               dipp_error *error)
{
    size_t width = !strcmp(h->type, "<f2") ? 2 : !strcmp(h->type, "<f4") ? 4 : !strcmp(h->type, "<f8") ? 8 : 0;
    if (!width)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: expected numbers '<f2', '<f4' or '<f8', found '%s'", label,
                         h->type);
    if (h->rank < 1 || h->rank > SHAPE_MOST)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: expected one or two dimensions, found %zu", label, h->rank);
    size_t rows = h->rank == 2 ? h->shape[0] : 1, columns = h->shape[h->rank - 1], count, bytes;
    if (h->fortran && rows > 1 && columns > 1)
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "%s: expected C order, found Fortran's; save np.ascontiguousarray(x)", label);
    if (__builtin_mul_overflow(rows, columns, &count) || __builtin_mul_overflow(count, width, &bytes) || bytes != size)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: %zu x %zu numbers of %zu bytes, and %zu bytes follow the header",
                         label, rows, columns, width, size);
    double *values = dipp_allocate_zeroed(count, sizeof *values);
    if (!values)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for %zu numbers", label, count);
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        float single;
        memcpy(width == 8 ? (void *)&values[i] : width == 4 ? (void *)&single : (void *)&half, body + i * width, width);
        if (width < 8)
            values[i] = width == 4 ? (double)single : (double)dipp_float_of_f16(half);
    }
    *array = (dipp_npy){rows, columns, values};
    return DIPP_OK;
}

dipp_status dipp_npy_read_memory(const void *bytes, size_t size, const char *label, dipp_npy *array, dipp_error *error)
{
    const uint8_t *file = bytes;
    if (size < 10 || memcmp(file, "\x93NUMPY", 6) != 0)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: not an .npy file of numpy", label);
    if (file[6] < 1 || file[6] > 3 || (file[6] > 1 && size < 12))
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: expected .npy format 1, 2 or 3, found %d", label, file[6]);
    size_t start = file[6] == 1 ? 10 : 12, length = (size_t)file[8] | (size_t)file[9] << 8;
    if (file[6] > 1)
        length |= (size_t)file[10] << 16 | (size_t)file[11] << 24;
    if (length > size - start)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: the header is longer than the file; it is cut short, copy it again",
                         label);
    header h = {.at = (const char *)file + start, .end = (const char *)file + start + length};
    if (!take_header(&h))
        return dipp_fail(error, DIPP_E_FORMAT,
                         "%s: the header is not a dict of descr, fortran_order and shape of plain numbers", label);
    return take_values(&h, file + start + length, size - start - length, label, array, error);
}

dipp_status dipp_npy_read(const char *path, dipp_npy *array, dipp_error *error)
{
    char *bytes = NULL;
    size_t size = 0;
    dipp_status status = dipp_file_read(path, FILE_BYTES_MOST, &bytes, &size, error);
    if (status == DIPP_OK)
        status = dipp_npy_read_memory(bytes, size, path, array, error);
    dipp_release(bytes);
    return status;
}

void dipp_npy_clear(dipp_npy *array)
{
    dipp_release(array->values);
    *array = (dipp_npy){0};
}
