"""The windows of a period as ``metrics.agg`` has them: each record checked by itself, its counts kept as rows."""

from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import orjson
from confluent_kafka import Message

from pipeline.audit.report import Fault, Finding, Findings
from pipeline.audit.spill import Spill
from pipeline.core.audit_samples import cell_hashes, identity_text, text_hash, window_hashes
from pipeline.core.audit_verdict import WINDOW_ROW
from pipeline.core.identity import resource_of
from pipeline.core.series import Array
from pipeline.core.window_rules import WindowRules

_GATHERED_FIELDS: Final = 50_000
_field_hash = lru_cache(maxsize=100_000)(text_hash)
_WHOLE_NUMBERS: Final = ("start_ms", "end_ms", "revision", "partition", "first_offset", "last_offset")


class WindowLog:
    """Takes the records of ``metrics.agg``.

    Parameters
    ----------
    spill, findings
        Where rows, and what is wrong, go.
    rules
        As the worker's.
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
        self, spill: Spill, findings: Findings, rules: WindowRules, *, partitions: int, start_ms: int, end_ms: int
    ) -> None:
        self._spill = spill
        self._findings = findings
        self._rules = rules
        self._partitions = partitions
        self._start_ms, self._end_ms = start_ms, end_ms
        self._records: list[tuple[int, ...]] = []
        self._fields: list[tuple[int, int]] = []
        self.records = 0
        self.first_offsets: dict[int, int] = {}

    def take(self, message: Message) -> None:
        """Take the next record."""
        partition, offset, value = message.partition(), message.offset(), message.value()
        if partition is None or offset is None or value is None:
            return
        try:
            record = orjson.loads(value)
            fault = self._take(record, message.key(), partition, offset)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            record, fault = {}, f"not a record of metrics.agg: {type(error).__name__}: {error}"
        if fault:
            self._findings.add(finding_of(Fault.BAD_RECORD, record, fault, partition, offset))

    def flush(self) -> None:
        """Hand the rows over that are gathered."""
        if self._records:
            self._spill.add(self._rows())
            self._records, self._fields = [], []

    def _take(self, record: dict[str, Any], key: bytes | None, partition: int, offset: int) -> str | None:
        """Take a record of the period; return what is wrong with it by itself."""
        start_ms, end_ms, revision, raw_partition, first_offset, last_offset = (record[n] for n in _WHOLE_NUMBERS)
        if any(type(record[name]) is not int for name in _WHOLE_NUMBERS):
            raise TypeError("a number that must be whole is not")
        if not self._start_ms <= start_ms < self._end_ms:
            return None
        self.records += 1
        measurement, tags, fields = record["measurement"], record["tags"], record["fields"]
        content = int.from_bytes(
            blake2b(orjson.dumps(record, option=orjson.OPT_SORT_KEYS), digest_size=8).digest(), "little"
        )
        identity = text_hash(identity_text(measurement, tags))
        self._records.append(
            (identity, start_ms, end_ms, revision, raw_partition, first_offset, offset, partition, content, len(fields))
        )
        for name, functions in fields.items():
            self._fields.append((_field_hash(name), int(functions["count"])))
        if len(self._fields) >= _GATHERED_FIELDS:
            self.flush()
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

    def _rows(self) -> Array:
        (identity, start_ms, end_ms, revision, raw_partition, first_offset, offset, partition, content, fields) = zip(
            *self._records, strict=True
        )
        repeats = np.array(fields)
        windows = window_hashes(np.array(identity, np.uint64), np.array(start_ms, np.int64))
        rows = np.zeros(len(self._fields), WINDOW_ROW)
        rows["window"] = np.repeat(windows, repeats)
        rows["cell"] = cell_hashes(rows["window"], np.array([name for name, _ in self._fields], np.uint64))
        rows["count"] = [count for _, count in self._fields]
        for name, column in (
            ("content", np.array(content, np.uint64)),
            ("revision", np.array(revision)),
            ("end_ms", np.array(end_ms)),
            ("first_offset", np.array(first_offset)),
            ("offset", np.array(offset)),
            ("partition", np.array(partition)),
            ("raw_partition", np.array(raw_partition)),
        ):
            rows[name] = np.repeat(column, repeats)
        return rows


def finding_of(fault: Fault, record: dict[str, Any], message: str, partition: int, offset: int) -> Finding:
    """Give what is wrong with one record of ``metrics.agg``, as far as it says what it is."""
    offsets = [record.get(name) for name in ("partition", "first_offset", "last_offset")]
    return Finding(
        fault,
        message,
        measurement=record.get("measurement"),
        tags=record.get("tags"),
        start_ms=record.get("start_ms"),
        end_ms=record.get("end_ms"),
        raw_partition=offsets[0],
        raw_first_offset=offsets[1],
        raw_last_offset=offsets[2],
        agg_partition=partition,
        agg_offset=offset,
    )
