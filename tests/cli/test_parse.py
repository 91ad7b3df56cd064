"""``cinnamon parse`` keeps its contract: what it prints, where, and how it ends."""

import array
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline import __version__
from pipeline.cli import app
from pipeline.cli.output import BROKEN_PIPE_STATUS
from tests.support.core.cases import DATA, telegraf_cases
from tests.support.waiting import wait_until

CINNAMON = [sys.executable, "-c", "from pipeline.cli import main; main()"]


def run(*arguments: str, data: bytes = b"") -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), input=data)
    return result.exit_code, result.stdout, result.stderr


def parse(data: bytes, *options: str) -> tuple[int, list[dict[str, Any]]]:
    status, out, _ = run("parse", *options, "-", data=data)
    return status, [json.loads(line) for line in out.splitlines()]


def test_a_metric_is_one_line_of_json_with_the_contract_s_keys_in_order() -> None:
    status, out, err = run("parse", "-", data=b'cpu,host=a v=42,i=7i,b=t,s="x" 1516241192000000000\n')

    assert (status, err) == (0, "")
    assert out == (
        '{"line":1,"measurement":"cpu","tags":{"host":"a"},"fields":{"v":42.0,"i":7,"b":true,"s":"x"},'
        '"time_ns":1516241192000000000}\n'
    )


def test_a_bad_line_stands_in_its_place_and_the_status_is_1() -> None:
    status, out, _ = run("parse", "-", data=b"cpu v=1\n\ncpu value=42,n=1.2.3\ncpu v=2\n")

    assert status == 1
    assert out.splitlines()[1] == (
        '{"line":3,"column":19,"error":"PARSE_NUMBER",'
        '"message":"expected a field value (number, quoted string or boolean), got \'1.2.3\'"}'
    )
    assert [json.loads(line)["line"] for line in out.splitlines()] == [1, 3, 4]


@pytest.mark.parametrize("case", telegraf_cases("parser.json"), ids=lambda case: case["name"])
def test_telegraf_s_parser_cases_come_out_right(case: dict[str, Any]) -> None:
    status, lines = parse(case["input"].encode(), "--format", "influx", "--timestamp-unit", case.get("unit", "ns"))

    for line, entry in zip(lines, case["expect"], strict=True):
        keys = ("measurement", "tags", "fields", "time_ns") if "measurement" in entry else ("line", "column")
        assert {key: line[key] for key in keys} == {key: entry[key] for key in keys}
        assert line.get("error") == entry.get("reason")
    assert status == (1 if any("reason" in entry for entry in case["expect"]) else 0)


@pytest.mark.parametrize("text", ["9223372036854775808", "18446744073709551616", "1" + "0" * 100])
def test_integers_beyond_64_bits_keep_their_digits(text: str) -> None:
    _, out, _ = run("parse", "-", data=f'{{"name":"m","fields":{{"v":{text}}}}}'.encode())

    assert f'"v":{text}}}' in out


@pytest.mark.parametrize("data", [b"m v=1e400,w=-1e400", b'{"name":"m","fields":{"v":Infinity,"w":NaN}}'])
def test_a_value_that_is_not_finite_is_null_and_no_error(data: bytes) -> None:
    status, lines = parse(data)

    assert (status, lines[0]["fields"]) == (0, {"v": None, "w": None})


def test_without_a_timestamp_the_time_is_null() -> None:
    assert parse(b"m v=1")[1][0]["time_ns"] is None


@pytest.mark.parametrize(
    ("unit", "time_ns"), [("auto", 1516241192_000_000_000), ("ns", 1516241192), ("ms", 1516241192_000_000)]
)
@pytest.mark.parametrize("data", [b"m v=1 1516241192", b'{"name":"m","fields":{"v":1},"timestamp":1516241192}'])
def test_the_timestamp_unit_holds_for_both_formats(data: bytes, unit: str, time_ns: int) -> None:
    assert parse(data, "--timestamp-unit", unit)[1][0]["time_ns"] == time_ns


def test_the_format_can_be_forced() -> None:
    assert parse(b"{a v=1", "--format", "influx")[0] == 0
    assert parse(b"{a v=1", "--format", "json")[0] == 1


def test_text_comes_out_as_utf8_and_names_with_line_feeds_stay_on_their_line() -> None:
    _, out, _ = run("parse", "-", data='☺ v="a\nb"'.encode())

    assert '"measurement":"☺"' in out
    assert len(out.splitlines()) == 1


def test_nothing_in_nothing_out() -> None:
    assert run("parse", "-", data=b"# comment\n\n") == (0, "", "")


@pytest.mark.parametrize("name", ["all", "cpu", "procstat"])
def test_both_formats_of_a_capture_print_the_same_metrics(name: str) -> None:
    stem = "batch" if name == "all" else name
    printed = [run("parse", str(DATA / "telegraf" / f"{stem}.{ending}")) for ending in ("lp", "json")]

    assert [status for status, _, _ in printed] == [0, 0]
    influx, from_json = ([json.loads(line) | {"line": 0} for line in out.splitlines()] for _, out, _ in printed)
    assert influx == from_json


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["parse", "no/such/file"], "cannot read 'no/such/file': No such file or directory"),
        (["parse", "."], "cannot read '.': Is a directory"),
        (["parse"], "Missing argument"),
        (["parse", "--format", "xml", "-"], "'xml' is not one of"),
        (["parse", "--timestamp-unit", "h", "-"], "'h' is not one of"),
        (["parse", "--nonsense", "-"], "No such option"),
        (["nonsense"], "No such command"),
    ],
)
def test_bad_use_is_told_on_standard_error_with_status_2(arguments: list[str], message: str) -> None:
    status, out, err = run(*arguments)

    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_the_version_is_told() -> None:
    assert run("--version") == (0, f"cinnamon {__version__}\n", "")


def test_help_needs_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys\nfrom pipeline.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'numba', 'faust', 'aiokafka', 'influxdb_client', 'rich'} & set(sys.modules)))"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert result.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    big = tmp_path / "big.lp"
    big.write_bytes(b"cpu v=1\n" * 50_000)
    process = subprocess.Popen([*CINNAMON, "parse", str(big)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None

    first = process.stdout.readline()
    process.stdout.close()

    assert json.loads(first)["line"] == 1
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == BROKEN_PIPE_STATUS


def unread_bytes(pipe: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def test_ctrl_c_ends_it_without_a_traceback() -> None:
    # The command reads a pipe of ours: when the pipe is drained it waits for more, and is surely past its imports.
    reading, writing = os.pipe()
    process = subprocess.Popen([*CINNAMON, "parse", "-"], stdin=reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.write(writing, b"cpu v=1\n")
    wait_until(lambda: unread_bytes(reading) == 0, timeout_s=60, what="the command to read its input")

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    os.close(reading)
    os.close(writing)

    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
