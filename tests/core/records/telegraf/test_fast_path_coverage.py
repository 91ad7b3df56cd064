"""What real agents sent is taken by the fast path: once a series is known, nothing of it is parsed slowly."""

import pytest

from pipeline.core.records.telegraf.parser import batch_of
from pipeline.core.windows.aggregator import PartitionAggregator
from pipeline.core.windows.rules import WindowRules
from tests.support.core.cases import DATA
from tests.support.core.random_logs import is_counter

NOW_MS = 2_000_000_000_000
CAPTURES = sorted((DATA / "telegraf").glob("*.lp")) + sorted((DATA / "telegraf").glob("*.json"))


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_a_known_series_of_a_real_agent_is_never_parsed_slowly(capture, monkeypatch):
    lines = capture.read_bytes().splitlines(keepends=True)
    aggregator = PartitionAggregator(0, WindowRules(), is_counter)
    aggregator.add(batch_of(lines, 0), 0, len(lines), NOW_MS)
    before = aggregator.balance

    def fail(*_args: object) -> None:
        pytest.fail("a record of a known series went to the plain parsers")

    monkeypatch.setattr(aggregator._parser, "_parse_plainly", fail)
    aggregator.add(batch_of(lines, len(lines)), 0, len(lines), NOW_MS)
    assert aggregator.balance.parsed == 2 * before.parsed
