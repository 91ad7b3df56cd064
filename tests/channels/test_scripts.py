import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.channels.scripts import (
    LONGEST_OUTPUT_BYTES,
    ScriptCancelled,
    ScriptFolder,
    ScriptRefused,
    arguments_of,
    environment_of,
)
from tests.support.channels.alerts import alert_event
from tests.support.channels.folders import open_folder
from tests.support.waiting import wait_until

HOSTILE = "$(touch /tmp/pwned); `id` | rm -rf / && \"x\" 'y' \\ \n %s {resource} *"


@pytest.fixture
def folder() -> Iterator[ScriptFolder]:
    """An empty folder that any user can look into."""
    with open_folder() as parent:
        path = parent / "scripts"
        path.mkdir()
        path.chmod(0o755)
        yield ScriptFolder(path)


def write(folder: ScriptFolder, name: str, text: str, mode: int = 0o755) -> Path:
    path = folder.path / name
    path.write_text(text)
    path.chmod(mode)
    return path


def test_arguments_arrive_as_they_are(folder: ScriptFolder) -> None:
    write(folder, "show", "#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
    event = alert_event(tags={"host": HOSTILE}, resource=HOSTILE)
    arguments = arguments_of(["--host={tags.host}", "{resource}", "{{braces}}", "{tags.none}", "{value}"], event)
    result = folder.run("show", arguments, {}, 10)
    assert result.status == 0
    assert result.output.split("\x00")[:-1] == [f"--host={HOSTILE}", HOSTILE, "{braces}", "", "91.5"]


def test_the_environment_is_the_alert_and_nothing_of_the_worker(
    folder: ScriptFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CINNAMON_KAFKA__SASL_PASSWORD", "hunter2")
    write(folder, "show", "#!/usr/bin/env -S env\n")
    environment = environment_of(alert_event(resource=HOSTILE, tags={"LD_PRELOAD": "/evil.so"}), "k1")
    assert environment["CINNAMON_RESOURCE"] == HOSTILE
    write(folder, "show", "#!/bin/sh\nenv\n")
    output = folder.run("show", [], environment, 10).output
    assert "CINNAMON_KEY=k1\n" in output
    assert "CINNAMON_LEVEL=critical\n" in output
    assert "hunter2" not in output
    assert "LD_PRELOAD" not in output


def test_a_script_does_not_run_as_root(folder: ScriptFolder) -> None:
    write(folder, "who", "#!/bin/sh\nid -u; id -G\n")
    output = folder.run("who", [], {}, 10).output.split()
    if os.geteuid() == 0:
        assert output[0] != "0"
        assert "0" not in output[1:]
    else:
        assert output[0] == str(os.geteuid())


def test_when_its_time_is_up_a_script_and_all_it_started_are_killed(folder: ScriptFolder) -> None:
    write(folder, "hang", "#!/bin/sh\nsleep 1000 &\necho $! $$\nsleep 1000\n")
    result = folder.run("hang", [], {}, 0.5)
    assert result.status is None
    pids = [int(pid) for pid in result.output.split()]
    assert len(pids) == 2
    wait_until(lambda: not any(is_running(pid) for pid in pids), timeout_s=10, what="the end of the processes")


def test_a_script_is_killed_when_its_worker_ends(folder: ScriptFolder) -> None:
    write(folder, "hang", "#!/bin/sh\necho $$ > $1\nexec sleep 1000\n")
    told = folder.path.parent / "told"
    told.mkdir()
    told.chmod(0o777)
    pid_file = told / "pid"
    with pytest.raises(ScriptCancelled, match="the worker ends"):
        folder.run("hang", [str(pid_file)], {}, 20, lambda: pid_file.exists() and pid_file.read_text() != "")
    wait_until(lambda: not is_running(int(pid_file.read_text())), timeout_s=10, what="the end of the process")


def test_what_a_script_leaves_behind_is_killed(folder: ScriptFolder) -> None:
    write(folder, "leave", "#!/bin/sh\nsleep 1000 &\necho $!\n")
    result = folder.run("leave", [], {}, 10)
    assert result.status == 0
    wait_until(lambda: not is_running(int(result.output)), timeout_s=10, what="the end of the process")


def test_the_end_of_the_output_is_kept(folder: ScriptFolder) -> None:
    write(folder, "talk", "#!/bin/sh\nhead -c 5000000 /dev/zero | tr '\\0' 'x'\necho the end >&2\nexit 3\n")
    result = folder.run("talk", [], {}, 20)
    assert result.status == 3
    assert len(result.output) == LONGEST_OUTPUT_BYTES
    assert result.output.endswith("xthe end\n")


def test_a_script_reads_nothing(folder: ScriptFolder) -> None:
    write(folder, "read", "#!/bin/sh\ncat\necho done\n")
    assert folder.run("read", [], {}, 10).output == "done\n"


def test_a_signal_is_its_status(folder: ScriptFolder) -> None:
    write(folder, "die", "#!/bin/sh\nkill -TERM $$\n")
    assert folder.run("die", [], {}, 10).status == -15


@pytest.mark.parametrize("name", ["../outside", "/bin/sh", "sub/script", "..", ".", ""])
def test_nothing_outside_the_folder_is_run(folder: ScriptFolder, name: str) -> None:
    (folder.path / "sub").mkdir()
    write(folder, "sub/script", "#!/bin/sh\n")
    write(folder, "../outside", "#!/bin/sh\n")
    with pytest.raises(ScriptRefused, match="no name of a file"):
        folder.run(name, [], {}, 10)


def test_no_link_is_followed(folder: ScriptFolder) -> None:
    (folder.path / "link").symlink_to("/bin/true")
    with pytest.raises(ScriptRefused, match="must be a regular file, and no link"):
        folder.run("link", [], {}, 10)


@pytest.mark.parametrize(
    ("mode", "found"), [(0o777, "writable by its owner"), (0o775, "writable"), (0o644, "must be executable")]
)
def test_a_script_must_not_be_anybodys(folder: ScriptFolder, mode: int, found: str) -> None:
    write(folder, "open", "#!/bin/sh\n", mode)
    with pytest.raises(ScriptRefused, match=found):
        folder.run("open", [], {}, 10)


def test_a_script_that_does_not_start_says_so(folder: ScriptFolder) -> None:
    write(folder, "wrong", "#!/no/such/interpreter\n")
    with pytest.raises(ScriptRefused, match="cannot be started: No such file"):
        folder.run("wrong", [], {}, 10)
    with pytest.raises(ScriptRefused, match="No such file"):
        folder.run("missing", [], {}, 10)


def test_values_are_cut_and_without_zero_bytes() -> None:
    event = alert_event(tags={"a": "x\x00y", "b": "z" * 100_000})
    assert arguments_of(["{tags.a}", "{tags.b}"], event) == ["xy", "z" * 4000]


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
