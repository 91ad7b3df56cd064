"""Hostile input ends in the right reason at the right place, and what is good beside it is used."""

import json
import zlib

import pytest

from pipeline.core.records.telegraf.parsed import ParsedMetric, Refusal
from pipeline.core.records.telegraf.record import parse_record
from tests.support.core.cases import DATA

HOSTILE = DATA / "hostile"
EXPECTED: dict[str, list[str]] = json.loads((HOSTILE / "expected.json").read_text(encoding="utf-8"))
LONG = 150
SHOWN = 120


def outcome(item: ParsedMetric | Refusal) -> str:
    if isinstance(item, Refusal):
        return f"{item.line}:{item.column} {item.reason}"
    text = f"{item.line} {item.measurement!r} {item.tags} {item.fields} {item.time_ns}"
    return text if len(text) <= LONG else f"{text[:SHOWN]}… {len(text)} {zlib.crc32(text.encode()):08x}"


@pytest.mark.parametrize("name", EXPECTED)
def test_every_hostile_file_comes_out_as_written_down(name: str) -> None:
    assert [outcome(item) for item in parse_record((HOSTILE / name).read_bytes())] == EXPECTED[name]


def test_no_hostile_file_is_forgotten() -> None:
    assert {path.name for path in HOSTILE.iterdir()} - {"README.md", "expected.json"} == set(EXPECTED)
