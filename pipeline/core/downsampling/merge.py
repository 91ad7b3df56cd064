"""Bottom-up simplification: the point whose loss costs least goes first, until the rest is worth its room.

Costs come from prefix sums, the cheapest point from a heap whose outdated entries are known by a stamp: n samples take
O(n log n) (Keogh et al., "An online algorithm for segmenting time series", 2001, with pinned points and a budget).
"""

from pipeline.core.compiled import compiled
from pipeline.core.downsampling.budget import Budget
from pipeline.core.downsampling.state import EncodeScratch

VALUES, RATES, MEANS = 0, 1, 2
"""What a segment is measured by: its values beside a line, its increases beside a steady rate, its values' mean."""


@compiled
def prepare_sums(count: int, measured_by: int, s: EncodeScratch) -> None:
    """Set the prefix sums of ``count`` nodes; for increases, ``signal[i]`` is that from node i - 1 to i."""
    sums = s.sums
    for k in range(5):
        sums[0, k] = 0.0
    for i in range(count):
        if measured_by == RATES:
            x = s.x[i] - s.x[i - 1] if i > 0 else 0.0
            y = s.signal[i] if i > 0 else 0.0
        else:
            x = s.x[i]
            y = s.y[i]
        sums[i + 1, 0] = sums[i, 0] + x
        sums[i + 1, 1] = sums[i, 1] + x * x
        sums[i + 1, 2] = sums[i, 2] + y
        sums[i + 1, 3] = sums[i, 3] + y * y
        sums[i + 1, 4] = sums[i, 4] + x * y


@compiled
def error_between(left: int, right: int, measured_by: int, s: EncodeScratch) -> float:
    """Return the squared error when nothing is kept between two nodes."""
    if right - left <= 1:
        return 0.0
    inner = 1 if measured_by == RATES else 0  # rates are measured by the increase up to the right node, too
    sums = s.sums
    x = sums[right + inner, 0] - sums[left + 1, 0]
    xx = sums[right + inner, 1] - sums[left + 1, 1]
    y = sums[right + inner, 2] - sums[left + 1, 2]
    yy = sums[right + inner, 3] - sums[left + 1, 3]
    xy = sums[right + inner, 4] - sums[left + 1, 4]
    if measured_by == RATES:
        slope = y / x
        return max(yy - slope * (2.0 * xy - slope * xx), 0.0)
    slope = (s.y[right] - s.y[left]) / (s.x[right] - s.x[left])
    base = s.y[left] - slope * s.x[left]
    ideal = base * ((right - left - 1) * base + 2.0 * slope * x) + slope * slope * xx
    return max(yy - 2.0 * (base * y + slope * xy) + ideal, 0.0)


@compiled
def _cost(node: int, measured_by: int, s: EncodeScratch) -> float:
    """Return what the squared error grows by without a node, and note the error of what would be one segment then."""
    left, right = s.before[node], s.after[node]
    if measured_by == MEANS:
        n1, n2 = node - left, right - node
        apart = (s.sums[node, 2] - s.sums[left, 2]) * n2 - (s.sums[right, 2] - s.sums[node, 2]) * n1
        return apart * apart / (n1 * n2 * (n1 + n2))
    s.joined[node] = error_between(left, right, measured_by, s)
    return s.joined[node] - s.error[left] - s.error[node]


@compiled
def _push(size: int, cost: float, node: int, stamp: int, s: EncodeScratch) -> int:
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if s.heap_cost[parent] <= cost:
            break
        s.heap_cost[i] = s.heap_cost[parent]
        s.heap_node[i] = s.heap_node[parent]
        s.heap_stamp[i] = s.heap_stamp[parent]
        i = parent
    s.heap_cost[i] = cost
    s.heap_node[i] = node
    s.heap_stamp[i] = stamp
    return size + 1


@compiled
def _pop(size: int, s: EncodeScratch) -> int:
    """Take the top off; the caller has read it."""
    size -= 1
    cost, node, stamp = s.heap_cost[size], s.heap_node[size], s.heap_stamp[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and s.heap_cost[child + 1] < s.heap_cost[child]:
            child += 1
        if s.heap_cost[child] >= cost:
            break
        s.heap_cost[i] = s.heap_cost[child]
        s.heap_node[i] = s.heap_node[child]
        s.heap_stamp[i] = s.heap_stamp[child]
        i = child
    s.heap_cost[i] = cost
    s.heap_node[i] = node
    s.heap_stamp[i] = stamp
    return size


@compiled
def simplify(count: int, measured_by: int, budget: Budget, s: EncodeScratch) -> int:
    """Remove nodes of ``count``, cheapest first, until the budget is kept, and return how many are left.

    A node goes while there are more than the most, or while it is worth too little and there are more than the least;
    the pinned ones never do, and neither do the first and the last (of lines and rates; for means, the first).
    Afterwards ``after[node]`` leads from each node that is left to the next one, and is -1 for a node that is gone.
    """
    prepare_sums(count, measured_by, s)
    for i in range(count):
        s.before[i] = i - 1
        s.after[i] = i + 1
        s.stamp[i] = 0
        s.error[i] = 0.0
    size = 0
    last = count if measured_by == MEANS else count - 1
    for i in range(1, last):
        if not s.pinned[i]:
            size = _push(size, _cost(i, measured_by, s), i, 0, s)
    left = count
    while size > 0 and left > budget.least:
        cost, node = s.heap_cost[0], s.heap_node[0]
        fresh = s.after[node] >= 0 and s.heap_stamp[0] == s.stamp[node]
        if fresh and left <= budget.most and cost > budget.worth:
            break
        size = _pop(size, s)
        if not fresh:
            continue
        before, after = s.before[node], s.after[node]
        s.after[before] = after
        s.error[before] = s.joined[node]
        if after < count:
            s.before[after] = before
        s.after[node] = -1
        left -= 1
        for neighbour in (before, after):
            if 0 < neighbour < last and not s.pinned[neighbour]:
                s.stamp[neighbour] += 1
                size = _push(size, _cost(neighbour, measured_by, s), neighbour, s.stamp[neighbour], s)
    return left
