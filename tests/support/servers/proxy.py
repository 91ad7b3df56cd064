"""An HTTP proxy in front of a database that goes wrong as its script says."""

import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SERVER_TIMEOUT_S = 30.0
DRIP_S = 0.01
"""Between two bytes of an answer that drips: about 3 s for one of InfluxDB."""


class Mode(Enum):
    """What happens to a request."""

    PASS = "reaches the server, and its answer the client"  # noqa: S105  no password
    RESET = "the connection breaks before anything is answered, as with a server that is down"
    HANG = "is never answered"
    CUT = "reaches the server, and its answer breaks off in the middle"
    DRIP = "reaches the server, and its answer comes byte by byte"
    BUSY = "429, the client may come again"
    UNAVAILABLE = "503, the client may come again"
    UNAUTHORIZED = "401"
    STRANGE = "502 with the page of something that is no database"


@dataclass(frozen=True)
class Canned:
    """An answer that the proxy gives itself."""

    status: int
    body: bytes
    content_type: str = "application/json"


CANNED = {
    Mode.BUSY: Canned(429, b'{"code":"too many requests","message":"write limit exceeded"}'),
    Mode.UNAVAILABLE: Canned(503, b'{"code":"unavailable","message":"the server is starting"}'),
    Mode.UNAUTHORIZED: Canned(401, b'{"code":"unauthorized","message":"unauthorized access"}'),
    Mode.STRANGE: Canned(502, b"<html><h1>502 Bad Gateway</h1></html>", "text/html"),
}


class Proxy:
    """What stands between a worker and a server at ``url``, on a free port of the loopback address.

    ``seen`` counts the requests by what happened to them.

    Parameters
    ----------
    url
        The server.
    """

    def __init__(self, url: str) -> None:
        self.seen: Counter[Mode] = Counter()
        self._target = urlsplit(url).netloc
        self._script: deque[Mode] = deque()
        self._otherwise = Mode.PASS
        self._retry_after_s = 0
        self._lock = threading.Lock()
        self._changed = threading.Event()
        proxy = self

        class Handler(_Handler):
            def handle_request(self) -> None:
                proxy._handle(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def follow(self, script: Iterable[tuple[Mode, int]], *, retry_after_s: int = 0) -> None:
        """Treat the next requests so: each mode for so many; all that follow pass."""
        with self._lock:
            self._script = deque(mode for mode, count in script for _ in range(count))
            self._otherwise = Mode.PASS
            self._retry_after_s = retry_after_s
        self._release()

    def until_told(self, mode: Mode, *, retry_after_s: int = 0) -> None:
        """Treat every request so from now on; requests that hang are let go."""
        with self._lock:
            self._script.clear()
            self._otherwise = mode
            self._retry_after_s = retry_after_s
        self._release()

    def close(self) -> None:
        """Answer nothing more."""
        self.until_told(Mode.RESET)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _release(self) -> None:
        self._changed.set()
        self._changed = threading.Event()

    def _handle(self, request: "_Handler") -> None:
        with self._lock:
            mode = self._script.popleft() if self._script else self._otherwise
            self.seen[mode] += 1
            changed, retry_after_s = self._changed, self._retry_after_s
        if mode in CANNED:
            request.answer(CANNED[mode], retry_after_s)
        elif mode is Mode.RESET:
            request.reset()
        elif mode is Mode.HANG:
            changed.wait()
            request.reset()
        else:
            self._forward(request, mode, changed)

    def _forward(self, request: "_Handler", mode: Mode, changed: threading.Event) -> None:
        try:
            whole = request.forwarded(self._target)
        except OSError:
            request.reset()
            return
        if mode is Mode.CUT:
            request.wfile.write(whole[: len(whole) // 2])
            request.reset()
        elif mode is Mode.DRIP:
            for place in range(len(whole)):
                request.wfile.write(whole[place : place + 1])
                request.wfile.flush()
                changed.wait(DRIP_S)
        else:
            request.wfile.write(whole)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    body = b""

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self.handle_request()
        except ConnectionError:  # the client had enough
            self.close_connection = True

    do_GET = do_POST  # noqa: N815  the name that http.server looks for

    def handle_request(self) -> None:
        raise NotImplementedError

    def log_message(self, _format: str, *_words: object) -> None:
        """Be silent: requests carry tokens."""

    def forwarded(self, target: str) -> bytes:
        """Send the request on, and give the server's answer as it goes over the wire."""
        connection = HTTPConnection(target, timeout=SERVER_TIMEOUT_S)
        try:
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in {"host", "connection"}
            }
            connection.request(self.command, self.path, self.body, headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        of_connection = {"transfer-encoding", "connection", "content-length"}
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        lines += [f"{name}: {value}" for name, value in answer.getheaders() if name.lower() not in of_connection]
        lines += [] if answer.status == 204 else [f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def answer(self, canned: Canned, retry_after_s: int) -> None:
        self.send_response(canned.status)
        self.send_header("Content-Type", canned.content_type)
        self.send_header("Content-Length", str(len(canned.body)))
        if canned.status in {429, 503}:
            self.send_header("Retry-After", str(retry_after_s))
        self.end_headers()
        self.wfile.write(canned.body)

    def reset(self) -> None:
        """Break the connection: the client gets a reset, no end."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


@contextmanager
def proxy_of(url: str) -> Iterator[Proxy]:
    """Run a proxy in front of a server for a test."""
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
