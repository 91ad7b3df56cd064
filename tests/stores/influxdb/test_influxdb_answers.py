"""What each answer of InfluxDB, or of whatever stands before it, means for the records."""

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pipeline.stores.base import Rejected, StoreUnavailable, WriteResult
from pipeline.stores.influxdb.windows import InfluxStore
from tests.support.stores.answering import TAKEN, Answer, Requests, server
from tests.support.stores.windows import BASE_MS, MINUTE_MS, functions, window

TOKEN = "a-very-secret-token"  # noqa: S105
INVALID = (400, {}, b'{"code":"invalid","message":"unable to parse"}')
CONFLICT = (422, {}, b'{"code":"unprocessable entity","message":"partial write: field type conflict"}')
TOO_LARGE = (413, {}, b'{"code":"request too large","message":"too large"}')


def windows(n: int) -> list[bytes]:
    return [window({"x": functions(1.0)}, start_ms=BASE_MS + i * MINUTE_MS) for i in range(n)]


def time_of(i: int) -> bytes:
    return str(BASE_MS + i * MINUTE_MS).encode()


def written_to(requests: Requests, records: list[bytes], **options: object) -> WriteResult:
    store = InfluxStore(url=requests.url, org="o", bucket="b", token=TOKEN, **{"timeout_s": 10.0, **options})
    try:
        return store.write(records)
    finally:
        store.close()


def answers(*given: Answer) -> Iterator[Answer]:
    return iter(given)


@pytest.mark.parametrize("refusal", [INVALID, CONFLICT, TOO_LARGE])
def test_refused_lines_are_found_alone_and_the_others_are_written(refusal: Answer) -> None:
    bad = {time_of(3), time_of(11)}
    taken: set[bytes] = set()

    def answer(body: bytes) -> Answer:
        times = {line.rpartition(b" ")[2] for line in body.split(b"\n")}
        if times & bad:
            return refusal
        taken.update(times)
        return TAKEN

    with server(answer) as requests:
        result = written_to(requests, windows(16))
    assert result.written == 14
    assert [one.index for one in result.rejected] == [3, 11]
    assert taken == {time_of(i) for i in range(16)} - bad


def test_a_request_that_is_too_large_is_split_until_it_fits() -> None:
    with server(lambda body: TOO_LARGE if body.count(b"\n") >= 4 else TAKEN) as requests:
        assert written_to(requests, windows(16)) == WriteResult(written=16)


def test_a_rejection_carries_the_words_of_the_server() -> None:
    with server(lambda _body: CONFLICT) as requests:
        assert written_to(requests, windows(1)).rejected == (Rejected(0, "partial write: field type conflict"),)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((429, {}, b'{"code":"too many requests","message":"slow down"}'), "answered 429: slow down"),
        ((500, {}, b'{"code":"internal error","message":"oh"}'), "answered 500: oh"),
        ((503, {}, b""), "answered 503: Service Unavailable"),
        ((401, {}, b'{"code":"unauthorized","message":"unauthorized access"}'), "401: .*check the token"),
        ((403, {}, b'{"code":"forbidden","message":"insufficient permissions"}'), "403: .*check its permissions"),
        ((404, {}, b'{"code":"not found","message":"bucket not found"}'), "404: .*check the organisation"),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), "answered 302"),
        ((502, {}, b"\xff\xfe"), "no answer: 'utf-8' codec"),
    ],
)
def test_an_answer_that_says_nothing_about_the_records_leaves_them_for_later(answer: Answer, message: str) -> None:
    with server(lambda _body: answer) as requests, pytest.raises(StoreUnavailable, match=message):
        written_to(requests, windows(2))


@pytest.mark.parametrize("body", [b"<html>The plain HTTP request was sent to HTTPS port</html>", b"[]", b"{}"])
def test_a_proxys_bad_request_is_no_refusal_of_the_records(body: bytes) -> None:
    with server(lambda _body: (400, {}, body)) as requests, pytest.raises(StoreUnavailable, match="answered 400"):
        written_to(requests, windows(2))
    assert len(requests.bodies) == 1


@pytest.mark.parametrize(("header", "low", "high"), [("7", 7, 7), ("-3", 0, 0), ("1e9", 3600, 3600)])
def test_the_pause_that_the_server_asks_for_is_passed_on(header: str, low: float, high: float) -> None:
    with (
        server(lambda _body: (503, {"Retry-After": header}, b"")) as requests,
        pytest.raises(StoreUnavailable, match="503") as caught,
    ):
        written_to(requests, windows(1))
    assert low <= caught.value.retry_after_s <= high


