"""A topic → a store: one stage and consumer group for each such pair, batches, and patience while the store is down."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import orjson
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.runtime.engine.stage import StageContext
from pipeline.runtime.kafka.producer import FlushTimeoutError, RecordProducer
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.topic_reader import TopicReader, TopicReadError, committed_offsets
from pipeline.settings.model import Settings
from pipeline.stages.dead_letters import DeadLetterWriter
from pipeline.stages.sink.metrics import SinkFamilies
from pipeline.stages.sink.region_route import Destination
from pipeline.stages.spec import Group
from pipeline.stores.base import RecordStore, StoreUnavailable, WriteResult
from pipeline.stores.settings import StoreSettings
from schemas.reasons import DeadLetterReason

logger = logging.getLogger(__name__)

BATCH_AGE_S = 0.5
"""How long a record waits for others to be written with."""
ATTEMPTS, ATTEMPTS_S = 4, 8.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 2.0
SLOW_WRITE_S = 5.0
"""A write that takes longer holds the partitions: the store is slow, not the stage."""
PAUSE_S, LONGEST_PAUSE_S = 2.0, 30.0
LONGEST_ASKED_PAUSE_S = 300.0
REMEMBERED_RECORDS = 5000
"""So far before its commit a partition is read again, where the store has to be told of revisions that it was given."""
READ_TIMEOUT_S = 15.0
FLUSH_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0


class SinkStage:
    """Writes the records of a topic that are for a store to it.

    Parameters
    ----------
    settings
        Of the process.
    families
        The stage's metrics.
    group
        Which topic, and the stage's name.
    options
        The store's section of the settings.
    destination
        Tells whose a record is.
    store
        What keeps the topic's records there, open.
    """

    def __init__(
        self,
        settings: Settings,
        families: SinkFamilies,
        group: Group,
        options: StoreSettings,
        destination: Callable[[bytes], Destination],
        store: RecordStore,
    ) -> None:
        self.name = group.name
        self.source_topic = group.topic
        self.group = settings[KafkaSettings].group(self.name)
        self._kafka = settings[KafkaSettings]
        self._families = families
        self._store = store
        self._store_name = options.name
        self._destination = destination
        # a batch keeps all requests of the store busy
        self._batch_records = options.batch_lines * options.requests_in_flight
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self.name)
        self._producer = RecordProducer(settings[KafkaSettings])
        self._dead_letters = DeadLetterWriter(self.name, self.source_topic, self._producer, families.common)
        self._context: StageContext | None = None
        self._values: list[bytes] = []
        self._places: list[tuple[int, int]] = []
        self._assigned: frozenset[int] = frozenset()
        self._written_before: dict[int, int] = {}
        self._next_offset: dict[int, int] = {}
        self._written: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._oldest_s = 0.0
        self._try_again_s: float | None = None
        self._pause_s = PAUSE_S
        self._is_holding = False

    async def start(self, context: StageContext) -> None:
        """Keep the runtime's context."""
        self._context = context

    async def assigned(self, partitions: frozenset[int]) -> Mapping[int, int]:
        """Begin where the group committed, with nothing in hand; or somewhat before, to know what was written there."""
        self._forget()
        self._assigned = partitions
        if self._store.keeps_revisions:
            return {}
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TopicReadError),  # a broker that has just started
            stop=stop_after_delay(READ_TIMEOUT_S),
            wait=_back_off,
            reraise=True,
        )
        return await retrying(asyncio.to_thread, self._find_starts, partitions)

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Write what is in hand if the store takes it at once; else the next owner reads it again."""
        try:
            if self._try_again_s is None:
                await self._write_once()
                await self._commit()
        except StoreUnavailable as error:
            logger.warning("store %s: what is in hand is left to the next owner: %s", self._store_name, error)
        finally:
            self._forget()

    async def process(self, columns: RecordColumns) -> None:
        """Collect a fetch's records; write when there are enough for a batch."""
        if columns.unreadable:
            self._dead_letters.unreadable(columns)
        written_before = self._written_before.get(columns.partition, 0)
        known = int(np.searchsorted(columns.offset, written_before))
        if known:
            await self._in_store_thread(self._store.remember, self._mine_of(columns, known))
        labels = (self.name, self.source_topic, str(columns.partition))
        self._families.common.input_records.labels(*labels).inc(len(columns) - known)
        if not self._values:
            self._oldest_s = time.monotonic()
        for i in range(known, len(columns)):
            value = columns.value(i)
            if value is None:
                continue
            match self._destination(value):
                case Destination.MINE:
                    self._values.append(value)
                    self._places.append((columns.partition, int(columns.offset[i])))
                case Destination.NOBODYS:
                    self._families.unrouted_points.labels(self.name).inc()
        next_offset = max(columns.next_offset, written_before)
        self._next_offset[columns.partition] = next_offset
        if not self._values:
            self._written[columns.partition] = next_offset
        if len(self._values) >= self._batch_records and self._try_again_s is None:
            await self._write_all()

    async def tick(self, now_ms: int) -> None:
        """Write what has waited long enough, commit what is written, and try a store that was down again."""
        now_s = time.monotonic()
        if self._try_again_s is None:
            if self._values and now_s - self._oldest_s >= BATCH_AGE_S:
                await self._write_all()
        elif now_s >= self._try_again_s:
            await self._try_again()
        await self._commit()

    async def stop(self) -> None:
        """Let go of the connections."""
        await self._in_store_thread(self._store.close)
        self._thread.shutdown(wait=False)
        await asyncio.to_thread(self._producer.close, CLOSE_TIMEOUT_S)

    def _find_starts(self, partitions: frozenset[int]) -> dict[int, int]:
        """Return where to begin, so that the newest records which were written are read again."""
        self._written_before = committed_offsets(
            self._kafka, self.group, self.source_topic, sorted(partitions), READ_TIMEOUT_S
        )
        with TopicReader(self._kafka, READ_TIMEOUT_S) as reader:
            return {
                partition: max(offset - REMEMBERED_RECORDS, min(offset, reader.bounds(self.source_topic, partition)[0]))
                for partition, offset in self._written_before.items()
            }

    def _mine_of(self, columns: RecordColumns, count: int) -> list[bytes]:
        """Return the first ``count`` records of a fetch, those for this store."""
        values = (columns.value(i) for i in range(count))
        return [each for each in values if each is not None and self._destination(each) is Destination.MINE]

    def _forget(self) -> None:
        self._values.clear()
        self._places.clear()
        self._assigned = frozenset()
        self._written_before = {}
        self._next_offset.clear()
        self._written.clear()
        self._committed.clear()
        self._try_again_s = None
        self._pause_s = PAUSE_S
        self._is_holding = False

    async def _write_all(self) -> None:
        """Write everything in hand; pause all partitions if the store stays unavailable."""
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(StoreUnavailable),
                stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(ATTEMPTS_S),
                wait=_wait_s,
                before_sleep=self._count_retry,
                reraise=True,
            ):
                with attempt:
                    await self._write_once()
        except StoreUnavailable as error:
            self._pause(error)

    async def _try_again(self) -> None:
        try:
            await self._write_once()
        except StoreUnavailable as error:
            self._pause(error)
        else:
            logger.warning("store %s takes records again", self._store_name)
            self._try_again_s = None
            self._pause_s = PAUSE_S
            self._release()

    async def _write_once(self) -> None:
        if not self._values:
            return
        begun_s = time.monotonic()
        writing = asyncio.ensure_future(self._in_store_thread(self._store.write, list(self._values), self._is_mine))
        writing.add_done_callback(_note_failure)
        await asyncio.wait({writing}, timeout=SLOW_WRITE_S)
        if not writing.done():
            self._hold()
        result = await writing
        if self._try_again_s is None:
            self._release()
        self._families.write_seconds.labels(self.name).observe(time.monotonic() - begun_s)
        self._families.written_points.labels(self.name).inc(result.written)
        self._families.superseded_points.labels(self.name).inc(result.superseded)
        self._reject(result)
        self._observe_age(self._values[-1])
        self._values.clear()
        self._places.clear()
        self._written.update(self._next_offset)

    def _is_mine(self) -> bool:
        return self._context is not None and self._context.owns_partitions()

    async def _in_store_thread(self, call: Callable[..., Any], *args: Any) -> Any:
        """Call the store in the one thread that it is called from."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    def _reject(self, result: WriteResult) -> None:
        for rejected in result.rejected:
            partition, offset = self._places[rejected.index]
            reason = DeadLetterReason.STORE_REJECTED
            self._dead_letters.reject(partition, offset, reason, rejected.message, self._values[rejected.index])
            self._families.rejected_points.labels(self.name, reason.value).inc()

    def _observe_age(self, value: bytes) -> None:
        """Note how long after its end a window or chunk was written: one for a batch, the newest."""
        try:
            end_ms = int(orjson.loads(value)["end_ms"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return
        self._families.end_to_end_seconds.labels(self.name).observe(max(0.0, time.time() - end_ms / 1000))

    def _pause(self, error: StoreUnavailable) -> None:
        pause_s = max(self._pause_s, min(error.retry_after_s or 0.0, LONGEST_ASKED_PAUSE_S))
        if self._try_again_s is None:
            logger.error("store %s is down, its partitions wait: %s", self._store_name, error)
        self._try_again_s = time.monotonic() + pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._families.write_retries.labels(self.name, "unavailable").inc()
        self._hold()

    def _hold(self) -> None:
        if self._context is not None and not self._is_holding:
            self._is_holding = True
            self._context.pause(self._assigned)

    def _release(self) -> None:
        if self._context is not None and self._is_holding:
            self._is_holding = False
            self._context.resume(self._assigned)

    def _count_retry(self, state: RetryCallState) -> None:
        self._families.write_retries.labels(self.name, "unavailable").inc()
        logger.warning("store %s: attempt %d failed, trying again", self._store_name, state.attempt_number)

    async def _commit(self) -> None:
        """Commit the records that are written, their dead letters acknowledged before."""
        due = {
            partition: offset for partition, offset in self._written.items() if self._committed.get(partition) != offset
        }
        if not due or self._context is None:
            return
        try:
            await self._producer.flushed(FLUSH_TIMEOUT_S)
        except FlushTimeoutError as error:
            logger.warning("nothing is committed, the next try covers it: %s", error)
            return
        if await self._context.commit(due):
            self._committed.update(due)


def _note_failure(writing: "asyncio.Future[WriteResult]") -> None:
    """Take the exception of a write that nobody waits for any more: the next owner writes the same again."""
    if not writing.cancelled():
        writing.exception()


_back_off = wait_random_exponential(multiplier=FIRST_WAIT_S, min=FIRST_WAIT_S, max=LONGEST_WAIT_S)


def _wait_s(state: RetryCallState) -> float:
    """Wait as the store asked, as long as that is short; else back off."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked_s = error.retry_after_s if isinstance(error, StoreUnavailable) else None
    return min(asked_s, LONGEST_WAIT_S) if asked_s is not None else _back_off(state)
