"""What a fleet sends to several partitions, and what a second opinion makes of what a broker holds of it."""

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from pipeline.core.records.identity.rekeying import ORIGIN_HEADER, RESOURCE_HEADER
from pipeline.core.records.identity.resource import canonical_tags
from pipeline.core.records.telegraf.parsed import ParsedMetric
from pipeline.core.records.telegraf.record import parse_record
from schemas.catalogue import load_catalogue
from tests.support.core.random_logs import BASE_MS, random_log
from tests.support.core.reference_windows import Cycle, Record, ReferenceAggregator, Times
from tests.support.servers.kafka import KafkaBroker
from tests.support.stages.brokers import Broker, Raw, Stored

END_MS = BASE_MS + 10 * 86_400_000
"""Long after everything else of a stream."""
END = "end"
"""Measurement of the last line of each resource: it closes all that the resource had before."""

WINDOWS = {"every_s": 10, "grace_s": 2, "allowed_lateness_s": 15, "idle_close_s": 60}
"""Of most workers under test. By the clock nothing closes in the time that a test takes."""
RULES = [
    {"measurement": "net", "every_s": 30, "grace_s": 0, "allowed_lateness_s": 30},
    {"measurement": "diskio", "every_s": 5, "grace_s": 7, "allowed_lateness_s": 0},
]


def resource_name(tags: Mapping[str, str]) -> str:
    """Return a resource's name from canonical tags; all nodes of these streams are fully named."""
    if "node_id" in tags:
        return f"{tags['ns_id']}/{tags['infra_id']}/{tags['node_id']}"
    return tags["host"]


def resource_of_value(value: bytes) -> str:
    """Return the resource of a record's first metric, ``unknown`` if nothing of it can be read."""
    for item in parse_record(value):
        if isinstance(item, ParsedMetric):
            return resource_name(canonical_tags(item.tags))
    return "unknown"


def fleet(seed: int, records: int, *, partitions: int = 4, hosts: int = 4, single: bool = False) -> list[Raw]:
    """Return a stream of that many records a partition, hosts of three tag generations and one that has only a name.

    Everything of `random_log` is in it, and lines without a timestamp. Each partition ends with lines that close
    all windows before them. ``single`` makes each record one metric with a time: what a text file can hold as well.
    """
    streams = [_partition(seed * 100 + number, number, records, hosts, single=single) for number in range(partitions)]
    return [record for place in zip(*streams, strict=False) for record in place] + [
        record for stream in streams for record in stream[min(map(len, streams)) :]
    ]


def _partition(seed: int, partition: int, count: int, hosts: int, *, single: bool) -> list[Raw]:
    log = random_log(seed, count, hosts=hosts)
    stream = []
    for number, (value, timestamp_ms) in enumerate(zip(log.values, log.timestamps_ms, strict=True)):
        for part in _single(value) if single else [value]:
            named = _named(part, partition)
            if not single and timestamp_ms >= 0 and number % 17 == 0:
                named = _without_time(named)
            stream.append(Raw(named, resource_of_value(named).encode(), timestamp_ms, partition))
    ends = {}
    for record in stream:
        for item in parse_record(record.value):
            if isinstance(item, ParsedMetric):
                tags = canonical_tags(item.tags)
                identity = {key: tags[key] for key in ("ns_id", "infra_id", "node_id", "host", "region") if key in tags}
                ends[resource_name(tags)] = identity
    return stream + [
        Raw(end_line(identity), resource.encode(), END_MS, partition) for resource, identity in ends.items()
    ]


def end_line(tags: Mapping[str, str], time_ms: int = END_MS) -> bytes:
    """Return the line that closes everything that the resource with these tags had before ``time_ms``."""
    return f"{','.join([END, *(f'{k}={v}' for k, v in tags.items())])} v=1 {time_ms}000000".encode()


def _named(value: bytes, partition: int) -> bytes:
    """Make the hosts and disks of a log those of one partition, every other one in another region."""

    def renamed(match: re.Match[bytes]) -> bytes:
        return b"p%dvm%s" % (partition, match[1])

    host = re.search(rb"vm(\d+)", value)
    region = b"us-east" if host is not None and int(host[1]) % 2 else b"eu-west"
    value = re.sub(rb"vm(\d+)", renamed, value)
    value = re.sub(rb'"name":"disk"', b'"name":"diskio"', re.sub(rb"(?m)^disk,", b"diskio,", value))
    value = value.replace(b'"tags":{', b'"tags":{"region":"%s",' % region)
    return re.sub(rb"(?m)^(cpu|net|diskio),", rb"\1,region=%s," % region, value)


def _without_time(value: bytes) -> bytes:
    if value.startswith(b"{"):
        return re.sub(rb',"timestamp":\d+', b"", value)
    return re.sub(rb"(?m) \d{19}$", b"", value)


def _single(value: bytes) -> list[bytes]:
    if value.startswith(b"{"):
        return [value]
    return [line for line in value.split(b"\n") if line and not line.startswith(b"#")]


