"""The plain programs that the worker is measured against do the whole job, or the comparison would be worth nothing."""

import orjson
import pytest

from bench.messages import Fleet
from bench.plain_windows import PlainWindows
from bench.verify import compare, expected_windows

FLEETS = [
    Fleet(windows=2, hosts=3),
    Fleet(windows=2, hosts=3, telegraf_floats=True),
    Fleet(windows=2, hosts=3, format="json"),
    Fleet(windows=2, hosts=3, format="json", telegraf_floats=True),
]


@pytest.mark.parametrize("fleet", FLEETS, ids=str)
def test_plain_windows_equal_those_made_from_the_numbers(fleet: Fleet) -> None:
    windows = PlainWindows()
    records = [orjson.loads(record) for message in fleet.messages() for record in windows.add(message.value)]
    expected = expected_windows(fleet)
    found = {(record["tags"]["host"], record["start_ms"]): record["fields"] for record in records}
    assert found.keys() == expected.keys()
    assert len(records) == fleet.closed_count == 6
    for key, fields in found.items():
        compare(key, expected[key], fields)


def test_a_wrong_value_is_found() -> None:
    expected = {"usage_user": {"min": 1.0, "max": 2.0, "avg": 1.5, "last": 2.0}}
    wrong = {"usage_user": {"min": 1.0, "max": 2.0, "avg": 1.5, "last": 1.0}}
    with pytest.raises(ValueError, match=r"last of usage_user is 1.0 in place of 2.0"):
        compare(("vm-000001", 0), expected, wrong)


def test_messages_are_as_large_as_the_readme_says() -> None:
    sizes = [len(message.value) for message in Fleet(windows=1, hosts=2).messages()]
    assert 280 <= sum(sizes) / len(sizes) <= 300
