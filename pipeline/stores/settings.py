"""The settings of the databases that windows are written to."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

import topics
from pipeline.settings.base import PositiveDuration, Section, read_secret_file
from pipeline.settings.files import MadeFile, SecretFile
from pipeline.settings.model import Settings

_DAY_MS = 86_400_000
INTEGRATED_TOPICS: Final = {
    "downsampled": topics.METRICS_DOWNSAMPLED,
    "anomalies": topics.ANOMALIES,
    "alerts": topics.ALERTS,
}
"""What the integrated store is given, each topic by a consumer group that ends with its name here."""


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ValueError("must not carry a user or password: use token or token_file")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must start with http:// or https:// and name a host")
    return url.rstrip("/")


class StoreSettings(Section):
    """A database that windows, or history and events, are written to."""

    key = "stores"
    title = "Stores"
    listed_as = "store"

    name: str = Field(
        pattern=r"^[a-z0-9-]{1,63}$", title="Name", description="Unique name; its consumer group ends with it."
    )
    kind: str = Field(title="Kind", description="Which kind of database, as influxdb or embedded.")
    role: Literal["regional", "integrated"] = Field(
        "regional", title="Role", description="Windows of regions, or the compressed history and events of all."
    )
    regions: tuple[str, ...] = Field(
        (), title="Regions", description="Globs of the regions it takes; empty: whatever no other store takes."
    )
    url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        None, title="URL", description="Where InfluxDB listens, as http://HOST:PORT."
    )
    org: str | None = Field(None, min_length=1, title="Organisation", description="InfluxDB's organisation.")
    bucket: str | None = Field(None, min_length=1, title="Bucket", description="InfluxDB's bucket.")
    token: SecretStr | None = Field(None, title="Token", description="InfluxDB's token.")
    token_file: SecretFile | None = Field(
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
    path: MadeFile | None = Field(None, title="Path", description="The SQLite file of an embedded store.")
    retention_days: float | None = Field(
        None,
        gt=0,
        le=36_500,
        allow_inf_nan=False,
        title="Retention",
        description="Days that it keeps; none: for ever, 7 days of windows in an embedded one.",
    )

    @property
    def retention_ms(self) -> int | None:
        """How long it keeps what it is given, as far as the settings say."""
        return None if self.retention_days is None else round(self.retention_days * _DAY_MS)

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if self.role == "integrated" and self.regions:
            raise ValueError("regions are for role regional: the integrated store takes the history of all")
        return self

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        from pipeline.stores.factory import KINDS, kind_of  # noqa: PLC0415  the kinds take these settings

        kind = kind_of(self)
        for other in KINDS.values():
            foreign = [name for name in (*other.needs, *other.needs_one_of) if name not in kind.options]
            surplus = [name for name in foreign if getattr(self, name) is not None]
            if surplus:
                raise ValueError(f"{', '.join(surplus)}: only for kind {other.name}")
        kind.check_options(self)
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

    @classmethod
    def check_together(cls, stores: Sequence[Self]) -> None:
        """Raise ValueError for stores of equal names, groups or files, and for two integrated ones."""
        names = [store.name for store in stores]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"stores must have different names, but {', '.join(twice)} is there twice")
        integrated = [store.name for store in stores if store.role == "integrated"]
        if len(integrated) > 1:
            raise ValueError(f"at most one store has role integrated, but {', '.join(integrated)} have it")
        alike = {f"{name}-{feed}" for name in integrated for feed in INTEGRATED_TOPICS}.intersection(names)
        if alike:
            raise ValueError(f"a store named {alike.pop()} would share a consumer group of the store {integrated[0]}")
        paths = [store.path for store in stores if store.path is not None]
        if len(set(paths)) < len(paths):
            raise ValueError("each embedded store needs a path of its own")


def regional_stores(settings: Settings) -> tuple[StoreSettings, ...]:
    """Return the stores that windows are written to."""
    return tuple(store for store in settings.listed(StoreSettings) if store.role == "regional")


def integrated_store(settings: Settings) -> StoreSettings | None:
    """Return the store of the compressed history, anomalies and alerts; none where there is none."""
    return next((store for store in settings.listed(StoreSettings) if store.role == "integrated"), None)
