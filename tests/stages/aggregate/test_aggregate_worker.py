"""A worker's windows on a broker are those of the slow reference and of ``cinnamon aggregate``, record by record."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import topics
from pipeline.core.records.identity.rekeying import ORIGIN_HEADER
from schemas.records import AggregatedWindow
from tests.support.core.reference_windows import Record
from tests.support.servers.process import REPOSITORY
from tests.support.stages.brokers import Broker, Raw, Stored, produce, read_topic
from tests.support.stages.streams import (
    END,
    Expected,
    assert_equal,
    careless,
    decoded,
    end_line,
    expected,
    fleet,
    resource_name,
    settings_of,
    windows_of,
)
from tests.support.stages.worker import Scrape, Worker, running

RECORDS = 1500
CAPTURES = REPOSITORY / "tests" / "data" / "telegraf"


def aggregated(broker: Broker, settings: dict[str, Any], directory: Path, records: Sequence[Raw]) -> Scrape:
    """Produce a stream, run a worker over it, and give its metrics when it had read all and emitted what it must."""
    count = produce(broker, records)
    with running(Worker(directory / "worker", settings)) as worker:
        scrape = worker.wait_for(
            lambda scrape: scrape.total("input_records_total") >= count, f"{count} records read by the worker"
        )
        worker.stop()
    return scrape


def assert_emitted(broker: Broker, want: Expected) -> list[Stored]:
    """Compare what a broker holds with what should have been emitted: all revisions, keys, schema."""
    emitted = read_topic(broker, topics.METRICS_AGG)
    got = decoded(emitted)
    assert_equal(windows_of(got), windows_of(want.records))
    assert Counter(map(revision_of, got)) == Counter(map(revision_of, want.records))
    for stored, record in zip(emitted, got, strict=True):
        AggregatedWindow.model_validate_json(stored.value)
        assert stored.key == resource_name(record["tags"]).encode()
    return emitted


def revision_of(record: Record) -> tuple[Any, ...]:
    return (
        record["partition"],
        record["measurement"],
        tuple(record["tags"].items()),
        record["start_ms"],
        record["revision"],
    )


def assert_balanced(scrape: Scrape, want: Expected) -> None:
    """Compare the balance on ``/metrics`` with the reference's, partition by partition."""
    for partition, counts in want.by_partition.items():
        labels = {"stage": "aggregate", "topic": topics.METRICS_RAW, "partition": str(partition)}
        read, *others = (
            scrape.total(f"{name}_samples_total", **labels) for name in ("input", "aggregated", "late", "too_late")
        )
        assert read == sum(others) + scrape.total("open_samples", **labels)
        assert [read, *others] == [counts[name] for name in ("parsed", "aggregated", "late", "too_late")]
    assert scrape.total("open_samples") == want.open_samples
    assert scrape.total("filtered_samples_total") == want.counts["filtered"]
    assert scrape.total("dead_lettered_records_total") == want.counts["refused"]
    emitted = scrape.total("emitted_windows_total") + scrape.total("corrected_windows_total")
    assert emitted == want.counts["emitted"]


def test_every_revision_is_that_of_the_reference(broker: Broker, tmp_path: Path) -> None:
    settings = settings_of(broker)
    scrape = aggregated(broker, settings, tmp_path, fleet(1, RECORDS))

    want = expected(read_topic(broker, topics.METRICS_RAW), settings)
    assert min(want.counts[name] for name in ("late", "too_late", "filtered", "refused")) > 0
    assert_emitted(broker, want)
    assert_balanced(scrape, want)
    assert len(read_topic(broker, topics.DEAD_LETTERS)) == want.counts["refused"]


