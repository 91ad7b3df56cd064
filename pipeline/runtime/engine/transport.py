"""Faust transport `cinnamon://`: one event a partition and fetch, with all its records as columns.

Faust and aiokafka do the group, the connections and the positions. What is taken over is narrow: how a fetch response
becomes records (`pipeline.runtime.engine.column_fetches`), how they are handed to the conductor (`Consumer.getmany`),
where a partition begins (`Consumer.perform_seek`), and when an offset is committed (`Consumer.commit_offsets` alone).

It uses names of aiokafka 0.14 that are not public. `AIOKAFKA_NAMES` lists them, and a test says which one moved.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final, cast

import aiokafka
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.runtime.engine.column_fetches import ColumnFetches

logger = logging.getLogger(__name__)

AIOKAFKA_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "aiokafka.consumer.fetcher.Fetcher": (
        "_proc_fetch_request",
        "_set_error",
        "_fetch_requests_routine",
        "error_future",
        "fetched_records",
    ),
    "aiokafka.consumer.fetcher.FetchResult": ("getall", "check_assignment", "_update_position", "has_more"),
    "aiokafka.consumer.subscription_state.TopicPartitionState": ("await_reset", "has_valid_position", "consumed_to"),
    "aiokafka.consumer.subscription_state.Assignment": ("state_value", "active"),
    "aiokafka.consumer.group_coordinator.GroupCoordinator": ("_do_heartbeat",),
    "aiokafka.consumer.consumer.AIOKafkaConsumer": ("start", "seek", "beginning_offsets", "committed", "commit"),
}
"""Names of aiokafka 0.14 that this module and `column_fetches` rely on, beside the public ones."""

FETCH_MAX_WAIT_MS: Final = 100
"""How long a broker holds an empty fetch: a partition that becomes ready meanwhile waits as long."""
FETCH_RESPONSE_BYTES: Final = 64 * 1024 * 1024
SEEK_TIMEOUT_S: Final = 45.0
COMMIT_TIMEOUT_S: Final = 20.0
PAUSED_WAIT_S: Final = 0.05

StartOffsets = Callable[[frozenset[int]], Awaitable[Mapping[int, int]]]


class FetcherEndedError(Exception):
    """aiokafka's fetching has ended by a fault of its own; its consumer would wait for ever."""


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to Kafka."""

    mundane_level = "debug"
    epoch = 0
    """How often the positions were set; what was fetched in an earlier epoch is void."""
    heard_s = 0.0
    """Monotonic seconds of a moment at which the group surely counted on this consumer; the newest one known."""

    async def on_start(self) -> None:
        """Connect, and take over the fetches before any partition is assigned."""
        await super().on_start()
        consumer = self._ensure_consumer()
        ColumnFetches.install(consumer)
        self._note_heartbeats(consumer._coordinator)  # noqa: SLF001

    def _note_heartbeats(self, coordinator: Any) -> None:
        beat = coordinator._do_heartbeat  # noqa: SLF001

        async def beat_and_note() -> bool:
            begun_s = time.monotonic()
            is_heard = bool(await beat())
            if is_heard:
                self.heard_s = begun_s
            return is_heard

        coordinator._do_heartbeat = beat_and_note  # noqa: SLF001

    def on_crash(self, msg: str, *fmt: Any, **_options: Any) -> None:
        """Log what ended the thread, where mode would print it."""
        logger.error(msg.format(*fmt))

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = RoundRobinPartitionAssignor
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_bytes=FETCH_RESPONSE_BYTES,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            check_crcs=conf.broker_check_crcs,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            isolation_level="read_committed",
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def begin_at(self, starts: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Set every assigned partition's position: the given offset, else the group's committed one, else the earliest.

        Returns
        -------
        dict
            Position of each partition.

        Raises
        ------
        IllegalStateError
            When the assignment changed meanwhile; another call follows.
        """
        positions: dict[TopicPartition, int] = await self.call_thread(self._begin_at, starts)
        return positions

    async def _begin_at(self, starts: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        consumer = self._ensure_consumer()
        positions: dict[TopicPartition, int] = {}
        for where in consumer.assignment():
            offset = starts.get(where)
            if offset is None:
                offset = await consumer.committed(where)
            if offset is None or offset < 0:
                offset = (await consumer.beginning_offsets([where]))[where]
            positions[where] = offset
        # from here on nothing may be awaited: what a fetch hands over belongs to the positions before or after
        for where, offset in positions.items():
            consumer.seek(where, offset)
        self.epoch += 1
        self.heard_s = time.monotonic()
        return positions

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109  (Faust's signature)
        max_records: int | None = None,
    ) -> Any:
        fetching = consumer._fetcher.error_future  # noqa: SLF001
        if fetching.done() and not fetching.cancelled():
            raise FetcherEndedError("nothing is fetched from Kafka any more") from fetching.exception()
        records = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        return self.epoch, records

    def fetch_state(self, where: TopicPartition) -> tuple[int | None, int | None]:
        """Return the offset that is fetched next and the log's end as last seen; None for what is not known."""
        subscription = None if self._consumer is None else self._consumer._subscription.subscription  # noqa: SLF001
        assignment = None if subscription is None else subscription.assignment
        state = None if assignment is None else assignment.state_value(where)
        if state is None:
            return None, None
        return (state.position if state.has_valid_position else None), state.highwater

    async def commit_offsets(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit offsets of the group; return whether the broker took them."""
        return bool(await self.call_thread(self._commit_offsets, offsets))

    async def _commit_offsets(self, offsets: Mapping[TopicPartition, int]) -> bool:
        consumer = self._ensure_consumer()
        commit = {where: OffsetAndMetadata(offset, "") for where, offset in offsets.items()}
        try:
            await asyncio.wait_for(consumer.commit(commit), COMMIT_TIMEOUT_S)
        except (CommitFailedError, IllegalStateError) as error:
            logger.info("offsets not committed, the partitions have moved on: %s", error)
        except (KafkaError, TimeoutError) as error:
            logger.warning("offsets not committed, the next commit covers them: %r", error)
        else:
            return True
        return False


class Consumer(driver.Consumer):
    """Hands fetches to the conductor, and commits nothing of its own accord."""

    mundane_level = "debug"

    start_offsets: StartOffsets | None = None
    """Asked for where the assigned partitions begin; partitions that it leaves out begin at their committed offset."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: RecordColumns) -> ConsumerMessage:
        return ConsumerMessage(
            record.topic,
            record.partition,
            record.next_offset - 1,
            float(record.timestamp_ms[-1]) / 1000 if len(record) else 0.0,
            0,
            [],
            None,
            cast("bytes", record),
            None,
            None,
            None,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: a full queue blocks the delivery, which is back-pressure enough."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Do nothing: see `on_buffer_full`."""

    async def perform_seek(self) -> None:
        """Set the positions of all assigned partitions.

        Raises
        ------
        TimeoutError
            When the offsets, the stage's or the committed ones, do not come within `SEEK_TIMEOUT_S`: a crash.
        """
        async with asyncio.timeout(SEEK_TIMEOUT_S):
            assigned = self.assignment()
            starts: Mapping[int, int] = {}
            if self.start_offsets is not None:
                starts = await self.start_offsets(frozenset(tp.partition for tp in assigned))
            positions = await cast("ConsumerThread", self._thread).begin_at(
                {
                    TopicPartition(tp.topic, tp.partition): starts[tp.partition]
                    for tp in assigned
                    if tp.partition in starts
                }
            )
        begun = {f"{where.topic}[{where.partition}]": offset for where, offset in sorted(positions.items())}
        logger.info("generation %s of the group begins at %s", self.app.consumer_generation_id, begun)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109  (Faust's signature)
        """Yield one message a partition and fetch.

        Notes
        -----
        What was fetched before a rebalance or while it runs is dropped: `perform_seek` sets all positions before the
        delivery goes on. What was fetched just after it, and before the flow was resumed, waits for that.
        """
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        active = self._get_active_partitions()
        if not active:
            await self.sleep(PAUSED_WAIT_S)
            return
        thread = cast("ConsumerThread", self._thread)
        epoch, records = cast("tuple[int, Mapping[TP, list[RecordColumns]]]", await self._getmany(active, timeout))
        for tp, fetches in records.items():
            for columns in fetches:
                if not self.flow_active:
                    await self.wait(self.can_resume_flow.wait())
                if epoch != thread.epoch or self.should_stop:
                    return
                yield tp, self._to_message(tp, columns)

    async def _drain_messages(self, fetcher: Any) -> None:
        """Deliver until consumer or fetcher stop; each delivery waits for room in the stage's queue."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                await self.sleep(0)
                async for _tp, message in self.getmany(timeout=1.0):
                    await self.wait_first(self.callback(message), self.suspend_flow.wait())
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        """Do nothing: Faust does not know which work is finished, see `commit_offsets`."""
        return False

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commit what is finished.

        Parameters
        ----------
        offsets
            For each partition the offset to go on at, i.e. one more than the last finished record's.

        Returns
        -------
        bool
            False when the group has rebalanced or the broker did not answer; nothing is lost, work may be done again.
        """
        mine = self.assignment()
        commit = {TopicPartition(tp.topic, tp.partition): offset for tp, offset in offsets.items() if tp in mine}
        if not commit:
            return False
        return await cast("ConsumerThread", self._thread).commit_offsets(commit)

    def fetch_state(self, tp: TP) -> tuple[int | None, int | None]:
        """Return the offset that is fetched next and the log's end as last seen; None for what is not known."""
        return cast("ConsumerThread", self._thread).fetch_state(TopicPartition(tp.topic, tp.partition))

    def is_member(self) -> bool:
        """Return whether the group surely still counts on this consumer: a heartbeat was heard within the session."""
        heard_s = cast("ConsumerThread", self._thread).heard_s
        return time.monotonic() - heard_s < float(self.app.conf.broker_session_timeout)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: the worker's health check watches the progress of each partition."""


class Transport(driver.Transport):
    """Kafka transport whose events are `RecordColumns`."""

    Consumer: ClassVar[type[Consumer]] = Consumer
