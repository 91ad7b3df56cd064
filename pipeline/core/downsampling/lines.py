"""Encoders whose points are joined by lines: through samples, through refitted knots, and of counters' increases."""

from pipeline.core.compiled import Array, compiled
from pipeline.core.downsampling.budget import Budget
from pipeline.core.downsampling.levels import rounded
from pipeline.core.downsampling.merge import RATES, VALUES, simplify
from pipeline.core.downsampling.pins import rare_extremes
from pipeline.core.downsampling.points import add_point
from pipeline.core.downsampling.state import (
    ANCHOR_MS,
    ANCHOR_READING,
    ANCHOR_VALUE,
    LINE,
    MEAN,
    SCALE,
    STEP,
    Emitted,
    EncodeScratch,
)

_PINNED_PART = 0.35
"""Of the budget that may go to rare extremes. Half gives infrastructure 8.70 % .0326 .846, node 7.58 % .0274 .891,
made 6.06 % .0269 .913; double infrastructure 8.71 % .0323 .831, node 7.58 % .0274 .885."""
_PINNED_PART_OF_COUNTER = 0.5
"""The same of rare increases, each of which takes up to two points. Half gives node 7.51 % .0263 .859, made 5.95 %
.0269 .907; double node 7.60 % .0334 .893, made 6.23 % .0274 .931."""


@compiled
def is_anchored(number: Array) -> bool:
    """Return whether a line may begin at the last point of the chunk before."""
    return number[ANCHOR_READING] == LINE


@compiled
def keep_lines(
    times: Array,
    values: Array,
    count: int,
    refit: bool,
    budget: Budget,
    number: Array,
    out: Emitted,
    s: EncodeScratch,
) -> None:
    """Keep samples that straight lines join, and the rare extremes among them."""
    shift = _set_times(times, count, number, s)
    unit = number[SCALE] if number[SCALE] > 0.0 else 1.0
    if shift:
        s.y[0] = (number[ANCHOR_VALUE] - number[MEAN]) / unit
    for i in range(count):
        s.y[i + shift] = (values[i] - number[MEAN]) / unit
    nodes = count + shift
    extremes = rare_extremes(count, number, s)
    _pin(nodes, shift, _PINNED_PART * budget.most, extremes, s)
    simplify(nodes, VALUES, _with_anchor(budget, shift), s)
    if refit:
        _refit(nodes, s)
    _emit_nodes(times, values, nodes, shift, refit, number, out, s)


@compiled
def keep_increases(
    times: Array,
    values: Array,
    count: int,
    budget: Budget,
    number: Array,
    out: Emitted,
    s: EncodeScratch,
) -> None:
    """Keep samples of a counter, so that it grows steadily between them; both sides of every reset stay."""
    shift = _set_times(times, count, number, s)
    unit = number[SCALE] if number[SCALE] > 0.0 else 1.0
    nodes = count + shift
    extremes = rare_extremes(count, number, s)
    # s.signal holds the increases from sample to sample; those of nodes begin one later when there is an anchor
    for i in range(nodes - 1, -1, -1):
        value = s.signal[i - shift] if i >= shift else 0.0
        s.signal[i] = value / unit
    previous = number[ANCHOR_VALUE] if shift else values[0]
    _pin_increases(values, nodes, shift, previous, _PINNED_PART_OF_COUNTER * budget.most, extremes, s)
    simplify(nodes, RATES, _with_anchor(budget, shift), s)
    _emit_nodes(times, values, nodes, shift, False, number, out, s)


@compiled
def _set_times(times: Array, count: int, number: Array, s: EncodeScratch) -> int:
    """Set the nodes' times in samples, the anchor's first; return 1 if there is one."""
    shift = 1 if is_anchored(number) else 0
    start = number[ANCHOR_MS] if shift else float(times[0])
    usual = (times[count - 1] - start) / max(count - 1 + shift, 1)
    if usual <= 0.0:
        usual = 1.0
    s.x[0] = 0.0
    for i in range(count):
        s.x[i + shift] = (times[i] - start) / usual
    return shift


