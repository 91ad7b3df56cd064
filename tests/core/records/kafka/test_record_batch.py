"""Record batches to columns: every codec, every field, and nothing that a damaged batch can do."""

import struct

import numpy as np
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.runtime.engine import record_fetch
from pipeline.runtime.engine.buffer_pool import BufferPool
from pipeline.runtime.engine.decompression import CannotDecompressError, OutputFullError, decompress
from pipeline.runtime.engine.record_fetch import CutOffBatchError, PartitionFetch, decode_fetch

CODECS = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
T0_MS = 1_700_000_000_000
Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]


def batch(
    records: list[Record],
    *,
    base_offset: int = 0,
    codec: int = 0,
    deltas: list[int] | None = None,
    attributes: int = 0,
    producer_id: int = -1,
) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, producer_id, 0, 0, 2**31 - 1)
    for i, (key, value, headers) in enumerate(records):
        builder.append(deltas[i] if deltas else i, T0_MS + i, key, value, headers)
    built = bytearray(builder.build())
    built[0:8] = struct.pack(">q", base_offset)
    built[22] |= attributes
    return sealed(built)


def sealed(built: bytearray | bytes) -> bytes:
    """Return a batch with its CRC set right again."""
    built = bytearray(built)
    built[17:21] = struct.pack(">I", calc_crc32c(bytes(built[21:])))
    return bytes(built)


def decode(
    fetched: bytes,
    from_offset: int = 0,
    *,
    high_watermark: int = 1_000_000,
    aborted: list[tuple[int, int]] | None = None,
    check_crcs: bool = True,
) -> RecordColumns:
    fetch = PartitionFetch("topic", 3, fetched, from_offset, high_watermark, aborted or [], check_crcs)
    return decode_fetch(fetch, BufferPool())


def rows(columns: RecordColumns) -> list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes]]]]:
    return [(int(columns.offset[i]), columns.key(i), columns.value(i), columns.headers(i)) for i in range(len(columns))]


def plain(n: int) -> list[Record]:
    return [(b"key-%d" % i, b"cpu,host=vm-%d usage=%d" % (i, i), []) for i in range(n)]


@pytest.mark.parametrize("codec", CODECS, ids=CODECS.values())
def test_every_codec_gives_the_records_back(codec: int) -> None:
    records: list[Record] = [
        (b"a", b"one", []),
        (None, b"two", [("h", b"1"), ("ü", b"")]),
        (b"", None, [("x" * 300, b"y" * 300)]),
        (b"c", b"", []),
    ]
    columns = decode(batch(records, base_offset=10, codec=codec))
    assert rows(columns) == [(10 + i, *record) for i, record in enumerate(records)]
    assert columns.timestamp_ms.tolist() == [T0_MS, T0_MS + 1, T0_MS + 2, T0_MS + 3]
    assert (columns.topic, columns.partition, columns.next_offset) == ("topic", 3, 14)
    assert columns.unreadable == ()


def test_batches_of_different_codecs_are_joined_in_order() -> None:
    fetched = b"".join(batch(plain(50), base_offset=50 * i, codec=i) for i in range(5))
    columns = decode(fetched)
    assert columns.offset.tolist() == list(range(250))
    assert columns.value(249) == b"cpu,host=vm-49 usage=49"


def test_records_before_the_asked_for_offset_are_left_out() -> None:
    columns = decode(batch(plain(10), base_offset=100, codec=3), from_offset=107)
    assert columns.offset.tolist() == [107, 108, 109]


def test_a_slice_begins_at_its_offset_and_shares_the_buffer() -> None:
    columns = decode(batch(plain(10), base_offset=100))
    part = columns.slice(104)
    assert part.offset.tolist() == list(range(104, 110))
    assert part.value(0) == columns.value(4)
    assert np.shares_memory(part.buffer, columns.buffer)


def test_a_last_batch_that_is_cut_off_is_left_for_the_next_fetch() -> None:
    first, second = batch(plain(3)), batch(plain(3), base_offset=3)
    columns = decode(first + second[:-1])
    assert columns.offset.tolist() == [0, 1, 2]
    assert columns.next_offset == 3


def test_a_first_batch_that_is_cut_off_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(CutOffBatchError, match=r"topic\[3\] offset 0: .* raise kafka.fetch_max_bytes"):
        decode(batch(plain(3))[:-1])


def test_compacted_batches_keep_their_offsets_and_the_position_goes_behind_them() -> None:
    built = bytearray(batch(plain(2), base_offset=40, deltas=[3, 7]))
    built[23:27] = struct.pack(">i", 19)
    columns = decode(sealed(built))
    assert columns.offset.tolist() == [43, 47]
    assert columns.next_offset == 60


