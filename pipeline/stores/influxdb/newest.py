"""What a bucket was last given, in bounded memory: the revision of each line, the newest chunk of each series."""

from typing import NamedTuple


class NewestRevisions:
    """Remembers the greatest revision written of each of the most recent windows.

    InfluxDB keeps what was written last, so an old record that arrives late (from a worker that was paused, say) must
    not reach it. The memory is bounded: a window is forgotten when ``windows`` others were written after it.

    Parameters
    ----------
    windows
        How many windows are remembered at least; up to twice as many are.
    """

    def __init__(self, windows: int) -> None:
        self._windows = windows
        self._recent: dict[bytes, int] = {}
        self._before: dict[bytes, int] = {}

    def is_superseded(self, window: bytes, revision: int) -> bool:
        """Return whether a greater revision of the window was written."""
        known = self._recent.get(window)
        if known is None:
            known = self._before.get(window, revision)
        return known > revision

    def remember(self, window: bytes, revision: int) -> None:
        """Note that this revision of the window was written; of several the greatest counts."""
        known = max(self._recent.get(window, revision), self._before.get(window, revision))
        if len(self._recent) >= self._windows:
            self._before, self._recent = self._recent, {}
        self._recent[window] = max(known, revision)


class WrittenChunk(NamedTuple):
    """A chunk that was written."""

    start_ms: int
    end_ms: int
    revision: int


class NewestChunks:
    """Remembers the newest chunk of each of the series that were written last.

    The memory is bounded: a series is forgotten when ``series`` others were written after it.

    Parameters
    ----------
    series
        How many series are remembered at least; up to twice as many are.
    """

    def __init__(self, series: int) -> None:
        self._series = series
        self._recent: dict[str, WrittenChunk] = {}
        self._before: dict[str, WrittenChunk] = {}

    def note(self, series: str, chunk: WrittenChunk) -> None:
        """Note that a chunk was written; an older one than the newest known changes nothing."""
        known = self._of(series)
        if known is not None and (known.start_ms, known.revision) > (chunk.start_ms, chunk.revision):
            chunk = known
        if len(self._recent) >= self._series and series not in self._recent:
            self._before, self._recent = self._recent, {}
        self._recent[series] = chunk

    def at(self, series: str, start_ms: int) -> WrittenChunk | None:
        """Return the chunk that begins then, if it is known."""
        known = self._of(series)
        return known if known is not None and known.start_ms == start_ms else None

    def is_doubtful(self, series: str, start_ms: int) -> bool:
        """Return whether something may be stored at that time that is not known here."""
        known = self._of(series)
        return known is None or start_ms < known.start_ms

    def _of(self, series: str) -> WrittenChunk | None:
        return self._recent.get(series) or self._before.get(series)
