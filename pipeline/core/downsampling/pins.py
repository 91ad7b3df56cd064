"""Samples that stay whatever they cost: the extremes of a chunk, and those that are rare for the series."""

from pipeline.core.compiled import Array, compiled
from pipeline.core.downsampling.state import HIGH, LOW, EncodeScratch


@compiled
def rare_extremes(count: int, number: Array, s: EncodeScratch) -> int:
    """Set ``order`` to the signal's local extremes beyond the running 2 % to 98 %, most extreme first; return how many.

    The greatest and the least of the chunk come first of all.
    """
    found = 0
    least, greatest = 0, 0
    for i in range(1, count):
        if s.signal[i] < s.signal[least]:
            least = i
        if s.signal[i] > s.signal[greatest]:
            greatest = i
    middle = 0.5 * (number[LOW] + number[HIGH])
    for i in range(count):
        value = s.signal[i]
        before = s.signal[i - 1] if i > 0 else value
        after = s.signal[i + 1] if i + 1 < count else value
        top = value >= before and value >= after and (value > before or value > after)
        bottom = value <= before and value <= after and (value < before or value < after)
        if i != least and i != greatest:
            if not ((top and value > number[HIGH]) or (bottom and value < number[LOW])):
                continue
            s.weight[i] = abs(value - middle)
        else:
            s.weight[i] = 1e308
        j = found
        while j > 0 and s.weight[s.order[j - 1]] < s.weight[i]:
            s.order[j] = s.order[j - 1]
            j -= 1
        s.order[j] = i
        found += 1
    return found