def test_a_pause_until_a_date_is_passed_on_in_seconds() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    with (
        server(lambda _body: (429, {"Retry-After": date}, b"")) as requests,
        pytest.raises(StoreUnavailable, match="429") as caught,
    ):
        written_to(requests, windows(1))
    assert 60 < caught.value.retry_after_s <= 100


@pytest.mark.parametrize("header", ["soon", ""])
def test_a_pause_that_makes_no_sense_is_none(header: str) -> None:
    with (
        server(lambda _body: (429, {"Retry-After": header}, b"")) as requests,
        pytest.raises(StoreUnavailable, match="429") as caught,
    ):
        written_to(requests, windows(1))
    assert caught.value.retry_after_s is None


def test_a_server_that_hangs_is_given_up_after_the_time_out() -> None:
    released = threading.Event()

    def hang(_body: bytes) -> Answer:
        released.wait(30.0)
        return TAKEN

    with server(hang) as requests:
        try:
            with pytest.raises(StoreUnavailable, match=r"no answer: .*timed out"):
                written_to(requests, windows(1), timeout_s=0.2)
        finally:
            released.set()


def test_nobody_listening_is_unavailable() -> None:
    with server(lambda _body: TAKEN) as requests:
        pass
    with pytest.raises(StoreUnavailable, match=r"no answer: .*refused"):
        written_to(requests, windows(1))


def test_after_a_failure_the_same_records_are_written_again() -> None:
    given = answers((503, {}, b""), TAKEN)
    with server(lambda _body: next(given)) as requests:
        store = InfluxStore(url=requests.url, org="o", bucket="b", token=TOKEN)
        with pytest.raises(StoreUnavailable, match="503"):
            store.write(windows(3))
        assert store.write(windows(3)) == WriteResult(written=3)
        store.close()
    assert requests.bodies[0] == requests.bodies[1]


def test_requests_of_one_write_are_under_way_together() -> None:
    together = threading.Barrier(3, timeout=20.0)

    def answer(_body: bytes) -> Answer:
        together.wait()
        return TAKEN

    with server(answer) as requests:
        assert written_to(requests, windows(6), batch_lines=2, requests_in_flight=3) == WriteResult(written=6)
    assert sorted(body.count(b"\n") for body in requests.bodies) == [1, 1, 1]


def test_one_failed_request_of_several_fails_the_write() -> None:
    def answer(body: bytes) -> Answer:
        return (503, {}, b"") if time_of(2) in body else TAKEN

    with server(answer) as requests, pytest.raises(StoreUnavailable, match="503"):
        written_to(requests, windows(6), batch_lines=2)


@pytest.mark.parametrize("compress", [False, True])
def test_compression_is_a_setting(compress: bool) -> None:
    with server(lambda _body: TAKEN) as requests:
        written_to(requests, windows(1), compress=compress)
    assert ("gzip" in requests.headers[0].get("Content-Encoding", "")) is compress
    assert requests.bodies[0].startswith(b"cpu,host=a x_min=0.0,")


def test_the_token_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = (401, {"X-Echo": TOKEN}, f'{{"code":"unauthorized","message":"no such token {TOKEN}"}}'.encode())
    with server(lambda _body: echo) as requests:
        store = InfluxStore(url=requests.url, org="o", bucket="b", token=TOKEN)
        with pytest.raises(StoreUnavailable, match=r"no such token \*\*\*") as caught:
            store.write(windows(1))
        assert requests.headers[0]["Authorization"] == f"Token {TOKEN}"
        store.close()
    assert TOKEN not in repr(store) + str(store) + str(caught.value) + repr(caught.value) + caplog.text


@pytest.mark.parametrize("token", ["", "secret\n", "geheimnis-ä"])
def test_a_token_that_no_header_can_hold_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(ValueError, match="the token of InfluxDB is empty or holds characters") as caught:
        InfluxStore(url="http://127.0.0.1:1", org="o", bucket="b", token=token)
    assert not token or token.strip() not in str(caught.value)


def test_credentials_in_the_url_are_refused() -> None:
    with pytest.raises(ValueError, match="must not carry a user or password"):
        InfluxStore(url="http://me:secret@127.0.0.1:1", org="o", bucket="b", token=TOKEN)


def test_nothing_more_is_written_once_the_windows_may_be_another_workers() -> None:
    answers_left = iter([True, True, False])
    with server(lambda _body: INVALID) as requests:
        store = InfluxStore(url=requests.url, org="o", bucket="b", token=TOKEN)
        with pytest.raises(StoreUnavailable, match="another worker"):
            store.write(windows(16), lambda: next(answers_left))
        store.close()
    assert len(requests.bodies) == 2
