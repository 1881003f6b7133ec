-- The views: what a person at the sqlite3 prompt reads. They are dropped and created again by every migration, so a
-- change here needs a new schema number and nothing else. Plain SQL alone: no function of dipp's own.
--
-- What may be compared: one metric by one scorer, on one prompt set, under one protocol, at equal images seen. Every
-- view groups by all of these and by (arm, configuration), so nothing else is ever averaged together.

-- A run, itself included, and every run whose weights it grew from.
CREATE VIEW run_ancestors AS
  WITH RECURSIVE chain(run_id, ancestor_id, depth) AS (
    SELECT run_id, run_id, 0 FROM runs
    UNION
    SELECT c.run_id, l.parent_id, c.depth+1 FROM chain c JOIN (
      SELECT run_id, parent_run_id AS parent_id FROM runs WHERE parent_run_id IS NOT NULL
      UNION SELECT i.run_id, w.produced_by_run_id FROM run_weights i JOIN weights w USING(sha256)
      WHERE w.produced_by_run_id IS NOT NULL AND w.produced_by_run_id<>i.run_id) l ON l.run_id=c.ancestor_id
    WHERE c.depth<64)
  SELECT run_id, ancestor_id, min(depth) AS depth FROM chain GROUP BY run_id, ancestor_id;

-- Which weights a run grew from, step by step back to files that no run of this store made.
CREATE VIEW weight_chain AS
  SELECT a.run_id, a.depth, a.ancestor_id AS used_by_run_id, i.role, w.sha256, w.path,
    w.produced_by_run_id, w.produced_at_step, w.parent_sha256
  FROM run_ancestors a JOIN run_weights i ON i.run_id=a.ancestor_id JOIN weights w USING(sha256);

CREATE VIEW scorer_names AS
  SELECT s.scorer_id, p.kind, p.name, p.weights_sha256,
    p.name||'@'||p.version||iif(p.weights_sha256='', '', '/'||substr(p.weights_sha256,1,8))
      ||iif(s.config_json='{}', '', ' '||s.config_json) AS scorer
  FROM scorers s JOIN plugins p USING(plugin_id);

-- The run, or a run it grew from, was trained on this scorer or on a reward of this metric's name.
CREATE VIEW trained_metrics AS
  SELECT DISTINCT a.run_id, n.metric_id, s.scorer_id
  FROM run_ancestors a JOIN run_plugins t ON t.run_id=a.ancestor_id AND t.role='reward' AND ifnull(t.scale,1)<>0
  JOIN plugins p USING(plugin_id) JOIN metric_names n JOIN scorer_names s
    ON t.metric=n.name OR (s.kind='reward' AND s.name=p.name AND s.weights_sha256=p.weights_sha256);

-- Mean of each metric over one prompt set at each evaluated step; set-level metrics stand beside the per-picture ones.
CREATE VIEW scores_by_step AS
  SELECT e.run_id, e.metric_id, e.scorer_id, p.prompt_set_id, e.settings_id, e.step,
    avg(e.value) AS value, count(*) AS samples, count(*)-count(e.value) AS nonfinite, 0 AS set_level
  FROM evaluations e JOIN prompts p USING(prompt_id)
  GROUP BY e.run_id, e.metric_id, e.step, e.settings_id, e.scorer_id, p.prompt_set_id
  UNION ALL
  SELECT run_id, metric_id, scorer_id, prompt_set_id, settings_id, step, value, samples, value IS NULL, 1
  FROM set_metrics WHERE group_name='';

