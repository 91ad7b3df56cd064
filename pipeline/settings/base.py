"""What the sections of the settings are made of: their base, durations, secrets, and the error for mistakes."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LONGEST_SECRET_FILE_BYTES = 64 * 1024


class SettingsError(ValueError):
    """The settings cannot be used.

    Parameters
    ----------
    mistakes
        One readable line for each mistake: where it is, what was found, what is allowed. Never a secret's value.
    """

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def _whole_milliseconds(seconds: float) -> float:
    if abs(seconds * 1000 - round(seconds * 1000)) > 1e-6:
        raise ValueError("must be a whole number of milliseconds")
    return seconds


Duration = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(_whole_milliseconds)]
PositiveDuration = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(_whole_milliseconds)]


def to_ms(seconds: float) -> int:
    """Return a duration in whole milliseconds."""
    return round(seconds * 1000)


def read_secret_file(path: Path, *, where: str) -> str:
    """Return the text of a secret's file without the white space around it.

    Raises
    ------
    SettingsError
        If the file cannot be read, is empty, is no text or is larger than 64 KiB.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_SECRET_FILE_BYTES + 1)
        secret = content.decode().strip()
    except OSError as error:
        raise SettingsError([f"{where}: cannot read {path}: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise SettingsError([f"{where}: {path} is not UTF-8 text"]) from error
    if not secret or len(content) > LONGEST_SECRET_FILE_BYTES:
        raise SettingsError([f"{where}: {path} must hold 1 to {LONGEST_SECRET_FILE_BYTES} bytes of text"])
    return secret


class Section(BaseModel):
    """A part of the settings: frozen, unknown keys refused, defaults checked, values kept out of error messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)


def is_secret(name: str) -> bool:
    """Return whether a setting of this name holds a secret, so that its value is never shown."""
    return re.search(r"password$|token$|secret$", name) is not None
