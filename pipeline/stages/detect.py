"""``metrics.agg`` → verdicts → ``anomalies``: one bank of detectors a partition, its state in snapshots."""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from zoneinfo import ZoneInfo

import topics
from pipeline.core.detection.detector import Detected, DetectionSettings, PartitionDetector
from pipeline.core.detection.host import HostLimits
from pipeline.core.detection.rules import DetectionRules, Zones
from pipeline.core.detection.state import STATE_VERSION, DetectionStateError, SeriesText, restored, snapshot_of
from pipeline.core.policies import policy_of
from pipeline.core.records.batch import RecordColumns
from pipeline.runtime.metrics import Metrics
from pipeline.runtime.policy_log import PolicyLog
from pipeline.runtime.producer import RecordProducer
from pipeline.runtime.settings import Settings
from pipeline.runtime.snapshots import Snapshot, SnapshotStore
from pipeline.runtime.stage import StageContext
from pipeline.runtime.topic_identity import topic_id
from pipeline.stages.dead_letters import DeadLetters
from pipeline.stages.detect_metrics import DetectMetrics
from schemas.catalogue import load_catalogue

logger = logging.getLogger(__name__)

STAGE = "detect"
RULES = "detection"
"""The kind of policies that it follows."""
READ_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 5.0
_LOG_ID = "log-id"


def detection_settings(settings: Settings) -> DetectionSettings:
    """Give what the settings say of judging."""
    detect = settings.detect
    return DetectionSettings(
        sample_interval_ms=detect.sample_interval_ms,
        expire_after_ms=detect.expire_after_ms,
        most_named=detect.max_river_series,
        host=HostLimits(detect.host_share, detect.host_series, detect.host_together_ms),
    )


@dataclass(slots=True)
class _Partition:
    """What the stage knows of one partition."""

    detector: PartitionDetector
    metrics: DetectMetrics
    next_offset: int
    series: SeriesText = field(default_factory=SeriesText)
    saved_s: float = field(default_factory=time.monotonic)


