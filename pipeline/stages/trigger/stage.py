"""``metrics.raw``, ``metrics.agg``, ``anomalies`` → ``alerts``: one policy evaluator a partition, with snapshots."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

import topics
from pipeline.core.policies import policy_of
from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.core.triggers.evaluator import PolicyEvaluator, TriggerState
from pipeline.runtime.state.snapshots import Snapshot
from pipeline.settings.model import Settings
from pipeline.stages.partitioned import PartitionedStage
from pipeline.stages.spec import Group
from pipeline.stages.trigger.feeds import Feed, FeedInput
from pipeline.stages.trigger.metrics import TriggerFamilies, TriggerMetrics
from pipeline.stages.trigger.settings import TriggerSettings
from schemas.alert import AlertEvent
from schemas.reasons import DeadLetterReason

KIND = "trigger"
"""The kind of policies that it follows."""
STATE_VERSION = 1
FORGET_EVERY_S = 60.0
"""How often series are looked for that are to be forgotten."""
_SETTLED_MS = 2000
"""What the clock is ahead of what a partition without waiting records is known to hold."""
_LATE_TICK_MS = 1000
"""A tick so long after the one before comes before what was fetched meanwhile: it decides nothing by the clock."""


@dataclass(slots=True)
class _Partition:
    """What the stage knows of one partition."""

    evaluator: PolicyEvaluator
    input: FeedInput
    metrics: TriggerMetrics
    next_offset: int
    record_ms: int = 0
    """Kafka's time up to which all records are known."""
    forgotten_s: float = field(default_factory=time.monotonic)

    def snapshot(self) -> Snapshot:
        """Return its state as it is now."""
        state = self.evaluator.snapshot()
        return Snapshot(self.next_offset, state.records, state.arrays)


class TriggerStage(PartitionedStage[_Partition]):
    """Evaluates trigger policies over the records of one topic.

    Parameters
    ----------
    settings
        Of the process.
    families
        The stage's metrics.
    group
        The topic, and the stage's name.
    feed
        How the topic is read.
    """

    def __init__(self, settings: Settings, families: TriggerFamilies, group: Group, feed: Feed) -> None:
        super().__init__(group, STATE_VERSION, settings, families.common)
        self._settings = settings
        self._families = families
        self._feed = feed
        self._log = self._following({KIND: partial(policy_of, KIND)})
        self._policies_version = -1
        self._ticked_ms = 0

    async def assigned(self, partitions: frozenset[int]) -> Mapping[int, int]:
        """Restore partitions where their snapshots say; without one, from the earliest record that Kafka has."""
        offsets = await super().assigned(partitions)
        self._policies_version = self._log.version
        for number, partition in self._partitions:
            self._follow(number, partition, time.time_ns() // 1_000_000)
        return offsets

    async def process(self, columns: RecordColumns) -> None:
        """Evaluate a fetch's records, and send what they lead to at once."""
        partition = self._partitions[columns.partition]
        now_ms = time.time_ns() // 1_000_000
        if columns.unreadable and self.source_topic != topics.METRICS_RAW:
            self._dead_letters.unreadable(columns)
        self._send(partition, partition.input.take(columns, now_ms))
        for record in partition.input.refused:
            self._dead_letters.reject(
                columns.partition, record.offset, DeadLetterReason.PARSE_SYNTAX, record.message, record.value
            )
        partition.input.refused.clear()
        partition.next_offset = columns.next_offset
        if len(columns):
            # one clock that is ahead must not make all others silent
            partition.record_ms = max(partition.record_ms, min(now_ms, int(np.median(columns.timestamp_ms))))
        partition.metrics.update(partition.evaluator, columns, now_ms)

    async def tick(self, now_ms: int) -> None:
        """Follow policies, notice silence, commit what snapshots cover, and begin the next one."""
        if self._log.version != self._policies_version:
            self._policies_version = self._log.version
            for number, partition in self._partitions:
                self._follow(number, partition, now_ms)
        is_late, self._ticked_ms = now_ms - self._ticked_ms > _LATE_TICK_MS, now_ms
        for number, partition in self._partitions:
            is_idle = not is_late and self._is_idle(number)
            silent = partition.evaluator.expire(now_ms - _SETTLED_MS if is_idle else partition.record_ms)
            self._send_and_save(number, partition, silent)
            self._forget(partition)
            partition.metrics.show(partition.evaluator)
        await self._partitions.save(self._context)

    def _is_idle(self, number: int) -> bool:
        """Return whether all that the partition holds is evaluated, so that the clock may decide on silence."""
        context = self._context
        return context is not None and context.owns_partitions() and context.waiting_records(number) == 0

    def _forget(self, partition: _Partition) -> None:
        if time.monotonic() - partition.forgotten_s >= FORGET_EVERY_S:
            partition.forgotten_s = time.monotonic()
            partition.input.forget(
                partition.evaluator.forget(partition.record_ms - self._settings[TriggerSettings].expire_after_ms)
            )

    def _follow(self, number: int, partition: _Partition, now_ms: int) -> None:
        """Put the policies of now in force."""
        wanted = self._log.policies(KIND)
        known = {policy.id: policy for policy in partition.evaluator.policies}
        for name in known.keys() - wanted.keys():
            self._send_and_save(number, partition, partition.evaluator.delete_policy(name, at_ms=now_ms))
        for name, policy in wanted.items():
            if known.get(name) is not policy and known.get(name) != policy:
                self._send_and_save(number, partition, partition.evaluator.put_policy(policy, at_ms=now_ms))

    def _partition(self, number: int, snapshot: Snapshot | None) -> _Partition:
        if snapshot is None:
            evaluator = PolicyEvaluator(number)
        else:
            evaluator = PolicyEvaluator.restore(TriggerState(dict(snapshot.records), dict(snapshot.arrays)), number)
        metrics = TriggerMetrics(self._families, self.name, self.source_topic, number)
        next_offset = 0 if snapshot is None else snapshot.offset
        return _Partition(evaluator, self._feed(evaluator, self._settings), metrics, next_offset)

    def _send_and_save(self, number: int, partition: _Partition, events: Sequence[AlertEvent]) -> None:
        """Send events that no record led to: the next snapshot must have them although the offset has not moved."""
        if events:
            self._send(partition, events)
            self._partitions.outdate(number)

    def _send(self, partition: _Partition, events: Sequence[AlertEvent]) -> None:
        if events:
            self._producer.produce_many(
                topics.ALERTS, [event.key().encode() for event in events], [event.to_json() for event in events]
            )
            partition.metrics.count(events)
