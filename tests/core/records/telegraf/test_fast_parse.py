"""Whatever the fast path takes is bit for bit what the plain parsers give, and it never reads beyond a record."""

import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.records.telegraf.parsed import TimestampUnit
from pipeline.core.records.telegraf.parser import ParseOptions, batch_of
from pipeline.core.records.telegraf.record import InputFormat
from tests.support.core.parsing import RECORD_MS, guarded, new_parser, parsed, parsed_plainly
from tests.support.core.telegraf_like import damaged, random_value
from tests.support.servers.process import REPOSITORY

GUARDS = [b"", b"9", b"9999999999999999", b'"', b",v=1 1", b" 17", b"\n", b"\\", b"}", b"\x00\xff", b"=1,", b"e5i"]
OPTIONS = [
    ParseOptions(),
    ParseOptions(influx_unit=TimestampUnit.NS, json_unit=TimestampUnit.S),
    ParseOptions(influx_unit=TimestampUnit.S, json_unit=TimestampUnit.MS),
    ParseOptions(influx_unit=TimestampUnit.US, json_unit=TimestampUnit.NS),
    ParseOptions(input_format=InputFormat.INFLUX),
    ParseOptions(input_format=InputFormat.JSON),
    ParseOptions(max_bytes=120),
]


def assert_same(values: list[bytes], options: ParseOptions, guard: bytes, *, timestamp_ms: int = RECORD_MS) -> int:
    """Parse values twice over, so that every key is known the second time; give how often the plain way was taken."""
    parser, table = new_parser(options)
    got = parsed(parser, guarded(values + values, guard, timestamp_ms=timestamp_ms))
    for value, result in zip(values + values, got, strict=True):
        assert result == parsed_plainly(table, value, options, timestamp_ms), value
    return parser.plain


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("seed", range(4))
def test_records_are_what_the_plain_parsers_say(seed: int, options: ParseOptions) -> None:
    r = random.Random(seed)
    for _ in range(20):
        assert_same([random_value(r) for _ in range(25)], options, r.choice(GUARDS))


@pytest.mark.parametrize("seed", range(8))
def test_damaged_records_are_what_the_plain_parsers_say(seed: int) -> None:
    r = random.Random(seed)
    for _ in range(20):
        values = [random_value(r) for _ in range(10)]
        values += [damaged(r, r.choice(values)) for _ in range(30)]
        assert_same(values, ParseOptions(), r.choice(GUARDS))


@pytest.mark.parametrize("seed", range(4))
def test_records_cut_off_anywhere_are_what_the_plain_parsers_say(seed: int) -> None:
    r = random.Random(seed)
    for _ in range(6):
        value = random_value(r)
        assert_same([value, *(value[:end] for end in range(min(len(value), 400)))], ParseOptions(), r.choice(GUARDS))


def test_records_without_any_timestamp_are_refused_on_both_ways() -> None:
    r = random.Random(1)
    assert_same([random_value(r) for _ in range(300)], ParseOptions(), b"", timestamp_ms=-1)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), st.text(max_size=40).map(str.encode)), max_size=8))
def test_any_bytes_are_what_the_plain_parsers_say(values: list[bytes]) -> None:
    assert_same([value for value in values if value], ParseOptions(), b"1")


NUMBER_CHARACTERS = st.text("0123456789.-+eEiu", min_size=1, max_size=30)


@settings(max_examples=600, deadline=None)
@given(st.lists(NUMBER_CHARACTERS, min_size=1, max_size=20))
def test_numbers_of_line_protocol_are_read_as_the_plain_parser_reads_them(texts: list[str]) -> None:
    values = [f"m,host=a v={text},w=1 1700000000000000000".encode() for text in texts]
    assert_same([b"m,host=a v=1,w=1 1700000000000000000", *values], ParseOptions(), b"5")


@settings(max_examples=400, deadline=None)
@given(st.lists(NUMBER_CHARACTERS, min_size=1, max_size=20))
def test_numbers_of_json_are_read_as_the_plain_parser_reads_them(texts: list[str]) -> None:
    form = '{"fields":{"v":%s,"w":1},"name":"m","tags":{"host":"a"},"timestamp":1700000000}'
    assert_same([(form % text).encode() for text in ("1", *texts)], ParseOptions(), b"5")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_any_double_is_read_back_exactly(numbers: list[float]) -> None:
    values = [f"m,host=a v={number!r} 1700000000000000000".encode() for number in numbers]
    values += [
        f'{{"fields":{{"v":{number!r}}},"name":"m","tags":{{"host":"a"}},"timestamp":1700000000}}'.encode()
        for number in numbers
    ]
    assert_same(values, ParseOptions(), b"")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(-(2**64), 2**64), min_size=1, max_size=20), st.sampled_from(list(TimestampUnit)))
