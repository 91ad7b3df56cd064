"""What a worker writes to alerts is what the core makes of metrics.raw, whatever happens to the worker."""

import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import topics
from pipeline.cli import app
from pipeline.core.records.identity.raw_samples import RawSamples
from pipeline.core.records.telegraf.parser import ParseOptions, batch_of
from pipeline.core.triggers.evaluator import PolicyEvaluator
from pipeline.core.triggers.inputs import RawInput
from schemas.alert import AlertEvent
from schemas.trigger_policy import trigger_policy
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.kafka import KafkaBroker
from tests.support.stages.brokers import TRIGGERS, Broker, Raw, pipeline_topics, produce, read_topic
from tests.support.stages.streams import settings_of
from tests.support.stages.worker import Scrape, Worker, running
from tests.support.waiting import wait_until

PARTITIONS = 4
BASE_S = 1_780_000_000
HOUR_MS = 3_600_000
LEVELS = {
    "info": {"fire": 60, "reset": 50},
    "warn": {"fire": 70, "reset": 60},
    "critical": {"fire": 80, "reset": 70},
}
GOLDEN = {"id": "golden", "levels": LEVELS}
FLAPPING = {"id": "calm", "levels": LEVELS, "pending": "20s", "keep_firing": "30s", "repeat": "2m"} | {
    "flap": {"history": 9, "low": 0.2, "high": 0.4}
}
WINDOW = {"id": "window", "on": "window", "function": "max", "levels": LEVELS}
ANOMALY = {"id": "strange", "on": "anomaly", "compare": ">=", "levels": {"warn": {"fire": 2.0, "reset": 1.0}}}
SILENCE = {"id": "gone", "on": "silence", "silence_after": "1h"}


@pytest.fixture
def embedded(own_embedded_broker: EmbeddedBroker) -> Iterator[Broker]:
    with pipeline_topics(own_embedded_broker, names=TRIGGERS, partitions=PARTITIONS) as broker:
        yield broker


@pytest.fixture
def kafka(kafka_broker: KafkaBroker) -> Iterator[Broker]:
    with pipeline_topics(kafka_broker, names=TRIGGERS, partitions=PARTITIONS) as broker:
        yield broker


def worker_of(broker: Broker, directory: Path, **kafka: Any) -> Worker:
    settings = settings_of(broker, kafka=kafka, worker={"snapshot_interval_s": 0.3})
    return Worker(directory, settings, stages="trigger")


def apply(broker: Broker, *policies: Mapping[str, Any]) -> None:
    """Put policies in force."""
    records = [Raw(json.dumps(policy).encode(), f"trigger/{policy['id']}".encode()) for policy in policies]
    produce(broker, records, topics.POLICIES)


def sample(host: str, second: int, value: float, partition: int = 0) -> Raw:
    line = f"cpu,host={host} usage={value} {BASE_S + second}000000000"
    return Raw(line.encode(), host.encode(), partition=partition)


def walks(seed: int, count: int) -> list[Raw]:
    """Return the samples of two hosts a partition, whose load goes up and down."""
    r = random.Random(seed)
    loads = {f"p{partition}-{host}": 65.0 for partition in range(PARTITIONS) for host in "ab"}
    found = []
    for step in range(count):
        for host, load in loads.items():
            loads[host] = min(max(load + r.choice([-12, -3, 3, 12]), 30.0), 95.0)
            found.append(sample(host, 10 * step, loads[host], int(host[1])))
    return found


def written(broker: Broker) -> list[AlertEvent]:
    return [AlertEvent.model_validate_json(record.value) for record in read_topic(broker, topics.ALERTS)]


