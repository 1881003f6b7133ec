/* A folder of a test's own, into which it puts copies of fixtures under names it chooses. */
#ifndef DIPP_TEST_PLUGIN_FOLDER_H
#define DIPP_TEST_PLUGIN_FOLDER_H

enum { FOLDER_PATH_BYTES = 512 };

typedef struct folder {
    char path[FOLDER_PATH_BYTES];
} folder;

/* Mode 0700, under TMPDIR or /tmp. All end the test on failure. */
void folder_create(folder *f);
void folder_destroy(folder *f); /* with the files in it */

/* FOLDER/NAME into out. */
void folder_file(const folder *f, const char *name, char out[2 * FOLDER_PATH_BYTES]);

/* Copies fixture FIXTURE.so to NAME, mode 0644. */
void folder_put(const folder *f, const char *fixture, const char *name);

#endif
