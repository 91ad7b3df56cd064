"""Channels that cannot be used, or would give a secret away, are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.channel import Secret, Smtp

MAIL: dict[str, Any] = {"host": "mail.example", "sender": "cinnamon@example.org", "recipients": ["ops@example.org"]}


@pytest.mark.parametrize("kept", [{}, {"file": "one", "sealed": "gAAAA"}])
def test_a_secret_is_in_a_file_or_sealed_and_not_both(kept: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="needs either file or sealed"):
        Secret.model_validate(kept)


def test_a_secret_in_plain_text_is_refused() -> None:
    with pytest.raises(ValidationError, match="is a secret and must not stand here"):
        Secret.model_validate("hunter2")


@pytest.mark.parametrize("half", [{"username": "me"}, {"password": {"file": "mail"}}])
def test_half_a_login_is_refused(half: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="username and password belong together"):
        Smtp[Secret].model_validate(MAIL | half)


def test_no_password_goes_over_a_connection_that_is_not_encrypted() -> None:
    login = {"username": "me", "password": {"file": "mail"}, "security": "none"}
    with pytest.raises(ValidationError, match="a password is not sent over a connection that is not encrypted"):
        Smtp[Secret].model_validate(MAIL | login)
