-- Takes everything of the attached database `other` that this one lacks. Ids of the two mean nothing to each other, so
-- every row is found by its natural key. Runs in one transaction, twice the same as once. merge_tables.sql has made the
-- temporary tables, which say what of the one is what of the other.

INSERT INTO experiments(name, baseline, created_at) SELECT name, baseline, created_at FROM other.experiments WHERE true
  ON CONFLICT(name) DO UPDATE SET baseline=ifnull(experiments.baseline, excluded.baseline),
    created_at=min(experiments.created_at, excluded.created_at);

INSERT INTO experiment_revisions(experiment_id, revision, yaml, yaml_sha256, created_at)
  SELECT x.experiment_id, (SELECT ifnull(max(v.revision), 0) FROM main.experiment_revisions v
      WHERE v.experiment_id=x.experiment_id)+row_number() OVER (PARTITION BY x.experiment_id ORDER BY o.revision),
    o.yaml, o.yaml_sha256, o.created_at
  FROM other.experiment_revisions o JOIN other.experiments ox ON ox.experiment_id=o.experiment_id
    JOIN main.experiments x ON x.name=ox.name
  WHERE NOT EXISTS(SELECT 1 FROM main.experiment_revisions v WHERE v.experiment_id=x.experiment_id
    AND v.yaml_sha256=o.yaml_sha256);

INSERT OR IGNORE INTO plugins(kind, name, version, abi, sha256, weights_sha256, path, schema_json)
  SELECT kind, name, version, abi, sha256, weights_sha256, path, schema_json FROM other.plugins;
INSERT INTO merge_plugins
  SELECT o.plugin_id AS other_id, p.plugin_id FROM other.plugins o JOIN main.plugins p ON p.kind=o.kind
    AND p.name=o.name AND p.version=o.version AND p.sha256=o.sha256 AND p.weights_sha256=o.weights_sha256;
INSERT OR IGNORE INTO scorers(plugin_id, config_json)
  SELECT p.plugin_id, s.config_json FROM other.scorers s JOIN temp.merge_plugins p ON p.other_id=s.plugin_id;
INSERT INTO merge_scorers
  SELECT o.scorer_id AS other_id, s.scorer_id FROM other.scorers o JOIN temp.merge_plugins p ON p.other_id=o.plugin_id
    JOIN main.scorers s ON s.plugin_id=p.plugin_id AND s.config_json=o.config_json;

INSERT INTO metric_names(name, direction, split, unit, description)
  SELECT name, direction, split, unit, description FROM other.metric_names WHERE true
  ON CONFLICT(name) DO UPDATE SET direction=excluded.direction, split=excluded.split,
    unit=ifnull(excluded.unit, metric_names.unit), description=ifnull(excluded.description, metric_names.description)
    WHERE metric_names.direction=0 AND excluded.direction<>0;
INSERT INTO merge_metrics
  SELECT o.metric_id AS other_id, n.metric_id FROM other.metric_names o JOIN main.metric_names n ON n.name=o.name;

INSERT OR IGNORE INTO prompt_sets(name, sha256) SELECT name, sha256 FROM other.prompt_sets;
INSERT INTO merge_prompt_sets
  SELECT o.prompt_set_id AS other_id, q.prompt_set_id FROM other.prompt_sets o JOIN main.prompt_sets q
    ON q.sha256=o.sha256;
INSERT OR IGNORE INTO prompts(prompt_set_id, idx, text, category, attributes_json)
  SELECT q.prompt_set_id, o.idx, o.text, o.category, o.attributes_json FROM other.prompts o
    JOIN temp.merge_prompt_sets q ON q.other_id=o.prompt_set_id;
INSERT INTO merge_prompts SELECT o.prompt_id, p.prompt_id FROM other.prompts o JOIN temp.merge_prompt_sets q
  ON q.other_id=o.prompt_set_id JOIN main.prompts p ON p.prompt_set_id=q.prompt_set_id AND p.idx=o.idx;

INSERT OR IGNORE INTO evaluation_settings(subject, weights, sampler_steps, cfg_omega, precision, resize_kernel,
    images_seen)
  SELECT subject, weights, sampler_steps, cfg_omega, precision, resize_kernel, images_seen
  FROM other.evaluation_settings;
INSERT INTO merge_settings
  SELECT o.settings_id AS other_id, t.settings_id FROM other.evaluation_settings o JOIN main.evaluation_settings t
    ON t.protocol=o.protocol AND t.cfg_omega=o.cfg_omega AND t.images_seen=o.images_seen;

