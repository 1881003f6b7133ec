#include "evaluate/monitor_study.h"

#include "base/arena.h"
#include "base/memory.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of one run: the pairs of the truth as they come, in order of prompt and sample. */
typedef struct truth_pair {
    int64_t prompt;
    double before, now;
} truth_pair;

typedef struct study_reader {
    dipp_monitor_study *study;
    const dipp_monitor_study_options *options;
    dipp_status status;
    dipp_error *error;
    /* looks */
    const char *judges[DIPP_MONITOR_JUDGES];
    uint32_t judge_count;
    size_t run; /* whose look is being read */
    int64_t look;
    dipp_change rewards[DIPP_MONITOR_JUDGES], falls[DIPP_MONITOR_JUDGES];
    uint32_t reward_count, which[DIPP_MONITOR_JUDGES], fall_count;
    /* truth */
    truth_pair *pairs;
    size_t pair_count, pair_capacity;
    int64_t scorer; /* whose scores are read of this run */
} study_reader;

static double number(const char *text)
{
    double value;
    return text && dipp_parse_double(text, &value) ? value : NAN;
}

static int64_t integer(const char *text, int64_t otherwise)
{
    return text ? strtoll(text, NULL, 10) : otherwise;
}

static int no_memory(study_reader *reader)
{
    reader->status = dipp_fail(reader->error, DIPP_E_MEMORY, "no memory for the monitor's study");
    return 1;
}

/* A query of the experiment (?1), whose rows may leave a status. */
static dipp_status ask(study_reader *reader, dipp_store *store, const char *sql, const char *second,
                       dipp_store_row_fn each)
{
    const char *binds[] = {reader->options->experiment, second};
    dipp_status status = dipp_store_query(store, sql, binds, second ? 2 : 1, each, reader, reader->error);
    return status == DIPP_OK ? reader->status : status;
}

/* ---- Runs ---- */

/* run_id, seed, step, arm, config, alarm_step, level, margin */
static const char runs_sql[] = "SELECT a.run_id, a.seed, a.step, a.arm, a.config, a.alarm_step, "
                               "(SELECT value FROM params p WHERE p.run_id=a.run_id AND p.key='monitor.level'), "
                               "(SELECT value FROM params p WHERE p.run_id=a.run_id AND p.key='monitor.margin') "
                               "FROM monitor_alarms a WHERE a.experiment=?1 AND a.status='completed' ORDER BY a.run_id";

static int add_run(void *user, int columns, const char *const *names, const char *const *values)
{
    study_reader *reader = user;
    dipp_monitor_study *study = reader->study;
    if (!dipp_grow((void **)&study->runs, &study->run_capacity, study->run_count + 1, sizeof *study->runs))
        return no_memory(reader);
    dipp_monitored_run *run = &study->runs[study->run_count++];
    *run = (dipp_monitored_run){.run_id = integer(values[0], 0),
                                .seed = integer(values[1], 0),
                                .step = integer(values[2], 0),
                                .arm = dipp_arena_string(study->arena, values[3]),
                                .config = dipp_arena_string(study->arena, values[4]),
                                .level = number(values[6]),
                                .margin = isnan(reader->options->margin) ? number(values[7]) : reader->options->margin};
    for (int i = 0; i < DIPP_MONITOR_CURVES; i++)
        run->sights[i] = (dipp_monitor_sight){NAN, -1};
    run->sights[0].alarm_step = integer(values[5], -1);
    return run->arm && run->config ? 0 : no_memory(reader);
}

static size_t find_run(const dipp_monitor_study *study, int64_t run_id)
{
    for (size_t i = 0; i < study->run_count; i++)
        if (study->runs[i].run_id == run_id)
            return i;
    return study->run_count;
}

/* ---- Looks ---- */

/* run_id, step, name without `monitor.` and `.p`, p, looks that were planned */
static const char looks_sql[] =
    "SELECT m.run_id, m.step, substr(n.name, 9, length(n.name)-10), m.value, "
    "(CAST(s.value AS INTEGER)+CAST(e.value AS INTEGER)-1)/CAST(e.value AS INTEGER) "
    "FROM monitor_alarms a JOIN metrics m USING(run_id) JOIN metric_names n USING(metric_id) "
    "JOIN params s ON s.run_id=a.run_id AND s.key='align.steps' JOIN params e ON e.run_id=a.run_id AND "
    "e.key='monitor.every' WHERE a.experiment=?1 AND a.status='completed' AND m.step BETWEEN 1 AND a.step AND "
    "m.value IS NOT NULL AND n.name GLOB 'monitor.*.p' ORDER BY m.run_id, m.step, n.name";

