"""Chunks in a real InfluxDB: of two revisions the newer replaces the other whole, whatever the store remembers."""

import uuid
from collections.abc import Callable, Iterator

import pytest

from pipeline.stores.base import StoreUnavailable, WriteResult
from pipeline.stores.influxdb.connection import InfluxConnection
from pipeline.stores.influxdb.history import InfluxHistory
from pipeline.stores.influxdb.kind import influx_events
from tests.support.servers.influxdb import InfluxDB
from tests.support.servers.proxy import Mode, proxy_of
from tests.support.stores.chunks import HOUR_MS, START_MS, alert, anomaly, chunk, points_in, rows_of

pytestmark = pytest.mark.real

OLD = [(0, 1.0, "l"), (600_000, 5.0, "l"), (1_200_000, 2.0, "s"), (3_500_000, 3.0, "l")]
NEW = [(0, 1.5, "l"), (900_000, 9.0, "l"), (1_200_000, 2.0, "l")]
NEXT = [(HOUR_MS, 4.0, "l")]

Opener = Callable[[], InfluxHistory]


@pytest.fixture
def bucket(influxdb: InfluxDB) -> str:
    return influxdb.create_bucket(f"history-{uuid.uuid4().hex}")


def connection(server: InfluxDB, bucket: str, url: str | None = None) -> InfluxConnection:
    return InfluxConnection(url=url or server.url, org=server.org, bucket=bucket, token=server.token, timeout_s=10.0)


@pytest.fixture
def opened(influxdb: InfluxDB, bucket: str) -> Iterator[Opener]:
    """What opens a store on the bucket that remembers nothing."""
    stores: list[InfluxHistory] = []

    def open_one() -> InfluxHistory:
        stores.append(InfluxHistory(connection(influxdb, bucket), batch_lines=100, requests_in_flight=2))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def next_chunk(revision: int = 1) -> bytes:
    return chunk([(0, 4.0, "l")], start_ms=START_MS + HOUR_MS, revision=revision)


def test_points_and_what_is_known_of_a_chunk_are_readable(opened: Opener, influxdb: InfluxDB, bucket: str) -> None:
    tags = {"host": "a b", "metric": "x"}
    record = chunk([(0, 1.0, "l"), (60_000, 2.5, "s")], tags=tags, gap=True, sigma=0.0, max=3.0)
    assert opened().write([record]) == WriteResult(written=1)
    first, second = rows_of(influxdb, bucket)
    assert {first[tag] for tag in ("host", "metric", "tag_metric", "_measurement")} == {"a b", "usage", "x", "cpu"}
    known = {
        "class": "smooth", "encoder": "lines", "n": "360", "span_ms": "3600000", "last_ms": str(START_MS + 60_000),
        "revision": "1", "max": "3", "sum": "630", "max_error": "0.5", "gap": "true", "value": "1",
    }  # fmt: skip
    assert {name: first[name] for name in known} == known
    assert first["step"] == second["n"] == ""
    assert (second["value"], second["step"]) == ("2.5", "true")
    assert not {"sigma", "min"} & set(first)
    assert int(second["ms"]) == START_MS + 60_000


@pytest.mark.parametrize("forgets", [False, True])
def test_a_newer_revision_leaves_no_point_of_the_older_one(
    forgets: bool, opened: Opener, influxdb: InfluxDB, bucket: str
) -> None:
    store = opened()
    store.write([chunk(OLD, revision=5)])
    if forgets:
        store = opened()
    assert store.write([chunk(NEW, revision=9)]) == WriteResult(written=1)
    assert points_in(influxdb, bucket) == NEW


def test_of_one_call_the_newest_revision_stays_even_if_the_older_one_was_written_before(
    opened: Opener, influxdb: InfluxDB, bucket: str
) -> None:
    before = chunk([(0, 0.0, "l")], start_ms=START_MS - HOUR_MS)
    opened().write([before, chunk(OLD, revision=5)])
    store = opened()
    store.remember([before])  # a sink that died had not committed the chunk of START_MS
    result = store.write([chunk(OLD, revision=5), chunk(NEW, revision=9)])
    assert result == WriteResult(written=1, superseded=1)
    assert points_in(influxdb, bucket) == [(-HOUR_MS, 0.0, "l"), *NEW]


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("followed", [False, True])
def test_an_older_revision_that_comes_again_changes_nothing(
    forgets: bool, followed: bool, opened: Opener, influxdb: InfluxDB, bucket: str
) -> None:
    store = opened()
    store.write([chunk(NEW, revision=9)])
    more = [next_chunk()] if followed else []
    store.write(more)
    if forgets:
        store = opened()
    assert store.write([chunk(OLD, revision=5)]) == WriteResult(written=0, superseded=1)
    assert points_in(influxdb, bucket) == NEW + (NEXT if followed else [])


