"""``metrics.raw`` → windows → ``metrics.agg``: one aggregator a partition, and the checkpoint it restarts from."""

import asyncio
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

import topics
from pipeline.core.records.identity.interning import WindowRule
from pipeline.core.records.identity.rekeying import (
    ORIGIN_HEADER,
    RESOURCE_HEADER,
    Origin,
    OriginLedger,
    split_by_resource,
)
from pipeline.core.records.identity.resource import NO_RESOURCE
from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.core.records.telegraf.parser import RecordBatch
from pipeline.core.windows.aggregator import PartitionAggregator
from pipeline.core.windows.checkpoint import AggregateCheckpoint, CheckpointError
from pipeline.core.windows.output import WindowOutput
from pipeline.core.windows.rules import MatchingRule, WindowRules
from pipeline.runtime.engine.stage import StageContext
from pipeline.runtime.kafka.producer import FlushTimeoutError, RecordProducer
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.topic_identity import topic_id
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.settings import WorkerSettings
from pipeline.runtime.state.checkpoints import CheckpointStore
from pipeline.settings.model import Settings
from pipeline.stages.aggregate.metrics import AggregateFamilies, AggregateMetrics
from pipeline.stages.aggregate.settings import WindowsSettings
from pipeline.stages.dead_letters import DeadLetterWriter
from pipeline.stages.raw_input import parse_options
from schemas.catalogue import load_catalogue

logger = logging.getLogger(__name__)

STAGE = "aggregate"
CHECKPOINT_READ_TIMEOUT_S = 30.0
FLUSH_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0


def window_rules(settings: Settings) -> WindowRules:
    """Return the window rules that the settings describe."""
    windows = settings[WindowsSettings]
    return WindowRules(
        default=WindowRule(windows.every_ms, windows.grace_ms, windows.allowed_lateness_ms),
        idle_close_ms=windows.idle_close_ms,
        rules=tuple(
            MatchingRule(WindowRule(*windows.timing_of(rule)), rule.measurement, rule.tags) for rule in windows.rules
        ),
    )


@dataclass(slots=True)
class _Partition:
    """What the stage knows of one partition."""

    aggregator: PartitionAggregator
    origins: OriginLedger
    metrics: AggregateMetrics
    saved_s: float = field(default_factory=time.monotonic)
    processed_offset: int = 0
    saved_offset: int = -1
    caught_up: bool = False


