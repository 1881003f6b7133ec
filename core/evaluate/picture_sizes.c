#include "evaluate/picture_sizes.h"

#include "base/memory.h"
#include "data/image.h"

#include <stdlib.h>

static bool same(dipp_picture_size a, dipp_picture_size b)
{
    return a.width == b.width && a.height == b.height;
}

/* For qsort_r, whose context is the sizes. */
static int by_size(const void *a, const void *b, void *context)
{
    const dipp_picture_size *size = context;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    if (size[i].width != size[j].width)
        return size[i].width < size[j].width ? -1 : 1;
    if (size[i].height != size[j].height)
        return size[i].height < size[j].height ? -1 : 1;
    return i < j ? -1 : i > j;
}

dipp_status dipp_picture_sizes_create(const dipp_picture_size *size, uint32_t count, dipp_picture_sizes *out,
                                      dipp_error *error)
{
    *out = (dipp_picture_sizes){.count = count};
    if (!count)
        return dipp_fail(error, DIPP_E_INVALID, "there is no picture");
    out->size = dipp_allocate(count * sizeof *out->size);
    out->order = dipp_allocate(count * sizeof *out->order);
    out->start = dipp_allocate(count * sizeof *out->start);
    if (!out->size || !out->order || !out->start)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the sizes of %u pictures", count);
    bool equal = true;
    for (uint32_t i = 0; i < count; i++) {
        int width = size[i].width, height = size[i].height;
        if (width < 1 || width > DIPP_IMAGE_SIDE_MAX || height < 1 || height > DIPP_IMAGE_SIDE_MAX)
            return dipp_fail(error, DIPP_E_INVALID, "a picture of %d x %d cannot be evaluated", width, height);
        uint32_t bytes = 3u * (uint32_t)width * (uint32_t)height;
        out->size[i] = size[i];
        out->order[i] = i;
        out->start[i] = out->bytes;
        out->bytes += bytes;
        out->largest = bytes > out->largest ? bytes : out->largest;
        equal = equal && same(size[i], size[0]);
    }
    out->side = equal && size[0].width == size[0].height ? size[0].width : 0;
    qsort_r(out->order, count, sizeof *out->order, by_size, out->size);
    return DIPP_OK;
}

void dipp_picture_sizes_clear(dipp_picture_sizes *sizes)
{
    dipp_release(sizes->size);
    dipp_release(sizes->order);
    dipp_release(sizes->start);
    *sizes = (dipp_picture_sizes){0};
}

uint32_t dipp_picture_sizes_alike(const dipp_picture_sizes *sizes, uint32_t first, uint32_t most)
{
    uint32_t count = 1;
    while (count < most && first + count < sizes->count &&
           same(sizes->size[sizes->order[first + count]], sizes->size[sizes->order[first]]))
        count++;
    return count;
}

uint32_t dipp_picture_sizes_fewest(const dipp_picture_sizes *sizes)
{
    uint32_t fewest = sizes->count;
    for (uint32_t first = 0, count; first < sizes->count; first += count) {
        count = dipp_picture_sizes_alike(sizes, first, sizes->count);
        fewest = count < fewest ? count : fewest;
    }
    return fewest;
}
