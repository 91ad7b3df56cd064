"""Samples counted for the audit: what a dictionary would count, whatever the batches; lateness by the written rule."""

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.audit.hashes import cell_hash, find_cell
from pipeline.core.audit.samples import ALWAYS, SAMPLE_ROW, PartitionSamples, merged
from pipeline.core.records.identity.interning import WindowRule
from pipeline.core.records.telegraf.parsed import ParsedMetric
from pipeline.core.records.telegraf.parser import ParseOptions, batch_of
from pipeline.core.records.telegraf.record import parse_record
from pipeline.core.windows.rules import WindowRules

BASE_MS = 1_700_000_000_000
RULES = WindowRules(WindowRule(10_000, 2_000, 15_000), idle_close_ms=60_000)
SPAN = {"start_ms": BASE_MS, "end_ms": BASE_MS + 100_000, "now_ms": BASE_MS + 10**9}

Sample = tuple[str, int, str]


def counted(records: list[bytes], cuts: list[int], processed_until: int = 1 << 40) -> dict[int, Any]:
    """Count records in batches; give the merged row of each cell."""
    samples = PartitionSamples(0, RULES, ParseOptions(), processed_until=processed_until, **SPAN)
    parts = [np.zeros(0, SAMPLE_ROW)]
    ends = [*sorted(cuts), len(records)]
    for first, last in zip([0, *ends[:-1]], ends, strict=True):
        batch = batch_of(records[first:last], first)
        parts.append(samples.add(batch, np.full(last - first, ALWAYS, np.int64)).rows)
    return {int(row["cell"]): row for row in merged(np.concatenate(parts))}


samples_of = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(-20_000, 120_000), st.sampled_from("vw")), max_size=40
)


@settings(deadline=None)  # the first example compiles
@given(samples=samples_of, cut=st.integers(0, 40))
def test_counts_are_those_of_a_dictionary(samples: list[Sample], cut: int) -> None:
    records = [b"m,host=%s %s=1 %d000000" % (h.encode(), f.encode(), BASE_MS + at) for h, at, f in samples]
    want: Counter[int] = Counter()
    late: Counter[int] = Counter()
    newest: dict[str, int] = {}
    for host, at, name in samples:
        number = (BASE_MS + at) // 10_000
        cell = cell_hash("m", {"host": host}, number * 10_000, name)
        own_ms = newest.get(host, -(10**15)) - 2_000
        if 0 <= number * 10_000 - BASE_MS < 100_000:
            want[cell] += 1
            late[cell] += (number + 1) * 10_000 + 15_000 <= own_ms
        newest[host] = max(newest.get(host, 0), BASE_MS + at)
    found = counted(records, [min(cut, len(records))])
    assert {cell: int(row["total"]) for cell, row in found.items()} == dict(want)
    assert {cell: int(row["out"]) for cell, row in found.items() if row["out"]} == +late


def line(at_ms: int, host: bytes = b"a") -> bytes:
    return b"m,host=%s v=1 %d000000" % (host, BASE_MS + at_ms)


def cell_at(at_ms: int, host: str = "a") -> int:
    return cell_hash("m", {"host": host}, (BASE_MS + at_ms) // 10_000 * 10_000, "v")


def test_a_record_is_judged_by_what_came_before_it() -> None:
    # a  1 | 90 and 2 in one record: 2 is late by the record's own 90, which counts only afterwards | 3 too late
    found = counted([line(1000), line(90_000) + b"\n" + line(2000), line(3000)], [])
    row = found[cell_at(1000)]
    assert (row["total"], row["sure"], row["out"]) == (3, 2, 1)


def test_what_is_not_processed_is_not_sure() -> None:
    row = counted([line(1000), line(2000), line(3000)], [], processed_until=1)[cell_at(1000)]
    assert (row["total"], row["sure"], row["waiting"], row["first_offset"]) == (3, 2, 1, 0)


def test_after_a_long_silence_a_sample_for_an_older_window_is_doubtful() -> None:
    # b and c move the partition's time on for longer than half of what a takes to be forgotten (95 s)
    silence = [line(at, host) for at in range(0, 60_000, 5_000) for host in (b"b", b"c")]
    found = counted([line(1000), *silence, line(3000), line(11_000)], [])
    row = found[cell_at(1000)]
    assert (row["total"], row["sure"], row["out"], row["doubtful"]) == (2, 1, 0, 1)
    following = found[cell_at(11_000)]
    assert (following["sure"], following["doubtful"]) == (1, 1)  # it is in, its bridge is not known


def test_what_lies_more_than_1023_windows_back_in_one_record_is_out() -> None:
    many = b"\n".join(line(10_000 * number) for number in range(-1015, 9))
    found = counted([many], [])
    assert all(row["out"] == 0 for row in found.values())
    assert len(found) == 9
    early = {"start_ms": BASE_MS - 10_150_000, "end_ms": BASE_MS, "now_ms": BASE_MS}
    samples = PartitionSamples(0, RULES, ParseOptions(), processed_until=1, **early)
    rows = samples.add(batch_of([many], 0), np.full(1, ALWAYS, np.int64)).rows
    assert (len(rows), int(rows["out"].sum()), int(rows["out"][0])) == (1015, 1, 1)


def test_the_line_of_a_cell_is_found_again() -> None:
    value = b"m,vm_id=x v=1,w=2 %d000000" % (BASE_MS + 5)
    metrics = [item for item in parse_record(value) if isinstance(item, ParsedMetric)]
    cell = cell_hash("m", {"node_id": "x"}, BASE_MS, "w")
    assert find_cell(metrics, cell, RULES, -1) == ("m", {"node_id": "x"}, "w", BASE_MS, BASE_MS + 10_000)
    assert find_cell(metrics, cell + 1, RULES, -1) is None
