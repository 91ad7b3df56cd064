"""The settings of the stage act: where secrets and scripts are, and how long it is patient."""

from pathlib import Path

from pydantic import Field

from pipeline.runtime.settings_base import PositiveDuration, Section, to_ms


class ActSettings(Section):
    """How people are told, and scripts run."""

    secrets_dir: Path | None = Field(
        None, title="Secrets", description="The folder that holds channels' secrets, one a file."
    )
    secrets_key_file: Path | None = Field(
        None, title="Key file", description="The control service's keys, which open the secrets that it has sealed."
    )
    scripts_dir: Path | None = Field(
        None, title="Scripts", description="The folder of scripts that may be run; none: no script is run."
    )
    scripts_user: str = Field(
        "nobody", min_length=1, max_length=100, title="Scripts' user", description="Who runs them, under root."
    )
    ssl_ca_file: Path | None = Field(
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
    tell_within_s: PositiveDuration = Field(
        3600.0, le=30 * 86_400, title="Tell within", description="Seconds after which a message is not sent any more."
    )
    approve_within_s: PositiveDuration = Field(
        3600.0, le=7 * 86_400, title="Approve within", description="Seconds that a script waits for its approval."
    )

    @property
    def tell_within_ms(self) -> int:
        """How long a message may wait, in milliseconds."""
        return to_ms(self.tell_within_s)

    @property
    def approve_within_ms(self) -> int:
        """How long a script waits for its approval, in milliseconds."""
        return to_ms(self.approve_within_s)