-- The same at the points of training that tables show: 'start' is step 0, before alignment; 'final' the last
-- evaluated step; 'reference' the multi-step reference sampler.
CREATE VIEW scores AS
  WITH s AS (
    SELECT b.*, t.subject, t.protocol, t.images_seen,
      max(b.step) OVER (PARTITION BY b.run_id, b.metric_id, b.scorer_id, b.prompt_set_id, t.protocol) AS last_step
    FROM scores_by_step b JOIN evaluation_settings t USING(settings_id)),
  g AS (
    SELECT *, CASE WHEN subject='reference' THEN 'reference' WHEN subject='generator' AND step=0 THEN 'start'
                   ELSE 'final' END AS point
    FROM s WHERE step=last_step OR (step=0 AND subject='generator'))
  SELECT g.*, g.point='final' AND EXISTS(SELECT 1 FROM trained_metrics t WHERE t.run_id=g.run_id
    AND t.metric_id=g.metric_id AND t.scorer_id=g.scorer_id) AS trained_on FROM g;

-- Per-picture scores of each run's last evaluated step, per metric, scorer, prompt set and protocol.
CREATE VIEW final_eval AS
  WITH last AS MATERIALIZED (
    SELECT run_id, metric_id, scorer_id, prompt_set_id, settings_id, step, protocol, images_seen FROM (
      SELECT b.run_id, b.metric_id, b.scorer_id, b.prompt_set_id, b.settings_id, b.step, t.protocol, t.images_seen,
        max(b.step) OVER (PARTITION BY b.run_id, b.metric_id, b.scorer_id, b.prompt_set_id, t.protocol) AS last_step
      FROM (SELECT DISTINCT e.run_id, e.metric_id, e.step, e.settings_id, e.scorer_id, p.prompt_set_id
            FROM evaluations e JOIN prompts p USING(prompt_id)) b
      JOIN evaluation_settings t USING(settings_id) WHERE t.subject<>'reference')
    WHERE step=last_step)
  SELECT e.*, l.prompt_set_id, l.protocol, l.images_seen
  FROM last l JOIN evaluations e ON e.run_id=l.run_id AND e.metric_id=l.metric_id AND e.step=l.step
    AND e.settings_id=l.settings_id AND e.scorer_id=l.scorer_id
  JOIN prompts p ON p.prompt_id=e.prompt_id AND p.prompt_set_id=l.prompt_set_id;

-- Arms by metric: mean and standard deviation over seeds (the unit is the seed), every seed's own mean in seed_means.
-- Only completed runs count. rank is among final rows that may be compared; a metric without direction has none.
CREATE VIEW leaderboard AS
  WITH v AS MATERIALIZED (
    SELECT r.experiment_id, iif(s.point='reference', '(reference)', r.arm) AS arm,
      iif(s.point='reference', '', r.config_sha256) AS config_sha256, r.seed, s.*
    FROM scores s JOIN runs r USING(run_id) WHERE r.status='completed' OR s.point='reference')
  SELECT x.name AS experiment, n.name AS metric, n.split, v.arm, substr(v.config_sha256,1,8) AS config, v.point,
    v.images_seen, count(*) AS seeds, avg(v.value) AS mean,
    CASE WHEN count(v.value)>1 THEN sqrt(max(0, (sum(v.value*v.value)-count(v.value)*avg(v.value)*avg(v.value))
      /(count(v.value)-1))) END AS sd,
    min(v.value) AS low, max(v.value) AS high,
    CASE WHEN v.point='final' AND n.direction<>0 THEN
      rank() OVER (PARTITION BY v.experiment_id, v.metric_id, v.scorer_id, v.prompt_set_id, v.protocol, v.images_seen,
                   v.point ORDER BY n.direction*avg(v.value) DESC) END AS rank,
    max(v.trained_on) AS trained_on, sum(v.nonfinite) AS nonfinite, sum(v.samples) AS samples,
    group_concat(printf('%d:%.6g', v.seed, v.value), ' ') AS seed_means,
    q.name AS prompt_set, c.scorer, v.protocol
  FROM v JOIN experiments x USING(experiment_id) JOIN metric_names n USING(metric_id)
    JOIN prompt_sets q USING(prompt_set_id) JOIN scorer_names c USING(scorer_id)
  GROUP BY v.experiment_id, v.metric_id, v.scorer_id, v.prompt_set_id, v.protocol, v.images_seen, v.point, v.arm,
    v.config_sha256;

