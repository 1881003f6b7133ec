#include "report/report_data.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double dipp_report_real(const char *value)
{
    return value ? strtod(value, NULL) : (double)NAN;
}

int64_t dipp_report_integer(const char *value)
{
    return value ? strtoll(value, NULL, 10) : 0;
}

dipp_status dipp_report_query(dipp_report *report, const char *sql, dipp_store_row_fn each, void *user,
                              dipp_error *error)
{
    const char *binds[] = {report->id};
    dipp_status status = dipp_store_query(report->store, sql, binds, 1, each, user, error);
    if (status == DIPP_OK && report->status != DIPP_OK) {
        *error = report->error;
        status = report->status;
    }
    return status;
}

static int no_memory(dipp_report *report)
{
    report->status = dipp_fail(&report->error, DIPP_E_MEMORY, "no memory for the report");
    return 1;
}

/* NULL in, NULL out. */
static const char *keep(dipp_report *report, const char *text)
{
    const char *copy = dipp_arena_string(report->arena, text);
    if (text && !copy)
        no_memory(report);
    return copy;
}

/* ---- Arms and runs ---- */

int dipp_report_find_arm(const dipp_report *report, const char *name, const char *config)
{
    for (size_t i = 0; i < report->arm_count; i++)
        if (!strcmp(report->arms[i].name, name) && !strcmp(report->arms[i].config, config))
            return (int)i;
    return DIPP_REPORT_NONE;
}

int dipp_report_find_run(const dipp_report *report, int64_t run_id)
{
    for (size_t i = 0; i < report->run_count; i++)
        if (report->runs[i].run_id == run_id)
            return (int)i;
    return DIPP_REPORT_NONE;
}

static const char runs_sql[] =
    "SELECT r.run_id, r.arm, r.config_sha256, r.seed, r.status, r.step, r.images_seen, r.name, r.run_uuid, r.error, "
    "r.duration_s, s.attempts, s.warnings, s.cfg_omega, s.rewards, (SELECT sum(abs(ifnull(u.scale,1))) FROM "
    "run_plugins u WHERE u.run_id=r.run_id AND u.role='reward') FROM runs r JOIN summary s USING(run_id) WHERE "
    "r.experiment_id=CAST(?1 AS INTEGER) ORDER BY r.run_id";

static int add_run(void *user, int columns, const char *const *names, const char *const *values)
{
    dipp_report *report = user;
    int arm = dipp_report_find_arm(report, values[1], values[2]);
    if (!dipp_grow((void **)&report->runs, &report->run_capacity, report->run_count + 1, sizeof *report->runs) ||
        !dipp_grow((void **)&report->arms, &report->arm_capacity, report->arm_count + 1, sizeof *report->arms))
        return no_memory(report);
    if (arm == DIPP_REPORT_NONE) {
        arm = (int)report->arm_count++;
        report->arms[arm] = (dipp_report_arm){.name = keep(report, values[1]),
                                              .config = keep(report, values[2]),
                                              .rewards = keep(report, values[14] ? values[14] : ""),
                                              .reward_scale = values[15] ? dipp_report_real(values[15]) : 0,
                                              .omega = values[13] ? dipp_report_real(values[13]) : 1,
                                              .first_run = dipp_report_integer(values[0])};
    }
    dipp_report_run *run = &report->runs[report->run_count++];
    *run = (dipp_report_run){.run_id = dipp_report_integer(values[0]),
                             .arm = arm,
                             .seed = dipp_report_integer(values[3]),
                             .status = keep(report, values[4]),
                             .completed = !strcmp(values[4], "completed"),
                             .step = dipp_report_integer(values[5]),
                             .name = keep(report, values[7]),
                             .uuid = keep(report, values[8]),
                             .error = keep(report, values[9]),
                             .attempts = dipp_report_integer(values[11]),
                             .warnings = dipp_report_integer(values[12])};
    dipp_report_arm *of = &report->arms[arm];
    of->runs++;
    of->completed += run->completed;
    of->seconds += values[10] ? dipp_report_real(values[10]) : 0;
    if (run->step > of->steps) {
        of->steps = run->step;
        of->images = dipp_report_integer(values[6]);
    }
    return report->status != DIPP_OK;
}

static int by_strength(const void *a, const void *b)
{
    const dipp_report_arm *one = a, *two = b;
    if (one->reward_scale != two->reward_scale)
        return one->reward_scale < two->reward_scale ? -1 : 1;
    if (one->omega != two->omega)
        return one->omega < two->omega ? -1 : 1;
    return one->first_run < two->first_run ? -1 : one->first_run > two->first_run;
}

