"""Dead letters counted, and the newest kept without their bytes."""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pipeline.runtime.kafka.dead_letter_log import ForeignRecord, LogEntry, ReplayMark, ReplayState, StoredLetter

LONGEST_MESSAGE: Final = 500


@dataclass(slots=True)
class LetterRow:
    """What is listed of a letter."""

    time_ms: int
    place: str
    line: int | None
    column: int | None
    reason: str
    stage: str
    message: str
    size_bytes: int
    is_replayed: bool = False


class LetterRows:
    """The newest letters, and how many there are of each reason and stage.

    Parameters
    ----------
    limit
        How many letters to keep.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # by partition, as order holds only there; a letter that a restart wrote twice has one row
        self._rows: defaultdict[int, OrderedDict[str, LetterRow]] = defaultdict(OrderedDict)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.foreign = 0

    def add(self, entry: LogEntry, wanted: Callable[[StoredLetter], bool]) -> None:
        """Take the next of the log; letters that are not wanted are left out."""
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
        letter = entry.letter
        self.counts[letter.reason.value, letter.stage] += 1
        earlier = rows.pop(entry.name, None)
        rows[entry.name] = LetterRow(
            time_ms=entry.time_ms,
            place=letter.key(),
            line=letter.line,
            column=letter.column,
            reason=letter.reason.value,
            stage=letter.stage,
            message=letter.message[:LONGEST_MESSAGE],
            size_bytes=len(letter.value),
            is_replayed=earlier is not None and earlier.is_replayed,
        )
        if len(rows) > self._limit:
            rows.popitem(last=False)

    def newest(self) -> list[LetterRow]:
        """Return the newest letters, the oldest of them first."""
        rows = sorted((row for part in self._rows.values() for row in part.values()), key=lambda row: row.time_ms)
        return rows[-self._limit :] if self._limit else []
