"""``cinnamon up``: the whole pipeline, started and ended as a user does it."""

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.stores.embedded.windows import EmbeddedStore
from tests.support.waiting import wait_until

pytestmark = pytest.mark.server

FAR_MS = 2**53


@contextmanager
def running(*arguments: str, data: Path) -> Iterator[subprocess.Popen[str]]:
    """Run ``cinnamon up`` with its files in a folder; nothing of it is left afterwards."""
    command = [sys.executable, "-m", "pipeline", "up", "--data", str(data), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        children: list[psutil.Process] = []
        try:
            yield process
            children = psutil.Process(process.pid).children() if process.poll() is None else []
        finally:
            process.kill()
            for child in children:
                wait_until(lambda child=child: is_gone(child), timeout_s=10, what=f"the end of {child}")


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def until_running(process: subprocess.Popen[str]) -> tuple[dict[str, psutil.Process], list[str]]:
    """Read lines until the pipeline runs; return its children by name, and the lines."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "running" in line:
            break
    else:
        raise AssertionError(f"it ended before it ran: {process.stderr.read()}")
    children = psutil.Process(process.pid).children()
    named = {name_of(child): child for child in children}
    assert named.keys() == {"worker", "control", "broker"}
    return named, lines


def name_of(child: psutil.Process) -> str:
    return next((name for name in ("worker", "control") if name in child.cmdline()), "broker")


def test_a_fleet_is_aggregated_into_the_store_and_every_sample_is_accounted_for(tmp_path: Path) -> None:
    data = tmp_path / "files"
    arguments = ["--simulate", "5", "--every", "1s", "--interval", "200ms", "--duration", "6s", "--json"]
    with running(*arguments, data=data) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")

    states = [json.loads(line) for line in out.splitlines()]
    summary = states.pop()
    phases = [state["phase"] for state in states]
    assert list(dict.fromkeys(phases)) == ["starting", "running", "draining"]
    assert all(state["balance"]["holds"] for state in states)
    assert {state["event"] for state in states} == {"state"}
    assert summary["event"] == "summary"
    assert summary["complete"]
    assert summary["balance"]["holds"]
    assert summary["balance"]["open"] == 0
    assert summary["delivered"] == summary["records"] == summary["sent"] > 0
    assert summary["failed"] == 0
    assert summary["windows"] + summary["corrections"] == summary["points_written"] > 0

    store = EmbeddedStore(Path(summary["store"]), read_only=True)
    counts = store.query_top("cpu", "usage_active", "count", start_ms=0, end_ms=FAR_MS, by_tag="host", n=100)
    hosts = {point.tags["host"]: point.value for point in counts}
    starts = {point.start_ms for point in store.query_range("cpu", "usage_active", "avg", start_ms=0, end_ms=FAR_MS)}
    store.close()
    assert len(hosts) == 5
    assert sum(hosts.values()) * 6 == summary["delivered"]  # six messages a host, one of them cpu
    assert starts == set(range(min(starts), max(starts) + 1, 1000))
    assert len(Path(summary["truth"]).read_text().splitlines()) == summary["incidents"]
    query = ["query", "top", "cpu", "usage_active", "--embedded", summary["store"], "--json"]
    assert len(CliRunner().invoke(app, query).stdout.splitlines()) == 5


def test_incidents_of_the_fleet_become_alerts_and_the_api_serves(tmp_path: Path) -> None:
    arguments = ["--simulate", "5", "--every", "1s", "--interval", "200ms", "--json", "--duration", "24s"]
    with running(*arguments, data=tmp_path) as process:
        ready = json.loads(next(line for line in process.stdout if "running" in line))
        url = f"http://127.0.0.1:{ready['control_port']}/readyz"
        wait_until(lambda: answers(url), timeout_s=20, what="the API", alive=lambda: process.poll() is None)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    summary = json.loads(out.splitlines()[-1])
    truth = [json.loads(line) for line in Path(summary["truth"]).read_text().splitlines()]
    busy = {incident["resource"] for incident in truth if incident["kind"] == "cpu_spike"}
    told = {alert["resource"] for alert in summary["newest_alerts"] if alert["policy"] == "cpu-busy"}
    assert set() < busy <= told
    assert summary["alerts"] >= len(summary["newest_alerts"])
    assert summary["complete"]


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly_with_a_summary_and_no_child_left(tmp_path: Path, number: signal.Signals) -> None:
    with running("--every", "10s", "--interval", "100ms", data=tmp_path) as process:  # this machine's own metrics
        children, lines = until_running(process)
        assert lines[0].startswith("0 s starting: in 0 records/s 0 samples/s; 0 windows closed, 0 written; lag 0; ")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert all(is_gone(child) for child in children.values())
    summary = out.splitlines()
    assert summary[-1].split() == [
        "cinnamon",
        "query",
        "top",
        "cpu",
        "usage_active",
        "--embedded",
        f"{tmp_path}/windows.db",
    ]
    assert any("this machine, windows of 10 s" in line for line in summary)


def test_on_a_terminal_it_draws_a_screen_and_gives_it_back_at_ctrl_c(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "pipeline", "up", "--simulate", "3", "--every", "1s", "--data", str(tmp_path)]
    environment = {**os.environ, "TERM": "xterm", "PYTHONUTF8": "1"}
    shown = bytearray()

    def read_until(text: bytes) -> bool:
        shown.extend(os.read(ours, 65_536))
        return text in shown

    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as process:
        os.close(theirs)
        wait_until(lambda: read_until(b"windows closed: "), timeout_s=60, what="closed windows")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        wait_until(lambda: read_until(b"cinnamon query top"), timeout_s=60, what="the summary")
        assert process.wait(timeout=30) == 0
    os.close(ours)
    screen, after = shown.split(b"\x1b[?1049l")
    assert screen.startswith(b"\x1b[?1049h")
    assert b"simulated fleet of 3, windows of 1 s" in after


def test_a_second_signal_leaves_at_once_even_before_it_runs(tmp_path: Path) -> None:
    with running("--simulate", "2", "--json", data=tmp_path) as process:
        worker = wait_until(lambda: worker_of(process), timeout_s=30, what="the worker's start")
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "draining" in process.stdout.readline(), timeout_s=30, what="the end to begin")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, "")
        assert is_gone(worker)
    assert json.loads(out.splitlines()[-1])["event"] == "summary"


def worker_of(process: subprocess.Popen[str]) -> psutil.Process | None:
    children = psutil.Process(process.pid).children()
    return next((child for child in children if "worker" in child.cmdline()), None)


def test_it_ends_quietly_when_its_reader_goes_away(tmp_path: Path) -> None:
    with running("--simulate", "2", "--json", data=tmp_path) as process:
        children, _ = until_running(process)
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == ""
        assert all(is_gone(child) for child in children.values())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_no_child_is_left_when_it_is_killed(tmp_path: Path) -> None:
    with running("--simulate", "2", data=tmp_path) as process:
        children, _ = until_running(process)
        process.kill()
        for name, child in children.items():
            wait_until(lambda child=child: is_gone(child), timeout_s=10, what=f"the end of the {name}")


@pytest.mark.parametrize("name", ["worker", "control", "broker"])
def test_a_child_that_dies_ends_it_with_status_1_and_the_end_of_its_log(tmp_path: Path, name: str) -> None:
    with running("--simulate", "2", data=tmp_path) as process:
        children, _ = until_running(process)
        children[name].kill()
        _, err = process.communicate(timeout=90)
        assert process.returncode == 1
        assert all(is_gone(child) for child in children.values())
    text = f"the {'embedded ' if name == 'broker' else ''}{name} was ended by SIGKILL"
    assert err.startswith(f"{text}; the end of {tmp_path}/{name}.log:\n")


def test_a_folder_serves_one_at_a_time(tmp_path: Path) -> None:
    with running("--simulate", "2", "--json", data=tmp_path) as process:
        assert process.stdout.readline()
        second = CliRunner().invoke(app, ["up", "--data", str(tmp_path)])
    assert second.exit_code == 1
    assert f"another cinnamon up uses {tmp_path}" in second.stderr


def test_settings_of_other_workers_in_the_environment_are_none_of_its_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CINNAMON_KAFKA__BOOTSTRAP_SERVERS", "production.example:9092")
    monkeypatch.setenv("CINNAMON_WINDOWS__EVERY_S", "60")
    with running("--simulate", "1", "--every", "1s", "--duration", "3s", "--json", data=tmp_path) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out.splitlines()[-1])["complete"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--every", "soon"], "'soon' is no duration"),
        (["--every", "1h"], "longer cycles are rolled up from metrics.agg"),
        (["--interval", "2m"], "'2m' is longer than the window of 60s"),
        (["--duration", "0s"], "'0s' must be a whole number of milliseconds"),
        (["--simulate", "0"], "greater than or equal to 1"),
        (["--json", "--no-view"], "--json and --no-view exclude each other"),
        (["--truth", "/nonexistent/truth"], "cannot write /nonexistent/truth"),
        (["--data", "/dev/null/files"], "cannot write to /dev/null/files"),
    ],
)
def test_bad_use_is_explained_with_status_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    given = arguments if "--data" in arguments else ["--data", str(tmp_path), *arguments]
    result = CliRunner().invoke(app, ["up", *given])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
