"""Who is let in: API keys and tokens of an OIDC issuer, and who is not."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from sqlalchemy import select

from pipeline.control.auth.access import MOST_FAILURES, Lockout
from pipeline.control.auth.jwks import LEAST_PAUSE_S, Jwks, JwksError
from pipeline.control.auth.oidc import OidcTokens, TokenError
from pipeline.control.auth.principal import Principal, Role
from pipeline.control.database import Database
from pipeline.control.settings import ControlSettings
from pipeline.control.tables import API_KEYS
from tests.support.control.api import Api, policy
from tests.support.control.issuer import AUDIENCE, Issuer


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    yield found
    found.close()


@pytest.fixture
def tokens(issuer: Issuer) -> OidcTokens:
    settings = ControlSettings(oidc_issuer=issuer.url, oidc_audience=AUDIENCE)
    return OidcTokens(settings, Jwks(issuer.url))


def test_nobody_is_let_in_without_a_key(sqlite_api: Api) -> None:
    stranger = sqlite_api.client()
    document = stranger.get("/openapi.json").json()
    open_ones = {"/healthz", "/readyz", "/metrics"}

    statuses = {
        (path, method): stranger.request(method, path.replace("{", "").replace("}", "")).status_code
        for path, methods in document["paths"].items()
        for method in methods
        if path not in open_ones
    }

    assert len(statuses) > 45
    assert set(statuses.values()) == {401}
    assert [stranger.get(path).status_code for path in sorted(open_ones)] == [200] * 3


def test_a_key_is_kept_as_a_hash(api: Api) -> None:
    key = api.keys.create(name="ops", role=Role.VIEWER, tenants={"a"})

    with api.database.reading() as connection:
        row = connection.execute(select(API_KEYS)).one()
    assert key.split("_", 2)[2] not in str(row)
    assert api.keys.principal(key) == Principal("key:ops", Role.VIEWER, frozenset({"a"}))


@pytest.mark.parametrize("token", ["x", "cin_", "cin_0123456789abcdef_" + "A" * 43, "a.b.c", "Ünïcode", "x" * 7000])
def test_what_is_no_key_is_refused(sqlite_api: Api, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}".encode()}

    answer = sqlite_api.client().get("/v1/policies", headers=headers)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_key_ends_when_it_expires_or_is_revoked(api: Api) -> None:
    brief = api.keys.create(name="brief", role=Role.VIEWER, tenants=None, expires_ms=api.clock.time_ms + 5)
    gone = api.keys.create(name="gone", role=Role.VIEWER, tenants=None)
    assert api.keys.principal(brief) is not None
    (row,) = [row for row in api.keys.rows() if row.name == "gone"]

    assert api.keys.revoke(row.id)
    assert not api.keys.revoke(row.id)
    api.clock.time_ms += 10

    assert api.client(gone).get("/v1/policies").status_code == 401
    assert api.client(brief).get("/v1/policies").status_code == 401


def test_who_tries_secrets_of_a_key_is_locked_out_of_it_alone(sqlite_api: Api) -> None:
    key = sqlite_api.keys.create(name="attacked", role=Role.VIEWER, tenants=None)
    other = sqlite_api.keys.create(name="other", role=Role.VIEWER, tenants=None)
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")

    guesser = sqlite_api.client(wrong)
    statuses = [guesser.get("/v1/policies").status_code for _ in range(MOST_FAILURES + 1)]

    assert statuses == [401] * MOST_FAILURES + [429]
    assert sqlite_api.client(key).get("/v1/policies").status_code == 429
    assert sqlite_api.client(other).get("/v1/policies").status_code == 200


def test_a_lockout_ends_after_a_minute() -> None:
    now_s = [1000.0]
    lockout = Lockout(lambda: now_s[0])
    for _ in range(MOST_FAILURES):
        lockout.failed(("host", "key"))
    assert lockout.is_locked(("host", "key"))
    assert not lockout.is_locked(("host", "another"))

    now_s[0] += 60
    assert not lockout.is_locked(("host", "key"))


def test_a_token_of_the_issuer_is_taken(issuer: Issuer, tokens: OidcTokens) -> None:
    curve = issuer.token(issuer.curve, kid="curve", algorithm="ES256")

    assert tokens.principal(issuer.token()) == Principal("oidc:somebody", Role.OPERATOR, frozenset({"a"}))
    assert tokens.principal(curve).role is Role.OPERATOR
    assert tokens.principal(issuer.token(cinnamon_ns_ids="*")).tenants is None


def forged_with_none(issuer: Issuer) -> str:
    return jwt.encode(issuer.claims(), None, algorithm="none", headers={"kid": "first"})


def forged_with_the_public_key_as_secret(issuer: Issuer) -> str:
    """Sign with HMAC and the public key, which everybody has: taken by who does not fix the algorithm."""
    secret = issuer.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "typ": "JWT", "kid": "first"}, issuer.claims())
    ]
    signature = hmac.new(secret, b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def altered(issuer: Issuer) -> str:
    header, _, signature = issuer.token().split(".")
    claims = json.dumps(issuer.claims(cinnamon_role="admin", cinnamon_ns_ids="*")).encode()
    return f"{header}.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.{signature}"


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (forged_with_none, "not taken"),
        (forged_with_the_public_key_as_secret, "not taken"),
        (altered, "not valid"),
        (lambda issuer: issuer.token(issuer.other), "not valid"),
        (lambda issuer: issuer.token(issuer.other, kid="unknown"), "does not have"),
        (lambda issuer: issuer.token(kid=None), "not taken"),
        (lambda issuer: issuer.token(algorithm="RS512"), "not taken"),
        (lambda issuer: issuer.token(issuer.private, kid="curve"), "not valid"),
        (lambda issuer: issuer.token(exp=int(time.time()) - 60), "expired"),
        (lambda issuer: issuer.token(nbf=int(time.time()) + 600), "not valid"),
        (lambda issuer: issuer.token(exp=None), "exp"),
        (lambda issuer: issuer.token(sub=None), "sub"),
        (lambda issuer: issuer.token(aud="another"), "somebody else"),
        (lambda issuer: issuer.token(aud=None), "aud"),
        (lambda issuer: issuer.token(iss="https://evil.example.org"), "another issuer"),
        (lambda issuer: issuer.token(cinnamon_role="root"), "no role"),
        (lambda issuer: issuer.token(cinnamon_role=None), "no role"),
        (lambda issuer: issuer.token(cinnamon_ns_ids=None), "no ns_ids"),
        (lambda issuer: issuer.token(cinnamon_ns_ids=[]), "no ns_ids"),
        (lambda issuer: issuer.token(cinnamon_ns_ids=["a", "*"]), "no ns_ids"),
        (lambda issuer: issuer.token(cinnamon_ns_ids={"a": 1}), "no ns_ids"),
        (lambda _: "x" * 20_000, "too long"),
        (lambda _: "a.b.c", "neither"),
    ],
)
def test_a_token_that_is_not_right_is_refused(issuer: Issuer, tokens: OidcTokens, forge: Any, why: str) -> None:
    token = forge(issuer)

    with pytest.raises(TokenError, match=why) as caught:
        tokens.principal(token)

    assert token not in str(caught.value)


def test_the_api_takes_tokens_within_their_tenant(issuer: Issuer, tmp_path: Path, tokens: OidcTokens) -> None:
    database = Database(ControlSettings(database_file=tmp_path / "control.db"))
    database.migrate()
    api = Api(database, tmp_path, tokens)
    try:
        made = api.client(issuer.token()).post("/v1/policies", json=policy("cpu", "a"))
        assert (made.status_code, made.json()["updated_by"]) == (201, "oidc:somebody")
        assert api.client(issuer.token(cinnamon_ns_ids=["b"])).get("/v1/policies/cpu").status_code == 404
        expired = api.client(issuer.token(exp=int(time.time()) - 60)).get("/v1/policies")
        assert (expired.status_code, expired.json()["detail"]) == (401, "the token has expired")
    finally:
        api.close()
        database.close()


def test_keys_are_fetched_once_and_again_for_a_new_one_but_not_for_each_stranger() -> None:
    issuer, now_s = Issuer(), [1000.0]
    try:
        jwks = Jwks(issuer.url, issuer.jwks_url, lambda: now_s[0])
        assert [jwks.key("first") is None for _ in range(3)] == [False] * 3
        assert issuer.fetches == 1

        assert [jwks.key(f"stranger-{number}") for number in range(100)] == [None] * 100
        assert issuer.fetches == 1

        issuer.keys.append(Issuer._jwk(issuer.other, "second"))
        now_s[0] += LEAST_PAUSE_S + 1
        assert jwks.key("second") is not None
        assert issuer.fetches == 2
    finally:
        issuer.close()


@pytest.mark.parametrize("body", [b"", b"[]", b'{"keys": 1}', b"[" * 100_000, b"x" * 300_000, b'{"keys": [{}]}'])
def test_an_issuer_that_answers_nonsense_lets_nobody_in(body: bytes) -> None:
    issuer = Issuer()
    issuer.body = body
    try:
        with pytest.raises(JwksError, match="the OIDC issuer's keys cannot be fetched"):
            Jwks(issuer.url, issuer.jwks_url).key("first")
    finally:
        issuer.close()


@pytest.mark.parametrize(
    "configuration",
    [
        {"issuer": "https://evil.example.org"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"jwks_uri": "http://a.example.org/"},
    ],
)
def test_a_configuration_that_leads_elsewhere_lets_nobody_in(configuration: dict[str, Any]) -> None:
    issuer = Issuer()
    issuer.configuration = configuration
    try:
        with pytest.raises(JwksError, match="the OIDC issuer's keys cannot be fetched"):
            Jwks(issuer.url).key("first")
        assert issuer.fetches == 1
    finally:
        issuer.close()


def test_a_redirect_of_the_issuer_is_not_followed() -> None:
    issuer, elsewhere = Issuer(), Issuer()
    issuer.redirect = elsewhere.jwks_url
    try:
        with pytest.raises(JwksError, match="the OIDC issuer's keys cannot be fetched"):
            Jwks(issuer.url, issuer.jwks_url).key("first")
        assert elsewhere.fetches == 0
    finally:
        issuer.close()
        elsewhere.close()


def test_a_shared_secret_among_the_issuers_keys_is_passed_over() -> None:
    issuer = Issuer()
    issuer.keys = [{"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"}, *issuer.keys]
    try:
        jwks = Jwks(issuer.url, issuer.jwks_url)
        assert jwks.key("shared") is None
        assert jwks.key("first") is not None
    finally:
        issuer.close()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"oidc_issuer": "https://issuer.example.org"}, "oidc_audience is required"),
        ({"oidc_issuer": "http://issuer.example.org", "oidc_audience": "x"}, "https"),
        ({"oidc_issuer": "https://a:b@issuer.example.org", "oidc_audience": "x"}, "without user"),
        ({"oidc_algorithms": ("HS256",)}, "oidc_algorithms"),
        ({"oidc_algorithms": ("none",)}, "oidc_algorithms"),
        ({"database_secret": "postgresql://u:p@h/d"}, "secrets_key_file is required"),
    ],
)
def test_settings_that_would_trust_too_much_are_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ControlSettings(**given)
