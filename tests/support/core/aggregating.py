"""One partition's aggregation as the tests of its rules speak of it: lines at seconds, windows by host and second."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pipeline.core.records.identity.interning import WindowRule
from pipeline.core.records.telegraf.parser import ParseOptions, batch_of
from pipeline.core.windows.aggregator import PartitionAggregator
from pipeline.core.windows.checkpoint import AggregateCheckpoint
from pipeline.core.windows.output import WindowOutput
from pipeline.core.windows.rules import MatchingRule, WindowRules

BASE_MS = 1_699_999_980_000
"""Second 0 of these tests: the start of a minute."""
NOW_MS = BASE_MS + 10**12

Record = dict[str, Any]


def rules_of(
    *,
    every_s: float = 10,
    grace_s: float = 0,
    allowed_lateness_s: float = 10,
    idle_close_s: float = 10,
    **more: WindowRule,
) -> WindowRules:
    """Return rules; ``more`` are rules by measurement."""
    return WindowRules(
        default=rule(every_s, grace_s, allowed_lateness_s),
        idle_close_ms=int(idle_close_s * 1000),
        rules=[MatchingRule(each, measurement=measurement) for measurement, each in more.items()],
    )


def rule(every_s: float, grace_s: float, allowed_lateness_s: float) -> WindowRule:
    return WindowRule(int(every_s * 1000), int(grace_s * 1000), int(allowed_lateness_s * 1000))


def line(host: str, at_s: float, fields: str = "v=1", measurement: str = "m", **tags: str) -> bytes:
    """Return a line of line protocol of ``host`` at second ``at_s``."""
    key = ",".join([measurement, f"host={host}", *(f"{name}={value}" for name, value in tags.items())])
    return f"{key} {fields} {(BASE_MS + round(at_s * 1000)) * 1_000_000}".encode()


class Partition:
    """A partition under test: offsets count up by themselves; fields called ``c`` or ``c…`` are counters."""

    def __init__(
        self,
        rules: WindowRules,
        *,
        checkpoint: AggregateCheckpoint | None = None,
        options: ParseOptions | None = None,
        dead_letter_late: bool = False,
    ) -> None:
        self.offset = 0 if checkpoint is None else checkpoint.offset
        self.restarted = checkpoint is not None
        self.last_output = WindowOutput()
        self.aggregator = PartitionAggregator(
            7,
            rules,
            lambda _, name: name.startswith("c"),
            options,
            checkpoint=checkpoint,
            dead_letter_late=dead_letter_late,
        )

    def feed(self, *values: bytes, timestamps_ms: Sequence[int] | None = None, now_ms: int = NOW_MS) -> list[Record]:
        """Add records in one call; give what was emitted."""
        batch = batch_of(list(values), self.offset, None if timestamps_ms is None else list(timestamps_ms))
        self.offset += len(values)
        return self._records(self.aggregator.add(batch, 0, len(values), now_ms))

    def rest(self, now_ms: int) -> list[Record]:
        return self._records(self.aggregator.rest(now_ms))

    def finish(self) -> list[Record]:
        return self._records(self.aggregator.finish())

    def _records(self, output: WindowOutput) -> list[Record]:
        self.last_output = output
        balance = self.aggregator.balance
        assert (
            self.restarted
            or balance.parsed == balance.aggregated + balance.late + balance.too_late + balance.open_samples
        )
        return [orjson.loads(value) for value in output.values]


def windows(records: Sequence[Record]) -> list[tuple[str, float]]:
    """Return host and start second of each record."""
    return [(record["tags"]["host"], (record["start_ms"] - BASE_MS) / 1000) for record in records]


def only(records: Sequence[Record]) -> Record:
    (record,) = records
    return record


def field_of(record: Record, name: str = "v") -> Mapping[str, float]:
    return record["fields"][name]
