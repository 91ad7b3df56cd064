"""The windows of a partition computed again, by the worker's own engine, from the samples that it has processed."""

from typing import Final

import numpy as np
import orjson

from pipeline.audit.window_rows import WindowRows
from pipeline.core.audit.checks import WINDOW_ROW
from pipeline.core.audit.samples import ALWAYS, NEVER
from pipeline.core.audit.values import CLOSED, DOUBTFUL, OPEN
from pipeline.core.compiled import Array, Ints
from pipeline.core.records.telegraf.parser import ParseOptions, RecordBatch
from pipeline.core.windows.aggregator import PartitionAggregator
from pipeline.core.windows.output import WindowOutput

_NOWHERE: Final = -1


class Recomputed:
    """Computes the windows of one partition again.

    Parameters
    ----------
    aggregator
        A fresh one, with the worker's rules.
    rows
        Where the windows go.
    options
        As the worker's.
    start_ms, end_ms
        The period: windows that start in ``[start_ms, end_ms)``.
    processed_until
        Records beyond it are left out.
    now_ms
        The clock.
    """

    def __init__(
        self,
        aggregator: PartitionAggregator,
        rows: WindowRows,
        options: ParseOptions,
        *,
        start_ms: int,
        end_ms: int,
        processed_until: int,
        now_ms: int,
    ) -> None:
        self._aggregator = aggregator
        self._rows = rows
        self._future_limit_ms = options.future_limit_ms
        self._start_ms, self._end_ms = start_ms, end_ms
        self._processed_until = processed_until
        self._now_ms = now_ms
        self._written = 0

    def add(self, batch: RecordBatch, ahead_from_ms: Ints) -> None:
        """Take the next records; parameters as for `PartitionSamples.add`."""
        last = int(np.searchsorted(batch.offset, self._processed_until, side="right"))
        first = 0
        for record in np.flatnonzero((ahead_from_ms[:last] != ALWAYS) & (ahead_from_ms[:last] != NEVER)).tolist():
            self._take(self._aggregator.add(batch, first, record, self._now_ms), CLOSED)
            # the clock that refused what was refused of the record
            now_ms = int(ahead_from_ms[record]) - 1 - self._future_limit_ms
            self._take(self._aggregator.add(batch, record, record + 1, now_ms), CLOSED)
            first = record + 1
        self._take(self._aggregator.add(batch, first, last, self._now_ms), CLOSED)

    def finish(self) -> None:
        """Close what is open: the samples have ended."""
        self._take(self._aggregator.finish(), OPEN)
        self._rows.flush()

    def _take(self, output: WindowOutput, state: int) -> None:
        for value in output.values:
            record = orjson.loads(value)
            if self._start_ms <= record["start_ms"] < self._end_ms:
                self._rows.add(record, _NOWHERE, self._written, state=state)
                self._written += 1


def doubtful_rows(samples: Array) -> Array:
    """Return ``WINDOW_ROW`` rows that mark the windows of doubtful samples."""
    windows = np.unique(samples["window"][samples["doubtful"] > 0])
    rows = np.zeros(len(windows), WINDOW_ROW)
    rows["window"], rows["state"] = windows, DOUBTFUL
    return rows
