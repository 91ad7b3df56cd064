"""What a worker cannot use lies in ``dead-letters`` with its reason, its place and its bytes; the rest is as ever."""

import base64
import random
import socket
import struct
import time
from collections import Counter
from pathlib import Path

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

import topics
from schemas.reasons import DeadLetterReason
from schemas.records import DeadLetter
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.process import REPOSITORY
from tests.support.stages.brokers import Broker, Raw, Stored, produce, read_topic
from tests.support.stages.streams import (
    BASE_MS,
    assert_equal,
    decoded,
    end_line,
    expected,
    fleet,
    settings_of,
    windows_of,
)
from tests.support.stages.worker import Worker, running

HOSTILE = REPOSITORY / "tests" / "data" / "hostile"
AT_NS = f"{BASE_MS}000000".encode()
MIB = 1024 * 1024
LARGEST_BYTES = 4 * MIB
GOOD = b"cpu,host=good usage_user=5 " + AT_NS
Refused = tuple[DeadLetterReason, int | None, int | None, bytes]
"""Reason, line, column, bytes."""


def whole(reason: DeadLetterReason, value: bytes, column: int) -> tuple[bytes, list[Refused]]:
    return value, [(reason, 1, column, value)]


def incompressible(size: int) -> bytes:
    """Return text that no compression makes much smaller: a broker's limit is on compressed bytes."""
    return base64.b64encode(random.Random(size).randbytes(size * 3 // 4)).rstrip(b"=")


def oversized_records() -> list[tuple[bytes, list[Refused]]]:
    """Return records that are small enough, whose windows would be larger than what Kafka or a database takes."""
    r = DeadLetterReason
    many = b",".join(b"field%d=%d" % (i, i) for i in range(100_000))
    return [
        whole(r.TOO_LARGE, b"cpu,host=bad,long=" + incompressible(MIB) + b" usage_user=1 " + AT_NS, 1),
        whole(r.TOO_LARGE, b"cpu,host=bad " + incompressible(2 * MIB) + b"=1 " + AT_NS, 1),
        whole(r.TOO_LARGE, b"cpu,host=bad " + many + b" " + AT_NS, 1),
    ]


def refused_records() -> list[tuple[bytes, list[Refused]]]:
    """Return values and the dead letters that must come of each."""
    r = DeadLetterReason
    hour_ahead = (int(time.time()) + 3600) * 10**9
    noise = random.Random(5).randbytes(5000)
    gzip = (HOSTILE / "gzip.bin").read_bytes()
    return [
        whole(r.PARSE_SYNTAX, b"hello world", 12),
        whole(r.PARSE_SYNTAX, b"cpu,host=bad usage_user= " + AT_NS, 25),
        whole(r.NO_FIELDS, b"cpu,host=bad", 13),
        whole(r.PARSE_SYNTAX, b'{"name":"cpu","fields":{"v":1}', 31),
        whole(r.PARSE_SYNTAX, b'{"metrics":' + b"[" * 5000, 5012),
        whole(r.UNKNOWN_FORMAT, b"\x00" + noise, 1),
        whole(r.UNKNOWN_FORMAT, gzip, 1),
        whole(r.PARSE_NUMBER, b"cpu,host=bad v=NaN " + AT_NS, 16),
        whole(r.PARSE_NUMBER, b"cpu,host=bad v=9223372036854775808i " + AT_NS, 36),
        whole(r.PARSE_NUMBER, b"cpu,host=bad v=1x " + AT_NS, 17),
        whole(r.TIMESTAMP_RANGE, b"cpu,host=bad v=1 9223372036854775808", 37),
        whole(r.TIMESTAMP_FUTURE, b"cpu,host=bad v=1 9223372036854775807", 1),
        whole(r.TIMESTAMP_FUTURE, b"cpu,host=bad v=1 %d" % hour_ahead, 1),
        whole(r.TOO_LARGE, b"cpu,host=bad v=1 " + b" " * LARGEST_BYTES, 1),
        # of several lines only the bad ones
        (
            GOOD + b"\ncpu,host=bad v=\n" + GOOD + b"\nhello\n",
            [(r.PARSE_SYNTAX, 2, 16, b"cpu,host=bad v="), (r.NO_FIELDS, 4, 6, b"hello")],
        ),
    ]


def used_records() -> list[bytes]:
    """Return values that look as bad and are samples all the same, or are filtered."""
    return [
        b"cpu,host=odd,long=" + b"x" * 60_000 + b" usage_user=1 " + AT_NS,
        b"cpu,host=odd usage_user=1e400,usage_system=2 " + AT_NS,
        b'{"name":"cpu","tags":{"host":"odd"},"fields":{"usage_user":NaN,"usage_idle":3},"timestamp":1700000000}',
        b'{"name":"cpu","tags":{"host":"odd"},"fields":{"usage_idle":9223372036854775808},"timestamp":1700000000}',
        b"cpu,host=odd usage_user=9223372036854775807i,usage_system=18446744073709551615u " + AT_NS,
        b"cpu,host=1970 usage_user=1 1",
        b"cpu,host=1969 usage_user=1 -9223372036854775808",
        b"cpu,host=odd " + b"\\ " * 3000 + b"=7 " + AT_NS,
    ]


def test_bad_records_get_their_dead_letters_and_the_rest_its_windows(broker: Broker, tmp_path: Path) -> None:
    settings = settings_of(broker)
    oversized = oversized_records()
    bad = [*refused_records(), *oversized]
    stream = [Raw(record.value, record.key, record.timestamp_ms, record.partition) for record in fleet(5, 200)]
    for number, value in enumerate([*(value for value, _ in bad), *used_records()]):
        stream.insert(20 * number, Raw(value, b"bad", BASE_MS, number % 4))
    stream += [
        Raw(end_line({"host": h}), b"bad", BASE_MS, p) for h in ("odd", "1970", "1969", "good") for p in range(4)
    ]
    count = produce(broker, stream, **{"compression.type": "none"})
    with running(Worker(tmp_path / "worker", settings)) as worker:
        scrape = worker.wait_for(lambda scrape: scrape.total("input_records_total") >= count, f"{count} records")

    stored = read_topic(broker, topics.METRICS_RAW)
    places = {record.value: record for record in stored}
    dead_letters = read_dead_letters(broker)
    for value, wanted in bad:
        at = places[value]
        got = [
            dead_letter
            for dead_letter in dead_letters
            if (dead_letter.partition, dead_letter.offset) == (at.partition, at.offset)
        ]
        assert [(each.reason, each.line, each.column, each.value) for each in got] == wanted, value[:80]
    beyond = {value for value, _ in oversized}
    usable = [record for record in stored if record.value not in beyond]
    want = expected(usable, settings, now_ms=int(time.time() * 1000))
    assert len(dead_letters) == want.counts["refused"] + len(beyond)
    by_reason = Counter(dead_letter.reason.value for dead_letter in dead_letters)
    assert scrape.by("reason", "dead_lettered_records_total", stage="aggregate") == by_reason
    assert scrape.total("filtered_samples_total", reason="not_finite") >= 2
    assert_equal(windows_of(decoded(read_topic(broker, topics.METRICS_AGG))), windows_of(want.records))


def test_a_record_without_a_key_whose_resource_is_too_long_for_one_is_a_dead_letter(
    broker: Broker, tmp_path: Path
) -> None:
    value = b"cpu,host=" + incompressible(3 * MIB) + b" usage_user=1 " + AT_NS
    produce(broker, [Raw(value, None, BASE_MS, 0)], **{"compression.type": "none"})
    with running(Worker(tmp_path / "worker", settings_of(broker))) as worker:
        worker.wait_for(lambda scrape: scrape.total("rekeyed_records_total") == 1, "the record")
    (dead_letter,) = read_dead_letters(broker)
    assert (dead_letter.partition, dead_letter.offset, dead_letter.reason) == (0, 0, DeadLetterReason.TOO_LARGE)
    assert dead_letter.value == value


def read_dead_letters(broker: Broker) -> list[DeadLetter]:
    """Read all dead letters, each under the key of its place, in the order of their places and lines."""
    dead_letters = []
    for stored in read_topic(broker, topics.DEAD_LETTERS):
        dead_letter = DeadLetter.model_validate_json(stored.value)
        assert stored.key == f"{dead_letter.topic}/{dead_letter.partition}/{dead_letter.offset}".encode()
        assert (dead_letter.topic, dead_letter.stage) == (topics.METRICS_RAW, "aggregate")
        dead_letters.append(dead_letter)
    return sorted(
        dead_letters, key=lambda dead_letter: (dead_letter.partition, dead_letter.offset, dead_letter.line or 0)
    )


def damaged_batch(values: list[bytes]) -> bytes:
    """Return a record batch that says it is lz4, with a right CRC, and is none."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1024 * 1024)
    for i, value in enumerate(values):
        builder.append(i, BASE_MS, b"key", value, [])
    batch = bytearray(builder.build())
    batch[22] |= 3
    batch[61:] = b"\x04\x22\x4d\x18" + bytes(range(60))
    batch[8:12] = struct.pack(">i", len(batch) - 12)
    batch[17:21] = struct.pack(">I", calc_crc32c(bytes(batch[21:])))
    return bytes(batch)


def produce_batch(port: int, topic: str, partition: int, batch: bytes) -> None:
    """Send one batch as it is (Produce, version 3): a client would not make a wrong one."""
    name = topic.encode()
    head = struct.pack(">hhi", 0, 3, 1) + struct.pack(">h", 4) + b"test"
    place = (
        struct.pack(">hhii", -1, -1, 10_000, 1) + struct.pack(">h", len(name)) + name + struct.pack(">ii", 1, partition)
    )
    request = head + place + struct.pack(">i", len(batch)) + batch
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("rb") as answers:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = answers.read(struct.unpack(">i", answers.read(4))[0])
    error_at = 4 + 4 + 2 + len(name) + 4 + 4
    assert struct.unpack_from(">h", answer, error_at) == (0,)


def test_a_wrongly_compressed_batch_is_one_dead_letter_and_what_follows_is_read(
    embedded: Broker, tmp_path: Path
) -> None:
    assert isinstance(embedded, EmbeddedBroker)  # Kafka refuses such a batch itself
    settings = settings_of(embedded)
    follows = [Raw(record.value, record.key, BASE_MS + 1, 0) for record in fleet(6, 200, partitions=1)]
    batch = damaged_batch([GOOD, GOOD, GOOD])
    produce(embedded, [Raw(record.value, record.key, record.timestamp_ms, 1) for record in follows])
    produce_batch(embedded.port, topics.METRICS_RAW, 0, batch)
    produce(embedded, follows)
    with running(Worker(tmp_path / "worker", settings)) as worker:
        scrape = worker.wait_for(
            lambda scrape: scrape.total("input_records_total") >= 2 * len(follows), "all readable records"
        )

    (dead_letter,) = [each for each in read_dead_letters(embedded) if each.reason is DeadLetterReason.UNREADABLE_BATCH]
    assert (dead_letter.partition, dead_letter.offset) == (0, 0)
    assert dead_letter.message.startswith("offsets 0 to 2: lz4: ")
    assert dead_letter.value == batch
    assert scrape.total("dead_lettered_records_total", reason="UNREADABLE_BATCH") == 1
    behind = [
        Stored(0, 3 + offset, record.key, record.value, record.timestamp_ms, {})
        for offset, record in enumerate(follows)
    ]
    want = expected([*behind, *read_topic(embedded, topics.METRICS_RAW, {1})], settings)
    assert_equal(windows_of(decoded(read_topic(embedded, topics.METRICS_AGG))), windows_of(want.records))
