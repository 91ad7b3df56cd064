"""A snapshot of a stage's state as bytes: blocks of its arrays and records, and the manifest that says which belong.

A block is a piece of an array as it lies in memory. A manifest names every block with its digest and its place on the
topic of blocks, and holds the manifest before it, so that a broken block leads back to the snapshot before.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import orjson

from pipeline.core.snapshots.snapshot import DTYPES, MOST_DIMENSIONS, NAME, RECORD, Snapshot

LARGEST_BLOCK_BYTES: Final = 1024 * 1024
LARGEST_MANIFEST_BYTES: Final = 1_000_000
"""Room for about 7,000 blocks in each of the two snapshots of a manifest: a state of 5 GB."""
_DIGEST_BYTES: Final = 16
_FORMAT: Final = b"cinnamon-snapshot-1 "


class SnapshotError(Exception):
    """A snapshot cannot be used; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block as a manifest names it.

    Parameters
    ----------
    generation
        Which snapshot wrote it.
    digest
        Of its bytes.
    length
        In bytes.
    partition, offset
        Where on the topic of blocks it lies.
    """

    generation: str
    digest: bytes
    length: int
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class BlockPart:
    """A record or an array as a manifest names it; its fields are those of a `Piece`, and its blocks in order."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole snapshot.

    Parameters
    ----------
    owner
        Whose state it is: ``stage/partition``.
    generation
        Which snapshot: the writer's incarnation and its count, ``<incarnation>-<n>``.
    version
        Of the stage's state, given by the stage.
    offset
        As in `Snapshot`.
    parts
        What it consists of.
    """

    owner: str
    generation: str
    version: int
    offset: int
    parts: tuple[BlockPart, ...]

    @property
    def size(self) -> int:
        """Bytes of the state."""
        return sum(block.length for _, block in self.blocks())

    def blocks(self) -> Iterator[tuple[str, Block]]:
        """Yield its blocks with their keys, in the order of the state's bytes."""
        for part in self.parts:
            for number, block in enumerate(part.blocks):
                yield block_key(self.owner, block.generation, part.name, number), block


def block_key(owner: str, generation: str, part: str, number: int) -> str:
    """Return a block's key.

    >>> block_key("detect/3", "f00d-12", "levels", 0)
    'detect/3/f00d-12/levels/0'
    """
    return f"{owner}/{generation}/{part}/{number}"


def incarnation_of(generation: str) -> str:
    """Return which incarnation of an owner wrote a generation.

    >>> incarnation_of("f00d-12")
    'f00d'
    """
    return generation.rpartition("-")[0]


def digest_of(block: bytes | memoryview) -> bytes:
    """Return the digest by which a block is known: equal digests stand for equal bytes."""
    return hashlib.sha256(block).digest()[:_DIGEST_BYTES]


def manifest_to_bytes(manifest: Manifest, previous: Manifest | None) -> bytes:
    """Write a manifest, with the one before it.

    Raises
    ------
    ValueError
        When it is larger than `LARGEST_MANIFEST_BYTES`: the state is too large for one partition.
    """
    document = _document_of(manifest)
    if previous is not None:
        document["previous"] = _document_of(previous)
    data = seal(document)
    if len(data) > LARGEST_MANIFEST_BYTES:
        raise ValueError(f"{manifest.owner}: a state of {manifest.size} bytes is too large: use more partitions")
    return data


def manifests_of(data: bytes, owner: str) -> list[Manifest]:
    """Read a manifest's record: return its manifest, and the one before it where there is one.

    Raises
    ------
    SnapshotError
        If ``data`` is not what `manifest_to_bytes` writes for this owner.
    """
    document = unseal(data)
    try:
        manifests = [_manifest_of(document)]
        if document.get("previous") is not None:
            manifests.append(_manifest_of(document["previous"]))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise SnapshotError(f"unreadable manifest of {len(data)} bytes: {error!r}") from error
    if any(manifest.owner != owner for manifest in manifests):
        raise SnapshotError(f"the manifest of {owner} is that of {manifests[0].owner}")
    return manifests


def seal(document: Mapping[str, Any]) -> bytes:
    """Write a document as JSON behind its digest."""
    body = orjson.dumps(document)
    return _FORMAT + digest_of(body).hex().encode() + b"\n" + body


def unseal(data: bytes) -> dict[str, Any]:
    """Read what `seal` wrote.

    Raises
    ------
    SnapshotError
        If it is anything else.
    """
    head, _, body = data.partition(b"\n")
    if head != _FORMAT + digest_of(body).hex().encode():
        raise SnapshotError(f"{len(data)} bytes of another format, or damaged")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SnapshotError(f"{len(data)} bytes that are no JSON: {error}") from error
    if not isinstance(document, dict):
        raise SnapshotError(f"{len(data)} bytes that are no document")
    return document


