"""The secrets of channels: from files of a folder, or opened with the control service's key."""

from pipeline.runtime.secrets.sealing import SecretBox, read_key_file
from pipeline.settings.act import ActSettings
from pipeline.settings.base import SettingsError, read_secret_file
from schemas.channel import Secret

__all__ = ["Secrets"]


class Secrets:
    """Opens secrets. Files are read each time, so that one that was changed counts at once.

    Parameters
    ----------
    act
        Where they are.

    Raises
    ------
    SettingsError
        When the key file cannot be used.
    """

    def __init__(self, act: ActSettings) -> None:
        self._folder = act.secrets_dir
        key_file = act.secrets_key_file
        self._box: SecretBox | None = (
            None if key_file is None else read_key_file(key_file, where="act.secrets_key_file")
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
