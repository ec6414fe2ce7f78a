"""The way of the tutorials: websocket-client calls back, json reads, produce() writes each message.

Arguments: address of the feed, broker, topic, seconds to warm up, seconds to measure. Prints one line of JSON.
"""

import importlib.metadata
import json
import platform
import resource
import sys
import time

import websocket
from confluent_kafka import Producer, libversion

url, broker, topic = sys.argv[1:4]
warm, seconds = float(sys.argv[4]), float(sys.argv[5])

producer = Producer({"bootstrap.servers": broker, "acks": "all"})
acknowledged = failed = 0


def on_delivery(error, _message):
    global acknowledged, failed
    if error is None:
        acknowledged += 1
    else:
        failed += 1


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


started = time.monotonic()
before = None


def on_message(socket, frame):
    global before
    message = json.loads(frame)
    if message.get("type") != "ticker":
        return
    record = {
        "product": message["product_id"],
        "w_time": int(time.time()),
        "price": float(message["price"]),
    }
    while True:
        try:
            producer.produce(topic, key=record["product"], value=json.dumps(record), on_delivery=on_delivery)
            break
        except BufferError:
            # its queue is full: it waits, so that nothing is dropped
            producer.poll(0.01)
    producer.poll(0)
    now = time.monotonic()
    if before is None and now - started >= warm:
        before = (now, acknowledged, cpu())
    elif before is not None and now - before[0] >= seconds:
        records = acknowledged - before[1]
        print(json.dumps({
            "rate": records / (now - before[0]),
            "cpuSecondsPerMillion": (cpu() - before[2]) / records * 1e6,
            "failed": failed,
            "versions": {
                "Python": platform.python_version(),
                "websocket-client": importlib.metadata.version("websocket-client"),
                "confluent-kafka": importlib.metadata.version("confluent-kafka"),
                "librdkafka": libversion()[0],
            },
        }), flush=True)
        socket.close()


def on_open(socket):
    socket.send(json.dumps({"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["ticker"]}))


websocket.WebSocketApp(url, on_open=on_open, on_message=on_message).run_forever()
