"""Every source is known by its class alone: a new one is seen by all that goes through them."""

from collections.abc import Iterator
from dataclasses import fields
from io import StringIO
from itertools import islice
from threading import Event
from typing import ClassVar, Self

import pytest

from pipeline.cli.up.local_source import LocalSource
from pipeline.sources.base import RawRecord, Source, SourceOptions
from pipeline.sources.factory import SOURCES, reference
from pipeline.sources.fleet.fleet import Fleet

OPTIONS = SourceOptions(interval_ms=10_000, start_ms=1_780_272_000_000, hosts=3)


class Constant(Source):
    """A test's own source."""

    name: ClassVar = "constant"
    summary: ClassVar = "The same metric again and again."
    options: ClassVar = ("interval_ms",)

    @classmethod
    def open(cls, options: SourceOptions) -> Self:  # noqa: ARG003
        return cls()

    @classmethod
    def title(cls, options: SourceOptions) -> str:
        return f"a constant every {options.interval_ms} ms"

    def batches(self, stop: Event) -> Iterator[list[RawRecord]]:
        while not stop.is_set():
            yield [RawRecord(b"k", b"x value=1\n", 0)]


def test_every_source_makes_records_from_the_same_options() -> None:
    for source in SOURCES.values():
        (records,) = islice(source.open(OPTIONS).batches(Event()), 1)
        assert records
        assert all(record.value.endswith(b"\n") for record in records)


def test_a_source_names_options_that_there_are() -> None:
    known = {field.name for field in fields(SourceOptions)}
    assert all(known.issuperset(source.options) for source in SOURCES.values())


def test_a_fleet_is_opened_with_all_of_its_options() -> None:
    (opened,) = islice(Fleet.open(OPTIONS).batches(Event()), 1)
    assert opened == Fleet(3, 1, 1_780_272_000_000, 10_000).tick()


def test_a_new_source_is_in_the_reference_and_can_feed_a_local_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, Constant.name, Constant)
    assert list(reference())[-1] == ("constant", "The same metric again and again.", ("interval_ms",))
    assert LocalSource("constant", OPTIONS, StringIO()).title == "a constant every 10000 ms"


def test_sources_say_what_they_are() -> None:
    titles = {name: source.title(SourceOptions(interval_ms=1, hosts=5000)) for name, source in SOURCES.items()}
    assert titles == {"fleet": "simulated fleet of 5,000", "host": "this machine"}
