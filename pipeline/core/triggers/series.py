"""The series that triggers know, by number."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.records.identity.interning import grown
from pipeline.core.triggers.matching import TriggerSeries
from pipeline.core.triggers.records import series_text
from pipeline.core.triggers.state import NEVER

if TYPE_CHECKING:
    from pipeline.core.compiled import Array

__all__ = ["SeriesNumbers"]


class SeriesNumbers:
    """Series by number; the numbers of forgotten ones are given again.

    Attributes
    ----------
    seen_ms : int64[series]
        The newest event time of each.
    """

    def __init__(self) -> None:
        self.seen_ms: Array = np.zeros(0, np.int64)
        self._names: list[TriggerSeries | None] = []
        self._texts: list[str] = []
        self._numbers: dict[str, int] = {}
        self._free: list[int] = []

    @property
    def end(self) -> int:
        """The number above all that were given."""
        return len(self._names)

    def add(self, name: TriggerSeries) -> tuple[int, bool]:
        """Return the number of a series, and whether it is new."""
        text = series_text(name)
        number = self._numbers.get(text)
        if number is not None:
            return number, False
        if self._free:
            number = self._free.pop()
            self._names[number], self._texts[number] = name, text
        else:
            number = len(self._names)
            self._names.append(name)
            self._texts.append(text)
        self._numbers[text] = number
        self.seen_ms = grown(self.seen_ms, number + 1)
        self.seen_ms[number] = NEVER
        return number, True

    def drop(self, number: int) -> None:
        """Forget a series."""
        del self._numbers[self._texts[number]]
        self._names[number], self._texts[number] = None, ""
        self._free.append(number)

    def name(self, number: int) -> TriggerSeries:
        """Return what a series is called.

        Raises
        ------
        KeyError
            If it was forgotten.
        """
        name = self._names[number]
        if name is None:
            raise KeyError(number)
        return name

    def text(self, number: int) -> str:
        """Return what identifies a series, as JSON; empty if it was forgotten."""
        return self._texts[number]

    def of_source(self, source: str) -> Iterator[tuple[int, TriggerSeries]]:
        """Yield the series whose values come from there."""
        for number, name in enumerate(self._names):
            if name is not None and name.source == source:
                yield number, name

    def unseen_since(self, time_ms: int) -> list[int]:
        """Return the series that have sent nothing since."""
        old: list[int] = np.flatnonzero(self.seen_ms[: len(self._names)] < time_ms).tolist()
        return [number for number in old if self._names[number] is not None]
