"""The settings of a worker process; which stages there are is for the layer above to say, which knows them."""

from typing import Literal

from pydantic import Field

from pipeline.settings.base import PositiveDuration, Section
from pipeline.settings.files import MadeFolder


class WorkerSettings(Section):
    """What a worker process runs, and how it reports."""

    key = "worker"
    title = "Worker"

    stages: tuple[str, ...] = Field((), title="Stages", description="Stages to run.")
    web_host: str = Field(
        "127.0.0.1", min_length=1, title="Web host", description="Address for /metrics, /healthz and /readyz."
    )
    web_port: int = Field(6066, ge=0, le=65535, title="Web port", description="Port of the web server; 0: a free one.")
    checkpoint_interval_s: PositiveDuration = Field(
        2.0, le=600, title="Checkpoint interval", description="Seconds between checkpoints of a partition."
    )
    checkpoint_dir: MadeFolder | None = Field(
        None,
        title="Checkpoint directory",
        description="Where snapshots of state are kept beside Kafka, to be read faster.",
    )
    snapshot_interval_s: PositiveDuration = Field(
        60.0, le=3600, title="Snapshot interval", description="Seconds between snapshots of a partition's state."
    )
    stalled_after_s: PositiveDuration = Field(
        25.0,
        le=600,
        title="Stalled after",
        description="Seconds without progress, while input waits, until /healthz answers 503.",
    )
    log_level: Literal["debug", "info", "warn", "error"] = Field(
        "info", title="Log level", description="The least severe message that is logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text", title="Log format", description="Readable lines for a terminal, or JSON for a collector."
    )
