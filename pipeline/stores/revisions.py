"""Which revision of each recent window a store was last given."""


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
