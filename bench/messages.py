"""The messages of the measurements: a fleet's cpu metrics, as Telegraf's outputs.kafka writes them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

FIELDS = (
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
)
START_S = 1_767_225_600  # 2026-01-01T00:00:00Z: on a minute, and in the past
STEP_S = 10
WINDOW_S = 60
GRACE_S = 10
ROUNDS_A_WINDOW = WINDOW_S // STEP_S
# The rounds that carry the watermark past the last window's end: at 0 s, 10 s and 20 s of the next one.
CLOSING_ROUNDS = 3
# So many different sets of values are written once and used again: far more than a compressor's window holds.
VALUE_SETS = 20_000
DECIMALS = 4

Format = Literal["influx", "json"]


@dataclass(frozen=True)
class Message:
    """One Kafka record to be: its key, its value, its event time and the numbers in it, in the order of FIELDS."""

    key: bytes
    value: bytes
    time_ms: int
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class Fleet:
    """What a measurement reads.

    Parameters
    ----------
    windows
        How many windows of each host are to close.
    hosts
        How many virtual machines send a message each ten seconds.
    format
        Telegraf's line protocol with nanoseconds, or its JSON with seconds.
    telegraf_floats
        Values with 16 to 17 digits, and in line protocol the fields in any order, as a real agent writes them, in
        place of four decimals in one order.
    seed
        Of the values.
    """

    windows: int
    hosts: int = 500
    format: Format = "influx"
    telegraf_floats: bool = False
    seed: int = 1

    @property
    def rounds(self) -> int:
        """How many messages each host sends."""
        return self.windows * ROUNDS_A_WINDOW + CLOSING_ROUNDS

    @property
    def message_count(self) -> int:
        """How many messages there are in all."""
        return self.rounds * self.hosts

    @property
    def closed_count(self) -> int:
        """How many windows of all hosts close."""
        return self.windows * self.hosts

    def messages(self) -> Iterator[Message]:
        """Yield every message in the order of its event time, host after host."""
        value_sets = self._value_sets()
        hosts = [_Host.numbered(number) for number in range(1, self.hosts + 1)]
        used = 0
        for round_number in range(self.rounds):
            time_s = START_S + round_number * STEP_S
            for host in hosts:
                numbers, fields = value_sets[used % VALUE_SETS]
                used += 1
                if self.format == "influx":
                    value = b"%b%b %d000000000\n" % (host.influx, fields, time_s)
                else:
                    value = b'{"fields":{%b},"name":"cpu","tags":%b,"timestamp":%d}' % (fields, host.json, time_s)
                yield Message(host.key, value, time_s * 1000, numbers)

    def _value_sets(self) -> list[tuple[tuple[float, ...], bytes]]:
        chance = random.Random(self.seed)
        template = "{}={}" if self.format == "influx" else '"{}":{}'
        value_sets = []
        for _ in range(VALUE_SETS):
            # Telegraf divides two differences of counters: such a value fills its double.
            numbers = [chance.uniform(0, 100) for _ in FIELDS]
            if not self.telegraf_floats:
                numbers = [round(number, DECIMALS) for number in numbers]
            pairs = [template.format(name, number) for name, number in zip(FIELDS, numbers, strict=True)]
            if self.format == "json":
                pairs.sort()  # Go writes an object's keys in this order
            elif self.telegraf_floats:
                chance.shuffle(pairs)
            value_sets.append((tuple(numbers), ",".join(pairs).encode()))
        return value_sets


@dataclass(frozen=True)
class _Host:
    key: bytes
    influx: bytes
    json: bytes

    @classmethod
    def numbered(cls, number: int) -> "_Host":
        name = f"vm-{number:06d}"
        return cls(
            key=f"ns01/mcis01/{name}".encode(),
            influx=f"cpu,cpu=cpu-total,host={name},mcisId=mcis01,nsId=ns01,vmId={name} ".encode(),
            json=f'{{"cpu":"cpu-total","host":"{name}","mcisId":"mcis01","nsId":"ns01","vmId":"{name}"}}'.encode(),
        )
