/* The experiment store: one SQLite file that holds every run's settings, metrics and per-picture scores.
 *
 * What it promises: a call that returned DIPP_OK is in the file and survives kill -9 (WAL, synchronous NORMAL; after a
 * power loss the last commits may be missing, the file is never torn). Every write is one BEGIN IMMEDIATE transaction,
 * so any number of processes on one host may write; a later call of the same key writes over the earlier one, so a
 * repeated or resumed run never doubles anything.
 *
 * Fork rule: a store never crosses fork(). In a child every call on it fails with DIPP_E_INTERNAL and dipp_store_close
 * only forgets it; open a new one there.
 *
 * Common to all functions: char pointers are UTF-8 and borrowed for the call; a field or argument marked "or NULL" is
 * stored as NULL. Structs are passed zero-initialised, so absent fields are 0. Times are microseconds since 1970 (UTC).
 * sha256 strings are 64 hexadecimal digits. All functions are [one thread at a time] per store. Errors every writer may
 * return: DIPP_E_IO (disk full, read-only, input/output error), DIPP_E_BUSY (locked longer than the timeout: names the
 * holder where known), DIPP_E_FORMAT (file damaged), DIPP_E_INVALID (a value breaks the schema, an id is unknown),
 * DIPP_E_MEMORY. On an error the call has changed nothing (SQLite may run out of memory behind
 * a commit: then all of it is there, and repeating the call, which the keys allow, does no harm). The tables are in schema_1.sql and schema_2.sql, the
 * views in views.sql. */
#ifndef DIPP_STORE_STORE_H
#define DIPP_STORE_STORE_H

#include <dipp/status.h>

#include <stdbool.h>

enum { DIPP_STORE_APPLICATION_ID = 0x44492B2B, DIPP_STORE_SCHEMA_VERSION = 2 }; /* "DI++" */

typedef struct dipp_store dipp_store;

/* ---- open, close, check ------------------------------------------------------------------------------------- */

typedef enum dipp_store_mode {
    DIPP_STORE_CREATE = 0, /* read and write; makes the file when missing, migrates an older schema */
    DIPP_STORE_WRITE = 1,  /* the same, but a missing file is DIPP_E_NOT_FOUND */
    DIPP_STORE_READ = 2    /* no write at all; works on read-only files and directories */
} dipp_store_mode;

typedef struct dipp_store_options {
    dipp_store_mode mode;
    int busy_timeout_ms; /* how long to wait for another writer; 0 = 10 000 */
    const char *journal; /* "auto" (or NULL), "wal", "truncate"; auto takes truncate on network file systems and obeys
                            the environment variable DIPP_STORE_JOURNAL */
} dipp_store_options;

/* Opens the store at path; options NULL = all defaults. Migrates under a lock, so processes may start together; before
 * a migration the old file is saved as PATH.v<N>-backup. Errors besides the common ones: DIPP_E_NOT_FOUND (missing file
 * or directory), DIPP_E_FORMAT (not SQLite, or another program's database), DIPP_E_UNSUPPORTED (schema newer than this
 * dipp, or older and mode READ). *store is for dipp_store_close. */
dipp_status dipp_store_open(const char *path, const dipp_store_options *options, dipp_store **store, dipp_error *error);

/* Checkpoints the log, updates the query planner's statistics, closes; sets *store to NULL. Accepts NULL. An open
 * transaction is rolled back. */
void dipp_store_close(dipp_store **store);

const char *dipp_store_path(const dipp_store *store);         /* as given to open; borrowed */
const char *dipp_store_journal_mode(const dipp_store *store); /* "wal", "truncate", ... as SQLite answered; borrowed */

/* The sqlite3 * behind the store, for tests and for queries this header lacks; borrowed, never write through it. */
void *dipp_store_connection(dipp_store *store);

const char *dipp_store_sqlite_version(void); /* of the loaded library, "3.40.1" */

/* PRAGMA integrity_check and foreign_key_check. DIPP_E_FORMAT lists the first findings and the remedy. */
dipp_status dipp_store_check(dipp_store *store, dipp_error *error);