static void order_arms(dipp_report *report)
{
    for (size_t i = 0; i < report->arm_count; i++)
        report->arms[i].found = (int)i;
    if (report->arm_count)
        qsort(report->arms, report->arm_count, sizeof *report->arms, by_strength);
    for (size_t i = 0; i < report->run_count; i++) {
        int found = report->runs[i].arm;
        for (size_t a = 0; a < report->arm_count; a++)
            if (report->arms[a].found == found)
                report->runs[i].arm = (int)a;
    }
}

/* "none/align.cfg_omega=1,align.ta.updates=2" -> "none/cfg_omega=1,updates=2": what a grid adds to a name, without
   paths. */
static void drop_paths(const char *name, dipp_text *out)
{
    while (*name) {
        size_t length = strcspn(name, "/,");
        const char *start = name, *equals = memchr(name, '=', length);
        for (const char *at = name; equals && at < equals; at++)
            start = *at == '.' ? at + 1 : start;
        length += name[length] != 0;
        dipp_text_append_n(out, start, length - (size_t)(start - name));
        name += length;
    }
}

static void label_arms(dipp_report *report)
{
    for (size_t i = 0; i < report->arm_count; i++) {
        dipp_text label = {0};
        drop_paths(report->arms[i].name, &label);
        report->arms[i].label = label.failed ? NULL : keep(report, label.data ? label.data : "");
        dipp_text_discard(&label);
        if (!report->arms[i].label) {
            no_memory(report);
            return;
        }
    }
    for (size_t i = 0; i < report->arm_count; i++) {
        dipp_report_arm *arm = &report->arms[i];
        bool unique = true;
        dipp_text label = {0};
        for (size_t k = 0; k < report->arm_count; k++)
            unique &= k == i || strcmp(arm->label, report->arms[k].label);
        if (unique)
            continue;
        dipp_text_printf(&label, "%s (%.8s)", arm->name, arm->config);
        const char *longer = label.failed ? NULL : keep(report, label.data);
        dipp_text_discard(&label);
        arm->label = longer ? longer : arm->label;
        report->out.failed |= !longer;
    }
}

/* The experiment names an arm; a grid makes several of it, "ARM/...": then the least aligned stands for them. */
static bool bears_name(const dipp_report_arm *arm, const char *name, bool of_grid)
{
    size_t length = strlen(name);
    return of_grid ? !strncmp(arm->name, name, length) && arm->name[length] == '/' : !strcmp(arm->name, name);
}

/* Of several configurations under the baseline's name, the one with most completed runs, then the newest. */
static void choose_baseline(dipp_report *report, const char *name)
{
    report->baseline = DIPP_REPORT_NONE;
    for (size_t i = 0; i < report->arm_count; i++) {
        const dipp_report_arm *arm = &report->arms[i];
        const dipp_report_arm *best = report->baseline < 0 ? NULL : &report->arms[report->baseline];
        if (!name || !bears_name(arm, name, false) || !arm->completed)
            continue;
        if (!best || arm->completed > best->completed ||
            (arm->completed == best->completed && arm->first_run > best->first_run))
            report->baseline = (int)i;
    }
    report->baseline_chosen = report->baseline < 0;
    for (int of_grid = 1; of_grid >= 0; of_grid--)
        for (size_t i = 0; i < report->arm_count && report->baseline < 0; i++)
            if (report->arms[i].completed && (!of_grid || (name && bears_name(&report->arms[i], name, true))))
                report->baseline = (int)i;
    int place = 0;
    for (size_t i = 0; i < report->arm_count; i++)
        report->arms[i].place = report->arms[i].steps > 0 || report->arms[i].completed ? place++ : DIPP_REPORT_NONE;
}

/* ---- Measures and scores ---- */

int dipp_report_find_measure(const dipp_report *report, int64_t metric, int64_t scorer, int64_t prompt_set,
                             const char *protocol)
{
    for (size_t i = 0; i < report->measure_count; i++) {
        const dipp_report_measure *m = &report->measures[i];
        if (m->metric_id == metric && m->scorer_id == scorer && m->prompt_set_id == prompt_set &&
            (!protocol || !strcmp(m->protocol, protocol)))
            return (int)i;
    }
    return DIPP_REPORT_NONE;
}

