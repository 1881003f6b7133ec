#!/bin/sh
# Format, static analysis and house rules, as CI runs them: scripts/lint.sh [--tidy]  (--tidy adds clang-tidy, minutes).
set -eu
cd "$(dirname "$0")/.."
packages='clang-format clang-tidy cppcheck'
. scripts/setup.sh
sources=$(git ls-files '*.c' '*.h')
status=0

echo "clang-format"
echo "$sources" | xargs clang-format --dry-run -Werror || status=1

echo "cppcheck"
[ -e build/compile_commands.json ] || { echo "build first: ./test.sh" >&2; exit 1; }
cppcheck --project=build/compile_commands.json --quiet --error-exitcode=1 --inline-suppr \
  --enable=warning,portability --suppress=missingIncludeSystem --suppress='*:*/cmocka.h' -j 2 \
  --std=c11 --library=posix || status=1

echo "length of files"
echo "$sources" | xargs wc -l | awk '$2 != "total" && $1 > 600 { print $2 ": " $1 " lines; 600 at most"; bad = 1 } END { exit bad }' ||
  status=1

if [ "${1:-}" = --tidy ]; then
  echo "clang-tidy"
  git ls-files 'core/*.c' 'plugins/*.c' | grep -v -e _tmpl -e kernels/ | xargs -P 2 -n 8 clang-tidy -p build --quiet \
    --warnings-as-errors='*' 2>/dev/null || status=1
fi
exit "$status"
