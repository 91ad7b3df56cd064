"""What triggers read: each topic by a stage of its own, whose alerts are those of policies on what it holds."""

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np

import topics
from pipeline.core.records.identity.raw_samples import RawSamples
from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.core.triggers.evaluator import PolicyEvaluator
from pipeline.core.triggers.inputs import ANOMALY, WINDOW, RawInput, RecordInput, RefusedRecord
from pipeline.settings.model import Settings
from pipeline.stages.raw_input import keyed_records, parse_options
from schemas.alert import AlertEvent

__all__ = ["FEEDS", "Feed", "FeedInput"]


class FeedInput(Protocol):
    """Hands an evaluator what the records of one partition hold."""

    @property
    def refused(self) -> list[RefusedRecord]:
        """What could not be read and is nobody else's to refuse, until the caller takes it."""
        ...

    def take(self, columns: RecordColumns, now_ms: int) -> list[AlertEvent]:
        """Evaluate a fetch; return the events that it leads to."""
        ...

    def forget(self, numbers: list[int]) -> None:
        """Ask the evaluator anew about series that it has forgotten."""
        ...


Feed = Callable[[PolicyEvaluator, Settings], FeedInput]
"""Makes the input of one partition."""


class _Samples:
    """Raw samples; what is refused of them, ``aggregate`` hands to the dead letters."""

    def __init__(self, evaluator: PolicyEvaluator, settings: Settings) -> None:
        self.refused: list[RefusedRecord] = []
        self._raw = RawSamples(parse_options(settings))
        self._input = RawInput(evaluator)

    def take(self, columns: RecordColumns, now_ms: int) -> list[AlertEvent]:
        batch = keyed_records(columns)
        found: list[AlertEvent] = []
        for samples in self._raw.read(batch, 0, len(batch.offset), now_ms):
            found += self._input.evaluate(samples, self._raw.names)
        self._raw.refused.clear()
        return found

    def forget(self, numbers: list[int]) -> None:
        self._input.forget(numbers)


class _Values:
    """Records of windows or anomalies."""

    def __init__(self, evaluator: PolicyEvaluator, source: str) -> None:
        self._input = RecordInput(evaluator, source)

    @property
    def refused(self) -> list[RefusedRecord]:
        return self._input.refused

    def take(self, columns: RecordColumns, now_ms: int) -> list[AlertEvent]:
        there = np.flatnonzero(columns.value_start >= 0).tolist()
        return self._input.evaluate((int(columns.offset[i]), columns.value(i) or b"") for i in there)

    def forget(self, numbers: list[int]) -> None:
        """Do nothing: the evaluator is asked for each record."""


FEEDS: Final[dict[str, Feed]] = {
    topics.METRICS_RAW: _Samples,
    topics.METRICS_AGG: lambda evaluator, _: _Values(evaluator, WINDOW),
    topics.ANOMALIES: lambda evaluator, _: _Values(evaluator, ANOMALY),
}
"""How each topic is read."""
