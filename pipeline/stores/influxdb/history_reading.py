"""Chunks of down-sampled history back from InfluxDB 2."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.core.downsampling.curve import LINE, STEP, StoredChunk
from pipeline.core.influx.history import FIELD_TAG, RESERVED
from pipeline.core.influx.values import original_tags, renamed_tags
from pipeline.stores.base import LONGEST_CHUNK_MS, TagSet, check_points, first_needed
from pipeline.stores.influxdb.connection import InfluxConnection, tags_of, time_ms_of
from pipeline.stores.influxdb.flux import Selection, history_query

_KNOWN = ("n", "sum", "min", "max", "sigma", "gap", "last_ms", "span_ms")
_POINTS = ("value", "step")

_Rows = dict[TagSet, dict[int, dict[str, Any]]]
"""By series and time: the fields there."""


class InfluxHistoryReader:
    """Reads chunks from one bucket; any number of threads may ask.

    Parameters
    ----------
    connection
        The bucket; closed with this.
    """

    def __init__(self, connection: InfluxConnection) -> None:
        self._connection = connection

    def chunks(
        self, measurement: str, field: str, *, start_ms: int, end_ms: int, tags: Mapping[str, str] | None = None
    ) -> dict[TagSet, list[StoredChunk]]:
        """Return the chunks that a range needs, by series: see `HistoryStore.chunks`."""
        wanted = {**renamed_tags(tags or {}, RESERVED), FIELD_TAG: field}
        known = self._rows(measurement, _KNOWN, wanted, start_ms=start_ms - LONGEST_CHUNK_MS, end_ms=end_ms)
        bounds = {series: _needed(rows, start_ms) for series, rows in known.items()}
        if not bounds:
            return {}
        points = self._rows(measurement, _POINTS, wanted, start_ms=min(map(min, bounds.values())), end_ms=end_ms)
        found = {series: _chunks(starts, known[series], points.get(series, {})) for series, starts in bounds.items()}
        return {series: chunks for series, chunks in found.items() if chunks}

    def close(self) -> None:
        """Close the connections; a second call does nothing."""
        self._connection.close()

    def _rows(
        self, measurement: str, fields: tuple[str, ...], tags: Mapping[str, str], *, start_ms: int, end_ms: int
    ) -> _Rows:
        query = history_query(Selection(self._connection.bucket, measurement, start_ms, end_ms, tags), fields)
        found: _Rows = {}
        for count, row in enumerate(self._connection.rows(query)):
            check_points(count)
            series = tuple(sorted(original_tags(tags_of(row), RESERVED).items()))
            found.setdefault(series, {}).setdefault(time_ms_of(row), {})[row["_field"]] = row["_value"]
        return found


def _needed(rows: Mapping[int, Mapping[str, Any]], start_ms: int) -> list[int]:
    """Return the starts of the chunks that a range needs; at least one."""
    starts = sorted(time_ms for time_ms, fields in rows.items() if "span_ms" in fields)
    ends = [time_ms + rows[time_ms]["span_ms"] for time_ms in starts]
    return starts[first_needed(ends, start_ms) :]


def _chunks(
    starts: list[int], known: Mapping[int, Mapping[str, Any]], points: Mapping[int, Mapping[str, Any]]
) -> list[StoredChunk]:
    times = np.array(sorted(time_ms for time_ms, fields in points.items() if "value" in fields), np.int64)
    values = np.array([points[time_ms]["value"] for time_ms in times.tolist()], np.float64)
    steps = [points[time_ms].get("step") for time_ms in times.tolist()]
    interp = np.array([STEP if step else LINE for step in steps], np.uint8)
    found = []
    for start_ms in starts:
        fields = known[start_ms]
        end_ms = start_ms + fields["span_ms"]
        inside = slice(*np.searchsorted(times, (start_ms, end_ms)))
        if inside.start == inside.stop:
            continue
        found.append(
            StoredChunk(
                start_ms=start_ms,
                end_ms=end_ms,
                last_ms=fields["last_ms"],
                gap=fields.get("gap", False),
                count=fields["n"],
                sum=fields["sum"],
                min=fields.get("min", float(values[inside].min())),
                max=fields.get("max", float(values[inside].max())),
                sigma=fields.get("sigma", 0.0),
                times_ms=times[inside],
                values=values[inside],
                interp=interp[inside],
            )
        )
    return found
