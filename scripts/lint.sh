#!/bin/sh
# Format, static analysis and house rules, as CI runs them: scripts/lint.sh [--tidy]  (--tidy adds clang-tidy, minutes).
# cppcheck's false findings stand in scripts/cppcheck-suppressions.txt with their reasons; clang-tidy's checks in
# .clang-tidy.
set -eu
cd "$(dirname "$0")/.."
folder=${BUILD:-build}
tools='clang-format cppcheck'
[ "${1:-}" = --tidy ] && tools="$tools clang-tidy"
. scripts/setup.sh
packages=$tools
install_packages
# The analysers read generated headers and the compilers' command lines.
build "$folder" all -Ddevice_cuda=disabled
sources=$(find core plugins tests bench scripts -name '*.[ch]' | sort)
failed=

echo "clang-format"
echo "$sources" | xargs clang-format --dry-run -Werror || failed="$failed format"

echo "cppcheck"
cppcheck --project="$folder/compile_commands.json" --quiet --error-exitcode=1 --inline-suppr \
  --enable=warning,portability --suppress=missingIncludeSystem \
  --suppressions-list=scripts/cppcheck-suppressions.txt -j "$(nproc)" --std=c11 --library=posix || failed="$failed cppcheck"

echo "length of files"
echo "$sources" | xargs wc -l | awk '$2 != "total" && $1 > 600 { print $2 ": " $1 " lines; 600 at most"; bad = 1 } END { exit bad }' ||
  failed="$failed length"

if [ "${1:-}" = --tidy ]; then
  echo "clang-tidy"
  # _tmpl files are parts of others; error.c defines what the analyser's header wraps. One file a process: clang-tidy 14
  # carries wrong beliefs about va_list from file to file.
  tidy="clang-tidy -p $folder --quiet --warnings-as-errors=*"
  find core plugins -name '*.c' | sort | grep -v -e _tmpl -e '^core/base/error\.c$' |
    xargs -P "$(nproc)" -n 1 $tidy "--extra-arg=-include$PWD/scripts/analyser.h" 2>/dev/null || failed="$failed clang-tidy"
  $tidy core/base/error.c 2>/dev/null || failed="$failed clang-tidy"
fi
[ -z "$failed" ] || {
  echo "lint: FAILED:$failed" >&2
  exit 1
}
echo "lint: clean"
