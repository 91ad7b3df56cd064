"""Chunks of down-sampled history back from the embedded store."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from pipeline.core.downsampling.curve import StoredChunk
from pipeline.stores.base import LONGEST_CHUNK_MS, TagSet, check_points, first_needed
from pipeline.stores.embedded.history import open_history_file
from pipeline.stores.embedded.history_schema import chunks_statement


class EmbeddedHistoryReader:
    """Reads chunks from a SQLite file; any number of threads may ask.

    Parameters
    ----------
    path
        The file; it must be there.

    Raises
    ------
    StoreUnavailable
        If it cannot be opened, or is no store of history.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_history_file(path, read_only=True)

    def chunks(
        self, measurement: str, field: str, *, start_ms: int, end_ms: int, tags: Mapping[str, str] | None = None
    ) -> dict[TagSet, list[StoredChunk]]:
        """Return the chunks that a range needs, by series: see `HistoryStore.chunks`."""
        wanted = tags or {}
        given = (measurement, field, end_ms, start_ms - LONGEST_CHUNK_MS, *chain.from_iterable(wanted.items()))
        found: dict[str, list[StoredChunk]] = {}
        points = 0
        with self._file.reader() as reader:
            for text, *row in reader.execute(chunks_statement(tags=len(wanted)), given):
                chunk = _chunk(row)
                points += len(chunk.times_ms)
                check_points(points)
                found.setdefault(text, []).append(chunk)
        return {tuple(sorted(orjson.loads(text).items())): _needed(chunks, start_ms) for text, chunks in found.items()}

    def close(self) -> None:
        """Do nothing: each query opens the file for itself."""


def _needed(chunks: list[StoredChunk], start_ms: int) -> list[StoredChunk]:
    return chunks[first_needed([chunk.end_ms for chunk in chunks], start_ms) :]


def _chunk(row: list[Any]) -> StoredChunk:
    start_ms, end_ms, last_ms, gap, count, total, least, greatest, sigma, text = row
    points = orjson.loads(text)
    return StoredChunk(
        start_ms=start_ms,
        end_ms=end_ms,
        last_ms=last_ms,
        gap=bool(gap),
        count=count,
        sum=total,
        min=least,
        max=greatest,
        sigma=sigma,
        times_ms=np.array([point[0] for point in points], np.int64),
        values=np.array([point[1] for point in points], np.float64),
        interp=np.frombuffer("".join(point[2] for point in points).encode(), np.uint8),
    )
