"""Whose metric it is: one canonical form for the identity tags of three agent generations, and the resource's name."""

from collections.abc import Mapping
from typing import Final

from pipeline.core.records.telegraf.parsed import ParsedMetric, Refusal
from schemas.reasons import DeadLetterReason

CANONICAL_TAGS: Final[Mapping[str, str]] = {
    "nsId": "ns_id",
    "mcisId": "infra_id",
    "mck8sId": "infra_id",
    "mci_id": "infra_id",
    "vmId": "node_id",
    "vm_id": "node_id",
}
"""Older spelling of a tag → the one used inside; of several the canonical one wins, then the first."""


NO_RESOURCE: Final = "-"
"""The name under which everything is taken together that no tag says the owner of."""

MAX_IDENTITY_BYTES: Final = 65_536
"""Longest measurement with its tags, keys and values together: InfluxDB takes no longer tag, and every record of
``metrics.agg`` carries them, as its key and in its value."""


def identity_refusal(metric: ParsedMetric) -> Refusal | None:
    """Return a refusal if a metric's measurement and tags together are longer than `MAX_IDENTITY_BYTES`."""
    size = sum(len(text.encode()) for text in (metric.measurement, *metric.tags.keys(), *metric.tags.values()))
    if size <= MAX_IDENTITY_BYTES:
        return None
    message = f"measurement and tags have {size} bytes, allowed are {MAX_IDENTITY_BYTES}"
    return Refusal(metric.line, 1, DeadLetterReason.TOO_LARGE, message, metric.start, metric.end)


def canonical_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags sorted by key, the three generations of identity tags mapped to ``ns_id, infra_id, node_id``.

    Empty values are left out: a tag without a value is no tag (InfluxDB refuses it).

    Examples
    --------
    >>> canonical_tags({"vmId": "vm-1", "nsId": "ns01", "mcisId": "m1", "cpu": "cpu0"})
    {'cpu': 'cpu0', 'infra_id': 'm1', 'node_id': 'vm-1', 'ns_id': 'ns01'}
    >>> canonical_tags({"nsId": "old", "ns_id": "new"})
    {'ns_id': 'new'}
    """
    mapped = {key: value for key, value in tags.items() if value and key not in CANONICAL_TAGS}
    for older, name in CANONICAL_TAGS.items():
        value = tags.get(older)
        if value and name not in mapped:
            mapped[name] = value
    return dict(sorted(mapped.items()))


def resource_of(tags: Mapping[str, str]) -> str:
    """Return the resource that canonical ``tags`` belong to: ``ns/infra/node``, else the host, else ``-``.

    Everything of one resource lies in one partition (its name is the record's key), and lateness is judged by the
    resource's own event time.

    Examples
    --------
    >>> resource_of({"ns_id": "ns01", "infra_id": "m1", "node_id": "vm-1"})
    'ns01/m1/vm-1'
    >>> resource_of({"host": "web-1"})
    'web-1'
    """
    node = tags.get("node_id")
    if node:
        return f"{tags.get('ns_id', '-')}/{tags.get('infra_id', '-')}/{node}"
    return tags.get("node_name") or tags.get("host") or NO_RESOURCE