def careless(seed: int, count: int) -> list[Raw]:
    """Return records without a key of two resources, some with both in one, some whose resource a gateway named."""
    r = random.Random(seed)
    records = []
    for number in range(count):
        time_ns = (BASE_MS + 700 * number + r.randrange(5000)) * 1_000_000
        lines = [
            f"cpu,ns_id=ns9,infra_id=m9,node_id={node} usage_user={r.randrange(100)} {time_ns}".encode()
            for node in r.choice((["c1"], ["c2"], ["c1", "c2"]))
        ]
        named = len(lines) == 1 and r.random() < 0.3
        headers = [(RESOURCE_HEADER, b"ns9/m9/c1" if b"=c1 " in lines[0] else b"ns9/m9/c2")] if named else []
        records.append(Raw(b"\n".join(lines), None, BASE_MS + 700 * number, number % 4, headers))
    return records


def settings_of(broker: Broker, *, rules: bool = True, **sections: Any) -> dict[str, Any]:
    """Return the document of a worker's settings file; ``sections`` add to it or replace what it has."""
    # the shortest that Kafka allows; the embedded broker lets a group wait for half of it
    session_timeout_s = 6 if isinstance(broker, KafkaBroker) else 3
    document: dict[str, Any] = {
        "kafka": {"bootstrap_servers": broker.bootstrap_servers, "session_timeout_s": session_timeout_s},
        "windows": {**WINDOWS, **({"rules": RULES} if rules else {})},
        "worker": {"checkpoint_interval_s": 0.3},
    }
    for name, values in sections.items():
        document[name] = {**document.get(name, {}), **values} if isinstance(values, Mapping) else values
    return document


@dataclass
class Expected:
    """What a worker should have made of what a broker holds of metrics.raw."""

    records: list[Record] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    open_samples: int = 0
    by_partition: dict[int, Counter[str]] = field(default_factory=dict)


def expected(
    stored: Sequence[Stored], settings: Mapping[str, Any], *, now_ms: int = END_MS, finish: bool = False
) -> Expected:
    """Fold what a broker holds by the slow reference, partition by partition.

    What has no key is left out: it comes once more with one. Of two records of one origin the first counts.
    ``finish`` closes at the end what is still open.
    """
    result = Expected()
    for partition in sorted({record.partition for record in stored}):
        reference = reference_of(partition, settings)
        origins: set[bytes] = set()
        for record in stored:
            if record.partition != partition or record.key is None:
                continue
            origin = record.headers.get(ORIGIN_HEADER)
            if origin is not None and origin in origins:
                continue
            origins |= {origin} if origin is not None else set()
            result.records += reference.add([record.value], record.offset, now_ms, [record.timestamp_ms])
        if finish:
            result.records += reference.finish()
        result.counts += reference.counts
        result.by_partition[partition] = reference.counts
        result.open_samples += reference.open_samples
    return result


def reference_of(partition: int, settings: Mapping[str, Any]) -> ReferenceAggregator:
    """Return the reference for one partition under the window settings of a worker."""
    windows = settings["windows"]
    default = _cycle(windows, windows)
    rules = {rule["measurement"]: _cycle(rule, windows) for rule in windows.get("rules", [])}
    cycles = [default, *rules.values()]
    idle_close_ms = round(windows["idle_close_s"] * 1000)
    times = Times(
        grace_ms=default.grace_ms,
        idle_close_ms=idle_close_ms,
        forget_ms=idle_close_ms + max(c.allowed_lateness_ms for c in cycles) + 2 * max(c.every_ms for c in cycles),
        lead_ms=default.every_ms,
    )
    counters = load_catalogue().counters
    future_limit_s = settings.get("parsing", {}).get("future_limit_s", 600)
    return ReferenceAggregator(
        partition,
        times,
        lambda measurement, _tags: rules.get(measurement, default),
        lambda measurement, name: (measurement, name) in counters,
        future_limit_ms=round(future_limit_s * 1000),
    )


def _cycle(rule: Mapping[str, Any], windows: Mapping[str, Any]) -> Cycle:
    grace_s, every_s = rule.get("grace_s", windows["grace_s"]), rule["every_s"]
    times_s = (every_s, grace_s, rule.get("allowed_lateness_s", every_s))
    return Cycle(*(round(time_s * 1000) for time_s in times_s))


def decoded(stored: Iterable[Stored]) -> list[Record]:
    """Return the records of a topic of JSON."""
    return [orjson.loads(record.value) for record in stored]


Place = tuple[int, str, tuple[tuple[str, str], ...], int]
"""Partition, measurement, tags and start of a window."""


def windows_of(records: Iterable[Record]) -> dict[Place, dict[int, Record]]:
    """Return every window's records by revision, without the lines that only end a stream.

    Of one revision there may be several records, after a crash: they must be equal.
    """
    found: dict[Place, dict[int, Record]] = {}
    for record in records:
        if record["measurement"] == END:
            continue
        place = (record["partition"], record["measurement"], tuple(sorted(record["tags"].items())), record["start_ms"])
        same = found.setdefault(place, {}).setdefault(record["revision"], record)
        assert same == record, f"revision {record['revision']} of {place} has two contents"
    return found


def latest(records: Iterable[Record]) -> dict[Place, Record]:
    """Return the record of the greatest revision of every window."""
    return {place: revisions[max(revisions)] for place, revisions in windows_of(records).items()}


def assert_equal(got: Mapping[Place, Any], want: Mapping[Place, Any]) -> None:
    """Compare windows, in the order of their time; say which is the first that differs."""
    for place in sorted({*got, *want}, key=lambda place: (place[3], place)):
        assert got.get(place) == want.get(place), place