@compiled
def _pin(nodes: int, shift: int, most: float, extremes: int, s: EncodeScratch) -> None:
    for i in range(nodes):
        s.pinned[i] = 0
    for k in range(min(extremes, int(most))):
        s.pinned[s.order[k] + shift] = 1
    s.pinned[nodes - 1] = 1


@compiled
def _pin_increases(
    values: Array, nodes: int, shift: int, previous: float, room: float, extremes: int, s: EncodeScratch
) -> None:
    """Pin both ends of rare increases as far as there is room, and of every reset."""
    for i in range(nodes):
        s.pinned[i] = 0
    for k in range(extremes):
        i = s.order[k] + shift
        needed = (0 if s.pinned[i] else 1) + (1 if i > shift and not s.pinned[i - 1] else 0)
        if needed > room:
            break
        room -= needed
        s.pinned[i] = 1
        if i > 0:
            s.pinned[i - 1] = 1
    for i in range(shift, nodes):
        if values[i - shift] < previous:
            s.pinned[i] = 1
            if i > 0:
                s.pinned[i - 1] = 1
        previous = values[i - shift]
    s.pinned[nodes - 1] = 1


@compiled
def _with_anchor(budget: Budget, shift: int) -> Budget:
    """Return the budget of nodes: the anchor is one that is kept already."""
    return Budget(budget.least + shift, budget.most + shift, budget.worth)


@compiled
def _refit(nodes: int, s: EncodeScratch) -> None:
    """Set ``knot_y`` to the knots' best values by least squares; pinned ones, the first and the last stay."""
    i = 0
    knots = 0
    while i < nodes:
        s.order[knots] = i
        knots += 1
        i = s.after[i]
    diagonal, above, right = s.solve[0], s.solve[1], s.solve[2]
    for k in range(knots):
        diagonal[k], above[k], right[k] = 0.0, 0.0, 0.0
    for k in range(knots - 1):
        left, end = s.order[k], s.order[k + 1]
        width = s.x[end] - s.x[left]
        for j in range(left, end + (1 if end == nodes - 1 else 0)):
            part = (s.x[j] - s.x[left]) / width
            diagonal[k] += (1.0 - part) * (1.0 - part)
            diagonal[k + 1] += part * part
            above[k] += part * (1.0 - part)
            right[k] += (1.0 - part) * s.y[j]
            right[k + 1] += part * s.y[j]
    _solve_fixed(knots, nodes, s)
    for k in range(knots):
        s.knot_y[s.order[k]] = right[k]


@compiled
def _solve_fixed(knots: int, nodes: int, s: EncodeScratch) -> None:
    """Solve the tridiagonal system in place (Thomas), the fixed knots being known."""
    diagonal, above, right = s.solve[0], s.solve[1], s.solve[2]
    for k in range(knots):
        i = s.order[k]
        if k == 0 or i == nodes - 1 or s.pinned[i]:
            if k > 0:
                right[k - 1] -= above[k - 1] * s.y[i]
                above[k - 1] = 0.0
            if k + 1 < knots:
                right[k + 1] -= above[k] * s.y[i]
            above[k] = 0.0
            diagonal[k] = 1.0
            right[k] = s.y[i]
    for k in range(1, knots):
        factor = above[k - 1] / diagonal[k - 1]
        diagonal[k] -= factor * above[k - 1]
        right[k] -= factor * right[k - 1]
    for k in range(knots - 1, -1, -1):
        if k + 1 < knots:
            right[k] -= above[k] * right[k + 1]
        right[k] /= diagonal[k]


@compiled
def _emit_nodes(
    times: Array, values: Array, nodes: int, shift: int, refit: bool, number: Array, out: Emitted, s: EncodeScratch
) -> None:
    """Emit the nodes that are left, the anchor excepted; the first one without an anchor is reached by a step."""
    least, greatest = values[0], values[0]
    for i in range(nodes - shift):
        least = min(least, values[i])
        greatest = max(greatest, values[i])
    i = s.after[0] if shift else 0
    while i < nodes:
        value = values[i - shift]
        if refit and i > 0 and i < nodes - 1 and not s.pinned[i]:
            value = rounded(number[MEAN] + number[SCALE] * s.knot_y[i], number)
            value = min(max(value, least), greatest)
        add_point(times[i - shift], value, STEP if i == 0 else LINE, out)
        i = s.after[i]
