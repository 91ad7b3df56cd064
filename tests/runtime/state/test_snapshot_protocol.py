"""Snapshots under crashes, compaction and a writer that should have stopped: the newest manifest is always whole.

The real writer and reader run on a log in memory, one step (a record, a flush) at a time, in random order.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipeline.core.snapshots.chain import SnapshotChain
from pipeline.core.snapshots.codec import Assembly, manifests_of
from pipeline.core.snapshots.snapshot import Snapshot, pieces_of
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.state.snapshot_reader import Restored, SnapshotReader, generations_key
from pipeline.runtime.state.snapshot_writer import SnapshotWriter

OWNER = "sums/0"
MANIFESTS, BLOCKS = "manifests", "blocks"
RUNS = 150
STEPS = 250
METRICS = Metrics()
PLACES = {"topic": MANIFESTS, "blocks_topic": BLOCKS}


def state_of(offset: int) -> Snapshot:
    """Return the state after so many records, of which record i counts in place i mod 12."""
    counts = np.array([(offset + 11 - place) // 12 for place in range(12)])
    return Snapshot(offset, {"name": b"sums"}, {"counts": counts})


@dataclass
class Log:
    """The two topics, each of one partition; what compaction took is None."""

    topics: dict[str, list[tuple[str, bytes | None] | None]] = field(
        default_factory=lambda: {MANIFESTS: [], BLOCKS: []}
    )
    changes: int = 0

    def append(self, topic: str, key: str, value: bytes | None) -> int:
        self.topics[topic].append((key, value))
        self.changes += 1
        return len(self.topics[topic]) - 1

    def newest(self, topic: str) -> dict[str, bytes]:
        found = dict(record for record in self.topics[topic] if record is not None)
        return {key: value for key, value in found.items() if value is not None}

    def compact(self) -> None:
        """Keep the newest record of each key; its tombstones go as well."""
        self.changes += 1
        for topic, records in self.topics.items():
            newest = self.newest(topic)
            seen: set[str] = set()
            for offset in reversed(range(len(records))):
                record = records[offset]
                if record is not None and (record[0] in seen or record[0] not in newest):
                    records[offset] = None
                if record is not None:
                    seen.add(record[0])


class LogReader(SnapshotReader):
    """Reads the log in memory."""

    def __init__(self, log: Log) -> None:
        super().__init__(KafkaSettings(), "sums", 1, METRICS, None, **PLACES)
        self._log = log

    def restored(self) -> Restored:
        newest = self._log.newest(MANIFESTS)
        return self._read(OWNER, newest.get(OWNER), newest.get(generations_key(OWNER)))

    def _fetch(self, assembly: Assembly) -> None:
        for key, (block, _) in list(assembly.missing.items()):
            record = self._log.topics[BLOCKS][block.offset]
            if record is not None and record[0] == key:
                assembly.put(key, record[1] or b"")

    def _older_manifests(self, _owner: str, newest: bytes) -> list[bytes]:
        records = [record for record in self._log.topics[MANIFESTS] if record is not None and record[0] == OWNER]
        return [value for _, value in reversed(records) if value is not None and value != newest]


class KilledError(Exception):
    """The process is killed."""


class SteppedLog:
    """A producer whose process stands still before each call, until it may go on or is killed."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: list[tuple[str, str, bytes | None]] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._may_go = threading.Semaphore(0)
        self._stands = threading.Semaphore(0)
        self._is_killed = False
        self.is_over = False

    def put(self, topic: str, key: str, value: bytes | memoryview | None) -> None:
        self._stand()
        self._waiting.append((topic, key, None if value is None else bytes(value)))

    def flush(self) -> dict[str, tuple[int, int]]:
        self._stand()
        self.deliver(len(self._waiting))
        return self._places

    def deliver(self, count: int) -> None:
        """Have the broker write that many of the records that wait, whether or not that is ever acknowledged."""
        for topic, key, value in self._waiting[:count]:
            self._places[key] = 0, self._log.append(topic, key, value)
        del self._waiting[:count]

    def run(self, work: Callable[[], None]) -> None:
        """Run work in a thread, up to its first call."""

        def stepped() -> None:
            try:
                work()
            except KilledError:
                pass
            finally:
                self.is_over = True
                self._stands.release()

        threading.Thread(target=stepped, daemon=True).start()
        self._stands.acquire()

    def step(self, r: random.Random, *, is_killed: bool = False) -> None:
        self.deliver(r.randint(0, len(self._waiting)))
        self._is_killed = is_killed
        self._may_go.release()
        self._stands.acquire()

    def _stand(self) -> None:
        self._stands.release()
        self._may_go.acquire()
        if self._is_killed:
            raise KilledError


