"""All settings of a process as one frozen model, composed of the sections that stand beside what they set."""

import inspect
from collections.abc import Iterable
from typing import Any, Final, Self, TypeVar

from pydantic import Field, create_model, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pipeline.settings.base import Section

PREFIX: Final = "CINNAMON_"
NESTED: Final = "__"
MOST_LISTED: Final = 100
"""Sections in one list."""

S = TypeVar("S", bound=Section)


class Settings(BaseSettings):
    """All settings of a process; made from nothing but its arguments (`load` reads file and environment).

    `compose` gives it its sections; ``settings[KafkaSettings]`` is the one of that class.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=True,
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        env_ignore_empty=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the arguments as the only source: a constructed model depends on nothing around it."""
        return (init_settings,)

    @model_validator(mode="after")
    def _listed_sections_fit_together(self) -> Self:
        for name in type(self).model_fields:
            sections = getattr(self, name)
            if isinstance(sections, tuple) and sections:
                type(sections[0]).check_together(sections)
        return self

    def __getitem__(self, section: type[S]) -> S:
        found = getattr(self, section.key, None)
        if not isinstance(found, section):
            raise KeyError(section.__name__)
        return found

    def listed(self, section: type[S]) -> tuple[S, ...]:
        """Return the sections of a class that the file has a list of."""
        return tuple(each for each in getattr(self, section.key) if isinstance(each, section))

    def having(self, section: Section) -> Self:
        """Return settings with another section in place of the one of its key."""
        return self.model_copy(update={section.key: section})


def compose(sections: Iterable[type[Section]]) -> type[Settings]:
    """Return the model of settings with these sections, each once, in this order.

    Raises
    ------
    ValueError
        If two sections have one key.
    """
    fields: dict[str, Any] = {}
    for section in dict.fromkeys(sections):
        if section.key in fields:
            raise ValueError(f"two sections of the settings have the key {section.key!r}")
        description = inspect.cleandoc(section.__doc__ or "").partition("\n")[0]
        if section.listed_as:
            field = Field((), max_length=MOST_LISTED, title=section.title, description=description)
            fields[section.key] = (tuple[section, ...], field)  # type: ignore[valid-type]
        else:
            fields[section.key] = (section, Field(section(), title=section.title, description=description))
    return create_model("Settings", __base__=Settings, **fields)
