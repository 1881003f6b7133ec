-- Schema version 1: the tables. Runs once, inside the migration's transaction; the views are in views.sql.
--
-- Times are integer microseconds since 1970 (UTC). SQLite keeps NaN as NULL, so every measured value has a `kind`
-- that says what it was; value is NULL exactly when kind is not 'finite'. sha256 columns hold 64 hexadecimal digits.
-- Columns named *_json hold valid JSON; the writers check it, for SQLite 3.40 refuses json_valid() in a CHECK when
-- trusted_schema is off.

CREATE TABLE migrations(
  version INTEGER PRIMARY KEY,
  applied_at INTEGER NOT NULL) STRICT;

CREATE TABLE experiments(
  experiment_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  baseline TEXT,                                -- the arm the others are compared with, from the newest revision
  created_at INTEGER NOT NULL) STRICT;

-- One row per distinct YAML text that was run under the experiment's name; revision counts from 1.
CREATE TABLE experiment_revisions(
  experiment_id INTEGER NOT NULL REFERENCES experiments ON DELETE CASCADE,
  revision INTEGER NOT NULL,
  yaml TEXT NOT NULL,
  yaml_sha256 TEXT NOT NULL CHECK(length(yaml_sha256)=64),
  created_at INTEGER NOT NULL,
  PRIMARY KEY(experiment_id, revision),
  UNIQUE(experiment_id, yaml_sha256)) STRICT;

-- A piece of code that made or judged pictures, with the weights it loaded. '' = none: a judge inside dipp has no
-- .so of its own, a formula has no weights.
CREATE TABLE plugins(
  plugin_id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK(kind IN('generator','reference','reward','metric','dataset')),
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  abi INTEGER NOT NULL,
  sha256 TEXT NOT NULL DEFAULT '' CHECK(length(sha256) IN(0,64)),
  weights_sha256 TEXT NOT NULL DEFAULT '' CHECK(length(weights_sha256) IN(0,64)),
  path TEXT,
  schema_json TEXT,
  UNIQUE(kind, name, version, sha256, weights_sha256)) STRICT;

-- What gives a number to a picture: a plugin with its weights and its parameters (canonical JSON).
CREATE TABLE scorers(
  scorer_id INTEGER PRIMARY KEY,
  plugin_id INTEGER NOT NULL REFERENCES plugins,
  config_json TEXT NOT NULL DEFAULT '{}',
  UNIQUE(plugin_id, config_json)) STRICT;

-- One cell of an experiment. (experiment, arm, seed, configuration) is the key by which a repeated sweep finds it.
CREATE TABLE runs(
  run_id INTEGER PRIMARY KEY,
  run_uuid TEXT NOT NULL UNIQUE,
  experiment_id INTEGER NOT NULL REFERENCES experiments ON DELETE RESTRICT,
  revision INTEGER NOT NULL,                    -- of the YAML that first asked for this cell
  name TEXT NOT NULL,
  stage TEXT NOT NULL DEFAULT 'align' CHECK(stage IN('pretrain','reward','align','evaluate')),
  arm TEXT NOT NULL,
  seed INTEGER NOT NULL,
  config_sha256 TEXT NOT NULL CHECK(length(config_sha256)=64),
  config_json TEXT NOT NULL,
  overrides_json TEXT NOT NULL DEFAULT '[]',
  parent_run_id INTEGER REFERENCES runs ON DELETE SET NULL,   -- the run whose result this one starts from
  status TEXT NOT NULL CHECK(status IN('queued','running','completed','failed','killed','pruned','lost')),
  created_at INTEGER NOT NULL, started_at INTEGER, ended_at INTEGER, heartbeat_at INTEGER,
  step INTEGER NOT NULL DEFAULT 0,              -- optimizer steps done, by the last heartbeat
  images_seen INTEGER NOT NULL DEFAULT 0,       -- pictures the generator was trained on, by the last heartbeat
  exit_code INTEGER, term_signal INTEGER, error TEXT,
  host TEXT, pid INTEGER, pid_start INTEGER,    -- pid_start: field 22 of /proc/PID/stat, clock ticks since boot
  slurm_job TEXT, code_commit TEXT, code_dirty INTEGER CHECK(code_dirty IN(0,1)),
  duration_s REAL GENERATED ALWAYS AS ((ended_at-started_at)/1e6) VIRTUAL,
  UNIQUE(experiment_id, arm, seed, config_sha256),
  FOREIGN KEY(experiment_id, revision) REFERENCES experiment_revisions,
  CHECK((status IN('queued','running'))=(ended_at IS NULL))) STRICT;
