"""Whether the databases are there and keep what they are given for as long as the settings say; and making them so."""

from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from pipeline.stores.embedded.history import open_history_file
from pipeline.stores.factory import StoreOptions, influxdb_place, open_store, path_of

_DAY_MS = 86_400_000


class NamedOptions(StoreOptions, Protocol):
    """A store's section of the settings."""

    @property
    def name(self) -> str:
        """The store's name."""
        ...

    @property
    def role(self) -> str:
        """``regional`` or ``integrated``."""
        ...


@dataclass(frozen=True, slots=True)
class StoreDifference:
    """One thing that is not as the settings have it."""

    store: str
    setting: str
    wanted: str
    found: str


@dataclass(frozen=True, slots=True)
class StoreSetup:
    """What `apply` did, and what it left alone."""

    done: tuple[str, ...] = ()
    left: tuple[StoreDifference, ...] = ()


def check(options: NamedOptions) -> list[StoreDifference]:
    """Return how a store's database differs from the settings.

    Parameters
    ----------
    options
        The store's section of the settings. Without ``retention_days`` any retention will do.

    Raises
    ------
    StoreUnavailable
        If the database does not answer, or the file is no store.
    ValueError
        If something that the kind needs is missing.
    """
    if options.kind == "embedded":
        path = path_of(options)
        if not path.exists():
            return [StoreDifference(options.name, "file", str(path), "missing")]
        _open_embedded(options, read_only=True)
        return []
    from pipeline.stores.influxdb.bucket import InfluxBucket  # noqa: PLC0415 - slow, and only for InfluxDB

    with InfluxBucket(influxdb_place(options)) as bucket:
        return _differences(options, bucket.retention_ms())


def apply(options: NamedOptions) -> StoreSetup:
    """Make what is missing, and lengthen a retention that is too short; delete nothing.

    Raises
    ------
    StoreUnavailable, ValueError
        As `check`.
    """
    if options.kind == "embedded":
        path = path_of(options)
        existed = path.exists()
        _open_embedded(options, read_only=existed)
        return StoreSetup() if existed else StoreSetup((f"made the file {path}",))
    from pipeline.stores.influxdb.bucket import InfluxBucket  # noqa: PLC0415 - slow, and only for InfluxDB

    wanted_ms = options.retention_ms
    with InfluxBucket(influxdb_place(options)) as bucket:
        found_ms = bucket.retention_ms()
        if found_ms is None:
            bucket.create(wanted_ms or 0)
            return StoreSetup((f"made the bucket {bucket.name}, kept {_kept(wanted_ms or 0)}",))
        left = _differences(options, found_ms)
        if left and wanted_ms is not None and 0 < found_ms < wanted_ms:
            bucket.lengthen(wanted_ms)
            change = f"raised the retention of bucket {bucket.name} from {_kept(found_ms)} to {_kept(wanted_ms)}"
            return StoreSetup((change,))
        return StoreSetup(left=tuple(left))


def ping(options: NamedOptions) -> None:
    """Return if a store's database answers and takes the credentials.

    Raises
    ------
    StoreUnavailable, ValueError
        As `check`.
    """
    if options.kind == "embedded":
        _open_embedded(options, read_only=True)
        return
    with closing(open_store(options)) as store:  # whatever its role: the bucket is asked
        store.ping()


def _differences(options: NamedOptions, found_ms: int | None) -> list[StoreDifference]:
    if found_ms is None:
        return [StoreDifference(options.name, "bucket", str(options.bucket), "missing")]
    wanted_ms = options.retention_ms
    if wanted_ms is None or wanted_ms == found_ms:
        return []
    return [StoreDifference(options.name, "retention", _kept(wanted_ms), _kept(found_ms))]


def _open_embedded(options: NamedOptions, *, read_only: bool) -> None:
    """Open a file, making it if it is not there, and close it."""
    if options.role == "integrated":
        open_history_file(path_of(options), read_only=read_only).close()
    else:
        open_store(options, read_only=read_only).close()


def _kept(retention_ms: int) -> str:
    return "for ever" if retention_ms == 0 else f"{retention_ms / _DAY_MS:g} d"
