"""A checkpoint reads back as it was written, and nothing else is taken for one."""

import base64
import contextlib
import zlib
from dataclasses import fields
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.windows.checkpoint import AggregateCheckpoint, CheckpointError
from tests.support.core.aggregating import BASE_MS, NOW_MS, Partition, line, rules_of

INT64 = st.integers(-(2**63), 2**63 - 1)
COLUMNS = [c.name for c in fields(AggregateCheckpoint) if c.name.endswith("_ms") and c.name != "partition_ms"]
"""The numbers of each resource."""
NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


def checkpoint_of(names: tuple[str, ...] = ("a", "ns/infra/b"), **more: Any) -> AggregateCheckpoint:
    times = {name: np.arange(len(names), dtype=np.int64) + place * 1000 for place, name in enumerate(COLUMNS)}
    return AggregateCheckpoint(
        **{"offset": 3, "highest_offset": 9, "partition_ms": BASE_MS, "resources": names, **times, **more}
    )


def assert_equal(left: AggregateCheckpoint, right: AggregateCheckpoint) -> None:
    assert (left.offset, left.highest_offset, left.partition_ms) == (
        right.offset,
        right.highest_offset,
        right.partition_ms,
    )
    assert left.resources == right.resources
    assert left.origins == right.origins
    assert left.log_id == right.log_id
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), strict=True)


@settings(deadline=None)
@given(st.dictionaries(NAMES, st.lists(INT64, min_size=len(COLUMNS), max_size=len(COLUMNS)), max_size=20), INT64)
def test_a_checkpoint_reads_back_as_it_was_written(rows: dict[str, list[int]], number: int) -> None:
    times = np.array(list(rows.values()), np.int64).reshape(len(rows), len(COLUMNS))
    columns = {name: times[:, place] for place, name in enumerate(COLUMNS)}
    origins = {7: (number, 3), 0: (0, 1)}
    checkpoint = AggregateCheckpoint(number, number, number, tuple(rows), **columns, origins=origins, log_id="x")
    assert_equal(AggregateCheckpoint.from_bytes(checkpoint.to_bytes()), checkpoint)


def test_a_checkpoint_from_before_logs_had_a_name_is_of_any_log() -> None:
    document = orjson.loads(checkpoint_of(log_id="x").to_bytes())
    del document["log_id"]
    assert AggregateCheckpoint.from_bytes(orjson.dumps(document)).log_id == ""


def test_a_checkpoint_is_small() -> None:
    names = tuple(f"ns01/mci-seoul-{number // 10:03}/vm-{number:05}" for number in range(5_000))
    assert len(checkpoint_of(names).to_bytes()) < 5_000 * 32


def _changed(**members: Any) -> bytes:
    return orjson.dumps({**orjson.loads(checkpoint_of().to_bytes()), **members})


def _packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\x00", id="no JSON"),
        pytest.param(b"[]", id="an array"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{}", id="no members"),
        pytest.param(_changed(version=99), id="another version"),
        pytest.param(_changed(offset=None), id="no offset"),
        pytest.param(_changed(offset="x"), id="an offset that is no number"),
        pytest.param(_changed(resource_count=1), id="too few resources"),
        pytest.param(_changed(resource_count=-1), id="fewer than no resources"),
        pytest.param(_changed(resource_count=10**12), id="too many resources"),
        pytest.param(_changed(resources="%%%"), id="no base64"),
        pytest.param(_changed(resources="AAAA"), id="not compressed"),
        pytest.param(_changed(resources=_packed(b"")), id="empty"),
        pytest.param(_changed(resources=_packed(b'["a"]\n' + bytes(64))), id="names missing"),
        pytest.param(_changed(resources=_packed(b"17\n" + bytes(64))), id="names are no list"),
    ],
)
def test_what_is_no_checkpoint_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="checkpoint"):
        AggregateCheckpoint.from_bytes(data)


@settings(deadline=None)
@given(st.data())
def test_damaged_bytes_are_refused_or_read_and_never_crash(data: st.DataObject) -> None:
    text = bytearray(checkpoint_of().to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    del text[data.draw(st.integers(0, len(text))) :]
    with contextlib.suppress(CheckpointError):
        AggregateCheckpoint.from_bytes(bytes(text))


def test_a_checkpoint_says_where_the_kept_windows_begin() -> None:
    # every 10 s, correction 10 s: at second 41 are kept [20,30) that primes, [30,40) that may be corrected, [40,50)
    partition = Partition(rules_of())
    partition.feed(*(line("a", second) for second in range(1, 42, 10)))
    checkpoint = partition.aggregator.checkpoint()
    assert checkpoint is not None
    assert (checkpoint.offset, checkpoint.highest_offset) == (2, 4)
    assert checkpoint.resources == ("a",)
    assert checkpoint.newest_ms.tolist() == [BASE_MS + 41_000]


def test_a_partition_without_kept_windows_goes_on_behind_its_newest_record() -> None:
    partition = Partition(rules_of())
    partition.feed(b"# nothing", b"# nothing")
    checkpoint = partition.aggregator.checkpoint()
    assert checkpoint is not None
    assert (checkpoint.offset, checkpoint.highest_offset) == (2, 1)
    after = Partition(rules_of(), checkpoint=checkpoint)
    assert not after.aggregator.replaying
    assert after.feed(line("a", 1), now_ms=NOW_MS) == []


def test_a_checkpoint_holds_copies() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 1))
    checkpoint = partition.aggregator.checkpoint()
    assert checkpoint is not None
    partition.feed(line("a", 5))
    assert checkpoint.newest_ms.tolist() == [BASE_MS + 1_000]
