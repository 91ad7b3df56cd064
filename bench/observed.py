"""The cost of a program that does not measure itself: it is held still while its messages are laid before it."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from confluent_kafka import Consumer, TopicPartition

from bench.broker import Broker
from bench.measured import Measured
from bench.messages import Fleet
from bench.produce import produce
from bench.waiting import wait_until

RUN_TIMEOUT_S = 900.0


def observe(name: str, pid: int, *, broker: Broker, fleet: Fleet, topic: str, out: str) -> Measured:
    """Return what a fleet's messages cost a running program.

    The program must be ready and idle, with the empty topic's partitions assigned to it. It is stopped (SIGSTOP)
    while the messages are produced, so that it finds them all at once, as the programs do that start afterwards.

    Parameters
    ----------
    name
        Of the program.
    pid
        Its process; the CPU of the processes that it started is counted too.
    broker, fleet, topic
        Where which messages go; the topic exists and is empty.
    out
        The topic of the windows; it exists and is empty.

    Raises
    ------
    TimeoutError
        When not all windows were on the broker in time, or the program ended before.
    """
    process = psutil.Process(pid)
    with _stopped(pid):
        produce(fleet, bootstrap_servers=broker.bootstrap_servers, topic=topic)
        cpu_s = _cpu_s(process)
        wall_s = time.monotonic()
    counter = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": out})
    try:
        windows = wait_until(
            lambda: _at_least(fleet.closed_count, record_count(counter, out)),
            timeout_s=RUN_TIMEOUT_S,
            what=f"{fleet.closed_count} windows of {name}",
            alive=process.is_running,
        )
    finally:
        counter.close()
    return Measured(name, fleet.message_count, windows, _cpu_s(process) - cpu_s, time.monotonic() - wall_s)


def record_count(consumer: Consumer, topic: str) -> int:
    """Return how many records a topic holds that nothing was removed from."""
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    return sum(consumer.get_watermark_offsets(TopicPartition(topic, each), timeout=30)[1] for each in partitions)


def _at_least(wanted: int, found: int) -> int:
    return found if found >= wanted else 0


def _cpu_s(process: psutil.Process) -> float:
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
