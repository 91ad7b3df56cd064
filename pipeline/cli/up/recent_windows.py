"""What the embedded store of a local pipeline has lately got, while the worker writes to it."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pipeline.cli.up.pipeline_state import ClosedWindow, StoredState
from pipeline.stores.base import SeriesPoint, Store, StoreUnavailable
from pipeline.stores.embedded.kind import file_store
from pipeline.stores.factory import open_store

SHOWN_FIELDS: Final = (
    ("cpu", "usage_active"),
    ("mem", "used_percent"),
    ("disk", "used_percent"),
    ("net", "bytes_recv"),
    ("diskio", "write_bytes"),
    ("system", "load1"),
)
_FUNCTIONS: Final = ("min", "max", "avg", "last")
_TELLING_TAGS: Final = ("path", "interface", "name")
_SERIES_READ: Final = 3000
_ROWS: Final = 60
_TOP: Final = 30
_SHORTEST_TOP_MS: Final = 60_000
_SHARE: Final = 10  # at most a tenth of the time goes into asking


class RecentWindows:
    """Asks a store now and then; in between it gives what it got last.

    Parameters
    ----------
    path
        The store's file, which may not be there yet.
    every_ms
        Size of a window.
    close_ms
        How long after its start a window is in the store at most, as a rule.
    since_ms
        Windows that ended before this, in UTC milliseconds, are another run's.
    """

    def __init__(self, path: Path, *, every_ms: int, close_ms: int, since_ms: int) -> None:
        self._store = file_store(path)
        self._every_ms = every_ms
        self._close_ms = close_ms
        self._since_ms = since_ms - every_ms
        self._top_span_ms = max(_SHORTEST_TOP_MS, 3 * every_ms)
        self._state = StoredState(span_ms=self._top_span_ms)
        self._next_s = 0.0

    def read(self, now_ms: int) -> StoredState:
        """Return what the store has at a moment in UTC milliseconds; large fleets are asked for less often."""
        begun_s = time.monotonic()
        if begun_s < self._next_s:
            return self._state
        try:
            store = open_store(self._store, read_only=True)
            try:
                self._state = self._ask(store, now_ms)
            finally:
                store.close()
        except StoreUnavailable:  # not made yet, or busy: what is known stays
            pass
        ended_s = time.monotonic()
        self._next_s = ended_s + max(1.0, _SHARE * (ended_s - begun_s))
        return self._state

    def _ask(self, store: Store, now_ms: int) -> StoredState:
        return StoredState(
            closed=self._closed(store, now_ms),
            top_cpu=self._top(store, "cpu", "usage_active", now_ms),
            top_memory=self._top(store, "mem", "used_percent", now_ms),
            span_ms=self._top_span_ms,
        )

    def _top(self, store: Store, measurement: str, field: str, now_ms: int) -> list[SeriesPoint]:
        start_ms = max(now_ms - self._top_span_ms - self._close_ms, self._since_ms)
        return store.query_top(measurement, field, "avg", start_ms=start_ms, end_ms=now_ms + 1, n=_TOP, by_tag="host")

    def _closed(self, store: Store, now_ms: int) -> list[ClosedWindow]:
        """Return windows of the newest cycle, the fields in turn, other series each cycle."""
        found = [self._newest(store, measurement, field, now_ms) for measurement, field in SHOWN_FIELDS]
        newest_ms = max((window.start_ms for windows in found for window in windows), default=0)
        by_field = [windows for windows in found if windows and windows[0].start_ms == newest_ms]
        if not by_field:
            return []
        cycle = newest_ms // self._every_ms
        rows = min(_ROWS, sum(len(windows) for windows in by_field))
        per_field = -(-rows // len(by_field))
        return [
            windows[(cycle * per_field + turn) % len(windows)]
            for turn in range(per_field)
            for windows in by_field
            if turn < len(windows)
        ]

    def _newest(self, store: Store, measurement: str, field: str, now_ms: int) -> list[ClosedWindow]:
        start_ms = max(now_ms - self._every_ms - self._close_ms, self._since_ms)
        answers = [
            store.query_range(
                measurement, field, function, start_ms=start_ms, end_ms=now_ms + 1, max_points=_SERIES_READ
            )
            for function in _FUNCTIONS
        ]
        newest_ms = max((point.start_ms for point in answers[0]), default=0)
        return list(self._joined(answers, newest_ms, f"{measurement}.{field}"))

    def _joined(self, answers: list[list[SeriesPoint]], newest_ms: int, field: str) -> Iterator[ClosedWindow]:
        minimum, maximum, average, last = (
            {_series(point.tags): point.value for point in points if point.start_ms == newest_ms} for points in answers
        )
        for series, least in minimum.items():
            if series in maximum and series in average and series in last:  # the worker writes between two questions
                yield ClosedWindow(
                    start_ms=newest_ms,
                    end_ms=newest_ms + self._every_ms,
                    series=series,
                    field=field,
                    minimum=least,
                    maximum=maximum[series],
                    average=average[series],
                    last=last[series],
                )


def _series(tags: Mapping[str, str]) -> str:
    """Return the host, and the tag that tells its series of one field apart."""
    parts = [tags.get("host", "?"), *(tags[name] for name in _TELLING_TAGS if name in tags)]
    return " ".join(parts)
