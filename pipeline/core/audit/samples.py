"""What the windows of a period should count, sample by sample: an account of its own, without the fold."""

from typing import Final, NamedTuple

import numpy as np

from pipeline.core.audit.hashes import Hashes, cell_hashes, merged_by, text_hash, window_hashes
from pipeline.core.compiled import Array, Int, Ints, compiled
from pipeline.core.records.identity.interning import RowTable, SeriesTable, grown
from pipeline.core.records.telegraf.fast_parse import Columns
from pipeline.core.records.telegraf.parser import ParseOptions, RecordBatch, RecordParser, RefusedPart
from pipeline.core.windows.rules import WindowRules
from pipeline.core.windows.store import WindowStore
from schemas.reasons import FilterReason

NEVER: Final = -(1 << 62)
ALWAYS: Final = 1 << 62
MOST_WINDOWS: Final = 1023
"""Windows of one series that one record may feed; what lies further back in it is too late."""

TAKEN, DOUBTFUL, OUT, BRIDGING = 0, 1, 2, 3
"""What the rules say of a line: it is in its window; it may be too late; it is too late for certain; it is in its
window, and whether counters bridge into that from the one before is not known."""

SAMPLE_ROW: Final = np.dtype(
    [
        ("window", np.uint64),
        ("cell", np.uint64),
        ("end_ms", np.int64),
        ("first_offset", np.int64),
        ("partition", np.int32),
        ("resource", np.int32),
        ("grace_ms", np.int32),
        ("total", np.int32),
        ("sure", np.int32),
        ("out", np.int32),
        ("waiting", np.int32),
        ("doubtful", np.int32),
    ]
)
"""Samples of one cell (a field in a window): all, those surely in it, surely not, and not processed yet."""


def merged(rows: Array) -> Array:
    """Return ``SAMPLE_ROW`` rows with one for each cell, ordered by cell."""
    return merged_by(rows, ("total", "sure", "out", "waiting", "doubtful"))


class _NoWindows(WindowStore):
    """Nothing is folded here: rows and columns need no room."""

    def add_row(self, table: SeriesTable, row: int, rejected: tuple[int, int] | None = None) -> None:
        """Do nothing."""

    def fit_columns(self, table: SeriesTable, row: int) -> None:
        """Do nothing."""


class _ResourceTimes(NamedTuple):
    """What lateness is checked by; int64[resources] each."""

    newest_ms: Array
    processed_ms: Array  # the newest among records that the worker has processed
    latest_end_ms: Array  # of any window
    floor_ms: Array  # windows that end by then may be forgotten
    seen_partition_ms: Array
    seen_arrival_ms: Array


# entries of the partition's state
_PARTITION_MS, _TOP_RESOURCE, _TOP_MS, _SECOND_MS, _ARRIVAL_MS, _STATE_SIZE = 0, 1, 2, 3, 4, 5


class CheckedSamples(NamedTuple):
    """What a batch of records came to.

    Attributes
    ----------
    rows : SAMPLE_ROW[samples]
        One for each sample of a window of the period.
    refused : list of RefusedPart
        What needs a dead letter.
    too_late : list of int
        Offsets of processed records with a line that is too late for certain.
    ahead : list of int
        Offsets of processed records with a line so far ahead that it cannot have been taken.
    """

    rows: Array
    refused: list[RefusedPart]
    too_late: list[int]
    ahead: list[int]


