"""What a worker writes to anomalies is what the core makes of metrics.agg, whatever happens to the worker."""

import contextlib
import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

import topics
from pipeline.cli import app
from pipeline.factory import Settings
from pipeline.runtime.kafka.topic_reader import committed_offsets
from tests.support.core.detecting import anomalies, detector_of, stream, window
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.kafka import KafkaBroker
from tests.support.stages.brokers import DETECTION, Broker, Raw, Stored, pipeline_topics, produce, read_topic
from tests.support.stages.streams import settings_of
from tests.support.stages.worker import Scrape, Worker, running
from tests.support.waiting import wait_until

PARTITIONS = 4
SAMPLE_S, EXPIRE_S = 1800, 6000


@pytest.fixture
def embedded(own_embedded_broker: EmbeddedBroker) -> Iterator[Broker]:
    with pipeline_topics(own_embedded_broker, names=DETECTION) as broker:
        yield broker


@pytest.fixture
def kafka(kafka_broker: KafkaBroker) -> Iterator[Broker]:
    with pipeline_topics(kafka_broker, names=DETECTION) as broker:
        yield broker


def worker_of(broker: Broker, directory: Path, **kafka: Any) -> Worker:
    settings = settings_of(
        broker,
        kafka=kafka,
        worker={"snapshot_interval_s": 0.3},
        detect={"sample_interval_s": SAMPLE_S, "expire_after_s": EXPIRE_S},
    )
    return Worker(directory, settings, stages="detect")


def records(windows: int = 480) -> list[Raw]:
    """Return the stream of each partition, one record of each after the other."""
    streams = [stream(windows, prefix=f"p{partition}") for partition in range(PARTITIONS)]
    shortest = min(map(len, streams))
    return [Raw(each[i], b"key", partition=number) for i in range(shortest) for number, each in enumerate(streams)]


def expected(broker: Broker) -> list[list[bytes]]:
    """Return what the core makes of each partition of metrics.agg."""
    stored = read_topic(broker, topics.METRICS_AGG)
    out = []
    for partition in range(PARTITIONS):
        detector = detector_of(sample_interval_ms=1000 * SAMPLE_S, expire_after_ms=1000 * EXPIRE_S)
        detector.partition = partition
        mine = [(record.offset, record.value or None) for record in stored if record.partition == partition]
        out.append(detector.add(mine).values)
    return out


def written(broker: Broker) -> list[bytes]:
    return [record.value for record in read_topic(broker, topics.ANOMALIES)]


def until_judged(worker: Worker, count: int) -> Scrape:
    """Wait until a worker's process has read so many records, and nothing waits."""
    return worker.wait_for(
        lambda scrape: (
            scrape.total("input_records_total", stage="detect") >= count
            and scrape.total("lag_records", stage="detect") == 0
        ),
        f"{count} records scored",
    )


def test_the_worker_writes_what_the_core_makes_of_its_windows(embedded: Broker, tmp_path: Path) -> None:
    count = produce(embedded, records(), topics.METRICS_AGG)
    with running(worker_of(embedded, tmp_path / "worker")) as worker:
        scrape = until_judged(worker, count)
    want = expected(embedded)
    assert sorted(written(embedded)) == sorted(value for values in want for value in values)
    stored = read_topic(embedded, topics.ANOMALIES)
    assert {record.kind for record in anomalies(record.value for record in stored)} == {"anomaly", "sample", "host"}
    assert {record.key for record in stored} == {key_of(record) for record in stored}
    assert scrape.total("input_records_total") == count
    assert count == scrape.total("scored_windows_total") + scrape.total("unscored_windows_total")
    assert scrape.total("anomalies_total") == len(stored)
    assert scrape.by("kind", "anomalies_total") == count_by_kind(stored)
    assert scrape.total("series") == scrape.total("started_series_total") - scrape.total("expired_series_total") > 0
    dead_letters = [orjson.loads(record.value) for record in read_topic(embedded, topics.DEAD_LETTERS)]
    assert {(dead_letter["stage"], dead_letter["topic"], dead_letter["reason"]) for dead_letter in dead_letters} == {
        ("detect", "metrics.agg", "PARSE_SYNTAX")
    }
    refused = scrape.by("reason", "unscored_windows_total")["unreadable"]
    without_value = sum(record.value == b"" for record in read_topic(embedded, topics.METRICS_AGG))
    assert len(dead_letters) == refused - without_value > 0


def key_of(record: Stored) -> bytes:
    tags: dict[str, str] = orjson.loads(record.value)["tags"]
    return tags["host"].encode()