-- Every pair of pictures that two completed runs of one seed made from one prompt and one noise.
CREATE VIEW paired_samples AS
  WITH f AS MATERIALIZED (
    SELECT r.experiment_id, r.arm, r.config_sha256, r.seed, e.run_id, e.metric_id, e.scorer_id, e.settings_id,
      e.prompt_set_id, e.prompt_id, e.noise_seed, e.value
    FROM final_eval e JOIN runs r USING(run_id) WHERE r.status='completed' AND e.value IS NOT NULL)
  SELECT a.experiment_id, a.metric_id, a.scorer_id, a.settings_id, a.prompt_set_id, a.seed, a.prompt_id, a.noise_seed,
    a.arm AS arm_a, a.config_sha256 AS config_a, b.arm AS arm_b, b.config_sha256 AS config_b,
    a.run_id AS run_a, b.run_id AS run_b, a.value AS value_a, b.value AS value_b
  FROM f a JOIN f b ON a.prompt_id=b.prompt_id AND a.noise_seed=b.noise_seed AND a.metric_id=b.metric_id
    AND a.scorer_id=b.scorer_id AND a.settings_id=b.settings_id AND a.experiment_id=b.experiment_id AND a.seed=b.seed
    AND a.run_id<>b.run_id;

-- Arm against arm on the same prompts and noises. wins, ties and losses count prompts: the differences of a prompt's
-- pairs are averaged first. pair_* count single pairs, which are not independent within a prompt. Neither covers the
-- spread over seeds: see paired_by_seed.
CREATE VIEW pairwise AS
  WITH p AS (
    SELECT experiment_id, metric_id, scorer_id, settings_id, prompt_set_id, arm_a, config_a, arm_b, config_b, prompt_id,
      avg(value_a-value_b) AS d, count(*) AS pairs, sum(value_a>value_b) AS above, sum(value_a=value_b) AS equal,
      sum(value_a<value_b) AS below, count(DISTINCT seed) AS seeds
    FROM paired_samples GROUP BY 1,2,3,4,5,6,7,8,9,10)
  SELECT x.name AS experiment, n.name AS metric, p.arm_a, substr(p.config_a,1,8) AS config_a, p.arm_b,
    substr(p.config_b,1,8) AS config_b, max(p.seeds) AS seeds, count(*) AS prompts,
    CASE WHEN n.direction<>0 THEN sum(n.direction*p.d>0) END AS wins, sum(p.d=0) AS ties,
    CASE WHEN n.direction<>0 THEN sum(n.direction*p.d<0) END AS losses, avg(p.d) AS mean_diff,
    sum(p.pairs) AS pairs, CASE n.direction WHEN 1 THEN sum(p.above) WHEN -1 THEN sum(p.below) END AS pair_wins,
    sum(p.equal) AS pair_ties, CASE n.direction WHEN 1 THEN sum(p.below) WHEN -1 THEN sum(p.above) END AS pair_losses,
    q.name AS prompt_set, c.scorer, t.protocol, t.images_seen
  FROM p JOIN experiments x USING(experiment_id) JOIN metric_names n USING(metric_id)
    JOIN prompt_sets q USING(prompt_set_id) JOIN scorer_names c USING(scorer_id)
    JOIN evaluation_settings t USING(settings_id)
  GROUP BY p.experiment_id, p.metric_id, p.scorer_id, p.settings_id, p.prompt_set_id, p.arm_a, p.config_a, p.arm_b,
    p.config_b;

