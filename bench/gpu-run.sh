#!/bin/sh
# Tests and measures the cuda back-end on a GPU machine, from an unpacked bundle (bench/gpu-bundle.sh) or a checkout that
# was built: bench/gpu-run.sh [RESULTS]. What matters most comes first; every step has a limit of its own and a log in the
# results folder, and summary.txt says what passed. After BUDGET seconds (540) the steps that are left are left out, so that
# it ends within ten minutes whatever the machine is like. Exit status 1 when a check failed.
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
deadline=$(($(date +%s) + ${BUDGET:-540}))

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
  left=$((deadline - started))
  if [ "$left" -lt 5 ]; then
    say "$(printf '%-28s left out: the time is used up' "$name")"
    return
  fi
  [ "$limit" -le "$left" ] || limit=$left
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

# ---- the demo, once whole and once killed and taken up again ----
if [ -f world/NotoColorEmoji.ttf ] && [ -d weights/emoji-dit-onestep ]; then
  step 60 demo bench/gpu-demo.sh whole "$dipp" "$results"
  step 60 kill-and-resume bench/gpu-demo.sh killed "$dipp" "$results"
else
  say "demo                         left out (no emoji world or no weights/emoji-dit-onestep in the bundle)"
fi

# ---- measures: training steps beside PyTorch, interleaved, and where dipp's time goes ----
compare() { # compare LIMIT NAME OPTION...
  limit=$1 name=$2
  shift 2
  step "$limit" "$name" "$python" bench/compare.py --build "$build" --python "$python" --device cuda --precision bf16 \
    --rounds 2 --steps 20 --warmup 5 "$@"
  grep -h -A 5 -E '^(step|unet|iteration), ' "$results/$name.log" >>"$results/summary.txt"
}
xl="--width 1152 --layers 28 --heads 16 --size 64 --batch 32 --tokens 16"
compare 150 compare-xl --what step --config xl --modes compile
step 30 ledger-xl "$build/bench/bench-step" --backend cuda --precision bf16 $xl --steps 5 --ledger
step 30 bench-ops "$build/tests/tensor/dipp-optest" --backend cuda --precision bf16 --bench
compare 60 compare-iteration --what iteration --modes eager
step 20 ledger-iteration "$build/bench/bench-iteration" --backend cuda --precision bf16 --steps 5 --ledger
compare 60 compare-unet --what unet --config latent --modes eager_last
step 20 ledger-unet "$build/bench/bench-step" --backend cuda --precision bf16 --network unet --width 96 --layers 1 \
  --steps 5 --ledger

# ---- compute-sanitizer on the op suite: addresses, then races of the kernels that share memory ----
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
if [ -n "$sanitizer" ]; then
  step 90 memcheck "$sanitizer" --tool memcheck --error-exitcode 9 "$build/tests/tensor/dipp-optest" --backend cuda \
    --precision bf16
  for op in attention attention_backward layer_norm_backward group_norm_backward sum; do
    step 30 "racecheck-$op" "$sanitizer" --tool racecheck --error-exitcode 9 "$build/tests/tensor/dipp-optest" \
      --backend cuda --precision bf16 --op "$op"
  done
else
  say "memcheck, racecheck          left out (no compute-sanitizer here)"
fi
step 20 recompute "$build/bench/bench-recompute" bf16
step 60 compare-unet-compiled "$python" bench/compare.py --build "$build" --python "$python" --device cuda \
  --precision bf16 --rounds 1 --steps 20 --what unet --config latent --modes compile_last
exit "$failed"