class DetectStage:
    """Judges windows as detection rules and the metric catalogue say.

    Parameters
    ----------
    settings, metrics
        Of the process.
    """

    name = STAGE
    source_topic = topics.METRICS_AGG

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.group = f"{settings.kafka.group_prefix}-{STAGE}"
        self._kafka = settings.kafka
        self._metrics = metrics
        self._detection = detection_settings(settings)
        self._zones = Zones(settings.detect.zone, settings.detect.zones)
        self._policies = PolicyLog(settings.kafka, metrics, STAGE, {RULES: partial(policy_of, RULES)})
        self._producer = RecordProducer(settings.kafka)
        self._snapshots = SnapshotStore(STAGE, STATE_VERSION, settings, metrics, results=self._producer)
        self._dead_letters = DeadLetters(STAGE, self.source_topic, self._producer, metrics)
        self._partitions: dict[int, _Partition] = {}
        self._rules = self._rules_of_now()
        self._rules_version = -1
        self._log_id = ""
        self._context: StageContext | None = None

    async def start(self, context: StageContext) -> None:
        """Keep the runtime's context, and read all rules before anything is judged."""
        self._context = context
        await asyncio.to_thread(self._policies.start, READ_TIMEOUT_S)
        self._follow_rules()

    async def assigned(self, partitions: frozenset[int]) -> Mapping[int, int]:
        """Take partitions over where their snapshots say; without one, from the earliest record that Kafka has."""
        self._log_id = await asyncio.to_thread(topic_id, self._kafka, self.source_topic, READ_TIMEOUT_S)
        found = await self._snapshots.read(partitions)
        self._partitions = {number: self._take_over(number, snapshot) for number, snapshot in found.items()}
        return {number: partition.next_offset for number, partition in self._partitions.items()}

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Save where the partitions stand, and let them go."""
        try:
            snapshots = {number: self._snapshot(partition) for number, partition in self._partitions.items()}
            covered = await self._snapshots.save(snapshots)
            if covered and self._context is not None:
                await self._context.commit(covered)
        finally:
            self._partitions = {}

    async def process(self, columns: RecordColumns) -> None:
        """Judge a fetch's records, and queue what is to be told."""
        partition = self._partitions[columns.partition]
        if columns.unreadable:
            self._dead_letters.unreadable(columns)
        self._send(columns.partition, partition.detector.add(_records(columns)))
        partition.next_offset = columns.next_offset
        newest_ms = int(columns.timestamp_ms[-1]) if len(columns) else None
        now_ms = time.time_ns() // 1_000_000
        partition.metrics.update(partition.detector, records=len(columns), newest_record_ms=newest_ms, now_ms=now_ms)

    async def tick(self, now_ms: int) -> None:
        """Put changed rules in force, commit what snapshots cover, and begin the next one."""
        self._follow_rules()
        if covered := self._snapshots.saved():
            for number in covered.keys() & self._partitions.keys():  # one may have been revoked meanwhile
                self._partitions[number].saved_s = time.monotonic()
            if self._context is not None:
                await self._context.commit(covered)
        due = self._snapshots.due({number: each.next_offset for number, each in self._partitions.items()})
        if due is not None:
            await self._snapshots.begin(due, self._snapshot(self._partitions[due]))
        for number, partition in self._partitions.items():
            partition.metrics.update(partition.detector, now_ms=now_ms)
            age_s = time.monotonic() - partition.saved_s
            self._metrics.checkpoint_age_seconds.labels(STAGE, self.source_topic, str(number)).set(age_s)

    async def stop(self) -> None:
        """Let go of the connections."""
        await asyncio.to_thread(self._policies.close)
        await self._snapshots.close()
        await asyncio.to_thread(self._producer.close, CLOSE_TIMEOUT_S)

    def _take_over(self, number: int, snapshot: Snapshot | None) -> _Partition:
        metrics = DetectMetrics(self._metrics, number)
        if snapshot is not None:
            try:
                return _Partition(self._restored(number, snapshot), metrics, snapshot.offset)
            except DetectionStateError as error:
                self._metrics.unusable_snapshots.labels(STAGE, "content").inc()
                logger.error(  # noqa: TRY400 - the message says it all
                    "partition %d: %s; it begins anew with the earliest record there is", number, error
                )
        return _Partition(PartitionDetector(number, self._rules, self._detection, ZoneInfo), metrics, 0)

    def _restored(self, number: int, snapshot: Snapshot) -> PartitionDetector:
        log_id = snapshot.records.get(_LOG_ID, b"").decode("utf-8", "replace")
        if log_id and self._log_id and log_id != self._log_id:
            raise DetectionStateError(f"{self.source_topic} was made anew since the snapshot")
        return restored(snapshot, number, self._rules, self._detection, ZoneInfo)

    def _snapshot(self, partition: _Partition) -> Snapshot:
        snapshot = snapshot_of(partition.detector, partition.next_offset, partition.series)
        return replace(snapshot, records={**snapshot.records, _LOG_ID: self._log_id.encode()})

    def _follow_rules(self) -> None:
        version = self._policies.version
        if version == self._rules_version:
            return
        self._rules, self._rules_version = self._rules_of_now(), version
        for partition in self._partitions.values():
            partition.detector.follow(self._rules)

    def _rules_of_now(self) -> DetectionRules:
        return DetectionRules(load_catalogue(), self._zones, self._policies.policies(RULES).values())

    def _send(self, partition: int, detected: Detected) -> None:
        if detected.values:
            self._producer.produce_many(topics.ANOMALIES, detected.keys, detected.values)
        for record in detected.refused:
            self._dead_letters.reject(partition, record.offset, record.reason, record.message, record.value)


def _records(columns: RecordColumns) -> Iterator[tuple[int, bytes | None]]:
    offsets = columns.offset.tolist()
    return ((offset, columns.value(i)) for i, offset in enumerate(offsets))
