"""The secrets of channels: from files of a folder, or opened with the control service's key."""

from pathlib import Path

from pipeline.runtime.secrets.sealing import SecretBox, read_key_file
from pipeline.settings.base import SettingsError, read_secret_file
from schemas.channel import Secret

__all__ = ["Secrets"]


class Secrets:
    """Opens secrets. Files are read each time, so that one that was changed counts at once.

    Parameters
    ----------
    secrets_dir
        The folder of those that are files; none: there are none.
    secrets_key_file
        The keys of those that are sealed; none: none can be opened.

    Raises
    ------
    SettingsError
        When the key file cannot be used.
    """

    def __init__(self, *, secrets_dir: Path | None = None, secrets_key_file: Path | None = None) -> None:
        self._folder = secrets_dir
        self._box: SecretBox | None = (
            None if secrets_key_file is None else read_key_file(secrets_key_file, where="act.secrets_key_file")
        )

    def value(self, secret: Secret) -> str:
        """Return a secret's value.

        Raises
        ------
        ValueError
            When it cannot be read or opened; the text has nothing of it.
        """
        if secret.sealed is not None:
            if self._box is None:
                raise SettingsError(["the secret is sealed, and act.secrets_key_file is not set"])
            return self._box.open(secret.sealed)
        if self._folder is None:
            raise SettingsError([f"secret {secret.file}: act.secrets_dir is not set"])
        return read_secret_file(self._folder / str(secret.file), where=f"secret {secret.file}")
