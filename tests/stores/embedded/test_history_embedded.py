"""Chunks, anomalies and alerts in a SQLite file: one row each, a newer revision in place of an older one."""

import sqlite3
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.stores.base import StoreUnavailable, WriteResult
from pipeline.stores.embedded.history import EmbeddedChunks, EmbeddedEvents
from pipeline.stores.embedded.windows import EmbeddedStore
from tests.support.stores.chunks import HOUR_MS, START_MS, alert, anomaly, chunk

OLD, NEW = [(0, 1.0, "l"), (600_000, 5.0, "l")], [(0, 1.5, "l"), (900_000, 9.0, "s")]


def rows(path: Path) -> list[tuple[Any, ...]]:
    reader = sqlite3.connect(path)
    found = reader.execute(
        "SELECT tags, start_ms, revision, points FROM chunks JOIN series USING (series_id)"
    ).fetchall()
    reader.close()
    return [
        (tags, start_ms - START_MS, revision, len(orjson.loads(points))) for tags, start_ms, revision, points in found
    ]


def test_the_greater_revision_stays_whatever_comes_last(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    store = EmbeddedChunks(path)
    assert store.write([chunk(OLD, revision=5), chunk(NEW, revision=9)]) == WriteResult(written=2)
    assert store.write([chunk(OLD, revision=5)]) == WriteResult(written=0, superseded=1)
    assert store.write([chunk(NEW, revision=9)]) == WriteResult(written=1)
    store.close()
    assert rows(path) == [('{"host":"a"}', 0, 9, 2)]


def test_a_chunk_that_was_cut_otherwise_is_replaced_by_the_one_around_it(tmp_path: Path) -> None:
    store = EmbeddedChunks(tmp_path / "history.db")
    half = chunk([(0, 2.0, "l")], start_ms=START_MS + 600_001, end_ms=START_MS + HOUR_MS, revision=4)
    after = chunk([(0, 2.0, "l")], start_ms=START_MS + HOUR_MS, revision=4)
    store.write([chunk(OLD, end_ms=START_MS + 600_001, revision=3), half, after, chunk(NEW, revision=4)])
    store.close()
    assert [row[1] for row in rows(tmp_path / "history.db")] == [0, HOUR_MS]


def test_a_bad_record_is_rejected_alone(tmp_path: Path) -> None:
    store = EmbeddedChunks(tmp_path / "history.db")
    huge = orjson.loads(chunk(NEW)) | {"revision": 2**63, "last_offset": 0}
    result = store.write([b"[]", chunk(NEW), orjson.dumps(huge), chunk(OLD, tags={"host": "b"})])
    store.close()
    assert result.written == 2
    assert [one.index for one in result.rejected] == [0, 2]
    assert [row[0] for row in rows(tmp_path / "history.db")] == ['{"host":"a"}', '{"host":"b"}']


def test_a_series_whose_first_chunk_is_rejected_is_there_with_the_next(tmp_path: Path) -> None:
    store = EmbeddedChunks(tmp_path / "history.db")
    huge = orjson.loads(chunk(NEW)) | {"revision": 2**63, "last_offset": 0}
    assert store.write([orjson.dumps(huge), chunk(NEW, revision=4)]).written == 1
    store.close()
    assert rows(tmp_path / "history.db") == [('{"host":"a"}', 0, 4, 2)]


def test_anomalies_and_alerts_share_the_file_and_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    chunks, anomalies, alerts = EmbeddedChunks(path), EmbeddedEvents(path, "anomalies"), EmbeddedEvents(path, "alerts")
    chunks.write([chunk(NEW)])
    assert anomalies.write([anomaly(offset=9), anomaly(offset=8), anomaly(host="b"), b"{"]).written == 2
    alerts.write([alert(sequence=n, time_ms=START_MS + n) for n in range(1, 4)] * 2)
    assert anomalies.events(START_MS, START_MS + 1) == [
        orjson.loads(anomaly(offset=9)),
        orjson.loads(anomaly(host="b")),
    ]
    assert [event["sequence"] for event in alerts.events(START_MS + 2, START_MS + HOUR_MS)] == [2, 3]
    for store in (chunks, anomalies, alerts):
        store.close()


def test_what_is_older_than_the_retention_is_deleted(tmp_path: Path) -> None:
    now_ms = [START_MS + HOUR_MS]
    path = tmp_path / "history.db"
    options = {"retention_ms": 2 * HOUR_MS, "clock_ms": lambda: now_ms[0]}
    chunks, anomalies = EmbeddedChunks(path, **options), EmbeddedEvents(path, "anomalies", **options)
    chunks.write([chunk(NEW)])
    anomalies.write([anomaly()])
    now_ms[0] = START_MS + 4 * HOUR_MS
    chunks.write([chunk(NEW, start_ms=START_MS + 3 * HOUR_MS)])
    assert [row[1] for row in rows(path)] == [3 * HOUR_MS]
    assert anomalies.events(0, now_ms[0]) == []
    chunks.close()
    anomalies.close()


def test_a_file_of_windows_is_no_file_of_history(tmp_path: Path) -> None:
    EmbeddedStore(tmp_path / "windows.db").close()
    with pytest.raises(StoreUnavailable, match=r"no embedded store of version 1001 \(it says 1\)"):
        EmbeddedChunks(tmp_path / "windows.db")
