"""A plan creates what is missing and raises what loses nothing; all else it only reports."""

import pytest

from topics.catalogue import Topic
from topics.plan import Difference, Plan, TopicState, plan, wanted_topics

CONFIG = {"cleanup.policy": "delete", "retention.ms": "1000", "max.message.bytes": "500"}
WANTED = TopicState(name="t", partitions=4, replication=None, config=CONFIG)


def found(*, partitions: int = 4, replication: int = 1, **config: str) -> dict[str, TopicState]:
    """Return a broker with the topic as wanted, but for what is given (``retention_ms`` for ``retention.ms``)."""
    changed = {setting.replace("_", "."): value for setting, value in config.items()}
    state = TopicState(name="t", partitions=partitions, replication=replication, config=CONFIG | changed)
    return {"t": state, "of.others": TopicState(name="of.others", partitions=1, replication=1, config={})}


def difference(setting: str, *, wanted: str, found: str | None) -> Difference:
    return Difference(topic="t", setting=setting, wanted=wanted, found=found)


def test_a_missing_topic_is_created() -> None:
    assert plan({}, [WANTED]) == Plan(create=(WANTED,), increase=(), keep=())


def test_a_topic_as_wanted_needs_nothing_and_others_topics_are_left_out() -> None:
    assert plan(found(segment_ms="7"), [WANTED]).is_empty


@pytest.mark.parametrize("partitions", [2, 8])
def test_partitions_are_never_changed(partitions: int) -> None:
    left = difference("partitions", wanted="4", found=str(partitions))

    assert plan(found(partitions=partitions), [WANTED]) == Plan(create=(), increase=(), keep=(left,))


def test_cleanup_is_never_changed() -> None:
    left = difference("cleanup.policy", wanted="delete", found="compact")

    assert plan(found(cleanup_policy="compact"), [WANTED]) == Plan(create=(), increase=(), keep=(left,))


def test_shorter_retention_and_smaller_records_are_raised() -> None:
    raised = (
        difference("retention.ms", wanted="1000", found="999"),
        difference("max.message.bytes", wanted="500", found="499"),
    )

    assert plan(found(retention_ms="999", max_message_bytes="499"), [WANTED]) == Plan(
        create=(), increase=raised, keep=()
    )


@pytest.mark.parametrize("retention_ms", ["1001", "-1"])
def test_longer_and_endless_retention_is_never_lowered(retention_ms: str) -> None:
    left = difference("retention.ms", wanted="1000", found=retention_ms)

    assert plan(found(retention_ms=retention_ms), [WANTED]) == Plan(create=(), increase=(), keep=(left,))


def test_endless_retention_is_above_every_other() -> None:
    assert difference("retention.ms", wanted="-1", found="5").may_be_raised
    assert not difference("retention.ms", wanted="5", found="-1").may_be_raised


def test_replication_counts_only_where_it_is_asked_for() -> None:
    asked = TopicState(name="t", partitions=4, replication=3, config=CONFIG)

    assert plan(found(replication=1), [WANTED]).is_empty
    assert plan(found(replication=1), [asked]).keep == (difference("replication", wanted="3", found="1"),)


def test_numbers_are_compared_by_value() -> None:
    wanted = TopicState(name="t", partitions=4, replication=None, config={"min.cleanable.dirty.ratio": "0.1"})

    assert plan(found(min_cleanable_dirty_ratio="0.10"), [wanted]).is_empty
    assert plan(found(), [wanted]).keep == (difference("min.cleanable.dirty.ratio", wanted="0.1", found=None),)


def test_the_number_of_partitions_replaces_that_of_topics_keyed_by_resource_alone() -> None:
    common = {"key": "k", "value": "v", "cleanup": "compact", "retention_ms": None, "written_by": "w"}
    topics = [
        Topic.model_validate(common | {"name": name, "partitions": 1, "scales": scales, "description": "d"})
        for name, scales in [("keyed", True), ("other", False)]
    ]

    assert [(state.name, state.partitions) for state in wanted_topics(topics, partitions=9)] == [
        ("keyed", 9),
        ("other", 1),
    ]