static void weigh(dipp_monitored_run *run, uint32_t curve, const dipp_alarm *alarm, int64_t step)
{
    dipp_monitor_sight *sight = &run->sights[curve];
    if (!(sight->evidence >= alarm->evidence))
        sight->evidence = alarm->evidence;
    if (curve && sight->alarm_step < 0 && alarm->p <= run->level)
        sight->alarm_step = step;
}

/* What the look that was read says, by all judges and by each. */
static void end_look(study_reader *reader, uint32_t looks)
{
    if (reader->run >= reader->study->run_count || !reader->reward_count || !reader->fall_count)
        return;
    dipp_monitored_run *run = &reader->study->runs[reader->run];
    dipp_alarm all = dipp_alarm_of(reader->rewards, reader->reward_count, reader->falls, reader->fall_count, looks);
    weigh(run, 0, &all, reader->look);
    for (uint32_t i = 0; i < reader->fall_count; i++) {
        dipp_alarm one = dipp_alarm_of(reader->rewards, reader->reward_count, &reader->falls[i], 1, looks);
        weigh(run, 1 + reader->which[i], &one, reader->look);
    }
}

static int judge_number(study_reader *reader, const char *name)
{
    for (uint32_t i = 0; i < reader->judge_count; i++)
        if (!strcmp(reader->judges[i], name))
            return (int)i;
    if (reader->judge_count == DIPP_MONITOR_JUDGES)
        return -1;
    const char *copy = dipp_arena_string(reader->study->arena, name);
    if (!copy) {
        no_memory(reader);
        return -1;
    }
    reader->judges[reader->judge_count] = copy;
    return (int)reader->judge_count++;
}

typedef struct look_reader {
    study_reader *reader;
    uint32_t looks;
} look_reader;

static int add_p(void *user, int columns, const char *const *names, const char *const *values)
{
    static const char reward[] = "reward.";
    look_reader *from = user;
    study_reader *reader = from->reader;
    size_t run = find_run(reader->study, integer(values[0], 0));
    int64_t step = integer(values[1], 0);
    double p = number(values[3]);
    if (run != reader->run || step != reader->look) {
        end_look(reader, from->looks);
        reader->run = run;
        reader->look = step;
        reader->reward_count = reader->fall_count = 0;
    }
    from->looks = (uint32_t)integer(values[4], 1);
    if (!strncmp(values[2], reward, sizeof reward - 1)) {
        if (reader->reward_count < DIPP_MONITOR_JUDGES)
            reader->rewards[reader->reward_count++] = (dipp_change){.rise = p, .fall = 1};
        return 0;
    }
    int judge = judge_number(reader, values[2]);
    if (judge < 0)
        return reader->status != DIPP_OK;
    reader->which[reader->fall_count] = (uint32_t)judge;
    reader->falls[reader->fall_count++] = (dipp_change){.rise = 1, .fall = p};
    return 0;
}

static dipp_status read_looks(study_reader *reader, dipp_store *store)
{
    look_reader from = {reader, 1};
    const char *binds[] = {reader->options->experiment};
    reader->run = reader->study->run_count;
    dipp_status status = dipp_store_query(store, looks_sql, binds, 1, add_p, &from, reader->error);
    if (status == DIPP_OK && reader->status == DIPP_OK)
        end_look(reader, from.looks);
    return status == DIPP_OK ? reader->status : status;
}

/* ---- Truth ---- */

/* The metric that is asked for; else gold, else one of the judges. */
static const char truth_sql[] =
    "SELECT DISTINCT n.name FROM final_eval f JOIN metric_names n USING(metric_id) JOIN runs r USING(run_id) JOIN "
    "experiments x USING(experiment_id) WHERE x.name=?1 AND f.step>0 AND (n.name=?2 OR (?2='' AND (n.name='gold' OR "
    "EXISTS(SELECT 1 FROM metric_names j WHERE j.name='monitor.'||n.name||'.p')))) ORDER BY n.name<>'gold', n.name";

