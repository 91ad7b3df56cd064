"""A tenant's globs against an agent's long tags stall nobody: each match is linear, and a policy's are counted."""

import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.globs import LONGEST_TEXT, SeriesSelector, glob_matches
from schemas.detection_rule import DetectionRule
from schemas.mistakes import PolicyError
from schemas.selection import LONGEST_GLOB, MOST_SEARCHES, MOST_STARS, Target, Where, searches
from schemas.silence import AlertMatcher
from schemas.trigger_policy import TriggerPolicy, trigger_policy


def policy(**parts: object) -> TriggerPolicy:
    return trigger_policy({"id": "p", "levels": {"info": {"fire": 1}}, **parts})


def test_the_attack_is_refused_when_it_is_posted() -> None:
    with pytest.raises(PolicyError, match=r"targets\[0\]\.ns_id: should have at most 200 characters"):
        policy(targets=[{"ns_id": "*" + "a" * 430}] * 500)


def test_the_attack_within_the_limits_takes_no_search_of_a_long_tag() -> None:
    glob = "*" + "a" * (LONGEST_GLOB - 1)
    selector = SeriesSelector(Where(), [Target(ns_id=f"*{number}{glob[5:]}") for number in range(1000)])
    begun_s = time.process_time()
    assert not selector.matches("cpu", "usage", {"ns_id": "a" * 60_000})
    assert not selector.matches("cpu", "usage", {"ns_id": "a" * LONGEST_TEXT})
    assert time.process_time() - begun_s < 2


@pytest.mark.parametrize(
    "glob", ["*" + "a" * 190 + "?b*", "*" + "[a-z]" * 38 + "0*", "*a*a*a*a*a*a*a*a*b*", "*" + "a?" * 95 + "b*"]
)
def test_the_dearest_policy_allowed_is_compared_at_once(glob: str) -> None:
    count = MOST_SEARCHES // searches(glob)
    selector = SeriesSelector(policy(targets=[{"ns_id": glob}] * count).where, [Target(ns_id=glob)] * count)
    begun_s = time.process_time()
    assert not selector.matches("cpu", "usage", {"ns_id": "a" * LONGEST_TEXT})
    assert time.process_time() - begun_s < 2


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"where": {"tags": {"host": "*" * (MOST_STARS + 1)}}}, "where.tags.host: must have at most 10 stars, got 11"),
        ({"targets": [{"ns_id": "*a*b*", "region": "*c*"}] * 500}, "take 2500 searches of a text, allowed are 2000"),
        ({"targets": [{"ns_id": "*" + "a?" * 90 + "*"}] * 20}, "take 3660 searches of a text, allowed are 2000"),
    ],
)
def test_globs_that_take_long_are_refused_with_what_is_allowed(parts: dict[str, object], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        policy(**parts)


def test_the_globs_of_silences_and_detection_rules_are_counted_too() -> None:
    with pytest.raises(ValueError, match="allowed are 2000"):
        AlertMatcher(policies=("*a*b*",) * 1000)
    with pytest.raises(ValueError, match="allowed are 2000"):
        DetectionRule.model_validate({"id": "r", "title": "t", "targets": [{"ns_id": "*a*b*"}] * 1000})


def test_a_thousand_targets_named_literally_or_by_their_beginning_are_allowed() -> None:
    targets = [{"ns_id": f"ns-{number}", "region": "kr-*", "node_id": "web-??"} for number in range(1000)]
    assert len(policy(targets=targets).targets) == 1000


def test_a_tag_that_is_too_long_is_matched_by_all_alone() -> None:
    text = "a" * (LONGEST_TEXT + 1)
    assert [glob_matches(glob, text) for glob in ("*", "a*", "*a", "**")] == [True, False, False, False]
    assert glob_matches("a*a", text[1:])


@given(
    glob=st.lists(st.sampled_from(["*", "?", "a", "b", "[ab]", "[!a]", "[*]", "[", "]", "aab"]), max_size=10),
    text=st.text(alphabet="ab*[]\n", max_size=60),
)
def test_leftmost_places_match_what_fnmatch_matches(glob: list[str], text: str) -> None:
    assert glob_matches("".join(glob), text) is fnmatchcase(text, "".join(glob))
