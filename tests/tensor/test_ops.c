/* dipp-optest: every op of the table on a back-end, against the f64 reference.
 *
 *   dipp-optest [--backend NAME] [--precision P] [--threads N] [--op NAME] [--bench] [--list]
 *
 * Exit status: 0 all right, 1 an op is wrong or has no case, 2 the arguments or the machine are. */
#include "op_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    const char *backend, *precision, *op;
    uint32_t threads;
    bool bench, list;
} arguments;

static bool parse(int count, char **words, arguments *out)
{
    *out = (arguments){.backend = "reference", .precision = "f32"};
    for (int i = 1; i < count; i++) {
        const char *value = i + 1 < count ? words[i + 1] : NULL;
        if (!strcmp(words[i], "--bench"))
            out->bench = true;
        else if (!strcmp(words[i], "--list"))
            out->list = true;
        else if (!value)
            return false;
        else if (!strcmp(words[i], "--backend"))
            out->backend = words[++i];
        else if (!strcmp(words[i], "--precision"))
            out->precision = words[++i];
        else if (!strcmp(words[i], "--op"))
            out->op = words[++i];
        else if (!strcmp(words[i], "--threads"))
            out->threads = (uint32_t)strtoul(words[++i], NULL, 10);
        else
            return false;
    }
    return true;
}

/* True when the op is right. */
static bool check_op(dipp_backend *backend, dipp_backend *oracle, dipp_op op)
{
    op_case_list first = op_cases_generate(op, 0, false, oracle), second = op_cases_generate(op, 1, false, oracle);
    op_report report = {0};
    printf("%-24s ", op_name(op)); /* first, so that a crash has a name */
    fflush(stdout);
    for (size_t k = 0; k < first.count; k++)
        op_check(backend, oracle, first.cases[k], second.cases[k], &report);
    op_cases_free(&first);
    op_cases_free(&second);
    if (!report.cases) {
        printf("FAIL  no case: an op without one does not exist\n");
        return false;
    }
    printf("%s %4zu cases, worst %.3f of the tolerance%s%s\n", report.failures ? "FAIL" : "ok  ", report.cases,
           report.worst, report.worst > 0 ? ": " : "", report.worst_label);
    if (report.failures)
        printf("    %zu failures, the first: %s\n", report.failures, report.failure);
    return !report.failures;
}

static int run_suite(dipp_backend *backend, dipp_backend *oracle, const arguments *given)
{
    int wrong = 0, seen = 0;
    printf("back-end %s, precision %s, isa %s, %u threads\n", backend->name, backend->precision, backend->isa,
           backend->threads);
    for (int op = 0; op < DIPP_OP_COUNT; op++) {
        if (!op_has_kernel((dipp_op)op) || (given->op && strcmp(given->op, op_name((dipp_op)op))))
            continue;
        seen++;
        bool right = given->bench ? op_bench(backend, oracle, (dipp_op)op) : check_op(backend, oracle, (dipp_op)op);
        wrong += !right;
        fflush(stdout);
    }
    if (!seen) {
        fprintf(stderr, "no op is called '%s'; --list names them\n", given->op);
        return 2;
    }
    return wrong ? 1 : 0;
}

enum { SKIPPED = 77 }; /* to meson: this machine lacks what the back-end or the precision needs */

int main(int count, char **words)
{
    arguments given;
    if (!parse(count, words, &given)) {
        fprintf(stderr, "usage: dipp-optest [--backend NAME] [--precision P] [--threads N] [--op NAME] [--bench] "
                        "[--list]\n");
        return 2;
    }
    if (given.list) {
        for (int op = 0; op < DIPP_OP_COUNT; op++)
            if (op_has_kernel((dipp_op)op))
                puts(op_name((dipp_op)op));
        return 0;
    }
    dipp_error error = {0};
    dipp_backend *backend = NULL, *oracle = NULL;
    dipp_backend_options options = {sizeof options, .threads = given.threads, .precision = given.precision};
    dipp_backend_options exact = {sizeof exact, .precision = "f64"};
    dipp_status created = dipp_backend_create(given.backend, &options, &backend, &error);
    if (created == DIPP_OK)
        created = dipp_backend_create("reference", &exact, &oracle, &error);
    if (created != DIPP_OK) {
        fprintf(stderr, "%s\n", error.message);
        dipp_backend_destroy(&backend);
        return created == DIPP_E_UNSUPPORTED ? SKIPPED : 2;
    }
    int status = run_suite(backend, oracle, &given);
    dipp_backend_destroy(&backend);
    dipp_backend_destroy(&oracle);
    return status;
}