-- The same cell made twice: a completed run takes the place of one that is not, else what is here stays.
DELETE FROM runs WHERE run_id IN (
  SELECT m.run_id FROM main.runs m JOIN main.experiments x ON x.experiment_id=m.experiment_id
    JOIN other.experiments ox ON ox.name=x.name JOIN other.runs o ON o.experiment_id=ox.experiment_id AND o.arm=m.arm
    AND o.seed=m.seed AND o.config_sha256=m.config_sha256
  WHERE o.run_uuid<>m.run_uuid AND o.status='completed' AND m.status NOT IN('completed','running'));

-- A run known on both sides is as the side that heard of it last says: by its attempts, how many of them have ended, and its
-- step; by clocks, which two machines need not share, only where these are the same.
INSERT INTO merge_newer
  SELECT m.run_id, o.run_id AS other_id FROM other.runs o JOIN main.runs m ON m.run_uuid=o.run_uuid
  WHERE ((SELECT count(*) FROM other.attempts a WHERE a.run_id=o.run_id),
      (SELECT count(a.ended_at) FROM other.attempts a WHERE a.run_id=o.run_id), o.step,
      max(o.created_at, ifnull(o.heartbeat_at, 0), ifnull(o.ended_at, 0)))
    >((SELECT count(*) FROM main.attempts a WHERE a.run_id=m.run_id),
      (SELECT count(a.ended_at) FROM main.attempts a WHERE a.run_id=m.run_id), m.step,
      max(m.created_at, ifnull(m.heartbeat_at, 0), ifnull(m.ended_at, 0)));
UPDATE runs SET status=o.status, started_at=o.started_at, ended_at=o.ended_at, heartbeat_at=o.heartbeat_at,
    step=o.step, images_seen=o.images_seen, exit_code=o.exit_code, term_signal=o.term_signal, error=o.error,
    host=o.host, pid=o.pid, pid_start=o.pid_start, slurm_job=o.slurm_job
  FROM other.runs o JOIN temp.merge_newer w ON w.other_id=o.run_id WHERE runs.run_id=w.run_id;
INSERT OR IGNORE INTO runs(run_uuid, experiment_id, revision, name, stage, arm, seed, config_sha256, config_json,
    overrides_json, status, created_at, started_at, ended_at, heartbeat_at, step, images_seen, exit_code, term_signal,
    error, host, pid, pid_start, slurm_job, code_commit, code_dirty)
  SELECT o.run_uuid, x.experiment_id, v.revision, o.name, o.stage, o.arm, o.seed, o.config_sha256, o.config_json,
    o.overrides_json, o.status, o.created_at, o.started_at, o.ended_at, o.heartbeat_at, o.step, o.images_seen,
    o.exit_code, o.term_signal, o.error, o.host, o.pid, o.pid_start, o.slurm_job, o.code_commit, o.code_dirty
  FROM other.runs o JOIN other.experiments ox ON ox.experiment_id=o.experiment_id
    JOIN main.experiments x ON x.name=ox.name
    JOIN other.experiment_revisions ov ON ov.experiment_id=o.experiment_id AND ov.revision=o.revision
    JOIN main.experiment_revisions v ON v.experiment_id=x.experiment_id AND v.yaml_sha256=ov.yaml_sha256
  ORDER BY o.run_id;
INSERT INTO merge_runs SELECT o.run_id, m.run_id, EXISTS(SELECT 1 FROM temp.merge_newer w WHERE w.run_id=m.run_id)
  FROM other.runs o JOIN main.runs m ON m.run_uuid=o.run_uuid;
UPDATE runs SET parent_run_id=p.run_id
  FROM temp.merge_runs m JOIN other.runs o ON o.run_id=m.other_id JOIN temp.merge_runs p ON p.other_id=o.parent_run_id
  WHERE runs.run_id=m.run_id AND runs.parent_run_id IS NULL;

