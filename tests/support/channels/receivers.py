"""What channels send to: HTTP and SMTP servers of a test alone, on free ports of this machine."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


@dataclass
class Request:
    """One request that came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class HttpReceiver:
    """Keeps requests, and answers as it is told."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: bytes = b"ok"
    hangs: threading.Event | None = None
    """While it is there and not set, requests get no answer."""
    hanging_path: str = ""
    """What the path of those begins with."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def http_receiver(context: ssl.SSLContext | None = None) -> Iterator[HttpReceiver]:
    """Run an HTTP server, over TLS where there is a context."""
    receiver = HttpReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.requests.append(Request(self.path, dict(self.headers.items()), body))
            if receiver.hangs is not None and self.path.startswith(receiver.hanging_path):
                receiver.hangs.wait()
            self.send_response(receiver.status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(receiver.answer)))
            self.end_headers()
            self.wfile.write(receiver.answer)

        do_PUT = do_POST  # noqa: N815  the name is http.server's

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        server.block_on_close = False
        receiver.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            if receiver.hangs is not None:
                receiver.hangs.set()
            server.shutdown()
            thread.join()


@dataclass
class MailServer:
    """Keeps mails, and answers as it is told."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    reply: str = "250 OK"
    refused: Mapping[str, str] = field(default_factory=dict)
    """By recipient what is answered instead."""
    user: tuple[str, str] | None = None

    async def handle_RCPT(  # noqa: N802  the names are aiosmtpd's
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.reply.startswith("250"):
            mail = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
            self.recipients.append(list(envelope.rcpt_tos))
        return self.reply

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self.user, handled=False)


class _Controller(Controller):
    """Connects to the port that it got, and not to the one that it asked for."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(
    *, context: ssl.SSLContext | None = None, is_tls: bool = False, user: tuple[str, str] | None = None
) -> Iterator[MailServer]:
    """Run an SMTP server, with STARTTLS where there is a context, or TLS at once."""
    server = MailServer(user=user)
    options: dict[str, Any] = {}
    if context is not None and not is_tls:
        options["tls_context"] = context
    if user is not None:
        options |= {
            "authenticator": server.authenticate,
            "auth_required": True,
            "auth_require_tls": True,
        }
    controller = _Controller(
        server, hostname="127.0.0.1", port=0, ssl_context=context if is_tls else None, ready_timeout=10, **options
    )
    controller.start()
    try:
        server.port = controller.port
        yield server
    finally:
        controller.stop()
