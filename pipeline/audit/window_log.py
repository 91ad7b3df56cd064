"""The windows of a period as ``metrics.agg`` has them: each record checked by itself, its counts kept as rows."""

from collections.abc import Callable
from typing import Any, Final

import orjson
from confluent_kafka import Message

from pipeline.audit.report import Fault, Finding, Findings
from pipeline.audit.window_rows import WindowRows
from pipeline.core.records.identity.resource import resource_of
from pipeline.core.windows.rules import WindowRules

_WHOLE_NUMBERS: Final = ("start_ms", "end_ms", "revision", "partition", "first_offset", "last_offset")


class WindowLog:
    """Takes the records of ``metrics.agg``.

    Parameters
    ----------
    rows, findings
        Where rows, and what is wrong, go.
    rules
        As the worker's.
    store_of
        Gives the number of the store that takes a record, -1 for none.
    partitions
        How many ``metrics.raw`` has.
    start_ms, end_ms
        The period: windows that start in ``[start_ms, end_ms)``.

    Attributes
    ----------
    records : int
        Records of the period's windows.
    first_offsets : dict of int to int
        By partition of ``metrics.raw``, the least offset that a window of the period was made from.
    """

    def __init__(
        self,
        rows: WindowRows,
        findings: Findings,
        rules: WindowRules,
        store_of: Callable[[bytes], int],
        *,
        partitions: int,
        start_ms: int,
        end_ms: int,
    ) -> None:
        self._rows = rows
        self._findings = findings
        self._rules = rules
        self._store_of = store_of
        self._partitions = partitions
        self._start_ms, self._end_ms = start_ms, end_ms
        self.records = 0
        self.first_offsets: dict[int, int] = {}

    def take(self, message: Message) -> None:
        """Take the next record."""
        partition, offset, value = message.partition(), message.offset(), message.value()
        if partition is None or offset is None or value is None:
            return
        try:
            record = orjson.loads(value)
            fault = self._take(record, value, message.key(), partition, offset)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            record, fault = {}, f"not a record of metrics.agg: {type(error).__name__}: {error}"
        if fault:
            self._findings.add(finding_of(Fault.BAD_RECORD, record, fault, partition, offset))

    def flush(self) -> None:
        """Hand the rows over that are gathered."""
        self._rows.flush()

    def _take(self, record: dict[str, Any], value: bytes, key: bytes | None, partition: int, offset: int) -> str | None:
        """Take a record of the period; return what is wrong with it by itself."""
        start_ms, end_ms, revision, raw_partition, first_offset, last_offset = (record[n] for n in _WHOLE_NUMBERS)
        if any(type(record[name]) is not int for name in _WHOLE_NUMBERS):
            raise TypeError("a number that must be whole is not")
        if not self._start_ms <= start_ms < self._end_ms:
            return None
        self.records += 1
        measurement, tags = record["measurement"], record["tags"]
        self._rows.add(record, partition, offset, store=self._store_of(value))
        known = self.first_offsets.get(raw_partition, first_offset)
        self.first_offsets[raw_partition] = min(known, first_offset)
        resource = resource_of(tags)
        every_ms = self._rules.rule_of(measurement, tags).every_ms
        if key != resource.encode():
            return f"its key is {(key or b'')[:80]!r}, its resource {resource!r}"
        if not 0 <= raw_partition < self._partitions:
            return f"it names partition {raw_partition} of metrics.raw, which has {self._partitions}"
        if not 0 <= first_offset <= last_offset <= revision:
            return f"first_offset {first_offset}, last_offset {last_offset} and revision {revision} are not in order"
        if end_ms - start_ms != every_ms or start_ms % every_ms:
            return f"{start_ms} to {end_ms} is no window of the cycle of {every_ms} ms that the settings say"
        return None


def finding_of(
    fault: Fault, record: dict[str, Any], message: str, partition: int, offset: int, field: str | None = None
) -> Finding:
    """Return what is wrong with one record of ``metrics.agg``, as far as it says what it is."""
    offsets = [record.get(name) for name in ("partition", "first_offset", "last_offset")]
    return Finding(
        fault,
        message,
        measurement=record.get("measurement"),
        tags=record.get("tags"),
        field=field,
        start_ms=record.get("start_ms"),
        end_ms=record.get("end_ms"),
        raw_partition=offsets[0],
        raw_first_offset=offsets[1],
        raw_last_offset=offsets[2],
        agg_partition=partition,
        agg_offset=offset,
    )
