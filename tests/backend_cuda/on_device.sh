#!/bin/sh
# Runs a command on the cuda back-end; a machine without a GPU (exit status 77) skips the test.
"$@" --backend cuda
status=$?
if [ "$status" -eq 77 ]; then
  echo "skipped: no GPU here (see the line above)"
  exit 77
fi
exit "$status"
