"""Puts a fleet's messages on a topic: lz4, four partitions, and Telegraf's own partitioner."""

import argparse

from confluent_kafka import KafkaError, Producer

from bench.messages import Fleet

FLUSH_TIMEOUT_S = 120.0


def produce(fleet: Fleet, *, bootstrap_servers: str, topic: str) -> int:
    """Produce all of a fleet's messages, and return how many bytes of values they hold.

    Raises
    ------
    RuntimeError
        When the broker did not acknowledge all of them.
    """
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "compression.type": "lz4",
            "partitioner": "fnv1a",  # the function by which Telegraf's client spreads its keys
            "linger.ms": 50,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    failures: list[KafkaError] = []

    def on_delivery(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            failures.append(error)

    byte_count = 0
    for message in fleet.messages():
        byte_count += len(message.value)
        while True:
            try:
                producer.produce(
                    topic, key=message.key, value=message.value, timestamp=message.time_ms, on_delivery=on_delivery
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(FLUSH_TIMEOUT_S)
    if left or failures:
        raise RuntimeError(f"{left} messages were not sent and {len(failures)} refused: {failures[:1]}")
    return byte_count


def add_fleet_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that make a fleet."""
    parser.add_argument("--windows", type=int, default=100, help="windows of each host (six messages each)")
    parser.add_argument("--hosts", type=int, default=500)
    parser.add_argument("--format", choices=["influx", "json"], default="influx")
    parser.add_argument("--telegraf-floats", action="store_true", help="16 to 17 digits, fields in any order")


def fleet_of(arguments: argparse.Namespace) -> Fleet:
    """Return the fleet that the arguments name."""
    return Fleet(
        windows=arguments.windows,
        hosts=arguments.hosts,
        format=arguments.format,
        telegraf_floats=arguments.telegraf_floats,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    add_fleet_arguments(parser)
    arguments = parser.parse_args()
    fleet = fleet_of(arguments)
    byte_count = produce(fleet, bootstrap_servers=arguments.bootstrap, topic=arguments.topic)
    print(f"{fleet.message_count} messages of {byte_count / fleet.message_count:.0f} bytes on {arguments.topic}")


if __name__ == "__main__":
    main()