-- Arm against arm, one row per seed, the unit of any claim about arms: the mean difference over the pairs of pictures,
-- or the difference of a set-level metric.
CREATE VIEW paired_by_seed AS
  WITH finals AS MATERIALIZED (
    SELECT r.experiment_id, r.arm, r.config_sha256, r.seed, s.* FROM scores s JOIN runs r USING(run_id)
    WHERE s.set_level=1 AND s.point='final' AND r.status='completed' AND s.value IS NOT NULL),
  d AS (
    SELECT experiment_id, metric_id, scorer_id, settings_id, prompt_set_id, arm_a, config_a, arm_b, config_b, seed,
      run_a, run_b, count(*) AS pairs, avg(value_a) AS value_a, avg(value_b) AS value_b, avg(value_a-value_b) AS diff
    FROM paired_samples GROUP BY 1,2,3,4,5,6,7,8,9,10
    UNION ALL
    SELECT a.experiment_id, a.metric_id, a.scorer_id, a.settings_id, a.prompt_set_id, a.arm, a.config_sha256, b.arm,
      b.config_sha256, a.seed, a.run_id, b.run_id, 1, a.value, b.value, a.value-b.value
    FROM finals a JOIN finals b ON a.experiment_id=b.experiment_id AND a.metric_id=b.metric_id
      AND a.scorer_id=b.scorer_id AND a.settings_id=b.settings_id AND a.prompt_set_id=b.prompt_set_id
      AND a.seed=b.seed AND a.run_id<>b.run_id)
  SELECT x.name AS experiment, n.name AS metric, d.arm_a, substr(d.config_a,1,8) AS config_a, d.arm_b,
    substr(d.config_b,1,8) AS config_b, d.seed, d.pairs, d.value_a, d.value_b, d.diff,
    CASE WHEN n.direction<>0 THEN sign(n.direction*d.diff) END AS better,
    EXISTS(SELECT 1 FROM trained_metrics m WHERE m.run_id=d.run_a AND m.metric_id=d.metric_id
      AND m.scorer_id=d.scorer_id) AS trained_on_a,
    EXISTS(SELECT 1 FROM trained_metrics m WHERE m.run_id=d.run_b AND m.metric_id=d.metric_id
      AND m.scorer_id=d.scorer_id) AS trained_on_b,
    q.name AS prompt_set, c.scorer, t.protocol, t.images_seen
  FROM d JOIN experiments x USING(experiment_id) JOIN metric_names n USING(metric_id)
    JOIN prompt_sets q USING(prompt_set_id) JOIN scorer_names c USING(scorer_id)
    JOIN evaluation_settings t USING(settings_id);

-- IKL to the unguided reference by step: as measured at an evaluation, else as logged by the training loop.
CREATE VIEW ikl_by_step AS
  SELECT run_id, step, avg(value) AS ikl FROM set_metrics JOIN metric_names USING(metric_id)
  WHERE name='ikl' AND group_name='' AND kind='finite' GROUP BY run_id, step
  UNION ALL
  SELECT m.run_id, m.step, m.value FROM metrics m JOIN metric_names n USING(metric_id)
  WHERE n.name='ikl' AND m.kind='finite' AND NOT EXISTS(SELECT 1 FROM set_metrics s WHERE s.run_id=m.run_id
    AND s.metric_id=m.metric_id AND s.step=m.step AND s.group_name='' AND s.kind='finite');

