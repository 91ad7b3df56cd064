"""The faults that a real InfluxDB shows by itself."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.stores.base import StoreUnavailable, WriteResult
from pipeline.stores.influxdb.windows import InfluxStore
from tests.support.servers.influxdb import InfluxDB
from tests.support.stores.influx import influx_store
from tests.support.stores.windows import BASE_MS, MINUTE_MS, functions, window

pytestmark = pytest.mark.real
HOUR = {"start_ms": BASE_MS, "end_ms": BASE_MS + 60 * MINUTE_MS}
TOO_MANY = window({"x": functions(1.0) | {"count": 2**63}}, start_ms=BASE_MS + 30 * MINUTE_MS)


def windows(n: int) -> list[bytes]:
    return [window({"x": functions(float(i))}, start_ms=BASE_MS + i * MINUTE_MS) for i in range(n)]


def test_one_line_that_cannot_be_parsed_is_rejected_alone(influxdb: InfluxDB) -> None:
    store = influx_store(influxdb)
    result = store.write([*windows(9), TOO_MANY, window({"x": functions(9.0)}, start_ms=BASE_MS + 9 * MINUTE_MS)])
    assert (result.written, [one.index for one in result.rejected]) == (10, [9])
    assert "value out of range" in result.rejected[0].message
    assert len(store.query_range("cpu", "x", "avg", **HOUR)) == 10
    store.close()


def test_a_conflict_of_types_is_rejected_alone(influxdb: InfluxDB) -> None:
    bucket = influxdb.create_bucket("conflicting")
    influxdb.write(b'cpu,host=a y_avg="text" %d000000' % BASE_MS, bucket=bucket)
    store = InfluxStore(url=influxdb.url, org=influxdb.org, bucket=bucket, token=influxdb.token)
    result = store.write([*windows(5), window({"y": functions(1.0)}, tags={"host": "b"}), *windows(7)[5:]])
    assert (result.written, [one.index for one in result.rejected]) == (7, [5])
    assert "field type conflict" in result.rejected[0].message
    assert len(store.query_range("cpu", "x", "avg", **HOUR)) == 7
    store.close()


def test_a_wrong_token_and_a_missing_bucket_are_for_the_operator_to_mend(influxdb: InfluxDB) -> None:
    wrong = "not-the-token"
    for token, bucket, advice in [(wrong, influxdb.bucket, "check the token"), (influxdb.token, "none", "the bucket")]:
        store = InfluxStore(url=influxdb.url, org=influxdb.org, bucket=bucket, token=token)
        for ask in (
            lambda store: store.write(windows(1)),
            lambda store: store.ping(),
            lambda store: store.query_range("cpu", "x", "avg", **HOUR),
        ):
            with pytest.raises(StoreUnavailable, match=advice) as caught:
                ask(store)
            assert token not in str(caught.value)
        store.close()


def test_a_compressed_body_is_read(influxdb: InfluxDB) -> None:
    store = influx_store(influxdb, compress=True)
    assert store.write(windows(3)) == WriteResult(written=3)
    assert len(store.query_range("cpu", "x", "avg", **HOUR)) == 3
    store.close()


def test_a_killed_server_is_unavailable_until_it_is_back_and_then_takes_the_same_batch(own_influxdb: InfluxDB) -> None:
    store = influx_store(own_influxdb)
    assert store.write(windows(2)) == WriteResult(written=2)
    own_influxdb.kill()
    with pytest.raises(StoreUnavailable, match="no answer"):
        store.write(windows(4))
    with pytest.raises(StoreUnavailable, match=r"no answer|query failed"):
        store.query_top("cpu", "x", "avg", **HOUR)
    own_influxdb.start()
    assert store.write(windows(4)) == WriteResult(written=4)
    assert len(store.query_range("cpu", "x", "avg", **HOUR)) == 4
    store.close()


# Control characters are rewritten on purpose, and a backslash at the end left out: see the tests of the encoding.
TAG = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=10).filter(
    lambda name: not name.startswith("_") and not name.endswith("\\")
)
NAME = TAG.filter(lambda name: not name.startswith("#") and not re.search(r'\\[,= "]', name))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(names=st.lists(st.tuples(NAME, NAME, TAG.filter(lambda key: "@" not in key), TAG), min_size=1, max_size=10))
def test_names_come_back_from_the_database_as_they_were(
    influxdb: InfluxDB, names: list[tuple[str, str, str, str]]
) -> None:
    store = influx_store(influxdb)
    records = [
        window({field: functions(float(i))}, measurement=measurement, tags={"id": str(i), f"k{key}": value})
        for i, (measurement, field, key, value) in enumerate(names)
    ]
    assert store.write(records) == WriteResult(written=len(names))
    for i, (measurement, field, key, value) in enumerate(names):
        tags = {"id": str(i), f"k{key}": value}
        (point,) = store.query_range(measurement, field, "avg", **HOUR, tags=tags)
        assert (point.value, point.tags) == (float(i), tags)
    store.close()


def test_a_tag_that_the_query_language_cannot_name_is_said_and_not_answered_with_nothing(influxdb: InfluxDB) -> None:
    store = influx_store(influxdb)
    store.write([window({"x": functions(1.0)}, tags={"a@b": "1"})])
    assert [point.tags for point in store.query_range("cpu", "x", "avg", **HOUR)] == [{"a@b": "1"}]
    with pytest.raises(ValueError, match="cannot ask for the tag 'a@b'"):
        store.query_range("cpu", "x", "avg", **HOUR, tags={"a@b": "1"})
    with pytest.raises(ValueError, match="cannot ask for the tag 'a@b'"):
        store.query_top("cpu", "x", "avg", **HOUR, by_tag="a@b")
    store.close()
