"""Secrets encrypted at rest: in the control service's database and on the topic ``policies`` (Fernet: AES and HMAC)."""

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pipeline.settings.base import SettingsError, read_secret_file

__all__ = ["SealError", "SecretBox", "make_key_file", "read_key_file"]


class SealError(ValueError):
    """A sealed secret cannot be opened: it was sealed with another key, or is damaged."""


class SecretBox:
    """Seals secrets, and opens them.

    Parameters
    ----------
    keys
        Fernet keys (32 bytes in URL-safe base64). The first one seals; each opens, so that a new key is put before the
        old ones.
    where
        The setting that they come from, for the error.

    Raises
    ------
    SettingsError
        If there is none, or one is no Fernet key; the text has nothing of it.
    """

    def __init__(self, keys: Sequence[str], *, where: str) -> None:
        try:
            self._box = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            text = "must hold Fernet keys, one a line: 32 random bytes in URL-safe base64"
            raise SettingsError([f"{where}: {text}"]) from None  # the original may quote the key

    def seal(self, secret: str) -> str:
        """Return a secret encrypted, as text of letters, digits, ``-``, ``_`` and ``=``; never the same twice."""
        return self._box.encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """Return the secret.

        Raises
        ------
        SealError
            If no key opens it.
        """
        try:
            return self._box.decrypt(sealed.encode()).decode()
        except (InvalidToken, UnicodeError):
            raise SealError("a secret was sealed with another key, or is damaged: give it again") from None


def read_key_file(path: Path, *, where: str) -> SecretBox:
    """Return what seals with the keys of a file, one a line, the newest first; errors as of `SecretBox`."""
    return SecretBox(read_secret_file(path, where=where).split(), where=where)


def make_key_file(path: Path, *, where: str) -> None:
    """Write a new key into a file that only its owner can read; one that is there stays as it is.

    Raises
    ------
    SettingsError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise SettingsError([f"{where}: cannot write {path}: {error.strerror}"]) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(Fernet.generate_key() + b"\n")