static int keep_truth(void *user, int columns, const char *const *names, const char *const *values)
{
    study_reader *reader = user;
    reader->study->truth = dipp_arena_string(reader->study->arena, values[0]);
    return reader->study->truth ? 1 : no_memory(reader);
}

/* run_id, scorer, prompt, before, now; the newest scorer of a run first. */
static const char pairs_sql[] =
    "SELECT f.run_id, f.scorer_id, f.prompt_id, s.value, f.value FROM final_eval f JOIN metric_names n "
    "USING(metric_id) JOIN evaluations s ON s.run_id=f.run_id AND s.metric_id=f.metric_id AND s.step=0 AND "
    "s.scorer_id=f.scorer_id AND s.prompt_id=f.prompt_id AND s.sample=f.sample AND s.noise_seed=f.noise_seed JOIN "
    "evaluation_settings t ON t.settings_id=s.settings_id AND t.subject='generator' JOIN monitor_alarms a ON "
    "a.run_id=f.run_id WHERE a.experiment=?1 AND a.status='completed' AND n.name=?2 AND f.step>0 AND f.value IS NOT "
    "NULL AND s.value IS NOT NULL ORDER BY f.run_id, f.scorer_id DESC, f.prompt_id, f.sample";

/* The run whose pairs were read: [prompts, most of a prompt], with gaps where a prompt has fewer. */
static dipp_status end_truth(study_reader *reader)
{
    size_t prompts = 0, most = 0, here = 0;
    for (size_t i = 0; i < reader->pair_count; i++) {
        bool first = !i || reader->pairs[i].prompt != reader->pairs[i - 1].prompt;
        prompts += first;
        here = first ? 1 : here + 1;
        most = here > most ? here : most;
    }
    if (!prompts || reader->run >= reader->study->run_count)
        return DIPP_OK;
    dipp_monitored_run *run = &reader->study->runs[reader->run];
    double *before = dipp_allocate_zeroed(2 * prompts * most, sizeof *before);
    if (!before)
        return dipp_fail(reader->error, DIPP_E_MEMORY, "no memory for the scores of a run");
    double *now = before + prompts * most;
    for (size_t i = 0; i < 2 * prompts * most; i++)
        before[i] = NAN;
    size_t row = 0, column = 0;
    for (size_t i = 0; i < reader->pair_count; i++) {
        bool first = i && reader->pairs[i].prompt != reader->pairs[i - 1].prompt;
        row += first;
        column = first || !i ? 0 : column + 1;
        before[row * most + column] = reader->pairs[i].before;
        now[row * most + column] = reader->pairs[i].now;
    }
    run->truth = dipp_change_of(before, now, (uint32_t)prompts, (uint32_t)most, run->margin);
    run->fell = run->truth.fall <= (reader->options->level > 0 ? reader->options->level : 0.05);
    dipp_release(before);
    return DIPP_OK;
}

static int add_pair(void *user, int columns, const char *const *names, const char *const *values)
{
    study_reader *reader = user;
    size_t run = find_run(reader->study, integer(values[0], 0));
    int64_t scorer = integer(values[1], 0);
    if (run != reader->run) {
        reader->status = end_truth(reader);
        reader->run = run;
        reader->scorer = scorer;
        reader->pair_count = 0;
    }
    if (reader->status != DIPP_OK || scorer != reader->scorer)
        return reader->status != DIPP_OK;
    if (!dipp_grow((void **)&reader->pairs, &reader->pair_capacity, reader->pair_count + 1, sizeof *reader->pairs))
        return no_memory(reader);
    reader->pairs[reader->pair_count++] = (truth_pair){integer(values[2], 0), number(values[3]), number(values[4])};
    return 0;
}

static dipp_status read_truth(study_reader *reader, dipp_store *store)
{
    const char *wanted = reader->options->truth;
    dipp_status status = ask(reader, store, truth_sql, wanted ? wanted : "", keep_truth);
    if (status == DIPP_OK && !reader->study->truth)
        return dipp_fail(reader->error, DIPP_E_NOT_FOUND,
                         "no run of %s was evaluated with %s picture by picture, so that nothing says what is true; "
                         "`dipp eval RUN --metrics NAME` scores finished runs",
                         reader->options->experiment, wanted ? wanted : "gold or one of the monitor's judges");
    reader->run = reader->study->run_count;
    if (status == DIPP_OK)
        status = ask(reader, store, pairs_sql, reader->study->truth, add_pair);
    return status == DIPP_OK ? end_truth(reader) : status;
}

