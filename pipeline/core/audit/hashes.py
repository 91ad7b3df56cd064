"""Windows and their fields as 64-bit numbers: what the audit counts and compares by."""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from pipeline.core.compiled import Array, Ints
from pipeline.core.records.identity.resource import canonical_tags
from pipeline.core.records.telegraf.parsed import ParsedMetric
from pipeline.core.windows.rules import WindowRules

Hashes = np.ndarray[Any, np.dtype[np.uint64]]


def text_hash(text: str) -> int:
    """Return 64 bits that stand for a text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def mixed(values: Hashes) -> Hashes:
    """Spread 64-bit numbers (the finaliser of SplitMix64, Steele et al., OOPSLA 2014)."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def window_hashes(identities: Hashes, starts_ms: Ints) -> Hashes:
    """Return the windows' hashes from those of their measurements and tags, and their starts."""
    return mixed(identities ^ mixed(starts_ms.astype(np.uint64)))


def cell_hashes(windows: Hashes, fields: Hashes) -> Hashes:
    """Return the cells' hashes from those of their windows and their fields' names."""
    return mixed(windows ^ mixed(fields))


def identity_text(measurement: str, tags: Mapping[str, str]) -> str:
    """Return the text that stands for a measurement and its canonical tags, as `SeriesTable.identities` has it."""
    return json.dumps([measurement, dict(sorted(tags.items()))], ensure_ascii=False, separators=(",", ":"))


def cell_hash(measurement: str, tags: Mapping[str, str], start_ms: int, name: str) -> int:
    """Return the hash of one cell."""
    identity = np.array([text_hash(identity_text(measurement, tags))], np.uint64)
    window = window_hashes(identity, np.array([start_ms], np.int64))
    return int(cell_hashes(window, np.array([text_hash(name)], np.uint64))[0])


def find_cell(
    metrics: Iterable[ParsedMetric], cell: int, rules: WindowRules, record_ms: int
) -> tuple[str, dict[str, str], str, int, int] | None:
    """Return measurement, tags, field, start and end of a cell if one of a record's ``metrics`` feeds it."""
    for metric in metrics:
        tags = canonical_tags(metric.tags)
        every_ms = rules.rule_of(metric.measurement, tags).every_ms
        time_ms = record_ms if metric.time_ns is None else metric.time_ns // 1_000_000
        start_ms = time_ms // every_ms * every_ms
        for name in metric.fields:
            if cell_hash(metric.measurement, tags, start_ms, name) == cell:
                return metric.measurement, tags, name, start_ms, start_ms + every_ms
    return None


def merged_by(rows: Array, added: Sequence[str]) -> Array:
    """Return one row for each cell, ordered by cell, with the sums of the columns ``added``."""
    if len(rows) == 0:
        return rows
    cell = np.ascontiguousarray(rows["cell"])
    order = np.argsort(cell, kind="stable")
    cell = cell[order]
    begins = np.flatnonzero(np.concatenate([[True], cell[1:] != cell[:-1]]))
    result = rows[order[begins]]
    for name in added:
        result[name] = np.add.reduceat(np.ascontiguousarray(rows[name])[order], begins)
    if "first_offset" in (rows.dtype.names or ()):
        result["first_offset"] = np.minimum.reduceat(np.ascontiguousarray(rows["first_offset"])[order], begins)
    return result
