#!/bin/sh
# Installs what is missing, builds, runs the ablation of experiments/emoji-rewards.yaml on the CPU, prints its table from
# SQLite and writes a picture grid. Arguments go to `dipp run` (align.steps=20, --quiet, ...). Repeating it runs only what is missing.
set -eu
cd "$(dirname "$0")"
. scripts/setup.sh
build "${BUILD:-build}" program
dipp="${BUILD:-build}/core/cli/dipp"
db="${DB:-results/demo.db}"
"$dipp" run experiments/emoji-rewards.yaml --db "$db" "$@"
