#!/usr/bin/env bash
# Looks at influxv2.env before InfluxDB is set up with it: its own image would say less, once a second, or set up nothing.
# Exit 1 and one sentence for each thing that cannot work.
set -euo pipefail

if [[ -z ${DOCKER_INFLUXDB_INIT_MODE:-} ]]; then
  echo "influxv2.env is missing: run \`deno task stack\`, which makes it, or copy influxv2.env-example to influxv2.env," \
    "put in your own password and token, and start again." >&2
  exit 1
fi

problems=0
wrong() {
  echo "influxv2.env: $1" >&2
  problems=$((problems + 1))
}

[[ $DOCKER_INFLUXDB_INIT_MODE == setup ]] ||
  wrong "DOCKER_INFLUXDB_INIT_MODE must be setup: current value is \"$DOCKER_INFLUXDB_INIT_MODE\"."
for name in USERNAME PASSWORD ORG BUCKET; do
  name=DOCKER_INFLUXDB_INIT_$name
  [[ -n ${!name:-} ]] || wrong "$name must be set."
done
password=${DOCKER_INFLUXDB_INIT_PASSWORD:-}
bytes=$(LC_ALL=C; echo "${#password}")
[[ -z $password || ($bytes -ge 8 && $bytes -le 72) ]] ||
  wrong "DOCKER_INFLUXDB_INIT_PASSWORD must have 8 to 72 characters: it has $bytes."
[[ ${DOCKER_INFLUXDB_INIT_BUCKET:-} != _* ]] ||
  wrong "DOCKER_INFLUXDB_INIT_BUCKET must not begin with _: current value is \"$DOCKER_INFLUXDB_INIT_BUCKET\"."
[[ $problems -eq 0 ]] || exit 1

for name in PASSWORD ADMIN_TOKEN; do
  name=DOCKER_INFLUXDB_INIT_$name
  [[ ${!name:-} != change-me* ]] ||
    echo "influxv2.env: $name is still the example's, which everybody can read: good for a try on this computer, no more." >&2
done
