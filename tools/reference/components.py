"""The pages of stages, channels, stores and sources, each from its registry."""

import json
from collections.abc import Iterable
from typing import Final

from pipeline.channels.factory import reference as channels
from pipeline.sources.factory import reference as sources
from pipeline.stages.registry import stage_specs
from pipeline.stores.factory import reference as stores
from tools.reference.markdown import code, table

__all__ = ["channels_page", "sources_page", "stages_page", "stores_page"]

STAGES_INTRO: Final = """\
# Stages

One line a stage, in the order of the data. A worker runs those of `worker.stages`, or of `cinnamon worker --stages`.
*Reads* is what it gets record by record; *follows* is what it keeps in memory as a materialised table. Groups begin
with `kafka.group_prefix`, `cinnamon` by default. Other packages add stages with an entry point of the group
`cinnamon.stages`. The metrics of each are in [metrics](metrics.md), column *set by*.

"""
CHANNELS_INTRO: Final = """\
# Channels

The kinds of channels, one field of a `kind: channel` document each; [documents](documents.md#channel) has what all
share. A secret is `{file: NAME}` or `{sealed: …}`, never plain text:
[notify people](../how-to/notify-and-run-scripts.md).
"""
STORES_INTRO: Final = """\
# Stores

The kinds of stores, for `stores[].kind`; [settings](settings.md#stores) has each option. *Needs* must be there,
*takes* may be left out; `name`, `role`, `regions` and `retention_days` are of every kind.

"""
SOURCES_INTRO: Final = """\
# Sources

What makes metrics as Telegraf would send them, for `cinnamon up` and `cinnamon simulate`.

"""
STAGE_HEADS: Final = ("stage", "what it does", "reads", "writes", "follows", "groups", "state", "settings")


def stages_page() -> str:
    """Return the page of stages."""
    rows = [
        (
            code(spec.name),
            spec.summary,
            _codes(spec.reads),
            _codes(spec.writes),
            _codes(spec.follows),
            _codes(f"PREFIX-{group.name}" for group in spec.groups),
            spec.keeps,
            _codes(section.key for section in spec.sections),
        )
        for spec in stage_specs()
    ]
    return STAGES_INTRO + table(STAGE_HEADS, rows)


def channels_page() -> str:
    """Return the page of channels."""
    parts = [CHANNELS_INTRO]
    for kind in channels():
        rows = [(code(name), meaning) for name, meaning in kind.fields.items()]
        example = json.dumps({kind.kind: kind.example}, indent=2, ensure_ascii=False)
        parts.append(
            f"## {kind.kind}\n\n{kind.summary}\n\n{table(('field', 'meaning'), rows)}\n"
            f"Secrets: {_codes(kind.secrets)}. For example:\n\n```json\n{example}\n```\n"
        )
    return "\n".join(parts)


def stores_page() -> str:
    """Return the page of stores."""
    rows = [(code(kind.kind), kind.summary, _codes(kind.needs), _codes(kind.takes)) for kind in stores()]
    return STORES_INTRO + table(("kind", "what it is", "needs", "takes"), rows)


def sources_page() -> str:
    """Return the page of sources."""
    rows = [(code(source.name), source.summary, _codes(source.options)) for source in sources()]
    return SOURCES_INTRO + table(("source", "what it makes", "options"), rows)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(code(name) for name in names)
