"""Samples in columns are those that the plain parser reads, each with the number of its series."""

import random

import pytest

from pipeline.core.records.identity.raw_samples import RawSamples, SeriesName
from pipeline.core.records.identity.resource import canonical_tags
from pipeline.core.records.telegraf.parsed import ParsedMetric
from pipeline.core.records.telegraf.parser import ParseOptions, batch_of
from pipeline.core.records.telegraf.record import parse_record
from tests.support.core.random_logs import random_log

NOW_MS = 2_000_000_000_000


def read(raw: RawSamples, values: list[bytes], first_offset: int = 0) -> list[tuple[SeriesName, int, float, int]]:
    """Return series, time, value and offset of each sample."""
    batch = batch_of(values, first_offset)
    found = []
    for samples in raw.read(batch, 0, len(values), NOW_MS):
        columns = (samples.series, samples.time_ms, samples.value, samples.offset)
        found += [
            (raw.names[number], time_ms, value, offset)
            for number, time_ms, value, offset in zip(*(column.tolist() for column in columns), strict=True)
        ]
    return found


@pytest.mark.parametrize("seed", range(5))
def test_samples_are_those_of_the_plain_parser_in_its_order(seed: int) -> None:
    values = random_log(seed, 300).values
    expected = []
    for offset, value in enumerate(values):
        for metric in parse_record(value):
            if isinstance(metric, ParsedMetric) and metric.time_ns is not None and metric.time_ns // 10**6 <= NOW_MS:
                tags = canonical_tags(metric.tags)
                expected += [
                    (SeriesName(metric.measurement, name, tags), metric.time_ns // 10**6, float(number), offset)
                    for name, number in metric.fields.items()
                    if not isinstance(number, str) and abs(float(number)) < float("inf")
                ]
    assert expected
    assert read(RawSamples(ParseOptions()), values) == expected


def test_series_keep_their_numbers_while_rows_and_fields_come_in_any_order() -> None:
    r = random.Random(4)
    lines = [
        b"m%d,host=h %s 1000000000000000000"
        % (r.randrange(20), b",".join(b"f%d=%d" % (field, field) for field in r.sample(range(60), r.randint(1, 12))))
        for _ in range(400)
    ]
    raw = RawSamples(ParseOptions())
    assert all(name.field == f"f{value:.0f}" for name, _, value, _ in read(raw, lines))
    assert len(set(map(str, raw.names))) == len(raw.names)


def test_after_a_restart_known_series_have_the_same_numbers() -> None:
    lines = [b"a,host=h x=1,y=2 1", b"b,host=h x=3 1", b"a,host=h z=4 1"]
    before = RawSamples(ParseOptions())
    read(before, lines)
    after = RawSamples(ParseOptions(), before.names)
    read(after, [b"c,host=h q=1 1", *reversed(lines)])
    assert after.names[: len(before.names)] == before.names
    assert [(name.measurement, name.field) for name in after.names] == [
        ("a", "x"), ("a", "y"), ("b", "x"), ("a", "z"), ("c", "q"),
    ]  # fmt: skip


def test_what_cannot_be_used_is_handed_out_and_the_rest_is_read() -> None:
    raw = RawSamples(ParseOptions())
    found = read(raw, [b"nonsense", b'a,host=h x="text",y=2 1000000000000000000'], 5)
    assert [(name.field, value, offset) for name, _, value, offset in found] == [("y", 2.0, 6)]
    assert [part.offset for part in raw.refused] == [5]
    assert sum(raw.filtered.values()) == 1
