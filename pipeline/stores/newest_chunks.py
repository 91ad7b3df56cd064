"""Which chunk of each series a store was last given."""

from typing import NamedTuple


class Written(NamedTuple):
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
        self._recent: dict[str, Written] = {}
        self._before: dict[str, Written] = {}

    def note(self, series: str, chunk: Written) -> None:
        """Note that a chunk was written; an older one than the newest known changes nothing."""
        known = self._of(series)
        if known is not None and (known.start_ms, known.revision) > (chunk.start_ms, chunk.revision):
            chunk = known
        if len(self._recent) >= self._series and series not in self._recent:
            self._before, self._recent = self._recent, {}
        self._recent[series] = chunk

    def at(self, series: str, start_ms: int) -> Written | None:
        """Return the chunk that begins then, if it is known."""
        known = self._of(series)
        return known if known is not None and known.start_ms == start_ms else None

    def is_doubtful(self, series: str, start_ms: int) -> bool:
        """Return whether something may be stored at that time that is not known here."""
        known = self._of(series)
        return known is None or start_ms < known.start_ms

    def _of(self, series: str) -> Written | None:
        return self._recent.get(series) or self._before.get(series)