/* Groups calls into one transaction: all or nothing, one commit. Nests. A failed call inside rolls everything back; the
 * calls after it and the commit then fail too. Never compute or touch files between begin and commit. */
dipp_status dipp_store_begin(dipp_store *store, dipp_error *error);
dipp_status dipp_store_commit(dipp_store *store, dipp_error *error);
void dipp_store_rollback(dipp_store *store);

/* ---- experiments, runs, parameters --------------------------------------------------------------------------- */

typedef struct dipp_store_experiment {
    int64_t experiment_id;
    int64_t revision; /* from 1 */
    bool created;     /* the name was new */
    bool revised;     /* the name was known, this text was not: a new revision row was added */
} dipp_store_experiment;

/* Finds or adds the experiment and the revision that holds this text. Cells are keyed without the revision, so runs of
 * an earlier text with an equal configuration still count. baseline (or NULL) replaces the stored one. */
dipp_status dipp_store_experiment_put(dipp_store *store, const char *name, const char *yaml, const char *yaml_sha256,
                                      const char *baseline, dipp_store_experiment *out, dipp_error *error);

typedef enum dipp_run_status {
    DIPP_RUN_QUEUED = 0,
    DIPP_RUN_RUNNING = 1,
    DIPP_RUN_COMPLETED = 2,
    DIPP_RUN_FAILED = 3,
    DIPP_RUN_KILLED = 4,
    DIPP_RUN_PRUNED = 5,
    DIPP_RUN_LOST = 6
} dipp_run_status;

/* The status as the database spells it ("queued", ...), static. */
const char *dipp_run_status_name(dipp_run_status status);

typedef struct dipp_run_spec {
    int64_t experiment_id, revision; /* from dipp_store_experiment_put */
    const char *arm;
    int64_t seed;
    const char *config_sha256;  /* configuration without seed, threads, device, paths; with plugins and input weights */
    const char *config_json;    /* NULL = {} */
    const char *overrides_json; /* NULL = [] */
    const char *name;           /* NULL = experiment/arm/seed */
    const char *stage;          /* pretrain, reward, align (NULL), evaluate */
    int64_t parent_run_id;      /* the run whose result this one starts from, 0 = none */
    const char *slurm_job;      /* or NULL */
    const char *code_commit;    /* or NULL */
    bool code_dirty;
} dipp_run_spec;

typedef struct dipp_run_ref {
    int64_t run_id;
    char run_uuid[37];
    dipp_run_status status;
    bool created; /* false: the cell existed and is returned as it is */
} dipp_run_ref;

/* Finds the cell (experiment, arm, seed, configuration) or adds it as queued. */
dipp_status dipp_store_run_create(dipp_store *store, const dipp_run_spec *spec, dipp_run_ref *out, dipp_error *error);

typedef enum dipp_param_type {
    DIPP_STORE_INT = 0,
    DIPP_STORE_REAL = 1,
    DIPP_STORE_BOOL = 2,
    DIPP_STORE_TEXT = 3,
    DIPP_STORE_NULL = 4,
    DIPP_STORE_JSON = 5 /* a list or map, in text */
} dipp_param_type;

typedef enum dipp_param_source {
    DIPP_SOURCE_DEFAULT = 0,
    DIPP_SOURCE_FILE = 1,
    DIPP_SOURCE_OVERRIDE = 2,
    DIPP_SOURCE_SWEEP = 3
} dipp_param_source;

typedef struct dipp_run_param {
    const char *key; /* dotted path, e.g. align.optimizer.lr */
    dipp_param_type type;
    int64_t integer;  /* INT, and BOOL as 0 or 1 */
    double real;      /* REAL, finite */
    const char *text; /* TEXT, JSON */
    dipp_param_source source;
    const char *origin; /* file:line or the override's text, or NULL */
} dipp_run_param;

/* Adds or replaces these keys. The view summary reads align.{cfg_omega, divergence.name, divergence.weight, ta.init,
 * ta.updates, steps, batch, optimizer.lr} and generator.params.sigma_init. */
