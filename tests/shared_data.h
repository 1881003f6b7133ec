/* Where real published files are that may not be in the repository: $DIPP_SHARED_DATA, else ../shared/data beside
 * the repository. A test that needs one calls shared_data_or_skip, which ends the test as skipped where the file is
 * absent. */
#ifndef DIPP_TESTS_SHARED_DATA_H
#define DIPP_TESTS_SHARED_DATA_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SHARED_PATH_BYTES 512

/* out becomes the path of name. For use in a cmocka test. */
#define shared_data_or_skip(name, out)                                                                            \
    do {                                                                                                          \
        const char *shared_folder_ = getenv("DIPP_SHARED_DATA");                                                  \
        snprintf((out), SHARED_PATH_BYTES, "%s/%s", shared_folder_ ? shared_folder_ : DIPP_SHARED_DEFAULT, name); \
        if (access((out), R_OK) != 0) {                                                                           \
            print_message("skipped: %s is not here; DIPP_SHARED_DATA says where\n", (out));                       \
            skip();                                                                                               \
        }                                                                                                         \
    } while (0)

/* The same for published weights, which are too large to be anywhere by default: name is theirs in the folder that
 * $DIPP_REAL_WEIGHTS names (docs/reward-plugins.md). */
#define real_weights_or_skip(name, out)                                                            \
    do {                                                                                           \
        const char *weights_folder_ = getenv("DIPP_REAL_WEIGHTS");                                 \
        snprintf((out), SHARED_PATH_BYTES, "%s/%s", weights_folder_ ? weights_folder_ : "", name); \
        if (!weights_folder_ || access((out), R_OK) != 0) {                                        \
            print_message("skipped: DIPP_REAL_WEIGHTS names no folder with %s\n", name);           \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

#endif