def test_chunks_written_again_are_the_same(opened: Opener, influxdb: InfluxDB, bucket: str) -> None:
    records = [chunk(OLD, revision=5), next_chunk(), chunk(NEW, revision=9, tags={"host": "b"})]
    opened().write(records)
    before = rows_of(influxdb, bucket)
    store = opened()
    for _ in range(2):
        assert store.write(records) == WriteResult(written=3)
    assert rows_of(influxdb, bucket) == before


def test_a_series_with_more_tags_keeps_its_points(opened: Opener, influxdb: InfluxDB, bucket: str) -> None:
    other = chunk(OLD, tags={"host": "a", "cpu": "cpu0"}, revision=5)
    store = opened()
    store.write([chunk(OLD, revision=5), other, chunk(OLD, field="system", revision=5)])
    store.write([chunk(NEW, revision=9)])
    assert sorted(points_in(influxdb, bucket)) == sorted(NEW + OLD + OLD)


def test_a_chunk_that_was_cut_otherwise_is_replaced_by_the_one_around_it(
    opened: Opener, influxdb: InfluxDB, bucket: str
) -> None:
    halves = [
        chunk(OLD[:2], end_ms=START_MS + 600_001, revision=3),
        chunk([(600_000, 2.0, "l")], start_ms=START_MS + 600_001, end_ms=START_MS + HOUR_MS, revision=4),
    ]
    opened().write(halves)
    assert opened().write([chunk(NEW, revision=4)]) == WriteResult(written=1)
    assert points_in(influxdb, bucket) == NEW


def test_a_replacement_that_was_cut_off_in_between_is_made_good(influxdb: InfluxDB, bucket: str) -> None:
    with proxy_of(influxdb.url) as proxy:
        place = connection(influxdb, bucket, proxy.url)
        store = InfluxHistory(place, batch_lines=100, requests_in_flight=1)
        store.write([chunk(OLD, revision=5)])
        proxy.follow([(Mode.PASS, 1), (Mode.RESET, 1)])  # the deletion passes, the write does not
        with pytest.raises(StoreUnavailable, match="no answer"):
            store.write([chunk(NEW, revision=9)])
        assert points_in(influxdb, bucket) == []
        store.close()
    again = InfluxHistory(connection(influxdb, bucket), batch_lines=100, requests_in_flight=1)
    assert again.write([chunk(NEW, revision=9)]) == WriteResult(written=1)
    again.close()
    assert points_in(influxdb, bucket) == NEW


def test_a_worker_that_lost_its_partitions_deletes_and_writes_nothing(
    opened: Opener, influxdb: InfluxDB, bucket: str
) -> None:
    store = opened()
    store.write([chunk(OLD, revision=5)])
    with pytest.raises(StoreUnavailable, match="another worker may have these chunks by now"):
        store.write([chunk(NEW, revision=9)], lambda: False)
    assert points_in(influxdb, bucket) == OLD


def test_a_bad_chunk_is_rejected_alone(opened: Opener, influxdb: InfluxDB, bucket: str) -> None:
    influxdb.write(b'gpu,host=x value="a text" 1780002000000000000', bucket=bucket)
    conflict = chunk(OLD, measurement="gpu")
    result = opened().write([b"{}", chunk(NEW), conflict, next_chunk()])
    assert result.written == 2
    assert [one.index for one in result.rejected] == [0, 2]
    assert result.rejected[0].message == "not a record of metrics.downsampled: measurement: Field required"
    assert "field type conflict" in result.rejected[1].message
    assert points_in(influxdb, bucket)[-4:] == [*NEW, *NEXT]


def test_anomalies_and_alerts_are_lines_with_the_tags_of_their_series(influxdb: InfluxDB, bucket: str) -> None:
    for topic, records in {
        "anomalies": [anomaly(), anomaly(host="b"), anomaly(offset=9, score=6.0), anomaly(offset=8)],
        "alerts": [alert(), alert(time_ms=START_MS + 1, sequence=2), b"no alert"],
    }.items():
        store = influx_events(connection(influxdb, bucket), topic, batch_lines=100, requests_in_flight=1)
        result = store.write(records)
        assert (result.written, result.superseded, len(result.rejected)) in {(2, 2, 0), (2, 0, 1)}
        store.close()
    found = rows_of(influxdb, bucket)
    anomalies = [row for row in found if row["_measurement"] == "cinnamon_anomalies"]
    assert sorted((row["host"], row["score"], row["tag_kind"], row["kind"]) for row in anomalies) == [
        ("a", "6", "vm", "anomaly"),
        ("b", "5", "vm", "anomaly"),
    ]
    assert anomalies[0]["reason"] == "SPIKE"
    assert anomalies[0]["text"] == 'usage is 98.5, "usually" 10'
    alerts = [row for row in found if row["_measurement"] == "cinnamon_alerts"]
    assert [(row["policy"], row["level"], row["state"], row["sequence"]) for row in alerts] == [
        ("cpu-high", "critical", "FIRING", "1"),
        ("cpu-high", "critical", "FIRING", "2"),
    ]