dipp_status dipp_store_params_put(dipp_store *store, int64_t run_id, const dipp_run_param *params, size_t count,
                                  dipp_error *error);

/* ---- plugins, scorers, weights ------------------------------------------------------------------------------- */

typedef struct dipp_plugin_record {
    const char *kind; /* generator, reference, reward, metric, dataset */
    const char *name, *version;
    int abi;
    const char *sha256;         /* of the .so; NULL = code inside dipp */
    const char *weights_sha256; /* NULL = loads none */
    const char *path;           /* or NULL */
    const char *schema_json;    /* its parameter table, or NULL */
} dipp_plugin_record;

/* Finds or adds (kind, name, version, sha256, weights_sha256). */
dipp_status dipp_store_plugin_put(dipp_store *store, const dipp_plugin_record *plugin, int64_t *plugin_id,
                                  dipp_error *error);

/* Finds or adds the scorer (plugin with weights, its parameters as canonical JSON; NULL = {}). Built-in judges are kind
 * "metric" without sha256. The scorer is part of an evaluation's key. */
dipp_status dipp_store_scorer_put(dipp_store *store, const dipp_plugin_record *plugin, const char *config_json,
                                  int64_t *scorer_id, dipp_error *error);

typedef struct dipp_run_plugin {
    const char *role; /* generator, reference, ta, reward, dataset */
    int position;     /* in the list of rewards */
    int64_t plugin_id;
    const char *metric; /* reward: its name as an evaluation metric, which is then flagged trained_on; or NULL */
    double scale; /* reward: its factor; 0 = not trained on, as of a reward that is trained itself. Other roles: 0 */
} dipp_run_plugin;

dipp_status dipp_store_run_plugins_put(dipp_store *store, int64_t run_id, const dipp_run_plugin *plugins, size_t count,
                                       dipp_error *error);

typedef struct dipp_weights_record {
    const char *sha256;
    const char *path;
    int64_t bytes;
    int64_t produced_by_run_id; /* 0 = made outside this store */
    int64_t produced_at_step;
    const char *parent_sha256; /* as the file itself says, or NULL */
} dipp_weights_record;

/* Registers a weight file by content. A known one keeps its producer; path and what was unknown are filled in. */
dipp_status dipp_store_weights_put(dipp_store *store, const dipp_weights_record *weights, dipp_error *error);

/* The run starts from these weights in this role ("generator", "reference", "ta", "reward[0]"). The weights must be
 * registered. The view weight_chain follows them back through the runs that made them. */
dipp_status dipp_store_run_weights_put(dipp_store *store, int64_t run_id, const char *role, const char *sha256,
                                       dipp_error *error);

/* ---- life of a run ------------------------------------------------------------------------------------------- */

typedef struct dipp_process {
    char host[256];
    int64_t pid;
    int64_t start_time; /* field 22 of /proc/PID/stat: clock ticks from boot to the process's start */
} dipp_process;

/* Identity of the calling process. [any thread] */
dipp_status dipp_process_self(dipp_process *out, dipp_error *error);

/* A living process has this pid and start time on this host; a zombie is dead. A process of another host counts as
 * alive. [any thread] */
bool dipp_process_alive(const dipp_process *process);

/* Takes the run for process (NULL = the caller) if its status is queued or one of the bits (1u << DIPP_RUN_x) in also;
 * atomic between processes. DIPP_E_BUSY: it is running, says where. DIPP_E_INVALID: its status is not among those.
 * The process that computes claims, so that its death is seen. */
dipp_status dipp_store_claim(dipp_store *store, int64_t run_id, unsigned also, const dipp_process *process,
                             dipp_error *error);

/* Takes the oldest queued run of the experiment (0 = of any); *run_id = 0 and DIPP_OK when there is none. */
dipp_status dipp_store_claim_next(dipp_store *store, int64_t experiment_id, const dipp_process *process,
                                  int64_t *run_id, dipp_error *error);