def count_by_kind(stored: Sequence[Stored]) -> dict[str, int]:
    kinds = [orjson.loads(record.value)["kind"] for record in stored]
    return {kind: kinds.count(kind) for kind in set(kinds)}


def test_rules_are_followed_while_the_worker_runs_and_read_when_it_starts(embedded: Broker, tmp_path: Path) -> None:
    rule = tmp_path / "rule.yaml"
    rule.write_text("{kind: detection, id: queues, title: Queues, where: {measurement: queue}, function: max}")
    worker = worker_of(embedded, tmp_path / "worker")
    numbers = itertools.count()

    def send() -> None:
        value = window(next(numbers), {"depth": 1.0}, measurement="queue")
        produce(embedded, [Raw(value, b"a", partition=0)], topics.METRICS_AGG)

    def policy(*arguments: str) -> None:
        options = ["--bootstrap", embedded.bootstrap_servers]
        result = CliRunner().invoke(app, ["policy", *arguments, *options])
        assert result.exit_code == 0, result.output

    def sends_until(name: str, what: str, **labels: str) -> None:
        """Send windows until one more of them is counted there."""
        before = worker.scrape().total(name, **labels)

        def is_counted(scrape: Scrape) -> bool:
            send()
            return scrape.total(name, **labels) > before

        worker.wait_for(is_counted, what)

    with running(worker):
        sends_until("unscored_windows_total", "not scored without a rule", reason="not_watched")
        policy("apply", "-f", str(rule))
        sends_until("scored_windows_total", "scored under the rule")
        produce(embedded, [Raw(b"{", b"detection/queues")], topics.POLICIES)
        worker.wait_for(lambda scrape: scrape.total("refused_policies_total") == 1, "the bad record counted")
        sends_until("scored_windows_total", "scored under the old rule")
        policy("delete", "queues")
        sends_until("unscored_windows_total", "not scored any more", reason="not_watched")
        policy("apply", "-f", str(rule))
        worker.wait_for(lambda scrape: scrape.total("policies") == 1, "the rule once more")
    with running(worker):
        sends_until("scored_windows_total", "scored from the start")
        assert worker.scrape().by("reason", "unscored_windows_total")["not_watched"] == 0


@pytest.mark.real
def test_kills_and_moves_between_workers_leave_no_trace(kafka: Broker, tmp_path: Path) -> None:
    r = random.Random(3)
    first, second = (
        worker_of(kafka, tmp_path / name, fetch_max_bytes=8192, session_timeout_s=3) for name in ("first", "second")
    )
    batches = parts(records(), 4)
    with contextlib.ExitStack() as stack:
        for worker in (first, second):
            stack.callback(worker.discard)

        def some_judged(worker: Worker, count: int) -> None:
            left = count * r.uniform(0.2, 0.8)
            worker.wait_for(
                lambda scrape: scrape.total("input_records_total") > 0 and scrape.total("lag_records") <= left,
                "some records scored",
            )

        first.start()
        some_judged(first, send(kafka, batches[0]))
        first.kill()
        first.start().ready()
        second.start().ready()
        some_judged(second, send(kafka, batches[1]))
        first.kill()
        some_judged(second, send(kafka, batches[2]))
        first.start().ready()
        second.stop()
        some_judged(first, send(kafka, batches[3]))
        first.kill()
        first.start()
        wait_until(lambda: committed(kafka) == ends(kafka), timeout_s=60.0, what="all committed", every_s=0.3)
        first.stop()
    want = sorted(value for values in expected(kafka) for value in values)
    found = written(kafka)
    assert sorted(set(found)) == want, "a replay must give the same bytes"
    assert len(found) > len(want), "nothing was done twice: the kills have missed"
    assert "snapshot" in first.log()


def parts(stream: Sequence[Raw], count: int) -> list[Sequence[Raw]]:
    size = -(-len(stream) // count)
    return [stream[first : first + size] for first in range(0, len(stream), size)]


def send(broker: Broker, batch: Sequence[Raw]) -> int:
    return produce(broker, batch, topics.METRICS_AGG, **{"linger.ms": 0, "batch.num.messages": 5})


def committed(broker: Broker) -> dict[int, int]:
    kafka = Settings(kafka={"bootstrap_servers": broker.bootstrap_servers}).kafka
    return committed_offsets(kafka, "cinnamon-detect", topics.METRICS_AGG, [*range(PARTITIONS)], 30.0)


def ends(broker: Broker) -> dict[int, int]:
    stored = read_topic(broker, topics.METRICS_AGG)
    return {record.partition: record.offset + 1 for record in stored}
