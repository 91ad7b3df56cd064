"""History and windows read as one series, never mixed, over SQLite and over a real InfluxDB."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import pytest

from pipeline.core.downsampling.curve import CurveSegment, decoded
from pipeline.core.downsampling.downsampler import PartitionDownsampler
from pipeline.core.downsampling.series_downsampler import DownsamplingRules, MetricKind
from pipeline.core.records.telegraf.parser import batch_of
from pipeline.stores.base import RecordStore, Store, WriteResult
from pipeline.stores.embedded.history import EmbeddedChunks
from pipeline.stores.embedded.history_reading import EmbeddedHistoryReader
from pipeline.stores.embedded.windows import EmbeddedStore
from pipeline.stores.influxdb.connection import InfluxConnection
from pipeline.stores.influxdb.history import InfluxHistory
from pipeline.stores.influxdb.history_reading import InfluxHistoryReader
from pipeline.stores.influxdb.windows import InfluxStore
from pipeline.stores.reading import ReadFrom, SeriesRange, SeriesReader
from pipeline.stores.thinning import thinned
from tests.support.stores.chunks import HOUR_MS, START_MS, chunk
from tests.support.stores.windows import MINUTE_MS, functions, window

END_MS = START_MS + 6 * HOUR_MS


@dataclass
class Stores:
    """Two stores of windows and one of history, to be written and read."""

    regional: list[Store]
    history: RecordStore
    reader: SeriesReader


@pytest.fixture(params=["embedded", pytest.param("influxdb", marks=pytest.mark.real)])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    regional: list[Store]
    history: RecordStore
    if request.param == "embedded":
        regional = [EmbeddedStore(tmp_path / "one.db"), EmbeddedStore(tmp_path / "two.db")]
        history = EmbeddedChunks(tmp_path / "history.db")
        reader = SeriesReader(regional, EmbeddedHistoryReader(tmp_path / "history.db"))
    else:
        server = request.getfixturevalue("influxdb")
        places = [
            {"url": server.url, "org": server.org, "token": server.token, "bucket": server.create_bucket(name)}
            for name in (f"reading-{part}-{uuid.uuid4().hex}" for part in ("one", "two", "all"))
        ]
        regional = [InfluxStore(**place) for place in places[:2]]
        history = InfluxHistory(InfluxConnection(**places[2]), batch_lines=100, requests_in_flight=1)
        reader = SeriesReader(regional, InfluxHistoryReader(InfluxConnection(**places[2])))
    yield Stores(regional, history, reader)
    reader.close()
    history.close()


def windows(values: list[float], *, hours: float, host: str = "a") -> list[bytes]:
    start_ms = START_MS + round(hours * HOUR_MS)
    return [
        window({"usage": functions(value)}, tags={"host": host}, start_ms=start_ms + n * MINUTE_MS)
        for n, value in enumerate(values)
    ]


def points(runs: tuple[CurveSegment, ...]) -> list[list[tuple[float, float, str]]]:
    """Return the points of each run: minutes since `START_MS`, value, and how it is reached."""
    return [
        [
            ((time - START_MS) / MINUTE_MS, value, chr(interp))
            for time, value, interp in zip(run.times_ms.tolist(), run.values.tolist(), run.interp.tolist(), strict=True)
        ]
        for run in runs
    ]


def read(stores: Stores, *, hours: tuple[float, float] = (0, 6), **options: object) -> list[SeriesRange]:
    start_ms, end_ms = (START_MS + round(hour * HOUR_MS) for hour in hours)
    return stores.reader.read("cpu", "usage", start_ms=start_ms, end_ms=end_ms, **options)


def test_what_was_written_comes_back_with_its_gaps(stores: Stores) -> None:
    stores.history.write(
        [
            chunk([(0, 1.0, "l"), (60_000, 2.5, "s")], last_ms=START_MS + 120_000),
            chunk([(0, 3.0, "l")], start_ms=START_MS + HOUR_MS),
            chunk([(0, 4.0, "l")], start_ms=START_MS + 3 * HOUR_MS, gap=True, last_ms=START_MS + 4 * HOUR_MS - 1),
            chunk([(0, 9.0, "l")], field="system"),
            chunk([(0, 9.0, "l")], measurement="mem"),
        ]
    )
    (series,) = read(stores)
    assert series.tags == {"host": "a"}
    assert series.cut_ms == END_MS
    assert points(series.history) == [[(0, 1.0, "l"), (1, 2.5, "s"), (60, 3.0, "l")], [(180, 4.0, "l")]]
    assert [run.until_ms - START_MS for run in series.history] == [HOUR_MS, 4 * HOUR_MS - 1]


def test_a_range_inside_a_chunk_begins_on_its_curve(stores: Stores) -> None:
    stores.history.write(
        [
            chunk([(0, 0.0, "l")]),
            chunk([(30 * MINUTE_MS, 9.0, "l")], start_ms=START_MS + HOUR_MS),  # reached from the chunk before
        ]
    )
    (series,) = read(stores, hours=(1, 6))
    assert points(series.history) == [[(60, 6.0, "l"), (90, 9.0, "l")]]


def test_from_the_first_window_on_nothing_is_of_the_history(stores: Stores) -> None:
    stores.history.write(
        [chunk([(0, 1.0, "l"), (45 * MINUTE_MS, 2.0, "l")], start_ms=START_MS + n * HOUR_MS) for n in range(4)]
    )
    stores.regional[1].write(windows([7.0, 8.0, 9.0], hours=2.5))
    (series,) = read(stores)
    assert series.cut_ms == START_MS + 150 * MINUTE_MS
    assert points(series.history)[0][-2] == (120, 1.0, "l")
    assert series.history[-1].times_ms[-1] == series.cut_ms - 1  # on the way to the next point
    assert points(series.windows) == [[(150, 7.0, "l"), (151, 8.0, "l"), (152, 9.0, "l")]]
    assert all(run.until_ms < series.cut_ms for run in series.history)
    (joined,) = points(series.runs)
    assert [round(minute, 3) for minute, _, _ in joined] == [0, 45, 60, 105, 120, 150, 150, 151, 152]


def test_each_series_has_a_cut_of_its_own_and_all_stores_are_asked(stores: Stores) -> None:
    stores.history.write([chunk([(0, 1.0, "l")], tags={"host": host}) for host in "abc"])
    stores.regional[0].write(windows([5.0], hours=2, host="a"))
    stores.regional[1].write(windows([6.0], hours=3, host="b") + windows([7.0], hours=0, host="d"))
    cuts = {series.tags["host"]: (series.cut_ms - START_MS) / HOUR_MS for series in read(stores)}
    assert cuts == {"a": 2, "b": 3, "c": 6, "d": 0}
    assert [series.tags["host"] for series in read(stores, tags={"host": "b"})] == ["b"]


@pytest.mark.parametrize(
    ("source", "history", "recent"), [(ReadFrom.REGIONAL, 0, 1), (ReadFrom.INTEGRATED, 1, 0), (ReadFrom.AUTO, 1, 1)]
)
def test_a_source_may_be_asked_for(source: ReadFrom, history: int, recent: int, stores: Stores) -> None:
    stores.history.write([chunk([(0, 1.0, "l")])])
    stores.regional[0].write(windows([5.0], hours=2))
    (series,) = read(stores, source=source)
    assert (len(series.history), len(series.windows)) == (history, recent)


def test_windows_that_are_missing_are_a_gap(stores: Stores) -> None:
    stores.regional[0].write(windows([1.0, 2.0, 3.0], hours=0) + windows([4.0, 5.0], hours=1))
    (series,) = read(stores)
    assert [len(run) for run in points(series.windows)] == [3, 2]


def test_an_average_is_that_of_the_samples_and_says_if_it_is_estimated(stores: Stores) -> None:
    # the points' mean is 50; most samples were low
    stores.history.write([chunk([(0, 0.0, "l"), (59 * MINUTE_MS, 100.0, "l")], sum=3600.0, count=360)])
    stores.regional[0].write(windows([20.0, 30.0], hours=1))  # six samples each
    span = {"start_ms": START_MS, "end_ms": END_MS}
    (average,) = stores.reader.averages("cpu", "usage", **span)
    assert average.value == pytest.approx((3600 + 6 * 20 + 6 * 30) / 372)
    assert (average.count, average.is_exact) == (372, True)
    (half,) = stores.reader.averages("cpu", "usage", start_ms=START_MS + 30 * MINUTE_MS, end_ms=END_MS)
    assert not half.is_exact
    (alone,) = stores.reader.averages("cpu", "usage", **span, source=ReadFrom.REGIONAL)
    assert alone.value == 25.0


def test_names_of_tags_that_are_ours_come_back_as_they_were(stores: Stores) -> None:
    tags = {"host": "a b", "metric": "x", "sid": "y", "tag_metric": "z"}
    stores.history.write([chunk([(0, 1.0, "l")], tags=tags)])
    (series,) = read(stores, tags={"metric": "x"})
    assert series.tags == tags


def test_what_is_read_back_is_off_by_no_more_than_the_encoder_said(stores: Stores) -> None:
    rng = np.random.default_rng(5)
    values = np.round(50 + 20 * np.sin(np.arange(1500) / 90) + rng.normal(0, 2, 1500), 2)
    values[700:900] = 12.0
    times = START_MS + 10_000 * np.arange(1500) + np.where(np.arange(1500) >= 1000, 600_000, 0)  # and a gap
    lines = [
        f"cpu,host=a usage={value} {time}000000".encode()
        for value, time in zip(values.tolist(), times.tolist(), strict=True)
    ]
    down = PartitionDownsampler(0, DownsamplingRules(), lambda _measurement, _field: MetricKind.AUTO)
    records = down.add(batch_of(lines, 0), 0, len(lines), now_ms=int(times[-1])).values + down.finish().values
    assert stores.history.write(records) == WriteResult(written=len(records))
    (series,) = read(stores)
    back = decoded(series.history, times)
    worst = max(orjson.loads(record)["max_error"] for record in records)
    assert np.abs(back - values).max() == pytest.approx(worst, rel=1e-12)
    assert sum(len(run.times_ms) for run in series.history) < 200
    assert np.isnan(decoded(series.history, times[999:1000] + 300_000)).all()
    (average,) = stores.reader.averages("cpu", "usage", start_ms=START_MS, end_ms=END_MS)
    assert (average.value, average.is_exact) == (pytest.approx(values.mean(), rel=1e-12), True)


def test_without_anything_there_is_nothing(stores: Stores) -> None:
    assert read(stores) == []
    with pytest.raises(ValueError, match="the range is empty"):
        read(stores, hours=(1, 1))
    with pytest.raises(ValueError, match="there is no integrated store"):
        SeriesReader(stores.regional, None).read("cpu", "usage", start_ms=0, end_ms=1, source=ReadFrom.INTEGRATED)


def line(start: int, values: np.ndarray, step: int = 1000) -> CurveSegment:
    times = start + step * np.arange(len(values))
    return CurveSegment(times, values, np.full(len(values), ord("l"), np.uint8), int(times[-1]))


def test_a_thinned_curve_keeps_peaks_and_gaps_and_has_no_more_points_than_asked() -> None:
    values = np.sin(np.arange(20_000) / 500)
    values[12_345] = 9.0
    thin = thinned([line(0, values), line(40_000_000, -values)], 400)
    assert len(thin.times_ms) <= 400
    assert thin.values.max() == 9.0
    assert thin.values.min() == -9.0
    assert np.all(np.diff(thin.times_ms) > 0)
    assert thin.times_ms[thin.gap].tolist() == [thin.times_ms[thin.times_ms >= 40_000_000][0]]


def test_a_curve_of_few_points_stays_as_it_is() -> None:
    thin = thinned([line(0, np.array([1.0, 2.0]))], 100)
    assert (thin.times_ms.tolist(), thin.values.tolist()) == ([0, 1000], [1.0, 2.0])
    assert thinned([], 100).times_ms.tolist() == []
    with pytest.raises(ValueError, match="3 points or more, not 2"):
        thinned([], 2)
