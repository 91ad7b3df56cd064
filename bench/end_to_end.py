"""CPU a message of the job from topic to topic, for plain programs and the worker, on one real Kafka broker.

Each program runs as a process of its own, alone, over messages that are on the topic before it starts; what it
writes is compared window by window with what the messages come to.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

import topics
from bench.broker import Broker, kafka
from bench.measured import Measured
from bench.messages import Fleet
from bench.observed import observe
from bench.produce import add_fleet_arguments, fleet_of, produce
from bench.verify import verify
from bench.worker import worker

RUN_TIMEOUT_S = 900.0
TOPICS: dict[str, dict[str, str]] = {
    topics.METRICS_RAW: {},
    topics.METRICS_AGG: {},
    topics.DEAD_LETTERS: {},
    topics.CHECKPOINTS: {"cleanup.policy": "compact"},
}
# A plain Faust agent takes minutes for what the others read in seconds: it gets fewer windows.
FAUST_WINDOWS = 10


@dataclass(frozen=True)
class Source:
    """A topic with a fleet's messages on it."""

    broker: Broker
    fleet: Fleet
    topic: str

    @classmethod
    def produced(cls, broker: Broker, fleet: Fleet, topic: str) -> "Source":
        """Return a new topic that holds the fleet's messages."""
        broker.create_topics({topic: {}})
        produce(fleet, bootstrap_servers=broker.bootstrap_servers, topic=topic)
        return cls(broker, fleet, topic)


def run_program(module: str, source: Source, out: str) -> Measured:
    """Run a program of this folder that prints its own cost, and return that.

    Raises
    ------
    RuntimeError
        When it fails or prints nothing.
    """
    command = [
        sys.executable,
        "-m",
        module,
        f"--bootstrap={source.broker.bootstrap_servers}",
        f"--topic={source.topic}",
        f"--out={out}",
        f"--messages={source.fleet.message_count}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(f"{module} ended with status {done.returncode}:\n{done.stderr[-4000:]}")
    return Measured.from_json(lines[-1])


def run_plain_faust(source: Source, out: str) -> Measured:
    return run_program("bench.plain_faust", source, out)


def run_plain_loop(source: Source, out: str) -> Measured:
    return run_program("bench.plain_loop", source, out)


def run_worker(broker: Broker, fleet: Fleet, directory: Path) -> Measured:
    """Run the aggregate stage of a real worker, restart protocol on, and return what a fleet's messages cost it.

    It is up, joined and idle when the messages are laid before it; every window that it wrote is checked.
    """
    broker.create_topics(TOPICS)
    with worker(broker, directory, stages="aggregate") as running:
        measured = observe(
            "cinnamon worker", running.pid, broker=broker, fleet=fleet, topic=topics.METRICS_RAW, out=topics.METRICS_AGG
        )
    verify(fleet, bootstrap_servers=broker.bootstrap_servers, topic=topics.METRICS_AGG)
    print(measured.to_json(), flush=True)
    return measured


def measure(run: Callable[[Source, str], Measured], source: Source, *, out: str) -> Measured:
    """Run one program on the source, check every window that it wrote, print its line and return its cost."""
    source.broker.create_topics({out: {}})
    measured = run(source, out)
    verify(source.fleet, bootstrap_servers=source.broker.bootstrap_servers, topic=out)
    print(measured.to_json(), flush=True)
    return measured


def cpu_model() -> str:
    """Return the processor's name, or its architecture where the system does not tell."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def print_table(results: list[Measured], fleet: Fleet, *, value_bytes: int, load: float) -> None:
    """Print what each program costs, and how many times the cheapest that is."""
    table = Table(
        title=f"{value_bytes}-byte messages of ten fields ({fleet.format}), {fleet.hosts} hosts, "
        "4 partitions, lz4, six messages a window",
        caption=f"{cpu_model()}, {psutil.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {load:.1f} at the start; "
        "CPU: user and system of the process's threads, first record fetched to last window acknowledged",
    )
    for heading in ("program", "messages", "windows", "CPU µs a message", "messages/s (wall)", "ratio"):
        table.add_column(heading, justify="left" if heading == "program" else "right")
    least = min(result.cpu_us_a_message for result in results)
    for result in sorted(results, key=lambda each: -each.cpu_us_a_message):
        table.add_row(
            result.name,
            f"{result.messages:,}",
            f"{result.windows:,}",
            f"{result.cpu_us_a_message:.2f}",
            f"{result.messages / result.wall_s:,.0f}",
            f"{result.cpu_us_a_message / least:.1f}",
        )
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_fleet_arguments(parser)
    parser.add_argument("--without-faust", action="store_true", help="leave out the plain Faust agent, the slowest")
    arguments = parser.parse_args()
    fleet = fleet_of(arguments)
    load = psutil.getloadavg()[0]  # what else the machine does makes every program dearer
    with tempfile.TemporaryDirectory(prefix="cinnamon-bench-") as directory, kafka(Path(directory)) as broker:
        results = []
        if not arguments.without_faust:
            few = replace(fleet, windows=min(FAUST_WINDOWS, fleet.windows))
            results.append(measure(run_plain_faust, Source.produced(broker, few, "raw.few"), out="out.plain-faust"))
        source = Source.produced(broker, fleet, "raw")
        results.append(measure(run_plain_loop, source, out="out.plain-loop"))
        results.append(run_worker(broker, fleet, Path(directory)))
    print_table(results, fleet, value_bytes=len(next(fleet.messages()).value), load=load)


if __name__ == "__main__":
    main()
