"""Settings from a YAML file and ``CINNAMON_*`` in the environment, or every mistake in them."""

import difflib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource

from pipeline.settings.base import Section, SettingsError, is_secret
from pipeline.settings.model import NESTED, PREFIX, Settings
from pipeline.settings.strict_yaml import TWICE, StrictLoader

__all__ = ["load", "section_in"]

LONGEST_FILE_BYTES = 1024 * 1024

# What Kubernetes puts into every container's environment for a Service, named here as CINNAMON_<section>_…
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$")

M = TypeVar("M", bound=Settings)


class _Environment(EnvSettingsSource):
    """``CINNAMON_SECTION__FIELD`` as a nested dictionary; lists as JSON or separated by commas."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002
        """Return the value decoded, or as it is where it is no JSON, so that validation reports it with the rest."""
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            is_plain_list = section_in(field.annotation) is None
            return [part.strip() for part in str(value).split(",")] if is_plain_list else value


def load(model: type[M], path: Path | None = None) -> M:
    """Return the settings in force: the defaults, over them the file, over it the environment.

    Parameters
    ----------
    model
        Their model, of all sections that there are.
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
    from_file = {} if path is None else _with_names_of_today(model, _read_file(model, path))
    from_environment = _with_names_of_today(model, dict(_Environment(model)()))
    mistakes = _unknown_names(model, os.environ)
    values = _merged(model, from_file, from_environment, mistakes)
    settings = None
    try:
        settings = model(**values)
    except ValidationError as error:
        mistakes += [_line(model, details, path, from_environment) for details in error.errors(include_url=False)]
    if settings is None or mistakes:
        raise SettingsError(mistakes)
    return settings


def _read_file(model: type[Settings], path: Path) -> dict[str, Any]:
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
        raise SettingsError([f"{path}: must be a mapping with the keys {', '.join(model.model_fields)}"])
    return document


def _with_names_of_today(model: type[Settings], values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of one source under the names of today, so that a former name of one source beats no other."""
    sections = {key: section_in(field.annotation) for key, field in model.model_fields.items()}
    return {
        key: value if (section := sections.get(key)) is None else section.with_names_of_today(value)
        for key, value in values.items()
    }


def _merged(
    model: type[Settings], from_file: dict[str, Any], from_environment: dict[str, Any], mistakes: list[str]
) -> dict[str, Any]:
    merged = dict(from_file)
    for key, values in from_environment.items():
        section = section_in(model.model_fields[key].annotation) if key in model.model_fields else None
        if section is not None and section.listed_as and isinstance(values, dict):
            merged[key] = _merged_list(section, merged.get(key) or [], values, mistakes)
        elif isinstance(values, dict) and isinstance(merged.get(key), dict):
            merged[key] = merged[key] | values
        else:
            merged[key] = values
    return merged


def _merged_list(section: type[Section], listed: Any, by_name: dict[str, Any], mistakes: list[str]) -> Any:
    if not isinstance(listed, list):
        return listed
    merged = list(listed)
    positions = {
        str(each.get("name")).replace("-", "_"): position
        for position, each in enumerate(listed)
        if isinstance(each, dict)
    }
    for name, values in by_name.items():
        if name in positions and isinstance(values, dict):
            merged[positions[name]] = merged[positions[name]] | values
        else:
            prefix = f"{PREFIX}{section.key.upper()}{NESTED}"
            where = f"{prefix}{name.upper()}"
            meant = _did_you_mean(where, [f"{prefix}{known.upper()}" for known in positions])
            mistakes.append(f"{where}: needs the name of a {section.listed_as} and a field{meant}")
    return merged


def _unknown_names(settings: type[Settings], environment: Mapping[str, str]) -> list[str]:
    """Return a line for each name that looks like a setting and is none, where the model does not see it."""
    sections = [section.upper() for section in settings.model_fields]
    known = [
        f"{PREFIX}{section.upper()}{NESTED}{name.upper()}"
        for section, field in settings.model_fields.items()
        if (model := section_in(field.annotation)) is not None
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


def _line(model: type[Settings], details: ErrorDetails, path: Path | None, from_environment: dict[str, Any]) -> str:
    """Return one mistake as a line; a value is shown only where it is a plain one and no secret."""
    location = details["loc"]
    where = _setting_name(location)
    source = _environment_name(location, from_environment)
    if source is not None:
        where = f"{source} ({where})"
    elif path is not None:
        where = f"{path}: {where}" if where else str(path)
    if details["type"] == "extra_forbidden":
        return f"{where}: unknown key{_did_you_mean(str(location[-1]), _keys_at(model, location[:-1]))}"
    if details["type"] == "missing":
        return f"{where}: is required"
    message = details["msg"].removeprefix("Value error, ").replace("Input should", "should")
    value = details["input"]
    names = [part for part in location if isinstance(part, str)]
    is_shown = (
        isinstance(value, (str, int, float))
        and not any(is_secret(name) for name in names)
        and not ("@" in str(value) and ("url" in names or "://" in str(value)))
        and not (len(names) == 1 and names[0] in model.model_fields)
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


def _keys_at(settings: type[Settings], location: tuple[int | str, ...]) -> list[str]:
    model: type[Section | Settings] = settings
    for part in location:
        if isinstance(part, int):
            continue
        inner = section_in(model.model_fields[part].annotation)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def section_in(annotation: Any) -> type[Section] | None:
    """Return the class of a section that a field holds, or holds a list of; none where it holds something else."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for inner in get_args(annotation) if (found := section_in(inner)) is not None), None)


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known: {', '.join(known)}" if known and len(known) <= 30 else ""
