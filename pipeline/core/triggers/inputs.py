"""What a policy evaluator is given: samples of ``metrics.raw``, and records of ``metrics.agg`` and ``anomalies``."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson

from pipeline.core.records.identity.interning import grown
from pipeline.core.records.identity.raw_samples import Samples, SeriesName
from pipeline.core.records.identity.resource import canonical_tags
from pipeline.core.triggers.evaluator import SAMPLES, PolicyEvaluator, TriggerSeries
from schemas.alert import AlertEvent

if TYPE_CHECKING:
    from pipeline.core.compiled import Array

__all__ = ["ANOMALY", "HOST", "INCIDENT", "WINDOW", "RawInput", "RecordInput", "RefusedRecord"]

WINDOW: Final = "window:"
"""What the sources of windows begin with."""
ANOMALY: Final = "anomaly"
"""The source of anomalies."""
_UNKNOWN: Final = -1
"""A series that the evaluator is to be asked about."""
HOST, INCIDENT = "host", "incident"
"""Measurement and field of what policies can ask for of a resource's incidents: their score, 0 when they are over."""


class RawInput:
    """Evaluates samples of ``metrics.raw``.

    Parameters
    ----------
    evaluator
        Evaluates them.
    """

    def __init__(self, evaluator: PolicyEvaluator) -> None:
        self._evaluator = evaluator
        self._numbers: Array = np.zeros(0, np.int64)
        self._known = 0
        self._some_unknown = False

    def evaluate(self, samples: Samples, names: Sequence[SeriesName]) -> list[AlertEvent]:
        """Evaluate samples whose series are places in ``names``, which only grows; return the events of that."""
        self._numbers = grown(self._numbers, len(names))
        for place in range(self._known, len(names)):
            self._ask(place, names)
        self._known = len(names)
        if self._some_unknown:
            places = np.unique(samples.series)
            for place in places[self._numbers[places] == _UNKNOWN].tolist():
                self._ask(place, names)
        return self._evaluator.evaluate(self._numbers[samples.series], samples.time_ms, samples.value, samples.offset)

    def forget(self, numbers: Sequence[int]) -> None:
        """Ask the evaluator anew about series that it has forgotten, when they come again."""
        gone = np.isin(self._numbers[: self._known], list(numbers))
        self._numbers[: self._known][gone] = _UNKNOWN
        self._some_unknown = self._some_unknown or bool(gone.any())

    def _ask(self, place: int, names: Sequence[SeriesName]) -> None:
        self._numbers[place] = self._evaluator.series(TriggerSeries(SAMPLES, *names[place]))


class _Value(NamedTuple):
    """What a record says of a series."""

    name: TriggerSeries
    start_ms: int
    end_ms: int
    value: float
    note: str = ""
    """What a reader should know of it."""


class RefusedRecord(NamedTuple):
    """A record that cannot be read."""

    offset: int
    message: str
    value: bytes


class RecordInput:
    """Evaluates records in JSON that hold values of windows.

    Parameters
    ----------
    evaluator
        Evaluates them.
    source
        `WINDOW` or `ANOMALY`: what the records are.

    Attributes
    ----------
    refused : list of RefusedRecord
        What could not be read, until the caller takes it.
    """

    def __init__(self, evaluator: PolicyEvaluator, source: str) -> None:
        self._evaluator = evaluator
        self._source = source
        self._read = _READERS[source]
        self.refused: list[RefusedRecord] = []

    def evaluate(self, records: Iterable[tuple[int, bytes]]) -> list[AlertEvent]:
        """Evaluate records with their offsets; return the events of that. What no policy is about is not read."""
        sources = sorted(source for source in self._evaluator.sources if source.startswith(self._source))
        if not sources:
            return []
        offsets: list[int] = []
        found: list[_Value] = []
        for offset, record in records:
            try:
                values = list(self._read(orjson.loads(record), sources))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                self.refused.append(RefusedRecord(offset, f"not what it should be: {error!r}"[:500], record))
                continue
            found += values
            offsets += [offset] * len(values)
        events = self._evaluator.evaluate(
            np.array([self._evaluator.series(value.name) for value in found], np.int64),
            np.array([value.end_ms for value in found], np.int64),
            np.array([value.value for value in found], np.float64),
            np.array(offsets, np.int64),
            np.array([value.start_ms for value in found], np.int64),
        )
        notes = {offset: value.note for offset, value in zip(offsets, found, strict=True) if value.note}
        return [_with_note(event, notes) for event in events] if notes else events


def _window_values(document: Any, sources: Sequence[str]) -> Iterator[_Value]:
    """Yield the functions of a window (`schemas.records.AggregatedWindow`) that are among the sources."""
    measurement, tags = str(document["measurement"]), canonical_tags(document["tags"])
    start_ms, end_ms = int(document["start_ms"]), int(document["end_ms"])
    for field, functions in document["fields"].items():
        for source in sources:
            value = functions.get(source.removeprefix(WINDOW))
            if value is not None:
                yield _Value(TriggerSeries(source, measurement, field, tags), start_ms, end_ms, float(value))


def _anomaly_values(document: Any, _sources: Sequence[str]) -> Iterator[_Value]:
    """Yield the score of a record of ``anomalies`` (`schemas.anomaly.Anomaly`), of a series or a host's incident."""
    tags = canonical_tags(document["tags"])
    start_ms, end_ms, score = int(document["start_ms"]), int(document["end_ms"]), float(document["score"])
    text = document.get("text") or ""
    if document["kind"] == HOST:
        is_over = document.get("state") == "ended"
        yield _Value(TriggerSeries(ANOMALY, HOST, INCIDENT, tags), start_ms, end_ms, 0.0 if is_over else score, text)
        return
    name = TriggerSeries(ANOMALY, str(document["measurement"]), str(document["field"]), tags)
    low, high = document.get("expected_low"), document.get("expected_high")
    if text:
        text = f"{text}: {float(document['value']):.6g}"
        if low is not None and high is not None:
            text += f", expected {float(low):.6g} to {float(high):.6g}"
    yield _Value(name, start_ms, end_ms, score, text)


def _with_note(event: AlertEvent, notes: Mapping[int, str]) -> AlertEvent:
    """Add to the text of an alert that is not over what its record says, if anything."""
    note = notes.get(event.evidence.offset) if event.evidence is not None and event.level is not None else None
    return event if note is None else event.model_copy(update={"text": f"{event.text}; {note}"})


_READERS: Final[Mapping[str, Callable[[Any, Sequence[str]], Iterator[_Value]]]] = {
    WINDOW: _window_values,
    ANOMALY: _anomaly_values,
}
"""What gives the values of a decoded record: KeyError, TypeError, ValueError or AttributeError if it is no such one."""
