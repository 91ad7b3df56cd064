"""Calls a stage: one call at a time, records in order, a bug reported once."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from faust.types import TP

from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.runtime.engine.stage import Stage
from pipeline.runtime.engine.transport import Consumer

logger = logging.getLogger(__name__)

TICK_INTERVAL_S: Final = 0.2


class AgentEndedError(Exception):
    """The agent that hands records to a stage has ended, and nobody told it to."""


class StageStoppedError(Exception):
    """The stage failed or was stopped, and is not called any more."""


@dataclass(slots=True)
class PartitionProgress:
    """How far a stage is in a partition.

    Parameters
    ----------
    next_offset
        First offset not yet processed, or None before the first records.
    progressed_at_s
        Monotonic seconds of the last records processed, or when none was waiting.
    is_paused
        Whether the stage asked for a pause.
    """

    next_offset: int | None
    progressed_at_s: float
    is_paused: bool = False


class RunningCall(NamedTuple):
    """A call of the stage that has not returned."""

    name: str
    begun_s: float
    """Monotonic seconds."""


class StageRunner:
    """Runs one stage; it is the stage's `StageContext`.

    Parameters
    ----------
    stage
        What is run.
    on_failure
        Called once, in the event loop's thread, with the first exception that leaves the stage.
    revoke_timeout_s
        How long the stage may take to give up its partitions, what it is doing at that moment included.
    """

    def __init__(self, stage: Stage, on_failure: Callable[[BaseException], None], revoke_timeout_s: float) -> None:
        self.stage = stage
        self.progress: dict[int, PartitionProgress] = {}
        self.is_assigned = False
        self.call: RunningCall | None = None
        self._on_failure = on_failure
        self._revoke_timeout_s = revoke_timeout_s
        self._is_owner = False
        self._consumer: Consumer | None = None
        self._lock = asyncio.Lock()
        self._is_stopped = False
        self._generation: int | None = None
        self._held: dict[int, deque[RecordColumns]] = {}

    def attach(self, consumer: Consumer) -> None:
        """Take the consumer that the stage's partitions come from."""
        self._consumer = consumer
        consumer.start_offsets = self.start_offsets

    async def start(self) -> None:
        """Start the stage."""
        async with self._turn("start"):
            await self.stage.start(self)

    async def run(self, stream: Any) -> None:
        """Hand the events of a Faust stream to the stage, until that ends; the stream's end before it is a failure."""
        try:
            async for event in stream.events():
                async with self._turn("process"):
                    await self._take(event.value, event.message.generation_id)
        except StageStoppedError:
            return
        finally:
            self.fail(AgentEndedError(f"the agent of stage {self.stage.name} has ended"))

    async def tick_until_stopped(self) -> None:
        """Call the stage's `tick`, and hand over what was held back while a partition was paused."""
        with suppress(StageStoppedError):
            while True:
                await asyncio.sleep(TICK_INTERVAL_S)
                async with self._turn("tick"):
                    self._note_idle()
                    await self._release_held()
                    await self.stage.tick(time.time_ns() // 1_000_000)

    async def start_offsets(self, partitions: frozenset[int]) -> Mapping[int, int]:
        """Assign partitions to the stage; return the offsets it asks for."""
        async with self._turn("assigned"):
            if self._consumer is None:
                raise RuntimeError("no consumer is attached")
            self._held.clear()
            generation = self._consumer.app.consumer_generation_id
            starts = await self.stage.assigned(partitions)
            now_s = time.monotonic()
            self.progress = {
                partition: PartitionProgress(starts.get(partition), now_s) for partition in sorted(partitions)
            }
            self._generation = generation
            self._is_owner = self.is_assigned = True
            return starts

    async def revoke(self) -> None:
        """Take all partitions from the stage; after its end do nothing.

        A stage that does not finish in time leaves without committing: what it was doing is done again by the next
        owner, and what of it still comes to an end here is no longer committed.
        """
        partitions = frozenset(self.progress)
        self._generation = None
        self.progress = {}
        self.is_assigned = False
        self._held.clear()
        try:
            with suppress(StageStoppedError):
                async with asyncio.timeout(self._revoke_timeout_s), self._turn("revoked"):
                    if partitions:
                        await self.stage.revoked(partitions)
        except TimeoutError:
            logger.warning(
                "stage %s did not finish within %g s of a revocation: it leaves without committing",
                self.stage.name,
                self._revoke_timeout_s,
            )
        finally:
            self._is_owner = False

    async def stop(self) -> None:
        """Take the partitions from the stage and stop it; after a failure do nothing."""
        if self._is_stopped:
            return
        await self.revoke()
        async with self._turn("stop"):
            await self.stage.stop()
            self._is_stopped = True

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        """Commit finished work (see `StageContext`)."""
        if self._consumer is None or not self._is_owner:
            return False
        topic = self.stage.source_topic
        return await self._consumer.commit_offsets(
            {TP(topic, partition): offset for partition, offset in offsets.items()}
        )

    def pause(self, partitions: Iterable[int]) -> None:
        """Hold partitions back (see `StageContext`)."""
        mine = [partition for partition in partitions if partition in self.progress]
        for partition in mine:
            self.progress[partition].is_paused = True
        if self._consumer is not None:
            self._consumer.pause_partitions([TP(self.stage.source_topic, partition) for partition in mine])

    def resume(self, partitions: Iterable[int]) -> None:
        """Go on with partitions (see `StageContext`)."""
        mine = [partition for partition in partitions if partition in self.progress]
        for partition in mine:
            self.progress[partition].is_paused = False
            self.progress[partition].progressed_at_s = time.monotonic()
        if self._consumer is not None:
            self._consumer.resume_partitions([TP(self.stage.source_topic, partition) for partition in mine])

    def owns_partitions(self) -> bool:
        """Return whether the partitions are surely still this worker's (see `StageContext`)."""
        return self._is_owner and self._consumer is not None and self._consumer.is_member()

    def waiting_records(self, partition: int) -> int | None:
        """Return how many records (about: offsets) of an assigned partition wait for the stage; None when not known."""
        if self._consumer is None or partition not in self.progress:
            return None
        position, high_watermark = self._consumer.fetch_state(TP(self.stage.source_topic, partition))
        processed = self.progress[partition].next_offset
        if processed is not None:
            position = processed
        return None if position is None or high_watermark is None else max(0, high_watermark - position)

    def fail(self, error: BaseException) -> None:
        """Call the stage no more, and report the first error."""
        if not self._is_stopped:
            self._is_stopped = True
            self._on_failure(error)

    async def _take(self, columns: RecordColumns, generation: int | None) -> None:
        if generation != self._generation or columns.partition not in self.progress:
            return  # fetched before a rebalance that gave the partition new start offsets
        if columns.partition in self._held or self.progress[columns.partition].is_paused:
            self._held.setdefault(columns.partition, deque()).append(columns)
        else:
            await self._process(columns)

    async def _process(self, columns: RecordColumns) -> None:
        await self.stage.process(columns)
        progress = self.progress.get(columns.partition)
        if progress is not None:  # else it was revoked meanwhile, and the stage was too slow to be waited for
            progress.next_offset = columns.next_offset
            progress.progressed_at_s = time.monotonic()

    def _note_idle(self) -> None:
        """Note that partitions with nothing waiting do not stand still."""
        now_s = time.monotonic()
        for partition, progress in self.progress.items():
            if not self.waiting_records(partition):
                progress.progressed_at_s = now_s

    async def _release_held(self) -> None:
        for partition, held in list(self._held.items()):
            while held and partition in self.progress and not self.progress[partition].is_paused:
                await self._process(held[0])
                held.popleft()
            if not held:
                self._held.pop(partition, None)

    @asynccontextmanager
    async def _turn(self, call: str) -> AsyncIterator[None]:
        async with self._lock:
            if self._is_stopped:
                raise StageStoppedError(f"stage {self.stage.name} is not called any more ({call})")
            self.call = RunningCall(call, time.monotonic())
            try:
                with self._failing(call):
                    yield
            finally:
                self.call = None

    @contextmanager
    def _failing(self, call: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the supervisor: whatever leaves a stage ends the process
            logger.critical("stage %s failed in %s", self.stage.name, call, exc_info=error)
            self.fail(error)
            raise
