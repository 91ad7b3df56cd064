"""A chunk, an anomaly and an alert as lines of line protocol."""

import orjson
import pytest

from pipeline.core.influx.events import encode_alert, encode_anomaly
from pipeline.core.influx.history import encode_chunk
from pipeline.core.records.typed_records import read_record
from schemas.downsampled import DownsampledChunk
from tests.support.stores.chunks import START_MS, alert, anomaly, chunk


def lines_of(record: bytes) -> list[str]:
    return encode_chunk(read_record(DownsampledChunk, record, "metrics.downsampled")).text.decode().split("\n")


def test_a_chunk_is_a_line_a_point_and_one_for_what_is_known_of_it() -> None:
    record = chunk(
        [(0, 12.0, "l"), (5, 0.25, "s")], tags={"host": "a b", "sid": "x"}, sigma=0.0123456, max=20.0, gap=True
    )
    head = r"cpu,host=a\ b,metric=usage,sid=SID,tag_sid=x"
    known = (
        f'class="smooth",encoder="lines",n=360i,span_ms=3600000i,last_ms={START_MS + 5}i,revision=1i,'
        "sum=2205,max=20,sigma=0.0123,max_error=0.5,gap=t"
    )
    series = encode_chunk(read_record(DownsampledChunk, record, "metrics.downsampled")).series
    assert [line.replace(series, "SID") for line in lines_of(record)] == [
        f"{head} value=12 {START_MS}",
        f"{head} value=0.25,step=t {START_MS + 5}",
        f"{head} {known} {START_MS}",
    ]


def test_each_series_has_an_identity_of_its_own() -> None:
    series = [
        encode_chunk(read_record(DownsampledChunk, record, "")).series
        for record in (
            chunk([(0, 1.0, "l")]),
            chunk([(0, 1.0, "l")], field="other"),
            chunk([(0, 1.0, "l")], measurement="other"),
            chunk([(0, 1.0, "l")], tags={"host": "a", "cpu": "0"}),
        )
    ]
    assert len(set(series)) == 4
    again = chunk([(0, 2.0, "l")], tags={"cpu": "0", "host": "a"}, start_ms=START_MS + 1)
    assert encode_chunk(read_record(DownsampledChunk, again, "")).series == series[3]


def test_an_anomaly_is_a_line_that_a_newer_one_overwrites() -> None:
    line = encode_anomaly(anomaly(offset=7))
    head = "cinnamon_anomalies,function=avg,host=a,kind=anomaly,measurement=cpu,metric=usage,tag_kind=vm"
    assert line.identity == f"{head} {START_MS}".encode()
    assert (line.revision, line.time_ms) == (7, START_MS)
    assert b'reason="SPIKE"' in line.text
    assert rb'text="usage is 98.5, \"usually\" 10"' in line.text
    assert b"score=5" in line.text
    assert encode_anomaly(anomaly(offset=9)).identity == line.identity
    assert encode_anomaly(anomaly(host="b")).identity != line.identity


def test_an_alert_is_a_line_of_its_time() -> None:
    line = encode_alert(alert(sequence=3))
    head = "cinnamon_alerts,host=a,measurement=cpu,metric=usage,policy=cpu-high,reason=FIRST_BREACH"
    assert line.identity == f"{head} {START_MS}".encode()
    assert line.revision == 3
    assert b'state="FIRING"' in line.text
    assert b"previous_level" not in line.text
    assert b"notify=t" in line.text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"{", "not a record of metrics.downsampled: Invalid JSON"),
        (b'{"measurement": 1}', "not a record of metrics.downsampled: measurement: Input should be a valid string"),
        (orjson.dumps(orjson.loads(chunk([(0, 1.0, "l")])) | {"min": 5}), "min 5.0 is above max 1.0"),
    ],
)
def test_what_is_no_chunk_is_explained(value: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lines_of(value)
