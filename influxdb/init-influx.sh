#!/usr/bin/env bash
# Creates in InfluxDB what Telegraf and Grafana need, at each start of the stack: the organization, the bucket, and one token
# each with only the necessary right. Whatever exists and works is kept. Uses only InfluxDB's HTTP API.
#   INFLUX_URL                        default http://influxdb:8086
#   DOCKER_INFLUXDB_INIT_ORG, _BUCKET, _ADMIN_TOKEN, _USERNAME, _PASSWORD    influxv2.env
#   INFLUX_CONFIGS_PATH               where InfluxDB's image has stored its first token; default /etc/influxdb2/influx-configs
#   INFLUX_RETENTION                  how long the bucket keeps points: 30d, 12w, 2y, 0 forever; unset: unchanged
#   TOKENS_TELEGRAF, TOKENS_GRAFANA   folders for the files with the token (`telegraf` or `grafana`) and the names (`org`, `bucket`)
#   WAIT_SECONDS                      how long InfluxDB may take to answer; default 60
set -euo pipefail

url=${INFLUX_URL:-http://influxdb:8086}
url=${url%/}
org=${DOCKER_INFLUXDB_INIT_ORG:-}
bucket=${DOCKER_INFLUXDB_INIT_BUCKET:-}
configs=${INFLUX_CONFIGS_PATH:-/etc/influxdb2/influx-configs}

fail() {
  echo "init-influx: $1" >&2
  exit 1
}
for name in DOCKER_INFLUXDB_INIT_ORG DOCKER_INFLUXDB_INIT_BUCKET TOKENS_TELEGRAF TOKENS_GRAFANA; do
  [[ -n ${!name:-} ]] || fail "Cannot start: $name is not set"
done

retention=
if [[ -n ${INFLUX_RETENTION:-} ]]; then
  refusal="Cannot use INFLUX_RETENTION: expected 0 (forever) or at least an hour, such as 30d, 12w or 2y, got \"$INFLUX_RETENTION\""
  [[ $INFLUX_RETENTION =~ ^([0-9]{1,9})([smhdwy]?)$ ]] || fail "$refusal"
  case ${BASH_REMATCH[2]} in m) unit=60 ;; h) unit=3600 ;; d) unit=86400 ;; w) unit=604800 ;; y) unit=31536000 ;; *) unit=1 ;; esac
  # 10#: otherwise a leading zero means octal
  retention=$((10#${BASH_REMATCH[1]} * unit))
  ((retention == 0 || retention >= 3600)) || fail "$refusal"
fi

# ask METHOD PATH [CURL-OPTION]...: sets status and body. The credential is not on a command line, where other users could see it.
credential=
ask() {
  local answer
  answer=$(curl -sS --max-time 30 -X "$1" -H @<(printf %s "$credential") -w '\n%{http_code}' "${@:3}" "$url$2") ||
    fail "InfluxDB at $url stopped answering"
  status=${answer##*$'\n'}
  body=${answer%$'\n'*}
}
# must WHAT: ends the script unless the last request succeeded
must() {
  [[ $status == 2* ]] || fail "Cannot $1: InfluxDB answers $status: $(printf %s "$body" | sed 's/[[:space:]]\{1,\}/ /g' | tr -d '\n')"
}
# field NAME: sets value to the first field of that name in body
field() {
  [[ $body =~ \"$1\":[[:space:]]*\"([^\"]*)\" ]] || fail "Cannot find $1 in InfluxDB's answer"
  value=${BASH_REMATCH[1]}
}
json() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# `docker compose restart` starts everything at once
for ((waited = 0; ; waited++)); do
  curl -fsS --max-time 5 -o /dev/null "$url/health" 2> /dev/null && break
  ((waited < ${WAIT_SECONDS:-60})) || fail "InfluxDB at $url does not answer after ${WAIT_SECONDS:-60} s: see its log"
  sleep 1
done

# accepted: whether InfluxDB knows the credential
accepted() {
  ask GET "/api/v2/orgs?limit=1"
  [[ $status == 2* ]]
}
log_in() {
  local first admin=${DOCKER_INFLUXDB_INIT_ADMIN_TOKEN:-}
  local user=${DOCKER_INFLUXDB_INIT_USERNAME:-} password=${DOCKER_INFLUXDB_INIT_PASSWORD:-}
  # the token of the first start is stored next to the data and has all rights; the file also contains commented examples
  first=$(sed -n 's/^[[:space:]]*token[[:space:]]*=[[:space:]]*"\(.*\)".*/\1/p' "$configs" 2> /dev/null | sed -n 1p) || first=
  credential="Authorization: Token $first"
  if [[ -n $first ]] && accepted; then
    credential="Authorization: Token $admin"
    [[ -z $admin || $admin == "$first" ]] || accepted ||
      echo "InfluxDB does not know DOCKER_INFLUXDB_INIT_ADMIN_TOKEN in influxv2.env, which it reads only at its first start:" \
        "using the token of that start (docs/stack.md, \"Changed passwords\")"
    credential="Authorization: Token $first"
    return 0
  fi
  credential="Authorization: Token $admin"
  [[ -z $admin ]] || ! accepted || return 0

  if [[ -n $user && -n $password ]]; then
    credential="Authorization: Basic $(printf %s "$user:$password" | base64 | tr -d '\n')"
    ask POST /api/v2/signin -i
    if [[ $body =~ influxdb-oss-session=([^;[:space:]]+) ]]; then
      credential="Cookie: influxdb-oss-session=${BASH_REMATCH[1]}"
      echo "Logged in to InfluxDB as $user, because it accepts none of our tokens"
      return 0
    fi
  fi
  fail "InfluxDB accepts neither the admin token nor the user and password in influxv2.env: that file was changed after
InfluxDB's first start, the only time it is read. Restore the old values; or set a new password with
  docker compose exec influxdb influx user password --name USER      (it may need --token with a token that still works)
and enter it in influxv2.env; or delete the old data and start again: deno task stack:reset"
}
log_in

ask GET /api/v2/orgs -G --data-urlencode "org=$org"
if [[ $status == 404 ]]; then
  ask POST /api/v2/orgs --data-binary "{\"name\":$(json "$org")}"
  must "create the organization \"$org\""
  echo "Organization $org: created"
fi
must "look up the organization \"$org\""
field id
org_id=$value

# rules SECONDS: a shard must be shorter than the retention; these lengths are InfluxDB's defaults
rules() {
  local shard=604800
  (($1 == 0 || $1 > 15552000)) || shard=86400
  (($1 == 0 || $1 >= 172800)) || shard=3600
  printf '"retentionRules":[{"type":"expire","everySeconds":%d,"shardGroupDurationSeconds":%d}]' "$1" "$shard"
}
ask GET /api/v2/buckets -G --data-urlencode "orgID=$org_id" --data-urlencode "name=$bucket"
if [[ $status == 404 ]]; then
  ask POST /api/v2/buckets --data-binary "{\"orgID\":\"$org_id\",\"name\":$(json "$bucket"),$(rules "${retention:-0}")}"
  must "create the bucket \"$bucket\""
  echo "Bucket $bucket: created"
fi
must "look up the bucket \"$bucket\""
field id
bucket_id=$value
kept=0
[[ ! $body =~ \"everySeconds\":[[:space:]]*([0-9]+) ]] || kept=${BASH_REMATCH[1]}
if [[ -n $retention && $retention != "$kept" ]]; then
  ask PATCH "/api/v2/buckets/$bucket_id" --data-binary "{$(rules "$retention")}"
  must "change the retention of the bucket \"$bucket\""
  kept=$retention
  echo "Bucket $bucket: retention changed"
fi
if ((kept == 0)); then
  echo "Bucket $bucket: keeps its points forever"
else
  echo "Bucket $bucket: keeps its points for $((kept / 3600)) hours. Older ones are deleted, and InfluxDB refuses new" \
    "points that are older: Telegraf logs that and skips them"
fi

# put FILE TEXT: atomic, because readers may open it at any time; without a newline, which would become part of the token
put() {
  (umask 022; printf %s "$2" > "$1.new")
  chmod 444 "$1.new"
  mv -f "$1.new" "$1"
}
# still_good RIGHT TOKEN: whether the token has that right on this bucket; an empty write is accepted and writes nothing
still_good() {
  local credential="Authorization: Token $2"
  case $1 in
    write) ask POST "/api/v2/write?org=$org_id&bucket=$bucket_id" --data-binary '' ;;
    read) ask GET "/api/v2/buckets/$bucket_id" ;;
  esac
  [[ $status == 2* ]]
}
# token NAME RIGHT FOLDER
token() {
  local file=$3/$1 old= resource
  [[ ! -s $file ]] || old=$(cat "$file")
  put "$3/org" "$org"
  put "$3/bucket" "$bucket"
  if [[ -n $old ]] && still_good "$2" "$old"; then
    echo "Token for $1: kept"
    return
  fi
  resource="{\"type\":\"buckets\",\"id\":\"$bucket_id\",\"orgID\":\"$org_id\"}"
  ask POST /api/v2/authorizations --data-binary \
    "{\"orgID\":\"$org_id\",\"description\":\"$1, created by init-influx\",\"permissions\":[{\"action\":\"$2\",\"resource\":$resource}]}"
  must "create a token for $1"
  field token
  put "$file" "$value"
  echo "Token for $1: created, it may $2 $bucket"
}
token telegraf write "$TOKENS_TELEGRAF"
token grafana read "$TOKENS_GRAFANA"
