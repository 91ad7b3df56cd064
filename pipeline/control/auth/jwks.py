"""The public keys of an OIDC issuer: fetched in bounds, kept for a while."""

import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Final

import jwt

from pipeline.control.settings import trusted_url

logger = logging.getLogger(__name__)

LARGEST_BYTES: Final = 256 * 1024
MOST_KEYS: Final = 100
TIMEOUT_S: Final = 5.0
KEPT_S: Final = 600.0
LEAST_PAUSE_S: Final = 10.0
"""Between two fetches, whoever asks for what key."""


class JwksError(Exception):
    """The issuer's keys cannot be had now."""


class Jwks:
    """Gives an issuer's keys by their ids.

    Parameters
    ----------
    issuer
        Whose keys; they are where its ``/.well-known/openid-configuration`` says.
    url
        Where they are instead, as a JSON Web Key Set.
    monotonic_s
        The clock that ages them.
    """

    def __init__(self, issuer: str, url: str | None = None, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._url = url
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_s = float("-inf")
        self._tried_s = float("-inf")
        # nothing is followed: a redirect could lead from the trusted address to any other
        self._opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))

    def key(self, key_id: str) -> jwt.PyJWK | None:
        """Return a key; none if the issuer has no such one.

        For an unknown id the keys are fetched again, as issuers change them, but at most every ten seconds.

        Raises
        ------
        JwksError
            If there are no keys, and they cannot be fetched.
        """
        with self._lock:
            now_s = self._monotonic_s()
            is_old = now_s - self._fetched_s > KEPT_S
            if (is_old or key_id not in self._keys) and now_s - self._tried_s > LEAST_PAUSE_S:
                self._tried_s = now_s
                try:
                    self._keys = self._fetched()
                    self._fetched_s = now_s
                except (OSError, ValueError) as error:
                    logger.warning("the OIDC issuer's keys cannot be fetched: %s", error)
            if not self._keys:
                raise JwksError("the OIDC issuer's keys cannot be fetched")
            return self._keys.get(key_id)

    def _fetched(self) -> dict[str, jwt.PyJWK]:
        found = self._document(self._url or self._discovered()).get("keys")
        if not isinstance(found, list) or len(found) > MOST_KEYS:
            raise ValueError(f"the answer must have a list of at most {MOST_KEYS} keys")
        return dict(pair for entry in found if (pair := _public_key(entry)) is not None)

    def _discovered(self) -> str:
        """Return where the issuer says that its keys are."""
        document = self._document(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        url = document.get("jwks_uri")
        if document.get("issuer") != self._issuer or not isinstance(url, str):
            raise ValueError("openid-configuration is another issuer's, or has no jwks_uri")
        return trusted_url(url)

    def _document(self, url: str) -> dict[str, Any]:
        request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310  a trusted_url
        with self._opener.open(request, timeout=TIMEOUT_S) as answer:
            content = answer.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise ValueError(f"the answer is larger than {LARGEST_BYTES} bytes")
        try:
            document = json.loads(content)
        except (RecursionError, ValueError) as error:
            raise ValueError("the answer is no JSON") from error
        if not isinstance(document, dict):
            raise ValueError("the answer is no JSON object")  # noqa: TRY004  of what somebody else sent
        return document


def _public_key(entry: Any) -> tuple[str, jwt.PyJWK] | None:
    """Return a key and its id; none for one that is not for signatures with a public key."""
    if not isinstance(entry, dict) or entry.get("kty") not in {"RSA", "EC", "OKP"} or entry.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return (key.key_id, key) if isinstance(key.key_id, str) else None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        """Follow nothing: the answer then is an error."""
