"""The ``dead-letters`` topic, read: dead letters, and the marks that a replay leaves on them."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from confluent_kafka import Message
from pydantic import ValidationError

import topics
from pipeline.runtime.kafka.topic_reader import TopicReader, headers_of
from schemas.records import DeadLetter

MARK_HEADER: Final = "cinnamon-replay"
"""Header of a mark, a record of ``dead-letters`` without a value: ``state/offset/dead_letter``."""
REPLAY_HEADER: Final = "cinnamon-replay-of"
"""Header of a replayed record: the dead letter that it is made from."""


class ReplayState(StrEnum):
    """How far the replay of a dead letter has come."""

    ANNOUNCED = "announced"
    REPLAYED = "replayed"


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter where it lies.

    Attributes
    ----------
    dead_letter : DeadLetter
        The dead letter.
    partition, offset : int
        Its place in ``dead-letters``.
    time_ms : int
        When it was written.
    """

    dead_letter: DeadLetter
    partition: int
    offset: int
    time_ms: int

    @property
    def name(self) -> str:
        """What tells the dead letter from others, and is the same where a restart has written it twice."""
        digest = blake2b(self.dead_letter.value, digest_size=8).hexdigest()
        return f"{self.dead_letter.key()}/{self.dead_letter.line or 0}/{self.dead_letter.column or 0}/{digest}"


@dataclass(frozen=True, slots=True)
class ReplayMark:
    """What a replay has noted about a dead letter.

    Attributes
    ----------
    state : ReplayState
        Announced: a replay is going to produce it. Replayed: the record is acknowledged.
    name : str
        The dead letter's `StoredDeadLetter.name`.
    source_offset : int
        The replayed record cannot lie before this offset of the dead letter's own topic and partition.
    partition, offset : int
        The mark's place in ``dead-letters``.
    time_ms : int
        When it was written.
    """

    state: ReplayState
    name: str
    source_offset: int
    partition: int = -1
    offset: int = -1
    time_ms: int = -1

    def header(self) -> tuple[str, bytes]:
        """Return the header that carries it.

        Examples
        --------
        >>> ReplayMark(ReplayState.ANNOUNCED, "metrics.raw/3/17/1/5/c0ffee", 40).header()
        ('cinnamon-replay', b'announced/40/metrics.raw/3/17/1/5/c0ffee')
        """
        return MARK_HEADER, f"{self.state}/{self.source_offset}/{self.name}".encode()

    @property
    def source(self) -> tuple[str, int]:
        """The dead letter's own topic and partition."""
        parts = self.name.split("/")
        return parts[0], int(parts[1])


@dataclass(frozen=True, slots=True)
class ForeignRecord:
    """A record of ``dead-letters`` that is neither a dead letter nor a mark."""

    partition: int
    offset: int


LogEntry = StoredDeadLetter | ReplayMark | ForeignRecord


def read_log(reader: TopicReader, topic: str = topics.DEAD_LETTERS) -> Iterator[LogEntry]:
    """Yield what lies in ``dead-letters``, each partition in its order: a dead letter always before its marks.

    Raises
    ------
    TopicReadError
        When it cannot be read to its end.
    """
    for message in reader.read_all(topic):
        yield _entry(message)


def header_of(message: Message, name: str) -> str | None:
    """Return a record's header as text, the first of that name; None if there is none."""
    values = (value for key, value in headers_of(message) if key == name)
    value = next(values, None)
    return None if value is None else value.decode("utf-8", "replace")


def _entry(message: Message) -> LogEntry:
    partition, offset, value = message.partition(), message.offset(), message.value()
    if partition is None or offset is None:
        raise ValueError("a record that was read has a partition and an offset")
    time_ms = message.timestamp()[1]
    if value is not None:
        try:
            return StoredDeadLetter(DeadLetter.model_validate_json(value), partition, offset, time_ms)
        except ValidationError:
            return ForeignRecord(partition, offset)
    return _mark(header_of(message, MARK_HEADER) or "", partition, offset, time_ms) or ForeignRecord(partition, offset)


def _mark(text: str, partition: int, offset: int, time_ms: int) -> ReplayMark | None:
    state, _, rest = text.partition("/")
    source_offset, _, name = rest.partition("/")
    parts = name.split("/")
    if state not in set(ReplayState) or len(parts) != 6 or not all(map(_is_number, [source_offset, *parts[1:3]])):
        return None
    return ReplayMark(ReplayState(state), name, int(source_offset), partition, offset, time_ms)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < len("1" * 20)
