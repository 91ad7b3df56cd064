"""Random logs of one partition: what a fleet of agents might have sent, with everything that goes wrong on the way."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.core.records.identity.interning import WindowRule
from pipeline.core.windows.rules import MatchingRule, WindowRules

BASE_MS = 1_700_000_000_000
FAR_AHEAD_MS = BASE_MS + 10**12
"""A clock that no timestamp of these logs lies ahead of."""

RULES = WindowRules(
    default=WindowRule(every_ms=10_000, grace_ms=2_000, allowed_lateness_ms=15_000),
    idle_close_ms=10_000,
    rules=[
        MatchingRule(WindowRule(every_ms=30_000, grace_ms=0, allowed_lateness_ms=30_000), measurement="net"),
        MatchingRule(WindowRule(every_ms=5_000, grace_ms=7_000, allowed_lateness_ms=0), measurement="disk"),
    ],
)


def is_counter(measurement: str, name: str) -> bool:
    """Return whether a field of these logs is a cumulative counter."""
    return name in {"bytes_recv", "reads"}


@dataclass
class Host:
    """One resource, its clock, and what it has not delivered yet."""

    name: str
    generation: int
    text_format: str
    clock_offset_ms: int = 0
    cut_off_until_ms: int = 0
    silent_from_ms: int = 10**15
    silent_until_ms: int = 0
    counter: float = 0.0
    buffer: list[bytes] = field(default_factory=list)

    def tags(self, **more: str) -> dict[str, str]:
        number = self.name.removeprefix("vm")
        names = (("nsId", "mcisId", "vmId"), ("ns_id", "mci_id", "vm_id"), ("ns_id", "infra_id", "node_id"))
        if self.generation == 3:
            return {"host": self.name, **more}
        namespace, infra, node = names[self.generation]
        return {namespace: "ns1", infra: f"m{int(number) % 2}", node: self.name, **more}


@dataclass(frozen=True)
class Log:
    """Records at offsets from 0 on, and their Kafka timestamps (-1 for none)."""

    values: list[bytes]
    timestamps_ms: list[int]


def random_log(seed: int, records: int, *, hosts: int = 5, clean: bool = False) -> Log:
    """Return a log of several hosts: late, out of order, cut off, silent, with wild clocks, in both formats.

    ``clean`` leaves out what a restart does not care about: strings, bad lines, several formats.
    """
    r = random.Random(seed)
    fleet = [_host(r, number, clean=clean) for number in range(hosts)]
    clock, values, timestamps = BASE_MS, [], []
    while len(values) < records:
        clock += int(r.expovariate(1 / 700))
        host = r.choice(fleet)
        elapsed = clock - BASE_MS
        if host.silent_from_ms <= elapsed < host.silent_until_ms:
            continue
        record = _record(r, host, clock + host.clock_offset_ms, clean=clean)
        if elapsed < host.cut_off_until_ms and len(host.buffer) < 200:
            host.buffer.append(record)
            continue
        for value in [*host.buffer, record]:
            values.append(value)
            timestamps.append(-1 if r.random() < 0.05 else clock + r.randrange(50))
        host.buffer.clear()
    return Log(values[:records], timestamps[:records])


def splits(r: random.Random, count: int, longest: int) -> Iterator[tuple[int, int]]:
    """Cut ``count`` records into batches of random sizes."""
    first = 0
    while first < count:
        last = min(count, first + r.randint(1, longest))
        yield first, last
        first = last


def _host(r: random.Random, number: int, *, clean: bool) -> Host:
    host = Host(f"vm{number}", r.randrange(4), r.choice(("influx", "influx", "json")), counter=float(r.randrange(1000)))
    if clean:
        host.text_format = "influx"
    fate = r.random()
    if fate < 0.15:
        host.clock_offset_ms = r.choice((86_400_000, -86_400_000, 45_000, -45_000))
    elif fate < 0.35:
        host.cut_off_until_ms = r.randrange(20_000, 300_000)
    elif fate < 0.55:
        host.silent_from_ms = r.randrange(5_000, 150_000)
        host.silent_until_ms = host.silent_from_ms + r.randrange(5_000, 200_000)
    return host


def _record(r: random.Random, host: Host, time_ms: int, *, clean: bool) -> bytes:
    lines = 1 if r.random() < 0.8 else r.randint(2, 4)
    metrics = []
    for _ in range(lines):
        lag = r.random()
        if lag < 0.15:
            at = time_ms - int(r.expovariate(1 / 8_000))
        elif lag < 0.2:
            at = time_ms - int(r.expovariate(1 / 40_000))
        else:
            at = time_ms
        if r.random() < 0.1:
            at -= at % 5_000  # on a window's edge, and at one time with others
        metrics.append(_metric(r, host, at, clean=clean))
    if host.text_format == "json" and r.random() < 0.95:
        texts = [_json(metric) for metric in metrics]
        if len(texts) == 1 and r.random() < 0.7:
            return texts[0]
        return b'{"metrics":[%b]}' % b",".join(texts)
    text = [_line(metric) for metric in metrics]
    if not clean and r.random() < 0.03:
        text.insert(r.randrange(len(text) + 1), r.choice((b"", b"# comment", b"no fields", b"cpu,host=x v=1x")))
    return b"\n".join(text) + (b"\n" if r.random() < 0.5 else b"")


Metric = tuple[str, dict[str, str], list[tuple[str, str]], int]
"""Measurement, tags, fields with their values as line protocol writes them, milliseconds."""


def _metric(r: random.Random, host: Host, time_ms: int, *, clean: bool) -> Metric:
    measurement = r.choice(("cpu", "cpu", "disk", "net"))
    fields: list[tuple[str, str]]
    if measurement == "cpu":
        tags = host.tags()
        fields = [("usage_user", repr(round(r.uniform(0, 100), r.randrange(0, 12))))]
        if r.random() < 0.7:
            fields.append(("usage_system", repr(r.uniform(0, 100))))
        if r.random() < 0.2:
            fields.append(("processes", f"{r.randrange(500)}i"))
    else:
        host.counter = host.counter + r.randrange(0, 100) if r.random() < 0.95 else float(r.randrange(10))
        if measurement == "disk":
            tags = host.tags(device=r.choice(("sda", "sdb")))
            fields = [("reads", f"{int(host.counter)}i"), ("used", repr(r.choice((0.0, -1.5, 1e300, 5e-7))))]
        else:
            tags = host.tags(interface="eth0")
            fields = [("bytes_recv", f"{int(host.counter)}i")]
    r.shuffle(fields)
    if not clean:
        if r.random() < 0.05:
            fields.append(("note", '"some text"'))
        if r.random() < 0.03:
            fields.append(("up", r.choice(("true", "F", "TRUE", "f"))))
        if r.random() < 0.02:
            fields.append(("ratio", "1e400"))
        if r.random() < 0.1:
            tags = dict(r.sample(sorted(tags.items()), len(tags)))
    return measurement, tags, fields, time_ms


def _line(metric: Metric) -> bytes:
    measurement, tags, fields, time_ms = metric
    key = ",".join([measurement, *(f"{name}={value}" for name, value in tags.items())])
    return f"{key} {','.join(f'{name}={value}' for name, value in fields)} {time_ms * 1_000_000 + 999_999}".encode()


def _json(metric: Metric) -> bytes:
    measurement, tags, fields, time_ms = metric
    words = {"true": "true", "TRUE": "true", "F": "false", "f": "false"}
    members = ",".join(f'"{name}":{words.get(text, text.removesuffix("i"))}' for name, text in fields)
    names = ",".join(f'"{name}":"{value}"' for name, value in tags.items())
    return f'{{"fields":{{{members}}},"name":"{measurement}","tags":{{{names}}},"timestamp":{time_ms}}}'.encode()
