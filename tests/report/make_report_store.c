/* make_report_store FOLDER: the fixture's store as FOLDER/store.db, for the browser's test and for people who want to
   look. */
#include "report_fixture.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    char path[512];
    dipp_error error = {0};
    dipp_store *store = NULL;
    if (argc != 2)
        return 2;
    snprintf(path, sizeof path, "%s/store.db", argv[1]);
    dipp_status status = dipp_store_open(path, NULL, &store, &error);
    if (status == DIPP_OK)
        status = fill_report_store(store, argv[1], &error);
    dipp_store_close(&store);
    if (status != DIPP_OK)
        fprintf(stderr, "%s\n", error.message);
    return status != DIPP_OK;
}
