"""One partition's aggregation: records in, window records out, and the few numbers that a restart needs."""

from collections.abc import Callable

import numpy as np

from pipeline.core.records.identity.interning import SeriesTable
from pipeline.core.records.telegraf.parsed import Refusal
from pipeline.core.records.telegraf.parser import ParseOptions, RecordBatch, RecordParser, RefusedPart
from pipeline.core.windows.checkpoint import AggregateCheckpoint
from pipeline.core.windows.closing import close_all, rest_all, write_pending
from pipeline.core.windows.compaction import compacted
from pipeline.core.windows.fold import DONE, NODES_FULL, RING_FULL, TEXTS_FULL, fold
from pipeline.core.windows.output import WindowBalance, WindowOutput
from pipeline.core.windows.replay import Replay, keep_rows, refold, reopen, replay_from
from pipeline.core.windows.rules import WindowRules
from pipeline.core.windows.state import (
    AGGREGATED,
    ALWAYS,
    CORRECTIONS,
    EMITTED,
    LATE,
    LATE_LINES,
    LINE,
    NEVER,
    OPEN_SAMPLES,
    OPEN_WINDOWS,
    PARTITION_MS,
    TEXT_COUNT,
    TEXT_USED,
    TOO_LATE,
    WANTED_RING,
    WANTED_ROW,
    Names,
)
from pipeline.core.windows.store import WindowStore, new_texts
from schemas.reasons import DeadLetterReason

_TEXT_BYTES = 1 << 20
_COMPACT_ROWS = 10_000
"""Rows from which on it is worth looking for those that no window needs any more."""


