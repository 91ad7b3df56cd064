"""Children of a process, and the embedded broker among them."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from confluent_kafka.admin import AdminClient

from pipeline.runtime.local import embedded_broker
from pipeline.runtime.local.child_process import ChildFailedError, ChildProcess
from pipeline.runtime.local.embedded_broker import EmbeddedBroker
from tests.support.waiting import wait_until

FOREVER = "import signal; print('here', flush=True); signal.pause()"


def python(code: str, log: Path) -> ChildProcess:
    return ChildProcess("child", [sys.executable, "-c", code], log=log, environment=dict(os.environ))


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_child_that_ends_is_reported_with_its_status_and_the_end_of_its_log(tmp_path: Path) -> None:
    child = python("import sys; print('first' + 'line\\n' * 900 + 'the reason'); sys.exit(3)", tmp_path / "log")
    wait_until(lambda: not child.is_running(), timeout_s=20, what="the child's end")
    with pytest.raises(
        ChildFailedError, match=r"(?s)^the child ended with exit status 3; the end of .*\nline\nthe reason$"
    ):
        child.raise_if_ended()
    assert child.log_tail().count("line") == 19


def test_a_child_that_is_killed_is_reported_with_the_signal(tmp_path: Path) -> None:
    child = python(FOREVER, tmp_path / "log")
    child.raise_if_ended()
    assert child.kill() == -signal.SIGKILL
    with pytest.raises(ChildFailedError, match="the child was ended by SIGKILL"):
        child.raise_if_ended()


def test_a_child_is_asked_to_end_and_killed_when_it_does_not(tmp_path: Path) -> None:
    polite = python(
        "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print(1, flush=True); signal.pause()",
        tmp_path / "polite",
    )
    deaf = python(f"import signal; signal.signal(15, signal.SIG_IGN); {FOREVER}", tmp_path / "deaf")
    for child in (polite, deaf):
        wait_until(child.log_tail, timeout_s=20, what="the child's first line")
    assert polite.stop(timeout_s=20) == 7
    assert deaf.stop(timeout_s=0.1) == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = (
        "import os, pathlib, signal, sys; from pipeline.runtime.local.child_process import ChildProcess; "
        f"child = ChildProcess('child', [sys.executable, '-c', {FOREVER!r}], "
        f"log=pathlib.Path({str(tmp_path / 'log')!r}), environment=dict(os.environ)); "
        "print(child.pid, flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        wait_until((tmp_path / "log").read_text, timeout_s=20, what="the child's first line")
        process.kill()
    wait_until(lambda: is_gone(pid), timeout_s=10, what="the child's end")


def test_a_program_that_is_not_there_is_a_failure_of_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", str(tmp_path / "nothing"))
    with pytest.raises(ChildFailedError, match=r"the embedded broker is not there: .* does not point at an executable"):
        EmbeddedBroker(tmp_path / "log").start()


def test_a_broker_that_dies_at_once_is_reported_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "broker"
    program.write_text("#!/bin/sh\necho no such luck\nexit 4\n")
    program.chmod(0o755)
    monkeypatch.setenv("CALF_TANSU_BIN", str(program))
    with pytest.raises(ChildFailedError, match=r"the embedded broker ended with exit status 4; .*\nno such luck"):
        EmbeddedBroker(tmp_path / "log").start()


def test_a_broker_that_does_not_answer_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "broker"
    program.write_text(f"#!{sys.executable}\nimport os\nprint(os.getpid(), flush=True)\n{FOREVER}\n")
    program.chmod(0o755)
    monkeypatch.setenv("CALF_TANSU_BIN", str(program))
    with pytest.raises(ChildFailedError, match="the embedded broker does not answer"):
        EmbeddedBroker(tmp_path / "log").start(timeout_s=2.0)
    pid = int((tmp_path / "log").read_text().split()[0])
    wait_until(lambda: is_gone(pid), timeout_s=10, what="the broker's end")


@pytest.mark.server
def test_the_broker_answers_when_it_is_started_and_is_gone_when_it_is_stopped(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "log")
    broker.start()
    servers = broker.bootstrap_servers
    assert AdminClient({"bootstrap.servers": servers}).list_topics(timeout=10).topics == {}
    broker.raise_if_ended()
    broker.stop()
    host, port = servers.split(":")
    with pytest.raises(ConnectionRefusedError, match="refused"):
        socket.create_connection((host, int(port)), timeout=1)


@pytest.mark.server
def test_a_port_that_was_taken_in_the_meantime_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = EmbeddedBroker(tmp_path / "other")
    other.start()
    taken = int(other.bootstrap_servers.split(":")[1])
    ports = iter([taken, embedded_broker.free_port()])
    monkeypatch.setattr(embedded_broker, "free_port", lambda: next(ports))
    broker = EmbeddedBroker(tmp_path / "log")
    broker.start()
    assert broker.bootstrap_servers != other.bootstrap_servers
    broker.stop()
    other.stop()
