/* dipp pairs: a preference dataset out of pictures that runs kept and the gold utility scored. */
#include "cli/commands.h"

#include "base/memory.h"
#include "base/text.h"
#include "experiment/run_pairs.h"

#include <stdlib.h>
#include <string.h>

const char cli_pairs_details[] =
    "What is named is an experiment (all its completed runs) or a run, as for dipp show. Pairs are two pictures of "
    "one\n"
    "prompt, or one picture under its own prompt and a contradicting one. Labels are drawn by Bradley and Terry's law "
    "from\n"
    "the stored gold, at the temperature that gives the Bayes accuracy; nobody judged them. Files: PART-train.jsonl,\n"
    "PART-validate.jsonl, PART-test.jsonl, split by prompt, pairs of different parts disjoint. Exit code 3 when the "
    "runs\n"
    "have no pictures with gold.";

enum { MOST_PARTS = 16 };

typedef struct pairs_options {
    const char *database, *out, *parts, *bayes, *captions, *validate, *test;
    long pairs, seed;
    cli_plugin_options places;
} pairs_options;

typedef struct run_list {
    int64_t *ids;
    size_t count, capacity;
    bool failed;
} run_list;

static int take_run(void *user, const dipp_run_row *row)
{
    run_list *list = user;
    if (!dipp_grow((void **)&list->ids, &list->capacity, list->count + 1, sizeof *list->ids)) {
        list->failed = true;
        return 1;
    }
    list->ids[list->count++] = row->run_id;
    return 0;
}

/* The completed runs of an experiment, or the one run that is meant. */
static dipp_status find_runs(dipp_store *store, const char *name, run_list *list, dipp_error *error)
{
    dipp_run_filter filter = {.experiment = name, .statuses = 1u << DIPP_RUN_COMPLETED};
    size_t before = list->count;
    dipp_status status = dipp_store_each_run(store, &filter, take_run, list, error);
    if (status == DIPP_OK && list->count == before) {
        filter = (dipp_run_filter){0};
        status = dipp_store_find_run(store, name, NULL, &filter.run_id, error);
        if (status == DIPP_OK)
            status = dipp_store_each_run(store, &filter, take_run, list, error);
    }
    return status == DIPP_OK && list->failed ? dipp_fail(error, DIPP_E_MEMORY, "no memory for the runs") : status;
}

static void print_report(const pairs_options *options, const dipp_pairs_report *report)
{
    printf("%s: %u pictures of %u prompts, temperature %.5g\n", options->out, report->pictures, report->prompts,
           report->temperature);
    printf("%-10s", "pairs");
    for (int split = 0; split < DIPP_GOLD_PAIR_SPLITS; split++)
        printf(" %9s", dipp_gold_pair_split_names[split]);
    printf("  Bayes accuracy\n");
    for (int kind = 0; kind < DIPP_GOLD_PAIR_KINDS; kind++) {
        printf("%-10s", dipp_gold_pair_kind_names[kind]);
        for (int split = 0; split < DIPP_GOLD_PAIR_SPLITS; split++)
            printf(" %9llu", (unsigned long long)report->count[kind][split]);
        printf("  %.4f\n", report->bayes[kind]);
    }
}

static dipp_status make(const pairs_options *options, const cli_list *names, dipp_pairs_request *request,
                        dipp_error *error)
{
    dipp_store *store = NULL;
    dipp_plugins *plugins = NULL;
    dipp_pairs_report report = {0};
    run_list list = {0};
    dipp_status status = cli_open_store(cli_database(options->database, NULL), &store, error);
    if (status == DIPP_OK)
        status = cli_open_plugins(&options->places, &plugins, error);
    for (size_t i = 0; i < names->count && status == DIPP_OK; i++)
        status = find_runs(store, names->items[i], &list, error);
    request->run_ids = list.ids;
    request->run_count = list.count;
    if (status == DIPP_OK)
        status = dipp_run_pairs(store, request, plugins, &report, error);
    if (status == DIPP_OK)
        print_report(options, &report);
    dipp_release(list.ids);
    dipp_plugins_destroy(&plugins);
    dipp_store_close(&store);
    return status;
}

/* "a,b" to names; text is cut. false: an empty name, one that is no part of a file's name, or too many. */
static bool split_parts(char *text, const char **parts, uint32_t *count)
{
    char *rest = NULL;
    *count = 0;
    for (char *name = strtok_r(text, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        if (*count == MOST_PARTS || strchr(name, '/'))
            return false;
        for (uint32_t i = 0; i < *count; i++)
            if (!strcmp(parts[i], name))
                return false;
        parts[(*count)++] = name;
    }
    return *count > 0;
}

int cli_pairs(int argc, char **argv)
{
    pairs_options options = {
        .parts = "pairs", .bayes = "0.75", .captions = "0.2", .validate = "0.1", .test = "0.1", .pairs = 10000};
    cli_list positionals = {0};
    const cli_option table[] = {
        CLI_DATABASE_OPTION(options.database),
        {"out", 'o', CLI_TEXT, "DIR", "the folder of the dataset", &options.out},
        {"pairs", 'n', CLI_NUMBER, "N", "pairs of each part, default 10000", &options.pairs},
        {"parts", 0, CLI_TEXT, "A,B", "names of parts with disjoint pairs, default pairs", &options.parts},
        {"bayes", 0, CLI_TEXT, "X", "Bayes accuracy over all pairs, default 0.75", &options.bayes},
        {"captions", 0, CLI_TEXT, "X", "share of caption pairs, at most 0.25, default 0.2", &options.captions},
        {"validate", 0, CLI_TEXT, "X", "share of the prompts, default 0.1", &options.validate},
        {"test", 0, CLI_TEXT, "X", "share of the prompts, default 0.1", &options.test},
        {"seed", 0, CLI_NUMBER, "N", "of all choices and labels, default 0", &options.seed},
        CLI_PLUGIN_OPTIONS(options.places),
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("pairs");
    if (!cli_parse(self, table, argc, argv, &positionals, &code))
        return code;
    const char *parts[MOST_PARTS];
    char *names = dipp_string_copy(options.parts);
    dipp_pairs_request request = {.folder = options.out, .parts = parts};
    dipp_gold_pair_options *wanted = &request.options;
    wanted->pairs = options.pairs > 0 && options.pairs < 1 << 24 ? (uint32_t)options.pairs : 0;
    wanted->seed = (uint64_t)options.seed;
    dipp_error error;
    if (!positionals.count || !options.out)
        code = cli_usage_error(self, "an experiment or run, and --out DIR, are needed");
    else if (!names || !split_parts(names, parts, &wanted->parts))
        code = cli_usage_error(self, "--parts needs 1 to %d different names without `/`", (int)MOST_PARTS);
    else if (!wanted->pairs || !dipp_parse_double(options.bayes, &wanted->bayes) ||
             !dipp_parse_double(options.captions, &wanted->captions) ||
             !dipp_parse_double(options.validate, &wanted->validate) || !dipp_parse_double(options.test, &wanted->test))
        code =
            cli_usage_error(self, "--pairs needs a whole number from 1 on, and --bayes, --captions, --validate, --test "
                                  "a number each");
    else if (wanted->captions > 0.25)
        code = cli_usage_error(self, "--captions is at most 0.25: pairs of pictures are what a reward is for");
    else if (make(&options, &positionals, &request, &error) != DIPP_OK)
        code = cli_fail(&error);
    dipp_release(names);
    cli_list_clear(&positionals);
    cli_list_clear(&options.places.files);
    cli_list_clear(&options.places.directories);
    return code;
}
