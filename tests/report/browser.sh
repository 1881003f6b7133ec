#!/bin/sh
# browser.sh DIPP MAKE_STORE PICTURE_FACTS: the report of the hostile store in headless Chromium, from the disk, without
# a network: the texts stay texts, the console stays empty, the page is drawn in both colour schemes. Skips where there is no
# Chromium (Debian: chromium). With KEEP=FOLDER the page and its pictures stay there for people to look at.
set -eu
dipp=$1 make_store=$2 picture_facts=$3
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
  echo "skipped: no chromium here"
  exit 77
}
folder=$(mktemp -d "${TMPDIR:-/tmp}/dipp-report-XXXXXX")
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/store"
"$make_store" "$folder/store"
name="rewards <b>&\"emoji\"'"
"$dipp" report "$name" --db "$folder/store/store.db" --out "$folder/page.html" >"$folder/said"
[ "$(cat "$folder/said")" = "$folder/page.html" ]
"$dipp" report "$name" --db "$folder/store/store.db" --out "$folder/again.html" >/dev/null
cmp "$folder/page.html" "$folder/again.html"

# A network of its own has nothing in it; where that is not allowed, no name is found.
alone=
unshare -rn true 2>/dev/null && alone="unshare -rn"
look() {
  $alone timeout 240 "$browser" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$folder/profile" \
    --host-resolver-rules='MAP * ~NOTFOUND' --enable-logging=stderr --log-level=0 "$@" "file://$folder/page.html" 2>"$folder/log"
}
fail() {
  echo "browser.sh: $*"
  grep -i console "$folder/log" || true
  exit 1
}

look --dump-dom >"$folder/dom.html"
# On a busy machine the browser itself remarks that loading is slow.
grep 'CONSOLE' "$folder/log" | grep -qv 'Slow network is detected' && fail "the console is not empty"
grep -q '<script' "$folder/dom.html" && fail "a script came to life"
grep -qF "<title>rewards &lt;b&gt;&amp;\"emoji\"'</title>" "$folder/dom.html" || fail "the title is another"
for section in verdict arms leaderboard baseline curves pictures wins fronts worst reproduce; do
  grep -q "<section id=\"$section\">" "$folder/dom.html" || fail "no section $section"
done
# The parser's tree is the writer's: nothing was moved, closed or invented.
for element in section table svg bdi img details; do
  [ "$(grep -o "<$element[ >]" "$folder/page.html" | wc -l)" = "$(grep -o "<$element[ >]" "$folder/dom.html" | wc -l)" ] ||
    fail "the browser counts another number of <$element>"
done

picture() { # NAME GROUND LEAST-INK FLAGS...
  picture=$1 ground=$2 least=$3
  shift 3
  look --screenshot="$folder/$picture.png" "$@" >/dev/null
  set -- $("$picture_facts" "$folder/$picture.png")
  echo "$picture: $1 x $2, ground #$3, $4 % drawn"
  [ "$3" = "$ground" ] || fail "$picture has the ground #$3, not #$ground"
  [ "${4%.*}" -ge "$least" ] || fail "$picture shows next to nothing"
}
picture light ffffff 5 --window-size=1180,5000 --blink-settings=preferredColorScheme=1
picture dark 14171b 5 --window-size=1180,5000 --blink-settings=preferredColorScheme=0
picture narrow ffffff 5 --window-size=500,7000 --blink-settings=preferredColorScheme=1
if [ -n "${KEEP:-}" ]; then
  mkdir -p "$KEEP"
  cp "$folder/page.html" "$folder"/*.png "$KEEP"
fi
echo "the report opens"
