"""What a dead letter becomes when it is replayed: the key and the time of its record, or why there is none."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from pipeline.core.records.identity.resource import canonical_tags, resource_of
from pipeline.core.records.telegraf.parsed import ParsedMetric
from pipeline.core.records.telegraf.parser import ParseOptions
from pipeline.core.records.telegraf.record import parse_record
from schemas.reasons import DeadLetterReason
from schemas.records import DeadLetter

REPLAYED_BY_DEFAULT: Final = frozenset({DeadLetterReason.TIMESTAMP_FUTURE, DeadLetterReason.STORE_REJECTED})
"""Reasons that pass without anything of ours changing: the clock goes on, the store is mended."""

NEVER_REPLAYED: Final[Mapping[DeadLetterReason, str]] = {
    DeadLetterReason.TOO_LATE: "its dead letter has the whole record, whose other samples count already",
    DeadLetterReason.UNREADABLE_BATCH: "its dead letter has a batch of Kafka's, not a record",
}
"""Reasons whose dead letters are no record to produce again, and why."""


class Fate(StrEnum):
    """What became of a dead letter in a replay."""

    REPLAYED = "replayed"
    ALREADY = "replayed before"
    SUPERSEDED = "superseded by a later revision of its window"
    AHEAD = "still ahead of the clock"
    UNDER_WAY = "announced by another replay in the last minutes"
    IN_DOUBT = "announced, and the records that would tell are deleted"
    CUT = "cut: the dead letter has only a part of the bytes"
    ELSEWHERE = "from a topic that nothing is replayed to"
    GONE = "without its original record, which tells the key or the time"


LEFT_FOR_LATER: Final = frozenset({Fate.UNDER_WAY, Fate.IN_DOUBT, Fate.CUT, Fate.ELSEWHERE, Fate.GONE})
"""What a replay could not do."""


@dataclass(frozen=True, slots=True)
class ReplayDraft:
    """What a dead letter's own bytes say of the record to produce.

    Attributes
    ----------
    key : bytes or None
        The resource; None where only the original record tells the key.
    newest_ms : int or None
        The greatest timestamp in it; None where there is none.
    is_timed : bool
        Whether all of it has timestamps; else it took the original record's.
    """

    key: bytes | None
    newest_ms: int | None
    is_timed: bool


@dataclass(frozen=True, slots=True)
class WindowVersion:
    """Which window a record of ``metrics.agg`` is, and which version of it.

    Attributes
    ----------
    resource : str
        The record's key.
    identity : bytes
        Digest of measurement, tags, start and end.
    revision : int
        The greater one is right.
    """

    resource: str
    identity: bytes
    revision: int


def draft_of(dead_letter: DeadLetter, options: ParseOptions) -> ReplayDraft:
    """Return what the bytes of a dead letter say of its record.

    The key is derived only where the dead letter's record had one for certain, so that its partition is that of its
    siblings: of a record without a key, as the dead letters of syntax may come from, the partition says nothing.
    """
    if dead_letter.reason is DeadLetterReason.STORE_REJECTED:
        version = window_version(dead_letter.value)
        return ReplayDraft(None if version is None else version.resource.encode(), None, is_timed=True)
    if dead_letter.reason is not DeadLetterReason.TIMESTAMP_FUTURE:
        return ReplayDraft(None, None, is_timed=False)
    items = list(
        parse_record(
            dead_letter.value,
            input_format=options.input_format,
            influx_unit=options.influx_unit,
            json_unit=options.json_unit,
            max_bytes=options.max_bytes,
        )
    )
    metrics = [item for item in items if isinstance(item, ParsedMetric)]
    times_ms = [metric.time_ns // 1_000_000 for metric in metrics if metric.time_ns is not None]
    resources = {resource_of(canonical_tags(metric.tags)) for metric in metrics}
    key = resources.pop().encode() if len(resources) == 1 and len(metrics) == len(items) else None
    return ReplayDraft(key, max(times_ms, default=None), is_timed=len(times_ms) == len(items))


def window_version(value: bytes) -> WindowVersion | None:
    """Return which window a record of ``metrics.agg`` is; None if it is none.

    Examples
    --------
    >>> value = b'{"measurement":"cpu","tags":{"host":"a"},"start_ms":0,"end_ms":10,"revision":7}'
    >>> version = window_version(value)
    >>> version.resource, version.revision
    ('a', 7)
    """
    try:
        window = json.loads(value)
        tags = {str(name): str(text) for name, text in window["tags"].items()}
        place = [str(window["measurement"]), sorted(tags.items()), int(window["start_ms"]), int(window["end_ms"])]
        revision = int(window["revision"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    identity = blake2b(json.dumps(place).encode(), digest_size=16).digest()
    return WindowVersion(resource_of(canonical_tags(tags)), identity, revision)
