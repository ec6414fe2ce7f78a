#!/usr/bin/env bash
# Creates the topics, at each start of the stack. An existing topic keeps its properties, except those that a variable sets;
# other topics are not touched.
#   KAFKA_BROKERS       default broker:19092
#   TOPICS              default "ticker_batch feed_gaps"
#   TOPIC_PARTITIONS    1 for a new topic if unset; an existing one can get more, never fewer
#   TOPIC_REPLICATION   copies of a new topic, 1 if unset; cannot be changed here later
#   TOPIC_RETENTION_MS  how long Kafka keeps records, ms; -1: forever; unset: the broker's default, a week
#   TOPIC_MIN_ISR       how many copies must be written before a record is acknowledged
#   KAFKA_TOPICS, KAFKA_CONFIGS    Kafka's two tools, if they are not where the images have them
set -euo pipefail

brokers=${KAFKA_BROKERS:-broker:19092}
topics=${TOPICS:-ticker_batch feed_gaps}

fail() {
  echo "init-kafka: $1" >&2
  exit 1
}

# whole NAME MINIMUM: fails unless the variable is empty or a whole number from the minimum on
whole() {
  local value=${!1:-}
  [[ -z $value || ($value =~ ^-?[0-9]{1,15}$ && (${value#-} == "$value" && 10#$value -ge $2 || $value -ge $2)) ]] ||
    fail "Cannot use $1: expected a whole number, $2 or more, got \"$value\""
  # otherwise a leading zero means octal
  [[ ! $value =~ ^0+[0-9] ]] || printf -v "$1" %d "$((10#$value))"
}
whole TOPIC_PARTITIONS 1
whole TOPIC_REPLICATION 1
whole TOPIC_RETENTION_MS -1
whole TOPIC_MIN_ISR 1

# tool NAME: in apache/kafka it is NAME.sh in /opt/kafka/bin, in Confluent's image NAME on the PATH
tool() {
  PATH=$PATH:/opt/kafka/bin command -v "$1.sh" || command -v "$1" ||
    fail "Cannot find $1: expected it on the PATH or in /opt/kafka/bin; KAFKA_TOPICS and KAFKA_CONFIGS can name it"
}
kafka_topics=${KAFKA_TOPICS:-$(tool kafka-topics)}
kafka_configs=${KAFKA_CONFIGS:-$(tool kafka-configs)}

list() {
  "$kafka_topics" --bootstrap-server "$brokers" --list || fail "Cannot list the topics: Kafka at $brokers does not answer"
}

properties=()
[[ -z ${TOPIC_RETENTION_MS:-} ]] || properties+=("retention.ms=$TOPIC_RETENTION_MS")
[[ -z ${TOPIC_MIN_ISR:-} ]] || properties+=("min.insync.replicas=$TOPIC_MIN_ISR")

create() {
  local args=(--partitions "${TOPIC_PARTITIONS:-1}" --replication-factor "${TOPIC_REPLICATION:-1}") property
  for property in "${properties[@]}"; do args+=(--config "$property"); done
  # its warning about periods and underscores in names concerns the broker's metrics and can be ignored
  "$kafka_topics" --bootstrap-server "$brokers" --create --if-not-exists --topic "$1" "${args[@]}"
}

# change TOPIC: applies the variables to an existing topic
change() {
  local line partitions replication
  if [[ -n ${TOPIC_PARTITIONS:-}${TOPIC_REPLICATION:-} ]]; then
    line=$("$kafka_topics" --bootstrap-server "$brokers" --describe --topic "$1")
    [[ $line =~ PartitionCount:[[:space:]]*([0-9]+) ]] || fail "Cannot read how many partitions $1 has: $line"
    partitions=${BASH_REMATCH[1]}
    [[ $line =~ ReplicationFactor:[[:space:]]*([0-9]+) ]] || fail "Cannot read how many copies $1 has: $line"
    replication=${BASH_REMATCH[1]}
    if [[ ${TOPIC_PARTITIONS:-$partitions} -gt $partitions ]]; then
      "$kafka_topics" --bootstrap-server "$brokers" --alter --topic "$1" --partitions "$TOPIC_PARTITIONS"
      echo "$1: $TOPIC_PARTITIONS partitions instead of $partitions. A product may be in another one than before, so its records are in order" \
        "only from now on; a Telegraf that is not restarted may not see the new partitions for 20 minutes"
    elif [[ ${TOPIC_PARTITIONS:-$partitions} -lt $partitions ]]; then
      echo "$1: keeps its $partitions partitions, because Kafka cannot remove any (TOPIC_PARTITIONS is $TOPIC_PARTITIONS)"
    fi
    [[ ${TOPIC_REPLICATION:-$replication} -eq $replication ]] ||
      echo "$1: keeps its $replication copies, because only a reassignment can change that (TOPIC_REPLICATION is $TOPIC_REPLICATION)"
  fi
  if [[ ${#properties[@]} -gt 0 ]]; then
    local joined
    joined=$(IFS=,; echo "${properties[*]}")
    "$kafka_configs" --bootstrap-server "$brokers" --alter --entity-type topics --entity-name "$1" --add-config "$joined"
  fi
}

before=$(list)
echo "Topics before: ${before//$'\n'/ }"
for topic in $topics; do
  if [[ $'\n'$before$'\n' == *$'\n'"$topic"$'\n'* ]]; then change "$topic"; else create "$topic"; fi
done
after=$(list)
echo "Topics after: ${after//$'\n'/ }"
