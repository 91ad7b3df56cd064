"""What the sections of the settings are made of: their base, durations, secrets, and the error for mistakes."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

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

    key: ClassVar[str] = ""
    """What the file has it under; a section that stands within another has none."""
    title: ClassVar[str] = ""
    """Its name for people; the first line of its docstring describes it."""
    listed_as: ClassVar[str] = ""
    """Where the file has a list of such sections, each with a field ``name``: what one of them is called."""
    renamed: ClassVar[Mapping[str, str]] = {}
    """Former names of its settings, which are still read, and those of today."""

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, values: Any) -> Any:
        return cls.with_names_of_today(values)

    @classmethod
    def with_names_of_today(cls, values: Any) -> Any:
        """Return what a file or the environment holds under the names of today; a name of today wins."""
        if not isinstance(values, Mapping) or values.keys().isdisjoint(cls.renamed):
            return values
        formerly = {cls.renamed[name]: value for name, value in values.items() if name in cls.renamed}
        return formerly | {name: value for name, value in values.items() if name not in cls.renamed}

    @classmethod
    def check_together(cls, sections: Sequence[Self]) -> None:
        """Raise ValueError if listed sections cannot stand beside each other."""

    def content_checks(self) -> tuple[Callable[[], object], ...]:
        """Return what reads its files and secrets; each raises SettingsError where their content cannot be used."""
        return ()


def is_secret(name: str) -> bool:
    """Return whether a setting of this name holds a secret, so that its value is never shown."""
    return re.search(r"password$|token$|secret$", name) is not None
