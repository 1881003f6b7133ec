#!/bin/sh
# Builds with the address and undefined-behaviour sanitizers in a folder of its own and runs the tests there; any report
# of any process, the children of plugin probes and crash tests included, is a failure. Arguments go to `meson test`.
# Without any, three suites stay out: `emulated` switches stacks by hand, which the address sanitizer does not follow;
# `long` and `numeric`: their code is run by the others, and a sanitizer makes it ten
# times slower. Warnings are not errors here: gcc's are unreliable under sanitizers, and the plain build has them.
set -eu
cd "$(dirname "$0")/.."
folder=${BUILD:-build-asan}
. scripts/setup.sh
build "$folder" all -Ddevice_cuda=disabled -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false

reports=$PWD/$folder/reports
rm -rf "$reports"
mkdir -p "$reports"
# The files NAME.PID that the runtimes write are the verdict: an exit status may be lost in a child.
export ASAN_OPTIONS="log_path=$reports/asan:detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:check_initialization_order=1"
export UBSAN_OPTIONS="log_path=$reports/ubsan:halt_on_error=1:print_stacktrace=1"
export OMP_WAIT_POLICY=passive
[ $# -gt 0 ] || set -- --no-suite long --no-suite numeric --no-suite emulated
status=0
meson test -C "$folder" --print-errorlogs --no-rebuild --timeout-multiplier 6 "$@" || status=$?
for report in "$reports"/*; do
  [ -s "$report" ] || continue
  status=1
  echo "== ${report##*/}" >&2
  head -n 60 "$report" >&2
done
[ "$status" -eq 0 ] && echo "sanitizers: no report" || echo "sanitizers: FAILED" >&2
exit "$status"
