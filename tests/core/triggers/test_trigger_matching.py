"""Which policies match which series: as each policy says by itself, found without asking each."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.globs import LONGEST_TEXT, glob_matches
from pipeline.core.triggers.matching import SAMPLES, PolicyIndex, Selector, TriggerSeries
from schemas.selection import MOST_STARS
from schemas.trigger_policy import TriggerPolicy, trigger_policy

SERIES = TriggerSeries(SAMPLES, "cpu", "usage_active", {"cpu": "cpu-total", "ns_id": "prod", "node_id": "vm-1"})


def policy(**keys: Any) -> TriggerPolicy:
    return trigger_policy({"id": "p", "levels": {"info": {"fire": 1}}} | keys)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"where": {"measurement": "c*", "field": "usage_??????"}},
        {"where": {"tags": {"cpu": "cpu-[a-t]otal"}}},
        {"targets": [{"ns_id": "test"}, {"ns_id": "prod", "infra_id": "*"}]},
        {"on": "silence", "silence_after": "1m"},
    ],
)
def test_it_matches(keys: dict[str, Any]) -> None:
    selector = Selector(policy(**keys))

    assert (selector.matches(SERIES), selector.mismatch(SERIES)) == (True, None)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"where": {"measurement": "CPU"}}, "where.measurement 'CPU' does not match 'cpu'"),
        ({"where": {"field": "usage"}}, "where.field 'usage' does not match 'usage_active'"),
        ({"where": {"tags": {"cpu": "cpu0"}}}, "where.tags.cpu 'cpu0' does not match 'cpu-total'"),
        ({"where": {"tags": {"disk": "*"}}}, "where.tags.disk '*': the series has no such tag"),
        ({"targets": [{"ns_id": "test"}, {"infra_id": "?*"}]}, "none of its targets"),
        ({"on": "window"}, "on window:avg is not sample"),
    ],
)
def test_it_does_not_match_and_says_why(keys: dict[str, Any], reason: str) -> None:
    selector = Selector(policy(**keys))

    assert (selector.matches(SERIES), selector.mismatch(SERIES)) == (False, reason)


texts = st.sampled_from(["a", "b", "*", "?", "a*", "[ab]"])
plain = st.sampled_from(["a", "b", "ab", "field"])
wheres = st.fixed_dictionaries(
    {}, optional={"measurement": texts, "field": texts, "tags": st.dictionaries(st.sampled_from(["x", "ns_id"]), texts)}
)
targets = st.lists(st.fixed_dictionaries({}, optional={"ns_id": texts, "node_id": texts}), max_size=3)
names = st.builds(
    TriggerSeries, st.just(SAMPLES), plain, plain, st.dictionaries(st.sampled_from(["x", "ns_id", "node_id"]), plain)
)


@given(chosen=st.lists(st.tuples(wheres, targets), max_size=12), name=names, dropped=st.integers(0, 12))
def test_the_index_finds_what_each_policy_says(
    chosen: list[tuple[dict[str, Any], list[dict[str, str]]]], name: TriggerSeries, dropped: int
) -> None:
    index = PolicyIndex()
    policies = [
        Selector(policy(id=f"p{number:02d}", where=where, targets=of)) for number, (where, of) in enumerate(chosen)
    ]
    for each in [*policies, *policies]:  # the second time as an edit
        index.put(each)
    index.drop(f"p{dropped:02d}")

    left = [each for each in policies if each.policy_id != f"p{dropped:02d}"]
    assert index.matching(name) == [each.policy_id for each in left if each.matches(name)]


@pytest.mark.parametrize("field", ["usage_active", "*"])
def test_policies_for_a_machine_each_are_not_all_asked_for_a_series(
    monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    index = PolicyIndex()
    for number in range(1000):
        where = {"measurement": "cpu", "field": field, "tags": {"cpu": "cpu-total"}}
        index.put(Selector(policy(id=f"p{number}", where=where, targets=[{"node_id": f"vm-{number}"}])))
    asked = []
    really = Selector.matches
    monkeypatch.setattr(Selector, "matches", lambda self, name: asked.append(self.policy_id) or really(self, name))

    assert index.matching(SERIES) == ["p1"]
    assert set(asked) <= {"p0", "p1"}


def test_a_glob_that_could_go_on_forever_does_not() -> None:
    hostile = Selector(policy(where={"measurement": "*a" * MOST_STARS + "b"}))

    assert not hostile.matches(SERIES._replace(measurement="a" * 10_000))
    assert not hostile.matches(SERIES._replace(measurement="a" * LONGEST_TEXT))
    assert not glob_matches("*a" * 100 + "b", "a" * LONGEST_TEXT)
