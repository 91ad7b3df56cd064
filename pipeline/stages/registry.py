"""The stages that there are, in the order of the data: the only place that lists them.

A built-in stage is a folder beside this file whose ``spec.py`` holds its ``SPEC``. Other packages add stages
with an entry point of the group ``cinnamon.stages`` that has the stage's name and leads to its `StageSpec`.
"""

from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from pipeline.stages.spec import StageSpec
from topics.catalogue import Topic, load_topics

BUILT_IN: Final = ("aggregate", "downsample", "detect", "trigger", "act", "sink")
PLUG_INS: Final = "cinnamon.stages"


class StagePluginError(RuntimeError):
    """A stage of another package cannot be used."""


def stage_names() -> tuple[str, ...]:
    """Return the names of all stages, plug-ins last; no stage is imported."""
    return (*BUILT_IN, *(plug_in.name for plug_in in _plug_ins()))


@lru_cache(maxsize=1)
def stage_specs() -> tuple[StageSpec, ...]:
    """Return what is known of all stages, plug-ins last.

    Raises
    ------
    StagePluginError
        If a plug-in cannot be imported, is no `StageSpec`, or has a name that is taken or not its entry point's.
    """
    names = stage_names()
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StagePluginError(f"entry points {PLUG_INS}: there is more than one stage named {', '.join(twice)}")
    built_in = [import_module(f"pipeline.stages.{name}.spec").SPEC for name in BUILT_IN]
    return (*built_in, *map(_loaded, _plug_ins()))


def chosen_stages(names: Iterable[str]) -> tuple[StageSpec, ...]:
    """Return the stages of these names, in the order of the data."""
    wanted = set(names)
    return tuple(spec for spec in stage_specs() if spec.name in wanted)


def known_topics() -> tuple[Topic, ...]:
    """Return the topics of the catalogue, and behind them those that plug-ins bring."""
    return (*load_topics(), *(topic for spec in stage_specs() for topic in spec.topics))


@lru_cache(maxsize=1)
def _plug_ins() -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=PLUG_INS), key=lambda plug_in: plug_in.name))


def _loaded(plug_in: EntryPoint) -> StageSpec:
    where = f"entry point {plug_in.name} = {plug_in.value} of {PLUG_INS}"
    try:
        spec = plug_in.load()
    except (ImportError, AttributeError) as error:
        raise StagePluginError(f"{where}: cannot be imported: {error}") from error
    if not isinstance(spec, StageSpec) or spec.name != plug_in.name:
        raise StagePluginError(f"{where}: must be a StageSpec named {plug_in.name}")
    return spec
