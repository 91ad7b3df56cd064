"""The settings of the control service: its port, its database, the key of its secrets, and whom it trusts."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from pipeline.runtime.secrets.sealing import read_key_file
from pipeline.settings.base import Section, SettingsError, read_secret_file
from pipeline.settings.files import MadeFile, SecretFile

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures with a public key alone: with a shared secret, whoever can check a token could make one."""

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def trusted_url(url: str) -> str:
    """Return an address that keys may be fetched from.

    Raises
    ------
    ValueError
        If it is not https without user and password; http is for this machine alone.
    """
    parts = urlsplit(url)
    is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or parts.username is not None or not (parts.scheme == "https" or is_local):
        raise ValueError("must be an https:// address without user or password (http:// on the loopback address alone)")
    return url


TrustedUrl = Annotated[str, Field(max_length=2000), AfterValidator(trusted_url)]


class ControlSettings(Section):
    """The control service: ``cinnamon control``."""

    key = "control"
    title = "Control"

    web_host: str = Field("127.0.0.1", min_length=1, title="Web host", description="Address of the API.")
    web_port: int = Field(6067, ge=0, le=65535, title="Web port", description="Port of the API; 0: a free one.")
    database_file: MadeFile = Field(
        Path(".cinnamon/control.db"), title="Database file", description="SQLite file, unless PostgreSQL is set."
    )
    database_secret: SecretStr | None = Field(
        None, title="PostgreSQL", description="PostgreSQL's address, as postgresql://USER:PASSWORD@HOST/DATABASE."
    )
    database_secret_file: SecretFile | None = Field(
        None, title="PostgreSQL file", description="A file that holds the address, instead of database_secret."
    )
    secrets_key_file: SecretFile | None = Field(
        None,
        title="Key file of secrets",
        description="Fernet keys that seal channels' secrets, newest first; none: beside the SQLite file, made once.",
    )
    max_body_bytes: int = Field(
        1024 * 1024, ge=1024, le=64 * 1024 * 1024, title="Largest body", description="Bytes of a request's body."
    )
    history_days: int = Field(
        90, ge=1, le=3650, title="History", description="Days that alerts that are over, and actions, are kept."
    )
    oidc_issuer: TrustedUrl | None = Field(
        None, title="OIDC issuer", description="Whose bearer tokens are taken (iss); none: API keys alone."
    )
    oidc_audience: str | None = Field(
        None, min_length=1, max_length=500, title="OIDC audience", description="For whom tokens must be (aud)."
    )
    oidc_jwks_url: TrustedUrl | None = Field(
        None, title="OIDC keys", description="Address of the issuer's keys; none: as its openid-configuration says."
    )
    oidc_algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = Field(
        ("RS256", "ES256"), title="OIDC algorithms", description="Signatures that are taken; none with shared secrets."
    )
    oidc_role_claim: str = Field(
        "cinnamon_role", min_length=1, max_length=200, title="Role claim", description="viewer, operator or admin."
    )
    oidc_tenants_claim: str = Field(
        "cinnamon_ns_ids",
        min_length=1,
        max_length=200,
        title="Tenants claim",
        description="List of the token's ns_ids, or * for all.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.database_secret is not None and self.database_secret_file is not None:
            raise ValueError("database_secret and database_secret_file exclude each other")
        if self.is_postgresql and self.secrets_key_file is None:
            raise ValueError("secrets_key_file is required with PostgreSQL: all instances need the same keys")
        if self.oidc_issuer is not None and self.oidc_audience is None:
            raise ValueError("oidc_audience is required with oidc_issuer: tokens for others must not be taken")
        return self

    @property
    def history_ms(self) -> int:
        """How long history is kept, in milliseconds."""
        return self.history_days * 86_400_000

    @property
    def is_postgresql(self) -> bool:
        """Whether it is PostgreSQL, and not SQLite."""
        return self.database_secret is not None or self.database_secret_file is not None

    def content_checks(self) -> tuple[Callable[[], object], ...]:
        """Return what reads the database's address and the keys (see `Section.content_checks`)."""
        if self.secrets_key_file is None:
            return (self.read_database_url,)
        keys = partial(read_key_file, self.secrets_key_file, where="control.secrets_key_file")
        return (self.read_database_url, keys)

    def read_database_url(self) -> str | None:
        """Return PostgreSQL's address, which holds a secret; none for SQLite.

        Raises
        ------
        SettingsError
            If its file cannot be read, or it is no such address; the text has nothing of it.
        """
        if self.database_secret_file is not None:
            url = read_secret_file(self.database_secret_file, where="control.database_secret_file")
        elif self.database_secret is not None:
            url = self.database_secret.get_secret_value()
        else:
            return None
        if not url.startswith(("postgresql://", "postgres://")):
            raise SettingsError(["control.database_secret: must be postgresql://USER:PASSWORD@HOST/DATABASE"])
        return url
