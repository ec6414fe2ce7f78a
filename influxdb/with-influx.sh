#!/bin/sh
# Runs a command with INFLUX_ORG and INFLUX_BUCKET as init-influx left them beside the token: so that another organization or
# bucket in influxv2.env reaches Telegraf and Grafana, and the passwords in that file do not.
set -eu
tokens=${TOKENS:-/run/tokens}
INFLUX_ORG=$(cat "$tokens/org")
INFLUX_BUCKET=$(cat "$tokens/bucket")
export INFLUX_ORG INFLUX_BUCKET
exec "$@"
