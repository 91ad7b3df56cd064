"""Says whether a topic of windows holds exactly what a fleet's messages come to."""

import math
from collections.abc import Iterator

import orjson
from confluent_kafka import Consumer, TopicPartition

from bench.messages import FIELDS, WINDOW_S, Fleet

WINDOW_MS = WINDOW_S * 1000
AVERAGE_TOLERANCE = 1e-12  # a program may add up in another order
READ_TIMEOUT_S = 30.0

WindowKey = tuple[str, int]


def verify(fleet: Fleet, *, bootstrap_servers: str, topic: str) -> None:
    """Compare every window on the topic with one made from the fleet's numbers.

    Raises
    ------
    ValueError
        When a window is missing, too many, there twice, or has a wrong value.
    """
    expected = expected_windows(fleet)
    found = dict.fromkeys(expected, 0)
    for record in read_all(bootstrap_servers, topic):
        window = orjson.loads(record)
        key = window["tags"]["host"], window["start_ms"]
        if key not in expected:
            raise ValueError(f"{topic}: a window that should not be there: {key}")
        found[key] += 1
        compare(key, expected[key], window["fields"])
    wrong = {key: count for key, count in found.items() if count != 1}
    if wrong:
        raise ValueError(f"{topic}: {len(wrong)} of {len(expected)} windows are not there once: {next(iter(wrong))}")


def expected_windows(fleet: Fleet) -> dict[WindowKey, dict[str, dict[str, float]]]:
    """Return MIN, MAX, AVG and LAST of each field of each window that closes, by host and start."""
    gathered: dict[WindowKey, list[tuple[int, tuple[float, ...]]]] = {}
    end_ms = None
    for message in fleet.messages():
        if end_ms is None:
            end_ms = message.time_ms + fleet.windows * WINDOW_MS
        if message.time_ms < end_ms:
            host = message.key.rpartition(b"/")[2].decode()
            key = host, message.time_ms - message.time_ms % WINDOW_MS
            gathered.setdefault(key, []).append((message.time_ms, message.numbers))
    return {key: _functions(sorted(rows)) for key, rows in gathered.items()}


def compare(key: WindowKey, expected: dict[str, dict[str, float]], found: dict[str, dict[str, float]]) -> None:
    """Compare the fields of one window; functions beside the four are not looked at.

    Raises
    ------
    ValueError
        When a field is missing or too many, or a value is wrong.
    """
    if found.keys() != expected.keys():
        raise ValueError(f"{key}: fields {sorted(found)} in place of {sorted(expected)}")
    for name, functions in expected.items():
        for function, number in functions.items():
            tolerance = AVERAGE_TOLERANCE if function == "avg" else 0.0
            if not math.isclose(found[name][function], number, rel_tol=tolerance):
                raise ValueError(f"{key}: {function} of {name} is {found[name][function]} in place of {number}")


def read_all(bootstrap_servers: str, topic: str) -> Iterator[bytes]:
    """Yield every value of a topic that nobody writes to any more."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": topic, "enable.auto.commit": False})
    try:
        left = 0
        partitions = list(consumer.list_topics(topic, timeout=READ_TIMEOUT_S).topics[topic].partitions)
        for partition in partitions:
            first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=READ_TIMEOUT_S)
            left += end - first
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        while left > 0:
            batch = consumer.consume(10_000, timeout=READ_TIMEOUT_S)
            if not batch:
                raise ValueError(f"{topic}: {left} records could not be read within {READ_TIMEOUT_S:g} s")
            for message in batch:
                yield message.value() or b""
            left -= len(batch)
    finally:
        consumer.close()


def _functions(rows: list[tuple[int, tuple[float, ...]]]) -> dict[str, dict[str, float]]:
    columns = zip(*(numbers for _, numbers in rows), strict=True)
    return {
        name: {"min": min(column), "max": max(column), "avg": math.fsum(column) / len(column), "last": column[-1]}
        for name, column in zip(FIELDS, columns, strict=True)
    }
