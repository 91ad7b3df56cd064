"""Snapshots of a stage's state: written in the background, whole or not at all, and found again after a restart.

A stage that has one uses it so::

    # in its constructor; the producer is that of its results
    self._snapshots = SnapshotStore(STAGE, STATE_VERSION, settings, metrics, results=self._producer)

    async def assigned(self, partitions):
        found = await self._snapshots.read(partitions)
        self._states = {number: State(snapshot) for number, snapshot in found.items()}  # None: an empty state
        return {number: state.next_offset for number, state in self._states.items()}

    async def tick(self, now_ms):
        if covered := self._snapshots.saved():
            await self._context.commit(covered)
        number = self._snapshots.due({number: state.next_offset for number, state in self._states.items()})
        if number is not None:
            await self._snapshots.begin(number, self._states[number].snapshot())

    async def revoked(self, partitions):
        snapshots = {number: state.snapshot() for number, state in self._states.items()}
        await self._context.commit(await self._snapshots.save(snapshots))

and ends with ``await self._snapshots.close()``. ``State.snapshot()`` returns a `Snapshot` of its live arrays: they are
copied at once, while the stage is not called, and written from the copy. The whole story:
docs/explanation/checkpoints.md.
"""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import uuid4

from pipeline.core.snapshots.chain import SnapshotChain
from pipeline.core.snapshots.snapshot import NAME, Snapshot
from pipeline.runtime.kafka.producer import FlushTimeoutError, RecordProducer
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.settings import WorkerSettings
from pipeline.runtime.state.shadow_buffer import ShadowBuffer
from pipeline.runtime.state.snapshot_cache import SnapshotCache
from pipeline.runtime.state.snapshot_reader import SnapshotReader
from pipeline.runtime.state.snapshot_writer import SnapshotWriter
from pipeline.settings.model import Settings
from topics import CHECKPOINT_BLOCKS, CHECKPOINTS