def test_log_append_time_is_the_batchs_greatest_time_for_all_records() -> None:
    columns = decode(batch(plain(3), attributes=8))
    assert columns.timestamp_ms.tolist() == [T0_MS + 2] * 3


def test_control_batches_hold_no_records_and_move_the_position() -> None:
    marker = batch([(b"\x00\x00\x00\x01", b"", [])], base_offset=2, attributes=0x30, producer_id=7)
    columns = decode(batch(plain(2)) + marker)
    assert columns.offset.tolist() == [0, 1]
    assert columns.next_offset == 3


def test_records_of_an_aborted_transaction_are_left_out_until_its_marker() -> None:
    def transactional(base_offset: int, producer_id: int) -> bytes:
        return batch(plain(2), base_offset=base_offset, attributes=0x10, producer_id=producer_id)

    abort = batch([(b"\x00\x00\x00\x00", b"", [])], base_offset=6, attributes=0x30, producer_id=7)
    fetched = transactional(0, 7) + transactional(2, 8) + transactional(4, 7) + abort + transactional(7, 7)
    assert decode(fetched, aborted=[(7, 0)]).offset.tolist() == [2, 3, 7, 8]
    assert decode(fetched).offset.tolist() == [0, 1, 2, 3, 4, 5, 7, 8]


@pytest.mark.parametrize(("magic", "codec"), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)])
def test_old_message_sets_are_read_too(magic: int, codec: int) -> None:
    builder = LegacyRecordBatchBuilder(magic, codec, 2**20)
    for i in range(3):
        builder.append(i, T0_MS + i, b"k%d" % i, b"v%d" % i)
    columns = decode(bytes(builder.build()) + batch(plain(2), base_offset=3))
    assert [row[1:3] for row in rows(columns)][:3] == [(b"k0", b"v0"), (b"k1", b"v1"), (b"k2", b"v2")]
    assert columns.offset.tolist() == [0, 1, 2, 3, 4]
    assert columns.timestamp_ms.tolist()[:3] == ([T0_MS, T0_MS + 1, T0_MS + 2] if magic else [-1, -1, -1])


def test_a_wrong_crc_makes_the_batch_unreadable_and_the_others_are_read() -> None:
    bad = bytearray(batch(plain(5), base_offset=5))
    bad[-3] ^= 1
    columns = decode(batch(plain(5)) + bytes(bad) + batch(plain(5), base_offset=10))
    assert columns.offset.tolist() == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    (unreadable,) = columns.unreadable
    assert (unreadable.topic, unreadable.partition) == ("topic", 3)
    assert (unreadable.base_offset, unreadable.last_offset, unreadable.raw) == (5, 9, bytes(bad))
    assert "CRC" in unreadable.message


def test_the_last_offset_of_a_damaged_header_is_not_believed() -> None:
    bad = bytearray(batch(plain(5), base_offset=5))
    bad[23:27] = struct.pack(">i", 2**31 - 1)
    assert decode(bytes(bad) + batch(plain(1), base_offset=10)).unreadable[0].last_offset == 9
    assert decode(bytes(bad), high_watermark=12).next_offset == 12


@pytest.mark.parametrize("codec", [1, 2, 3, 4, 5, 7])
def test_bytes_that_do_not_decompress_make_the_batch_unreadable(codec: int) -> None:
    bad = bytearray(batch(plain(5)))
    bad[22] = codec
    columns = decode(sealed(bad) + batch(plain(1), base_offset=5))
    assert columns.offset.tolist() == [5]
    assert (columns.unreadable[0].base_offset, columns.unreadable[0].last_offset) == (0, 4)
    assert CODECS.get(codec, f"codec {codec}") in columns.unreadable[0].message


@pytest.mark.parametrize("codec", [1, 2, 3, 4], ids=["gzip", "snappy", "lz4", "zstd"])
def test_a_decompression_bomb_is_unreadable(codec: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_fetch, "MAX_BATCH_BYTES", 1_000_000)
    bomb = batch([(None, bytes(3_000_000), [])], codec=codec)
    columns = decode(bomb + batch(plain(1), base_offset=1))
    assert columns.offset.tolist() == [1]
    assert "more than 1000000 bytes" in columns.unreadable[0].message


def test_a_fetch_that_grows_too_large_is_handed_on_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_fetch, "MAX_JOINED_BYTES", 100_000)
    fetched = b"".join(batch([(None, bytes(60_000), [])], base_offset=i, codec=3) for i in range(4))
    columns = decode(fetched)
    assert columns.offset.tolist() == [0, 1]
    assert columns.next_offset == 2


