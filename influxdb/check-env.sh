#!/usr/bin/env bash
# Checks influxv2.env before InfluxDB is set up with it. InfluxDB's own image would repeat a less clear message every second,
# or set up nothing. Exit code 1 and one sentence for each problem.
set -euo pipefail

if [[ -z ${DOCKER_INFLUXDB_INIT_MODE:-} ]]; then
  echo "influxv2.env is missing: run \`deno task stack\`, which creates it, or copy influxv2.env-example to influxv2.env," \
    "enter your own password and token, and start again." >&2
  exit 1
fi

problems=0
wrong() {
  echo "influxv2.env: $1" >&2
  problems=$((problems + 1))
}

[[ $DOCKER_INFLUXDB_INIT_MODE == setup ]] ||
  wrong "DOCKER_INFLUXDB_INIT_MODE: expected setup, got \"$DOCKER_INFLUXDB_INIT_MODE\"."
for name in USERNAME PASSWORD ORG BUCKET; do
  name=DOCKER_INFLUXDB_INIT_$name
  [[ -n ${!name:-} ]] || wrong "$name must be set."
done
password=${DOCKER_INFLUXDB_INIT_PASSWORD:-}
bytes=$(LC_ALL=C; echo "${#password}")
[[ -z $password || ($bytes -ge 8 && $bytes -le 72) ]] ||
  wrong "DOCKER_INFLUXDB_INIT_PASSWORD: expected 8 to 72 characters, got $bytes."
[[ ${DOCKER_INFLUXDB_INIT_BUCKET:-} != _* ]] ||
  wrong "DOCKER_INFLUXDB_INIT_BUCKET: expected a name that does not begin with _, got \"$DOCKER_INFLUXDB_INIT_BUCKET\"."
[[ $problems -eq 0 ]] || exit 1

for name in PASSWORD ADMIN_TOKEN; do
  name=DOCKER_INFLUXDB_INIT_$name
  [[ ${!name:-} != change-me* ]] ||
    echo "influxv2.env: $name is still the value of the example, which is public: use it only for a test on this computer." >&2
done