def test_any_timestamp_is_read_as_the_plain_parser_reads_it(stamps: list[int], unit: TimestampUnit) -> None:
    values = [b"m,host=a v=1 1"] + [f"m,host=a v=1 {stamp}".encode() for stamp in stamps]
    form = '{"fields":{"v":1},"name":"m","tags":{"host":"a"},"timestamp":%d}'
    values += [(form % stamp).encode() for stamp in (1, *stamps)]
    assert_same(values, ParseOptions(influx_unit=unit, json_unit=unit), b"0")


SOUND = [
    b"cpu,cpu=cpu0,host=vm-1,nsId=ns1 usage_user=1.25,usage_system=3,usage_idle=95.7499 1700000000000000000",
    b"cpu,cpu=cpu0,host=vm-1,nsId=ns1 usage_idle=9e1,usage_user=-1.5e-7,usage_system=0 1700000010000000000\n",
    b"net,host=vm-1 bytes_recv=18446744073i,up=true,packets=5u 1700000000000000000\nnet,host=vm-1 up=f 1700000001000",
    b'system,host=vm-1 load1=0.5,uptime_format=" 1:02" 1700000000000000000',
    b"cpu,host=vm-1 usage_user=1",
    b'{"fields":{"usage_user":1.25,"n":7},"name":"cpu","tags":{"host":"vm-1"},"timestamp":1700000000}',
    (
        b'{"metrics":[{"fields":{"n":8},"name":"cpu","tags":{"host":"vm-1"},"timestamp":1700000001},'
        b'{"fields":{"n":9},"name":"cpu","tags":{"host":"vm-1"},"timestamp":1700000002}]}\n'
    ),
]


def test_the_fast_path_takes_what_agents_send_once_it_knows_the_keys() -> None:
    parser, _ = new_parser()
    parsed(parser, batch_of(SOUND, 0, [RECORD_MS] * len(SOUND)))
    parser.plain = 0
    parsed(parser, batch_of(SOUND, 0, [RECORD_MS] * len(SOUND)))
    assert parser.plain == 0


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"cpu,host=new usage_user=1 1700000000000000000", id="a new key"),
        pytest.param(b"cpu,host=vm-1 new=1 1700000000000000000", id="a new field"),
        pytest.param(b"cpu,host=vm-1 usage_user=1,usage_user=2 1700000000000000000", id="a doubled field"),
        pytest.param(b"cpu,host=vm-1 usage_user=1x 1700000000000000000", id="a bad number"),
        pytest.param(b"cpu,host=vm-1 usage_user=1 1700000000000000000 ", id="a space behind"),
        pytest.param(b"cpu,host=vm-1 usage_user=1 9000000000000000000", id="a time to come"),
        pytest.param(b"# comment", id="a comment"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_the_fast_path_leaves_to_the_plain_parsers(value: bytes) -> None:
    parser, _ = new_parser()
    parsed(parser, batch_of(SOUND, 0, [RECORD_MS] * len(SOUND)))
    parser.plain = 0
    parsed(parser, batch_of([value], 0, [RECORD_MS]))
    assert parser.plain == 1


def test_a_batch_of_json_that_ends_behind_its_bracket_is_refused() -> None:
    parser, _ = new_parser()
    ((lines, refused),) = parsed(parser, batch_of([b'{"metrics":['], 0, [RECORD_MS]))
    assert (lines, refused) == ([], [("PARSE_SYNTAX", 0, 12)])


def test_a_string_field_whose_name_is_no_utf8_is_refused_on_both_ways() -> None:
    form = b'{"fields":{"v":1%b},"name":"m","tags":{},"timestamp":1700000000}'
    assert_same([form % b"", form % b',"\xff":"text"'], ParseOptions(), b"")


def test_a_doubled_field_has_its_last_value() -> None:
    values = [
        b"m v=1,w=2,v=3 1700000000000000000",
        b"m v=1,v=2 1700000000000000000",
        b"m w=1,v=2,w=3 1700000000000000000",
    ]
    assert_same(values, ParseOptions(), b"")


def test_a_record_with_more_fields_than_any_agent_sends_is_read() -> None:
    names = [f"f{number}" for number in range(3000)]
    line = b"m " + ",".join(f"{name}=1" for name in names).encode() + b" 1700000000000000000"
    form = '{"fields":{%s},"name":"m","tags":{},"timestamp":1700000000}'
    document = (form % ",".join(f'"{name}":1' for name in names)).encode()
    assert_same([line, document], ParseOptions(), b"")


def test_many_large_records_fill_the_columns_more_than_once() -> None:
    lines = b"\n".join(b"m,host=a v=%d,w=2 17000%05d000000000" % (number, number) for number in range(9_000))
    assert_same([lines, lines[:1000], lines], ParseOptions(), b"")


def test_no_byte_beyond_a_record_is_read() -> None:
    """The records end (or begin) at memory that must not be touched, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.core.page_end", "6000", "1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"exit status {done.returncode} (negative: killed by that signal)\n{done.stderr}"
