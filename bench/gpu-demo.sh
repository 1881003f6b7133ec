#!/bin/sh
# The demo on the device DEVICE (cuda), for bench/gpu-run.sh, from the folder that holds build, experiments, weights and world:
#   bench/gpu-demo.sh whole DIPP RESULTS     the ablation of the README, and its leaderboard
#   bench/gpu-demo.sh killed DIPP RESULTS    runs of 400 iterations, killed on the way and taken up again: leaderboards equal
#                                            to the digit those of runs that nobody killed. BEFORE_KILL: seconds until then (6).
set -eu
what=$1 dipp=$2 results=$3
here=$PWD
device=${DEVICE:-cuda}

run() { # run DATABASE KEY=VALUE...
  database=$results/$1
  shift
  exec "$dipp" run experiments/emoji-rewards.yaml device="$device" "world.font=$here/world/NotoColorEmoji.ttf" \
    "world.annotations=$here/world/en.xml" "world.labels=$here/world/labels.txt" --db "$database" --quiet "$@"
}
leaderboard() { # leaderboard NAME
  "$dipp" sql --db "$results/$1.db" "SELECT * FROM leaderboard" >"$results/$1.txt"
}

if [ "$what" = whole ]; then
  (run demo.db)
  leaderboard demo
  exit
fi
long="align.steps=${STEPS:-400} align.checkpoint_every=50"
(run killed.db $long) &
pid=$!
sleep "${BEFORE_KILL:-6}"
workers=$(ps -o pid= --ppid "$pid")
kill -KILL "$pid" $workers
wait "$pid" || true
(run killed.db $long)
(run whole.db $long)
leaderboard killed
leaderboard whole
cmp "$results/killed.txt" "$results/whole.txt"
