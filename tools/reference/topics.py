"""The page of topics, from their catalogue."""

from typing import Final

from schemas.durations import duration_text
from tools.reference.markdown import code, table
from topics.catalogue import Topic, load_topics

__all__ = ["page"]

INTRO: Final = """\
# Topics

From `topics/catalogue.yaml`, the only place that names one. `cinnamon topics apply` makes what is missing;
`cinnamon topics render` prints it as Strimzi's `KafkaTopic` resources.

Topics that *scale* are keyed by resource: `--partitions` sets how many partitions they get. All records of a resource
need one key, hashed with FNV-1a (see [input formats](input-formats.md#partitioning-is-a-contract)).

"""
HEADS: Final = ("topic", "what is in it", "key", "value", "written by", "partitions", "kept", "further settings")


def page() -> str:
    """Return the page."""
    return INTRO + table(HEADS, [_row(topic) for topic in load_topics()])


def _row(topic: Topic) -> tuple[str, ...]:
    kept = "newest of each key" if topic.retention_ms is None else duration_text(topic.retention_ms)
    return (
        code(topic.name),
        topic.description,
        topic.key,
        topic.value,
        topic.written_by,
        f"{topic.partitions}{', scales' if topic.scales else ''}",
        kept,
        ", ".join(code(f"{name}={value}") for name, value in topic.config.items()),
    )
