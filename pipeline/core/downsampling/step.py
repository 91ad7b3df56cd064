"""The step of down-sampling: a sample into its series, in order; chunks that are over out; those revised that changed.

Everything is decided by the samples of a series in the order in which they came, so batches do not matter. A sample is
*settled* once the series' watermark (its newest event time) is ``grace_ms`` beyond it: chunks are cut over settled
samples only, in order of their times. The chunk before the open one stays until the watermark is
``allowed_lateness_ms`` beyond its end, with the encoder as it was before it: late samples change it, and it is encoded
again once.
"""

import math

from pipeline.core.compiled import Array, compiled
from pipeline.core.downsampling.budget import grant, learn_fleet
from pipeline.core.downsampling.encode import encode
from pipeline.core.downsampling.signal import sort_signal
from pipeline.core.downsampling.state import (
    GRANT,
    INTERVAL_MS,
    KEPT_CHANGED,
    KEPT_COUNT,
    KEPT_END_MS,
    KEPT_FIRST_OFFSET,
    KEPT_GAP,
    KEPT_GIVEN,
    KEPT_LAST_OFFSET,
    KEPT_REVISION,
    KEPT_START_MS,
    KIND,
    LAST_END_MS,
    LAST_MS,
    LATE,
    NEVER,
    NEXT_FIRST_OFFSET,
    OPEN_COUNT,
    OPEN_END_MS,
    OPEN_FIRST_OFFSET,
    OPEN_GAP,
    OPEN_LAST_OFFSET,
    OPEN_START_MS,
    OUT_BEFORE,
    OUT_CLASS,
    OUT_END_MS,
    OUT_FIRST_OFFSET,
    OUT_GAP,
    OUT_LAST_OFFSET,
    OUT_POINTS_FROM,
    OUT_REVISION,
    OUT_ROW,
    OUT_START_MS,
    REPLACED,
    SETTLED,
    UNUSABLE,
    WATERMARK_MS,
    DownsamplerState,
    DownsamplingRules,
    Emitted,
    EncodeScratch,
)

GREATEST = 1e305
"""Values beyond have no finite sum over a chunk; they are taken for broken ones."""
LATEST_MS = 1 << 53
"""A double holds every integer up to it: times become doubles where lines are drawn."""
_GAP_TIMES_INTERVAL = 3
"""Usual intervals that a pause is longer than when it is a gap: one lost sample is none, two are."""
_KNOWN_AFTER = 8
"""Samples in order after which a new series' interval is known: the median of seven, so that three odd ones do not
matter."""


@compiled
def add_samples(
    start: int,
    rows: Array,
    time_ms: Array,
    values: Array,
    offsets: Array,
    series: DownsamplerState,
    fleet: Array,
    rules: DownsamplingRules,
    out: Emitted,
    s: EncodeScratch,
) -> int:
    """Add samples from ``start`` on, and return where it stopped: the end, or where ``out`` might be too small."""
    room = series.time_ms.shape[1]
    for i in range(start, len(rows)):
        if not has_room(room, out):
            return i
        _add(rows[i], time_ms[i], values[i], offsets[i], series, fleet, rules, out, s)
    return len(rows)


@compiled
def flush_rows(
    start: int,
    rows: Array,
    series: DownsamplerState,
    fleet: Array,
    rules: DownsamplingRules,
    out: Emitted,
    s: EncodeScratch,
) -> int:
    """End the chunks of rows from ``start`` on as they are, and return where it stopped as `add_samples` does."""
    room = series.time_ms.shape[1]
    for i in range(start, len(rows)):
        if not has_room(room, out):
            return i
        row = rows[i]
        _settle_samples(row, True, series, fleet, rules, out, s)
        if series.whole[row, OPEN_COUNT] > 0:
            last_ms = series.time_ms[row, series.whole[row, KEPT_COUNT] + series.whole[row, OPEN_COUNT] - 1]
            _close(row, last_ms + 1, series, fleet, rules, out, s)
        else:
            _revise(row, series, rules, out, s)
    return len(rows)


@compiled
def has_room(room: int, out: Emitted) -> bool:
    """Return whether all that one sample may lead to fits: a revision, each sample a chunk of its own, one trial."""
    return out.used[0] + room + 2 <= out.whole.shape[0] and out.used[1] + 4 * room <= out.time_ms.shape[0]


