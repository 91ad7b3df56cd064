"""Dead letters counted, and the newest kept without their bytes."""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pipeline.runtime.kafka.dead_letter_log import ForeignRecord, LogEntry, ReplayMark, ReplayState, StoredDeadLetter

LONGEST_MESSAGE: Final = 500


@dataclass(slots=True)
class DeadLetterRow:
    """What is listed of a dead letter."""

    time_ms: int
    place: str
    line: int | None
    column: int | None
    reason: str
    stage: str
    message: str
    size_bytes: int
    is_replayed: bool = False


class DeadLetterRows:
    """The newest dead letters, and how many there are of each reason and stage.

    Parameters
    ----------
    limit
        How many dead letters to keep.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # by partition, as order holds only there; a dead letter that a restart wrote twice has one row
        self._rows: defaultdict[int, OrderedDict[str, DeadLetterRow]] = defaultdict(OrderedDict)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.foreign = 0

    def add(self, entry: LogEntry, wanted: Callable[[StoredDeadLetter], bool]) -> None:
        """Take the next of the log; dead letters that are not wanted are left out."""
        if isinstance(entry, ForeignRecord):
            self.foreign += 1
            return
        rows = self._rows[entry.partition]
        if isinstance(entry, ReplayMark):
            if entry.state is ReplayState.REPLAYED and entry.name in rows:
                rows[entry.name].is_replayed = True
            return
        if not wanted(entry):
            return
        dead_letter = entry.dead_letter
        self.counts[dead_letter.reason.value, dead_letter.stage] += 1
        earlier = rows.pop(entry.name, None)
        rows[entry.name] = DeadLetterRow(
            time_ms=entry.time_ms,
            place=dead_letter.key(),
            line=dead_letter.line,
            column=dead_letter.column,
            reason=dead_letter.reason.value,
            stage=dead_letter.stage,
            message=dead_letter.message[:LONGEST_MESSAGE],
            size_bytes=len(dead_letter.value),
            is_replayed=earlier is not None and earlier.is_replayed,
        )
        if len(rows) > self._limit:
            rows.popitem(last=False)

    def newest(self) -> list[DeadLetterRow]:
        """Return the newest dead letters, the oldest of them first."""
        rows = sorted((row for part in self._rows.values() for row in part.values()), key=lambda row: row.time_ms)
        return rows[-self._limit :] if self._limit else []
