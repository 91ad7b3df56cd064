"""The metrics of the machine that runs this, in the names that Telegraf gives them."""

import os
import platform
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import ClassVar, NamedTuple, Self

import psutil

from pipeline.core.influx.escaping import escaped_field_key, escaped_measurement, escaped_tag
from pipeline.sources.base import RawRecord, Source, SourceOptions

_PSEUDO_FILE_SYSTEMS = frozenset({"tmpfs", "devtmpfs", "devfs", "iso9660", "overlay", "aufs", "squashfs"})
_TCP_STATES = {
    psutil.CONN_ESTABLISHED: "tcp_established",
    psutil.CONN_SYN_SENT: "tcp_syn_sent",
    psutil.CONN_SYN_RECV: "tcp_syn_recv",
    psutil.CONN_FIN_WAIT1: "tcp_fin_wait1",
    psutil.CONN_FIN_WAIT2: "tcp_fin_wait2",
    psutil.CONN_TIME_WAIT: "tcp_time_wait",
    psutil.CONN_CLOSE: "tcp_close",
    psutil.CONN_CLOSE_WAIT: "tcp_close_wait",
    psutil.CONN_LAST_ACK: "tcp_last_ack",
    psutil.CONN_LISTEN: "tcp_listen",
    psutil.CONN_CLOSING: "tcp_closing",
    psutil.CONN_NONE: "tcp_none",
}
_PROCESS_STATES = {
    psutil.STATUS_RUNNING: "running",
    psutil.STATUS_SLEEPING: "sleeping",
    psutil.STATUS_DISK_SLEEP: "blocked",
    psutil.STATUS_STOPPED: "stopped",
    psutil.STATUS_TRACING_STOP: "stopped",
    psutil.STATUS_ZOMBIE: "zombies",
    psutil.STATUS_DEAD: "dead",
    psutil.STATUS_IDLE: "idle",
    psutil.STATUS_PARKED: "idle",
}
_DISK_STATISTICS = Path("/proc/diskstats")
_CPU_SHARES = ("user", "system", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice", "idle")

Fields = Mapping[str, int | float]


class HostMetric(NamedTuple):
    """One metric of this machine, without identity and time."""

    measurement: str
    tags: Mapping[str, str]
    fields: Fields


class ThisHost(Source):
    """The metrics of this machine, measured on the clock's grid of the interval.

    Parameters
    ----------
    interval_ms
        Time between two measurements.
    """

    name: ClassVar = "host"
    summary: ClassVar = "The machine that runs this, in the names that Telegraf gives its metrics."
    options: ClassVar = ("interval_ms",)

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms

    @classmethod
    def open(cls, options: SourceOptions) -> Self:
        """Return this machine, measured once an interval."""
        return cls(options.interval_ms)

    @classmethod
    def title(cls, options: SourceOptions) -> str:  # noqa: ARG003
        """Return what this machine is called."""
        return "this machine"

    def batches(self, stop: Event) -> Iterator[list[RawRecord]]:
        """Yield measurement after measurement until ``stop`` is set."""
        identity, times = local_identity(), None
        while not stop.is_set():
            now_ms = time.time_ns() // 1_000_000
            records, times = collect(now_ms, times, identity)
            yield records
            next_ms = now_ms - now_ms % self._interval_ms + self._interval_ms
            stop.wait(max(next_ms / 1000 - time.time(), 0.0))


def local_identity() -> dict[str, str]:
    """Return identity tags for a machine that is part of no infrastructure: its own name stands for the node."""
    name = socket.gethostname() or "localhost"
    return {
        "csp": "local",
        "host": name,
        "infra_id": "local",
        "node_id": name,
        "ns_id": "local",
        "osType": platform.system().lower(),
        "region": "local",
    }


def collect(
    now_ms: int, previous: Mapping[str, float] | None, identity: Mapping[str, str]
) -> tuple[list[RawRecord], dict[str, float]]:
    """Return this machine's metrics as messages, and the processor times to give as ``previous`` next time.

    Parameters
    ----------
    now_ms
        The time to put on the messages, in UTC milliseconds.
    previous
        Processor times of the last collection; none at the first, which has no ``cpu`` metric then, as Telegraf's.
    identity
        Tags of every message; ``ns_id``, ``infra_id`` and ``node_id`` make the key.

    Raises
    ------
    KeyError
        If one of the three is missing.
    """
    times = cpu_times()
    metrics = [*_cpu(previous, times), *_memory(), *_disks(), *_disk_io(), *_network(), *_connections()]
    metrics += [*_system(now_ms), *_processes()]
    key = "/".join(identity[name] for name in ("ns_id", "infra_id", "node_id")).encode()
    messages = [RawRecord(key, encode(metric, identity, now_ms), now_ms) for metric in metrics if metric.fields]
    return messages, times


def encode(metric: HostMetric, identity: Mapping[str, str], now_ms: int) -> bytes:
    """Return a metric with its identity and time as a line of line protocol, with its newline; integers carry ``i``."""
    tags = {**identity, **metric.tags}
    series = escaped_measurement(metric.measurement) + "".join(escaped_tag(key, tags[key]) for key in sorted(tags))
    fields = ",".join(
        f"{escaped_field_key(name)}={value}{'i' if isinstance(value, int) else ''}"
        for name, value in metric.fields.items()
    )
    return f"{series} {fields} {now_ms}000000\n".encode()


def cpu_times() -> dict[str, float]:
    """Return the seconds that all processors together spent in each state; guests are not counted twice."""
    times = psutil.cpu_times()._asdict()
    found = {name: float(times.get(name, 0.0)) for name in _CPU_SHARES}
    found["user"] -= found["guest"]
    found["nice"] -= found["guest_nice"]
    return found


def cpu_usage(previous: Mapping[str, float], current: Mapping[str, float]) -> dict[str, float]:
    """Return ``usage_*`` in percent between two readings of `cpu_times`; empty if no time passed between them.

    Notes
    -----
    A kernel may let single times go back a little; such a share counts as 0.
    """
    spent = {name: max(current[name] - previous[name], 0.0) for name in _CPU_SHARES}
    total = sum(spent.values())
    if total <= 0.0:
        return {}
    usage = {f"usage_{name}": 100.0 * seconds / total for name, seconds in spent.items()}
    return {**usage, "usage_active": 100.0 - usage["usage_idle"]}


def _cpu(previous: Mapping[str, float] | None, current: Mapping[str, float]) -> Iterator[HostMetric]:
    if previous is not None:
        yield HostMetric("cpu", {"cpu": "cpu-total"}, cpu_usage(previous, current))


def _memory() -> Iterator[HostMetric]:
    memory = psutil.virtual_memory()
    used = memory.total - memory.available
    fields: dict[str, int | float] = {
        "total": memory.total,
        "available": memory.available,
        "used": used,
        "free": memory.free,
        "used_percent": 100.0 * used / memory.total,
        "available_percent": 100.0 * memory.available / memory.total,
    }
    for name, source in {"cached": "cached", "buffered": "buffers", "shared": "shared", "slab": "slab"}.items():
        if hasattr(memory, source):
            fields[name] = getattr(memory, source)
    yield HostMetric("mem", {}, fields)
    swap = psutil.swap_memory()
    level = {"total": swap.total, "used": swap.used, "free": swap.free, "used_percent": float(swap.percent)}
    yield HostMetric("swap", {}, level)
    yield HostMetric("swap", {}, {"in": swap.sin, "out": swap.sout})


def _disks() -> Iterator[HostMetric]:
    seen = set()
    for partition in psutil.disk_partitions(all=False):
        if partition.fstype in _PSEUDO_FILE_SYSTEMS or partition.device in seen:
            continue
        seen.add(partition.device)
        try:
            usage = psutil.disk_usage(partition.mountpoint)
            inodes = os.statvfs(partition.mountpoint) if hasattr(os, "statvfs") else None
        except OSError:  # a mount that is gone, or not ours to look at
            continue
        fields: dict[str, int | float] = {
            "total": usage.total,
            "used": usage.used,
            "free": usage.free,
            "used_percent": 100.0 * usage.used / max(usage.used + usage.free, 1),
        }
        if inodes is not None and inodes.f_files:
            fields["inodes_total"] = inodes.f_files
            fields["inodes_free"] = inodes.f_ffree
            fields["inodes_used"] = inodes.f_files - inodes.f_ffree
            fields["inodes_used_percent"] = 100.0 * (inodes.f_files - inodes.f_ffree) / inodes.f_files
        mode = "rw" if "rw" in partition.opts.split(",") else "ro"
        device = partition.device.removeprefix("/dev/")
        yield HostMetric(
            "disk", {"device": device, "fstype": partition.fstype, "mode": mode, "path": partition.mountpoint}, fields
        )


def _disk_io() -> Iterator[HostMetric]:
    queues = disk_queues(_DISK_STATISTICS.read_text()) if _DISK_STATISTICS.exists() else {}
    for name, io in (psutil.disk_io_counters(perdisk=True) or {}).items():
        if not io.read_count and not io.write_count:  # loop and RAM devices that nobody uses
            continue
        fields = {
            "reads": io.read_count,
            "writes": io.write_count,
            "read_bytes": io.read_bytes,
            "write_bytes": io.write_bytes,
            "read_time": io.read_time,
            "write_time": io.write_time,
        }
        yield HostMetric("diskio", {"name": name}, fields | queues.get(name, {}))


def disk_queues(statistics: str) -> dict[str, dict[str, int]]:
    """Return by device what Linux' ``/proc/diskstats`` says of its queue (columns 12 to 14 of its documentation)."""
    queues = {}
    for line in statistics.splitlines():
        columns = line.split()
        if len(columns) >= 14:
            queues[columns[2]] = {
                "iops_in_progress": int(columns[11]),
                "io_time": int(columns[12]),
                "weighted_io_time": int(columns[13]),
            }
    return queues


def _network() -> Iterator[HostMetric]:
    interfaces = psutil.net_if_stats()
    for name, io in psutil.net_io_counters(pernic=True).items():
        interface = interfaces.get(name)
        if interface is None or not interface.isup or "loopback" in interface.flags.split(","):
            continue
        fields = {
            "bytes_sent": io.bytes_sent,
            "bytes_recv": io.bytes_recv,
            "packets_sent": io.packets_sent,
            "packets_recv": io.packets_recv,
            "err_in": io.errin,
            "err_out": io.errout,
            "drop_in": io.dropin,
            "drop_out": io.dropout,
        }
        yield HostMetric("net", {"interface": name}, fields)


def _connections() -> Iterator[HostMetric]:
    try:
        tcp = Counter(connection.status for connection in psutil.net_connections("tcp"))
        udp = len(psutil.net_connections("udp"))
    except psutil.AccessDenied:  # some systems let only the administrator look
        return
    yield HostMetric("netstat", {}, {name: tcp[state] for state, name in _TCP_STATES.items()} | {"udp_socket": udp})


def _system(now_ms: int) -> Iterator[HostMetric]:
    load1, load5, load15 = psutil.getloadavg()
    users = [user.name for user in psutil.users()]
    fields = {
        "load1": load1,
        "load5": load5,
        "load15": load15,
        "n_cpus": psutil.cpu_count() or 1,
        "n_users": len(users),
        "n_unique_users": len(set(users)),
    }
    yield HostMetric("system", {}, fields)
    yield HostMetric("system", {}, {"uptime": max(now_ms // 1000 - int(psutil.boot_time()), 0)})


def _processes() -> Iterator[HostMetric]:
    states = dict.fromkeys((*_PROCESS_STATES.values(), "unknown"), 0)
    threads = total = 0
    for process in psutil.process_iter(["status", "num_threads"]):
        total += 1
        states[_PROCESS_STATES.get(process.info["status"], "unknown")] += 1
        threads += process.info["num_threads"] or 0
    yield HostMetric("processes", {}, {**states, "total": total, "total_threads": threads})
