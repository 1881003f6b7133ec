/* Replays a corpus through a fuzz target as an ordinary test: every file, every cut of the small ones, and each of their bytes
 * changed in four ways. To hunt: scripts/fuzz.sh. */
#include "target.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL = 1500 };

/* A copy of the exact size, so that a sanitizer sees one byte too many. */
static void feed(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + !size);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void feed_changed(uint8_t *data, size_t size)
{
    static const uint8_t masks[] = {0x01, 0x20, 0x80, 0xff};
    feed(data, size);
    for (size_t at = 0; at < size && size <= SMALL; at++) {
        feed(data, at);
        for (size_t i = 0; i < sizeof masks; i++) {
            data[at] ^= masks[i];
            feed(data, size);
            data[at] ^= masks[i];
        }
    }
}

int main(int count, char **arguments)
{
    int replayed = 0;
    DIR *folder = count == 2 ? opendir(arguments[1]) : NULL;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        static uint8_t data[1 << 20];
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", arguments[1], entry->d_name);
        FILE *file = *entry->d_name == '.' ? NULL : fopen(path, "rb");
        if (!file)
            continue;
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        feed_changed(data, size);
        replayed++;
    }
    if (folder)
        closedir(folder);
    printf("%d files replayed\n", replayed);
    return replayed < 3;
}
