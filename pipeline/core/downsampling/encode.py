"""One chunk encoded: what it is like, its budget, its encoder, and what the next chunk needs to know."""

from pipeline.core.compiled import Array, compiled
from pipeline.core.downsampling.budget import Budget, base_points, budget_of, settle
from pipeline.core.downsampling.levels import keep_levels, keep_runs
from pipeline.core.downsampling.lines import keep_increases, keep_lines
from pipeline.core.downsampling.points import measure_errors
from pipeline.core.downsampling.profile import changes_of, choose_class, learn_profile
from pipeline.core.downsampling.signal import INCREASES_SIGNAL, VALUES_SIGNAL, learn_scale, sort_signal
from pipeline.core.downsampling.state import (
    ANCHOR_MS,
    ANCHOR_READING,
    ANCHOR_VALUE,
    CHUNKS,
    CLASS_COUNTER,
    CLASS_NOISY,
    CLASS_SPIKY,
    CLASS_STEP,
    GRANT,
    HELD,
    INCREASES,
    LAST_VALUE,
    LEVELS,
    LINE,
    LINES,
    OUT_CLASS,
    OUT_ENCODER,
    OUT_FIRST_MS,
    OUT_LAST_MS,
    OUT_MAX,
    OUT_MIN,
    OUT_POINTS_FROM,
    OUT_POINTS_TO,
    OUT_RAW,
    OUT_SIGMA,
    OUT_SUM,
    REFITTED_LINES,
    SCALE,
    STEP,
    DownsamplingRules,
    Emitted,
    EncodeScratch,
)

_GOOD, _SEVERAL = 0.05, 8
"""Residual of several lines, in usual deviations, at which nothing else is tried: levels would hardly be better. Of
the first, half gives infrastructure 8.70 % .0326 .847, node 7.58 % .0273 .886, made 5.73 % .0269 .902; double
infrastructure 8.74 % .0333 .853, node 7.58 % .0275 .890, made 6.05 % .0271 .920. Of the second, half and double
give the same."""
_CLEARLY = 0.8
"""Part of the lines' cost below which levels are taken: lines keep the tails' shares better (measured). .4 gives
infrastructure 8.90 % .0359 .879, node 7.58 % .0283 .897, made 6.05 % .0272 .914; 1 gives infrastructure 8.70 %
.0322 .833, node 7.58 % .0273 .884, made 6.07 % .0269 .912."""


@compiled
def encode(
    times: Array,
    values: Array,
    count: int,
    kind: int,
    gap: bool,
    number: Array,
    rules: DownsamplingRules,
    out: Emitted,
    s: EncodeScratch,
) -> None:
    """Encode the next chunk of a series into ``out`` and learn it.

    Parameters
    ----------
    times, values, count : int64[], float64[], int
        The samples, at least one.
    kind : int
        AUTO, GAUGE, COUNTER or STATE.
    gap : bool
        Whether there is a gap before the chunk: nothing is drawn over it.
    number : float64[NUMBERS]
        What is known of the series; changed.
    """
    if gap:
        number[ANCHOR_READING] = 0.0
    at = out.used[0]
    out.whole[at, OUT_POINTS_FROM] = out.used[1]
    _describe(times, values, count, at, out)
    for i in range(count):
        s.signal[i] = values[i]
    sort_signal(count, s)
    learn_profile(values, count, number, s)
    share = rules.ratio + number[GRANT]
    changes = changes_of(values, count)
    series_class = choose_class(kind, changes, count * share, rules.ratio, number)
    base = base_points(count, share, series_class)
    budget = budget_of(base, series_class, number)
    if series_class == CLASS_COUNTER:
        _increases(values, count, number, s)
        sort_signal(count, s)
        learn_scale(count, INCREASES_SIGNAL, number, s)
    else:
        learn_scale(count, VALUES_SIGNAL, number, s)
    lossless = series_class == CLASS_STEP and changes + 1 <= budget.most
    if lossless:
        encoder = HELD
        keep_runs(times, values, count, out)
    elif series_class == CLASS_COUNTER:
        encoder = INCREASES
        keep_increases(times, values, count, budget, number, out, s)
    elif series_class in (CLASS_STEP, CLASS_NOISY):
        encoder = LEVELS
        keep_levels(times, values, count, kind, budget, number, out, s)
    else:
        encoder = _keep_lines_or_levels(times, values, count, kind, series_class, budget, number, out, s)
    out.whole[at, OUT_POINTS_TO] = out.used[1]
    out.whole[at, OUT_CLASS] = series_class
    out.whole[at, OUT_ENCODER] = encoder
    measure_errors(times, values, count, number, at, out, s)
    settle(out.used[1] - out.whole[at, OUT_POINTS_FROM], base, not lossless, number)
    last = out.used[1] - 1
    number[ANCHOR_MS], number[ANCHOR_VALUE] = out.time_ms[last], out.value[last]
    number[ANCHOR_READING] = STEP if encoder in (HELD, LEVELS) else LINE
    number[LAST_VALUE] = values[count - 1]
    number[CHUNKS] += 1.0


