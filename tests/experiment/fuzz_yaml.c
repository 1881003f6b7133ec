/* Fuzz target of the YAML layer: any bytes as an experiment file. Nothing may crash, hang or leak, and what is accepted
 * must be accepted again from its own canonical form. Build with -fsanitize=fuzzer,address,undefined for libFuzzer; with
 * DIPP_REPLAY the corpus is replayed as an ordinary test. */
#include "catalog.h"
#include "experiment/experiment.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static dipp_status parse(const char *text, size_t bytes, dipp_experiment **out)
{
    dipp_diagnostics *diagnostics = dipp_diagnostics_create();
    if (!diagnostics)
        return DIPP_E_MEMORY;
    dipp_error error;
    dipp_status status =
        dipp_experiment_parse("fuzz.yaml", text, bytes, NULL, 0, &test_catalog, diagnostics, out, &error);
    const char *said = dipp_diagnostics_text(diagnostics);
    if (status != DIPP_OK && status != DIPP_E_MEMORY && (!said || !*said) && bytes <= 1 << 20)
        abort(); /* refused without a reason */
    dipp_diagnostics_destroy(&diagnostics);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dipp_experiment *experiment = NULL, *again = NULL;
    if (memmem(data, size, "extends", 7)) /* reads other files, which is not what is fuzzed */
        return 0;
    if (parse((const char *)data, size, &experiment) != DIPP_OK)
        return 0;
    size_t count, other;
    const dipp_cell *cells = dipp_experiment_cells(experiment, &count);
    if (!count || parse(cells[0].json, strlen(cells[0].json), &again) != DIPP_OK ||
        strcmp(dipp_experiment_cells(again, &other)[0].sha256, cells[0].sha256))
        abort(); /* the canonical form is not the same experiment */
    dipp_experiment_destroy(&again);
    dipp_experiment_destroy(&experiment);
    return 0;
}

#ifdef DIPP_REPLAY
/* Every file of the folder in the argument, and every prefix of every small one. */
int main(int count, char **arguments)
{
    int replayed = 0;
    DIR *folder = count > 1 ? opendir(arguments[1]) : NULL;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", arguments[1], entry->d_name);
        FILE *file = *entry->d_name == '.' ? NULL : fopen(path, "rb");
        if (!file)
            continue;
        static uint8_t data[1 << 16];
        size_t bytes = fread(data, 1, sizeof data, file);
        fclose(file);
        LLVMFuzzerTestOneInput(data, bytes);
        for (size_t cut = 0; cut < bytes && bytes < 1 << 10; cut++)
            LLVMFuzzerTestOneInput(data, cut);
        replayed++;
    }
    if (folder)
        closedir(folder);
    printf("%d files replayed\n", replayed);
    return replayed < 8;
}
#endif