typedef struct dipp_attempt_spec {
    int64_t start_step; /* the checkpoint it resumes from, 0 = from the start */
    const char *slurm_job, *dipp_version, *binary_sha256, *backend, *device, *isa, *precision; /* each or NULL */
    int threads;
    const char *libraries_json;   /* name -> version, or NULL */
    const char *micro_batch_json; /* program -> micro-batch, or NULL */
} dipp_attempt_spec;

/* Adds the next attempt (from 1) of a claimed run; an attempt that was left open is ended as lost. */
dipp_status dipp_store_attempt_begin(dipp_store *store, int64_t run_id, const dipp_attempt_spec *spec, int64_t *attempt,
                                     dipp_error *error);

/* reason: completed, failed, killed, interrupted, pruned, lost. detail or NULL. An ended attempt stays as it is. */
dipp_status dipp_store_attempt_end(dipp_store *store, int64_t run_id, int64_t attempt, const char *reason,
                                   int64_t end_step, const char *detail, dipp_error *error);

/* Says that the run lives and how far it is. Never goes back in time, even if the clock does. */
dipp_status dipp_store_heartbeat(dipp_store *store, int64_t run_id, int64_t step, int64_t images_seen,
                                 dipp_error *error);

/* Ends a queued or running run as completed, failed, killed, pruned or lost, and its open attempt likewise. A run that
 * has ended already stays as it is: *changed = false (changed may be NULL), so a supervisor may call this after every
 * child. exit_code and term_signal: -1 = unknown. text: the error for people, or NULL. */
dipp_status dipp_store_run_finish(dipp_store *store, int64_t run_id, dipp_run_status status, int exit_code,
                                  int term_signal, const char *text, bool *changed, dipp_error *error);

/* Puts a run back to queued (interrupted with its state saved, or wanted again); an open attempt ends with reason. */
dipp_status dipp_store_run_requeue(dipp_store *store, int64_t run_id, const char *reason, dipp_error *error);

/* Marks running runs as lost whose process is dead: on this host by pid and start time; on other hosts when the last
 * heartbeat is older than other_host_seconds (0 = never). lost (or NULL) is called for each after the commit. */
typedef void (*dipp_store_lost_fn)(void *user, int64_t run_id, const char *name, const char *host, int64_t pid);
dipp_status dipp_store_mark_lost(dipp_store *store, int64_t other_host_seconds, dipp_store_lost_fn lost, void *user,
                                 int *count, dipp_error *error);

/* ---- metrics by step ----------------------------------------------------------------------------------------- */

/* Says what a metric is: direction +1 more is better, -1 less, 0 never ranked; split: train, val, test, system; unit
 * and description or NULL. Replaces what was known. Names not defined get direction 0 and split train. schema_1.sql
 * defines the reserved ones; "ikl" by step is what at_equal_kl reads. */
dipp_status dipp_store_metric_define(dipp_store *store, const char *name, int direction, const char *split,
                                     const char *unit, const char *description, dipp_error *error);

typedef struct dipp_metric_point {
    const char *name;
    int64_t step;
    double value; /* NaN and infinities are kept as such */
} dipp_metric_point;

/* One transaction for all points; a point of a known (run, name, step) is replaced. */
dipp_status dipp_store_metrics_put(dipp_store *store, int64_t run_id, int64_t attempt, const dipp_metric_point *points,
                                   size_t count, dipp_error *error);

/* ---- prompts and evaluations --------------------------------------------------------------------------------- */

typedef struct dipp_prompt_record {
    const char *text;
    const char *category;        /* or NULL */
    const char *attributes_json; /* what the prompt names, or NULL */
} dipp_prompt_record;

/* Finds the set by sha256 or adds it with its prompts, index = position in the array. */
dipp_status dipp_store_prompt_set_put(dipp_store *store, const char *name, const char *sha256,
                                      const dipp_prompt_record *prompts, size_t count, int64_t *prompt_set_id,
                                      dipp_error *error);

