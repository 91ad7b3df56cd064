"""Snapshots as bytes: what is written comes back, and what is damaged is refused."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from pipeline.core.snapshots.chain import Generation, SnapshotChain, generations_of, generations_to_bytes
from pipeline.core.snapshots.codec import Assembly, Manifest, SnapshotError, manifest_to_bytes, manifests_of, seal
from pipeline.core.snapshots.snapshot import BLOCK_BYTES, DTYPES, Snapshot, layout_of, pieces_of

OWNER = "detect/3"
NAMES = st.from_regex(r"[a-z][a-z0-9_.-]{0,9}", fullmatch=True)
ARRAYS = st_numpy.arrays(st.sampled_from(sorted(DTYPES)), st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0))
SNAPSHOTS = st.builds(
    Snapshot,
    st.integers(0, 2**62),
    st.dictionaries(NAMES.map("r.".__add__), st.binary(max_size=50), max_size=3),
    st.dictionaries(NAMES.map("a.".__add__), ARRAYS, max_size=3),
)


def written(snapshot: Snapshot, chain: SnapshotChain | None = None) -> tuple[bytes, dict[str, bytes]]:
    """Return a snapshot's manifest as bytes and the blocks that it wrote by key."""
    chain = chain or SnapshotChain(OWNER, 1, "f00d")
    draft = chain.begin(snapshot.offset, pieces_of(snapshot))
    blocks = {key: bytes(data) for key, data in chain.changed_blocks(draft)}
    manifest, previous = chain.manifest(draft, {key: (1, number) for number, key in enumerate(blocks)})
    chain.deleted(chain.finished(manifest))
    return manifest_to_bytes(manifest, previous), blocks


def assembled(manifest: Manifest, blocks: Mapping[str, bytes]) -> Snapshot:
    assembly = Assembly(manifest)
    for key in list(assembly.missing):
        assembly.put(key, blocks[key])
    return assembly.snapshot()


def assert_same(got: Snapshot, want: Snapshot) -> None:
    assert got.offset == want.offset
    assert got.records == want.records
    assert got.arrays.keys() == want.arrays.keys()
    for name, array in want.arrays.items():
        assert (got.arrays[name].dtype, got.arrays[name].shape) == (array.dtype, array.shape)
        assert got.arrays[name].tobytes() == array.tobytes()  # NaN as well, bit for bit


def large(last: int = 0) -> Snapshot:
    """Return a snapshot of three blocks, of which ``last`` changes one."""
    numbers = np.arange(300_000, dtype=np.int64)
    numbers[-1] += last
    return Snapshot(7 + last, {"names": b"a,b"}, {"numbers": numbers})


@given(SNAPSHOTS)
def test_a_snapshot_comes_back_as_it_was(snapshot: Snapshot) -> None:
    data, blocks = written(snapshot)
    (manifest,) = manifests_of(data, OWNER)
    assert (manifest.owner, manifest.version, manifest.generation) == (OWNER, 1, "f00d-0")
    assert manifest.size == sum(map(len, blocks.values()))
    assert_same(assembled(manifest, blocks), snapshot)


def test_an_array_in_another_order_comes_back_in_that_of_rows_and_may_be_written_to() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    data, blocks = written(Snapshot(0, {}, {"turned": array.T, "every-other": array[:, ::2]}))
    arrays = assembled(manifests_of(data, OWNER)[0], blocks).arrays
    assert arrays["turned"].tolist() == array.T.tolist()
    assert arrays["every-other"].tolist() == array[:, ::2].tolist()
    arrays["turned"][0, 0] = 5


def test_what_did_not_change_is_not_written_again_and_what_no_snapshot_of_two_needs_is_deleted() -> None:
    chain = SnapshotChain(OWNER, 1, "f00d")
    kept: dict[str, bytes] = {}
    sizes = []
    for last in range(4):
        data, blocks = written(large(last), chain)
        kept |= blocks
        sizes.append(sorted(map(len, blocks.values())))
        newest, *before = manifests_of(data, OWNER)
        assert_same(assembled(newest, kept), large(last))
        assert [manifest.offset for manifest in before] == ([6 + last] if last else [])
    rest = 300_000 * 8 - 3 * BLOCK_BYTES
    assert sizes == [[3, rest, BLOCK_BYTES, BLOCK_BYTES, BLOCK_BYTES], [rest], [rest], [rest]]
    noted = generations_of(chain.note(), OWNER)
    assert [generation.name for generation in noted] == ["f00d-0", "f00d-2", "f00d-3"]


