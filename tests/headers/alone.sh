#!/bin/sh
# alone.sh LANGUAGE STANDARD INCLUDE_FOLDER COMPILER...: every public header compiles alone, twice in a row, with all
# warnings as errors.
set -u
language=$1 standard=$2 folder=$3
shift 3
count=0 bad=0
for header in "$folder"/dipp/*.h; do
  name=dipp/${header##*/}
  count=$((count + 1))
  printf '#include <%s>\n#include <%s>\n' "$name" "$name" |
    "$@" -x "$language" "-std=$standard" -Wall -Wextra -pedantic -Werror -I "$folder" -fsyntax-only - || {
    echo "<$name> does not compile alone as $standard" >&2
    bad=$((bad + 1))
  }
done
echo "$count headers, $bad bad"
[ "$count" -gt 0 ] && [ "$bad" -eq 0 ]