class PartitionAggregator:
    """Aggregates the records of one partition in event-time windows.

    Parameters
    ----------
    partition
        Number of the partition, written into every record.
    rules
        Cycles, grace, allowed lateness and idle times.
    is_counter
        Tells whether (measurement, field) is a cumulative counter.
    options
        What is accepted as input.
    checkpoint
        Where an earlier owner left off; None for a fresh start. Reading goes on at ``checkpoint.offset``.
    dead_letter_late
        Whether samples that are too late are handed out as refused, beside being counted.

    Examples
    --------
    >>> from pipeline.core.records.telegraf.parser import batch_of
    >>> aggregator = PartitionAggregator(0, WindowRules(), lambda measurement, name: False)
    >>> batch = batch_of([b"cpu,host=a v=1 1000000000000000000", b"cpu,host=a v=4 1000000100000000000"], 0)
    >>> output = aggregator.add(batch, 0, 2, now_ms=1_000_000_100_000)
    >>> output.keys
    [b'a']
    >>> output.values[0][:86]
    b'{"schema_version":1,"measurement":"cpu","tags":{"host":"a"},"start_ms":999999960000,"e'
    """

    def __init__(
        self,
        partition: int,
        rules: WindowRules,
        is_counter: Callable[[str, str], bool],
        options: ParseOptions | None = None,
        *,
        checkpoint: AggregateCheckpoint | None = None,
        dead_letter_late: bool = False,
    ) -> None:
        self.partition = partition
        self._lateness = rules.lateness
        self._table = SeriesTable(rules.rule_of, is_counter)
        self._store = WindowStore()
        self._parser = RecordParser(self._table, self._store, options or ParseOptions())
        self._dead_letter_late = dead_letter_late
        self._texts = new_texts(_TEXT_BYTES)
        self._keys: list[bytes] = []
        self._announced = 0
        self._compact_at = _COMPACT_ROWS
        self._parsed = 0
        self._replayed = 0
        self._not_parsed = [0, 0, 0]
        self._next_offset = 0
        self._replay: Replay | None = None
        self._replay_until = -1
        if checkpoint is not None:
            self._restore(checkpoint)

    @property
    def replaying(self) -> bool:
        """Whether records from before the checkpoint are still to be read again."""
        return self._replay is not None

    @property
    def series_count(self) -> int:
        """Rows (measurement and tag set) known."""
        return self._table.row_count

    @property
    def partition_time_ms(self) -> int | None:
        """The partition's event time, None before two resources were heard."""
        time_ms = int(self._store.windows.state[PARTITION_MS])
        return None if time_ms == NEVER else time_ms

    @property
    def newest_time_ms(self) -> int | None:
        """The greatest event time of any resource."""
        newest = self._store.windows.newest_ms[: len(self._table.resources)]
        greatest = int(newest.max()) if len(newest) else NEVER
        return None if greatest == NEVER else greatest

    @property
    def balance(self) -> WindowBalance:
        """Where the samples went."""
        state, tally = self._store.windows.state, self._store.windows.tally
        return WindowBalance(
            records_with_samples=self._parser.records_with_samples - self._not_parsed[0],
            empty_records=self._parser.empty_records - self._not_parsed[1],
            parsed=self._parsed,
            filtered={str(reason): count for reason, count in self._parser.filtered.items()},
            aggregated=int(tally[AGGREGATED]),
            late=int(tally[LATE]),
            too_late=int(tally[TOO_LATE]),
            open_samples=int(state[OPEN_SAMPLES]),
            open_windows=int(state[OPEN_WINDOWS]),
            windows_emitted=int(tally[EMITTED]),
            corrections=int(tally[CORRECTIONS]),
            replayed=self._replayed,
        )

    def add(self, batch: RecordBatch, first: int, last: int, now_ms: int) -> WindowOutput:
        """Take records ``first`` to ``last`` of a batch; return what they closed, corrected, and what was refused.

        Parameters
        ----------
        batch
            Records of this partition, at offsets above those of any call before.
        first, last
            Half-open range of records.
        now_ms
            The clock, UTC milliseconds: bounds timestamps that lie ahead, and notes when a resource was heard.
        """
        output = WindowOutput()
        if first >= last:
            return output
        if self._replay is not None:
            known = int(np.searchsorted(batch.offset[first:last], self._replay_until, side="right")) + first
            self._read_again(batch, first, known, now_ms)
            self._next_offset = max(self._next_offset, int(batch.offset[last - 1]) + 1)
            if known == last and self._next_offset <= self._replay_until:
                return output
            self._end_replay(now_ms)
            first = known
        record = first
        while record < last:
            record = self._parser.parse(batch, record, last, now_ms)
            self._fold(batch, now_ms, output)
        self._next_offset = int(batch.offset[last - 1]) + 1
        output.refused.extend(self._parser.refused)
        self._parser.refused.clear()
        self._close_silent(NEVER, output)
        if self._table.row_count >= self._compact_at:
            self._compact()
        return output

    def new_resources(self) -> list[str]:
        """Return the resources that were first heard of since the last call."""
        names = list(self._table.resources)[self._announced :] if len(self._table.resources) > self._announced else []
        self._announced += len(names)
        return names

    def is_processed(self, offset: int) -> bool:
        """Return whether a record was processed before the restart this aggregator began with."""
        return offset <= self._replay_until

    def advance(self, next_offset: int, now_ms: int) -> None:
        """Note that everything before ``next_offset`` is processed, also what held no record for the windows."""
        self._next_offset = max(self._next_offset, next_offset)
        if self._replay is not None and self._next_offset > self._replay_until:
            self._end_replay(now_ms)

    def rest(self, now_ms: int) -> WindowOutput:
        """Close windows of resources that are silent by the clock; call it only while no input waits."""
        output = WindowOutput()
        if self._replay is None:
            self._close_silent(now_ms, output)
        return output

    def finish(self) -> WindowOutput:
        """Close everything that is open: the input has ended."""
        output = WindowOutput()
        close_all(len(self._table.resources), self._table.first_row, self._table.rows, self._store.windows)
        self._write_pending(output)
        return output

    def checkpoint(self) -> AggregateCheckpoint | None:
        """Return what a restart needs to go on from here without a trace; None while a replay is under way.

        To be saved only when everything given out so far is acknowledged.
        """
        if self._replay is not None:
            return None
        w, count = self._store.windows, len(self._table.resources)
        kept_from = int(replay_from(self._table.row_count, self._table.rows, w))
        return AggregateCheckpoint(
            offset=min(kept_from, self._next_offset),
            highest_offset=self._next_offset - 1,
            partition_ms=int(w.state[PARTITION_MS]),
            resources=tuple(self._table.resources),
            newest_ms=w.newest_ms[:count].copy(),
            idle_ms=w.idle_ms[:count].copy(),
            floor_ms=w.floor_ms[:count].copy(),
            seen_ms=w.seen_partition_ms[:count].copy(),
            rejected=self._rejected(),
        )

    def _rejected(self) -> dict[str, tuple[int, int]]:
        """Return the rows that keep a window which samples were too late for; hardly ever any."""
        rows, w, count = self._table.rows, self._store.windows, self._table.row_count
        resource, every_ms = rows.resource[:count], rows.every_ms[:count]
        end_ms = (w.rejected[:count] + 1) * every_ms
        own_ms = w.newest_ms[resource] - rows.grace_ms[:count]
        kept = (end_ms + rows.allowed_lateness_ms[:count] + every_ms > own_ms) & (end_ms > w.floor_ms[resource])
        found = np.flatnonzero(kept & (w.rejected[:count] != NEVER)).tolist()
        if not found:
            return {}
        identities = self._table.identities
        return {identities[row]: (int(w.rejected[row]), int(w.rejected_after[row])) for row in found}

    def _compact(self) -> None:
        """Leave rows behind that keep no window, if that is most of them; look again when the rest has doubled."""
        count = self._table.row_count
        keep = np.zeros(count, np.bool_)
        kept = int(keep_rows(count, self._table.rows, self._store.windows, keep))
        if 2 * kept <= count:
            self._table, self._store = compacted(self._table, self._store, keep)
            self._parser.adopt(self._table, self._store)
            self._keys = []
            self._announced = len(self._table.resources)
        self._compact_at = max(_COMPACT_ROWS, 2 * kept)

    def _restore(self, checkpoint: AggregateCheckpoint) -> None:
        for name in checkpoint.resources:
            self._table.intern_resource(name)
        count = len(checkpoint.resources)
        self._store.add_resources(count)
        w = self._store.windows
        w.seen_partition_ms[:count] = checkpoint.seen_ms
        w.state[PARTITION_MS] = checkpoint.partition_ms
        self._next_offset = checkpoint.offset
        self._replay_until = checkpoint.highest_offset
        self._parser.rejected_before = checkpoint.rejected
        self._replay = Replay(checkpoint.newest_ms, checkpoint.idle_ms, checkpoint.floor_ms)
        if checkpoint.offset > checkpoint.highest_offset:
            self._end_replay(now_ms=NEVER)

    def _read_again(self, batch: RecordBatch, first: int, last: int, now_ms: int) -> None:
        """Fold records from before the checkpoint, silently."""
        record = first
        before = (self._parser.records_with_samples, self._parser.empty_records, dict(self._parser.filtered))
        while record < last:
            record = self._parser.parse(batch, record, last, now_ms)
            self._replay = self._replay_of_all()
            self._store.windows.state[LINE] = 0
            status = RING_FULL
            while status != DONE:
                status = refold(
                    self._parser.columns,
                    batch.offset,
                    batch.timestamp_ms,
                    self._replay,
                    self._table.rows,
                    self._table.fields,
                    self._store.windows,
                )
                self._enlarge(status)
            self._replayed += int(self._parser.columns.counts[1])
            self._parser.clear()
        self._not_parsed[0] += self._parser.records_with_samples - before[0]
        self._not_parsed[1] += self._parser.empty_records - before[1]
        self._parser.filtered = before[2]
        self._parser.refused.clear()  # they are among the dead letters since they were first read

    def _replay_of_all(self) -> Replay:
        """Return the checkpoint's times with room for every resource, also those it does not know."""
        replay, count = self._replay, len(self._table.resources)
        if replay is None:
            raise RuntimeError("no replay is under way")
        missing = count - len(replay.newest_ms)
        if missing <= 0:
            return replay
        return Replay(*(np.concatenate([times, np.full(missing, NEVER, np.int64)]) for times in replay))

    def _end_replay(self, now_ms: int) -> None:
        replay, count = self._replay_of_all(), len(self._table.resources)
        w = self._store.windows
        reopen(self._table.row_count, replay, count, self._table.rows, w)
        w.seen_clock_ms[:count] = now_ms if now_ms != NEVER else ALWAYS
        self._store.rank_resources(count)
        self._next_offset = max(self._next_offset, self._replay_until + 1)
        self._parsed += int(w.state[OPEN_SAMPLES])  # taken over: the balance holds from here on
        self._parser.rejected_before = {}
        self._replay = None

    def _fold(self, batch: RecordBatch, now_ms: int, output: WindowOutput) -> None:
        columns, table = self._parser.columns, self._table
        self._parsed += int(columns.counts[1])
        self._store.fit_lines(int(columns.counts[0]))
        windows = self._store.windows
        windows.state[LINE] = 0
        windows.state[LATE_LINES] = 0
        while True:
            status = fold(
                columns,
                batch.offset,
                batch.timestamp_ms,
                now_ms,
                self.partition,
                self._lateness,
                table.first_row,
                table.rows,
                table.fields,
                self._names,
                self._store.windows,
                self._texts,
            )
            self._drain(output, full=status == TEXTS_FULL)
            if status == DONE:
                break
            self._enlarge(status)
        if self._dead_letter_late:
            self._refuse_late(batch, output)
        self._parser.clear()

    def _enlarge(self, status: int) -> None:
        """Make the room that the kernels came back for."""
        if status == NODES_FULL:
            self._store.add_nodes(int(self._parser.columns.counts[1]))
        elif status == RING_FULL:
            state = self._store.windows.state
            self._store.widen_ring(self._table, int(state[WANTED_ROW]), int(state[WANTED_RING]))

    def _refuse_late(self, batch: RecordBatch, output: WindowOutput) -> None:
        columns, w = self._parser.columns, self._store.windows
        for line in w.late_line[: int(w.state[LATE_LINES])].tolist():
            record = int(columns.line_record[line])
            value = batch.value(record)
            message = f"sample of {int(columns.line_time_ms[line])} ms: its window is closed and not kept any more"
            refusal = Refusal(1, 1, DeadLetterReason.TOO_LATE, message, 0, len(value))
            output.refused.append(RefusedPart(int(batch.offset[record]), refusal, value))

    def _close_silent(self, now_ms: int, output: WindowOutput) -> None:
        for _ in range(2):  # what is closed and written may be forgotten at once
            rest_all(
                now_ms,
                self._table.first_row,
                len(self._table.resources),
                self._lateness,
                self._table.rows,
                self._store.windows,
            )
            self._write_pending(output)

    def _write_pending(self, output: WindowOutput) -> None:
        while True:
            table = self._table
            done = write_pending(
                self.partition, table.rows, table.fields, self._names, self._store.windows, self._texts
            )
            self._drain(output, full=not done)
            if done:
                return

    @property
    def _names(self) -> Names:
        table = self._table
        return Names(table.heads, table.fragments, table.fragment_start, table.fragment_length)

    def _drain(self, output: WindowOutput, *, full: bool) -> None:
        """Move written records to ``output``; double the room if not even one fitted."""
        state = self._store.windows.state
        count, used = int(state[TEXT_COUNT]), int(state[TEXT_USED])
        if count == 0:
            if full:
                self._texts = new_texts(2 * len(self._texts.text))
            return
        text = self._texts.text[:used].tobytes()
        ends = self._texts.end[:count].tolist()
        keys = self._resource_keys()
        start = 0
        values = output.values
        for end in ends:
            values.append(text[start:end])
            start = end
        resources = self._table.rows.resource[self._texts.row[:count]].tolist()
        output.keys.extend([keys[resource] for resource in resources])
        state[TEXT_COUNT] = 0
        state[TEXT_USED] = 0

    def _resource_keys(self) -> list[bytes]:
        known = len(self._keys)
        if known < len(self._table.resources):
            self._keys.extend(name.encode() for name in list(self._table.resources)[known:])
        return self._keys