/* The reference comes last, so that it joins the measure of the generator's pictures, whose protocol is another. */
static const char scores_sql[] =
    "SELECT s.run_id, s.metric_id, s.scorer_id, s.prompt_set_id, s.protocol, s.images_seen, s.point, s.step, s.value, "
    "s.samples, s.nonfinite, s.set_level, s.trained_on, n.name, n.direction, n.description, q.name, c.scorer FROM "
    "scores s JOIN runs r USING(run_id) JOIN metric_names n USING(metric_id) JOIN prompt_sets q USING(prompt_set_id) "
    "JOIN scorer_names c USING(scorer_id) WHERE r.experiment_id=CAST(?1 AS INTEGER) ORDER BY s.point='reference', "
    "n.direction=0, s.metric_id, s.scorer_id, s.prompt_set_id, s.protocol, s.run_id, s.step";

static int add_score(void *user, int columns, const char *const *names, const char *const *values)
{
    dipp_report *report = user;
    int64_t metric = dipp_report_integer(values[1]), scorer = dipp_report_integer(values[2]);
    int64_t prompt_set = dipp_report_integer(values[3]);
    bool reference = !strcmp(values[6], "reference");
    int run = dipp_report_find_run(report, dipp_report_integer(values[0]));
    int measure = dipp_report_find_measure(report, metric, scorer, prompt_set, reference ? NULL : values[4]);
    if (!dipp_grow((void **)&report->scores, &report->score_capacity, report->score_count + 1,
                   sizeof *report->scores) ||
        !dipp_grow((void **)&report->measures, &report->measure_capacity, report->measure_count + 1,
                   sizeof *report->measures))
        return no_memory(report);
    if (measure == DIPP_REPORT_NONE) {
        measure = (int)report->measure_count++;
        report->measures[measure] = (dipp_report_measure){.metric_id = metric,
                                                          .scorer_id = scorer,
                                                          .prompt_set_id = prompt_set,
                                                          .protocol = keep(report, values[4]),
                                                          .metric = keep(report, values[13]),
                                                          .direction = (int)dipp_report_integer(values[14]),
                                                          .description = keep(report, values[15]),
                                                          .prompt_set = keep(report, values[16]),
                                                          .scorer = keep(report, values[17]),
                                                          .set_level = dipp_report_integer(values[11]) == 1};
    }
    report->scores[report->score_count++] =
        (dipp_report_score){.run = run,
                            .measure = measure,
                            .point = reference                     ? DIPP_REPORT_REFERENCE
                                     : !strcmp(values[6], "start") ? DIPP_REPORT_START
                                                                   : DIPP_REPORT_FINAL,
                            .step = dipp_report_integer(values[7]),
                            .images = dipp_report_integer(values[5]),
                            .samples = dipp_report_integer(values[9]),
                            .nonfinite = dipp_report_integer(values[10]),
                            .value = dipp_report_real(values[8]),
                            .trained_on = dipp_report_integer(values[12]) == 1,
                            .protocol = keep(report, values[4])};
    return report->status != DIPP_OK;
}

static void label_measures(dipp_report *report)
{
    for (size_t i = 0; i < report->measure_count; i++) {
        dipp_report_measure *m = &report->measures[i];
        bool scorer = false, prompts = false, protocol = false;
        dipp_text label = {0};
        for (size_t k = 0; k < report->measure_count; k++) {
            const dipp_report_measure *other = &report->measures[k];
            if (k == i || other->metric_id != m->metric_id)
                continue;
            scorer |= other->scorer_id != m->scorer_id;
            prompts |= other->prompt_set_id != m->prompt_set_id;
            protocol |= strcmp(other->protocol, m->protocol) != 0;
        }
        dipp_text_append(&label, m->metric);
        if (prompts)
            dipp_text_printf(&label, " on %s #%lld", m->prompt_set, (long long)m->prompt_set_id);
        if (scorer)
            dipp_text_printf(&label, " by %s", m->scorer);
        if (protocol)
            dipp_text_printf(&label, ", %s", m->protocol);
        m->label = label.failed ? NULL : keep(report, label.data);
        if (!m->label)
            no_memory(report);
        dipp_text_discard(&label);
        dipp_report_mean mean;
        for (size_t a = 0; a < report->arm_count; a++)
            m->trained_arms += dipp_report_mean_of(report, (int)a, (int)i, DIPP_REPORT_FINAL, &mean) && mean.trained_on;
    }
}

const dipp_report_score *dipp_report_score_of(const dipp_report *report, int run, int measure, dipp_report_point point)
{
    for (size_t i = 0; i < report->score_count; i++) {
        const dipp_report_score *score = &report->scores[i];
        if (score->run == run && score->measure == measure && score->point == point)
            return score;
    }
    return NULL;
}

