/* Any bytes as emoji names, and what is behind the first zero byte as their groups: refused with a reason, or a sorted table
 * whose every entry is found. */
#include "target.h"

#include "data/cldr.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char names[FUZZ_PATH_BYTES], groups[FUZZ_PATH_BYTES];
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t first = zero ? (size_t)(zero - data) : size;
    int a = fuzz_file(data, first, names), b = fuzz_file(zero ? zero + 1 : data, zero ? size - first - 1 : 0, groups);
    dipp_cldr *table = NULL;
    dipp_error error = {0};
    dipp_status status = dipp_cldr_create(names, groups, &table, &error);
    close(a);
    close(b);
    if (status != DIPP_OK) {
        if (table || !error.message[0])
            abort();
        return 0;
    }
    for (int i = 0; i < table->count; i++) {
        const dipp_cldr_entry *entry = &table->entries[i];
        if ((i && entry[-1].code_point >= entry->code_point) || !entry->name || !entry->group || !entry->subgroup)
            abort();
        if (dipp_cldr_find(table, entry->code_point) != entry)
            abort();
        for (int k = 0; k < entry->keyword_count; k++)
            if (!entry->keywords[k])
                abort();
    }
    dipp_cldr_destroy(&table);
    return 0;
}