CREATE INDEX runs_active ON runs(status) WHERE status IN('queued','running');
CREATE INDEX runs_parent ON runs(parent_run_id);

CREATE TABLE params(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  key TEXT NOT NULL,                            -- dotted path, e.g. align.optimizer.lr
  type TEXT NOT NULL CHECK(type IN('int','real','bool','text','null','json')),
  value ANY,
  source TEXT NOT NULL CHECK(source IN('default','file','override','sweep')),
  origin TEXT,                                  -- where it was written: file:line, or the override's text
  PRIMARY KEY(run_id, key),
  CHECK(CASE type WHEN 'int' THEN typeof(value)='integer' WHEN 'real' THEN typeof(value)='real'
        WHEN 'bool' THEN typeof(value)='integer' AND value IN(0,1) WHEN 'null' THEN value IS NULL
        ELSE typeof(value)='text' END)) STRICT, WITHOUT ROWID;
CREATE INDEX params_by_value ON params(key, value);

CREATE TABLE run_plugins(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  role TEXT NOT NULL CHECK(role IN('generator','reference','ta','reward','dataset')),
  position INTEGER NOT NULL DEFAULT 0,          -- in the list of rewards
  plugin_id INTEGER NOT NULL REFERENCES plugins,
  metric TEXT,                                  -- a reward's score under its evaluation name, e.g. hps:emoji
  scale REAL,                                   -- a reward's factor; 0 = measured only, not trained on
  PRIMARY KEY(run_id, role, position)) STRICT, WITHOUT ROWID;
CREATE INDEX run_plugins_plugin ON run_plugins(plugin_id);

