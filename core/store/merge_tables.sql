-- What merge.sql fills: of each kind of row, which id here another store's id is. Made ahead of the transaction, for a
-- change of the temporary schema makes SQLite prepare every statement anew, the one that undoes the transaction as well.
-- merge_prefix holds what leads from this database's folder to the other's: '' or '../node1/'.
DROP TABLE IF EXISTS temp.merge_prefix;
DROP TABLE IF EXISTS temp.merge_plugins;
DROP TABLE IF EXISTS temp.merge_scorers;
DROP TABLE IF EXISTS temp.merge_metrics;
DROP TABLE IF EXISTS temp.merge_prompt_sets;
DROP TABLE IF EXISTS temp.merge_prompts;
DROP TABLE IF EXISTS temp.merge_settings;
DROP TABLE IF EXISTS temp.merge_newer;
DROP TABLE IF EXISTS temp.merge_runs;
DROP TABLE IF EXISTS temp.merge_artifacts;
CREATE TEMP TABLE merge_prefix(prefix TEXT);
CREATE TEMP TABLE merge_plugins(other_id INTEGER PRIMARY KEY, plugin_id INTEGER);
CREATE TEMP TABLE merge_scorers(other_id INTEGER PRIMARY KEY, scorer_id INTEGER);
CREATE TEMP TABLE merge_metrics(other_id INTEGER PRIMARY KEY, metric_id INTEGER);
CREATE TEMP TABLE merge_prompt_sets(other_id INTEGER PRIMARY KEY, prompt_set_id INTEGER);
CREATE TEMP TABLE merge_prompts(other_id INTEGER PRIMARY KEY, prompt_id INTEGER);
CREATE TEMP TABLE merge_settings(other_id INTEGER PRIMARY KEY, settings_id INTEGER);
CREATE TEMP TABLE merge_newer(run_id INTEGER PRIMARY KEY, other_id INTEGER);
CREATE TEMP TABLE merge_runs(other_id INTEGER PRIMARY KEY, run_id INTEGER, newer INTEGER);
CREATE TEMP TABLE merge_artifacts(other_id INTEGER PRIMARY KEY, artifact_id INTEGER);
