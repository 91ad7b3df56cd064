"""Three generations of identity tags are one, and every metric belongs to one resource."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.records.identity.resource import CANONICAL_TAGS, canonical_tags, resource_of

GENERATIONS = [
    ("nsId", "mcisId", "vmId"),
    ("nsId", "mck8sId", "vmId"),
    ("ns_id", "mci_id", "vm_id"),
    ("ns_id", "infra_id", "node_id"),
]
KEYS = st.sampled_from([*CANONICAL_TAGS, *CANONICAL_TAGS.values(), "host", "node_name", "cpu"])
TAGS = st.dictionaries(KEYS, st.sampled_from(["", "a", "b", "c"]))


@pytest.mark.parametrize("generation", GENERATIONS)
def test_each_generation_has_the_same_canonical_form(generation: tuple[str, str, str]) -> None:
    tags = dict(zip(generation, ("ns1", "i1", "n1"), strict=True))
    assert canonical_tags(tags) == {"infra_id": "i1", "node_id": "n1", "ns_id": "ns1"}
    assert resource_of(canonical_tags(tags)) == "ns1/i1/n1"


@given(TAGS)
def test_canonical_tags_are_sorted_and_have_no_older_spelling_and_no_empty_value(tags: dict[str, str]) -> None:
    canonical = canonical_tags(tags)
    assert list(canonical) == sorted(canonical)
    assert not set(canonical) & set(CANONICAL_TAGS)
    assert all(canonical.values())


@given(TAGS)
def test_canonical_tags_stay_as_they_are(tags: dict[str, str]) -> None:
    assert canonical_tags(canonical_tags(tags)) == canonical_tags(tags)


@given(TAGS, st.randoms(use_true_random=False))
def test_the_canonical_spelling_wins_wherever_it_stands(tags: dict[str, str], r: random.Random) -> None:
    names = list(tags)
    r.shuffle(names)
    shuffled = canonical_tags({name: tags[name] for name in names})
    for name in CANONICAL_TAGS.values():
        if tags.get(name):
            assert shuffled[name] == tags[name]


@given(st.dictionaries(st.sampled_from(["nsId", "mci_id", "vm_id", "host", "cpu"]), st.sampled_from(["", "a", "b"])))
def test_the_order_of_tags_does_not_matter(tags: dict[str, str]) -> None:
    forms = {tuple(canonical_tags(dict(order)).items()) for order in itertools.permutations(tags.items())}
    assert len(forms) == 1


def test_two_older_spellings_that_disagree_mean_the_same_in_any_order() -> None:
    assert canonical_tags({"mcisId": "a", "mci_id": "b"}) == canonical_tags({"mci_id": "b", "mcisId": "a"})


@pytest.mark.parametrize(
    ("tags", "resource"),
    [
        ({"ns_id": "n", "infra_id": "i", "node_id": "x", "host": "h"}, "n/i/x"),
        ({"node_id": "x"}, "-/-/x"),
        ({"ns_id": "n", "infra_id": "i", "host": "h"}, "h"),
        ({"node_name": "k", "host": "h"}, "k"),
        ({"host": "h"}, "h"),
        ({"cpu": "cpu0"}, "-"),
        ({}, "-"),
    ],
)
def test_a_resource_is_the_node_else_the_host_else_nobody(tags: dict[str, str], resource: str) -> None:
    assert resource_of(tags) == resource


def test_an_empty_tag_is_no_tag() -> None:
    assert canonical_tags({"host": "h", "vmId": "", "node_id": ""}) == {"host": "h"}
    assert canonical_tags({"vmId": "x", "node_id": ""}) == {"node_id": "x"}