-- Weight files by content, and the chain of who made them from what.
CREATE TABLE weights(
  sha256 TEXT PRIMARY KEY CHECK(length(sha256)=64),
  path TEXT NOT NULL, bytes INTEGER NOT NULL,
  produced_by_run_id INTEGER REFERENCES runs ON DELETE SET NULL,   -- NULL: made outside this store
  produced_at_step INTEGER,
  parent_sha256 TEXT,                           -- as the file itself says, when it was made outside this store
  created_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX weights_producer ON weights(produced_by_run_id);
CREATE TABLE run_weights(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  role TEXT NOT NULL,                           -- generator, reference, ta, reward[0], ...
  sha256 TEXT NOT NULL REFERENCES weights,
  PRIMARY KEY(run_id, role)) STRICT, WITHOUT ROWID;
CREATE INDEX run_weights_sha ON run_weights(sha256);

-- Each start of a run, with what decides whether a resumed run is bit-identical.
CREATE TABLE attempts(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  attempt INTEGER NOT NULL,                     -- from 1
  started_at INTEGER NOT NULL, ended_at INTEGER,
  start_step INTEGER NOT NULL DEFAULT 0, end_step INTEGER,
  reason TEXT CHECK(reason IN('completed','failed','killed','interrupted','pruned','lost')),
  detail TEXT,
  host TEXT, pid INTEGER, slurm_job TEXT,
  dipp_version TEXT, binary_sha256 TEXT, backend TEXT, device TEXT, threads INTEGER, isa TEXT, precision TEXT,
  libraries_json TEXT,
  micro_batch_json TEXT,
  PRIMARY KEY(run_id, attempt),
  CHECK((ended_at IS NULL)=(reason IS NULL))) STRICT, WITHOUT ROWID;

CREATE TABLE metric_names(
  metric_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  direction INTEGER NOT NULL DEFAULT 0 CHECK(direction IN(-1,0,1)),   -- +1: more is better; 0 is never ranked
  split TEXT NOT NULL DEFAULT 'train' CHECK(split IN('train','val','test','system')),
  unit TEXT, description TEXT) STRICT;

-- One value per (run, metric, step): a resumed run writes over the steps it repeats.
CREATE TABLE metrics(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  metric_id INTEGER NOT NULL REFERENCES metric_names,
  step INTEGER NOT NULL,
  value REAL,
  kind TEXT NOT NULL DEFAULT 'finite' CHECK(kind IN('finite','nan','+inf','-inf')),
  ts INTEGER NOT NULL,
  attempt INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(run_id, metric_id, step),
  CHECK((kind='finite')=(value IS NOT NULL))) STRICT, WITHOUT ROWID;
CREATE INDEX metrics_metric ON metrics(metric_id);

CREATE TABLE prompt_sets(
  prompt_set_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  sha256 TEXT NOT NULL UNIQUE CHECK(length(sha256)=64)) STRICT;
CREATE TABLE prompts(
  prompt_id INTEGER PRIMARY KEY,
  prompt_set_id INTEGER NOT NULL REFERENCES prompt_sets ON DELETE CASCADE,
  idx INTEGER NOT NULL,                         -- position in the set, from 0
  text TEXT NOT NULL,
  category TEXT,
  attributes_json TEXT,
  UNIQUE(prompt_set_id, idx)) STRICT;

CREATE TABLE checkpoints(
  checkpoint_id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  step INTEGER NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,
  path TEXT NOT NULL, sha256 TEXT NOT NULL CHECK(length(sha256)=64), bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE(run_id, step)) STRICT;
CREATE TABLE artifacts(
  artifact_id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  step INTEGER, kind TEXT NOT NULL, path TEXT NOT NULL,
  sha256 TEXT NOT NULL CHECK(length(sha256)=64), bytes INTEGER NOT NULL,
  meta_json TEXT,
  created_at INTEGER NOT NULL,
  UNIQUE(run_id, path)) STRICT;

-- How pictures were made and read before they were scored. Two scores compare only under one row of this table:
-- the protocol says how, images_seen how far the training was.
CREATE TABLE evaluation_settings(
  settings_id INTEGER PRIMARY KEY,
  subject TEXT NOT NULL CHECK(subject IN('generator','reference','files')),   -- who made the pictures
  weights TEXT NOT NULL CHECK(weights IN('ema','raw')),
  sampler_steps INTEGER NOT NULL CHECK(sampler_steps>=0),     -- 0 for files
  cfg_omega REAL NOT NULL,                      -- guidance at sampling time, 1 = none
  precision TEXT NOT NULL,                      -- f32, bf16, ...
  resize_kernel TEXT NOT NULL,                  -- none, bicubic, ...
  images_seen INTEGER NOT NULL CHECK(images_seen>=0),
  protocol TEXT NOT NULL GENERATED ALWAYS AS (printf('%s %s %d-step omega=%!.15g %s %s',
    subject, weights, sampler_steps, cfg_omega, precision, resize_kernel)) STORED,
  UNIQUE(subject, weights, sampler_steps, cfg_omega, precision, resize_kernel, images_seen)) STRICT;

CREATE TABLE evaluations(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  metric_id INTEGER NOT NULL REFERENCES metric_names,
  step INTEGER NOT NULL,
  settings_id INTEGER NOT NULL REFERENCES evaluation_settings,
  scorer_id INTEGER NOT NULL REFERENCES scorers,
  prompt_id INTEGER NOT NULL REFERENCES prompts,
  sample INTEGER NOT NULL DEFAULT 0,
  noise_seed INTEGER NOT NULL,
  value REAL,
  kind TEXT NOT NULL DEFAULT 'finite' CHECK(kind IN('finite','nan','+inf','-inf')),
  artifact_id INTEGER REFERENCES artifacts ON DELETE SET NULL,
  PRIMARY KEY(run_id, metric_id, step, settings_id, scorer_id, prompt_id, sample),
  CHECK((kind='finite')=(value IS NOT NULL))) STRICT, WITHOUT ROWID;
CREATE INDEX evaluations_by_prompt ON evaluations(prompt_id, metric_id);
CREATE INDEX evaluations_artifact ON evaluations(artifact_id) WHERE artifact_id IS NOT NULL;

-- Numbers of a whole set of pictures: diversity, KID, a score's mean over a style group, IKL measured at a pause.
CREATE TABLE set_metrics(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  metric_id INTEGER NOT NULL REFERENCES metric_names,
  step INTEGER NOT NULL,
  settings_id INTEGER NOT NULL REFERENCES evaluation_settings,
  scorer_id INTEGER NOT NULL REFERENCES scorers,
  prompt_set_id INTEGER NOT NULL REFERENCES prompt_sets,
  group_name TEXT NOT NULL DEFAULT '',          -- '' = the whole set
  value REAL,
  kind TEXT NOT NULL DEFAULT 'finite' CHECK(kind IN('finite','nan','+inf','-inf')),
  samples INTEGER NOT NULL DEFAULT 0,           -- pictures behind the number
  PRIMARY KEY(run_id, metric_id, step, settings_id, scorer_id, prompt_set_id, group_name),
  CHECK((kind='finite')=(value IS NOT NULL))) STRICT, WITHOUT ROWID;

-- What a person should know: 'resumed under another thread count', 'non-finite steps skipped'.
CREATE TABLE events(
  event_id INTEGER PRIMARY KEY,
  run_id INTEGER REFERENCES runs ON DELETE CASCADE,
  attempt INTEGER, step INTEGER,
  ts INTEGER NOT NULL,
  severity TEXT NOT NULL CHECK(severity IN('info','warning','error')),
  code TEXT NOT NULL,                           -- short and stable, for queries: resume.threads, step.nonfinite
  message TEXT NOT NULL) STRICT;
CREATE INDEX events_run ON events(run_id);

-- Directions of the names that dipp itself uses; others are defined by whoever records them. hps, hps21, imagereward,
-- aesthetic and pickscore are reserved for published weights of known hash; other weights are stored as hps:NAME.
INSERT INTO metric_names(name, direction, split, unit, description) VALUES
  ('hps',            1, 'test', NULL,  'Human Preference Score v2'),
  ('hps21',          1, 'test', NULL,  'Human Preference Score v2.1'),
  ('imagereward',    1, 'test', NULL,  'ImageReward 1.0'),
  ('aesthetic',      1, 'test', NULL,  'LAION aesthetic predictor'),
  ('pickscore',      1, 'test', NULL,  'PickScore v1'),
  ('clipscore',      1, 'test', NULL,  'CLIP image-text similarity'),
  ('glyph',          1, 'test', NULL,  'the named glyph is retrieved from the picture'),
  ('background',     1, 'test', NULL,  'the named background colour is read from the border'),
  ('border',         1, 'test', NULL,  'linear reward of the mean border colour'),
  ('colorfulness',   1, 'test', NULL,  'Hasler-Suesstrunk colourfulness'),
  ('compressibility',1, 'test', NULL,  'minus the size of the compressed picture'),
  ('diversity',      1, 'test', NULL,  'mean distance between samples of one prompt'),
  ('kid',           -1, 'test', NULL,  'kernel inception distance'),
  ('ikl',            0, 'test', 'nat', 'integral KL divergence to the unguided reference');
