"""The job as a plain loop: confluent-kafka reads, plain Python folds, confluent-kafka writes."""

import argparse

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.measured import Clock, Measured
from bench.plain_windows import PlainWindows

BATCH = 10_000
FLUSH_TIMEOUT_S = 60.0


def run(*, bootstrap_servers: str, topic: str, out: str, messages: int) -> Measured:
    """Read that many messages from the start of a topic, write its windows to another, and return the cost."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": out,
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,  # at its default of 1 s a fast reader waits for its own full queue
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    windows = {partition: PlainWindows() for partition in partitions}
    read = written = 0
    clock = Clock()
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    while read < messages:
        for message in consumer.consume(BATCH, timeout=1.0):
            error, value = message.error(), message.value()
            if error is not None or value is None:
                raise RuntimeError(f"{topic} could not be read: {error}")
            read += 1
            for record in windows[message.partition() or 0].add(value):
                producer.produce(out, record)
                written += 1
        producer.poll(0)
    if producer.flush(FLUSH_TIMEOUT_S):
        raise RuntimeError(f"the windows were not acknowledged within {FLUSH_TIMEOUT_S:g} s")
    measured = clock.measured("plain loop on confluent-kafka", messages=read, windows=written)
    consumer.close()
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--messages", type=int, required=True)
    arguments = parser.parse_args()
    measured = run(
        bootstrap_servers=arguments.bootstrap,
        topic=arguments.topic,
        out=arguments.out,
        messages=arguments.messages,
    )
    print(measured.to_json())


if __name__ == "__main__":
    main()
