"""From a sample in Kafka to its alert in Kafka, on a real broker and worker: ``python -m bench.trigger_latency``.

Machines send ten fields each; some of their values breach a policy's level now and then. Latency is from the Kafka
timestamp of the record to that of the alert, both set by producers on this machine. Broker, worker and the source of
the messages share its cores.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from confluent_kafka import Producer

import topics
from bench.broker import PARTITIONS, Broker, kafka
from bench.end_to_end import cpu_model
from bench.waiting import wait_until
from bench.worker import worker
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.topic_reader import TopicReader
from topics.catalogue import load_topics
from topics.plan import wanted_topics

_FIELDS = 10
_TOPICS = {
    *(topics.METRICS_RAW, topics.METRICS_AGG, topics.ANOMALIES, topics.ALERTS, topics.POLICIES),
    *(topics.DEAD_LETTERS, topics.CHECKPOINTS, topics.CHECKPOINT_BLOCKS),
}
_LEVELS = {"warn": {"fire": 80, "reset": 70}}


def policies(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and documents of policies about one field each.

    A policy is about a hundredth of the machines, or where there are many policies, about one machine.
    """
    for number in range(count):
        where = {"measurement": "cpu", "field": f"usage_{number % _FIELDS}"}
        of = number // _FIELDS
        targets = [{"infra_id": f"m{of}"} if count <= 100 * _FIELDS else {"node_id": f"vm-{of}"}]
        policy = {"id": f"p{number}", "where": where, "targets": targets, "levels": _LEVELS}
        yield f"trigger/p{number}".encode(), json.dumps(policy).encode()


class Machines:
    """Machines that send one after the other; ``breaching`` messages a second change whether a value is high."""

    def __init__(self, count: int, rate: int, breaching: int) -> None:
        self._heads = [
            b"cpu,host=vm-%d,infra_id=m%d,node_id=vm-%d,ns_id=ns01 " % (number, number % 100, number)
            for number in range(count)
        ]
        self._keys = [b"ns01/m%d/vm-%d" % (number % 100, number) for number in range(count)]
        self._high = [False] * count
        self._share = breaching / rate
        self._random = random.Random(0)
        self._calm = b",".join(b"usage_%d=%d.5" % (field, 20 + field) for field in range(1, _FIELDS))
        self._next = 0

    def message(self) -> tuple[bytes, bytes]:
        """Return key and value of the next message."""
        machine = self._next
        self._next = (machine + 1) % len(self._heads)
        if self._random.random() < self._share:
            self._high[machine] = not self._high[machine]
        usage = b"usage_0=95," if self._high[machine] else b"usage_0=25,"
        line = self._heads[machine] + usage + self._calm + b" %d" % time.time_ns()
        return self._keys[machine], line


def send(servers: str, machines: Machines, *, rate: int, seconds: float) -> float:
    """Send at a pace; return how many messages a second it came to."""
    producer = Producer(
        {"bootstrap.servers": servers, "partitioner": "fnv1a", "compression.type": "lz4", "linger.ms": 5}
        | {"queue.buffering.max.messages": 1_000_000}
    )
    began = time.monotonic()
    sent = 0
    while (passed := time.monotonic() - began) < seconds:
        for _ in range(int(rate * passed) - sent):
            key, value = machines.message()
            producer.produce(topics.METRICS_RAW, value, key)
            sent += 1
        producer.poll(0)
        time.sleep(0.002)
    producer.flush(30)
    return sent / (time.monotonic() - began)


def apply(servers: str, count: int) -> None:
    """Put so many policies in force."""
    producer = Producer({"bootstrap.servers": servers})
    for key, document in policies(count):
        producer.produce(topics.POLICIES, document, key)
    producer.flush(30)


def latencies_ms(broker: Broker, since_ms: int) -> list[int]:
    """Return how long after its sample each alert was there, of samples sent since then; sorted."""
    found = []
    with TopicReader(KafkaSettings(bootstrap_servers=broker.bootstrap_servers)) as reader:
        raw = reader.read_all(topics.METRICS_RAW)
        sent = {(record.partition(), record.offset()): record.timestamp()[1] for record in raw}
        for record in reader.read_all(topics.ALERTS):
            evidence = json.loads(record.value() or b"")["evidence"]
            sent_ms = sent[evidence["partition"], evidence["offset"]]
            if sent_ms >= since_ms:
                found.append(record.timestamp()[1] - sent_ms)
    return sorted(found)


def measure(broker: Broker, directory: Path, options: argparse.Namespace, count: int) -> None:
    """Print a row: what so many policies come to."""
    broker.create(
        topic for topic in wanted_topics(load_topics(), partitions=PARTITIONS, replication=1) if topic.name in _TOPICS
    )
    apply(broker.bootstrap_servers, count)
    machines = Machines(options.machines, options.rate, options.breaching)
    settings = {"CINNAMON_WORKER__CHECKPOINT_INTERVAL_S": "0.3"}
    with worker(broker, directory, stages="trigger", settings=settings) as running:
        send(broker.bootstrap_servers, machines, rate=options.rate, seconds=options.warm_s)
        wait_until(running.is_idle, timeout_s=120, what="the warm-up evaluated", alive=running.is_running)
        since_ms = time.time_ns() // 1_000_000
        before_s = running.cpu_s()
        rate = send(broker.bootstrap_servers, machines, rate=options.rate, seconds=options.seconds)
        wait_until(running.is_idle, timeout_s=120, what="all evaluated", alive=running.is_running)
        spent_s = running.cpu_s() - before_s
    found = latencies_ms(broker, since_ms)
    cost_us = spent_s / (rate * options.seconds) * 1e6
    p99 = found[int(0.99 * len(found))]
    print(
        f"{count:8,d}  {rate:10,.0f}  {len(found):6,d}  {statistics.median(found):6.0f}  {p99:6d}  {found[-1]:6d}"
        f"  {cost_us:11.2f}"
    )
    broker.delete(_TOPICS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=50_000, help="messages a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--warm-s", type=float, default=10.0)
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--breaching", type=int, default=200, help="messages a second that change a level")
    options = parser.parse_args()
    load = psutil.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="cinnamon-bench-") as directory, kafka(Path(directory)) as broker:
        series = options.machines * _FIELDS
        print(f"{cpu_model()}, {psutil.cpu_count()} cores, load {load:.1f} before; {series:,} series")
        print("policies  messages/s  alerts  median     p99     max  us/message  (milliseconds)")
        for count in (1000, 10_000):
            measure(broker, Path(directory) / str(count), options, count)


if __name__ == "__main__":
    main()