def expected(broker: Broker, *policies: Mapping[str, Any]) -> list[AlertEvent]:
    """Return what the core makes of each partition of metrics.raw."""
    stored = read_topic(broker, topics.METRICS_RAW)
    found: list[AlertEvent] = []
    for partition in range(PARTITIONS):
        evaluator = PolicyEvaluator(partition)
        for policy in policies:
            evaluator.put_policy(trigger_policy(policy), at_ms=0)
        raw, raw_input = RawSamples(ParseOptions()), RawInput(evaluator)
        values = [record.value for record in stored if record.partition == partition]
        for samples in raw.read(batch_of(values, 0), 0, len(values), time.time_ns() // 1_000_000):
            found += raw_input.evaluate(samples, raw.names)
    return found


def until_evaluated(worker: Worker, count: int, stage: str = "trigger") -> Scrape:
    return worker.wait_for(
        lambda scrape: (
            scrape.total("input_records_total", stage=stage) >= count and scrape.total("lag_records", stage=stage) == 0
        ),
        f"{count} records evaluated",
    )


def test_all_that_policies_may_be_on_goes_through_the_evaluator_of_the_backtest(
    embedded: Broker, tmp_path: Path
) -> None:
    apply(embedded, GOLDEN, WINDOW, ANOMALY)
    lines = [sample("a", 60 * place, value) for place, value in enumerate([61, 73, 64, 85, 62, 56, 47])]
    count = produce(embedded, lines)
    produce(embedded, [Raw(record, partition=0) for record in (a_window(), b"{")], topics.METRICS_AGG)
    produce(embedded, [Raw(an_anomaly(60, 2.5)), Raw(an_anomaly(120, 0.0))], topics.ANOMALIES)
    with running(worker_of(embedded, tmp_path / "worker")) as worker:
        scrape = until_evaluated(worker, count)
        until_evaluated(worker, 2, "trigger-windows")
        until_evaluated(worker, 2, "trigger-anomalies")

    found = written(embedded)
    golden = [event.model_copy(update={"evidence": None}) for event in found if event.policy == "golden"]
    assert [event.level for event in golden] == ["info", "warn", "critical", "info", None]
    history = tmp_path / "a.lp"
    history.write_bytes(b"".join((line.value or b"") + b"\n" for line in lines))
    for source in ([str(history)], ["--from", "2020-01-01", "--bootstrap", embedded.bootstrap_servers]):
        assert golden == [event.model_copy(update={"evidence": None}) for event in backtested(tmp_path, source)]
    others = sorted((e.policy, e.time_ms, e.level, e.value, e.evidence and e.evidence.start_ms) for e in found)
    assert [event for event in others if event[0] != "golden"] == [
        ("strange", 60_000, "warn", 2.5, 0),
        ("strange", 120_000, None, 0.0, 60_000),
        ("window", 60_000, "critical", 85.0, 0),
    ]
    assert {record.key for record in read_topic(embedded, topics.ALERTS)} == {b"a"}
    assert scrape.total("evaluations_total", stage="trigger") == count
    assert scrape.by("reason", "alerts_total", stage="trigger") == Counter(event.reason.value for event in golden)
    dead_letters = [json.loads(record.value) for record in read_topic(embedded, topics.DEAD_LETTERS)]
    assert [(dead_letter["stage"], dead_letter["topic"]) for dead_letter in dead_letters] == [
        ("trigger-windows", "metrics.agg")
    ]


def a_window() -> bytes:
    functions = {"min": 1.0, "max": 85.0, "avg": 2.0, "last": 3.0, "first": 3.0, "sum": 5.0, "count": 2}
    document = {"measurement": "cpu", "tags": {"host": "a"}, "start_ms": 0, "end_ms": 60_000}
    return json.dumps(document | {"fields": {"usage": functions}}).encode()


def an_anomaly(end_s: int, score: float) -> bytes:
    document = {"kind": "sample", "measurement": "cpu", "field": "usage", "tags": {"host": "a"}, "score": score}
    return json.dumps(document | {"start_ms": 1000 * end_s - 60_000, "end_ms": 1000 * end_s}).encode()


def backtested(directory: Path, source: Sequence[str]) -> list[AlertEvent]:
    """Return what the command prints."""
    policy = directory / "p.yaml"
    policy.write_text(json.dumps(GOLDEN))
    result = CliRunner().invoke(app, ["backtest", "--policy", str(policy), *source])
    return [AlertEvent.model_validate_json(line) for line in result.stdout.splitlines()]


def test_policies_are_followed_while_the_worker_runs_and_while_it_does_not(embedded: Broker, tmp_path: Path) -> None:
    worker = worker_of(embedded, tmp_path / "worker")
    with running(worker):
        until_evaluated(worker, produce(embedded, [sample("a", 0, 85)]))
        apply(embedded, GOLDEN)
        worker.wait_for(lambda scrape: scrape.total("alert_pairs") == 1, "the policy in force")
        assert written(embedded) == []
        produce(embedded, [sample("a", 60, 85)])
        worker.wait_for(lambda scrape: scrape.total("open_alerts") == 1, "the alert")
    produce(embedded, [Raw(None, b"trigger/golden")], topics.POLICIES)
    with running(worker):
        wait_until(lambda: len(written(embedded)) == 2, timeout_s=30.0, what="the end of the alert")
    assert [event.reason.value for event in written(embedded)] == ["FIRST_BREACH", "POLICY_DELETED"]


def test_each_silent_series_is_told_once_whatever_partition_it_is_in(embedded: Broker, tmp_path: Path) -> None:
    apply(embedded, SILENCE)
    hosts = [f"h{number}" for number in range(2 * PARTITIONS)]
    silent = hosts[:PARTITIONS]
    now_s = int(time.time()) - BASE_S
    long_ago, lately = now_s - 90 * 60, now_s - 45 * 60
    lines = [sample(host, long_ago, 1, place % PARTITIONS) for place, host in enumerate(hosts)]
    lines += [sample(host, lately, 1, place % PARTITIONS) for place, host in enumerate(hosts) if host not in silent]
    worker = worker_of(embedded, tmp_path / "worker")
    produce(embedded, lines)
    with running(worker):
        wait_until(lambda: len(written(embedded)) >= PARTITIONS, timeout_s=30.0, what="the silent series")
        went = written(embedded)
        assert sorted(event.tags["host"] for event in went) == silent
        assert {event.time_ms for event in went} == {1000 * (BASE_S + long_ago) + HOUR_MS}
        produce(embedded, [sample(host, now_s, 1, place) for place, host in enumerate(silent)])
        wait_until(lambda: len(written(embedded)) >= 2 * PARTITIONS, timeout_s=30.0, what="the series that are back")
        ticked = worker.scrape().total("checkpoint_age_seconds")
        worker.wait_for(lambda scrape: scrape.total("checkpoint_age_seconds") != ticked, "another tick")
    assert told_by_host(written(embedded)) == {host: ["WENT_SILENT", "CAME_BACK"] for host in silent}


def told_by_host(events: Iterable[AlertEvent]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for event in events:
        found.setdefault(event.tags["host"], []).append(event.reason.value)
    return found


@pytest.mark.real
def test_kills_and_moves_between_workers_change_no_alert(kafka: Broker, tmp_path: Path) -> None:
    apply(kafka, GOLDEN, FLAPPING)
    records = walks(5, 300)
    quarter = len(records) // 4
    first, second = (
        worker_of(kafka, tmp_path / name, fetch_max_bytes=8192, session_timeout_s=6) for name in ("first", "second")
    )

    def some_evaluated(worker: Worker, batch: Sequence[Raw]) -> None:
        produce(kafka, batch)
        worker.wait_for(lambda scrape: scrape.total("evaluations_total") > 0, "some samples evaluated")

    with contextlib.ExitStack() as stack:
        for worker in (first, second):
            stack.callback(worker.discard)
        first.start()
        some_evaluated(first, records[:quarter])
        first.kill()
        first.start().ready()
        second.start().ready()
        some_evaluated(second, records[quarter : 2 * quarter])
        first.kill()
        some_evaluated(second, records[2 * quarter : 3 * quarter])
        second.kill()
        first.start()
        some_evaluated(first, records[3 * quarter :])
        want = {event.id: event for event in expected(kafka, GOLDEN, FLAPPING)}
        wait_until(
            lambda: {e.id for e in written(kafka)} >= want.keys(), timeout_s=60.0, what="all alerts", every_s=0.5
        )
        first.stop()
    found = written(kafka)
    assert {event.id: event for event in found} == want
    assert np.unique([event.reason.value for event in found]).size > 8
    assert "snapshot" in first.log()


@pytest.mark.real
def test_a_broker_that_is_killed_and_comes_back_changes_no_alert(own_kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    records = walks(6, 200)
    with pipeline_topics(own_kafka_broker, names=TRIGGERS, partitions=PARTITIONS) as broker:
        apply(broker, GOLDEN, FLAPPING)
        with running(worker_of(broker, tmp_path / "worker", fetch_max_bytes=8192, session_timeout_s=6)) as worker:
            produce(broker, records[: len(records) // 2])
            worker.wait_for(lambda scrape: scrape.total("open_alerts") > 0, "alerts that fire")
            own_kafka_broker.kill()
            own_kafka_broker.start()
            produce(broker, records[len(records) // 2 :])
            want = {event.id: event for event in expected(broker, GOLDEN, FLAPPING)}
            wait_until(
                lambda: {e.id for e in written(broker)} >= want.keys(), timeout_s=90.0, what="all alerts", every_s=0.5
            )
        assert {event.id: event for event in written(broker)} == want
