"""The settings of the stage act: where secrets and scripts are, and how long it is patient."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.runtime.secrets.sealing import read_key_file
from pipeline.settings.base import PositiveDuration, Section, to_ms
from pipeline.settings.files import PathElsewhere, ReadFile, ReadFolder, SecretFile


class ActSettings(Section):
    """How people are notified, and scripts run."""

    key = "act"
    title = "Actions"
    renamed = {"tell_within_s": "notify_within_s"}  # noqa: RUF012  a ClassVar of the base

    secrets_dir: ReadFolder | None = Field(
        None, title="Secrets", description="The folder that holds channels' secrets, one a file."
    )
    secrets_key_file: SecretFile | None = Field(
        None, title="Key file", description="The control service's keys, which open the secrets that it has sealed."
    )
    scripts_dir: ReadFolder | None = Field(
        None, title="Scripts", description="The folder of scripts that may be run; none: no script is run."
    )
    scripts_user: str = Field(
        "nobody", min_length=1, max_length=100, title="Scripts' user", description="Who runs them, under root."
    )
    scripts_in: Literal["worker", "kubernetes"] = Field(
        "worker", title="Scripts in", description="Where scripts are run: beside the worker, or as Jobs of Kubernetes."
    )
    job_namespace: str = Field(
        "cinnamon-scripts", pattern=r"^[a-z0-9-]{1,63}$", title="Jobs' namespace", description="Where Jobs are made."
    )
    job_image: str | None = Field(
        None, min_length=1, max_length=500, title="Jobs' image", description="The image that holds the scripts."
    )
    job_folder: PathElsewhere = Field(Path("/scripts"), title="Jobs' folder", description="Where the image has them.")
    job_service_account: str = Field(
        "default",
        pattern=r"^[a-z0-9.-]{1,253}$",
        title="Jobs' account",
        description="Whom scripts act as in Kubernetes; the account default gets no token.",
    )
    job_cpu: str = Field("500m", pattern=r"^[0-9]{1,6}m?$", title="Jobs' CPU", description="What a script may use.")
    job_memory: str = Field(
        "256Mi", pattern=r"^[0-9]{1,6}(Ki|Mi|Gi)$", title="Jobs' memory", description="What a script may use."
    )
    job_keep_s: PositiveDuration = Field(
        3600.0, le=86_400, title="Keep Jobs", description="Seconds that a Job stays after its end."
    )
    ssl_ca_file: ReadFile | None = Field(
        None,
        title="CA file",
        description="PEM file of whom mail servers and webhooks are trusted by; none: the system.",
    )
    first_retry_s: PositiveDuration = Field(
        5.0, le=600, title="First retry", description="Seconds to the second attempt; then three times as long each."
    )
    longest_retry_s: PositiveDuration = Field(
        300.0, le=3600, title="Longest retry", description="Seconds between two attempts at most."
    )
    queue_messages: int = Field(
        10_000, ge=1, le=1_000_000, title="Queue", description="Messages that wait for one channel at most."
    )
    notify_within_s: PositiveDuration = Field(
        3600.0, le=30 * 86_400, title="Notify within", description="Seconds after which a message is not sent any more."
    )
    approve_within_s: PositiveDuration = Field(
        3600.0, le=7 * 86_400, title="Approve within", description="Seconds that a script waits for its approval."
    )

    @property
    def notify_within_ms(self) -> int:
        """How long a message may wait, in milliseconds."""
        return to_ms(self.notify_within_s)

    @property
    def approve_within_ms(self) -> int:
        """How long a script waits for its approval, in milliseconds."""
        return to_ms(self.approve_within_s)

    @model_validator(mode="after")
    def _has_an_image(self) -> Self:
        if self.scripts_in == "kubernetes" and self.job_image is None:
            raise ValueError("job_image is required with scripts_in: kubernetes")
        return self

    def content_checks(self) -> tuple[Callable[[], object], ...]:
        """Return what reads the keys (see `Section.content_checks`)."""
        if self.secrets_key_file is None:
            return ()
        return (partial(read_key_file, self.secrets_key_file, where="act.secrets_key_file"),)
