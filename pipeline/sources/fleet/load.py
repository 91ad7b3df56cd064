"""How busy the machines of the simulated fleet are: by hour and weekday of their region, with noise, steps and jobs."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.sources.fleet.hosts import Host

Floats = npt.NDArray[np.float64]

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_BUSIEST_HOUR = 15.0
_FIRST_MONDAY_MS = 4 * _DAY_MS  # 1970-01-05
_WEEKEND_LOAD = 0.4
_LEVELS = 16


class LoadModel:
    """The share of its processors that each host is using.

    The parts, in percent: a base of 3 to 20; a day of up to 40 more, highest in the afternoon, lower at the weekend;
    a level that a deployment changes every six hours to two days; a batch job on three hosts of ten, every quarter,
    half or whole hour; and noise that remembers its last value.

    Parameters
    ----------
    hosts
        The fleet.
    rng
        The only source of chance: the same state gives the same load.
    """

    def __init__(self, hosts: Sequence[Host], rng: np.random.Generator) -> None:
        count = len(hosts)
        self._rng = rng
        self._offset_ms = np.array([host.utc_offset_hours * _HOUR_MS for host in hosts])
        self._base = rng.uniform(3.0, 20.0, count)
        self._daily = rng.uniform(8.0, 40.0, count)
        self._levels = rng.uniform(-4.0, 8.0, (count, _LEVELS))
        self._level_ms = rng.uniform(6.0, 48.0, count) * _HOUR_MS
        self._job_percent = np.where(rng.random(count) < 0.3, rng.uniform(15.0, 40.0, count), 0.0)
        self._job_every_ms = rng.choice([0.25, 0.5, 1.0], count) * _HOUR_MS
        self._job_offset_ms = rng.uniform(0.0, _HOUR_MS, count)
        self._job_share = rng.uniform(0.08, 0.25, count)
        self._noise_percent = rng.uniform(0.5, 2.5, count)
        self._noise = np.zeros(count)
        self._hosts = np.arange(count)

    def cpu_percent(self, now_ms: int) -> Floats:
        """Return the load of each host, 0.5 to 98, and move the noise on by one step."""
        local_ms = now_ms + self._offset_ms
        hour = (local_ms % _DAY_MS) / _HOUR_MS
        day = 0.5 + 0.5 * np.cos((hour - _BUSIEST_HOUR) * (2.0 * np.pi / 24.0))
        weekday = ((local_ms - _FIRST_MONDAY_MS) // _DAY_MS) % 7
        week = np.where(weekday >= 5, _WEEKEND_LOAD, 1.0)
        level = self._levels[self._hosts, (local_ms // self._level_ms).astype(np.int64) % _LEVELS]
        job_phase = ((local_ms + self._job_offset_ms) % self._job_every_ms) / self._job_every_ms
        job = np.where(job_phase < self._job_share, self._job_percent, 0.0)
        self._noise = 0.8 * self._noise + self._rng.normal(0.0, 0.6, len(self._hosts)) * self._noise_percent
        load: Floats = np.clip(self._base + self._daily * day * week + level + job + self._noise, 0.5, 98.0)
        return load
