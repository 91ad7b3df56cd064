"""``cinnamon audit --deep`` compares the stores too, and names what one lacks, has wrong or too much."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.influxdb import InfluxDB
from tests.support.stages.brokers import Raw, pipeline_topics, produce
from tests.support.stages.streams import end_line, settings_of
from tests.support.stages.worker import Scrape, Worker, running

PERIOD_MS = 3_600_000


@pytest.fixture
def broker(own_embedded_broker: EmbeddedBroker) -> Iterator[EmbeddedBroker]:
    """A broker of this test alone, with the pipeline's topics."""
    with pipeline_topics(own_embedded_broker):
        yield own_embedded_broker


def recent() -> list[Raw]:
    """Return a stream of two hosts that no store is too old for."""
    begin_ms = time.time_ns() // PERIOD_MS // 1_000_000 * PERIOD_MS - 2 * PERIOD_MS
    records = []
    for second in range(200):
        for host in (b"a", b"b"):
            time_ns = (begin_ms + 1000 * second) * 1_000_000
            lines = [b"cpu,host=%s usage_user=%d.25,x=%d %d" % (host, second % 7, second, time_ns)]
            lines.append(b"net,host=%s bytes_recv=%di %d" % (host, 1000 * second, time_ns))
            records += [Raw(line, host) for line in lines]
    return records + [Raw(end_line({"host": host}, begin_ms + 1_000_000), host.encode()) for host in "ab"]


def written(broker: EmbeddedBroker, tmp_path: Path, store: dict[str, Any]) -> Path:
    """Let a worker write the stream to a store; give its settings file."""
    count = produce(broker, recent())
    settings = settings_of(broker, rules=False, stores=[store])

    def is_written(scrape: Scrape) -> bool:
        emitted = scrape.total("emitted_windows_total") + scrape.total("corrected_windows_total")
        decided = sum(scrape.total(f"{name}_points_total") for name in ("written", "superseded", "rejected"))
        return scrape.total("input_records_total", stage="aggregate") >= count and decided >= emitted > 0

    with running(Worker(tmp_path / "worker", settings, stages="aggregate,sink")) as worker:
        worker.wait_for(is_written, "the windows in the store")
    return tmp_path / "worker" / "settings.yaml"


def audit(settings: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    options = ["--config", str(settings), "--from", "1d", "--to", "now", "--json", "--deep"]
    result = CliRunner().invoke(app, ["audit", *options, *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, json.loads(result.stdout or "{}")


def test_an_embedded_store_is_proved_and_refuted(broker: EmbeddedBroker, tmp_path: Path) -> None:
    path = tmp_path / "windows.db"
    settings = written(broker, tmp_path, {"name": "local", "kind": "embedded", "path": str(path)})
    status, report = audit(settings)
    assert (status, report["faults"], report["undecided"]) == (0, {}, [])

    start_ms = changed(path, "UPDATE windows SET max = max + 1", "usage_user")
    status, report = audit(settings)
    first = report["first"]
    assert (status, report["faults"]) == (1, {"store_wrong": 1})
    assert (first["measurement"], first["tags"], first["field"]) == ("cpu", {"host": "a"}, "usage_user")
    assert (first["start_ms"], first["message"].split()[:4]) == (start_ms, ["store", "local", "has", "max"])

    changed(path, "DELETE FROM windows", "usage_user")
    status, report = audit(settings)
    assert (status, report["faults"]) == (1, {"store_missing": 1})
    assert (report["first"]["start_ms"], report["first"]["field"]) == (start_ms, "usage_user")

    changed(path, "UPDATE windows SET start_ms = start_ms - 1", "x")
    status, report = audit(settings)
    assert (status, report["faults"]) == (1, {"store_missing": 2, "store_extra": 1})


def changed(path: Path, statement: str, field: str) -> int:
    """Change the newest window of host a's ``field``; give its start."""
    with closing(sqlite3.connect(path)) as file, file:
        (start_ms,) = file.execute(
            "SELECT max(start_ms) FROM windows JOIN metrics USING (metric_id) WHERE field = 'bytes_recv'"
        ).fetchone()
        done = file.execute(
            f"{statement} WHERE start_ms = ? AND metric_id = (SELECT metric_id FROM metrics WHERE field = ?)"  # noqa: S608
            " AND series_id = (SELECT series_id FROM series WHERE tags = ?)",
            (start_ms, field, '{"host":"a"}'),
        )
        assert done.rowcount == 1
    return int(start_ms)


def test_a_store_that_is_behind_is_undecided(broker: EmbeddedBroker, tmp_path: Path) -> None:
    path = tmp_path / "windows.db"
    settings = written(broker, tmp_path, {"name": "local", "kind": "embedded", "path": str(path)})
    late = tmp_path / "late.yaml"
    late.write_text(settings.read_text().replace("name: local", "name: other"))  # a group that has committed nothing
    status, report = audit(late)
    assert (status, report["undecided"]) == (3, ["store other has not been given all windows of the period yet"])


def test_a_store_that_does_not_answer_is_2(broker: EmbeddedBroker, tmp_path: Path) -> None:
    path = tmp_path / "windows.db"
    settings = written(broker, tmp_path, {"name": "local", "kind": "embedded", "path": str(path)})
    path.unlink()
    assert audit(settings) == (2, {})


@pytest.mark.real
def test_influxdb_is_proved_and_refuted(broker: EmbeddedBroker, influxdb: InfluxDB, tmp_path: Path) -> None:
    bucket = influxdb.create_bucket("audited")
    place = {"url": influxdb.url, "org": influxdb.org, "bucket": bucket, "token": influxdb.token}
    settings = written(broker, tmp_path, {"name": "one", "kind": "influxdb", **place})
    status, report = audit(settings)
    assert (status, report["faults"], report["undecided"]) == (0, {}, [])

    start_ms = report["from_ms"] // 60_000 * 60_000 + 600_000  # within a day of the second audit's start as well
    influxdb.write(b"cpu,host=a usage_user_max=99.5 %d000000" % start_ms, bucket=bucket)
    status, report = audit(settings)
    assert (status, report["faults"]) == (1, {"store_extra": 1})
    assert (report["first"]["start_ms"], report["first"]["field"]) == (start_ms, "usage_user")