class PartitionSamples:
    """Counts the samples of one partition of ``metrics.raw`` into cells.

    Parameters
    ----------
    partition
        Its number.
    rules, options
        As the worker's.
    start_ms, end_ms
        The period: windows that start in ``[start_ms, end_ms)``.
    processed_until
        Greatest offset that the worker has processed, -1 for none.
    now_ms
        The clock. Kafka timestamps beyond it tell nothing.

    Notes
    -----
    A sample is too late for certain when its resource's newest time before the record, less the grace, has passed the
    window's end by the allowed lateness. It may be too late when the resource may have been forgotten before: when it
    was silent, by the partition's time or by Kafka's timestamps, for half of the time that it takes. The partition's
    time is computed from the records given; with more of them it would not be lower.
    """

    def __init__(
        self,
        partition: int,
        rules: WindowRules,
        options: ParseOptions,
        *,
        start_ms: int,
        end_ms: int,
        processed_until: int,
        now_ms: int,
    ) -> None:
        self.partition = partition
        self._lateness = rules.lateness
        self._start_ms, self._end_ms = start_ms, end_ms
        self._processed_until = processed_until
        self._now_ms = now_ms
        self._ahead_ms = now_ms + options.future_limit_ms + _CLOCKS_DIFFER_MS
        self._table = SeriesTable(rules.rule_of, lambda _measurement, _field: False)
        unbounded = ParseOptions(
            options.input_format, options.influx_unit, options.json_unit, options.max_bytes, future_limit_ms=ALWAYS
        )
        self._parser = RecordParser(self._table, _NoWindows(), unbounded)
        self._highest = np.zeros(0, np.int64)
        self._row_hash: Hashes = np.zeros(0, np.uint64)
        self._name_hash: Hashes = np.zeros(0, np.uint64)
        self._hashed = [0, 0]
        self._times = _ResourceTimes(*(np.full(0, NEVER, np.int64) for _ in _ResourceTimes._fields))
        self._state = np.full(_STATE_SIZE, NEVER, np.int64)
        self._state[_TOP_RESOURCE] = -1

    @property
    def resources(self) -> dict[str, int]:
        """Numbers of the resources, as in the rows."""
        return self._table.resources

    @property
    def processed_ms(self) -> Ints:
        """Each resource's newest time among processed records, int64[resources]; NEVER for none."""
        self._make_room()
        return self._times.processed_ms[: len(self.resources)]

    @property
    def filtered(self) -> dict[FilterReason, int]:
        """Fields that are no samples, by reason."""
        return self._parser.filtered

    @property
    def empty_records(self) -> int:
        """Records without any metric."""
        return self._parser.empty_records

    def add(self, batch: RecordBatch, ahead_from_ms: Ints) -> CheckedSamples:
        """Take the next records, in the order of their offsets.

        Parameters
        ----------
        batch
            The records.
        ahead_from_ms
            For each record the least time of its lines that were dead-lettered for lying ahead of the clock, ALWAYS
            for none: such a line is in no window, unless it was taken when the record was processed once more.
        """
        parts: list[Array] = []
        too_late: list[int] = []
        ahead: list[int] = []
        record, last = 0, len(batch.offset)
        while record < last:
            record = self._parser.parse(batch, record, last, 0)
            parts.append(self._check(batch, ahead_from_ms, too_late, ahead))
            self._parser.clear()
        refused = self._parser.refused.copy()
        self._parser.refused.clear()
        return CheckedSamples(np.concatenate(parts) if parts else np.zeros(0, SAMPLE_ROW), refused, too_late, ahead)

    def _check(self, batch: RecordBatch, ahead_from_ms: Ints, too_late: list[int], ahead: list[int]) -> Array:
        columns, rows = self._parser.columns, self._table.rows
        lines, samples = int(columns.counts[0]), int(columns.counts[1])
        self._make_room()
        self._hash_new()
        result = np.empty(lines, np.int8)
        check_lines(
            columns,
            batch.offset,
            batch.timestamp_ms,
            ahead_from_ms,
            self._processed_until,
            self._now_ms,
            self._lateness.forget_ms // 2,
            self._lateness.lead_ms,
            rows,
            self._times,
            self._state,
            self._highest,
            result,
        )
        row, time_ms = columns.line_row[:lines], columns.line_time_ms[:lines]
        record = columns.line_record[:lines]
        offset = batch.offset[record]
        processed = offset <= self._processed_until
        too_late.extend(np.unique(offset[processed & (result == OUT)]).tolist())
        beyond = processed & (time_ms > self._ahead_ms) & (ahead_from_ms[record] == ALWAYS)
        ahead.extend(np.unique(offset[beyond]).tolist())

        every_ms = rows.every_ms[row]
        start_ms = time_ms // every_ms * every_ms
        line_samples = np.diff(columns.line_sample[: lines + 1])
        line_samples[(start_ms < self._start_ms) | (start_ms >= self._end_ms)] = 0
        line = np.repeat(np.arange(lines), line_samples)
        kept = np.repeat(
            (start_ms >= self._start_ms) & (start_ms < self._end_ms), np.diff(columns.line_sample[: lines + 1])
        )
        column = columns.sample_column[:samples][kept]
        window = window_hashes(self._row_hash[row], start_ms)
        name = self._table.fields.name[rows.field_base[row][line] + column]
        found = np.zeros(len(line), SAMPLE_ROW)
        found["window"] = window[line]
        found["cell"] = cell_hashes(found["window"], self._name_hash[name])
        found["end_ms"] = (start_ms + every_ms)[line]
        found["grace_ms"] = rows.grace_ms[row][line]
        found["first_offset"] = offset[line]
        found["partition"] = self.partition
        found["resource"] = rows.resource[row][line]
        found["total"] = 1
        found["out"] = (result == OUT)[line]
        found["sure"] = (processed & ((result == TAKEN) | (result == BRIDGING)))[line]
        found["doubtful"] = ((result == DOUBTFUL) | (result == BRIDGING))[line]
        found["waiting"] = (~processed & (result != OUT))[line]
        return found

    def _make_room(self) -> None:
        self._highest = grown(self._highest, self._table.row_count)
        count, known = len(self.resources), len(self._times.newest_ms)
        if count > known:
            self._times = _ResourceTimes(*(grown(times, count) for times in self._times))
            for each in self._times:
                each[known:] = NEVER

    def _hash_new(self) -> None:
        """Hash the rows and names that came since the last call."""
        rows, names = self._table.row_count, self._table.names.count
        if rows > self._hashed[0]:
            self._row_hash = grown(self._row_hash, rows)
            new = self._table.identities[self._hashed[0] :]
            self._row_hash[self._hashed[0] : rows] = [text_hash(identity) for identity in new]
        if names > self._hashed[1]:
            self._name_hash = grown(self._name_hash, names)
            keys = self._table.names.table
            for number in range(self._hashed[1], names):
                start = int(keys.start[number])
                name = keys.pool[start : start + int(keys.length[number])].tobytes().decode()
                self._name_hash[number] = text_hash(name)
        self._hashed = [rows, names]