def test_the_command_over_a_file_gives_the_workers_records(embedded: Broker, tmp_path: Path) -> None:
    settings = settings_of(embedded, rules=False)
    aggregated(embedded, settings, tmp_path, fleet(2, RECORDS, partitions=1, hosts=6, single=True))

    lines = [record.value.rstrip(b"\n") for record in read_topic(embedded, topics.METRICS_RAW)]
    options = ["--every", "10s", "--grace", "2s", "--correction", "15s", "--idle-close", "60s"]
    command = [sys.executable, "-m", "pipeline", "aggregate", *options, "-"]
    done = subprocess.run(command, input=b"\n".join(lines), capture_output=True, timeout=60, check=False)

    refused = len(read_topic(embedded, topics.DEAD_LETTERS))
    assert (done.returncode, len(done.stderr.splitlines())) == (1 if refused else 0, refused)
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    emitted = decoded(read_topic(embedded, topics.METRICS_AGG))
    for record in emitted:
        record["lag_ms"] = 0  # what a file does not know
    assert_equal(windows_of(emitted), windows_of(printed))
    in_order = [revision_of(record) for record in printed if record["measurement"] != END]
    assert Counter(in_order) == Counter(revision_of(record) for record in emitted if record["measurement"] != END)


def test_recorded_telegraf_output_gives_the_windows_of_the_reference(embedded: Broker, tmp_path: Path) -> None:
    # the recordings may lie ahead of the clock of whoever runs this
    settings = settings_of(embedded, rules=False, parsing={"future_limit_s": 10**9})
    records = []
    for number, file in enumerate(sorted(CAPTURES.glob("*.lp")) + sorted(CAPTURES.glob("*.json"))):
        place = {"key": b"host-a", "partition": number % 4, "timestamp_ms": 1_795_489_700_000}
        host = f"host-{number}".encode()  # one resource a file: the files are of the same minute
        lines = [line.replace(b"host-a", host) for line in file.read_bytes().splitlines()]
        records += [Raw(line, **place) for line in lines]
        records.append(Raw(end_line({"host": host.decode()}, 1_795_500_000_000), **place))
    scrape = aggregated(embedded, settings, tmp_path, records)

    want = expected(read_topic(embedded, topics.METRICS_RAW), settings, now_ms=1_795_489_700_000)
    assert want.counts["emitted"] > 100
    assert want.counts["refused"] == 0
    assert_emitted(embedded, want)
    assert_balanced(scrape, want)


def test_what_falls_silent_is_closed_by_the_clock(embedded: Broker, tmp_path: Path) -> None:
    settings = settings_of(embedded, rules=False, windows={"idle_close_s": 1})
    count = produce(embedded, [r for r in fleet(3, 100, partitions=2) if not r.value.startswith(END.encode())])
    with running(Worker(tmp_path / "worker", settings)) as worker:
        scrape = worker.wait_for(
            lambda scrape: scrape.total("input_records_total") >= count and not scrape.total("open_windows"),
            "the end of all windows",
        )

    want = expected(read_topic(embedded, topics.METRICS_RAW), settings, finish=True)
    assert_emitted(embedded, want)
    assert_balanced(scrape, want)


def test_records_without_a_key_are_folded_once_under_their_resource(broker: Broker, tmp_path: Path) -> None:
    settings = settings_of(broker, rules=False)
    keyless = careless(4, 300)
    parts = sum(record.value.count(b"\n") + 1 for record in keyless)
    produce(broker, [*keyless, *fleet(4, 100)])
    with running(Worker(tmp_path / "worker", settings)) as worker:
        worker.wait_for(lambda scrape: scrape.total("rekeyed_records_total") == len(keyless), "records with a key")
        ends = [Raw(end_line({"ns_id": "ns9", "infra_id": "m9", "node_id": node}), None) for node in ("c1", "c2")]
        produce(broker, ends)
        total = len(keyless) + parts + len(fleet(4, 100)) + 4
        scrape = worker.wait_for(lambda scrape: scrape.total("input_records_total") >= total, f"{total} records")

    stored = read_topic(broker, topics.METRICS_RAW)
    again = [record for record in stored if ORIGIN_HEADER in record.headers]
    assert len(again) == parts + 2
    assert {record.key for record in again} == {b"ns9/m9/c1", b"ns9/m9/c2"}
    assert len({record.partition for record in again if record.key == b"ns9/m9/c1"}) == 1
    originals = {(record.partition, record.offset): record for record in stored if record.key is None}
    for record in again:
        partition, offset, _part = map(int, record.headers[ORIGIN_HEADER].split(b"/"))
        assert record.value in originals[partition, offset].value
        assert record.timestamp_ms == originals[partition, offset].timestamp_ms
    want = expected(stored, settings)
    assert_emitted(broker, want)
    assert_balanced(scrape, want)
    assert worker.log().count("lies in partition") == 0