class Process:
    """An owner: restored when it starts; it writes one snapshot after the other."""

    def __init__(self, log: Log, name: str) -> None:
        restored = LogReader(log).restored()
        self._log = log
        self._offset = 0 if restored.snapshot is None else restored.snapshot.offset
        self._chain = SnapshotChain(OWNER, 1, name, restored.whole, restored.noted)
        self._writer = SnapshotWriter(KafkaSettings(), "sums", METRICS, None, threading.Event(), **PLACES)
        self._stepped = SteppedLog(log)
        self._stepped.is_over = True

    def step(self, r: random.Random) -> None:
        if not self._stepped.is_over:
            self._stepped.step(r)
            return
        self._offset += r.choice((0, 1, 1, 3, 20))
        stepped = self._stepped = SteppedLog(self._log)
        stepped.run(lambda: self._writer._write(stepped, self._chain, self._offset, pieces_of(state_of(self._offset))))

    def kill(self, r: random.Random) -> None:
        if not self._stepped.is_over:
            self._stepped.step(r, is_killed=True)

    def finish(self, r: random.Random) -> None:
        """Write what is in the making, and two snapshots more."""
        for _ in range(3):
            self.step(r)
            while not self._stepped.is_over:
                self.step(r)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.core.snapshots.snapshot.BLOCK_BYTES", 16)


def unusable_count() -> float:
    """Return how many snapshots could not be used so far."""
    (family,) = METRICS.unusable_snapshots.collect()
    return sum(sample.value for sample in family.samples if sample.name.endswith("_total"))


def assert_newest_is_whole(log: Log, seed: int) -> None:
    """The newest manifest's snapshot is read, whole, without any other's help."""
    unusable = unusable_count()
    restored = LogReader(log).restored()
    written = log.newest(MANIFESTS).get(OWNER)
    if written is None:
        assert restored.snapshot is None, f"seed {seed}"
        return
    newest = manifests_of(written, OWNER)[0]
    assert restored.snapshot is not None, f"seed {seed}"
    assert restored.snapshot.offset == newest.offset, f"seed {seed}"
    want = state_of(newest.offset)
    assert restored.snapshot.records == want.records, f"seed {seed}"
    assert restored.snapshot.arrays["counts"].tolist() == want.arrays["counts"].tolist(), f"seed {seed}"
    assert unusable_count() == unusable, f"seed {seed}"


def disturbed(seed: int, *, has_stale: bool, check: Callable[[Log, int], None]) -> tuple[Log, Process]:
    """Run owners that are killed, or go on unaware when another has taken over; check whenever the log has changed."""
    r = random.Random(seed)
    log = Log()
    owner, stale = Process(log, "first"), None
    checked = -1
    for step in range(STEPS):
        chance = r.random()
        if chance < 0.03:
            if stale is not None:
                stale.kill(r)
            stale = owner if has_stale and r.random() < 0.6 else None
            if stale is None:
                owner.kill(r)
            owner = Process(log, f"owner{step}")
        elif chance < 0.06:
            log.compact()
        elif chance < 0.30 and stale is not None:
            stale.step(r)
        else:
            owner.step(r)
        if log.changes != checked:
            checked = log.changes
            check(log, seed)
    if stale is not None:
        stale.kill(r)
    return log, owner


def test_the_newest_manifest_is_whole_whoever_wrote_it() -> None:
    for seed in range(RUNS):
        disturbed(seed, has_stale=True, check=assert_newest_is_whole)[1].kill(random.Random(seed))


def test_crashes_leave_no_more_blocks_than_those_of_a_few_snapshots() -> None:
    most = 0
    for seed in range(RUNS):
        log, owner = disturbed(seed, has_stale=False, check=lambda *_: None)
        owner.finish(random.Random(seed))
        assert_newest_is_whole(log, seed)
        most = max(most, len(log.newest(BLOCKS)))
    blocks_of_one = 7
    assert most <= 6 * blocks_of_one


def test_a_broken_block_leads_back_to_the_snapshot_before_and_a_broken_record_to_an_older_one() -> None:
    log = Log()
    process, r = Process(log, "owner"), random.Random(1)
    process.finish(r)
    newest, before = manifests_of(log.newest(MANIFESTS)[OWNER], OWNER)
    key = next(key for key, block in newest.blocks() if block.generation == newest.generation)
    place = next(block.offset for each, block in newest.blocks() if each == key)
    log.topics[BLOCKS][place] = None
    snapshot = LogReader(log).restored().snapshot
    assert snapshot is not None
    assert snapshot.offset == before.offset
    log.append(MANIFESTS, OWNER, b"damaged")
    snapshot = LogReader(log).restored().snapshot
    assert snapshot is not None
    assert snapshot.offset == before.offset
