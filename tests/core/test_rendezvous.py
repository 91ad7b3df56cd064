"""Keys are spread evenly over names, and few of them move when a name comes or goes."""

from collections import Counter

from pipeline.core.rendezvous import chosen

KEYS = [f"series {n}".encode() for n in range(6000)]


def test_keys_are_spread_evenly() -> None:
    counts = Counter(chosen(["a", "b", "c"], key) for key in KEYS)
    assert all(1850 < count < 2150 for count in counts.values())


def test_a_new_name_takes_its_share_and_nothing_moves_between_the_others() -> None:
    before = {key: chosen(["a", "b", "c"], key) for key in KEYS}
    after = {key: chosen(["d", "c", "b", "a"], key) for key in KEYS}
    moved = {key for key in KEYS if before[key] != after[key]}
    assert {after[key] for key in moved} == {"d"}
    assert 1350 < len(moved) < 1650


def test_a_name_that_goes_leaves_the_keys_of_the_others() -> None:
    for key in KEYS:
        if chosen(["a", "b", "c"], key) != "c":
            assert chosen(["a", "b"], key) == chosen(["a", "b", "c"], key)
