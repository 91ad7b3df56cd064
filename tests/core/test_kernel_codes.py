"""Numbers that kernels and Python share mean the same in every version: they are written down, not counted."""

from pipeline.core.audit import checks, samples, values
from pipeline.core.records.identity import interning
from pipeline.core.records.kafka import section_faults
from pipeline.core.records.telegraf import fast_parse, fast_values
from pipeline.core.windows import fold, state


def test_codes_of_windows() -> None:
    assert (state.CLOSED, state.PENDING) == (1, 2)
    cell = (state.MIN, state.MAX, state.SUM, state.LAST, state.FIRST, state.COUNT, state.LAST_AT, state.FIRST_AT)
    assert cell == (0, 1, 2, 3, 4, 5, 6, 7)
    assert (state.LINE, state.PARTITION_MS, state.WANTED_RING, state.STATE_SIZE) == (0, 4, 16, 17)
    assert (state.AGGREGATED, state.LATE, state.TOO_LATE, state.EMITTED, state.CORRECTIONS) == (0, 1, 2, 3, 4)
    assert (fold.DONE, fold.TEXTS_FULL, fold.NODES_FULL, fold.RING_FULL) == (0, 1, 2, 3)


def test_codes_of_records() -> None:
    assert (interning.FORMAT_INFLUX, interning.FORMAT_JSON, fast_parse.FORMAT_AUTO) == (0, 1, 2)
    assert (interning.KIND_GAUGE, interning.KIND_COUNTER) == (0, 1)
    units = (fast_values.UNIT_NS, fast_values.UNIT_US, fast_values.UNIT_MS, fast_values.UNIT_S, fast_values.UNIT_AUTO)
    assert units == (0, 1, 2, 3, 4)
    assert (section_faults.SECTION_OK, *section_faults.SECTION_FAULTS) == (0, 1, 2, 3, 4, 5)


def test_codes_of_the_audit() -> None:
    assert (samples.TAKEN, samples.DOUBTFUL, samples.OUT, samples.BRIDGING) == (0, 1, 2, 3)
    assert (values.CLOSED, values.OPEN, values.DOUBTFUL) == (0, 1, 2)
    where = (checks.IN_WINDOWS, checks.TOO_LATE, checks.OPEN, checks.WAITING, checks.UNKNOWN)
    assert where == (0, 1, 2, 3, 4)
