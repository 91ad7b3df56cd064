"""Who asks: an API key or a bearer token of each request, and the role that its route needs."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from pipeline.control.auth.api_keys import ApiKeys, key_id_of
from pipeline.control.auth.jwks import JwksError
from pipeline.control.auth.oidc import OidcTokens, TokenError
from pipeline.control.auth.principal import Principal, Role
from pipeline.control.routes.problems import ProblemError

MOST_FAILURES: Final = 10
FAILURES_WITHIN_S: Final = 60.0
MOST_TRACKED: Final = 10_000
CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}

_BEARER: Final = HTTPBearer(
    auto_error=False, description="An API key of `cinnamon control create-key`, or a token of the OIDC issuer."
)


class Lockout:
    """Counts what was wrong lately: who tries secrets of a key is not listened to for a while.

    Parameters
    ----------
    monotonic_s
        The clock.
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._failures: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def is_locked(self, who: tuple[str, str]) -> bool:
        """Return whether too much of somebody was wrong within the last minute."""
        with self._lock:
            begun_s, count = self._failures.get(who, (0.0, 0))
            return count >= MOST_FAILURES and self._monotonic_s() - begun_s < FAILURES_WITHIN_S

    def failed(self, who: tuple[str, str]) -> None:
        """Count one more."""
        with self._lock:
            now_s = self._monotonic_s()
            begun_s, count = self._failures.pop(who, (now_s, 0))
            if now_s - begun_s >= FAILURES_WITHIN_S:
                begun_s, count = now_s, 0
            self._failures[who] = (begun_s, count + 1)
            while len(self._failures) > MOST_TRACKED:
                self._failures.popitem(last=False)


class Access:
    """Finds out who asks.

    Parameters
    ----------
    keys
        The API keys.
    tokens
        The issuer's tokens; none: API keys alone.
    lockout
        What was wrong lately.
    """

    def __init__(self, keys: ApiKeys, tokens: OidcTokens | None, lockout: Lockout) -> None:
        self._keys = keys
        self._tokens = tokens
        self._lockout = lockout

    def principal(self, credentials: str | None, client: str) -> Principal:
        """Return who asks.

        Raises
        ------
        ProblemError
            With 401 if they do not say, or wrongly; 429 after too many wrong keys; 503 if the issuer cannot be asked.
        """
        if not credentials:
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "an API key or a token is required", headers=CHALLENGE)
        key_id = key_id_of(credentials)
        if key_id is None:
            return self._of_token(credentials)
        who = (client, key_id)
        if self._lockout.is_locked(who):
            retry = {"Retry-After": str(round(FAILURES_WITHIN_S))}
            raise ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "this key was wrong too often", headers=retry)
        principal = self._keys.principal(credentials)
        if principal is None:
            self._lockout.failed(who)
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "the API key is not valid", headers=CHALLENGE)
        return principal

    def _of_token(self, token: str) -> Principal:
        if self._tokens is None:
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "the API key is not valid", headers=CHALLENGE)
        try:
            return self._tokens.principal(token)
        except TokenError as error:
            raise ProblemError(HTTPStatus.UNAUTHORIZED, str(error), headers=CHALLENGE) from error
        except JwksError as error:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error


def _asking(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
) -> Principal:
    access: Access = request.app.state.access
    client = "?" if request.client is None else request.client.host
    return access.principal(None if credentials is None else credentials.credentials, client)


def at_least(role: Role) -> Callable[[Principal], Principal]:
    """Return a dependency that gives who asks, if they have a role."""

    def required(principal: Annotated[Principal, Depends(_asking)]) -> Principal:
        if principal.role < role:
            raise ProblemError(HTTPStatus.FORBIDDEN, f"needs the role {role.name.lower()}")
        return principal

    return required


Viewer = Annotated[Principal, Depends(at_least(Role.VIEWER))]
Operator = Annotated[Principal, Depends(at_least(Role.OPERATOR))]
Admin = Annotated[Principal, Depends(at_least(Role.ADMIN))]