typedef struct dipp_evaluation_settings {
    const char *subject;       /* generator (NULL), reference, files */
    const char *weights;       /* ema (NULL) or raw */
    int sampler_steps;         /* 1 for a one-step generator; 0 for files */
    double cfg_omega;          /* at sampling time, 1 = none */
    const char *precision;     /* NULL = f32 */
    const char *resize_kernel; /* NULL = none */
    int64_t images_seen;       /* pictures the weights were trained on; 0 for the reference and before alignment */
} dipp_evaluation_settings;

/* Finds or adds the row. */
dipp_status dipp_store_settings_put(dipp_store *store, const dipp_evaluation_settings *settings, int64_t *settings_id,
                                    dipp_error *error);

typedef struct dipp_evaluation_row {
    const char *metric;
    int64_t scorer_id;
    int64_t prompt; /* index in the set */
    int64_t sample;
    uint64_t noise_seed; /* stored as the int64_t of the same bits */
    double value;        /* NaN and infinities are kept as such */
    int64_t artifact_id; /* the picture, 0 = not stored */
} dipp_evaluation_row;

/* Scores of single pictures at one step, in one transaction; a row of a known key (run, step, settings, metric, scorer,
 * prompt, sample) is replaced. */
dipp_status dipp_store_evaluations_put(dipp_store *store, int64_t run_id, int64_t step, int64_t settings_id,
                                       int64_t prompt_set_id, const dipp_evaluation_row *rows, size_t count,
                                       dipp_error *error);

typedef struct dipp_set_metric_row {
    const char *metric;
    int64_t scorer_id;
    const char *group; /* NULL = the whole set */
    double value;
    int64_t samples; /* pictures behind the number */
} dipp_set_metric_row;

/* Numbers of the whole set of pictures (diversity, kid, ikl, groups), otherwise as above. */
dipp_status dipp_store_set_metrics_put(dipp_store *store, int64_t run_id, int64_t step, int64_t settings_id,
                                       int64_t prompt_set_id, const dipp_set_metric_row *rows, size_t count,
                                       dipp_error *error);

/* Forgets what this metric by this scorer has at the step under these settings, single pictures and whole sets alike, so
 * that an evaluation with fewer samples leaves none of the earlier ones behind. */
dipp_status dipp_store_scores_remove(dipp_store *store, int64_t run_id, int64_t step, int64_t settings_id,
                                     int64_t prompt_set_id, const char *metric, int64_t scorer_id, dipp_error *error);

/* ---- files and events ---------------------------------------------------------------------------------------- */

typedef struct dipp_file_record {
    int64_t step;     /* -1 = none (artifacts only) */
    const char *kind; /* artifacts: image, grid, log, ...; ignored for checkpoints */
    const char *path; /* relative to the store's directory */
    const char *sha256;
    int64_t bytes;
    const char *meta_json; /* artifacts only, or NULL */
} dipp_file_record;

/* Call after the file is complete: temporary name, fsync, rename, fsync of the directory. A checkpoint is also
 * registered as weights produced by the run; the same step again replaces the row. */
dipp_status dipp_store_checkpoint_put(dipp_store *store, int64_t run_id, int64_t attempt,
                                      const dipp_file_record *checkpoint, dipp_error *error);
/* Forgets the checkpoint row of this step (its file was removed or is torn); its weights row stays. */
dipp_status dipp_store_checkpoint_remove(dipp_store *store, int64_t run_id, int64_t step, dipp_error *error);
/* The same path again replaces the row. artifact_id may be NULL. */
dipp_status dipp_store_artifact_put(dipp_store *store, int64_t run_id, const dipp_file_record *artifact,
                                    int64_t *artifact_id, dipp_error *error);

/* Something a person should know. run_id 0 = of no run; attempt 0 and step -1 = none. severity: info, warning, error.
 * code is short and stable ("resume.threads", "step.nonfinite"). */
dipp_status dipp_store_event_put(dipp_store *store, int64_t run_id, int64_t attempt, int64_t step, const char *severity,
                                 const char *code, const char *message, dipp_error *error);

