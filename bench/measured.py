"""What a measured program prints about itself: CPU and wall time, from its first record to its last window."""

import json
import os
import time
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Measured:
    """One run of one program.

    Parameters
    ----------
    name
        Of the program.
    messages
        How many messages it read.
    windows
        How many windows the broker acknowledged.
    cpu_s, wall_s
        From the first record fetched to the last window acknowledged, in seconds; CPU is user and system time of
        all threads of the process.
    """

    name: str
    messages: int
    windows: int
    cpu_s: float
    wall_s: float

    @property
    def cpu_us_a_message(self) -> float:
        """CPU microseconds for each message."""
        return self.cpu_s / self.messages * 1e6

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps({**asdict(self), "cpu_us_a_message": round(self.cpu_us_a_message, 3)})

    @classmethod
    def from_json(cls, line: str) -> "Measured":
        """Return what ``to_json`` wrote."""
        found = json.loads(line)
        return cls(**{name: found[name] for name in cls.__dataclass_fields__})


class Clock:
    """The CPU and the wall time of this process since it was made."""

    def __init__(self) -> None:
        self._cpu_s = own_cpu_s()
        self._wall_s = time.monotonic()

    def measured(self, name: str, *, messages: int, windows: int) -> Measured:
        """Return what passed until now."""
        return Measured(name, messages, windows, own_cpu_s() - self._cpu_s, time.monotonic() - self._wall_s)


def own_cpu_s() -> float:
    """Return user and system CPU of all of this process's threads so far, in seconds."""
    used = os.times()
    return used.user + used.system
