#!/usr/bin/env bash
# build.sh [kafka|telegraf|influxd ...]: puts the real parts that the tests run against into .tools/
# (all of them without an argument; about six minutes on a new machine). What is there already, built from
# the same inputs, is left alone. Needs java and mvn (kafka), go (telegraf), go, gcc and cargo (influxd).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=$(cd "$here/../../.." && pwd)/.tools
telegraf_version=1.37.2
influxdb_version=2.7.12
export GOFLAGS=-buildvcs=false

# need TOOL PACKAGE: ends with what is missing and how to get it.
need() {
  command -v "$1" > /dev/null || { echo "real-parts: '$1' is missing; $2" >&2; exit 1; }
}

# need_version TOOL WANTED FOUND HINT: the same for a tool that is too old.
need_version() {
  [ "$(printf '%s\n' "$2" "$3" | sort -V | head -n 1)" = "$2" ] ||
    { echo "real-parts: '$1' is $3, at least $2 is needed; $4" >&2; exit 1; }
}

need_go() {
  local hint="install Go 1.21 or newer (apt-get install golang-go where it is new enough); it fetches the release it needs"
  need go "$hint"
  need_version go 1.21 "$(go env GOVERSION | sed -E 's/^go([0-9.]+).*/\1/')" "$hint"
}

# checksum INPUT...: of what a part is built from; its stamp in .tools keeps it.
checksum() { cat "$@" | sha256sum | cut -d ' ' -f 1; }
is_built() { [ -f "$tools/stamps/$1" ] && [ "$(cat "$tools/stamps/$1")" = "$2" ]; }
mark_built() { mkdir -p "$tools/stamps" && printf '%s\n' "$2" > "$tools/stamps/$1"; }

build_kafka() {
  local sum; sum=$(checksum "$here/kafka/pom.xml")
  is_built kafka "$sum" && { echo "real-parts: kafka is there"; return; }
  need java "apt-get install openjdk-17-jre-headless"
  need mvn "apt-get install maven"
  echo "real-parts: fetching Apache Kafka (about 20 s)"
  rm -rf "$tools/kafka"
  nice mvn -q -B -Dstyle.color=never -f "$here/kafka/pom.xml" -Dlibs.directory="$tools/kafka/libs" package
  mark_built kafka "$sum"
}

build_telegraf() {
  local sum tags; sum=$(checksum "$here/telegraf/plugins.txt" <(echo "$telegraf_version"))
  is_built telegraf "$sum" && { echo "real-parts: telegraf is there"; return; }
  need_go
  echo "real-parts: building Telegraf $telegraf_version (about a minute)"
  tags=custom,$(paste -s -d , "$here/telegraf/plugins.txt")
  CGO_ENABLED=0 GOBIN="$tools/bin" nice go install -trimpath -tags "$tags" \
    -ldflags "-s -w -X github.com/influxdata/telegraf/internal.Version=$telegraf_version" \
    "github.com/influxdata/telegraf/cmd/telegraf@v$telegraf_version"
  mark_built telegraf "$sum"
}

build_influxd() {
  local sum rust; sum=$(checksum "$here"/influxd/{go.mod,go.sum,rustc-wrap.sh} <(echo "$influxdb_version"))
  is_built influxd "$sum" && { echo "real-parts: influxd is there"; return; }
  rust="install Rust 1.72 or newer with its cargo (apt-get install cargo where it is new enough, or rustup)"
  need_go
  need gcc "apt-get install build-essential"
  need cargo "$rust"
  # libflux pins an old compiler in a toolchain file: the one that is in use here will do.
  if command -v rustup > /dev/null; then
    export RUSTUP_TOOLCHAIN; RUSTUP_TOOLCHAIN=$(rustup show active-toolchain | cut -d ' ' -f 1)
  fi
  need_version cargo 1.72 "$(cargo --version | cut -d ' ' -f 2)" "$rust"
  echo "real-parts: building InfluxDB $influxdb_version (about four minutes)"
  # Without the web pages (tag `assets`) and without the static build, which asks for another target of the compiler.
  (cd "$here/influxd" &&
    nice go build -o "$tools/bin/influx-pkg-config" github.com/influxdata/pkg-config &&
    RUSTC_WRAPPER="$here/influxd/rustc-wrap.sh" PKG_CONFIG="$tools/bin/influx-pkg-config" \
      nice go build -trimpath -tags sqlite_foreign_keys,sqlite_json \
      -ldflags "-s -w -X main.version=v$influxdb_version" \
      -o "$tools/bin/influxd" github.com/influxdata/influxdb/v2/cmd/influxd)
  mark_built influxd "$sum"
}

[ $# -gt 0 ] || set -- kafka telegraf influxd
mkdir -p "$tools/bin"
for part in "$@"; do
  case $part in
    kafka | telegraf | influxd) "build_$part" ;;
    *) echo "real-parts: no part is called '$part'; there are kafka, telegraf and influxd" >&2; exit 2 ;;
  esac
done
