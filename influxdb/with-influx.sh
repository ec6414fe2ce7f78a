#!/bin/sh
# Runs a command with INFLUX_ORG and INFLUX_BUCKET, which init-influx has stored next to the token. So Telegraf and Grafana get
# a new organization or bucket in influxv2.env, but not the passwords in that file.
set -eu
tokens=${TOKENS:-/run/tokens}
INFLUX_ORG=$(cat "$tokens/org")
INFLUX_BUCKET=$(cat "$tokens/bucket")
export INFLUX_ORG INFLUX_BUCKET
exec "$@"