/* Forgets the run's events of this code after a step: an attempt that resumes there will come upon them again. */
dipp_status dipp_store_events_remove(dipp_store *store, int64_t run_id, const char *code, int64_t after_step,
                                     dipp_error *error);

/* ---- votes --------------------------------------------------------------------------------------------------- */

typedef enum dipp_vote_winner {
    DIPP_VOTE_LEFT = 0,
    DIPP_VOTE_RIGHT = 1,
    DIPP_VOTE_TIE = 2,
    DIPP_VOTE_SKIP = 3 /* the person would not say */
} dipp_vote_winner;

/* As the database spells it ("left", ...), static; and back: false for no such word. [any thread] */
const char *dipp_vote_winner_name(dipp_vote_winner winner);
bool dipp_vote_winner_by_name(const char *name, dipp_vote_winner *winner);

typedef struct dipp_vote_picture {
    int64_t artifact_id; /* 0 = a file that is not of a run of this store */
    const char *sha256;  /* of the file that was shown */
    const char *path;    /* relative to the store's directory, or absolute */
} dipp_vote_picture;

typedef struct dipp_vote {
    const char *prompt;
    dipp_vote_picture left, right; /* as they were shown; two files */
    dipp_vote_winner winner;
    const char *voter;   /* not empty */
    const char *session; /* of the page that was open */
    int64_t time;        /* 0 = now, when it is put */
    double seconds;      /* from showing the pair to the vote */
} dipp_vote;

/* Records it; what the voter said of this pair before, on whichever sides, is replaced. */
dipp_status dipp_store_vote_put(dipp_store *store, const dipp_vote *vote, dipp_error *error);

/* Forgets what the voter said of this pair, whichever side was left; one that is not there is fine. */
dipp_status dipp_store_vote_remove(dipp_store *store, const char *voter, const char *prompt, const char *one_sha256,
                                   const char *other_sha256, dipp_error *error);

typedef int (*dipp_store_vote_fn)(void *user, const dipp_vote *vote);
/* In the order in which they were first given, skipped ones as well; voter NULL = of all. As under "reading" below: a nonzero
 * answer stops, the pointers live for the call. A file may have been removed or changed since: compare its hash. */
dipp_status dipp_store_each_vote(dipp_store *store, const char *voter, dipp_store_vote_fn each, void *user,
                                 dipp_error *error);

/* ---- reading ------------------------------------------------------------------------------------------------- */
/* Callbacks get pointers that live for the call; a nonzero answer stops the reading without error. They must not write
 * to the same store. */

typedef struct dipp_run_row {
    int64_t run_id, experiment_id, seed, step, images_seen, parent_run_id, attempts, warnings;
    const char *run_uuid, *experiment, *name, *stage, *arm, *config_sha256, *config_json;
    dipp_run_status status;
    int64_t created_at, started_at, ended_at, heartbeat_at; /* 0 = not yet */
    int exit_code, term_signal;                             /* -1 = none */
    const char *error;                                      /* or NULL */
    int64_t alarm_step;                                     /* of the monitor's first alarm; -1 = none */
    dipp_process process;                                   /* last that ran it; pid 0 = none */
} dipp_run_row;

typedef struct dipp_run_filter {
    int64_t run_id;         /* 0 = all */
    const char *experiment; /* NULL = all */
    const char *arm;        /* NULL = all */
    unsigned statuses;      /* bits 1u << DIPP_RUN_x, 0 = all */
} dipp_run_filter;

typedef int (*dipp_store_run_fn)(void *user, const dipp_run_row *row);
/* In order of run_id; filter NULL = all. */
dipp_status dipp_store_each_run(dipp_store *store, const dipp_run_filter *filter, dipp_store_run_fn each, void *user,
                                dipp_error *error);

/* The run a person means: an id, a prefix of the uuid (4 digits or more), a name, "arm:seed", "@latest". experiment (or
 * NULL) narrows the last three. DIPP_E_NOT_FOUND when none, DIPP_E_INVALID lists the candidates when several. */