class Assembly:
    """A snapshot being put together from its blocks.

    Parameters
    ----------
    manifest
        Which snapshot.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._buffers = [np.empty(sum(block.length for block in part.blocks), np.uint8) for part in manifest.parts]
        self.missing: dict[str, tuple[Block, memoryview]] = {}
        """The blocks that are not there yet by key, in the order of the state's bytes, with where their bytes go."""
        keyed = manifest.blocks()
        for part, buffer in zip(manifest.parts, self._buffers, strict=True):
            start = 0
            for _ in part.blocks:
                key, block = next(keyed)
                self.missing[key] = block, buffer.data[start : start + block.length]
                start += block.length

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Take a missing block's bytes.

        Raises
        ------
        SnapshotError
            When they are not those that were written.
        """
        block, place = self.missing[key]
        if len(data) != block.length or digest_of(data) != block.digest:
            raise SnapshotError(f"block {key} is damaged")
        place[:] = data
        del self.missing[key]

    def snapshot(self) -> Snapshot:
        """Return the snapshot.

        Raises
        ------
        SnapshotError
            When blocks are missing.
        """
        if self.missing:
            raise SnapshotError(f"{len(self.missing)} blocks are missing, the first is {next(iter(self.missing))}")
        records: dict[str, bytes] = {}
        arrays = {}
        for part, buffer in zip(self._manifest.parts, self._buffers, strict=True):
            if part.dtype == RECORD:
                records[part.name] = buffer.tobytes()
            else:
                arrays[part.name] = buffer.view(part.dtype).reshape(part.shape)
        return Snapshot(self._manifest.offset, records, arrays)


def placed(manifest: Manifest, places: Mapping[str, tuple[int, int]]) -> Manifest:
    """Return a manifest with the (partition, offset) of the blocks that were just written.

    Raises
    ------
    KeyError
        When a block was written before, or its place is not known.
    """
    own = manifest.generation
    parts = []
    for part in manifest.parts:
        blocks = list(part.blocks)
        for number, block in enumerate(blocks):
            if block.generation == own:
                partition, offset = places[block_key(manifest.owner, own, part.name, number)]
                blocks[number] = replace(block, partition=partition, offset=offset)
        parts.append(replace(part, blocks=tuple(blocks)))
    return replace(manifest, parts=tuple(parts))


def _document_of(manifest: Manifest) -> dict[str, Any]:
    generations = list(dict.fromkeys([manifest.generation, *(block.generation for _, block in manifest.blocks())]))
    number_of = {generation: number for number, generation in enumerate(generations)}
    return {
        "owner": manifest.owner,
        "version": manifest.version,
        "offset": manifest.offset,
        "generations": generations,  # its own first; blocks name one by its place in this list
        "parts": [
            {
                "name": part.name,
                "dtype": part.dtype,
                "shape": part.shape,
                "blocks": [
                    [number_of[block.generation], block.digest.hex(), block.length, block.partition, block.offset]
                    for block in part.blocks
                ],
            }
            for part in manifest.parts
        ],
    }


def _manifest_of(document: Mapping[str, Any]) -> Manifest:
    generations = [str(generation) for generation in document["generations"]]
    if not all(NAME.fullmatch(generation) for generation in generations):
        raise ValueError("a generation's name is none")  # it becomes a file's
    parts = tuple(_part_of(part, generations) for part in document["parts"])
    return Manifest(str(document["owner"]), generations[0], int(document["version"]), int(document["offset"]), parts)


def _part_of(document: Mapping[str, Any], generations: Sequence[str]) -> BlockPart:
    name, dtype = document["name"], document["dtype"]
    shape = tuple(int(length) for length in document["shape"])
    blocks = tuple(
        Block(generations[number], bytes.fromhex(digest), int(length), int(partition), int(offset))
        for number, digest, length, partition, offset in document["blocks"]
    )
    item_bytes = 1 if dtype == RECORD else np.dtype(dtype).itemsize if dtype in DTYPES else 0
    size = item_bytes
    for length in shape:
        size *= length
    if (
        NAME.fullmatch(name) is None
        or item_bytes == 0
        or len(shape) > MOST_DIMENSIONS
        or any(length < 0 for length in shape)
        or any(not 0 < block.length <= LARGEST_BLOCK_BYTES for block in blocks)
        or size != sum(block.length for block in blocks)
    ):
        raise ValueError(f"part {name!r} of type {dtype!r}, shape {shape}, {len(blocks)} blocks")
    return BlockPart(name, dtype, shape, blocks)
