"""Fetch responses as columns, in the place of aiokafka's own records."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import aiokafka
from aiokafka.consumer import fetcher as aiokafka_fetcher
from aiokafka.errors import (
    KafkaError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.structs import TopicPartition

from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.runtime.engine.buffer_pool import BufferPool
from pipeline.runtime.engine.record_fetch import PartitionFetch, decode_fetch

logger = logging.getLogger(__name__)


class ColumnRecords:
    """What aiokafka takes for a partition's records: yields one `RecordColumns` and moves the position behind it.

    Parameters
    ----------
    fetch
        The bytes, decoded only when they are asked for.
    pool
        Where the columns' memory is from.
    """

    def __init__(self, fetch: PartitionFetch, pool: BufferPool) -> None:
        self._fetch: PartitionFetch | None = fetch
        self._pool = pool
        self.next_fetch_offset = fetch.from_offset

    def __iter__(self) -> "ColumnRecords":
        return self

    def __next__(self) -> RecordColumns:
        if self._fetch is None:
            raise StopIteration
        columns = decode_fetch(self._fetch, self._pool)
        self._fetch = None
        self.next_fetch_offset = columns.next_offset
        return columns


class ColumnFetches:
    """Turns fetch responses into `ColumnRecords`, in the place of aiokafka's own `_proc_fetch_request`.

    Parameters
    ----------
    fetcher
        A started aiokafka fetcher.
    """

    def __init__(self, fetcher: Any) -> None:
        self._fetcher = fetcher
        self._pool = BufferPool()

    @classmethod
    def install(cls, consumer: aiokafka.AIOKafkaConsumer) -> None:
        """Make a started consumer, that has no partition yet, fetch columns."""
        fetcher = consumer._fetcher  # noqa: SLF001
        fetcher._proc_fetch_request = cls(fetcher).process  # noqa: SLF001

    async def process(self, assignment: Any, node_id: int, request: Any) -> bool:
        """Send a fetch request and file its answer; return whether there is something for the consumer."""
        fetcher = self._fetcher
        try:
            response = await fetcher._client.send(node_id, request)  # noqa: SLF001
            if not assignment.active:
                return False
            is_ready, is_refused = self._file(assignment, request, response)
            if is_refused:
                await asyncio.sleep(fetcher._retry_backoff)  # noqa: SLF001
        except KafkaError as error:
            logger.warning("fetch from broker %s failed and is tried again: %s", node_id, error)
            await asyncio.sleep(fetcher._retry_backoff)  # noqa: SLF001
            return False
        except asyncio.CancelledError:
            return False  # closed, or the partitions are gone: the fetcher awaits this task without a guard
        return is_ready

    def _file(self, assignment: Any, request: Any, response: Any) -> tuple[bool, bool]:
        asked = {
            TopicPartition(topic, partition): offset
            for topic, partitions in request.topics
            for partition, offset, _ in partitions
        }
        is_ready = is_refused = False
        for topic, partitions in response.topics:
            for partition, error_code, high_watermark, *rest in partitions:
                where = TopicPartition(topic, partition)
                state = assignment.state_value(where)
                if not state.has_valid_position or state.position != asked[where]:
                    continue  # a seek came in between
                if error_code != 0:
                    is_refused = True
                    is_ready |= self._refused(where, state, asked[where], for_code(error_code))
                    continue
                state.highwater = high_watermark
                state.lso = rest[0] if response.API_VERSION >= 4 else None
                state.timestamp = 0
                if rest[-1]:
                    fetch = PartitionFetch(
                        topic=topic,
                        partition=partition,
                        fetched=rest[-1],
                        from_offset=asked[where],
                        high_watermark=high_watermark,
                        aborted=_aborted_transactions(response.API_VERSION, rest),
                        check_crcs=self._fetcher._check_crcs,  # noqa: SLF001
                    )
                    self._add(assignment, where, fetch)
                    is_ready = True
        return is_ready, is_refused

    def _add(self, assignment: Any, where: TopicPartition, fetch: PartitionFetch) -> None:
        fetcher = self._fetcher
        fetcher._records[where] = aiokafka_fetcher.FetchResult(  # noqa: SLF001
            where,
            assignment=assignment,
            partition_records=ColumnRecords(fetch, self._pool),
            backoff=fetcher._prefetch_backoff,  # noqa: SLF001
        )

    def _refused(self, where: TopicPartition, state: Any, offset: int, error: type[KafkaError]) -> bool:
        fetcher = self._fetcher
        if error is OffsetOutOfRangeError:
            logger.error(
                "%s[%d]: offset %d is not there any more (deleted by retention, or the topic was made anew); going on "
                "at the earliest one, what lies between is lost to this stage",
                where.topic,
                where.partition,
                offset,
            )
            state.await_reset(aiokafka_fetcher.OffsetResetStrategy.EARLIEST)
            return False
        if error is TopicAuthorizationFailedError:
            fetcher._set_error(where, error(where.topic))  # noqa: SLF001
            return True
        logger.warning("%s[%d] offset %d: %s; tried again", where.topic, where.partition, offset, error.__name__)
        fetcher._client.force_metadata_update()  # noqa: SLF001
        return False


def _aborted_transactions(api_version: int, rest: list[Any]) -> Iterable[tuple[int, int]]:
    if api_version < 4:
        return ()
    return (rest[2] if api_version >= 11 else rest[-2]) or ()