_CLOCKS_DIFFER_MS: Final = 60_000
"""By how much the worker's clock may be ahead of this one."""


@compiled
def check_lines(
    columns: Columns,
    offsets: Ints,
    record_time_ms: Ints,
    ahead_from_ms: Ints,
    processed_until: Int,
    now_ms: Int,
    silence_ms: Int,
    lead_ms: Int,
    rows: RowTable,
    times: _ResourceTimes,
    state: Ints,
    highest: Ints,
    result: Array,
) -> None:
    """Check each line (int8[lines]) by the state before its record, then let the record move the times.

    Parameters
    ----------
    columns, offsets, record_time_ms, ahead_from_ms
        The lines, and what is known of each record.
    processed_until, now_ms
        As for `PartitionSamples`.
    silence_ms
        Silence after which a resource may have been forgotten.
    lead_ms
        By how much one clock may lead all others and still move the partition's time.
    rows, times, state
        The partition's series and times; ``times`` and ``state`` are moved on.
    highest
        Room for a number a row.
    """
    line_count = columns.counts[0]
    begin = 0
    while begin < line_count:
        record = columns.line_record[begin]
        end = begin + 1
        while end < line_count and columns.line_record[end] == record:
            end += 1
        if 0 <= record_time_ms[record] <= now_ms:
            state[_ARRIVAL_MS] = max(state[_ARRIVAL_MS], record_time_ms[record])
        for line in range(begin, end):
            row = columns.line_row[line]
            resource = rows.resource[row]
            seen_ms, arrived_ms = times.seen_partition_ms[resource], times.seen_arrival_ms[resource]
            silent = seen_ms != NEVER and state[_PARTITION_MS] - seen_ms >= silence_ms
            absent = arrived_ms != NEVER and state[_ARRIVAL_MS] - arrived_ms >= silence_ms
            if silent or absent:
                times.floor_ms[resource] = max(times.floor_ms[resource], times.latest_end_ms[resource])
        for line in range(begin, end):
            highest[columns.line_row[line]] = NEVER
        for line in range(begin, end):
            row = columns.line_row[line]
            if columns.line_sample[line + 1] > columns.line_sample[line]:
                highest[row] = max(highest[row], columns.line_time_ms[line] // rows.every_ms[row])
        for line in range(begin, end):
            row = columns.line_row[line]
            resource = rows.resource[row]
            time_ms = columns.line_time_ms[line]
            every_ms = rows.every_ms[row]
            number = time_ms // every_ms
            end_ms = (number + 1) * every_ms
            if time_ms >= ahead_from_ms[record]:
                result[line] = DOUBTFUL
            elif (
                end_ms + rows.allowed_lateness_ms[row] <= times.newest_ms[resource] - rows.grace_ms[row]
                or number <= highest[row] - MOST_WINDOWS
            ):
                result[line] = OUT
            elif end_ms <= times.floor_ms[resource]:
                result[line] = DOUBTFUL
            elif end_ms - every_ms <= times.floor_ms[resource]:
                result[line] = BRIDGING
            else:
                result[line] = TAKEN
        for line in range(begin, end):
            row = columns.line_row[line]
            resource = rows.resource[row]
            time_ms = columns.line_time_ms[line]
            if time_ms >= ahead_from_ms[record]:
                continue
            times.latest_end_ms[resource] = max(
                times.latest_end_ms[resource], (time_ms // rows.every_ms[row] + 1) * rows.every_ms[row]
            )
            if offsets[record] <= processed_until:
                times.processed_ms[resource] = max(times.processed_ms[resource], time_ms)
            if time_ms > times.newest_ms[resource]:
                times.newest_ms[resource] = time_ms
                if resource == state[_TOP_RESOURCE]:
                    state[_TOP_MS] = time_ms
                elif time_ms > state[_TOP_MS]:
                    state[_SECOND_MS] = state[_TOP_MS]
                    state[_TOP_RESOURCE] = resource
                    state[_TOP_MS] = time_ms
                else:
                    state[_SECOND_MS] = max(state[_SECOND_MS], time_ms)
        if state[_SECOND_MS] != NEVER:
            near = state[_TOP_MS] - state[_SECOND_MS] <= lead_ms
            state[_PARTITION_MS] = max(state[_PARTITION_MS], state[_TOP_MS] if near else state[_SECOND_MS])
        for line in range(begin, end):
            resource = rows.resource[columns.line_row[line]]
            times.seen_partition_ms[resource] = (
                state[_PARTITION_MS] if state[_PARTITION_MS] != NEVER else times.newest_ms[resource]
            )
            times.seen_arrival_ms[resource] = state[_ARRIVAL_MS]
        begin = end