/* ---- Curves ---- */

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    if (!count)
        return NAN;
    qsort(values, count, sizeof *values, by_number);
    return 0.5 * (values[(count - 1) / 2] + values[count / 2]);
}

static dipp_status draw_curve(dipp_monitor_study *study, uint32_t number, dipp_error *error)
{
    dipp_monitor_curve *curve = &study->curves[number];
    dipp_roc_case *cases = dipp_allocate_zeroed(study->run_count + 1, sizeof *cases);
    double *left = dipp_allocate_zeroed(study->run_count + 1, sizeof *left);
    dipp_status status =
        cases && left ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu runs", study->run_count);
    uint32_t fell = 0;
    for (size_t i = 0; i < study->run_count && status == DIPP_OK; i++) {
        const dipp_monitored_run *run = &study->runs[i];
        const dipp_monitor_sight *sight = &run->sights[number];
        if (!run->truth.units || isnan(sight->evidence))
            continue;
        fell += run->fell;
        cases[curve->runs++] = (dipp_roc_case){sight->evidence, run->fell};
        if (sight->alarm_step >= 0 && run->fell)
            left[curve->hits++] = (double)(run->step - sight->alarm_step) / (double)run->step;
        curve->false_alarms += sight->alarm_step >= 0 && !run->fell;
    }
    curve->roc = (dipp_roc){.positives = fell, .negatives = curve->runs - fell, .area = NAN};
    if (status == DIPP_OK)
        curve->left = median(left, curve->hits);
    if (status == DIPP_OK && fell && fell < curve->runs)
        status = dipp_roc_of(cases, curve->runs, DIPP_ROC_REPLICATES, &curve->roc, error);
    dipp_release(cases);
    dipp_release(left);
    return status;
}

/* ---- Doors ---- */

static int found(void *user, int columns, const char *const *names, const char *const *values)
{
    ((study_reader *)user)->run = 1;
    return 1;
}

static dipp_status read_all(study_reader *reader, dipp_store *store)
{
    const char *name = reader->options->experiment;
    dipp_status status = ask(reader, store, "SELECT 1 FROM experiments WHERE name=?1", NULL, found);
    if (status == DIPP_OK && !reader->run)
        return dipp_fail(reader->error, DIPP_E_NOT_FOUND, "there is no experiment %s in %s; `dipp ls` lists the runs",
                         name, dipp_store_path(store));
    if (status == DIPP_OK)
        status = ask(reader, store, runs_sql, NULL, add_run);
    if (status == DIPP_OK && !reader->study->run_count)
        return dipp_fail(reader->error, DIPP_E_NOT_FOUND,
                         "no completed run of %s was watched by a monitor (monitor.every, docs/monitor.md)", name);
    if (status == DIPP_OK)
        status = read_looks(reader, store);
    return status == DIPP_OK ? read_truth(reader, store) : status;
}

dipp_status dipp_monitor_study_of(dipp_store *store, const dipp_monitor_study_options *options, dipp_monitor_study *out,
                                  dipp_error *error)
{
    *out = (dipp_monitor_study){.arena = dipp_arena_create(0)};
    study_reader reader = {.study = out, .options = options, .error = error};
    if (!out->arena)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the monitor's study");
    dipp_status status = read_all(&reader, store);
    out->curves[0].judges = "all judges";
    out->curve_count = reader.judge_count > 1 ? 1 + reader.judge_count : 1;
    for (uint32_t i = 1; i < out->curve_count; i++)
        out->curves[i].judges = reader.judges[i - 1];
    for (uint32_t i = 0; i < out->curve_count && status == DIPP_OK; i++)
        status = draw_curve(out, i, error);
    dipp_release(reader.pairs);
    return status;
}

void dipp_monitor_study_clear(dipp_monitor_study *study)
{
    for (uint32_t i = 0; i < study->curve_count; i++)
        dipp_roc_clear(&study->curves[i].roc);
    dipp_release(study->runs);
    dipp_arena_destroy(&study->arena);
    *study = (dipp_monitor_study){0};
}
