"""The settings of a process: one frozen model, from a YAML file and ``CINNAMON_*`` in the environment."""

import difflib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from pipeline.settings.act import ActSettings
from pipeline.settings.base import Section, SettingsError, is_secret
from pipeline.settings.control import ControlSettings
from pipeline.settings.detect import DetectSettings
from pipeline.settings.downsample import DownsampleSettings
from pipeline.settings.kafka import KafkaSettings, ParsingSettings, WorkerSettings
from pipeline.settings.stores import StoreSettings, checked_together
from pipeline.settings.strict_yaml import TWICE, StrictLoader
from pipeline.settings.trigger import TriggerSettings
from pipeline.settings.windows import WindowRuleSettings, WindowsSettings, WindowTiming

__all__ = [
    "ActSettings",
    "ControlSettings",
    "DetectSettings",
    "KafkaSettings",
    "ParsingSettings",
    "Settings",
    "SettingsError",
    "StoreSettings",
    "TriggerSettings",
    "WindowRuleSettings",
    "WindowTiming",
    "WindowsSettings",
    "WorkerSettings",
    "load_settings",
]

PREFIX = "CINNAMON_"
NESTED = "__"
LONGEST_FILE_BYTES = 1024 * 1024

# What Kubernetes puts into every container's environment for a Service, named here as CINNAMON_<section>_…
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$")


class Settings(BaseSettings):
    """All settings of a process; made from nothing but its arguments (`load_settings` reads file and environment)."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=True,
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        env_ignore_empty=True,
    )

    kafka: KafkaSettings = Field(KafkaSettings(), title="Kafka", description="How to reach Kafka.")
    parsing: ParsingSettings = Field(ParsingSettings(), title="Parsing", description="How records are read.")
    windows: WindowsSettings = Field(WindowsSettings(), title="Windows", description="Size and closing of windows.")
    downsample: DownsampleSettings = Field(
        DownsampleSettings(), title="Down-sampling", description="What is kept of the compressed history."
    )
    stores: tuple[StoreSettings, ...] = Field(
        (), max_length=100, title="Stores", description="The databases that are written to."
    )
    detect: DetectSettings = Field(DetectSettings(), title="Detection", description="How windows are judged.")
    trigger: TriggerSettings = Field(TriggerSettings(), title="Triggers", description="How triggers are evaluated.")
    act: ActSettings = Field(ActSettings(), title="Actions", description="How people are told, and scripts run.")
    worker: WorkerSettings = Field(WorkerSettings(), title="Worker", description="What a worker process runs.")
    control: ControlSettings = Field(ControlSettings(), title="Control", description="The control service.")

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
    def _stores_fit_together(self) -> Self:
        checked_together(self.stores)
        return self

    @property
    def regional_stores(self) -> tuple[StoreSettings, ...]:
        """The stores that windows are written to."""
        return tuple(store for store in self.stores if store.role == "regional")

    @property
    def integrated_store(self) -> StoreSettings | None:
        """The store of the compressed history, anomalies and alerts; none where there is none."""
        return next((store for store in self.stores if store.role == "integrated"), None)


class _Environment(EnvSettingsSource):
    """``CINNAMON_SECTION__FIELD`` as a nested dictionary; lists as JSON or separated by commas."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002
        """Return the value decoded, or as it is where it is no JSON, so that validation reports it with the rest."""
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            is_plain_list = _section_in(field.annotation) is None
            return [part.strip() for part in str(value).split(",")] if is_plain_list else value