INSERT INTO attempts(run_id, attempt, started_at, ended_at, start_step, end_step, reason, detail, host, pid, slurm_job,
    dipp_version, binary_sha256, backend, device, threads, isa, precision, libraries_json, micro_batch_json)
  SELECT m.run_id, a.attempt, a.started_at, a.ended_at, a.start_step, a.end_step, a.reason, a.detail, a.host, a.pid,
    a.slurm_job, a.dipp_version, a.binary_sha256, a.backend, a.device, a.threads, a.isa, a.precision,
    a.libraries_json, a.micro_batch_json
  FROM other.attempts a JOIN temp.merge_runs m ON m.other_id=a.run_id WHERE true
  ON CONFLICT(run_id, attempt) DO UPDATE SET ended_at=excluded.ended_at, end_step=excluded.end_step,
    reason=excluded.reason, detail=excluded.detail WHERE attempts.ended_at IS NULL AND excluded.ended_at IS NOT NULL;
INSERT OR IGNORE INTO params(run_id, key, type, value, source, origin)
  SELECT m.run_id, p.key, p.type, p.value, p.source, p.origin FROM other.params p
    JOIN temp.merge_runs m ON m.other_id=p.run_id;
INSERT OR IGNORE INTO run_plugins(run_id, role, position, plugin_id, metric, scale)
  SELECT m.run_id, u.role, u.position, p.plugin_id, u.metric, u.scale FROM other.run_plugins u
    JOIN temp.merge_runs m ON m.other_id=u.run_id JOIN temp.merge_plugins p ON p.other_id=u.plugin_id;

-- Paths of what runs wrote are relative to their database's folder; of what they started from, to where dipp ran.
INSERT INTO weights(sha256, path, bytes, produced_by_run_id, produced_at_step, parent_sha256, created_at)
  SELECT w.sha256, iif(w.produced_by_run_id IS NULL, '', (SELECT prefix FROM temp.merge_prefix))||w.path, w.bytes,
    m.run_id, w.produced_at_step, w.parent_sha256, w.created_at
  FROM other.weights w LEFT JOIN temp.merge_runs m ON m.other_id=w.produced_by_run_id WHERE true
  ON CONFLICT(sha256) DO UPDATE SET path=excluded.path, produced_by_run_id=excluded.produced_by_run_id,
    produced_at_step=excluded.produced_at_step, parent_sha256=ifnull(weights.parent_sha256, excluded.parent_sha256)
    WHERE weights.produced_by_run_id IS NULL AND excluded.produced_by_run_id IS NOT NULL;
INSERT OR IGNORE INTO run_weights(run_id, role, sha256)
  SELECT m.run_id, i.role, i.sha256 FROM other.run_weights i JOIN temp.merge_runs m ON m.other_id=i.run_id;
INSERT OR IGNORE INTO checkpoints(run_id, step, attempt, path, sha256, bytes, created_at)
  SELECT m.run_id, c.step, c.attempt, (SELECT prefix FROM temp.merge_prefix)||c.path, c.sha256, c.bytes, c.created_at
  FROM other.checkpoints c JOIN temp.merge_runs m ON m.other_id=c.run_id;
INSERT INTO artifacts(run_id, step, kind, path, sha256, bytes, meta_json, created_at)
  SELECT m.run_id, a.step, a.kind, (SELECT prefix FROM temp.merge_prefix)||a.path, a.sha256, a.bytes, a.meta_json,
    a.created_at
  FROM other.artifacts a JOIN temp.merge_runs m ON m.other_id=a.run_id WHERE true
  ON CONFLICT(run_id, path) DO UPDATE SET step=excluded.step, kind=excluded.kind, sha256=excluded.sha256,
    bytes=excluded.bytes, meta_json=excluded.meta_json, created_at=excluded.created_at
    WHERE EXISTS(SELECT 1 FROM temp.merge_newer w WHERE w.run_id=artifacts.run_id);
INSERT INTO merge_artifacts SELECT o.artifact_id, a.artifact_id FROM other.artifacts o
  JOIN temp.merge_runs m ON m.other_id=o.run_id
  JOIN main.artifacts a ON a.run_id=m.run_id AND a.path=(SELECT prefix FROM temp.merge_prefix)||o.path;

INSERT INTO metrics(run_id, metric_id, step, value, kind, ts, attempt)
  SELECT m.run_id, n.metric_id, d.step, d.value, d.kind, d.ts, d.attempt FROM other.metrics d
    JOIN temp.merge_runs m ON m.other_id=d.run_id JOIN temp.merge_metrics n ON n.other_id=d.metric_id WHERE true
  ON CONFLICT DO UPDATE SET value=excluded.value, kind=excluded.kind, ts=excluded.ts, attempt=excluded.attempt
    WHERE (excluded.attempt, excluded.ts)>(metrics.attempt, metrics.ts);
