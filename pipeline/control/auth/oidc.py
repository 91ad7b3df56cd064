"""Bearer tokens of an OIDC issuer: checked, and read as who asks."""

from typing import Any, Final

import jwt

from pipeline.control.auth.jwks import Jwks
from pipeline.control.auth.principal import EVERYBODY, Principal, Tenants, role_of
from pipeline.control.settings import ControlSettings

LEEWAY_S: Final = 30
LONGEST_TOKEN: Final = 16 * 1024
MOST_TENANTS: Final = 1000


class TokenError(Exception):
    """A token is not taken; the text says why, and has nothing of it."""


class OidcTokens:
    """Reads tokens of one issuer.

    Parameters
    ----------
    settings
        The issuer, for whom its tokens must be, and which claims say what.
    jwks
        Its keys.
    """

    def __init__(self, settings: ControlSettings, jwks: Jwks) -> None:
        self._settings = settings
        self._jwks = jwks

    def principal(self, token: str) -> Principal:
        """Return who a token is of.

        Raises
        ------
        TokenError
            If it is not signed by the issuer with an allowed algorithm, not for us, expired, not valid yet, or does not
            say a role and tenants.
        JwksError
            If the issuer's keys cannot be had.
        """
        if len(token) > LONGEST_TOKEN:
            raise TokenError("the token is too long")
        try:
            header = jwt.get_unverified_header(token)
            key_id, algorithm = header.get("kid"), header.get("alg")
        except jwt.PyJWTError:
            raise TokenError("it is neither an API key nor a token") from None
        if not isinstance(key_id, str) or algorithm not in self._settings.oidc_algorithms:
            raise TokenError("the token's signature is of a kind that is not taken")
        key = self._jwks.key(key_id)
        if key is None:
            raise TokenError("the token is signed with a key that the issuer does not have")
        return self._principal(self._claims(token, key))

    def _claims(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(self._settings.oidc_algorithms),
                audience=self._settings.oidc_audience,
                issuer=self._settings.oidc_issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenError("the token has expired") from None
        except jwt.MissingRequiredClaimError as error:
            raise TokenError(f"the token has no claim {error.claim}") from None
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
            raise TokenError("the token is of another issuer, or for somebody else") from None
        except jwt.PyJWTError:
            raise TokenError("the token is not valid") from None
        return claims

    def _principal(self, claims: dict[str, Any]) -> Principal:
        try:
            role = role_of(claims.get(self._settings.oidc_role_claim))
        except ValueError:
            raise TokenError(f"the token's claim {self._settings.oidc_role_claim} names no role") from None
        tenants = self._tenants(claims.get(self._settings.oidc_tenants_claim))
        return Principal(f"oidc:{claims['sub']}"[:200], role, tenants)

    def _tenants(self, claim: Any) -> Tenants:
        if claim in ("*", ["*"]):
            return EVERYBODY
        names = [claim] if isinstance(claim, str) else claim
        is_list = isinstance(names, list) and 0 < len(names) <= MOST_TENANTS
        if not is_list or not all(isinstance(name, str) and name and name != "*" for name in names):
            raise TokenError(f"the token's claim {self._settings.oidc_tenants_claim} names no ns_ids")
        return frozenset(names)