-- Arm against arm at the largest IKL that both runs of a seed reached: each run's score is interpolated linearly along
-- its own (IKL, score) curve over the evaluated steps, at the first crossing. A step's IKL is the last one known.
CREATE VIEW at_equal_kl AS
  WITH points AS MATERIALIZED (
    SELECT r.experiment_id, r.arm, r.config_sha256, r.seed, s.run_id, s.metric_id, s.scorer_id, s.prompt_set_id,
      t.protocol, s.step, s.value,
      (SELECT k.ikl FROM ikl_by_step k WHERE k.run_id=s.run_id AND k.step<=s.step ORDER BY k.step DESC LIMIT 1) AS ikl
    FROM scores_by_step s JOIN runs r USING(run_id) JOIN evaluation_settings t USING(settings_id)
    WHERE t.subject='generator' AND s.value IS NOT NULL AND r.status='completed'),
  segments AS MATERIALIZED (
    SELECT *, ifnull(lead(ikl) OVER curve, ikl) AS next_ikl, ifnull(lead(value) OVER curve, value) AS next_value
    FROM points WHERE ikl IS NOT NULL
    WINDOW curve AS (PARTITION BY run_id, metric_id, scorer_id, prompt_set_id, protocol ORDER BY step)),
  curves AS MATERIALIZED (
    SELECT experiment_id, arm, config_sha256, seed, run_id, metric_id, scorer_id, prompt_set_id, protocol,
      min(ikl) AS low, max(ikl) AS high
    FROM segments GROUP BY run_id, metric_id, scorer_id, prompt_set_id, protocol),
  pairs AS MATERIALIZED (
    SELECT a.*, b.arm AS arm_b, b.config_sha256 AS config_b, b.run_id AS run_b, min(a.high, b.high) AS level
    FROM curves a JOIN curves b ON a.experiment_id=b.experiment_id AND a.seed=b.seed AND a.metric_id=b.metric_id
      AND a.scorer_id=b.scorer_id AND a.prompt_set_id=b.prompt_set_id AND a.protocol=b.protocol AND a.run_id<>b.run_id
    WHERE min(a.high, b.high)>=max(a.low, b.low)),
  valued AS (
    SELECT p.*,
      (SELECT iif(g.next_ikl=g.ikl, g.value, g.value+(g.next_value-g.value)*(p.level-g.ikl)/(g.next_ikl-g.ikl))
       FROM segments g WHERE g.run_id=p.run_id AND g.metric_id=p.metric_id AND g.scorer_id=p.scorer_id
         AND g.prompt_set_id=p.prompt_set_id AND g.protocol=p.protocol
         AND p.level BETWEEN min(g.ikl, g.next_ikl) AND max(g.ikl, g.next_ikl) ORDER BY g.step LIMIT 1) AS value_a,
      (SELECT iif(g.next_ikl=g.ikl, g.value, g.value+(g.next_value-g.value)*(p.level-g.ikl)/(g.next_ikl-g.ikl))
       FROM segments g WHERE g.run_id=p.run_b AND g.metric_id=p.metric_id AND g.scorer_id=p.scorer_id
         AND g.prompt_set_id=p.prompt_set_id AND g.protocol=p.protocol
         AND p.level BETWEEN min(g.ikl, g.next_ikl) AND max(g.ikl, g.next_ikl) ORDER BY g.step LIMIT 1) AS value_b
    FROM pairs p)
  SELECT x.name AS experiment, n.name AS metric, v.arm AS arm_a, substr(v.config_sha256,1,8) AS config_a, v.arm_b,
    substr(v.config_b,1,8) AS config_b, v.seed, v.level AS ikl, v.value_a, v.value_b, v.value_a-v.value_b AS diff,
    EXISTS(SELECT 1 FROM trained_metrics m WHERE m.run_id=v.run_id AND m.metric_id=v.metric_id
      AND m.scorer_id=v.scorer_id) AS trained_on_a,
    EXISTS(SELECT 1 FROM trained_metrics m WHERE m.run_id=v.run_b AND m.metric_id=v.metric_id
      AND m.scorer_id=v.scorer_id) AS trained_on_b,
    q.name AS prompt_set, c.scorer, v.protocol
  FROM valued v JOIN experiments x USING(experiment_id) JOIN metric_names n USING(metric_id)
    JOIN prompt_sets q USING(prompt_set_id) JOIN scorer_names c USING(scorer_id);