@given(st.data())
def test_a_manifest_with_any_bit_changed_or_cut_off_is_refused(data: st.DataObject) -> None:
    whole, _ = written(large())
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    for damaged in (bytes(changed), whole[:place]):
        with pytest.raises(SnapshotError, match="of another format, or damaged"):
            manifests_of(damaged, OWNER)
        with pytest.raises(SnapshotError, match="of another format, or damaged"):
            generations_of(damaged, OWNER)


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    for read in (manifests_of, generations_of):
        with pytest.raises(SnapshotError, match="of another format, or damaged"):
            read(data, OWNER)


@given(st.data())
def test_a_block_with_any_bit_changed_or_cut_off_is_refused(data: st.DataObject) -> None:
    whole, blocks = written(large())
    (manifest,) = manifests_of(whole, OWNER)
    key = data.draw(st.sampled_from(sorted(blocks)))
    place = data.draw(st.integers(0, len(blocks[key]) - 1))
    changed = bytearray(blocks[key])
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    for damaged in (bytes(changed), blocks[key][:place], blocks[key] + b"\0"):
        assembly = Assembly(manifest)
        with pytest.raises(SnapshotError, match=f"block {key} is damaged"):
            assembly.put(key, damaged)
        with pytest.raises(SnapshotError, match="blocks are missing"):
            assembly.snapshot()


JSON = st.recursive(
    st.none() | st.integers(-3, 2**70) | st.floats() | st.sampled_from(["", "x", "<f8", "<O8", "../x", OWNER]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["name", "dtype", "x"]), inner),
    max_leaves=8,
)


@given(st.data())
def test_a_sealed_document_of_another_shape_is_refused_or_read_as_what_it_says(data: st.DataObject) -> None:
    blocks = st.lists(st.tuples(JSON, JSON, JSON, JSON, JSON) | JSON, max_size=3)
    part = st.fixed_dictionaries({"name": JSON, "dtype": JSON, "shape": JSON, "blocks": blocks | JSON}) | JSON
    document = data.draw(
        st.fixed_dictionaries(
            {"owner": JSON, "version": JSON, "offset": JSON, "generations": JSON, "parts": st.lists(part) | JSON},
            optional={"previous": JSON},
        )
    )
    for read in (manifests_of, generations_of):
        try:
            sealed = seal(document)
            found = read(sealed, OWNER)
        except (SnapshotError, TypeError):  # the latter: orjson writes no number beyond 64 bits
            continue
        assert isinstance(found, list)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "|O"}, "part 'numbers' of type '|O'"),
        ({"shape": [299_999]}, r"shape \(299999,\)"),
        ({"shape": [-300_000]}, r"shape \(-300000,\)"),
        ({"name": "../numbers"}, "part '../numbers'"),
        ({"blocks": []}, "0 blocks"),
    ],
)
def test_a_part_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    part = {"name": "numbers", "dtype": "<i8", "shape": [300_000], "blocks": [[0, "00" * 16, 800_000, 0, 1]] * 3}
    document = {"owner": OWNER, "version": 1, "offset": 0, "generations": ["f00d-0"], "parts": [part]}
    assert manifests_of(seal(document), OWNER)[0].size == 2_400_000
    part |= change
    with pytest.raises(SnapshotError, match=message.replace("|", r"\|")):
        manifests_of(seal(document), OWNER)


def test_a_manifest_of_another_owner_is_refused() -> None:
    data, _ = written(Snapshot(0))
    with pytest.raises(SnapshotError, match="the manifest of detect/4 is that of detect/3"):
        manifests_of(data, "detect/4")
    with pytest.raises(SnapshotError, match="the note of detect/4 is that of another"):
        generations_of(generations_to_bytes(OWNER, [Generation("f00d-0", {"a": 1})]), "detect/4")


@pytest.mark.parametrize(
    ("snapshot", "message"),
    [
        (Snapshot(0, {}, {"objects": np.array([None])}), r"array objects of \|O"),
        (Snapshot(0, {}, {"texts": np.array(["a"])}), "array texts of <U1"),
        (Snapshot(0, {"a": b""}, {"a": np.zeros(1)}), "a is a record and an array"),
        (Snapshot(0, {"a/b": b""}), "name 'a/b' must be of"),
    ],
)
def test_a_snapshot_of_anything_but_named_plain_numbers_is_refused(snapshot: Snapshot, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layout_of(snapshot)


def test_a_state_too_large_for_a_manifest_is_refused() -> None:
    chain = SnapshotChain(OWNER, 1, "f00d")
    with pytest.raises(ValueError, match="detect/3: a state of 20000 bytes is too large: use more partitions"):
        written(Snapshot(0, {f"r{number}": b"x" for number in range(20_000)}), chain)
