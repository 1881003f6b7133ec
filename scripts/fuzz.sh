#!/bin/sh
# Hunts with libFuzzer (clang): scripts/fuzz.sh TARGET [SECONDS]; TARGET is png, prompts, vocabulary, cldr, checkpoint,
# preferences, spiece or description (tests/fuzz), SECONDS 300. Starts from the committed corpus; what it finds goes to build-fuzz/TARGET.
set -eu
cd "$(dirname "$0")/.."
target=$1
seconds=${2:-300}
folder=build-fuzz
mkdir -p "$folder/$target"
case $target in
png) sources='core/data/image*.c' ;;
prompts | cldr) sources="$(ls core/data/*.c | grep -v -e preference -e npy) core/text/*.c" ;;
preferences) sources='core/data/preference*.c core/data/string_pool.c core/data/json_lines.c core/store/*.c' ;; # with what a build wrote for the store
vocabulary | spiece) sources='core/text/*.c' ;;
description) sources="core/nn/*.c core/diffusion/schedule*.c core/tensor/*.c core/backend/backend.c core/backend/module.c core/backend/null/*.c
  core/backend/reference/*.c" ;;
checkpoint) sources='core/train/checkpoint.c core/weights/*.c core/tensor/*.c core/backend/backend.c core/backend/module.c core/backend/null/*.c
  core/backend/reference/*.c' ;;
*)
  echo "usage: scripts/fuzz.sh png|prompts|vocabulary|cldr|checkpoint|preferences|spiece|description [SECONDS]" >&2
  exit 2
  ;;
esac
files=$(ls core/base/*.c $sources | grep -v _tmpl)
clang -std=gnu17 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Icore/include -Icore -I"${BUILD:-build}/core" \
  "tests/fuzz/fuzz_$target.c" tests/fuzz/target.c $files -o "$folder/fuzz_$target" \
  $(pkg-config --cflags --libs libpng libjpeg libwebp zlib freetype2 expat jansson libutf8proc sqlite3) -lm -lpthread -ldl
"$folder/fuzz_$target" -max_total_time="$seconds" -max_len=65536 -timeout=20 -artifact_prefix="$folder/" \
  "$folder/$target" "tests/fuzz/corpus/$target"
