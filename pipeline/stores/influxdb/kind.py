"""The kind ``influxdb``: a bucket of InfluxDB 2."""

from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.stores.kind import StoreDifference, StoreKind, StoreSetup

if TYPE_CHECKING:
    from pipeline.stores.influxdb.connection import InfluxConnection
    from pipeline.stores.influxdb.history import InfluxHistory
    from pipeline.stores.influxdb.history_reading import InfluxHistoryReader
    from pipeline.stores.influxdb.lines import RevisedLine, RevisedLines
    from pipeline.stores.influxdb.windows import InfluxStore
    from pipeline.stores.settings import StoreSettings

_DAY_MS = 86_400_000


class InfluxDB(StoreKind):
    """A bucket of InfluxDB 2. Its client takes half a second to import, which no other kind has to wait for."""

    name: ClassVar = "influxdb"
    summary: ClassVar = "A bucket of InfluxDB 2."
    needs: ClassVar = ("url", "org", "bucket")
    needs_one_of: ClassVar = ("token", "token_file")
    takes: ClassVar = ("gzip", "batch_lines", "timeout_s", "requests_in_flight")

    def open_windows(self, store: "StoreSettings", *, read_only: bool) -> "InfluxStore":  # noqa: ARG002  writing opens nothing
        """Return the store of windows: see `StoreKind.open_windows`. It is first asked when it is used."""
        from pipeline.stores.influxdb.windows import InfluxStore

        return InfluxStore(**_place(store), batch_lines=store.batch_lines, requests_in_flight=store.requests_in_flight)

    def open_chunks(self, store: "StoreSettings") -> "InfluxHistory":
        """Return what keeps chunks. It is first asked when it is used."""
        from pipeline.stores.influxdb.history import InfluxHistory

        return InfluxHistory(
            _small_requests(store), batch_lines=store.batch_lines, requests_in_flight=store.requests_in_flight
        )

    def open_events(self, store: "StoreSettings", topic: str) -> "RevisedLines":
        """Return what keeps the records of a topic, a line each. It is first asked when it is used."""
        return influx_events(
            _small_requests(store), topic, batch_lines=store.batch_lines, requests_in_flight=store.requests_in_flight
        )

    def open_history(self, store: "StoreSettings") -> "InfluxHistoryReader":
        """Return what gives back chunks. It is first asked when it is used."""
        from pipeline.stores.influxdb.connection import InfluxConnection
        from pipeline.stores.influxdb.history_reading import InfluxHistoryReader

        return InfluxHistoryReader(InfluxConnection(**_place(store)))

    def windows_deleted_after_ms(self, store: "StoreSettings") -> None:  # noqa: ARG002
        """Return None: InfluxDB deletes what its bucket's retention says."""
        return

    def check(self, store: "StoreSettings") -> list[StoreDifference]:
        """Return whether the bucket is missing, or keeps its points for another time."""
        from pipeline.stores.influxdb.bucket import InfluxBucket

        with InfluxBucket(_place(store)) as bucket:
            return _differences(store, bucket.retention_ms())

    def apply(self, store: "StoreSettings") -> StoreSetup:
        """Make the bucket if it is missing; lengthen its retention if it is too short."""
        from pipeline.stores.influxdb.bucket import InfluxBucket

        wanted_ms = store.retention_ms
        with InfluxBucket(_place(store)) as bucket:
            found_ms = bucket.retention_ms()
            if found_ms is None:
                bucket.create(wanted_ms or 0)
                return StoreSetup((f"made the bucket {bucket.name}, kept {_kept(wanted_ms or 0)}",))
            left = _differences(store, found_ms)
            if left and wanted_ms is not None and 0 < found_ms < wanted_ms:
                bucket.lengthen(wanted_ms)
                change = f"raised the retention of bucket {bucket.name} from {_kept(found_ms)} to {_kept(wanted_ms)}"
                return StoreSetup((change,))
            return StoreSetup(left=tuple(left))

    def ping(self, store: "StoreSettings") -> None:
        """Return if InfluxDB answers and takes the token for the bucket, whatever the store's role."""
        with closing(self.open_windows(store, read_only=True)) as opened:
            opened.ping()


def influx_events(
    connection: "InfluxConnection", topic: str, *, batch_lines: int, requests_in_flight: int
) -> "RevisedLines":
    """Return what keeps ``anomalies`` or ``alerts`` in a bucket, a line each."""
    from pipeline.core.influx.events import ENCODERS
    from pipeline.stores.influxdb.lines import RevisedLine, RevisedLines

    encode = ENCODERS[topic]

    def encoded(record: bytes) -> "RevisedLine":
        line = encode(record)
        return RevisedLine(line.identity, line.revision, line.text)

    return RevisedLines(connection, encoded, batch_lines=batch_lines, requests_in_flight=requests_in_flight)


def _place(store: "StoreSettings") -> dict[str, Any]:
    """Return what leads to the bucket, as `InfluxConnection` takes it."""
    token = store.read_token()
    if store.url is None or store.org is None or store.bucket is None or token is None:
        raise ValueError("an InfluxDB store needs url, org, bucket and a token")
    return {
        "url": store.url,
        "org": store.org,
        "bucket": store.bucket,
        "token": token,
        "compress": store.gzip,
        "timeout_s": store.timeout_s,
    }


def _small_requests(store: "StoreSettings") -> "InfluxConnection":
    """Return a connection for lines that repeat each other, with room for all requests and a question."""
    from pipeline.stores.influxdb.connection import SMALL_GZIP_LEVEL, InfluxConnection

    return InfluxConnection(**_place(store), gzip_level=SMALL_GZIP_LEVEL, connections=store.requests_in_flight + 1)


def _differences(store: "StoreSettings", found_ms: int | None) -> list[StoreDifference]:
    if found_ms is None:
        return [StoreDifference(store.name, "bucket", str(store.bucket), "missing")]
    wanted_ms = store.retention_ms
    if wanted_ms is None or wanted_ms == found_ms:
        return []
    return [StoreDifference(store.name, "retention", _kept(wanted_ms), _kept(found_ms))]


def _kept(retention_ms: int) -> str:
    return "for ever" if retention_ms == 0 else f"{retention_ms / _DAY_MS:g} d"