def load_settings(path: Path | None = None) -> Settings:
    """Return the settings in force: the defaults, over them the file, over it the environment.

    Parameters
    ----------
    path
        A YAML file of at most 1 MiB with the sections as top-level keys; none: defaults and environment alone.

    Raises
    ------
    SettingsError
        With a line for each mistake in file and environment. Files that settings name are not opened here.

    Notes
    -----
    ``CINNAMON_KAFKA__CLIENT_ID`` sets ``kafka.client_id``. A store is named in place of the list's index, with
    ``_`` for ``-``: ``CINNAMON_STORES__EU_WEST__TOKEN`` sets the token of the store ``eu-west``.
    """
    from_file = {} if path is None else _read_file(path)
    from_environment = dict(_Environment(Settings)())
    mistakes = _unknown_names(os.environ)
    values = _merged(from_file, from_environment, mistakes)
    settings = None
    try:
        settings = Settings(**values)
    except ValidationError as error:
        mistakes += [_line(details, path, from_environment) for details in error.errors(include_url=False)]
    if settings is None or mistakes:
        raise SettingsError(mistakes)
    return settings


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError([f"{path}: cannot be read: {error.strerror}"]) from error
    if len(content) > LONGEST_FILE_BYTES:
        raise SettingsError([f"{path}: is larger than {LONGEST_FILE_BYTES} bytes"])
    try:
        document = yaml.load(content, Loader=StrictLoader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        # Only the scanner's and the parser's texts are free of the file's contents, which may be secrets.
        is_quotable = isinstance(error, (yaml.scanner.ScannerError, yaml.parser.ParserError))
        reason = error.problem if is_quotable or error.problem == TWICE else "wrong alias, tag or key"
        mark = error.problem_mark
        where = "" if mark is None else f" line {mark.line + 1}, column {mark.column + 1}:"
        # `from None`: the original carries an excerpt of the file
        raise SettingsError([f"{path}:{where} not valid YAML: {reason}"]) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise SettingsError([f"{path}: not valid YAML: wrong encoding, or nested too deeply"]) from None
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise SettingsError([f"{path}: must be a mapping with the keys {', '.join(Settings.model_fields)}"])
    return document


def _merged(from_file: dict[str, Any], from_environment: dict[str, Any], mistakes: list[str]) -> dict[str, Any]:
    merged = dict(from_file)
    for section, values in from_environment.items():
        if section == "stores" and isinstance(values, dict):
            merged[section] = _merged_stores(merged.get(section) or [], values, mistakes)
        elif isinstance(values, dict) and isinstance(merged.get(section), dict):
            merged[section] = merged[section] | values
        else:
            merged[section] = values
    return merged


def _merged_stores(stores: Any, by_name: dict[str, Any], mistakes: list[str]) -> Any:
    if not isinstance(stores, list):
        return stores
    merged = list(stores)
    positions = {
        str(store.get("name")).replace("-", "_"): position
        for position, store in enumerate(stores)
        if isinstance(store, dict)
    }
    for name, values in by_name.items():
        if name in positions and isinstance(values, dict):
            merged[positions[name]] = merged[positions[name]] | values
        else:
            where = f"{PREFIX}STORES{NESTED}{name.upper()}"
            known = [f"{PREFIX}STORES{NESTED}{known.upper()}" for known in positions]
            mistakes.append(f"{where}: needs the name of a store and a field{_did_you_mean(where, known)}")
    return merged


def _unknown_names(environment: Mapping[str, str]) -> list[str]:
    """Return a line for each name that looks like a setting and is none, where the model does not see it."""
    sections = [section.upper() for section in Settings.model_fields]
    known = [
        f"{PREFIX}{section.upper()}{NESTED}{name.upper()}"
        for section, field in Settings.model_fields.items()
        if (model := _section_in(field.annotation)) is not None
        for name in model.model_fields
    ]
    lines = []
    for name in sorted(environment):
        rest = name.upper().removeprefix(PREFIX)
        if rest == name.upper() or rest.split(NESTED)[0] in sections:
            continue
        is_like_a_setting = any(rest.startswith(f"{section}_") for section in sections)
        if NESTED in rest or (is_like_a_setting and not _SERVICE_LINK.search(rest)):
            lines.append(f"{name}: unknown setting{_did_you_mean(name.upper(), known)}")
    return lines


def _line(details: ErrorDetails, path: Path | None, from_environment: dict[str, Any]) -> str:
    """Return one mistake as a line; a value is shown only where it is a plain one and no secret."""
    location = details["loc"]
    where = _setting_name(location)
    source = _environment_name(location, from_environment)
    if source is not None:
        where = f"{source} ({where})"
    elif path is not None:
        where = f"{path}: {where}" if where else str(path)
    if details["type"] == "extra_forbidden":
        return f"{where}: unknown key{_did_you_mean(str(location[-1]), _keys_at(location[:-1]))}"
    if details["type"] == "missing":
        return f"{where}: is required"
    message = details["msg"].removeprefix("Value error, ").replace("Input should", "should")
    value = details["input"]
    names = [part for part in location if isinstance(part, str)]
    is_shown = (
        isinstance(value, (str, int, float))
        and not any(is_secret(name) for name in names)
        and not ("@" in str(value) and ("url" in names or "://" in str(value)))
        and not (len(names) == 1 and names[0] in Settings.model_fields)
    )
    return f"{where}: {message}; got {repr(value)[:80]}" if is_shown else f"{where}: {message}"


def _setting_name(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


def _environment_name(location: tuple[int | str, ...], from_environment: dict[str, Any]) -> str | None:
    """Return the variable that the value at a location came from; none where it came from the file."""
    if not location:
        return None
    section = str(location[0])
    values = from_environment.get(section)
    if isinstance(values, dict) and len(location) > 1 and isinstance(location[1], str) and location[1] in values:
        return f"{PREFIX}{section.upper()}{NESTED}{location[1].upper()}"
    return None if values is None or isinstance(values, dict) else f"{PREFIX}{section.upper()}"


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    model: type[Section | Settings] = Settings
    for part in location:
        if isinstance(part, int):
            continue
        inner = _section_in(model.model_fields[part].annotation)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _section_in(inner)) is not None), None)


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known: {', '.join(known)}" if known and len(known) <= 30 else ""
