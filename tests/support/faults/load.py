"""What a fleet sends in the hour and a quarter of a fault test, with all that goes wrong on the way, from one seed."""

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.support.core.random_logs import BASE_MS
from tests.support.stages.brokers import Raw
from tests.support.stages.streams import END, END_MS, careless, end_line, fleet

PARTITIONS = 4
LOAD_S = 4500
"""Event time from the first record to the last."""
CUT_OFF_S, BACK_S = 300, 3900
"""When the agent with a backlog is cut off, and when it delivers its hour."""
DAYS_AHEAD_MS = 5 * 86_400_000
"""How far one clock is wrong; still before what ends the load."""
POISON = (
    b"hello world",
    b"cpu,host=bad usage_user= 1700000000000000000",
    b"cpu,host=bad v=9223372036854775808i 1700000000000000000",
    b'{"name":"cpu","fields":{"v":1}',
    b"\x00\xff\xfe" + bytes(range(256)),
    b"cpu,host=bad v=1 4102444800000000000",  # the year 2100
    b"cpu,host=good%d v=1 1700000000000000000\ncpu,host=bad v=\nhello",
)
NAMESPACE = {"ns_id": "ns7", "infra_id": "m7"}
Sent = list[tuple[float, Raw]]
"""Records with the second at which they are sent."""


def load(seed: int, records: int, *, ahead: bool = True) -> list[Raw]:
    """Return a stream over four partitions.

    In it are ``records`` a partition of `random_log` (late, out of order, silent, in both formats), hosts that
    are steady, one with an hour of backlog (see `backlog_host`), one whose clock is five days ahead unless ``ahead``
    is false, poison, and records without a key. What comes last closes every window.
    """
    r = random.Random(seed)
    wild = fleet(seed, records)
    sent: Sent = []
    for partition in range(PARTITIONS):
        own = [record for record in wild if record.partition == partition and not record.value.startswith(END.encode())]
        sent += [(LOAD_S * number / len(own), record) for number, record in enumerate(own)]
        sent += [item for host in range(3) for item in _steady(f"p{partition}s{host}", partition, 7 * host)]
        sent += _backlog(partition)
        if ahead:
            sent += _ahead(partition)
        for value in POISON:
            own_value = value.replace(b"good%d", b"good%d" % partition)
            sent.append((r.uniform(0, LOAD_S), Raw(own_value, b"bad", BASE_MS, partition)))
    keyless = careless(seed, records // 5)
    sent += [(LOAD_S * number / len(keyless), record) for number, record in enumerate(keyless)]
    sent.sort(key=lambda item: item[0])
    return [record for _, record in sent] + list(_ends(wild, ahead=ahead))


def parts(stream: Sequence[Raw], count: int) -> Iterator[Sequence[Raw]]:
    """Cut a stream into that many parts of about one length."""
    edges = [len(stream) * number // count for number in range(count + 1)]
    for first, last in pairwise(edges):
        yield stream[first:last]


def backlog_host(partition: int) -> str:
    """Return the node id of the agent of a partition that was cut off for an hour."""
    return f"p{partition}back"


def backlog_times_ms() -> list[int]:
    """Return the times of the samples that it sent."""
    return [BASE_MS + second * 1000 for second in range(0, LOAD_S, 10)]


def ahead_host(partition: int) -> str:
    """Return the node id of the agent whose clock is wrong."""
    return f"p{partition}ahead"


def _record(node: str, partition: int, time_ms: int, number: int) -> Raw:
    tags = f"infra_id=m7,node_id={node},ns_id=ns7,region=eu-west"
    lines = (
        f"cpu,{tags} usage_user={number % 89} {time_ms}000000\nnet,{tags} bytes_recv={number * 1000}i {time_ms}000000"
    )
    return Raw(lines.encode(), f"ns7/m7/{node}".encode(), time_ms, partition)


def _steady(node: str, partition: int, phase_s: int) -> Sent:
    seconds = range(phase_s, LOAD_S, 60)
    return [
        (second, _record(node, partition, BASE_MS + second * 1000, number)) for number, second in enumerate(seconds)
    ]


def _backlog(partition: int) -> Sent:
    """The samples before the cut in time, those of the hour at once when the agent is back, the others behind them."""
    sent: Sent = []
    for number, time_ms in enumerate(backlog_times_ms()):
        second = (time_ms - BASE_MS) / 1000
        if second >= CUT_OFF_S:
            second = max(second, BACK_S + second / 100)
        sent.append((second, _record(backlog_host(partition), partition, time_ms, number)))
    return sent


def _ahead(partition: int) -> Sent:
    seconds = range(0, LOAD_S, 200)
    return [
        (second, _record(ahead_host(partition), partition, BASE_MS + DAYS_AHEAD_MS + second * 1000, number))
        for number, second in enumerate(seconds)
    ]


def _ends(wild: Sequence[Raw], *, ahead: bool) -> Iterator[Raw]:
    yield from (record for record in wild if record.value.startswith(END.encode()))
    for partition in range(PARTITIONS):
        nodes = [f"p{partition}s{host}" for host in range(3)] + [backlog_host(partition)]
        for node in [*nodes, ahead_host(partition)] if ahead else nodes:
            tags = {**NAMESPACE, "node_id": node}
            yield Raw(end_line(tags), f"ns7/m7/{node}".encode(), END_MS, partition)
        yield Raw(end_line({"host": f"good{partition}"}), b"bad", END_MS, partition)
    for node in ("c1", "c2"):
        yield Raw(end_line({"ns_id": "ns9", "infra_id": "m9", "node_id": node}), None)