@compiled
def _keep_lines_or_levels(
    times: Array,
    values: Array,
    count: int,
    kind: int,
    series_class: int,
    budget: Budget,
    number: Array,
    out: Emitted,
    s: EncodeScratch,
) -> int:
    """Try both, keep levels if they are clearly cheaper, in squared error and points' worth, and return the encoder."""
    at = out.used[0]
    start = out.used[1]
    refit = series_class == CLASS_SPIKY
    keep_lines(times, values, count, refit, budget, number, out, s)
    middle = out.used[1]
    by_lines = _cost(times, values, count, start, middle, budget.worth, number, out, s)
    encoder = REFITTED_LINES if refit else LINES
    if middle - start >= _SEVERAL and out.number[at, OUT_SIGMA] <= _GOOD * number[SCALE]:
        return encoder
    keep_levels(times, values, count, kind, budget, number, out, s)
    end = out.used[1]
    by_levels = _cost(times, values, count, middle, end, budget.worth, number, out, s)
    out.whole[at, OUT_POINTS_FROM] = start
    if by_levels >= _CLEARLY * by_lines:
        out.used[1] = middle
        return encoder
    for k in range(end - middle):
        out.time_ms[start + k] = out.time_ms[middle + k]
        out.value[start + k] = out.value[middle + k]
        out.interp[start + k] = out.interp[middle + k]
    out.used[1] = start + end - middle
    return LEVELS


@compiled
def _cost(
    times: Array,
    values: Array,
    count: int,
    start: int,
    end: int,
    worth: float,
    number: Array,
    out: Emitted,
    s: EncodeScratch,
) -> float:
    at = out.used[0]
    out.whole[at, OUT_POINTS_FROM] = start
    out.whole[at, OUT_POINTS_TO] = end
    measure_errors(times, values, count, number, at, out, s)
    sigma = out.number[at, OUT_SIGMA] / number[SCALE] if number[SCALE] > 0.0 else 0.0
    return count * sigma * sigma + worth * (end - start)


@compiled
def _describe(times: Array, values: Array, count: int, at: int, out: Emitted) -> None:
    """Note the exact minimum, maximum and sum of the samples."""
    least, greatest, total = values[0], values[0], 0.0
    for i in range(count):
        least = min(least, values[i])
        greatest = max(greatest, values[i])
        total += values[i]
    out.whole[at, OUT_RAW] = count
    out.whole[at, OUT_FIRST_MS] = times[0]
    out.whole[at, OUT_LAST_MS] = times[count - 1]
    out.number[at, OUT_MIN] = least
    out.number[at, OUT_MAX] = greatest
    out.number[at, OUT_SUM] = total


@compiled
def _increases(values: Array, count: int, number: Array, s: EncodeScratch) -> None:
    """Set the signal to what the counter grew by up to each sample; after a reset it grew from zero."""
    previous = number[LAST_VALUE] if number[ANCHOR_READING] != 0.0 else values[0]
    for i in range(count):
        s.signal[i] = values[i] - previous if values[i] >= previous else values[i]
        previous = values[i]
