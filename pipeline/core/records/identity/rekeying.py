"""Records that came without a key: split by resource, produced once more, and folded once however often that was."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.core.records.identity.resource import MAX_IDENTITY_BYTES, canonical_tags, identity_refusal, resource_of
from pipeline.core.records.telegraf.parsed import ParsedMetric, Refusal
from pipeline.core.records.telegraf.parser import ParseOptions
from pipeline.core.records.telegraf.record import parse_record

ORIGIN_HEADER = "cinnamon-origin"
"""Header that says where a re-keyed record came from: ``partition/offset/part``."""
RESOURCE_HEADER = "cinnamon-resource"
"""Header by which a gateway names a record's resource."""

_NOTHING = (-1, -1)


class Origin(NamedTuple):
    """Where a re-keyed record came from.

    Attributes
    ----------
    partition, offset : int
        The record without a key.
    part : int
        Number of the resource in that record.
    """

    partition: int
    offset: int
    part: int

    def to_bytes(self) -> bytes:
        """Write the header's value.

        Examples
        --------
        >>> Origin(3, 17, 0).to_bytes()
        b'3/17/0'
        """
        return b"%d/%d/%d" % self

    @classmethod
    def from_bytes(cls, value: bytes) -> "Origin | None":
        """Read the header's value; None if it is none of ours.

        Examples
        --------
        >>> Origin.from_bytes(b"3/17/0")
        Origin(partition=3, offset=17, part=0)
        >>> Origin.from_bytes(b"elsewhere") is None
        True
        """
        parts = value.split(b"/")
        if len(parts) != len(cls._fields) or not all(part.isdigit() and len(part) < len("1" * 20) for part in parts):
            return None
        return cls(*map(int, parts))


def split_by_resource(
    value: bytes, options: ParseOptions, resource: str | None = None
) -> tuple[dict[str, bytes], list[Refusal]]:
    """Return what each resource has in a record, and what in it cannot be used.

    Parameters
    ----------
    value
        The record's bytes.
    options
        How it is parsed.
    resource
        The resource, if a header names it: then the record stays whole, unless it or the name is too long.
    """
    if resource is not None and len(resource.encode()) <= MAX_IDENTITY_BYTES and len(value) <= options.max_bytes:
        return {resource: value}, []
    parts: dict[str, list[bytes]] = {}
    refusals: list[Refusal] = []
    for item in parse_record(
        value,
        input_format=options.input_format,
        influx_unit=options.influx_unit,
        json_unit=options.json_unit,
        max_bytes=options.max_bytes,
    ):
        refusal = identity_refusal(item) if isinstance(item, ParsedMetric) else item
        if refusal is not None:
            refusals.append(refusal)
        elif isinstance(item, ParsedMetric):
            parts.setdefault(resource_of(canonical_tags(item.tags)), []).append(value[item.start : item.end])
    if len(parts) == 1 and not refusals:
        return dict.fromkeys(parts, value), []
    return {name: b"\n".join(metrics) for name, metrics in parts.items()}, refusals


@dataclass(slots=True)
class OriginLedger:
    """Tells which re-keyed records of a partition are new.

    Records of one source partition are re-keyed in its order, so what is not above the newest known origin came before.

    Attributes
    ----------
    replay_until : int
        Greatest offset of this partition that was processed before a restart: up to it the ledger judges by what it
        sees again, as it was decided then; beyond it, by what the checkpoint knows as well.
    known : mapping of int to (offset, part)
        Newest origin by source partition, as the checkpoint has it.
    """

    replay_until: int = -1
    known: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    _seen: dict[int, tuple[int, int]] = field(default_factory=dict)

    def is_new(self, offset: int, origin: Origin) -> bool:
        """Return whether the record at ``offset`` of this partition is the first one from ``origin``, and note it.

        Examples
        --------
        >>> ledger = OriginLedger()
        >>> [ledger.is_new(i, origin) for i, origin in enumerate([Origin(0, 5, 0), Origin(0, 7, 0), Origin(0, 5, 0)])]
        [True, True, False]
        """
        if offset > self.replay_until:
            self._take_known()
        place = (origin.offset, origin.part)
        if place <= self._seen.get(origin.partition, _NOTHING):
            return False
        self._seen[origin.partition] = place
        return True

    def newest(self) -> dict[int, tuple[int, int]]:
        """Return the newest origin by source partition, for the checkpoint."""
        return {
            partition: max(self._seen.get(partition, _NOTHING), self.known.get(partition, _NOTHING))
            for partition in {*self._seen, *self.known}
        }

    def _take_known(self) -> None:
        if self.known:
            self._seen = self.newest()
            self.known = {}
