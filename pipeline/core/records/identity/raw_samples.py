"""The samples of ``metrics.raw`` in columns, each with the number of its series: for stages that keep no windows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from pipeline.core.compiled import Array, compiled
from pipeline.core.records.identity.interning import SeriesTable, WindowRule, grown
from pipeline.core.records.identity.resource import resource_of
from pipeline.core.records.telegraf.fast_parse import Columns
from pipeline.core.records.telegraf.parser import ParseOptions, RecordBatch, RecordParser, RefusedPart
from schemas.reasons import FilterReason

_NO_WINDOWS: Final = WindowRule(60_000, 0, 0)


class SeriesName(NamedTuple):
    """What identifies a series."""

    measurement: str
    field: str
    tags: Mapping[str, str]
    """In canonical form (`pipeline.core.records.identity.resource.canonical_tags`)."""

    @property
    def resource(self) -> str:
        """The resource that it is of: the key of its records."""
        return resource_of(self.tags)


class Samples(NamedTuple):
    """Samples in the order of the input; a sample is at one place of all columns."""

    series: Array  # int32[samples]: the number of the series, from 0
    time_ms: Array  # int64[samples]
    value: Array  # float64[samples], finite
    offset: Array  # int64[samples]: of its record


class RawSamples:
    """Reads the records of one partition as samples, and numbers their series as they come.

    Parameters
    ----------
    options
        What is accepted as input.
    known
        The series that have the numbers from 0 on: after a restart, or when others were forgotten.

    Attributes
    ----------
    refused : list of RefusedPart
        What could not be used, until the caller takes it. ``aggregate`` hands it to the dead letters.

    Examples
    --------
    >>> from pipeline.core.records.telegraf.parser import batch_of
    >>> raw = RawSamples(ParseOptions())
    >>> batch = batch_of([b"cpu,host=a v=1,w=2 1000000000000000000", b"cpu,host=a w=4 1000000100000000000"], 7)
    >>> for samples in raw.read(batch, 0, 2, now_ms=1_000_000_100_000):
    ...     print(samples.series.tolist(), samples.value.tolist(), samples.offset.tolist())
    [0, 1, 1] [1.0, 2.0, 4.0] [7, 7, 8]
    >>> raw.names[1]
    SeriesName(measurement='cpu', field='w', tags={'host': 'a'})
    """

    def __init__(self, options: ParseOptions, known: Sequence[SeriesName] = ()) -> None:
        self.names: list[SeriesName] = []
        self._numbers = _SeriesNumbers(self.names)
        self._table = SeriesTable(lambda *_: _NO_WINDOWS, lambda *_: False)
        self._parser = RecordParser(self._table, self._numbers, options)
        self.refused: list[RefusedPart] = self._parser.refused
        for name in known:
            row, _ = self._table.intern(name.measurement, name.tags)
            self._table.columns(row, [name.field])
            self._numbers.fit_columns(self._table, row)

    @property
    def filtered(self) -> Mapping[FilterReason, int]:
        """Fields that are no samples, by reason, since the start."""
        return self._parser.filtered

    def read(self, batch: RecordBatch, first: int, last: int, now_ms: int) -> Iterator[Samples]:
        """Yield the samples of records ``first`` to ``last``; what is yielded holds until the next one.

        Parameters
        ----------
        batch
            Records of the partition.
        first, last
            Half-open range of records.
        now_ms
            The clock, UTC milliseconds: bounds timestamps that lie ahead.
        """
        record = first
        while record < last:
            record = self._parser.parse(batch, record, last, now_ms)
            columns = self._parser.columns
            count = int(columns.counts[1])
            samples = Samples(
                series=np.empty(count, np.int32),
                time_ms=np.empty(count, np.int64),
                value=columns.sample_value[:count],
                offset=np.empty(count, np.int64),
            )
            _spread(columns, batch.offset, self._table.rows.field_base, self._numbers.number_at, samples)
            yield samples
            self._parser.clear()


class _SeriesNumbers:
    """The number of each row's columns, where compiled code finds it."""

    def __init__(self, names: list[SeriesName]) -> None:
        self.number_at = np.zeros(64, np.int32)
        """By a row's first column in the table of fields, and the column."""
        self._names = names
        self._of_row: dict[int, list[int]] = {}

    def add_row(self, table: SeriesTable, row: int, rejected: tuple[int, int] | None) -> None:
        """Do nothing: a row without columns has no series."""

    def fit_columns(self, table: SeriesTable, row: int) -> None:
        """Return a row's new columns their numbers, and all of them their place: they may have moved."""
        numbers = self._of_row.setdefault(row, [])
        fields = table.column_names(row)
        if len(numbers) < len(fields):
            measurement, tags = table.name(row)
            for field in fields[len(numbers) :]:
                numbers.append(len(self._names))
                self._names.append(SeriesName(measurement, field, tags))
        base = int(table.rows.field_base[row])
        self.number_at = grown(self.number_at, base + len(numbers))
        self.number_at[base : base + len(numbers)] = numbers


@compiled
def _spread(columns: Columns, offset: Array, field_base: Array, number_at: Array, samples: Samples) -> None:
    """Return each sample the number, time and offset of its line."""
    for line in range(columns.counts[0]):
        base = field_base[columns.line_row[line]]
        for k in range(columns.line_sample[line], columns.line_sample[line + 1]):
            samples.series[k] = number_at[base + columns.sample_column[k]]
            samples.time_ms[k] = columns.line_time_ms[line]
            samples.offset[k] = offset[columns.line_record[line]]