class AggregateStage:
    """Aggregates raw metrics in event-time windows.

    Parameters
    ----------
    settings, metrics
        Of the process.
    """

    name = STAGE
    source_topic = topics.METRICS_RAW

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.group = settings[KafkaSettings].group(STAGE)
        self._settings = settings
        self._families = AggregateFamilies(metrics)
        self._rules = window_rules(settings)
        self._options = parse_options(settings)
        self._counters = load_catalogue().counters
        self._producer = RecordProducer(settings[KafkaSettings])
        self._checkpoints = CheckpointStore(settings[KafkaSettings], self._producer)
        self._dead_letters = DeadLetterWriter(STAGE, self.source_topic, self._producer, metrics)
        self._partitions: dict[int, _Partition] = {}
        self._home: dict[str, int] = {}
        self._log_id = ""
        self._context: StageContext | None = None

    async def start(self, context: StageContext) -> None:
        """Keep the runtime's context."""
        self._context = context

    async def assigned(self, partitions: frozenset[int]) -> Mapping[int, int]:
        """Restore partitions where their checkpoints say; without one, from the earliest record that Kafka has."""
        saved, self._log_id = await asyncio.gather(
            asyncio.to_thread(self._checkpoints.read_latest, [*map(_key, partitions)], CHECKPOINT_READ_TIMEOUT_S),
            asyncio.to_thread(topic_id, self._settings[KafkaSettings], self.source_topic, CHECKPOINT_READ_TIMEOUT_S),
        )
        self._partitions = {}
        self._home = {}
        starts = {}
        for partition in sorted(partitions):
            checkpoint = _read(partition, saved.get(_key(partition)), self._log_id)
            self._partitions[partition] = self._restored(partition, checkpoint)
            starts[partition] = 0 if checkpoint is None else checkpoint.offset
        return starts

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Save where the partitions stand, and let them go."""
        try:
            await self._save(partitions)
        finally:
            self._partitions = {}

    async def process(self, columns: RecordColumns) -> None:
        """Fold a fetch's records, and queue what they close."""
        now_ms = time.time_ns() // 1_000_000
        partition = self._partitions[columns.partition]
        aggregator = partition.aggregator
        if columns.unreadable:
            self._dead_letters.unreadable(columns)
        batch = RecordBatch(
            buffer=columns.buffer,
            value_start=columns.value_start,
            value_end=columns.value_end,
            offset=columns.offset,
            timestamp_ms=columns.timestamp_ms,
        )
        for first, last in self._foldable(columns, partition):
            self._send(columns.partition, aggregator.add(batch, first, last, now_ms))
        aggregator.advance(columns.next_offset, now_ms)
        partition.processed_offset = columns.next_offset
        partition.caught_up = columns.next_offset >= columns.high_watermark
        self._note_new_resources(columns.partition, aggregator)
        newest_ms = int(columns.timestamp_ms[-1]) if len(columns) else None
        partition.metrics.update(aggregator, len(columns), newest_ms, now_ms)

    async def tick(self, now_ms: int) -> None:
        """Close what is silent by the clock, and save what is due."""
        for number, partition in self._partitions.items():
            if partition.caught_up:
                self._send(number, partition.aggregator.rest(now_ms))
                partition.metrics.update(partition.aggregator, 0, None, now_ms)
        now_s = time.monotonic()
        interval_s = self._settings[WorkerSettings].checkpoint_interval_s
        due = [
            number
            for number, partition in self._partitions.items()
            if now_s - partition.saved_s >= interval_s and partition.saved_offset != partition.processed_offset
        ]
        if due:
            await self._save(due)
        for number, partition in self._partitions.items():
            age_s = now_s - partition.saved_s
            self._families.common.checkpoint_age_seconds.labels(STAGE, self.source_topic, str(number)).set(age_s)

    async def stop(self) -> None:
        """Let go of the connection."""
        await asyncio.to_thread(self._producer.close, CLOSE_TIMEOUT_S)

    def _restored(self, number: int, checkpoint: AggregateCheckpoint | None) -> _Partition:
        aggregator = PartitionAggregator(
            number,
            self._rules,
            lambda measurement, name: (measurement, name) in self._counters,
            self._options,
            checkpoint=checkpoint,
            dead_letter_late=self._settings[WindowsSettings].dead_letter_late,
        )
        metrics = AggregateMetrics(self._families, number, aggregator.balance)
        if checkpoint is None:
            return _Partition(aggregator, OriginLedger(), metrics)
        origins = OriginLedger(checkpoint.highest_offset, checkpoint.origins)
        return _Partition(aggregator, origins, metrics, processed_offset=checkpoint.highest_offset + 1)

    def _foldable(self, columns: RecordColumns, partition: _Partition) -> Iterator[tuple[int, int]]:
        """Yield the ranges of records to fold; what has no key is produced once more instead, with one."""
        count = len(columns)
        if (not count or int(columns.key_start.min()) >= 0) and not columns.header_count.any():
            yield 0, count
            return
        first = 0
        for i in np.flatnonzero((columns.key_start < 0) | (columns.header_count > 0)).tolist():
            if not self._is_foldable(columns, i, partition):
                yield first, i
                first = i + 1
        yield first, count

    def _is_foldable(self, columns: RecordColumns, i: int, partition: _Partition) -> bool:
        offset = int(columns.offset[i])
        headers = dict(columns.headers(i))
        if columns.key_start[i] >= 0:
            origin = Origin.from_bytes(headers.get(ORIGIN_HEADER, b""))
            return origin is None or partition.origins.is_new(offset, origin)
        if partition.aggregator.is_processed(offset):
            return False
        value = columns.value(i) or b""
        named = headers.get(RESOURCE_HEADER)
        parts, refusals = split_by_resource(value, self._options, named.decode("utf-8", "replace") if named else None)
        for number, (resource, part) in enumerate(parts.items()):
            origin = Origin(columns.partition, offset, number)
            self._producer.produce(
                self.source_topic,
                key=resource.encode(),
                value=part,
                headers=[(ORIGIN_HEADER, origin.to_bytes())],
                timestamp_ms=int(columns.timestamp_ms[i]),
            )
        for refusal in refusals:
            self._dead_letters.refuse(columns.partition, offset, refusal, value[refusal.start : refusal.end])
        self._families.rekeyed_records.labels(STAGE, self.source_topic, str(columns.partition)).inc()
        return False

    def _send(self, partition: int, output: WindowOutput) -> None:
        if output.values:
            self._producer.produce_many(topics.METRICS_AGG, output.keys, output.values)
        for part in output.refused:
            self._dead_letters.refuse(partition, part.offset, part.refusal, part.value)

    def _note_new_resources(self, number: int, aggregator: PartitionAggregator) -> None:
        """Report resources that another partition has as well: their windows would come out in halves."""
        for name in aggregator.new_resources():
            home = self._home.setdefault(name, number)
            if home != number and name != NO_RESOURCE:
                self._families.misplaced_resources.labels(STAGE).inc()
                logger.error(
                    "resource %s lies in partition %d and in %d of %s: its agent's routing key or partitioner is not"
                    " the fleet's, and its windows are not whole",
                    name,
                    home,
                    number,
                    self.source_topic,
                )

    async def _save(self, numbers: Collection[int]) -> None:
        """Save checkpoints when everything they speak for is acknowledged, then commit for the lag tools."""
        checkpoints = {
            number: replace(checkpoint, origins=self._partitions[number].origins.newest(), log_id=self._log_id)
            for number in numbers
            if number in self._partitions
            and (checkpoint := self._partitions[number].aggregator.checkpoint()) is not None
        }
        try:
            await self._producer.flushed(FLUSH_TIMEOUT_S)
            for number, checkpoint in checkpoints.items():
                self._checkpoints.write(_key(number), checkpoint.to_bytes())
            await self._producer.flushed(FLUSH_TIMEOUT_S)
        except FlushTimeoutError as error:
            logger.warning("nothing is saved, and the next try covers it: %s", error)
            return
        now_s = time.monotonic()
        for number in checkpoints:
            self._partitions[number].saved_s = now_s
            self._partitions[number].saved_offset = self._partitions[number].processed_offset
        if checkpoints and self._context is not None:
            await self._context.commit(
                {number: checkpoint.highest_offset + 1 for number, checkpoint in checkpoints.items()}
            )


def _key(partition: int) -> str:
    return f"{STAGE}/{partition}"


def _read(partition: int, saved: bytes | None, log_id: str) -> AggregateCheckpoint | None:
    if saved is None:
        logger.info("partition %d has no checkpoint: its windows begin with the earliest record there is", partition)
        return None
    try:
        checkpoint = AggregateCheckpoint.from_bytes(saved)
    except CheckpointError as error:
        logger.error(  # noqa: TRY400 - the message says it all
            "partition %d: %s; its windows are built anew from the earliest record there is", partition, error
        )
        return None
    if checkpoint.log_id and log_id and checkpoint.log_id != log_id:
        logger.error(
            "partition %d: %s was made anew since its checkpoint; its windows begin with the earliest record there is",
            partition,
            AggregateStage.source_topic,
        )
        return None
    return checkpoint
