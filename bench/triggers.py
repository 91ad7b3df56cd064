"""What triggers cost: ``python -m bench.triggers [--series N]``.

Each row has policies of one kind over many series, and a sample of each series a batch, as when all agents send at
once.
The first rows are what a policy costs that matches nothing; storms are alerts that all fire or end at once.
"""

import argparse
import time
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.triggers.evaluator import SAMPLES, PolicyEvaluator, TriggerSeries
from schemas.trigger_policy import TriggerPolicy, trigger_policy

_BATCHES = 20
_FIELDS = 10
"""Fields of a machine."""
_LEVELS: dict[str, Any] = {
    "info": {"fire": 60, "reset": 50},
    "warn": {"fire": 70, "reset": 60},
    "critical": {"fire": 80, "reset": 70},
}


class Cost(NamedTuple):
    """What one row measured."""

    alerts: int
    put_s: float
    """CPU seconds to put all policies in force, before there are series."""
    series_us: float
    """CPU microseconds to find what matches a new series."""
    edit_ms: float
    """CPU milliseconds to put one more policy in force with all series there."""
    sample_ns: float
    """CPU nanoseconds a sample, all policies together."""
    evaluations_s: float
    """Samples compared with a policy, a second; 0 for none."""


def name_of(series: int) -> TriggerSeries:
    machine, field = divmod(series, _FIELDS)
    tags = {"host": f"vm-{machine}", "infra_id": f"m{machine % 100}", "node_id": f"vm-{machine}", "ns_id": "ns01"}
    return TriggerSeries(SAMPLES, "cpu", f"usage_{field}", tags)


def policy(number: int, **keys: Any) -> TriggerPolicy:
    return trigger_policy({"id": f"p{number:05d}", "levels": _LEVELS, "pending": "1m", "repeat": "1h"} | keys)


def of_nothing(number: int) -> TriggerPolicy:
    return policy(number, where={"measurement": "disk", "field": f"used_{number}"})


def of_a_machine(number: int) -> TriggerPolicy:
    return policy(number, where={"measurement": "cpu", "field": "usage_0"}, targets=[{"node_id": f"vm-{number}"}])


def of_a_field(number: int) -> TriggerPolicy:
    infra = [{"infra_id": f"m{number // _FIELDS % 100}"}]
    return policy(number, where={"measurement": "cpu", "field": f"usage_{number % _FIELDS}"}, targets=infra)


def measured(policies: list[TriggerPolicy], series: int, greatest: float = 50.0) -> Cost:
    """Return what policies cost over so many series, with values up to ``greatest``: 50 is below every level."""
    evaluator = PolicyEvaluator()
    began = time.process_time()
    for each in policies:
        evaluator.put_policy(each, at_ms=0)
    put_s = time.process_time() - began
    names = [name_of(number) for number in range(series)]
    began = time.process_time()
    numbers = np.array([evaluator.series(name) for name in names], np.int64)
    series_us = (time.process_time() - began) / series * 1e6
    began = time.process_time()
    evaluator.put_policy(of_nothing(99_999), at_ms=0)
    edit_ms = (time.process_time() - began) * 1e3
    values = np.random.default_rng(0).uniform(greatest - 10, greatest, (8, series))
    offsets = np.arange(series)
    evaluator.evaluate(numbers, np.zeros(series, np.int64), values[0], offsets)
    before = evaluator.counts.evaluations
    spent = time.process_time()
    for batch in range(_BATCHES):
        evaluator.evaluate(numbers, np.full(series, 10_000 * batch + 1), values[batch % 8], offsets)
    spent = time.process_time() - spent
    evaluations = evaluator.counts.evaluations - before
    return Cost(
        evaluator.alert_count, put_s, series_us, edit_ms, spent / (_BATCHES * series) * 1e9, evaluations / spent
    )


def storm_us() -> float:
    """Return CPU microseconds an event when 10,000 alerts fire at once, records made of them included."""
    evaluator = PolicyEvaluator()
    evaluator.put_policy(trigger_policy({"id": "p", "levels": _LEVELS}), at_ms=0)
    count = 10_000
    numbers = np.array([evaluator.series(name_of(number)) for number in range(count)])
    offsets = np.arange(count)
    evaluator.evaluate(numbers, np.zeros(count, np.int64), np.zeros(count), offsets)
    spent = time.process_time()
    events = evaluator.evaluate(numbers, np.ones(count, np.int64), np.full(count, 90.0), offsets)
    for event in events:
        event.to_json()
    return (time.process_time() - spent) / len(events) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=100_000)
    series = parser.parse_args().series
    measured([policy(0)], 100)
    print(f"{series:,} series, {_BATCHES} samples each")
    print("policies                  alerts  put s  match us/series  edit ms  ns/sample  M evaluations/s")
    rows = {
        "none": [],
        "1,000, match nothing": [of_nothing(number) for number in range(1000)],
        "10,000, match nothing": [of_nothing(number) for number in range(10_000)],
        "1, matches all": [policy(0)],
        "1,000, by infra and field": [of_a_field(number) for number in range(1000)],
        "10,000, by machine": [of_a_machine(number) for number in range(10_000)],
        "10, match all": [policy(number) for number in range(10)],
    }
    for text, policies in rows.items():
        cost = measured(policies, series)
        print(
            f"{text:24s}  {cost.alerts:7,d}  {cost.put_s:5.2f}  {cost.series_us:15.1f}  {cost.edit_ms:7.1f}"
            f"  {cost.sample_ns:9.1f}  {cost.evaluations_s / 1e6:15.1f}"
        )
    firing = measured([policy(0, pending="0s", repeat="0s")], series, greatest=100.0)
    print(f"1, all fire all the time: {firing.sample_ns:.1f} ns a sample")
    print(f"a storm: {storm_us():.1f} us an event, as JSON")


if __name__ == "__main__":
    main()
