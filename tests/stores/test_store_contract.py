"""What holds for every store: these rules run against SQLite and against a real InfluxDB."""

import pytest

from pipeline.stores.base import SeriesPoint, Store, WriteResult
from tests.support.stores.windows import BASE_MS, MINUTE_MS, functions, window

HOUR = {"start_ms": BASE_MS, "end_ms": BASE_MS + 60 * MINUTE_MS}
STRANGE = "a b,c=d\\e\"f ${1+1} | drop() 値 %s '; DROP TABLE windows; --"


def values(points: list[SeriesPoint]) -> list[float]:
    return [point.value for point in points]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("min", 39.0),
        ("max", 41.0),
        ("avg", 40.0),
        ("last", 40.5),
        ("count", 6.0),
        ("increase", 600.0),
        ("rate", 10.0),
    ],
)
def test_each_function_of_a_window_is_read_back(store: Store, function: str, expected: float) -> None:
    assert store.write([window({"bytes": functions(40.0, increase=600.0, rate=10.0)})]) == WriteResult(written=1)
    assert store.query_range("cpu", "bytes", function, **HOUR) == [SeriesPoint(BASE_MS, expected, {"host": "a"})]


def test_a_range_holds_its_start_and_not_its_end(store: Store) -> None:
    store.write([window({"x": functions(float(n))}, start_ms=BASE_MS + n * MINUTE_MS) for n in range(4)])
    points = store.query_range("cpu", "x", "avg", start_ms=BASE_MS + MINUTE_MS, end_ms=BASE_MS + 3 * MINUTE_MS)
    assert values(points) == [1.0, 2.0]


def test_a_range_is_ordered_by_time_then_by_tags(store: Store) -> None:
    records = [
        window({"x": functions(10.0 * minute + position)}, tags={"host": host}, start_ms=BASE_MS + minute * MINUTE_MS)
        for position, host in ((1, "b"), (0, "a"))
        for minute in (1, 0)
    ]
    store.write(records)
    assert values(store.query_range("cpu", "x", "avg", **HOUR)) == [0.0, 1.0, 10.0, 11.0]


def test_a_range_answers_no_more_points_than_asked_and_the_oldest_first(store: Store) -> None:
    store.write([window({"x": functions(float(n))}, start_ms=BASE_MS + n * MINUTE_MS) for n in range(5)])
    assert values(store.query_range("cpu", "x", "avg", **HOUR, max_points=2)) == [0.0, 1.0]


def test_tags_select_series_that_carry_all_of_them(store: Store) -> None:
    store.write(
        [
            window({"x": functions(1.0)}, tags={"host": "a", "cpu": "cpu0"}),
            window({"x": functions(2.0)}, tags={"host": "a", "cpu": "cpu1"}),
            window({"x": functions(3.0)}, tags={"host": "b", "cpu": "cpu1"}),
        ]
    )
    assert values(store.query_range("cpu", "x", "avg", **HOUR, tags={"host": "a", "cpu": "cpu1"})) == [2.0]
    assert values(store.query_top("cpu", "x", "avg", **HOUR, tags={"cpu": "cpu1"})) == [3.0, 2.0]


def test_two_hosts_in_one_batch_never_share_a_point(store: Store) -> None:
    store.write([window({"x": functions(float(n))}, tags={"host": f"h{n}"}) for n in range(3)])
    points = store.query_range("cpu", "x", "avg", **HOUR)
    assert [(point.tags, point.value) for point in points] == [({"host": f"h{n}"}, float(n)) for n in range(3)]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("min", 9.0),
        ("max", 41.0),
        ("avg", 16.0),  # (10 * 8 + 40 * 2) / 10, not (10 + 40) / 2
        ("last", 40.5),
        ("count", 10.0),
        ("increase", 30.0),
        ("rate", 1.5),
    ],
)
def test_the_value_over_a_range_is_that_of_its_samples(store: Store, function: str, expected: float) -> None:
    store.write(
        [
            window({"x": functions(10.0, count=8, increase=10.0, rate=1.0)}),
            window({"x": functions(40.0, count=2, increase=20.0, rate=2.0)}, start_ms=BASE_MS + MINUTE_MS),
        ]
    )
    (top,) = store.query_top("cpu", "x", function, **HOUR)
    assert top.value == pytest.approx(expected)
    assert top.tags == {"host": "a"}
    assert top.start_ms == BASE_MS


def test_top_n_answers_the_greatest_first(store: Store) -> None:
    store.write([window({"x": functions(float(n * 7 % 10))}, tags={"host": f"h{n}"}) for n in range(10)])
    top = store.query_top("cpu", "x", "avg", **HOUR, n=3)
    assert [(point.tags["host"], point.value) for point in top] == [("h7", 9.0), ("h4", 8.0), ("h1", 7.0)]


