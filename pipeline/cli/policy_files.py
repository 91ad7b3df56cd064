"""Policies in YAML files: read all, or every mistake in them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.channels.compose import check_templates
from pipeline.core.policies import DEFAULT_KIND, KINDS, policy_key
from pipeline.runtime.kafka.policy_table import LARGEST_POLICY_BYTES
from pipeline.settings.strict_yaml import StrictLoader
from schemas.channel import Channel

LARGEST_FILE_BYTES: Final = 16 * 1024 * 1024
MOST_DOCUMENTS: Final = 100_000
_SUFFIXES: Final = {".yaml", ".yml", ".json"}


class PolicyFilesError(ValueError):
    """Files of policies cannot be used.

    Parameters
    ----------
    mistakes
        One line for each: file, document, field and what is wrong.
    """

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class FoundPolicy:
    """A policy of a file."""

    kind: str
    name: str
    value: bytes
    """As it is written to the topic."""

    @property
    def key(self) -> str:
        """Its key on the topic."""
        return policy_key(self.kind, self.name)


def read_policies(paths: Iterable[Path]) -> list[FoundPolicy]:
    """Return the policies of files, and of the files directly in folders, in the order of their names.

    A file holds one YAML document or several; a document without ``kind`` is a trigger policy.

    Raises
    ------
    PolicyFilesError
        With every mistake that there is.
    """
    found: list[FoundPolicy] = []
    mistakes: list[str] = []
    places: dict[str, str] = {}
    for path in _files(paths, mistakes):
        for number, document in enumerate(_documents(path, mistakes), 1):
            where = f"{path}: document {number}"
            policy = _policy(document, where, mistakes)
            if policy is None:
                continue
            if policy.key in places:
                mistakes.append(f"{where}: id: {policy.key} stands in {places[policy.key]} as well")
            places[policy.key] = where
            found.append(policy)
    if not found and not mistakes:
        mistakes.append("no policy in any of the files")
    if mistakes:
        raise PolicyFilesError(mistakes)
    return found


def _files(paths: Iterable[Path], mistakes: list[str]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(each for each in path.iterdir() if each.suffix in _SUFFIXES and each.is_file())
        elif path.exists():
            yield path
        else:
            mistakes.append(f"{path}: there is no such file")


def _documents(path: Path, mistakes: list[str]) -> Iterator[Any]:
    """Yield a file's documents that are not empty."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        mistakes.append(f"{path}: cannot be read: {error.strerror}")
        return
    if len(content) > LARGEST_FILE_BYTES:
        mistakes.append(f"{path}: is larger than {LARGEST_FILE_BYTES} bytes")
        return
    try:
        for document in yaml.load_all(content, Loader=StrictLoader):
            if document is not None:
                yield document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f" line {mark.line + 1}, column {mark.column + 1}:"
        mistakes.append(f"{path}:{place} not valid YAML: {error.problem}")
    except (yaml.YAMLError, RecursionError, ValueError):
        mistakes.append(f"{path}: not valid YAML: wrong encoding, or nested too deeply")


def _policy(document: Any, where: str, mistakes: list[str]) -> FoundPolicy | None:
    if not isinstance(document, dict):
        mistakes.append(f"{where}: must be a mapping, got {type(document).__name__}")
        return None
    kind = document.get("kind", DEFAULT_KIND)
    if kind not in KINDS:
        mistakes.append(f"{where}: kind: must be one of {', '.join(sorted(KINDS))}, got {str(kind)[:80]!r}")
        return None
    try:
        policy = KINDS[kind](document)
    except ValidationError as error:
        mistakes += [f"{where}: {_text(details)}" for details in error.errors(include_url=False, include_context=False)]
        return None
    except ValueError as error:
        mistakes.append(f"{where}: {error}")
        return None
    if isinstance(policy, Channel):
        mistakes += [f"{where}: {mistake}" for mistake in check_templates(policy)]
    value = _value_of(policy)
    if len(value) > LARGEST_POLICY_BYTES:
        mistakes.append(f"{where}: comes to {len(value)} bytes, at most {LARGEST_POLICY_BYTES} are allowed")
        return None
    return FoundPolicy(kind, str(policy.id), value)  # type: ignore[attr-defined]


def _value_of(policy: BaseModel) -> bytes:
    """Return a policy as JSON: what was given alone, so that defaults stay those of the program."""
    document = policy.model_dump(mode="json", exclude_unset=True)
    return json.dumps(document, ensure_ascii=False).encode()


def _text(details: Any) -> str:
    """Return a mistake: its field, what is wrong, and a plain value that was found."""
    field = ".".join(str(part) for part in details["loc"]) or "the whole"
    message = details["msg"].removeprefix("Value error, ").replace("Input should", "should")
    value = details.get("input")
    got = f"; got {repr(value)[:80]}" if isinstance(value, (str, int, float)) else ""
    return f"{field}: {message}{got}"
