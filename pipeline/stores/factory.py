"""One store from its settings."""

from pathlib import Path
from typing import Any, Protocol

from pipeline.stores.base import Store
from pipeline.stores.embedded.windows import EmbeddedStore

EMBEDDED_RETENTION_MS = 7 * 86_400_000
"""How long an embedded store keeps windows unless told otherwise: as long as ``metrics.agg`` keeps its records."""


class StoreOptions(Protocol):
    """What a store needs to know; the section of the settings for a store has this shape."""

    @property
    def kind(self) -> str:
        """``influxdb`` or ``embedded``."""
        ...

    @property
    def url(self) -> str | None:
        """Where InfluxDB listens."""
        ...

    @property
    def org(self) -> str | None:
        """InfluxDB's organisation."""
        ...

    @property
    def bucket(self) -> str | None:
        """InfluxDB's bucket."""
        ...

    @property
    def gzip(self) -> bool:
        """Whether requests are compressed."""
        ...

    @property
    def batch_lines(self) -> int:
        """Lines a request."""
        ...

    @property
    def timeout_s(self) -> float:
        """Seconds a request may take."""
        ...

    @property
    def requests_in_flight(self) -> int:
        """Requests that may wait for an answer at a time."""
        ...

    @property
    def path(self) -> Path | None:
        """The file of an embedded store."""
        ...

    @property
    def retention_ms(self) -> int | None:
        """How long it keeps what it is given, as far as the settings say."""
        ...

    def read_token(self) -> str | None:
        """Return InfluxDB's token."""
        ...


def open_store(options: StoreOptions, *, read_only: bool = False) -> Store:
    """Return the store of windows that the options describe, open.

    Parameters
    ----------
    options
        A store's section of the settings.
    read_only
        Whether an embedded store's file is only read; it must be there then.

    Raises
    ------
    ValueError
        If something that the kind needs is missing.
    StoreUnavailable
        If the file of an embedded store cannot be opened. InfluxDB is first asked when it is used.
    """
    if options.kind == "embedded":
        return EmbeddedStore(path_of(options), retention_ms=embedded_retention_ms(options), read_only=read_only)
    from pipeline.stores.influxdb.windows import InfluxStore  # noqa: PLC0415 - half a second that an embedded store never needs

    return InfluxStore(
        **influxdb_place(options), batch_lines=options.batch_lines, requests_in_flight=options.requests_in_flight
    )


def path_of(options: StoreOptions) -> Path:
    """Return the file of an embedded store; ValueError if none is given."""
    if options.path is None:
        raise ValueError("an embedded store needs a path")
    return options.path


def influxdb_place(options: StoreOptions) -> dict[str, Any]:
    """Return what leads to a bucket of InfluxDB, as `InfluxConnection` takes it.

    Raises
    ------
    ValueError
        If it is another kind of store, or something is missing.
    """
    if options.kind != "influxdb":
        raise ValueError(f"unknown kind of store {options.kind!r}: use influxdb or embedded")
    token = options.read_token()
    if options.url is None or options.org is None or options.bucket is None or token is None:
        raise ValueError("an InfluxDB store needs url, org, bucket and a token")
    return {
        "url": options.url,
        "org": options.org,
        "bucket": options.bucket,
        "token": token,
        "compress": options.gzip,
        "timeout_s": options.timeout_s,
    }


def embedded_retention_ms(options: StoreOptions) -> int:
    """Return how long an embedded store of windows keeps them."""
    return EMBEDDED_RETENTION_MS if options.retention_ms is None else options.retention_ms
