"""What a bank of triggers is given: samples of ``metrics.raw`` and records of ``metrics.agg``, by the bank's series."""

from collections.abc import Sequence

import numpy as np
import orjson

from pipeline.core.identity import canonical_tags
from pipeline.core.raw_samples import Samples
from pipeline.core.raw_samples import SeriesName as RawName
from pipeline.core.series import Array, grown
from pipeline.core.triggers import SAMPLES, SeriesName, TriggerBank
from schemas.alert import AlertEvent

__all__ = ["UNKNOWN", "WINDOW", "RawInput", "WindowInput"]

UNKNOWN = -1
"""A series that the bank was not asked about yet."""
WINDOW = "window:"
"""What the sources of windows begin with."""


class RawInput:
    """Evaluates samples of ``metrics.raw``.

    Parameters
    ----------
    bank
        Evaluates them.
    """

    def __init__(self, bank: TriggerBank) -> None:
        self._bank = bank
        self._numbers: Array = np.zeros(0, np.int64)
        self._known = 0

    def evaluate(self, samples: Samples, names: Sequence[RawName]) -> list[AlertEvent]:
        """Evaluate samples whose series are places in ``names``; give what there is to tell."""
        self._learn(names)
        return self._bank.evaluate(self._numbers[samples.series], samples.time_ms, samples.value, samples.offset)

    def forget(self, numbers: Sequence[int]) -> None:
        """Ask the bank anew about series that it has forgotten."""
        for place in np.flatnonzero(np.isin(self._numbers[: self._known], list(numbers))):
            self._numbers[place] = UNKNOWN

    def _learn(self, names: Sequence[RawName]) -> None:
        if len(names) == self._known:
            return
        self._numbers = grown(self._numbers, len(names))
        for place in range(self._known, len(names)):
            self._numbers[place] = self._bank.series(SeriesName(SAMPLES, *names[place]))
        self._known = len(names)


class WindowInput:
    """Evaluates the functions of windows that policies ask for.

    Parameters
    ----------
    bank
        Evaluates them.
    """

    def __init__(self, bank: TriggerBank) -> None:
        self._bank = bank

    def evaluate(self, values: Sequence[bytes], offsets: Sequence[int]) -> list[AlertEvent]:
        """Evaluate records of ``metrics.agg``; give what there is to tell.

        Parameters
        ----------
        values
            The records, JSON (`schemas.records.AggregatedWindow`).
        offsets
            Their offsets.

        Raises
        ------
        ValueError
            If one is no such record.
        """
        sources = sorted(source for source in self._bank.sources if source.startswith(WINDOW))
        if not sources:
            return []
        rows: list[tuple[int, int, float, int, int]] = []
        for value, offset in zip(values, offsets, strict=True):
            rows += self._rows(value, offset, sources)
        series, ends, numbers, at, starts = zip(*rows, strict=True) if rows else ((),) * 5
        return self._bank.evaluate(
            np.array(series, np.int64),
            np.array(ends, np.int64),
            np.array(numbers, np.float64),
            np.array(at, np.int64),
            np.array(starts, np.int64),
        )

    def _rows(self, value: bytes, offset: int, sources: Sequence[str]) -> list[tuple[int, int, float, int, int]]:
        try:
            window = orjson.loads(value)
            measurement, tags = window["measurement"], canonical_tags(window["tags"])
            start_ms, end_ms = window["start_ms"], window["end_ms"]
            return [
                (self._bank.series(SeriesName(source, measurement, field, tags)), end_ms, found, offset, start_ms)
                for field, values in window["fields"].items()
                for source in sources
                if (found := values.get(source.removeprefix(WINDOW))) is not None
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the record at offset {offset} is no window: {error!r}") from error
