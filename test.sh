#!/bin/sh
# Installs what is missing, builds and runs the tests. Arguments go to `meson test` (a test's name, --suite long, ...).
set -eu
cd "$(dirname "$0")"
. scripts/setup.sh
build "${BUILD:-build}" all -Dwerror=true
# Threads that spin while they wait slow down a machine that runs several tests at once.
export OMP_WAIT_POLICY=passive
status=0
meson test -C "${BUILD:-build}" --print-errorlogs --no-rebuild "$@" || status=$?
awk -F': *' '/^Ok:/{ok=$2} /^Expected Fail:/{ok+=$2} /^Fail:/{bad+=$2} /^Unexpected Pass:/{bad+=$2} /^Timeout:/{bad+=$2}
  /^Skipped:/{skip=$2} END{printf "%d passed, %d failed, %d skipped\n", ok, bad, skip}' \
  "${BUILD:-build}/meson-logs/testlog.txt"
exit "$status"
