"""The values of the simulated fleet's metrics, one tick after the other."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.sources.fleet.hosts import Host
from pipeline.sources.fleet.incidents import Incident, IncidentKind
from pipeline.sources.fleet.load import LoadModel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Columns = tuple[Floats | Integers, ...]

_SPIKE_PERCENT = 70.0
_SHIFT_PERCENT = 25.0
_FULL_PERCENT = 98.0
_ERRORS_PER_S = 40.0
_INODE_BYTES = 16_384
_DAY_MS = 86_400_000

# Fields of each measurement in the order of the columns; `i` says that the field is an integer.
FIELDS: dict[str, tuple[str, ...]] = {
    "cpu": (
        "usage_user", "usage_system", "usage_nice", "usage_iowait", "usage_irq", "usage_softirq", "usage_steal",
        "usage_guest", "usage_guest_nice", "usage_idle", "usage_active",
    ),
    "mem": ("total i", "used i", "available i", "free i", "cached i", "buffered i", "used_percent"),
    "disk": ("total i", "used i", "free i", "used_percent", "inodes_total i", "inodes_used i", "inodes_used_percent"),
    "diskio": (
        "reads i", "writes i", "read_bytes i", "write_bytes i", "read_time i", "write_time i", "io_time i",
        "weighted_io_time i", "iops_in_progress i",
    ),
    "net": (
        "bytes_sent i", "bytes_recv i", "packets_sent i", "packets_recv i", "err_in i", "err_out i", "drop_in i",
        "drop_out i",
    ),
    "system": ("load1", "load5", "load15", "n_cpus i", "n_users i", "uptime i"),
}  # fmt: skip

# Tags of a measurement beside the identity of the host.
EXTRA_TAGS: dict[str, dict[str, str]] = {
    "cpu": {"cpu": "cpu-total"},
    "mem": {},
    "disk": {"device": "vda1", "fstype": "ext4", "mode": "rw", "path": "/"},
    "diskio": {"name": "vda"},
    "net": {"interface": "eth0"},
    "system": {},
}


class FleetState:
    """Moves the fleet on and gives its values, a column over all hosts for each field of `FIELDS`.

    Parameters
    ----------
    hosts
        The fleet.
    rng
        The only source of chance.
    interval_ms
        The time between two ticks.
    """

    def __init__(self, hosts: Sequence[Host], rng: np.random.Generator, *, interval_ms: int) -> None:
        count = len(hosts)
        self._rng = rng
        self._interval_s = interval_ms / 1000.0
        self._load = LoadModel(hosts, rng)
        self._cores = np.array([host.cores for host in hosts], dtype=np.int64)
        self._memory = np.array([host.memory_bytes for host in hosts], dtype=np.int64)
        self._disk = np.array([host.disk_bytes for host in hosts], dtype=np.int64)
        self._memory_base = rng.uniform(20.0, 55.0, count)
        self._disk_base = rng.uniform(20.0, 65.0, count)
        self._disk_per_day = rng.uniform(0.2, 3.0, count)
        self._net_bytes = rng.lognormal(11.0, 0.8, count)  # bytes a second for one percent of load
        self._disk_ops = rng.lognormal(0.5, 0.6, count)  # operations a second for one percent of load
        self._users = rng.integers(0, 4, count)
        self._averages = [np.zeros(count) for _ in range(3)]
        self._uptime_s = rng.uniform(3_600.0, 90 * 86_400.0, count)
        net_past = self._uptime_s * rng.lognormal(0.0, 0.7, count)  # busy and quiet hosts since their boot
        io_past = self._uptime_s * rng.lognormal(0.0, 0.7, count)
        self._net = [np.floor(net_past * share) for share in (9e4, 2e5, 110.0, 190.0, 1e-4, 0.0, 1e-3, 0.0)]
        self._io = [np.floor(io_past * share) for share in (3.0, 9.0, 6e4, 2e5, 1.0, 8.0, 7.0, 11.0)]
        self._cpu = np.zeros(count)
        self._memory_percent = np.zeros(count)
        self._disk_percent = np.zeros(count)

    def advance(self, now_ms: int, incidents: Iterable[Incident]) -> dict[str, Columns]:
        """Move on to a tick and return its values, with what the incidents under way do to them."""
        self._cpu = self._load.cpu_percent(now_ms)
        self._uptime_s = self._uptime_s + self._interval_s
        leak, fill, errors = (np.zeros(len(self._cpu)) for _ in range(3))
        for incident in incidents:
            at, progress = incident.position, incident.progress(now_ms)
            match incident.kind:
                case IncidentKind.CPU_SPIKE:
                    self._cpu[at] += _SPIKE_PERCENT
                case IncidentKind.LEVEL_SHIFT:
                    self._cpu[at] += _SHIFT_PERCENT
                case IncidentKind.MEMORY_LEAK:
                    leak[at] = progress
                case IncidentKind.DISK_FILLING:
                    fill[at] = progress
                case IncidentKind.NET_ERRORS:
                    errors[at] = _ERRORS_PER_S
                case IncidentKind.COUNTER_RESET:
                    self._reboot(at)
                case IncidentKind.HOST_SILENT:
                    pass  # its messages are left out
        np.clip(self._cpu, 0.5, 99.5, out=self._cpu)
        memory = self._memory_base + 0.2 * self._cpu + self._rng.normal(0.0, 0.3, len(self._cpu))
        self._memory_percent = memory + leak * (_FULL_PERCENT - memory)
        disk = self._disk_base + self._disk_per_day * ((now_ms % (7 * _DAY_MS)) / _DAY_MS)
        self._disk_percent = disk + fill * (_FULL_PERCENT - disk)
        self._count(errors)
        return {
            "cpu": self._cpu_columns(),
            "mem": self._mem_columns(),
            "disk": self._disk_columns(),
            "diskio": self._diskio_columns(),
            "net": tuple(column.astype(np.int64) for column in self._net),
            "system": self._system_columns(),
        }

    def _reboot(self, position: int) -> None:
        self._uptime_s[position] = 0.0
        for counter in (*self._net, *self._io):
            counter[position] = 0.0

    def _count(self, errors_per_s: Floats) -> None:
        """Let the counters grow with the load, each step a whole number."""
        jitter = self._rng.lognormal(0.0, 0.25, len(self._cpu))
        load_s = self._cpu * jitter * self._interval_s
        sent, received = self._net_bytes * load_s * 0.45, self._net_bytes * load_s
        errors_in = self._rng.poisson((errors_per_s + 1e-4) * self._interval_s)
        net = (
            sent,
            received,
            sent / 820.0,
            received / 1050.0,
            errors_in,
            errors_in // 9,
            errors_in // 3,
            errors_in * 0,
        )
        self._net = [counter + np.floor(step) for counter, step in zip(self._net, net, strict=True)]
        operations = self._disk_ops * load_s
        reads, writes = operations * 0.3, operations * 0.7
        io = (reads, writes, reads * 20e3, writes * 26e3, reads * 0.4, writes * 1.1, operations * 0.6, operations * 1.3)
        self._io = [counter + np.floor(step) for counter, step in zip(self._io, io, strict=True)]

    def _cpu_columns(self) -> Columns:
        """Return shares in hundredths of a percent that make up exactly 100 % together with the idle share."""
        hundredths = np.rint(self._cpu * 100.0)
        shares = [np.floor(hundredths * share) for share in (0.2, 0.015, 0.05, 0.002, 0.012, 0.01)]
        user = hundredths - np.sum(shares, axis=0)
        none = np.zeros(len(self._cpu))
        parts = [user, *shares, none, none, 10_000.0 - hundredths, hundredths]
        return tuple(part / 100.0 for part in parts)

    def _mem_columns(self) -> Columns:
        used = (self._memory * (self._memory_percent / 100.0)).astype(np.int64)
        available = self._memory - used
        cached = (available * 0.6).astype(np.int64)
        buffered = (available * 0.02).astype(np.int64)
        free = available - cached - buffered
        return (self._memory, used, available, free, cached, buffered, used * 100.0 / self._memory)

    def _disk_columns(self) -> Columns:
        used = (self._disk * (self._disk_percent / 100.0)).astype(np.int64)
        inodes = self._disk // _INODE_BYTES
        inodes_used = (inodes * (self._disk_percent * 0.003)).astype(np.int64)
        percent, inodes_percent = used * 100.0 / self._disk, inodes_used * 100.0 / inodes
        return (self._disk, used, self._disk - used, percent, inodes, inodes_used, inodes_percent)

    def _diskio_columns(self) -> Columns:
        waiting = self._rng.poisson(self._cpu / 25.0)
        return (*(column.astype(np.int64) for column in self._io), waiting.astype(np.int64))

    def _system_columns(self) -> Columns:
        running = self._cpu / 100.0 * self._cores * 1.1
        for position, minutes in enumerate((1.0, 5.0, 15.0)):
            keep = np.exp(-self._interval_s / (60.0 * minutes))
            before = self._averages[position]
            # A fleet that is seen for the first time has been running before.
            self._averages[position] = np.where(before == 0.0, running, keep * before + (1.0 - keep) * running)
        return (*self._averages, self._cores, self._users, self._uptime_s.astype(np.int64))
