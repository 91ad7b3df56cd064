"""``metrics.agg`` → scores → ``anomalies``: one detector of many series a partition, its state in snapshots."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from zoneinfo import ZoneInfo

import topics
from pipeline.core.detection import state
from pipeline.core.detection.detector import DetectionOutput, DetectionSettings, PartitionDetector
from pipeline.core.detection.host import HostLimits
from pipeline.core.detection.rules import DetectionRules, Zones
from pipeline.core.policies import policy_of
from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.runtime.engine.stage import StageContext
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.state.snapshots import Snapshot
from pipeline.settings.model import Settings
from pipeline.stages.detect.metrics import DetectFamilies, DetectMetrics
from pipeline.stages.detect.settings import DetectSettings
from pipeline.stages.partitioned import PartitionedStage
from pipeline.stages.spec import Group
from schemas.catalogue import load_catalogue

STAGE = "detect"
RULES = "detection"
"""The kind of policies that it follows."""


def detection_settings(settings: Settings) -> DetectionSettings:
    """Return what the settings say of scoring."""
    detect = settings[DetectSettings]
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
    series: state.SeriesText = field(default_factory=state.SeriesText)

    def snapshot(self) -> Snapshot:
        """Return its state as it is now."""
        return state.snapshot(self.detector, self.next_offset, self.series)


class DetectStage(PartitionedStage[_Partition]):
    """Scores windows as detection rules and the metric catalogue say.

    Parameters
    ----------
    settings, metrics
        Of the process.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        super().__init__(Group(STAGE, topics.METRICS_AGG), state.STATE_VERSION, settings, metrics)
        detect = settings[DetectSettings]
        self._families = DetectFamilies(metrics)
        self._detection = detection_settings(settings)
        self._zones = Zones(detect.zone, detect.zones)
        self._policies = self._following({RULES: partial(policy_of, RULES)})
        self._rules = self._rules_of_now()
        self._rules_version = -1

    async def start(self, context: StageContext) -> None:
        """Keep the runtime's context, and read all rules before anything is scored."""
        await super().start(context)
        self._follow_rules()

    async def process(self, columns: RecordColumns) -> None:
        """Score a fetch's records, and queue what is reported."""
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
        await self._partitions.save(self._context)
        for _, partition in self._partitions:
            partition.metrics.update(partition.detector, now_ms=now_ms)

    def _partition(self, number: int, snapshot: Snapshot | None) -> _Partition:
        metrics = DetectMetrics(self._families, number)
        if snapshot is None:
            return _Partition(PartitionDetector(number, self._rules, self._detection, ZoneInfo), metrics, 0)
        detector = state.restore(snapshot, number, self._rules, self._detection, ZoneInfo)
        return _Partition(detector, metrics, snapshot.offset)

    def _follow_rules(self) -> None:
        version = self._policies.version
        if version == self._rules_version:
            return
        self._rules, self._rules_version = self._rules_of_now(), version
        for _, partition in self._partitions:
            partition.detector.follow(self._rules)

    def _rules_of_now(self) -> DetectionRules:
        return DetectionRules(load_catalogue(), self._zones, self._policies.policies(RULES).values())

    def _send(self, partition: int, detected: DetectionOutput) -> None:
        if detected.values:
            self._producer.produce_many(topics.ANOMALIES, detected.keys, detected.values)
        for record in detected.refused:
            self._dead_letters.reject(partition, record.offset, record.reason, record.message, record.value)


def _records(columns: RecordColumns) -> Iterator[tuple[int, bytes | None]]:
    offsets = columns.offset.tolist()
    return ((offset, columns.value(i)) for i, offset in enumerate(offsets))
