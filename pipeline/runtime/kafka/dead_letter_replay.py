"""Dead letters produced to their own topics again, each once however often it is asked for.

A batch of dead letters is announced by marks in ``dead-letters``, produced with a header that names each one, and
marked as replayed when Kafka has acknowledged it. What an interrupted replay announced and did not mark is looked for
in the dead letters' own topics by that header. Marks have the dead letters' keys, so they lie behind them and are kept
longer.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, TypeVar

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, KafkaException

import topics
from pipeline.core.records.dead_letter_replay import Fate, ReplayDraft, WindowVersion, draft_of, window_version
from pipeline.core.records.identity.rekeying import ORIGIN_HEADER
from pipeline.core.records.telegraf.parser import ParseOptions
from pipeline.runtime.kafka.clients import LARGEST_RECORD_BYTES, new_producer
from pipeline.runtime.kafka.dead_letter_log import (
    REPLAY_HEADER,
    ReplayMark,
    ReplayState,
    StoredDeadLetter,
    header_of,
    read_log,
)
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.topic_reader import TopicReader, headers_of
from schemas.reasons import DeadLetterReason

ANNOUNCED_FOR_MS: Final = 5 * 60_000
"""So long a dead letter that was announced belongs to the replay that did so."""
DELIVERY_TIMEOUT_S: Final = 60.0
BATCH_DEAD_LETTERS: Final = 500
BATCH_BYTES: Final = 16 * 1024 * 1024
PROGRESS_EVERY_RECORDS: Final = 1000
SOURCE_TOPICS: Final = frozenset({topics.METRICS_RAW, topics.METRICS_AGG})
"""Where dead letters may go: who can write a dead letter must not thereby write to other topics, such as policies."""
_NOT_COPIED: Final = frozenset({ORIGIN_HEADER, REPLAY_HEADER})
"""Headers that would have the new record taken for the old one."""

T = TypeVar("T")
Digest = bytes
Wanted = Callable[[StoredDeadLetter], bool]
OnRead = Callable[[str, int], None]


class ReplayError(Exception):
    """A replay stopped; what it did not finish, the next one does."""


@dataclass(slots=True)
class _Known:
    """What the marks say: which dead letters were replayed, and which may have been."""

    replayed: set[Digest] = field(default_factory=set)
    announced: dict[str, ReplayMark] = field(default_factory=dict)
    under_way: set[Digest] = field(default_factory=set)
    in_doubt: set[Digest] = field(default_factory=set)
    ends: dict[int, int] = field(default_factory=dict)
    windows: dict[bytes, int] = field(default_factory=dict)

    def fate_of(self, stored: StoredDeadLetter) -> Fate | None:
        """Return what the marks and later windows decide for a dead letter; None: it may be replayed."""
        digest = _digest(stored.name)
        if digest in self.replayed:
            return Fate.ALREADY
        if digest in self.under_way:
            return Fate.UNDER_WAY
        if digest in self.in_doubt:
            return Fate.IN_DOUBT
        version = _rejected_window(stored)
        if version is not None and self.windows.get(version.identity, -1) > version.revision:
            return Fate.SUPERSEDED
        return None


@dataclass(frozen=True, slots=True)
class _Replayed:
    """A record to produce."""

    stored: StoredDeadLetter
    key: bytes | None
    headers: list[tuple[str, bytes]]
    time_ms: int


class DeadLetterReplay:
    """Replays dead letters.

    Parameters
    ----------
    kafka
        How to reach Kafka.
    options
        How ``metrics.raw`` is parsed.
    max_value_bytes
        A dead letter with so many bytes was cut.
    timeout_s
        How long Kafka may say nothing while topics are read, in seconds.
    on_read
        Called with a topic and how many of its records were read, now and then.

    Raises
    ------
    SettingsError
        When the password's file cannot be read.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        options: ParseOptions,
        *,
        max_value_bytes: int,
        timeout_s: float = 30.0,
        on_read: OnRead = lambda _topic, _records: None,
    ) -> None:
        self._kafka = kafka
        self._options = options
        self._max_value_bytes = max_value_bytes
        self._timeout_s = timeout_s
        self._on_read = on_read
        refused: Counter[str] = Counter()  # not of self: nothing may keep the producer, and its connection, alive
        self._refused = refused
        self._producer = new_producer(
            kafka,
            {"message.timeout.ms": round(DELIVERY_TIMEOUT_S * 1000), "message.max.bytes": LARGEST_RECORD_BYTES},
            on_delivery=lambda error, _message: _count(refused, error),
            on_error=lambda _error: None,  # what is refused comes with its record
        )

    def run(self, wanted: Wanted, *, limit: int, now_ms: int, dry_run: bool = False) -> Counter[Fate]:
        """Replay the dead letters that are wanted, the oldest of each partition first, and count what became of them.

        Parameters
        ----------
        wanted
            Which dead letters.
        limit
            How many to replay at most.
        now_ms
            The clock.
        dry_run
            Only count; nothing is written.

        Raises
        ------
        ReplayError
            When Kafka does not take what is produced.
        TopicReadError
            When a topic cannot be read.
        """
        fates: Counter[Fate] = Counter()
        with TopicReader(self._kafka, self._timeout_s) as log, TopicReader(self._kafka, self._timeout_s) as sources:
            known = self._read_marks(log, sources, wanted, now_ms)
            found = self._resolve(sources, known)
            if not dry_run:
                self._mark(found, ReplayState.REPLAYED)
            batch: list[_Replayed] = []
            batch_bytes = 0
            with closing(self._dead_letters(log, known, wanted, fates)) as dead_letters:
                for stored in dead_letters:
                    draft = self._drafted(sources, stored, now_ms)
                    if isinstance(draft, Fate):
                        fates[draft] += 1
                        continue
                    batch.append(draft)
                    batch_bytes += len(stored.dead_letter.value)
                    fates[Fate.REPLAYED] += 1
                    if fates[Fate.REPLAYED] == limit:
                        break
                    if len(batch) == BATCH_DEAD_LETTERS or batch_bytes >= BATCH_BYTES:
                        self._send(sources, batch, dry_run=dry_run)
                        batch, batch_bytes = [], 0
            self._send(sources, batch, dry_run=dry_run)
        return fates

    def _read_marks(self, log: TopicReader, sources: TopicReader, wanted: Wanted, now_ms: int) -> _Known:
        known = _Known()
        rejected: dict[tuple[str, int], int] = {}
        resources: set[bytes] = set()
        for entry in self._counted(read_log(log), topics.DEAD_LETTERS):
            known.ends[entry.partition] = entry.offset + 1
            if isinstance(entry, ReplayMark):
                if entry.state is ReplayState.REPLAYED:
                    known.replayed.add(_digest(entry.name))
                    known.announced.pop(entry.name, None)
                else:
                    known.announced[entry.name] = entry
            elif isinstance(entry, StoredDeadLetter) and wanted(entry):
                version = _rejected_window(entry)
                if version is not None:
                    place = (entry.dead_letter.topic, entry.dead_letter.partition)
                    rejected[place] = min(rejected.get(place, entry.dead_letter.offset), entry.dead_letter.offset)
                    resources.add(version.resource.encode())
                    known.windows[version.identity] = -1
        for name, mark in list(known.announced.items()):
            if now_ms - mark.time_ms < ANNOUNCED_FOR_MS:
                known.under_way.add(_digest(name))
                del known.announced[name]
        self._note_later_windows(sources, known, rejected, resources)
        return known

    def _note_later_windows(
        self, sources: TopicReader, known: _Known, rejected: dict[tuple[str, int], int], resources: set[bytes]
    ) -> None:
        """Note the greatest revision of each rejected window: an older one must not come after it."""
        for (topic, partition), start in rejected.items():
            for message in self._counted(sources.read(topic, {partition: start}), topic):
                value = message.value()
                version = window_version(value) if value is not None and message.key() in resources else None
                if version is not None and version.identity in known.windows:
                    known.windows[version.identity] = max(known.windows[version.identity], version.revision)

    def _resolve(self, sources: TopicReader, known: _Known) -> list[ReplayMark]:
        """Find out which announced dead letters were produced; return those."""
        places: defaultdict[tuple[str, int], list[ReplayMark]] = defaultdict(list)
        for mark in known.announced.values():
            places[mark.source].append(mark)
        found: list[ReplayMark] = []
        for (topic, partition), marks in places.items():
            missing = {mark.name: mark for mark in marks}
            start = min(mark.source_offset for mark in marks)
            for message in self._counted(sources.read(topic, {partition: start}), topic):
                mark_found = missing.pop(header_of(message, REPLAY_HEADER) or "", None)
                if mark_found is not None:
                    found.append(mark_found)
            earliest, _ = sources.bounds(topic, partition)
            known.in_doubt.update(_digest(name) for name, mark in missing.items() if mark.source_offset < earliest)
        known.replayed.update(_digest(mark.name) for mark in found)
        return found

    def _dead_letters(
        self, log: TopicReader, known: _Known, wanted: Wanted, fates: Counter[Fate]
    ) -> Generator[StoredDeadLetter, None, None]:
        """Yield the dead letters to replay, each once; count the others."""
        seen: set[Digest] = set()
        for entry in self._counted(read_log(log), topics.DEAD_LETTERS):
            if not isinstance(entry, StoredDeadLetter) or entry.offset >= known.ends.get(entry.partition, 0):
                continue
            digest = _digest(entry.name)
            if digest in seen or not wanted(entry):
                continue
            seen.add(digest)
            fate = known.fate_of(entry)
            if fate is None:
                yield entry
            else:
                fates[fate] += 1

    def _drafted(self, sources: TopicReader, stored: StoredDeadLetter, now_ms: int) -> _Replayed | Fate:
        dead_letter = stored.dead_letter
        if dead_letter.topic not in SOURCE_TOPICS:
            return Fate.ELSEWHERE
        if len(dead_letter.value) >= self._max_value_bytes:
            return Fate.CUT
        draft: ReplayDraft = draft_of(dead_letter, self._options)
        key, headers, newest_ms, time_ms = draft.key, [(REPLAY_HEADER, stored.name.encode())], draft.newest_ms, 0
        if key is None or not draft.is_timed:
            original = sources.record(dead_letter.topic, dead_letter.partition, dead_letter.offset)
            if original is None:
                return Fate.GONE
            kind, stamp_ms = original.timestamp()
            if kind != TIMESTAMP_NOT_AVAILABLE:
                time_ms = stamp_ms
            if not draft.is_timed:
                newest_ms = max(newest_ms or 0, time_ms)
            key = _as_bytes(original.key())
            headers += [(name, value) for name, value in headers_of(original) if name not in _NOT_COPIED]
        is_future = dead_letter.reason is DeadLetterReason.TIMESTAMP_FUTURE
        if is_future and newest_ms is not None and newest_ms > now_ms + self._options.future_limit_ms:
            return Fate.AHEAD
        return _Replayed(stored, key, headers, time_ms)

    def _send(self, sources: TopicReader, batch: list[_Replayed], *, dry_run: bool) -> None:
        """Announce, produce and mark a batch."""
        if dry_run or not batch:
            return
        starts: dict[tuple[str, int], int] = {}
        for each in batch:
            dead_letter = each.stored.dead_letter
            place = (dead_letter.topic, dead_letter.partition)
            if place not in starts:
                starts[place] = sources.bounds(*place)[1]
        marks = [
            ReplayMark(
                ReplayState.ANNOUNCED,
                each.stored.name,
                starts[each.stored.dead_letter.topic, each.stored.dead_letter.partition],
            )
            for each in batch
        ]
        begun_s = time.monotonic()
        self._mark(marks, ReplayState.ANNOUNCED)
        if time.monotonic() - begun_s > ANNOUNCED_FOR_MS / 2000:
            raise ReplayError("the announcement took too long, and nothing of it was produced: run it again")
        for each in batch:
            dead_letter = each.stored.dead_letter
            self._produce(
                dead_letter.topic,
                dead_letter.value,
                each.key,
                partition=dead_letter.partition,
                headers=each.headers,
                timestamp=each.time_ms,
            )
        self._flush()
        self._mark(marks, ReplayState.REPLAYED)

    def _mark(self, marks: Iterable[ReplayMark], state: ReplayState) -> None:
        for mark in marks:
            key = "/".join(mark.name.split("/")[:3]).encode()
            header = ReplayMark(state, mark.name, mark.source_offset).header()
            self._produce(topics.DEAD_LETTERS, None, key, headers=[header])
        self._flush()

    def _produce(self, topic: str, value: bytes | None, key: bytes | None, **options: Any) -> None:
        try:
            self._producer.produce(topic, value, key, **options)
        except KafkaException as error:
            raise ReplayError(f"{topic}: {error.args[0].str()}") from error

    def _flush(self) -> None:
        waiting = self._producer.flush(DELIVERY_TIMEOUT_S + 5.0)
        if self._refused:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self._refused.items()))
            self._refused.clear()
            raise ReplayError(
                f"Kafka did not take records: {reasons}; run it again in {ANNOUNCED_FOR_MS // 60_000} min"
            )
        if waiting:
            raise ReplayError(f"Kafka has not acknowledged {waiting} records in time")

    def _counted(self, entries: Iterable[T], topic: str) -> Iterator[T]:
        for number, entry in enumerate(entries, 1):
            if number % PROGRESS_EVERY_RECORDS == 0:
                self._on_read(topic, number)
            yield entry


def _rejected_window(stored: StoredDeadLetter) -> WindowVersion | None:
    is_rejected = stored.dead_letter.reason is DeadLetterReason.STORE_REJECTED
    return window_version(stored.dead_letter.value) if is_rejected else None


def _count(refused: Counter[str], error: KafkaError | None) -> None:
    if error is not None:
        refused[error.name()] += 1


def _as_bytes(key: bytes | str | None) -> bytes | None:
    return key.encode() if isinstance(key, str) else key


def _digest(name: str) -> Digest:
    return blake2b(name.encode(), digest_size=16).digest()
