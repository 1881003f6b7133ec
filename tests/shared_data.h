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

#endif