INSERT OR REPLACE INTO evaluations(run_id, metric_id, step, settings_id, scorer_id, prompt_id, sample, noise_seed,
    value, kind, artifact_id)
  SELECT m.run_id, n.metric_id, e.step, t.settings_id, c.scorer_id, p.prompt_id, e.sample, e.noise_seed, e.value,
    e.kind, a.artifact_id
  FROM other.evaluations e JOIN temp.merge_runs m ON m.other_id=e.run_id
    JOIN temp.merge_metrics n ON n.other_id=e.metric_id JOIN temp.merge_settings t ON t.other_id=e.settings_id
    JOIN temp.merge_scorers c ON c.other_id=e.scorer_id JOIN temp.merge_prompts p ON p.other_id=e.prompt_id
    LEFT JOIN temp.merge_artifacts a ON a.other_id=e.artifact_id
  WHERE m.newer OR NOT EXISTS(SELECT 1 FROM main.evaluations h WHERE h.run_id=m.run_id AND h.metric_id=n.metric_id
    AND h.step=e.step AND h.settings_id=t.settings_id AND h.scorer_id=c.scorer_id AND h.prompt_id=p.prompt_id
    AND h.sample=e.sample);
INSERT OR REPLACE INTO set_metrics(run_id, metric_id, step, settings_id, scorer_id, prompt_set_id, group_name, value,
    kind, samples)
  SELECT m.run_id, n.metric_id, e.step, t.settings_id, c.scorer_id, q.prompt_set_id, e.group_name, e.value, e.kind,
    e.samples
  FROM other.set_metrics e JOIN temp.merge_runs m ON m.other_id=e.run_id
    JOIN temp.merge_metrics n ON n.other_id=e.metric_id JOIN temp.merge_settings t ON t.other_id=e.settings_id
    JOIN temp.merge_scorers c ON c.other_id=e.scorer_id
    JOIN temp.merge_prompt_sets q ON q.other_id=e.prompt_set_id
  WHERE m.newer OR NOT EXISTS(SELECT 1 FROM main.set_metrics h WHERE h.run_id=m.run_id AND h.metric_id=n.metric_id
    AND h.step=e.step AND h.settings_id=t.settings_id AND h.scorer_id=c.scorer_id
    AND h.prompt_set_id=q.prompt_set_id AND h.group_name=e.group_name);
INSERT INTO events(run_id, attempt, step, ts, severity, code, message)
  SELECT m.run_id, v.attempt, v.step, v.ts, v.severity, v.code, v.message FROM other.events v
    LEFT JOIN temp.merge_runs m ON m.other_id=v.run_id
  WHERE (v.run_id IS NULL OR m.run_id IS NOT NULL) AND NOT EXISTS(SELECT 1 FROM main.events h WHERE h.run_id IS m.run_id
    AND h.ts=v.ts AND h.code=v.code AND h.step IS v.step AND h.attempt IS v.attempt AND h.message=v.message)
  ORDER BY v.event_id;

-- Of what one voter said of one pair here and there the later counts.
INSERT INTO votes(prompt, left_sha256, right_sha256, left_path, right_path, left_artifact_id, right_artifact_id, winner,
    voter, voted_at, seconds, session)
  SELECT v.prompt, v.left_sha256, v.right_sha256,
    iif(substr(v.left_path,1,1)='/', '', (SELECT prefix FROM temp.merge_prefix))||v.left_path,
    iif(substr(v.right_path,1,1)='/', '', (SELECT prefix FROM temp.merge_prefix))||v.right_path,
    l.artifact_id, r.artifact_id, v.winner, v.voter, v.voted_at, v.seconds, v.session
  FROM other.votes v LEFT JOIN temp.merge_artifacts l ON l.other_id=v.left_artifact_id
    LEFT JOIN temp.merge_artifacts r ON r.other_id=v.right_artifact_id WHERE true ORDER BY v.vote_id
  ON CONFLICT(voter, prompt, min(left_sha256,right_sha256), max(left_sha256,right_sha256)) DO UPDATE SET
    left_sha256=excluded.left_sha256, right_sha256=excluded.right_sha256, left_path=excluded.left_path,
    right_path=excluded.right_path, left_artifact_id=excluded.left_artifact_id,
    right_artifact_id=excluded.right_artifact_id, winner=excluded.winner, voted_at=excluded.voted_at,
    seconds=excluded.seconds, session=excluded.session
    WHERE (excluded.voted_at, excluded.session)>(votes.voted_at, votes.session);
