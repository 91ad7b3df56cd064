"""When a policy would have fired on samples that a request brings: the evaluator of the live stage."""

from collections.abc import Sequence
from typing import Final

import orjson

from pipeline.core.records.identity.interning import WindowRule
from pipeline.core.records.identity.raw_samples import RawSamples
from pipeline.core.records.telegraf.parsed import TimestampUnit
from pipeline.core.records.telegraf.parser import ParseOptions, batch_of
from pipeline.core.triggers.evaluator import PolicyEvaluator
from pipeline.core.triggers.inputs import WINDOW, RawInput, RecordInput
from pipeline.core.windows.aggregator import PartitionAggregator
from pipeline.core.windows.output import WindowOutput
from pipeline.core.windows.rules import WindowRules
from schemas.alert import AlertEvent
from schemas.catalogue import load_catalogue
from schemas.trigger_policy import TriggerPolicy

__all__ = ["Sample", "SeriesSamples", "backtest"]

NO_CLOCK_MS: Final = 0
NEVER_AHEAD: Final = 1 << 61
GRACE_MS: Final = 10_000

Sample = tuple[int, float]
"""A sample: event time in milliseconds, and its value."""
SeriesSamples = tuple[str, str, dict[str, str], Sequence[Sample]]
"""Measurement, field, tags and samples."""


def backtest(policy: TriggerPolicy, series: Sequence[SeriesSamples], every_ms: int) -> list[AlertEvent]:
    """Return what somebody would have been notified of, by time.

    Parameters
    ----------
    policy
        Taken as if it were enabled.
    series
        What happened; samples of each in the order of their arrival.
    every_ms
        The size of windows, for policies on windows.
    """
    evaluator = PolicyEvaluator()
    evaluator.put_policy(policy.model_copy(update={"enabled": True}), at_ms=0)
    windows = RecordInput(evaluator, WINDOW)
    options = ParseOptions(influx_unit=TimestampUnit.MS, json_unit=TimestampUnit.MS, future_limit_ms=NEVER_AHEAD)
    counters = load_catalogue().counters
    rules = WindowRules(WindowRule(every_ms, GRACE_MS, every_ms))
    records = [
        orjson.dumps({"name": measurement, "fields": {field: value}, "tags": tags, "timestamp": time_ms})
        for measurement, field, tags, points in series
        for time_ms, value in points
    ]
    events: list[AlertEvent] = []
    if not records:
        return events

    def close(output: WindowOutput) -> None:
        events.extend(windows.evaluate((int(orjson.loads(value)["revision"]), value) for value in output.values))

    batch = batch_of(records, 0)
    raw, raw_input = RawSamples(options), RawInput(evaluator)
    latest_ms = max(time_ms for *_, points in series for time_ms, _ in points)
    for samples in raw.read(batch, 0, len(records), NO_CLOCK_MS):
        events += raw_input.evaluate(samples, raw.names)
    if any(source.startswith(WINDOW) for source in evaluator.sources):
        aggregator = PartitionAggregator(0, rules, lambda *source: source in counters, options)
        close(aggregator.add(batch, 0, len(records), NO_CLOCK_MS))
        close(aggregator.finish())
    events += evaluator.expire(latest_ms)
    return sorted(events, key=lambda event: event.time_ms)
