#!/bin/sh
# Tests and measures the cuda back-end on a GPU machine, from an unpacked bundle (bench/gpu-bundle.sh) or a checkout that
# was built: bench/gpu-run.sh [RESULTS]. Takes under ten minutes; every step has a limit of its own and a log
# in the results folder, and summary.txt says what passed. Exit status 1 when a check failed. QUICK=1 leaves out the
# sanitizer and the benches.
set -u
cd "$(dirname "$0")/.."
here=$PWD
results=${1:-gpu-results}
mkdir -p "$results"
results=$(cd "$results" && pwd)
build=$here/${BUILD:-build}
dipp=$build/core/cli/dipp
python=${PYTHON:-python3}
failed=0

# Carried libraries, then wherever this machine has cuBLASLt: toolkit or PyTorch's wheels.
libraries=$here/lib
for folder in /usr/local/cuda/lib64 /usr/local/cuda/targets/x86_64-linux/lib \
  $("$python" -c 'import os, site
for base in site.getsitepackages():
    for name in ("nvidia/cu13/lib", "nvidia/cublas/lib"):
        print(os.path.join(base, name))' 2>/dev/null); do
  [ -e "$folder/libcublasLt.so.13" ] && libraries=$libraries:$folder
done
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH

say() {
  echo "$*" | tee -a "$results/summary.txt"
}

# step LIMIT NAME COMMAND...: a check; its output goes to NAME.log
step() {
  limit=$1 name=$2
  shift 2
  started=$(date +%s)
  timeout "$limit" "$@" >"$results/$name.log" 2>&1
  status=$?
  verdict="FAILED ($status)"
  [ "$status" -eq 0 ] && verdict=passed
  [ "$status" -eq 77 ] && verdict=skipped
  [ "$status" -eq 124 ] && verdict="OUT OF TIME after $limit s"
  [ "$verdict" = passed ] || [ "$verdict" = skipped ] || failed=1
  say "$(printf '%-28s %s (%d s)' "$name" "$verdict" $(($(date +%s) - started)))"
}

: >"$results/summary.txt"
say "$(cat BUNDLE 2>/dev/null || git log -1 --format='commit %H')"
{
  nvidia-smi
  nvcc --version
  "$python" -c 'import torch; print("torch", torch.__version__, torch.version.cuda)'
  uname -a
  echo "LD_LIBRARY_PATH=$LD_LIBRARY_PATH"
  ldd "$build/core/backend/cuda/backend_cuda.so"
} >"$results/machine.log" 2>&1

# ---- correctness ----
step 60 ops-f32 "$build/tests/tensor/dipp-optest" --backend cuda --precision f32
step 60 ops-bf16 "$build/tests/tensor/dipp-optest" --backend cuda --precision bf16
step 40 large-f32 "$build/tests/backend_cuda/test_backend_cuda_large" f32
step 40 large-bf16 "$build/tests/backend_cuda/test_backend_cuda_large" bf16
step 40 replay "$build/tests/backend_cuda/test_backend_cuda_replay"

# ---- exact cases: their optimum is known in closed form; the tests of the CPU say within what bands ----
for name in gaussian-linear mixture-guidance; do
  step 60 "exact-$name" "$dipp" run "experiments/$name.yaml" device=cuda precision=f32 'seeds=[0]' \
    --db "$results/exact.db" --quiet
done

# ---- the demo, once whole and once killed and taken up again: equal to the bit ----
demo() { # demo DATABASE KEY=VALUE...; `before` is put in front of the command
  database=$1
  shift
  ${before:-} "$dipp" run experiments/emoji-rewards.yaml device=cuda "world.font=$here/world/NotoColorEmoji.ttf" \
    "world.annotations=$here/world/en.xml" "world.labels=$here/world/labels.txt" --db "$database" --quiet "$@"
}
kill_and_resume() {
  (before=exec demo "$results/killed.db" align.steps=400 align.checkpoint_every=50) &
  pid=$!
  sleep 12
  workers=$(ps -o pid= --ppid "$pid")
  kill -KILL "$pid" $workers
  wait "$pid"
  demo "$results/killed.db" align.steps=400 align.checkpoint_every=50 || return 1
  demo "$results/whole.db" align.steps=400 align.checkpoint_every=50 || return 1
  for database in killed whole; do
    "$dipp" sql --db "$results/$database.db" "SELECT * FROM leaderboard" >"$results/$database.txt" || return 1
  done
  cmp "$results/killed.txt" "$results/whole.txt"
}
if [ -f world/NotoColorEmoji.ttf ] && [ -d weights/emoji-dit-onestep ]; then
  step 90 demo demo "$results/demo.db"
  "$dipp" sql --db "$results/demo.db" "SELECT * FROM leaderboard" >"$results/demo-leaderboard.txt" 2>&1
  step 120 kill-and-resume kill_and_resume
else
  say "demo                         left out (no emoji world or no weights/emoji-dit-onestep in the bundle)"
fi

[ -n "${QUICK:-}" ] && exit "$failed"

# ---- compute-sanitizer on the op suite: addresses, then races of the kernels that share memory ----
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
if [ -n "$sanitizer" ]; then
  step 90 memcheck "$sanitizer" --tool memcheck --error-exitcode 9 "$build/tests/tensor/dipp-optest" --backend cuda \
    --precision bf16
  for op in attention attention_backward layer_norm_backward group_norm_backward sum; do
    step 40 "racecheck-$op" "$sanitizer" --tool racecheck --error-exitcode 9 "$build/tests/tensor/dipp-optest" \
      --backend cuda --precision bf16 --op "$op"
  done
else
  say "memcheck, racecheck          left out (no compute-sanitizer here)"
fi

# ---- measures: ops, the step by op, and the step against PyTorch ----
step 60 bench-ops "$build/tests/tensor/dipp-optest" --backend cuda --precision bf16 --bench
for shape in "160 6 5 64 16" "256 6 8 128 8" "1152 28 16 32 16"; do
  set -- $shape
  name=step-$1x$2
  step 60 "$name" "$build/bench/bench-step" --backend cuda --precision bf16 --width "$1" --layers "$2" --heads "$3" \
    --batch "$4" --tokens "$5" --steps 20
  step 40 "$name-ledger" "$build/bench/bench-step" --backend cuda --precision bf16 --width "$1" --layers "$2" \
    --heads "$3" --batch "$4" --tokens "$5" --steps 5 --ledger
  grep -h images_per_second "$results/$name.log" >>"$results/summary.txt"
done
step 60 step-unet "$build/bench/bench-step" --backend cuda --precision bf16 --network unet --width 96 --layers 1 --steps 20
step 40 step-unet-ledger "$build/bench/bench-step" --backend cuda --precision bf16 --network unet --width 96 --layers 1 \
  --steps 5 --ledger
step 60 iteration "$build/bench/bench-iteration" --backend cuda --precision bf16 --steps 20
step 30 replay-null "$build/bench/bench-replay" --steps 1000
step 30 recompute "$build/bench/bench-recompute" bf16
grep -h -E 'images_per_second|nanoseconds_per_op' "$results/step-unet.log" "$results/iteration.log" \
  "$results/replay-null.log" >>"$results/summary.txt"
for config in demo bench; do
  step 90 "torch-$config" "$python" bench/torch_dit.py --config "$config" --device cuda --precision bf16
  grep -h images_per_second "$results/torch-$config.log" >>"$results/summary.txt"
done
step 180 torch-unet "$python" bench/torch_unet.py --config emoji --device cuda --precision bf16
step 120 torch-iteration "$python" bench/torch_iteration.py --device cuda --precision bf16
grep -h images_per_second "$results/torch-unet.log" "$results/torch-iteration.log" >>"$results/summary.txt"
exit "$failed"
