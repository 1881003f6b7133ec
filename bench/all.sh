#!/bin/sh
# Every table of docs/speed.md in one go, for a machine that does nothing else meanwhile (half an hour or so).
#
#   bench/all.sh PYTHON_WITH_TORCH [more options of compare.py, such as --precision bf16 or --threads 1 --clock cpu]
#
# PYTHON_WITH_TORCH may be several, separated by commas: a table compares with each. BUILD (default build) is the folder of
# a release build.
set -eu
[ $# -ge 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
cd "$(dirname "$0")/.."
build=${BUILD:-build}
peers=$(printf '%s' "$1" | sed 's/^/--python /; s/,/ --python /g')
shift

say() { printf '\n== %s\n' "$*"; }

say "$(date -u +%Y-%m-%d) $(git rev-parse --short HEAD 2>/dev/null) $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)," \
  "$(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg)"
say "replay without kernels: nanoseconds an op"
"$build/bench/bench-replay" --width 160 --layers 6 --heads 5 --steps 1000
say "matrix products beside raw oneDNN, one thread"
"$build/bench/bench-matmul" auto 1
say "what computing blocks again saves and costs at published sizes"
"$build/bench/bench-recompute" f32
for what in step iteration; do
  say "$what by op, one thread"
  "$build/bench/bench-$what" --threads 1 --ledger
done
say "step of the UNet by op, one thread"
"$build/bench/bench-step" --network unet --width 96 --layers 1 --threads 1 --ledger
say "scores and gradients of eight blocks of L/14 by op, one thread"
"$build/bench/bench-reward" --network l14 --layers 8 --batch 4 --gradient 1 --threads 1 --warmup 1 --steps 1 --ledger
for what in "step --config shipped" "step --config demo" "step --config bench" "iteration --config shipped" \
  "unet --config emoji" "unet --config latent" "unet --config wide" \
  "reward --config l14_gradient_8 --rounds 2 --steps 2 --warmup 1" \
  "reward --config h14_gradient_8 --rounds 2 --steps 2 --warmup 1"; do
  say "$what"
  # shellcheck disable=SC2086 # lists of words
  bench/compare.py --build "$build" --what $what $peers "$@"
done