__all__ = ["Snapshot", "SnapshotStore"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

READ_TIMEOUT_S: Final = 30.0
FLUSH_TIMEOUT_S: Final = 5.0
SAVE_TIMEOUT_S: Final = 15.0
NOTHING_SAVED: Final = -1


@dataclass(slots=True)
class _Partition:
    """One partition's snapshots, as long as it is this process's."""

    chain: SnapshotChain
    saved_offset: int
    begun_s: float = field(default_factory=time.monotonic)
    is_outdated: bool = False

    def needs_snapshot(self, offset: int) -> bool:
        """Return whether a state at this offset is not saved."""
        return offset != self.saved_offset or self.is_outdated


class SnapshotStore:
    """Writes and reads the snapshots of one stage; its methods are called in the stage's turn.

    One snapshot is written at a time, in a thread; memory: 1.25 times the largest state of a partition.

    Parameters
    ----------
    stage
        The stage's name.
    version
        Of its state: a snapshot of another version is not used.
    settings, metrics
        Of the process.
    results
        What the stage produces its results with: those that a snapshot speaks for are acknowledged before it begins.
    interval_s
        Seconds between two snapshots of a partition; none: ``worker.snapshot_interval_s``.
    topic, blocks_topic
        The compacted topics.

    Raises
    ------
    ValueError
        When the name is none.
    """

    def __init__(
        self,
        stage: str,
        version: int,
        settings: Settings,
        metrics: Metrics,
        *,
        results: RecordProducer,
        interval_s: float | None = None,
        topic: str = CHECKPOINTS,
        blocks_topic: str = CHECKPOINT_BLOCKS,
    ) -> None:
        if NAME.fullmatch(stage) is None:
            raise ValueError(f"stage {stage!r}: its name must be of {NAME.pattern}")
        directory = settings[WorkerSettings].checkpoint_dir
        cache = None if directory is None else SnapshotCache(directory)
        self._stage = stage
        self._version = version
        self._interval_s = settings[WorkerSettings].snapshot_interval_s if interval_s is None else interval_s
        self._results = results
        self._stall_seconds = metrics.snapshot_stall_seconds.labels(stage)
        self._shadow = ShadowBuffer()
        self._is_cancelled = threading.Event()
        self._writer = SnapshotWriter(
            settings[KafkaSettings], stage, metrics, cache, self._is_cancelled, topic=topic, blocks_topic=blocks_topic
        )
        self._reader = SnapshotReader(
            settings[KafkaSettings], stage, version, metrics, cache, topic=topic, blocks_topic=blocks_topic
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{stage}-snapshots")
        self._task: asyncio.Future[None] | None = None
        self._partitions: dict[int, _Partition] = {}
        self._covered: dict[int, int] = {}

    async def read(self, partitions: Collection[int]) -> dict[int, Snapshot | None]:
        """Read their snapshots; return the newest whole snapshot of each.

        What was known of any partition before is void. None: there is none that can be used, and the log says why;
        the state is built anew from the earliest record there is.

        Raises
        ------
        CheckpointReadError
            When Kafka does not answer or a topic is missing: no state may be assumed.
        """
        await self._give_up()
        owners = {f"{self._stage}/{number}": number for number in sorted(partitions)}
        found = await self._run(self._reader.read, owners, READ_TIMEOUT_S)
        self._covered = {}
        self._partitions = {}
        snapshots = {}
        for owner, number in owners.items():
            restored = found[owner]
            chain = SnapshotChain(owner, self._version, uuid4().hex, restored.whole, restored.noted)
            snapshots[number] = restored.snapshot
            saved_offset = NOTHING_SAVED if restored.snapshot is None else restored.snapshot.offset
            self._partitions[number] = _Partition(chain, saved_offset)
        return snapshots

    def due(self, offsets: Mapping[int, int]) -> int | None:
        """Return the partition whose snapshot should begin now, or None.

        Parameters
        ----------
        offsets
            The next offset of each partition: one that did not move since its last snapshot needs none.

        Raises
        ------
        Exception
            A bug in the making of the last snapshot, as from `saved`.
        """
        if self._is_busy():
            return None
        now_s = time.monotonic()
        waiting = [
            (self._partitions[number].begun_s, number)
            for number, offset in offsets.items()
            if self._partitions[number].needs_snapshot(offset)
            and now_s - self._partitions[number].begun_s >= self._interval_s
        ]
        return min(waiting)[1] if waiting else None

    def outdate(self, partition: int) -> None:
        """Note that a state has changed without a record: it is saved again although its offset has not moved."""
        self._partitions[partition].is_outdated = True

    async def begin(self, partition: int, snapshot: Snapshot) -> bool:
        """Copy a snapshot, and write the copy in the background.

        Returns
        -------
        bool
            False when it did not begin: another is being written, room for it is being made (before the first, and
            when the state has grown), or the stage's results are not acknowledged. Try again at the next tick.

        Raises
        ------
        ValueError
            When the snapshot cannot be written: of other types than plain numbers, or names that are none.
        DeliveryError
            When Kafka refused results for good.
        """
        if self._is_busy():
            return False
        if not self._shadow.fits(snapshot):
            self._begin_task(self._shadow.grow, snapshot, self._is_cancelled.is_set)
            return False
        started_s = time.monotonic()
        try:
            await self._results.flushed(FLUSH_TIMEOUT_S)
        except FlushTimeoutError as error:
            logger.warning("no snapshot of partition %d now: %s", partition, error)
            return False
        pieces = await self._run(self._shadow.copy, snapshot)
        self._stall_seconds.observe(time.monotonic() - started_s)
        owner = self._partitions[partition]
        owner.begun_s = time.monotonic()
        owner.is_outdated = False

        def write() -> None:
            if self._writer.write(owner.chain, snapshot.offset, pieces):
                owner.saved_offset = self._covered[partition] = snapshot.offset
            else:
                owner.is_outdated = True

        self._begin_task(write)
        return True

    def saved(self) -> dict[int, int]:
        """Return the next offset by partition of the snapshots that became whole since the last call: commit them.

        Raises
        ------
        Exception
            A bug in the making of the last snapshot; what Kafka or the disk refused is logged and counted instead.
        """
        if self._is_busy():
            return {}
        covered, self._covered = self._covered, {}
        return covered

    async def save(self, snapshots: Mapping[int, Snapshot], timeout_s: float = SAVE_TIMEOUT_S) -> dict[int, int]:
        """Write snapshots as far as the time allows, give up the rest, and return what `saved` does.

        For the end of an assignment: what is not saved is only done again.
        """
        try:
            async with asyncio.timeout(timeout_s):
                for partition, snapshot in snapshots.items():
                    await self._save(partition, snapshot)
        except TimeoutError:
            logger.warning("not all of %d snapshots are saved within %g s", len(snapshots), timeout_s)
        await self._give_up()
        return self.saved()

    async def close(self) -> None:
        """Give up what is being written, and end the threads."""
        await self._give_up()
        self._thread.shutdown()
        self._shadow.close()

    async def _save(self, partition: int, snapshot: Snapshot) -> None:
        await self._finish_task()
        if not self._partitions[partition].needs_snapshot(snapshot.offset):
            return
        if not self._shadow.fits(snapshot):
            self._begin_task(self._shadow.grow, snapshot, self._is_cancelled.is_set)
            await self._finish_task()
        await self.begin(partition, snapshot)
        await self._finish_task()

    def _is_busy(self) -> bool:
        if self._task is None:
            return False
        if not self._task.done():
            return True
        task, self._task = self._task, None
        task.result()
        return False

    def _begin_task(self, task: Callable[..., Any], *arguments: Any) -> None:
        self._task = asyncio.get_running_loop().run_in_executor(self._thread, task, *arguments)

    async def _finish_task(self) -> None:
        if self._task is not None:
            await asyncio.wait([self._task])
            self._is_busy()

    async def _give_up(self) -> None:
        self._is_cancelled.set()
        try:
            await self._finish_task()
        finally:
            self._is_cancelled.clear()

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, functools.partial(work, *arguments))