@compiled
def _add(
    row: int,
    t: int,
    value: float,
    offset: int,
    series: DownsamplerState,
    fleet: Array,
    rules: DownsamplingRules,
    out: Emitted,
    s: EncodeScratch,
) -> None:
    whole = series.whole[row]
    if not (math.isfinite(value) and abs(value) <= GREATEST and abs(t) <= LATEST_MS):
        whole[UNUSABLE] += 1
        return
    if t > whole[WATERMARK_MS]:
        whole[WATERMARK_MS] = t
        if whole[KEPT_COUNT] and t >= whole[KEPT_END_MS] + rules.allowed_lateness_ms:
            _release(row, series, rules, out, s)
    if t >= _open_from(whole, rules):
        if whole[KEPT_COUNT] + whole[OPEN_COUNT] == series.time_ms.shape[1]:
            _make_room(row, series, fleet, rules, out, s)
        _insert_open(row, t, value, offset, series)
        _settle_samples(row, False, series, fleet, rules, out, s)
    elif whole[KEPT_COUNT] and whole[KEPT_START_MS] <= t < whole[KEPT_END_MS]:
        _insert_kept(row, t, value, offset, series)
    else:
        whole[LATE] += 1


@compiled
def _open_from(whole: Array, rules: DownsamplingRules) -> int:
    """Return from when on samples belong to the open chunk; behind a gap it may begin earlier than it does so far."""
    if whole[SETTLED] == 0:
        return whole[LAST_END_MS]
    return max(whole[OPEN_START_MS] // rules.chunk_ms * rules.chunk_ms, whole[LAST_END_MS])


@compiled
def _make_room(
    row: int, series: DownsamplerState, fleet: Array, rules: DownsamplingRules, out: Emitted, s: EncodeScratch
) -> None:
    """Let go of the chunk before, or else end the open one: a buffer is full before its time."""
    whole = series.whole[row]
    if whole[KEPT_COUNT]:
        _release(row, series, rules, out, s)
        return
    _settle_samples(row, True, series, fleet, rules, out, s)
    if whole[KEPT_COUNT]:
        _release(row, series, rules, out, s)
    if whole[OPEN_COUNT] == series.time_ms.shape[1]:
        _close(row, series.time_ms[row, whole[OPEN_COUNT] - 1] + 1, series, fleet, rules, out, s)
        _release(row, series, rules, out, s)


@compiled
def _insert_open(row: int, t: int, value: float, offset: int, series: DownsamplerState) -> None:
    whole = series.whole[row]
    start = whole[KEPT_COUNT]
    if whole[OPEN_COUNT] == 0:
        whole[OPEN_FIRST_OFFSET] = offset
        whole[OPEN_LAST_OFFSET] = offset
        whole[NEXT_FIRST_OFFSET] = -1
    if whole[SETTLED] and t >= whole[OPEN_END_MS] and whole[NEXT_FIRST_OFFSET] < 0:
        whole[NEXT_FIRST_OFFSET] = offset
    whole[OPEN_FIRST_OFFSET] = min(whole[OPEN_FIRST_OFFSET], offset)
    whole[OPEN_LAST_OFFSET] = max(whole[OPEN_LAST_OFFSET], offset)
    if whole[SETTLED] and t < whole[OPEN_START_MS]:
        whole[OPEN_START_MS] = t
    place = _place(row, start, start + whole[OPEN_COUNT], t, series)
    if _is_at(row, place, start + whole[OPEN_COUNT], t, series):
        series.value[row, place] = value
        whole[REPLACED] += 1
        return
    _insert(row, place, t, value, series)
    whole[OPEN_COUNT] += 1
    if place < start + whole[SETTLED]:
        whole[SETTLED] += 1


@compiled
def _insert_kept(row: int, t: int, value: float, offset: int, series: DownsamplerState) -> None:
    """Put a late sample into the chunk before, if there is room for it; the same sample again changes nothing."""
    whole = series.whole[row]
    place = _place(row, 0, whole[KEPT_COUNT], t, series)
    if _is_at(row, place, whole[KEPT_COUNT], t, series):
        whole[REPLACED] += 1
        if series.value[row, place] == value:
            return
        series.value[row, place] = value
    elif whole[KEPT_COUNT] + whole[OPEN_COUNT] == series.time_ms.shape[1]:
        whole[LATE] += 1
        return
    else:
        _insert(row, place, t, value, series)
        whole[KEPT_COUNT] += 1
    whole[KEPT_CHANGED] = 1
    whole[KEPT_FIRST_OFFSET] = min(whole[KEPT_FIRST_OFFSET], offset)
    whole[KEPT_LAST_OFFSET] = max(whole[KEPT_LAST_OFFSET], offset)


@compiled
def _place(row: int, start: int, end: int, t: int, series: DownsamplerState) -> int:
    """Return the first place of ``start`` to ``end`` whose time is not before ``t``: near the end, as a rule."""
    place = end
    while place > start and series.time_ms[row, place - 1] >= t:
        place -= 1
    return place


@compiled
def _is_at(row: int, place: int, end: int, t: int, series: DownsamplerState) -> bool:
    return place < end and series.time_ms[row, place] == t


@compiled
def _insert(row: int, place: int, t: int, value: float, series: DownsamplerState) -> None:
    total = series.whole[row, KEPT_COUNT] + series.whole[row, OPEN_COUNT]
    for i in range(total, place, -1):
        series.time_ms[row, i] = series.time_ms[row, i - 1]
        series.value[row, i] = series.value[row, i - 1]
    series.time_ms[row, place] = t
    series.value[row, place] = value


@compiled
def _settle_samples(
    row: int,
    every_one: bool,
    series: DownsamplerState,
    fleet: Array,
    rules: DownsamplingRules,
    out: Emitted,
    s: EncodeScratch,
) -> None:
    """Move on over the open samples that are in order for good, and end the chunks that they end."""
    whole = series.whole[row]
    while whole[SETTLED] < whole[OPEN_COUNT]:
        at = whole[KEPT_COUNT] + whole[SETTLED]
        t = series.time_ms[row, at]
        if not every_one and t > whole[WATERMARK_MS] - rules.grace_ms:
            return
        if whole[SETTLED] == 0:
            _open_chunk(t, whole, rules)
        else:
            before_ms = series.time_ms[row, at - 1]
            end_ms = _end_before(t, before_ms, whole, rules)
            if end_ms != NEVER:
                _close(row, end_ms, series, fleet, rules, out, s)
                continue
        whole[SETTLED] += 1
        if whole[SETTLED] == _KNOWN_AFTER and whole[INTERVAL_MS] == 0:
            whole[INTERVAL_MS] = _median_interval(row, whole[KEPT_COUNT], _KNOWN_AFTER, series, s)


@compiled
def _open_chunk(t: int, whole: Array, rules: DownsamplingRules) -> None:
    """Set the bounds of the chunk whose first sample is at ``t``."""
    if whole[INTERVAL_MS] > 0 and whole[LAST_MS] != NEVER:
        if t - whole[LAST_MS] > _GAP_TIMES_INTERVAL * whole[INTERVAL_MS]:
            whole[OPEN_GAP] = 1
    aligned = t // rules.chunk_ms * rules.chunk_ms
    whole[OPEN_START_MS] = t if whole[OPEN_GAP] else max(aligned, whole[LAST_END_MS])
    whole[OPEN_END_MS] = aligned + rules.chunk_ms


@compiled
def _end_before(t: int, before_ms: int, whole: Array, rules: DownsamplingRules) -> int:
    """Return where the open chunk ends if the settled sample at ``t`` is not of it, otherwise NEVER."""
    interval = whole[INTERVAL_MS]
    if interval > 0 and t - before_ms > _GAP_TIMES_INTERVAL * interval:
        return before_ms + 1
    if t >= whole[OPEN_END_MS]:
        _lengthen(t, whole, rules)
        if t >= whole[OPEN_END_MS]:
            return whole[OPEN_END_MS]
    if whole[SETTLED] >= rules.chunk_points:
        return t
    return NEVER


@compiled
def _lengthen(t: int, whole: Array, rules: DownsamplingRules) -> None:
    """Make the open chunk of a sparse series longer, as long as it will not have too many samples for it."""
    span = rules.chunk_ms
    start = whole[OPEN_START_MS]
    passed = whole[OPEN_END_MS] - start
    while span < rules.longest_chunk_ms and t >= whole[OPEN_END_MS]:
        span *= 3 if span == 2 * rules.chunk_ms else 2
        end = start // span * span + span
        if end <= whole[OPEN_END_MS]:
            continue
        if span > rules.longest_chunk_ms or whole[SETTLED] * (end - start) > rules.chunk_points * passed:
            return
        whole[OPEN_END_MS] = end


@compiled
def _median_interval(row: int, start: int, count: int, series: DownsamplerState, s: EncodeScratch) -> int:
    for i in range(count - 1):
        interval = series.time_ms[row, start + i + 1] - series.time_ms[row, start + i]
        s.signal[i] = interval
    sort_signal(count - 1, s)
    return max(int(s.sorted[(count - 1) // 2]), 1)


@compiled
def _close(
    row: int,
    end_ms: int,
    series: DownsamplerState,
    fleet: Array,
    rules: DownsamplingRules,
    out: Emitted,
    s: EncodeScratch,
) -> None:
    """End the open chunk with its settled samples, give it out, and keep it as the one that may be revised."""
    _release(row, series, rules, out, s)
    whole = series.whole[row]
    count = whole[SETTLED]
    if count >= _KNOWN_AFTER:
        whole[INTERVAL_MS] = _median_interval(row, 0, count, series, s)
    elif end_ms == series.time_ms[row, count - 1] + 1 and whole[INTERVAL_MS] > 0:
        whole[INTERVAL_MS] += (whole[INTERVAL_MS] + 1) // 2  # a slower pace is no series of gaps
    number = series.number[row]
    number[GRANT] = grant(rules.ratio, fleet) if rules.shared else 0.0
    for k in range(len(number)):
        series.before[row, k] = number[k]
    whole[KEPT_COUNT] = count
    whole[KEPT_START_MS] = whole[OPEN_START_MS]
    whole[KEPT_END_MS] = end_ms
    whole[KEPT_FIRST_OFFSET] = whole[OPEN_FIRST_OFFSET]
    whole[KEPT_LAST_OFFSET] = whole[OPEN_LAST_OFFSET]
    whole[KEPT_REVISION] = -1
    whole[KEPT_GIVEN] = 0
    whole[KEPT_GAP] = whole[OPEN_GAP]
    at = out.used[0]
    _give_out(row, series, rules, out, s)
    points = out.used[1] - out.whole[at, OUT_POINTS_FROM]
    learn_fleet(count, points, out.whole[at, OUT_CLASS], fleet)
    whole[LAST_END_MS] = end_ms
    whole[LAST_MS] = series.time_ms[row, count - 1]
    whole[OPEN_COUNT] -= count
    whole[SETTLED] = 0
    whole[OPEN_GAP] = 0
    if whole[OPEN_COUNT] == 1:
        whole[OPEN_FIRST_OFFSET] = whole[OPEN_LAST_OFFSET]
    elif whole[NEXT_FIRST_OFFSET] >= 0:
        whole[OPEN_FIRST_OFFSET] = whole[NEXT_FIRST_OFFSET]
    whole[NEXT_FIRST_OFFSET] = -1
    if whole[WATERMARK_MS] >= end_ms + rules.allowed_lateness_ms:
        _release(row, series, rules, out, s)


@compiled
def _give_out(row: int, series: DownsamplerState, rules: DownsamplingRules, out: Emitted, s: EncodeScratch) -> None:
    """Encode the chunk before the open one, with a higher revision than last time."""
    whole = series.whole[row]
    at = out.used[0]
    whole[KEPT_REVISION] = max(whole[KEPT_LAST_OFFSET], whole[KEPT_REVISION] + 1)
    whole[KEPT_CHANGED] = 0
    out.whole[at, OUT_ROW] = row
    out.whole[at, OUT_BEFORE] = whole[KEPT_GIVEN]
    whole[KEPT_GIVEN] = whole[KEPT_COUNT]
    out.whole[at, OUT_START_MS] = whole[KEPT_START_MS]
    out.whole[at, OUT_END_MS] = whole[KEPT_END_MS]
    out.whole[at, OUT_FIRST_OFFSET] = whole[KEPT_FIRST_OFFSET]
    out.whole[at, OUT_LAST_OFFSET] = whole[KEPT_LAST_OFFSET]
    out.whole[at, OUT_REVISION] = whole[KEPT_REVISION]
    out.whole[at, OUT_GAP] = whole[KEPT_GAP]
    times, values = series.time_ms[row], series.value[row]
    encode(times, values, whole[KEPT_COUNT], whole[KIND], whole[KEPT_GAP] != 0, series.number[row], rules, out, s)
    out.used[0] = at + 1


@compiled
def _revise(row: int, series: DownsamplerState, rules: DownsamplingRules, out: Emitted, s: EncodeScratch) -> None:
    """Encode the chunk before the open one again if late samples changed it: the open one is not encoded yet."""
    if series.whole[row, KEPT_COUNT] and series.whole[row, KEPT_CHANGED]:
        for k in range(series.number.shape[1]):
            series.number[row, k] = series.before[row, k]
        _give_out(row, series, rules, out, s)


@compiled
def _release(row: int, series: DownsamplerState, rules: DownsamplingRules, out: Emitted, s: EncodeScratch) -> None:
    """Let go of the chunk before the open one, revised where that is due."""
    _revise(row, series, rules, out, s)
    whole = series.whole[row]
    shift = whole[KEPT_COUNT]
    if shift:
        for i in range(whole[OPEN_COUNT]):
            series.time_ms[row, i] = series.time_ms[row, i + shift]
            series.value[row, i] = series.value[row, i + shift]
        whole[KEPT_COUNT] = 0
        whole[KEPT_GIVEN] = 0