bool dipp_report_mean_of(const dipp_report *report, int arm, int measure, dipp_report_point point,
                         dipp_report_mean *out)
{
    double sum = 0, squares = 0;
    size_t finite = 0;
    *out = (dipp_report_mean){.sd = (double)NAN};
    for (size_t i = 0; i < report->score_count; i++) {
        const dipp_report_score *score = &report->scores[i];
        const dipp_report_run *run = &report->runs[score->run];
        bool counts = point == DIPP_REPORT_REFERENCE || (run->arm == arm && run->completed);
        if (score->measure != measure || score->point != point || !counts)
            continue;
        out->seeds++;
        out->nonfinite += score->nonfinite;
        out->trained_on |= score->trained_on;
        out->images = score->images;
        if (isfinite(score->value)) {
            sum += score->value;
            finite++;
        }
    }
    out->mean = finite ? sum / (double)finite : (double)NAN;
    for (size_t i = 0; i < report->score_count; i++) {
        const dipp_report_score *score = &report->scores[i];
        const dipp_report_run *run = &report->runs[score->run];
        bool counts = point == DIPP_REPORT_REFERENCE || (run->arm == arm && run->completed);
        if (score->measure == measure && score->point == point && counts && isfinite(score->value))
            squares += (score->value - out->mean) * (score->value - out->mean);
    }
    if (finite > 1)
        out->sd = sqrt(squares / (double)(finite - 1));
    return out->seeds > 0;
}

/* ---- Opening ---- */

typedef struct experiment_list {
    dipp_report *report;
    const char *wanted;
    bool found;
    const char *baseline;
    dipp_text names;
} experiment_list;

static int add_experiment(void *user, int columns, const char *const *names, const char *const *values)
{
    experiment_list *list = user;
    dipp_text_printf(&list->names, "\n  %s (%s runs)", values[1], values[3]);
    if (strcmp(values[1], list->wanted))
        return 0;
    list->found = true;
    snprintf(list->report->id, sizeof list->report->id, "%s", values[0]);
    list->report->name = keep(list->report, values[1]);
    list->baseline = keep(list->report, values[2]);
    return 0;
}

static dipp_status find_experiment(dipp_report *report, const char *wanted, const char **baseline, dipp_error *error)
{
    experiment_list list = {.report = report, .wanted = wanted};
    dipp_status status = dipp_store_query(report->store,
                                          "SELECT x.experiment_id, x.name, x.baseline, (SELECT count(*) FROM runs r "
                                          "WHERE r.experiment_id=x.experiment_id) FROM experiments x ORDER BY x.name",
                                          NULL, 0, add_experiment, &list, error);
    if (status == DIPP_OK && !list.found)
        status = dipp_fail(error, DIPP_E_NOT_FOUND, "%s has no experiment `%s`; it has%.1200s",
                           dipp_store_path(report->store), wanted, list.names.data ? list.names.data : " none");
    *baseline = list.baseline;
    dipp_text_discard(&list.names);
    return status;
}

static dipp_status check_worth(const dipp_report *report, dipp_error *error)
{
    size_t completed = 0;
    for (size_t i = 0; i < report->run_count; i++)
        completed += report->runs[i].completed;
    if (!completed)
        return dipp_fail(error, DIPP_E_INVALID,
                         "nothing to report on `%s`: none of its %zu runs is completed; `dipp ls %s` says how they "
                         "stand",
                         report->name, report->run_count, report->name);
    if (!report->score_count)
        return dipp_fail(error, DIPP_E_INVALID,
                         "nothing to report on `%s`: its %zu completed runs were never evaluated; give the "
                         "experiment evaluate.metrics or evaluate.scorers",
                         report->name, completed);
    return DIPP_OK;
}

dipp_status dipp_report_load(dipp_report *report, dipp_store *store, const char *experiment, dipp_error *error)
{
    const char *baseline = NULL;
    report->store = store;
    report->arena = dipp_arena_create(0);
    if (!report->arena)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the report");
    dipp_status status = find_experiment(report, experiment, &baseline, error);
    if (status == DIPP_OK)
        status = dipp_report_query(report, runs_sql, add_run, report, error);
    if (status != DIPP_OK)
        return status;
    order_arms(report);
    label_arms(report);
    choose_baseline(report, baseline);
    status = dipp_report_query(report, scores_sql, add_score, report, error);
    if (status == DIPP_OK)
        status = check_worth(report, error);
    if (status == DIPP_OK)
        label_measures(report);
    if (status == DIPP_OK && report->status != DIPP_OK) {
        *error = report->error;
        status = report->status;
    }
    return status;
}

void dipp_report_clear(dipp_report *report)
{
    dipp_release(report->arms);
    dipp_release(report->runs);
    dipp_release(report->measures);
    dipp_release(report->scores);
    dipp_text_discard(&report->out);
    dipp_arena_destroy(&report->arena);
}
