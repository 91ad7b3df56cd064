"""A stage of another package, as its author would write it; `installed` puts it where Python finds its entry point."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

import topics
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.observability.metrics import Metrics
from pipeline.settings.base import Section
from pipeline.settings.model import Settings
from pipeline.stages.spec import Group, StageSpec
from topics.catalogue import Topic

if TYPE_CHECKING:
    from pipeline.core.records.kafka.columns import RecordColumns
    from pipeline.runtime.engine.stage import Stage, StageContext

MODULE = "cinnamon_echo"
ECHOES = "echoes"


class EchoSettings(Section):
    """How windows are echoed."""

    key = "echo"
    title = "Echo"

    prefix: str = Field("echo of ", title="Prefix", description="What stands before each value.")


class EchoFamilies:
    """What the stage alone counts."""

    def __init__(self, metrics: Metrics) -> None:
        self.echoed_records = metrics.counter("echoed_records", "Records echoed.", ("stage",))


class EchoStage:
    """Writes each record of ``metrics.agg`` to ``echoes``."""

    name = "echo"
    source_topic = topics.METRICS_AGG

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        from pipeline.runtime.kafka.producer import RecordProducer  # noqa: PLC0415  what runs is imported when it is

        self.group = settings[KafkaSettings].group(self.name)
        self._prefix = settings[EchoSettings].prefix.encode()
        self._families = EchoFamilies(metrics)
        self._producer = RecordProducer(settings[KafkaSettings])
        self._read: dict[int, int] = {}

    async def start(self, context: "StageContext") -> None:
        self._context = context

    async def assigned(self, _partitions: frozenset[int]) -> Mapping[int, int]:
        self._read = {}
        return {}

    async def revoked(self, _partitions: frozenset[int]) -> None:
        await self._commit()

    async def process(self, columns: "RecordColumns") -> None:
        for i in range(len(columns)):
            self._producer.produce(ECHOES, key=b"", value=self._prefix + (columns.value(i) or b""))
        self._families.echoed_records.labels(self.name).inc(len(columns))
        self._read[columns.partition] = columns.next_offset

    async def tick(self, _now_ms: int) -> None:
        await self._commit()

    async def stop(self) -> None:
        self._producer.close(5.0)

    async def _commit(self) -> None:
        if self._read:
            await self._producer.flushed(5.0)
            await self._context.commit(self._read)


def _build(settings: Settings, metrics: Metrics) -> "Sequence[Stage]":
    return [EchoStage(settings, metrics)]


SPEC = StageSpec(
    name="echo",
    summary="Echoes windows.",
    groups=(Group("echo", topics.METRICS_AGG),),
    writes=(ECHOES,),
    keeps="offsets",
    topics=(
        Topic(
            name=ECHOES,
            key="none",
            value="a window after a prefix",
            partitions=1,
            scales=False,
            cleanup="delete",
            retention_ms=3_600_000,
            written_by="echo",
            description="Echoes of windows.",
        ),
    ),
    sections=(EchoSettings,),
    metrics=EchoFamilies,
    build=_build,
)


def installed(folder: Path) -> Path:
    """Install this module as a package of its own into a folder, which is then put into ``PYTHONPATH``."""
    information = folder / f"{MODULE}-1.0.dist-info"
    information.mkdir(parents=True)
    shutil.copy(__file__, folder / f"{MODULE}.py")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: cinnamon-echo\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[cinnamon.stages]\necho = {MODULE}:SPEC\n")
    return folder
