"""A hand-written stand-in for InfluxDB's write endpoint, for the faults that a real one shows only by chance."""

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TAKEN = (204, {}, b"")

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Requests:
    """What was asked of the server, in the order of arrival."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def server(answer: Callable[[bytes], Answer]) -> Iterator[Requests]:
    """Run a server whose answer to a write is a function of the body."""
    requests = Requests()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            requests.bodies.append(body)
            requests.headers.append(dict(self.headers))
            status, headers, content = answer(body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Keep standard error for the tests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        requests.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield requests
        finally:
            listening.shutdown()
            thread.join()
