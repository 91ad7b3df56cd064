"""What is known of a stage before it runs: all that worker, ``doctor``, ``config`` and the docs ask of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from topics import CHECKPOINT_BLOCKS, CHECKPOINTS

if TYPE_CHECKING:
    from pipeline.runtime.engine.stage import Stage
    from pipeline.runtime.observability.metrics import Metrics
    from pipeline.settings.base import Section
    from pipeline.settings.model import Settings
    from topics.catalogue import Topic


class Group(NamedTuple):
    """A consumer group of a stage.

    Attributes
    ----------
    name
        What the group's name ends with; also the label ``stage`` of its metrics.
    topic
        What it reads.
    """

    name: str
    topic: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSpec:
    """One stage of the pipeline. Cheap to import: what runs is imported by ``build``.

    Parameters
    ----------
    name
        Of the stage, as ``--stages`` takes it.
    summary
        What it does, in one line.
    groups
        Its consumer groups; a word in capitals stands for names that the settings give.
    groups_of
        The groups that settings call for; none: always ``groups``.
    needs_groups
        What to do where the settings call for no group: the end of a sentence that begins with the stage.
    writes
        The topics that it writes results and dead letters to.
    keeps
        What it restarts from: a checkpoint, snapshots of its state, or its committed offsets alone.
    follows
        Topics that it reads besides, as a table and in no group.
    topics
        Of the topics above those that are not in the catalogue: a plug-in's own.
    sections
        The sections of the settings that are for it.
    metrics
        Declares, on the metrics of a process, what it alone counts.
    build
        Makes what the worker runs, one for each group that the settings call for.
    """

    name: str
    summary: str
    groups: tuple[Group, ...]
    groups_of: "Callable[[Settings], Sequence[Group]] | None" = None
    needs_groups: str = ""
    writes: tuple[str, ...]
    keeps: Literal["checkpoint", "snapshots", "offsets"]
    follows: tuple[str, ...] = ()
    topics: "tuple[Topic, ...]" = ()
    sections: "tuple[type[Section], ...]" = ()
    metrics: "Callable[[Metrics], object] | None" = None
    build: "Callable[[Settings, Metrics], Sequence[Stage]]"

    @property
    def reads(self) -> tuple[str, ...]:
        """The topics that its groups read, each once."""
        return tuple(dict.fromkeys(group.topic for group in self.groups))

    def groups_in(self, settings: "Settings") -> Sequence[Group]:
        """Return the groups that settings call for."""
        return self.groups if self.groups_of is None else self.groups_of(settings)

    def required_topics(self, settings: "Settings") -> frozenset[str]:
        """Return the topics that must be there before it runs."""
        state = {"checkpoint": (CHECKPOINTS,), "snapshots": (CHECKPOINTS, CHECKPOINT_BLOCKS), "offsets": ()}[self.keeps]
        return frozenset({*(group.topic for group in self.groups_in(settings)), *self.writes, *self.follows, *state})