@pytest.mark.parametrize("codec", [1, 2, 3, 4], ids=["gzip", "snappy", "lz4", "zstd"])
def test_a_section_that_compresses_well_finds_room(codec: int) -> None:
    value = bytes(5_000_000)
    columns = decode(batch(plain(1)) + batch([(None, value, [])], base_offset=1, codec=codec))
    assert columns.value(0) == b"cpu,host=vm-0 usage=0"
    assert columns.value(1) == value


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4], ids=CODECS.values())
def test_an_output_that_is_too_small_is_told_from_damage(codec: int) -> None:
    packed = memoryview(batch([(None, bytes(10_000), [])], codec=codec))[61:]
    with pytest.raises(OutputFullError, match=r"(?i)room|full|small|output|buffer"):
        decompress(codec, packed, memoryview(bytearray(5_000)))
    if codec:
        with pytest.raises(CannotDecompressError, match=CODECS[codec]):
            decompress(codec, memoryview(b"\x00\xff" * 50), memoryview(bytearray(50_000)))


def test_a_batch_that_claims_more_records_than_fit_is_unreadable() -> None:
    bad = bytearray(batch(plain(5)))
    bad[57:61] = struct.pack(">i", 2**31 - 1)
    columns = decode(sealed(bad))
    assert len(columns) == 0
    assert columns.unreadable[0].message == f"2147483647 records cannot be in {len(bad) - 61} bytes"


@pytest.mark.parametrize("length", [-1, 0, 4])
def test_a_length_that_is_none_gives_up_one_offset(length: int) -> None:
    columns = decode(batch(plain(2)) + struct.pack(">qi", 2, length) + bytes(60))
    assert columns.offset.tolist() == [0, 1]
    assert columns.next_offset == 3
    assert columns.unreadable[0].last_offset == 2


RECORDS = st.lists(
    st.tuples(
        st.none() | st.binary(max_size=20),
        st.none() | st.binary(max_size=200),
        st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=10)), max_size=3),
    ),
    min_size=1,
    max_size=20,
)


@given(records=RECORDS, codec=st.sampled_from(sorted(CODECS)), from_offset=st.integers(0, 25))
def test_any_records_come_back(records: list[Record], codec: int, from_offset: int) -> None:
    columns = decode(batch(records, codec=codec), from_offset)
    assert rows(columns) == [(i, *record) for i, record in enumerate(records) if i >= from_offset]


@settings(max_examples=500)
@given(records=RECORDS, damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_inside_a_section_never_reads_outside_of_it(
    records: list[Record], damage: list[tuple[float, int]]
) -> None:
    built = bytearray(batch(records))
    for where, byte in damage:
        built[61 + int(where * (len(built) - 62))] = byte
    columns = decode(sealed(built) + batch(plain(1), base_offset=len(records)))
    assert columns.value(len(columns) - 1) == b"cpu,host=vm-0 usage=0"
    if columns.unreadable:
        assert len(columns) == 1
    end = len(built) - 61
    for start, stop in ((columns.key_start, columns.key_end), (columns.value_start, columns.value_end)):
        for a, b in zip(start.tolist()[:-1], stop.tolist()[:-1], strict=True):
            assert a == b == -1 or 0 <= a <= b <= end
    for i in range(len(columns)):
        columns.headers(i)


@settings(max_examples=300)
@given(noise=st.binary(max_size=300), check_crcs=st.booleans())
def test_noise_is_refused_or_unreadable(noise: bytes, check_crcs: bool) -> None:
    fetched = batch(plain(2)) + noise
    columns = decode(fetched, check_crcs=check_crcs)
    assert columns.offset.tolist()[:2] == [0, 1]
    assert columns.next_offset >= 2


def test_memory_is_used_again_only_when_the_columns_are_gone() -> None:
    pool = BufferPool()
    fetch = PartitionFetch("topic", 0, batch(plain(100), codec=3), 0, 100)
    first = decode_fetch(fetch, pool)
    second = decode_fetch(fetch, pool)
    assert not np.shares_memory(first.buffer, second.buffer)
    assert not np.shares_memory(first.offset, second.offset)
    address = first.slice(50).buffer.ctypes.data
    kept = first.slice(50)
    del first
    assert decode_fetch(fetch, pool).buffer.ctypes.data != address
    del kept
    assert decode_fetch(fetch, pool).buffer.ctypes.data == address
