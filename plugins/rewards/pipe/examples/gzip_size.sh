#!/bin/sh
# Scores pictures by minus the bytes that gzip makes of them. For the `pipe` reward; docs/opaque-rewards.md.
#   rewards: [{plugin: pipe, params: {command: [sh], script: gzip_size.sh}, smoothing: {sigma: 0.1, pairs: 8}}]
field() { printf '%s' "$header" | sed "s/.*\"$1\":\([0-9]*\).*/\1/"; } # of numbers; quotes in a prompt are escaped
while IFS= read -r header; do
  count=$(field count)
  size=$(($(field bytes) / count))
  scores=
  while [ "$count" -gt 0 ]; do
    bytes=$(head -c "$size" | gzip -c | wc -c)
    scores="$scores${scores:+,}-$bytes"
    count=$((count - 1))
  done
  echo "{\"scores\":[$scores]}"
done
