#!/bin/sh
# Installs what is missing of the Debian packages that dipp is built from, configures and builds. Sourced by demo.sh and
# test.sh; quiet when there is nothing to do. BUILD names the build folder.
set -eu

packages='gcc libc6-dev meson ninja-build pkg-config libyaml-dev libsqlite3-dev sqlite3 libcmocka-dev libdnnl-dev
libfreetype-dev libpng-dev libjpeg62-turbo-dev libwebp-dev zlib1g-dev libutf8proc-dev libjansson-dev
libexpat1-dev libmicrohttpd-dev fonts-noto-color-emoji fonts-dejavu-core unicode-cldr-core'

missing_packages() {
  for package in $packages; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

install_packages() {
  missing=$(missing_packages | tr '\n' ' ')
  [ -z "${missing% }" ] && return 0
  command -v apt-get >/dev/null || {
    echo "dipp needs these packages and this system has no apt-get: $missing" >&2
    exit 1
  }
  as_root=
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
      echo "please install as root: apt-get install $missing" >&2
      exit 1
    }
    as_root=sudo
  fi
  echo "installing: $missing"
  log=$(mktemp)
  if ! { $as_root apt-get -qq update &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    exit 1
  fi
  rm -f "$log"
}

build() { # build FOLDER TARGET [meson options]; TARGET all is everything
  folder=$1
  target=$2
  shift 2
  [ -e "$folder/build.ninja" ] || meson setup "$folder" "$@" >"$folder.log" 2>&1 || {
    tail -n 20 "$folder.log" >&2
    exit 1
  }
  rm -f "$folder.log"
  echo "building in $folder"
  ninja -C "$folder" --quiet "$target"
}

install_packages