-- Runs that a monitor watches. alarm_step: the first look at which the trained reward had risen and a judge had fallen
-- beyond noise; NULL: none so far. evidence: the most that any look gave, -log10 of its p after all corrections; NULL where
-- the run is trained on no reward. ended_early: why, where a rule ended the run before its last step.
CREATE VIEW monitor_alarms AS
  WITH looks AS MATERIALIZED (
    SELECT m.run_id, count(*) AS looks, max(m.value) AS evidence FROM metrics m JOIN metric_names n USING(metric_id)
    JOIN runs r USING(run_id) WHERE n.name='monitor.evidence' AND m.step<=r.step GROUP BY m.run_id),
  alarms AS MATERIALIZED (
    SELECT run_id, min(step) AS alarm_step, message FROM events WHERE code='monitor.alarm' GROUP BY run_id)
  SELECT x.name AS experiment, r.run_id, r.arm, substr(r.config_sha256,1,8) AS config, r.seed, r.status, r.step,
    a.alarm_step, l.evidence, l.looks, a.message,
    (SELECT t.detail FROM attempts t WHERE t.run_id=r.run_id AND t.reason='completed' ORDER BY t.attempt DESC LIMIT 1)
      AS ended_early
  FROM params w JOIN runs r USING(run_id) JOIN experiments x USING(experiment_id) LEFT JOIN looks l USING(run_id)
    LEFT JOIN alarms a USING(run_id) WHERE w.key='monitor.every';

-- One wide row per run: what it is, the parameters that matter, where it stands, its last scores. Where a metric was
-- measured in several ways, the latest step counts, then EMA weights, then the newest scorer and protocol.
CREATE VIEW summary AS
  WITH chosen AS (
    SELECT run_id, name, value FROM (
      SELECT b.run_id, n.name, b.value, row_number() OVER (PARTITION BY b.run_id, b.metric_id
        ORDER BY b.step DESC, t.weights='ema' DESC, b.scorer_id DESC, b.settings_id DESC, b.prompt_set_id DESC) AS place
      FROM scores_by_step b JOIN evaluation_settings t USING(settings_id) JOIN metric_names n USING(metric_id)
      WHERE t.subject<>'reference') WHERE place=1),
  wide AS MATERIALIZED (
    SELECT run_id,
      max(CASE WHEN name='hps' THEN value END) AS hps,
      max(CASE WHEN name='hps21' THEN value END) AS hps21,
      max(CASE WHEN name='imagereward' THEN value END) AS imagereward,
      max(CASE WHEN name='aesthetic' THEN value END) AS aesthetic,
      max(CASE WHEN name='pickscore' THEN value END) AS pickscore,
      max(CASE WHEN name='clipscore' THEN value END) AS clipscore,
      max(CASE WHEN name='glyph' THEN value END) AS glyph,
      max(CASE WHEN name='background' THEN value END) AS background,
      max(CASE WHEN name='border' THEN value END) AS border,
      max(CASE WHEN name='colorfulness' THEN value END) AS colorfulness,
      max(CASE WHEN name='compressibility' THEN value END) AS compressibility,
      max(CASE WHEN name='diversity' THEN value END) AS diversity,
      max(CASE WHEN name='kid' THEN value END) AS kid
    FROM chosen GROUP BY run_id),
  settings AS MATERIALIZED (
    SELECT run_id,
      max(CASE WHEN key='align.cfg_omega' THEN value END) AS cfg_omega,
      max(CASE WHEN key='align.divergence.name' THEN value END) AS divergence,
      max(CASE WHEN key='align.divergence.weight' THEN value END) AS divergence_weight,
      max(CASE WHEN key='align.ta.init' THEN value END) AS ta_init,
      max(CASE WHEN key='align.ta.updates' THEN value END) AS ta_updates,
      max(CASE WHEN key='align.steps' THEN value END) AS steps,
      max(CASE WHEN key='align.batch' THEN value END) AS batch,
      max(CASE WHEN key='align.optimizer.lr' THEN value END) AS lr,
      max(CASE WHEN key='generator.params.sigma_init' THEN value END) AS sigma_init
    FROM params GROUP BY run_id),
  parts AS MATERIALIZED (
    SELECT run_id,
      max(CASE WHEN role='generator' THEN name END) AS generator,
      max(CASE WHEN role='reference' THEN name END) AS reference,
      group_concat(CASE WHEN role='reward' THEN ifnull(metric, name)||printf(' x%g', ifnull(scale, 1)) END, ', ')
        AS rewards
    FROM (SELECT u.run_id, u.role, u.metric, u.scale, p.name FROM run_plugins u JOIN plugins p USING(plugin_id)
          ORDER BY u.run_id, u.role, u.position) GROUP BY run_id)
  SELECT r.run_id, r.run_uuid, x.name AS experiment, r.stage, r.arm, r.seed, substr(r.config_sha256,1,8) AS config,
    r.status, r.step, r.images_seen, p.generator, p.reference, p.rewards, c.cfg_omega,
    c.cfg_omega-1 AS implicit_reward_scale, c.divergence, c.divergence_weight, c.ta_init, c.ta_updates, c.steps,
    c.batch, c.lr, c.sigma_init,
    s.hps, s.hps21, s.imagereward, s.aesthetic, s.pickscore, s.clipscore, s.glyph, s.background, s.border,
    s.colorfulness, s.compressibility, s.diversity, s.kid,
    (SELECT k.ikl FROM ikl_by_step k WHERE k.run_id=r.run_id ORDER BY k.step DESC LIMIT 1) AS ikl,
    (SELECT group_concat(DISTINCT ifnull(u.metric, g.name)) FROM run_ancestors c JOIN run_plugins u
      ON u.run_id=c.ancestor_id JOIN plugins g USING(plugin_id) WHERE c.run_id=r.run_id AND u.role='reward'
      AND ifnull(u.scale,1)<>0) AS trained_on,
    (SELECT count(*) FROM attempts a WHERE a.run_id=r.run_id) AS attempts,
    (SELECT count(*) FROM events v WHERE v.run_id=r.run_id AND v.severity<>'info') AS warnings,
    r.parent_run_id, r.duration_s, r.error
  FROM runs r JOIN experiments x USING(experiment_id) LEFT JOIN parts p USING(run_id)
    LEFT JOIN settings c USING(run_id) LEFT JOIN wide s USING(run_id);

