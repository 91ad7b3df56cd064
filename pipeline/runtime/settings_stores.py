"""The settings of the databases that windows are written to."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from pipeline.runtime.settings_base import PositiveDuration, Section, read_secret_file


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ValueError("must not carry a user or password: use token or token_file")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must start with http:// or https:// and name a host")
    return url.rstrip("/")


class StoreSettings(Section):
    """One database that windows are written to."""

    name: str = Field(
        pattern=r"^[a-z0-9-]{1,63}$", title="Name", description="Unique name; its consumer group ends with it."
    )
    kind: Literal["influxdb", "embedded"] = Field(title="Kind", description="InfluxDB 2, or a SQLite file of our own.")
    regions: tuple[str, ...] = Field(
        (), title="Regions", description="Globs of the regions it takes; empty: whatever no other store takes."
    )
    url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        None, title="URL", description="Where InfluxDB listens, as http://HOST:PORT."
    )
    org: str | None = Field(None, min_length=1, title="Organisation", description="InfluxDB's organisation.")
    bucket: str | None = Field(None, min_length=1, title="Bucket", description="InfluxDB's bucket.")
    token: SecretStr | None = Field(None, title="Token", description="InfluxDB's token.")
    token_file: Path | None = Field(
        None, title="Token file", description="A file that holds the token, instead of token."
    )
    gzip: bool = Field(
        default=False, title="Compression", description="Whether requests are compressed: only over a slow network."
    )
    batch_lines: int = Field(
        5000, ge=1, le=100_000, title="Batch size", description="Lines of line protocol a request."
    )
    timeout_s: PositiveDuration = Field(10.0, le=600, title="Time-out", description="Seconds a request may take.")
    requests_in_flight: int = Field(
        2, ge=1, le=64, title="Requests in flight", description="Requests that may wait for an answer at a time."
    )
    path: Path | None = Field(None, title="Path", description="The SQLite file of an embedded store.")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        influxdb_only = {"url": self.url, "org": self.org, "bucket": self.bucket}
        if self.kind == "influxdb":
            missing = [name for name, value in influxdb_only.items() if value is None]
            if missing:
                raise ValueError(f"kind influxdb needs {', '.join(missing)}")
            if (self.token is None) == (self.token_file is None):
                raise ValueError("kind influxdb needs either token or token_file")
            if self.path is not None:
                raise ValueError("path is for kind embedded")
            return self
        surplus = [name for name, value in influxdb_only.items() if value is not None]
        surplus += ["token"] if self.token is not None else []
        surplus += ["token_file"] if self.token_file is not None else []
        if surplus:
            raise ValueError(f"{', '.join(surplus)}: only for kind influxdb")
        if self.path is None:
            raise ValueError("kind embedded needs path")
        return self

    def read_token(self) -> str | None:
        """Return InfluxDB's token, from its file where one is named; none for an embedded store.

        Raises
        ------
        SettingsError
            If the file cannot be read.
        """
        if self.token_file is not None:
            return read_secret_file(self.token_file, where=f"stores.{self.name}.token_file")
        return None if self.token is None else self.token.get_secret_value()
