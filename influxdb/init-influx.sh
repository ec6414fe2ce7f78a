#!/usr/bin/env bash
# Makes sure of what Telegraf and Grafana need of InfluxDB, at each start of the stack: the organization, the bucket, and one
# token each that may do no more than it must. What is there and works stays as it is. Talks to InfluxDB's HTTP API alone.
#   INFLUX_URL                        default http://influxdb:8086
#   DOCKER_INFLUXDB_INIT_ORG, _BUCKET, _ADMIN_TOKEN, _USERNAME, _PASSWORD    influxv2.env
#   INFLUX_CONFIGS_PATH               where InfluxDB's image has left its first token; default /etc/influxdb2/influx-configs
#   INFLUX_RETENTION                  how long the bucket keeps points: 30d, 12w, 2y, 0 for ever; when not set: as it is
#   TOKENS_TELEGRAF, TOKENS_GRAFANA   folders for the token and, beside it, the names: files `telegraf` or `grafana`, `org`, `bucket`
#   WAIT_SECONDS                      for InfluxDB to answer; default 60
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
  [[ -n ${!name:-} ]] || fail "Cannot start as $name must be set"
done

retention=
if [[ -n ${INFLUX_RETENTION:-} ]]; then
  wish="as it must be 0 (for ever) or at least an hour, such as 30d, 12w or 2y: current value is \"$INFLUX_RETENTION\""
  [[ $INFLUX_RETENTION =~ ^([0-9]{1,9})([smhdwy]?)$ ]] || fail "Cannot use INFLUX_RETENTION $wish"
  case ${BASH_REMATCH[2]} in m) unit=60 ;; h) unit=3600 ;; d) unit=86400 ;; w) unit=604800 ;; y) unit=31536000 ;; *) unit=1 ;; esac
  # 10#: a leading zero would make it octal
  retention=$((10#${BASH_REMATCH[1]} * unit))
  ((retention == 0 || retention >= 3600)) || fail "Cannot use INFLUX_RETENTION $wish"
fi

# ask METHOD PATH [CURL-OPTION]...: sets status and body. The credential does not stand on a command line, where others see it.
credential=
ask() {
  local answer
  answer=$(curl -sS --max-time 30 -X "$1" -H @<(printf %s "$credential") -w '\n%{http_code}' "${@:3}" "$url$2") ||
    fail "InfluxDB at $url stopped answering"
  status=${answer##*$'\n'}
  body=${answer%$'\n'*}
}
# must WHAT: ends here unless the last answer says yes
must() {
  [[ $status == 2* ]] || fail "Cannot $1 as InfluxDB answers $status: $(printf %s "$body" | sed 's/[[:space:]]\{1,\}/ /g' | tr -d '\n')"
}
# field NAME: sets value to that of the first such field in body
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
  # the token of the first start stands beside the data and may do everything; the file holds commented examples, too
  first=$(sed -n 's/^[[:space:]]*token[[:space:]]*=[[:space:]]*"\(.*\)".*/\1/p' "$configs" 2> /dev/null | sed -n 1p) || first=
  credential="Authorization: Token $first"
  if [[ -n $first ]] && accepted; then
    credential="Authorization: Token $admin"
    [[ -z $admin || $admin == "$first" ]] || accepted ||
      echo "DOCKER_INFLUXDB_INIT_ADMIN_TOKEN in influxv2.env is not known to InfluxDB, which read it at its first start only:" \
        "going on with the token of that start (docs/stack.md, \"Changed passwords\")"
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
      echo "Logged in to InfluxDB as $user, since it knows no token of ours"
      return 0
    fi
  fi
  fail "InfluxDB knows neither the admin token nor the user and password of influxv2.env: that file was changed after
InfluxDB's first start, the only time it is read. Put the old values back; or set a new password with
  docker compose exec influxdb influx user password --name USER      (it may want --token with a token that still works)
and write it into influxv2.env; or start anew without the old data: deno task stack:reset"
}
log_in

ask GET /api/v2/orgs -G --data-urlencode "org=$org"
if [[ $status == 404 ]]; then
  ask POST /api/v2/orgs --data-binary "{\"name\":$(json "$org")}"
  must "make the organization \"$org\""
  echo "Organization $org: made"
fi
must "look up the organization \"$org\""
field id
org_id=$value

# rules SECONDS: a shard must be shorter than what is kept; these lengths are InfluxDB's own
rules() {
  local shard=604800
  (($1 == 0 || $1 > 15552000)) || shard=86400
  (($1 == 0 || $1 >= 172800)) || shard=3600
  printf '"retentionRules":[{"type":"expire","everySeconds":%d,"shardGroupDurationSeconds":%d}]' "$1" "$shard"
}
ask GET /api/v2/buckets -G --data-urlencode "orgID=$org_id" --data-urlencode "name=$bucket"
if [[ $status == 404 ]]; then
  ask POST /api/v2/buckets --data-binary "{\"orgID\":\"$org_id\",\"name\":$(json "$bucket"),$(rules "${retention:-0}")}"
  must "make the bucket \"$bucket\""
  echo "Bucket $bucket: made"
fi
must "look up the bucket \"$bucket\""
field id
bucket_id=$value
kept=0
[[ ! $body =~ \"everySeconds\":[[:space:]]*([0-9]+) ]] || kept=${BASH_REMATCH[1]}
if [[ -n $retention && $retention != "$kept" ]]; then
  ask PATCH "/api/v2/buckets/$bucket_id" --data-binary "{$(rules "$retention")}"
  must "change how long the bucket \"$bucket\" keeps points"
  kept=$retention
  echo "Bucket $bucket: retention changed"
fi
if ((kept == 0)); then
  echo "Bucket $bucket: keeps its points for ever"
else
  echo "Bucket $bucket: keeps its points for $((kept / 3600)) hours. Older ones are deleted, and InfluxDB refuses new ones" \
    "that are older: Telegraf logs that and goes on without them"
fi

# put FILE TEXT: at once or not at all, for readers that may look at any time; no line end, which would become part of the token
put() {
  (umask 022; printf %s "$2" > "$1.new")
  chmod 444 "$1.new"
  mv -f "$1.new" "$1"
}
# still_good RIGHT TOKEN: whether it may do that to this bucket; an empty write is allowed and writes nothing
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
    echo "Token of $1: kept"
    return
  fi
  resource="{\"type\":\"buckets\",\"id\":\"$bucket_id\",\"orgID\":\"$org_id\"}"
  ask POST /api/v2/authorizations --data-binary \
    "{\"orgID\":\"$org_id\",\"description\":\"$1, made by init-influx\",\"permissions\":[{\"action\":\"$2\",\"resource\":$resource}]}"
  must "make a token for $1"
  field token
  put "$file" "$value"
  echo "Token of $1: made, it may $2 $bucket"
}
token telegraf write "$TOKENS_TELEGRAF"
token grafana read "$TOKENS_GRAFANA"
