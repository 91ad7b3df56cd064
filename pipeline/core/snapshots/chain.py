"""The snapshots of one owner, one after the other: which blocks are written anew, which may be deleted, and when.

What holds, whoever else writes at the same time:

- a block's key has the random name of the incarnation that wrote it: nobody ever writes it again;
- a manifest refers to blocks of its own incarnation alone (those that are unchanged since its last snapshot are not
  written again), and an incarnation deletes no blocks of another while it runs: so neither a new owner nor one that
  should have stopped can break the other's manifests;
- blocks that neither of an incarnation's two newest whole snapshots refers to are deleted after the newer's manifest
  is acknowledged;
- which generations may have blocks is noted before their first block is written. A new owner reads this, and deletes
  what was left by all but the owner before it and those whose snapshots may be needed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.core.snapshots.codec import (
    Block,
    BlockPart,
    Manifest,
    SnapshotError,
    block_key,
    digest_of,
    incarnation_of,
    placed,
    seal,
    unseal,
)
from pipeline.core.snapshots.snapshot import Piece

_NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Generation:
    """A snapshot that may have blocks on the topic, whole or not.

    Parameters
    ----------
    name
        ``<incarnation>-<n>``.
    counts : mapping of str to int
        How many blocks its parts have.
    """

    name: str
    counts: Mapping[str, int]

    def keys(self, owner: str) -> Iterator[str]:
        """Yield the keys of all its blocks."""
        for part, count in self.counts.items():
            for number in range(count):
                yield block_key(owner, self.name, part, number)


def generations_to_bytes(owner: str, generations: Iterable[Generation]) -> bytes:
    """Write the note of which generations may have blocks, oldest first."""
    return seal({"owner": owner, "generations": [[each.name, each.counts] for each in generations]})


def generations_of(data: bytes, owner: str) -> list[Generation]:
    """Read what `generations_to_bytes` wrote for this owner.

    Raises
    ------
    SnapshotError
        If it is anything else.
    """
    document = unseal(data)
    try:
        found = [
            Generation(str(name), {str(part): int(count) for part, count in counts.items()})
            for name, counts in document["generations"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SnapshotError(f"unreadable note of generations: {error!r}") from error
    if document.get("owner") != owner:
        raise SnapshotError(f"the note of {owner} is that of another")
    return found


@dataclass(slots=True)
class SnapshotDraft:
    """A snapshot in the making.

    Parameters
    ----------
    generation
        Its name and blocks.
    offset
        As in `Snapshot`.
    pieces
        What it consists of; they must not change until it is whole.
    blocks : mapping of str to list of Block
        Of each piece, as far as `SnapshotChain.changed_blocks` has come.
    """

    generation: Generation
    offset: int
    pieces: Sequence[Piece]
    blocks: dict[str, list[Block]] = field(default_factory=dict)


class SnapshotChain:
    """The snapshots that one incarnation of an owner makes.

    Parameters
    ----------
    owner
        ``stage/partition``.
    version
        Of the stage's state.
    incarnation
        A name that nobody else ever has.
    whole
        The newest whole snapshots there are, newest first; the first is what the state was restored from.
    noted
        What may have blocks, oldest first.
    """

    def __init__(
        self,
        owner: str,
        version: int,
        incarnation: str,
        whole: Sequence[Manifest] = (),
        noted: Sequence[Generation] = (),
    ) -> None:
        self.owner = owner
        self._version = version
        self._incarnation = incarnation
        self._last = whole[0] if whole else None
        self._own_last: Manifest | None = None
        self._count = 0
        self._live: dict[str, str] = {}
        self._own: dict[str, Generation] = {}
        spared = {incarnation_of(manifest.generation) for manifest in whole[:2]}
        spared.update(incarnation_of(generation.name) for generation in noted[-1:])
        self._kept = [each for each in noted if incarnation_of(each.name) in spared]
        self._strays = [each for each in noted if incarnation_of(each.name) not in spared]

    def strays(self) -> list[str]:
        """Return the keys of blocks that dead incarnations left: to be deleted before a snapshot begins."""
        return [key for generation in self._strays for key in generation.keys(self.owner)]

    def deleted(self, keys: Iterable[str]) -> None:
        """Take the deletion of blocks as acknowledged."""
        dead = set(keys)
        self._strays = [each for each in self._strays if not dead.issuperset(each.keys(self.owner))]
        self._live = {key: generation for key, generation in self._live.items() if key not in dead}
        living = set(self._live.values())
        self._own = {name: generation for name, generation in self._own.items() if name in living}

    def begin(self, offset: int, pieces: Sequence[Piece]) -> SnapshotDraft:
        """Begin a snapshot."""
        name = f"{self._incarnation}-{self._count}"
        self._count += 1
        generation = Generation(name, {piece.name: piece.block_count for piece in pieces})
        self._own[name] = generation
        return SnapshotDraft(generation, offset, pieces)

    def note(self) -> bytes:
        """Return what must be acknowledged before a begun snapshot's first block is written."""
        return generations_to_bytes(self.owner, [*self._kept, *self._own.values()])

    def changed_blocks(self, draft: SnapshotDraft) -> Iterator[tuple[str, memoryview]]:
        """Yield the blocks that are to be written, with their keys."""
        own = draft.generation.name
        last = {} if self._own_last is None else {part.name: part.blocks for part in self._own_last.parts}
        for piece in draft.pieces:
            before = last.get(piece.name, ())
            blocks = draft.blocks.setdefault(piece.name, [])
            for number, data in enumerate(piece.blocks()):
                digest = digest_of(data)
                if number < len(before) and before[number].digest == digest and before[number].length == len(data):
                    blocks.append(before[number])
                    continue
                key = block_key(self.owner, own, piece.name, number)
                self._live[key] = own
                blocks.append(Block(own, digest, len(data), _NOWHERE, _NOWHERE))
                yield key, data

    def manifest(self, draft: SnapshotDraft, places: Mapping[str, tuple[int, int]]) -> tuple[Manifest, Manifest | None]:
        """Return a snapshot's manifest and the one before it, when all its blocks are acknowledged.

        Parameters
        ----------
        draft
            The snapshot; all of `changed_blocks` was taken.
        places
            Partition and offset of each block that was written.
        """
        parts = tuple(
            BlockPart(piece.name, piece.dtype, piece.shape, tuple(draft.blocks[piece.name])) for piece in draft.pieces
        )
        manifest = Manifest(self.owner, draft.generation.name, self._version, draft.offset, parts)
        return placed(manifest, places), self._last

    def finished(self, manifest: Manifest) -> list[str]:
        """Take a manifest as acknowledged; return the keys of the blocks that are to be deleted."""
        used = {key for whole in (manifest, self._own_last) if whole is not None for key, _ in whole.blocks()}
        self._last = self._own_last = manifest
        return [key for key in self._live if key not in used]
