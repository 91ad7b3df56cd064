"""The integrated store from its settings: what keeps chunks, anomalies and alerts."""

from typing import TYPE_CHECKING

import topics
from pipeline.core.influx.events import ENCODERS
from pipeline.stores.base import HistoryStore, RecordStore
from pipeline.stores.embedded.history import EmbeddedChunks, EmbeddedEvents
from pipeline.stores.embedded.history_reading import EmbeddedHistoryReader
from pipeline.stores.factory import StoreOptions, influxdb_place, path_of

if TYPE_CHECKING:
    from pipeline.stores.influxdb.connection import InfluxConnection
    from pipeline.stores.influxdb.lines import RevisedLine, RevisedLines


def open_integrated(options: StoreOptions, topic: str) -> RecordStore:
    """Return what keeps the records of one topic, open.

    Parameters
    ----------
    options
        The store's section of the settings.
    topic
        ``metrics.downsampled``, ``anomalies`` or ``alerts``.

    Raises
    ------
    ValueError
        For another topic, or if something that the kind needs is missing.
    StoreUnavailable
        If the file of an embedded store cannot be opened. InfluxDB is first asked when it is used.
    """
    if topic != topics.METRICS_DOWNSAMPLED and topic not in ENCODERS:
        raise ValueError(f"the integrated store takes no records of {topic}")
    if options.kind == "embedded":
        path, retention_ms = path_of(options), options.retention_ms
        if topic == topics.METRICS_DOWNSAMPLED:
            return EmbeddedChunks(path, retention_ms=retention_ms)
        return EmbeddedEvents(path, topic, retention_ms=retention_ms)
    # half a second that an embedded store never needs
    from pipeline.stores.influxdb.connection import SMALL_GZIP_LEVEL, InfluxConnection  # noqa: PLC0415
    from pipeline.stores.influxdb.history import InfluxHistory  # noqa: PLC0415

    in_flight = options.requests_in_flight
    connection = InfluxConnection(**influxdb_place(options), gzip_level=SMALL_GZIP_LEVEL, connections=in_flight + 1)
    if topic == topics.METRICS_DOWNSAMPLED:
        return InfluxHistory(connection, batch_lines=options.batch_lines, requests_in_flight=in_flight)
    return influx_events(connection, topic, batch_lines=options.batch_lines, requests_in_flight=in_flight)


def open_history(options: StoreOptions) -> HistoryStore:
    """Return what gives back the chunks of the integrated store, open.

    Raises
    ------
    ValueError, StoreUnavailable
        As `open_integrated`; an embedded store's file must be there.
    """
    if options.kind == "embedded":
        return EmbeddedHistoryReader(path_of(options))
    from pipeline.stores.influxdb.connection import InfluxConnection  # noqa: PLC0415 - as above
    from pipeline.stores.influxdb.history_reading import InfluxHistoryReader  # noqa: PLC0415

    return InfluxHistoryReader(InfluxConnection(**influxdb_place(options)))


def influx_events(
    connection: "InfluxConnection", topic: str, *, batch_lines: int, requests_in_flight: int
) -> "RevisedLines":
    """Return what keeps ``anomalies`` or ``alerts`` in InfluxDB, a line each."""
    from pipeline.stores.influxdb.lines import RevisedLine, RevisedLines  # noqa: PLC0415 - as above

    encode = ENCODERS[topic]

    def encoded(record: bytes) -> "RevisedLine":
        line = encode(record)
        return RevisedLine(line.identity, line.revision, line.text)

    return RevisedLines(connection, encoded, batch_lines=batch_lines, requests_in_flight=requests_in_flight)
