#!/bin/sh
# Packs what a GPU machine needs to test and measure the cuda back-end: bench/gpu-bundle.sh [FILE.tar.gz]
#
# Builds into build-gpu (BUILD names another folder) without oneDNN and packs binaries, plugins, experiments, weights, the
# emoji world's font and names, and every shared library that the binaries need except the C library's, the driver's and
# cuBLASLt (which the machine must have: CUDA's toolkit or the wheel of PyTorch). Nothing is installed over there:
# unpack, run bench/gpu-run.sh. More than 60 MiB is an error.
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build-gpu}
bundle=${1:-dipp-gpu.tar.gz}
[ -f "$build/build.ninja" ] || meson setup "$build" -Dcpu_backend=disabled -Ddevice_cuda=enabled
ninja -C "$build" -j "${JOBS:-2}"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$folder/dipp-gpu
mkdir -p "$root/lib" "$root/world"

# The build tree's own shape is kept: run paths are relative to it, and plugins are found by it.
binaries="core/cli/dipp tests/tensor/dipp-optest tests/backend_cuda/test_backend_cuda_large
  tests/backend_cuda/test_backend_cuda_replay tests/backend_cuda/test_backend_cuda_host bench/bench-step
  bench/bench-iteration bench/bench-replay bench/bench-recompute
  core/backend/cuda/backend_cuda.so"
for file in $binaries; do
  mkdir -p "$root/build/$(dirname "$file")"
  cp "$build/$file" "$root/build/$file"
  strip --strip-unneeded "$root/build/$file"
done
find "$build" -maxdepth 1 -name "libdipp.so*" ! -type d -exec cp -P {} "$root/build/" \;
mkdir -p "$root/build/plugins"
cp "$build"/plugins/*.so "$build/plugins/build-tree" "$root/build/plugins/"
cp -R experiments weights "$root/"
mkdir -p "$root/bench" "$root/tests/backend_cuda"
cp bench/gpu-run.sh bench/gpu-demo.sh bench/compare.py bench/torch_dit.py bench/torch_unet.py bench/torch_iteration.py "$root/bench/"
cp tests/backend_cuda/on_device.sh "$root/tests/backend_cuda/"

for file in /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf /usr/share/unicode/cldr/common/annotations/en.xml \
  /usr/share/unicode/cldr/common/properties/labels.txt; do
  cp "$file" "$root/world/" || echo "bundle: without $file the demo is left out over there" >&2
done

# Shared libraries, and theirs. The C library's own parts must be those of the machine.
for file in $(find "$root/build" -type f \( -name '*.so*' -o -perm -u+x \)); do
  ldd "$file"
done | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
  grep -v -E '/(libdipp|libcublasLt|libcuda|libc|libm|libdl|librt|libpthread|ld-linux[^/]*)\.so' |
  while read -r library; do
    cp -L "$library" "$root/lib/"
  done

git log -1 --format='commit %H' >"$root/BUNDLE" 2>/dev/null || echo 'commit unknown' >"$root/BUNDLE"
tar -C "$folder" -czf "$bundle" dipp-gpu
bytes=$(stat -c %s "$bundle")
echo "$bundle: $((bytes / 1048576)) MiB"
[ "$bytes" -le 62914560 ] || {
  echo "bundle: more than 60 MiB" >&2
  exit 1
}
