"""An OIDC issuer of tests: an HTTP server with its public keys, and tokens signed with what it has, or not."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

AUDIENCE = "cinnamon-of-the-tests"


class Issuer:
    """Serves a JSON Web Key Set on the loopback address, until `close`."""

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.curve = ec.generate_private_key(ec.SECP256R1())
        self.fetches = 0
        self.body: bytes | None = None
        self.redirect: str | None = None
        self.configuration: dict[str, Any] = {}
        self.keys = [self._jwk(self.private, "first"), self._jwk(self.curve, "curve")]
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                body = issuer.answer(self.path)
                self.send_response(200 if issuer.redirect is None else 302)
                if issuer.redirect is not None:
                    self.send_header("Location", issuer.redirect)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def url(self) -> str:
        """Who it says it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, path: str) -> bytes:
        """Return what is at a path."""
        if path == "/.well-known/openid-configuration":
            return json.dumps({"issuer": self.url, "jwks_uri": self.jwks_url} | self.configuration).encode()
        return self.body if self.body is not None else json.dumps({"keys": self.keys}).encode()

    @property
    def jwks_url(self) -> str:
        """Where its keys are."""
        return f"{self.url}/keys"

    def claims(self, **more: Any) -> dict[str, Any]:
        """Return claims that are right, with changes; None leaves one out."""
        now_s = int(time.time())
        right = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "somebody",
            "iat": now_s,
            "exp": now_s + 600,
            "cinnamon_role": "operator",
            "cinnamon_ns_ids": ["a"],
        }
        return {name: value for name, value in (right | more).items() if value is not None}

    def token(self, key: Any = None, *, kid: str | None = "first", algorithm: str = "RS256", **more: Any) -> str:
        """Return a token, signed with the issuer's first key unless another is given."""
        headers = {} if kid is None else {"kid": kid}
        return jwt.encode(self.claims(**more), key or self.private, algorithm=algorithm, headers=headers)

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @staticmethod
    def _jwk(private: Any, kid: str) -> dict[str, Any]:
        kind: Any = (
            jwt.algorithms.RSAAlgorithm if isinstance(private, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        )
        return {**kind.to_jwk(private.public_key(), as_dict=True), "kid": kid, "use": "sig"}
