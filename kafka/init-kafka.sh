#!/usr/bin/env bash
# Makes sure of the topics, at each start of the stack. A topic that exists keeps all its properties, but for those that a
# variable names; other topics are left alone.
#   KAFKA_BROKERS       where to ask; default broker:19092
#   TOPICS              default "ticker_batch feed_gaps"
#   TOPIC_PARTITIONS    new topics: 1 when not set; existing ones can get more, never fewer
#   TOPIC_REPLICATION   copies of a new topic: 1 when not set; cannot be changed here later
#   TOPIC_RETENTION_MS  how long Kafka keeps records, ms; -1: for ever; when not set: the broker's default, a week
#   TOPIC_MIN_ISR       how many copies must be written before a record counts as stored
#   KAFKA_TOPICS, KAFKA_CONFIGS    Kafka's two tools, when they are not where the images have them
set -euo pipefail

brokers=${KAFKA_BROKERS:-broker:19092}
topics=${TOPICS:-ticker_batch feed_gaps}

fail() {
  echo "init-kafka: $1" >&2
  exit 1
}

# whole NAME MINIMUM: the variable is empty or a whole number, not below the minimum
whole() {
  local value=${!1:-}
  [[ -z $value || ($value =~ ^-?[0-9]{1,15}$ && (${value#-} == "$value" && 10#$value -ge $2 || $value -ge $2)) ]] ||
    fail "Cannot use $1 as it must be a whole number from $2 on: current value is \"$value\""
  # a leading zero would make it octal
  [[ ! $value =~ ^0+[0-9] ]] || printf -v "$1" %d "$((10#$value))"
}
whole TOPIC_PARTITIONS 1
whole TOPIC_REPLICATION 1
whole TOPIC_RETENTION_MS -1
whole TOPIC_MIN_ISR 1

# tool NAME: apache/kafka has it as NAME.sh in /opt/kafka/bin, Confluent's image as NAME on the path
tool() {
  PATH=$PATH:/opt/kafka/bin command -v "$1.sh" || command -v "$1" ||
    fail "Cannot find $1 as it must be on the path or in /opt/kafka/bin: KAFKA_TOPICS and KAFKA_CONFIGS can name it"
}
kafka_topics=${KAFKA_TOPICS:-$(tool kafka-topics)}
kafka_configs=${KAFKA_CONFIGS:-$(tool kafka-configs)}

list() {
  "$kafka_topics" --bootstrap-server "$brokers" --list || fail "Cannot list the topics as Kafka at $brokers must answer"
}

properties=()
[[ -z ${TOPIC_RETENTION_MS:-} ]] || properties+=("retention.ms=$TOPIC_RETENTION_MS")
[[ -z ${TOPIC_MIN_ISR:-} ]] || properties+=("min.insync.replicas=$TOPIC_MIN_ISR")

create() {
  local args=(--partitions "${TOPIC_PARTITIONS:-1}" --replication-factor "${TOPIC_REPLICATION:-1}") property
  for property in "${properties[@]}"; do args+=(--config "$property"); done
  # its warning about periods and underscores in one name is about metrics of the broker: nothing for us
  "$kafka_topics" --bootstrap-server "$brokers" --create --if-not-exists --topic "$1" "${args[@]}"
}

# change TOPIC: what the variables say, on a topic that exists
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
      echo "$1: $TOPIC_PARTITIONS partitions instead of $partitions. A product may be in another one than before, so its order" \
        "holds only from here on; a Telegraf that is not restarted may not see the new ones for 20 minutes"
    elif [[ ${TOPIC_PARTITIONS:-$partitions} -lt $partitions ]]; then
      echo "$1: keeps its $partitions partitions as Kafka cannot take any away (TOPIC_PARTITIONS is $TOPIC_PARTITIONS)"
    fi
    [[ ${TOPIC_REPLICATION:-$replication} -eq $replication ]] ||
      echo "$1: keeps its $replication copies as only a reassignment changes that (TOPIC_REPLICATION is $TOPIC_REPLICATION)"
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