@pytest.mark.parametrize("function", ["avg", "max", "last"])
def test_top_by_a_tag_counts_only_the_greatest_series_of_each_value(store: Store, function: str) -> None:
    store.write(
        [
            window({"x": functions(1.0)}, tags={"host": "a", "cpu": "cpu0"}),
            window({"x": functions(8.0)}, tags={"host": "a", "cpu": "cpu1"}),
            window({"x": functions(5.0)}, tags={"host": "b", "cpu": "cpu0"}),
            window({"x": functions(9.0)}, tags={"cpu": "cpu9"}),
        ]
    )
    top = store.query_top("cpu", "x", function, **HOUR, by_tag="host")
    assert [point.tags for point in top] == [{"host": "a"}, {"host": "b"}]


def test_a_correction_overwrites_its_window(store: Store) -> None:
    store.write([window({"x": functions(1.0)}, revision=5)])
    store.write([window({"x": functions(2.0)}, revision=9)])
    assert values(store.query_range("cpu", "x", "avg", **HOUR)) == [2.0]


def test_an_older_revision_that_arrives_later_changes_nothing(store: Store) -> None:
    store.write([window({"x": functions(2.0)}, revision=9)])
    assert store.write([window({"x": functions(1.0)}, revision=5)]) == WriteResult(written=0, superseded=1)
    assert values(store.query_range("cpu", "x", "avg", **HOUR)) == [2.0]


def test_of_one_batch_the_greatest_revision_stays_whatever_the_order(store: Store) -> None:
    revisions = (3, 7, 5)
    store.write([window({"x": functions(float(revision))}, revision=revision) for revision in revisions])
    assert values(store.query_range("cpu", "x", "avg", **HOUR)) == [7.0]


def test_a_batch_written_twice_is_the_same_as_once(store: Store) -> None:
    batch = [window({"x": functions(float(n))}, start_ms=BASE_MS + n * MINUTE_MS) for n in range(3)]
    store.write(batch)
    assert store.write(batch) == WriteResult(written=3)
    assert values(store.query_range("cpu", "x", "avg", **HOUR)) == [0.0, 1.0, 2.0]


def test_strange_names_are_written_and_asked_for_as_they_are(store: Store) -> None:
    store.write(
        [
            window({STRANGE: functions(1.0)}, measurement=STRANGE, tags={STRANGE: STRANGE}),
            window({"x": functions(2.0)}),
        ]
    )
    asked = {"tags": {STRANGE: STRANGE}, **HOUR}
    assert store.query_range(STRANGE, STRANGE, "avg", **asked) == [SeriesPoint(BASE_MS, 1.0, {STRANGE: STRANGE})]
    assert store.query_top(STRANGE, STRANGE, "avg", **asked) == [SeriesPoint(BASE_MS, 1.0, {STRANGE: STRANGE})]
    assert values(store.query_range("cpu", "x", "avg", **HOUR)) == [2.0]


@pytest.mark.parametrize("key", ["a.b", "a-b", "a[0]", "$a", "_a"])
def test_series_are_selected_by_a_tag_of_any_name(store: Store, key: str) -> None:
    store.write([window({"x": functions(float(n))}, tags={"id": str(n), key: str(n)}) for n in range(3)])
    assert values(store.query_range("cpu", "x", "avg", **HOUR, tags={key: "1"})) == [1.0]
    assert [point.tags for point in store.query_top("cpu", "x", "avg", **HOUR, n=1, by_tag=key)] == [{key: "2"}]


def test_what_was_never_written_is_an_empty_answer(store: Store) -> None:
    store.write([window({"x": functions(1.0)})])
    assert store.query_range("cpu", "unknown", "avg", **HOUR) == []
    assert store.query_top("unknown", "x", "avg", **HOUR, by_tag="nobody") == []


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"measurement":"cpu"}',
        window({}),
        window({"x": {}}),
        window({"x": functions(1.0)} | {"y": {**functions(1.0), "min": "low"}}),
        window({"x": {**functions(1.0), "count": 2**63}}, start_ms=BASE_MS + 9 * MINUTE_MS),
        window({"x": functions(1.0)}, tags={"host": 1}),
        window({"x": functions(1.0)}, revision=None),
    ],
)
def test_a_record_that_is_no_window_is_rejected_alone_with_its_position(store: Store, bad: bytes) -> None:
    good = [window({"x": functions(float(n))}, start_ms=BASE_MS + n * MINUTE_MS) for n in range(2)]
    result = store.write([good[0], bad, good[1]])
    assert result.written == 2
    assert [one.index for one in result.rejected] == [1]
    assert result.rejected[0].message
    assert values(store.query_range("cpu", "x", "avg", **HOUR)) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": "median"}, "unknown function 'median': use one of min, max"),
        ({"end_ms": BASE_MS}, "the range is empty"),
        ({"max_points": 0}, "0 results asked for, allowed are 1 to 100000"),
        ({"max_points": 100_001}, "100001 results asked for"),
    ],
)
def test_a_query_out_of_bounds_is_refused(store: Store, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        store.query_range("cpu", "x", **{"function": "avg", **HOUR, **arguments})


def test_a_store_that_works_answers_a_ping_and_closes_twice(store: Store) -> None:
    store.ping()
    store.close()
    store.close()
