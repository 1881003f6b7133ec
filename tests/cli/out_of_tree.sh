#!/bin/sh
# out_of_tree.sh MESON BUILD_FOLDER PAGE: a newcomer's plugin. dipp is installed into a folder of its own; the code
# and the commands of the page are taken from it as they stand, and find dipp by pkg-config alone; the plugin is
# checked, and an experiment is run with it.
set -eu
meson=$1 build=$2 page=$3
folder=$(mktemp -d "${TMPDIR:-/tmp}/dipp-tree-XXXXXX")
trap 'rm -rf "$folder"' EXIT
root=$folder/root
"$meson" install -C "$build" --destdir "$root" --no-rebuild --quiet >"$folder/install.log" 2>&1 || {
  cat "$folder/install.log" >&2
  exit 1
}
fail() {
  echo "out of tree: $*" >&2
  exit 1
}
one() { # one NAME [FIND OPTIONS]: the only file of that name that was installed
  found=$(find "$root" -name "$@")
  [ -n "$found" ] && [ "$(echo "$found" | wc -l)" -eq 1 ] || fail "expected one $1, found: $found"
  echo "$found"
}
PKG_CONFIG_PATH=$(dirname "$(one dipp.pc)")
PKG_CONFIG_SYSROOT_DIR=$root
LD_LIBRARY_PATH=$(dirname "$(one libdipp.so)")
DIPP_PLUGIN_PATH=$(dirname "$(one reward-border.so)")
PATH=$(dirname "$(one dipp -type f)"):$PATH
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR LD_LIBRARY_PATH DIPP_PLUGIN_PATH PATH
[ "$(find "$root" -name '*.h' | grep -cv '/include/dipp/')" -eq 0 ] || fail "more than the public headers is installed"

cd "$folder"
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$page" >brightness.c
lines=$(grep -c . brightness.c)
[ "$lines" -ge 30 ] && [ "$lines" -le 60 ] || fail "the page's plugin has $lines lines"
command=$(sed -n 's/^    \(cc .*\)/\1/p' "$page")
[ "$(echo "$command" | wc -l)" -eq 1 ] || fail "expected one cc line in the page, found: $command"
eval "$command -Wall -Werror"
check=$(sed -n 's/^    \(dipp check-plugin .*\)/\1/p' "$page")
[ -n "$check" ] || fail "the page does not check its plugin"
eval "$check" || fail "the page's plugin does not hold"

cat >exp.yaml <<'YAML'
name: brightness
device: cpu
threads: 1
reference: {plugin: dit, params: {size: 8, patch: 2, hidden: 16, layers: 1, heads: 2}}
generator: {plugin: dit, params: {size: 8, patch: 2, hidden: 16, layers: 1, heads: 2}}
align: {steps: 3, batch: 4}
rewards: [{plugin: brightness, params: {weight: 0.5}}]
evaluate: {samples: 4, reference_row: false, metrics: [brightness]}
YAML
run=$(sed -n 's/^    \(dipp run .*\)/\1/p' "$page")
[ -n "$run" ] || fail "the page does not run its plugin"
DIPP_DB=$folder/results.db
export DIPP_DB
eval "$run" || fail "the experiment failed"
rows=$(dipp sql --csv "SELECT count(*) FROM evaluations JOIN metric_names USING(metric_id) WHERE name='brightness' AND
  value BETWEEN 0 AND 1" | tail -n 1)
[ "$rows" -eq 8 ] || fail "expected 8 scores, found $rows"
trained=$(dipp sql --csv "SELECT count(*) FROM metrics JOIN metric_names USING(metric_id) WHERE
  name='train/reward.brightness'" | tail -n 1)
[ "$trained" -eq 3 ] || fail "expected 3 rows of the reward, found $trained"
echo "out of tree: $lines lines of code, checked and run"