-- What people preferred, arm against arm (each pair of arms in both orders). A tie is half a win; skipped pairs count
-- nowhere else. Pictures that are no run's are of the arm '(files)'. (SQLite 3.40 refuses json_extract() in a view when
-- trusted_schema is off.)
CREATE VIEW vote_summary AS
  WITH shown AS (
    SELECT vote_id, left_artifact_id AS own, right_artifact_id AS other, winner, voter, seconds,
      winner='left' AS won, winner='right' AS lost FROM votes
    UNION ALL
    SELECT vote_id, right_artifact_id, left_artifact_id, winner, voter, seconds, winner='right', winner='left' FROM votes),
  sides AS MATERIALIZED (
    SELECT a.artifact_id, x.name AS experiment,
      CASE WHEN instr(a.meta_json, '"subject":"reference"') THEN '(reference)'
           WHEN a.step=0 AND r.stage<>'evaluate' THEN '(step 0)' ELSE r.arm END AS arm
    FROM artifacts a JOIN runs r USING(run_id) JOIN experiments x USING(experiment_id)
    WHERE a.artifact_id IN (SELECT left_artifact_id FROM votes UNION SELECT right_artifact_id FROM votes))
  SELECT a.experiment, ifnull(a.arm, '(files)') AS arm_a, ifnull(b.arm, '(files)') AS arm_b,
    count(DISTINCT s.voter) AS voters, sum(s.winner<>'skip') AS votes, sum(s.won) AS wins, sum(s.winner='tie') AS ties,
    sum(s.lost) AS losses, sum(s.winner='skip') AS skipped,
    CASE WHEN sum(s.winner<>'skip')>0 THEN (sum(s.won)+0.5*sum(s.winner='tie'))/sum(s.winner<>'skip') END AS win_rate,
    avg(s.seconds) AS mean_seconds
  FROM shown s LEFT JOIN sides a ON a.artifact_id=s.own LEFT JOIN sides b ON b.artifact_id=s.other
  GROUP BY a.experiment, arm_a, b.experiment, arm_b;