dipp_status dipp_store_find_run(dipp_store *store, const char *selector, const char *experiment, int64_t *run_id,
                                dipp_error *error);

typedef int (*dipp_store_param_fn)(void *user, const dipp_run_param *param);
dipp_status dipp_store_each_param(dipp_store *store, int64_t run_id, dipp_store_param_fn each, void *user,
                                  dipp_error *error);

typedef struct dipp_metric_row {
    const char *name;
    int64_t step;
    double value; /* NaN and infinities as they were recorded */
    int64_t time, attempt;
} dipp_metric_row;

typedef int (*dipp_store_metric_fn)(void *user, const dipp_metric_row *row);
/* The run's points in order of name and step; name NULL = all names. last_only: the newest step of each name. */
dipp_status dipp_store_each_metric(dipp_store *store, int64_t run_id, const char *name, bool last_only,
                                   dipp_store_metric_fn each, void *user, dipp_error *error);

typedef struct dipp_attempt_row {
    int64_t attempt, started_at, ended_at, end_step; /* 0 and -1: not ended */
    const char *reason, *detail, *host;              /* or NULL */
    int64_t pid;
    dipp_attempt_spec spec;
} dipp_attempt_row;

typedef int (*dipp_store_attempt_fn)(void *user, const dipp_attempt_row *row);
/* Newest first. */
dipp_status dipp_store_each_attempt(dipp_store *store, int64_t run_id, dipp_store_attempt_fn each, void *user,
                                    dipp_error *error);

typedef int (*dipp_store_file_fn)(void *user, const dipp_file_record *file);
/* Newest step first, so that the caller falls back when the newest file is torn. */
dipp_status dipp_store_each_checkpoint(dipp_store *store, int64_t run_id, dipp_store_file_fn each, void *user,
                                       dipp_error *error);

/* Any reading SQL, e.g. on the views: each gets `columns` names and texts (NULL for SQL NULL; reals as SQLite prints
 * them). binds[0] goes to ?1 and so on, as text: write CAST(?1 AS INTEGER) for a number. A statement that writes, or
 * several, is DIPP_E_INVALID. */
typedef int (*dipp_store_row_fn)(void *user, int columns, const char *const *names, const char *const *values);
dipp_status dipp_store_query(dipp_store *store, const char *sql, const char *const *binds, size_t bind_count,
                             dipp_store_row_fn each, void *user, dipp_error *error);

/* ---- merging ------------------------------------------------------------------------------------------------- */

typedef struct dipp_store_merge_report {
    int64_t runs;        /* in the other store */
    int64_t added;       /* of them, new here */
    int64_t updated;     /* known here, but the other had heard of them later */
    int64_t passed_over; /* another run made the same cell (experiment, arm, seed, configuration) here */
} dipp_store_merge_report;

/* Takes what the store at `from` holds and this one lacks, in one transaction; merging again changes nothing. Rows meet
 * by natural keys: run by uuid, experiment and metric by name, prompt set and weights by hash, vote by voter and pair. Where both know a run,
 * the one that heard of it last says how it stands, and the later of two points counts. Of one cell made twice a
 * completed run stays, else the one that is here. No file is copied: paths lead to the other store's folder. Besides
 * the common errors: those of opening `from` for reading (DIPP_E_UNSUPPORTED for another schema: open an older one
 * once for writing), DIPP_E_INVALID (the same file; a metric that is better when more here and when less there). */
dipp_status dipp_store_merge(dipp_store *store, const char *from, dipp_store_merge_report *report, dipp_error *error);

/* ---- migrations (for the tests) ------------------------------------------------------------------------------ */

typedef struct dipp_store_migration {
    int version;     /* the schema number that this step arrives at; steps are in rising order */
    const char *sql; /* run inside the migration's transaction */
} dipp_store_migration;

/* Brings the file behind the store up to the last step, then creates the views anew from views_sql. dipp_store_open
 * does this with the steps of this version. */
dipp_status dipp_store_migrate(dipp_store *store, const dipp_store_migration *steps, size_t count,
                               const char *views_sql, dipp_error *error);

#endif
