"""What a broker's topics lack against the catalogue: a pure comparison that never asks for anything to be lost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from topics.catalogue import Topic

RAISED = ("retention.ms", "max.message.bytes")
"""Settings that may be raised in place: nothing is lost by keeping longer or by taking larger records."""

PARTITIONS = "partitions"
REPLICATION = "replication"
UNLIMITED = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicState:
    """A topic as it is wanted, or as a broker has it.

    Parameters
    ----------
    name
        The topic's name.
    partitions
        How many partitions it has.
    replication
        Copies of each partition; wanted as none: what the broker gives by default.
    config
        Settings by Kafka's names.
    """

    name: str
    partitions: int
    replication: int | None
    config: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A setting of a topic that the broker has otherwise than wanted."""

    topic: str
    setting: str
    wanted: str
    found: str | None

    @property
    def may_be_raised(self) -> bool:
        """Whether setting the wanted value is an increase by which nothing is lost."""
        if self.setting not in RAISED or self.found is None:
            return False
        found, wanted = int(self.found), int(self.wanted)
        return found != UNLIMITED and (wanted == UNLIMITED or wanted > found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is to be done so that a broker has the wanted topics.

    Parameters
    ----------
    create
        The topics that are missing.
    increase
        The settings that can be raised in place.
    keep
        The differences that only an operator may remove, as data or the way from key to partition would be lost.
    """

    create: tuple[TopicState, ...]
    increase: tuple[Difference, ...]
    keep: tuple[Difference, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the broker has the topics as wanted."""
        return not (self.create or self.increase or self.keep)


def wanted_topics(
    topics: Iterable[Topic], *, partitions: int | None = None, replication: int | None = None
) -> tuple[TopicState, ...]:
    """Return the state that each topic of a catalogue should have.

    Parameters
    ----------
    topics
        The catalogue.
    partitions
        In place of the catalogue's number for the topics that are keyed by resource; none: the catalogue's.
    replication
        Copies of each partition; none: what the broker gives by default, and any number is right.
    """
    return tuple(
        TopicState(
            name=topic.name,
            partitions=partitions if topic.scales and partitions is not None else topic.partitions,
            replication=replication,
            config=topic.kafka_config(),
        )
        for topic in topics
    )


def plan(existing: Mapping[str, TopicState], wanted: Iterable[TopicState]) -> Plan:
    """Return what separates a broker's topics from the wanted ones, in the order of the wanted.

    Parameters
    ----------
    existing
        The broker's topics by name; those that nobody wants are left out of account.
    wanted
        The topics that should be there.
    """
    create: list[TopicState] = []
    differences: list[Difference] = []
    for topic in wanted:
        found = existing.get(topic.name)
        if found is None:
            create.append(topic)
        else:
            differences += _differences(found, topic)
    return Plan(
        create=tuple(create),
        increase=tuple(difference for difference in differences if difference.may_be_raised),
        keep=tuple(difference for difference in differences if not difference.may_be_raised),
    )


def _differences(found: TopicState, wanted: TopicState) -> list[Difference]:
    pairs: list[tuple[str, str | None, str | None]] = [
        (PARTITIONS, str(wanted.partitions), str(found.partitions)),
        (
            REPLICATION,
            None if wanted.replication is None else str(wanted.replication),
            None if found.replication is None else str(found.replication),
        ),
        *((setting, value, found.config.get(setting)) for setting, value in wanted.config.items()),
    ]
    return [
        Difference(topic=wanted.name, setting=setting, wanted=value, found=present)
        for setting, value, present in pairs
        if value is not None and not _is_same(value, present)
    ]


def _is_same(wanted: str, found: str | None) -> bool:
    """Return whether two settings are equal; numbers by value, as brokers write 0.1 and 0.10 alike."""
    if found is None:
        return False
    try:
        return float(wanted) == float(found)
    except ValueError:
        return wanted == found
