"""What a path of the settings must lead to, and whether it does."""

import errno
import os
from collections.abc import Iterator, Sequence
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, get_args

from pipeline.settings.base import Section, SettingsError, read_secret_file
from pipeline.settings.model import Settings

__all__ = [
    "MadeFile",
    "MadeFolder",
    "PathElsewhere",
    "PathUse",
    "ReadFile",
    "ReadFolder",
    "SecretFile",
    "file_mistakes",
]


class PathUse(Enum):
    """What is done with a path; each field of the settings that holds a path is of one of the types below."""

    READ_FILE = "read"
    READ_SECRET = "a secret is read"  # noqa: S105  what is done
    READ_FOLDER = "files in it are read"
    MADE_FILE = "written, and made where it is missing"
    MADE_FOLDER = "files are written in it, and it is made where it is missing"
    ELSEWHERE = "a path of another machine"


ReadFile = Annotated[Path, PathUse.READ_FILE]
SecretFile = Annotated[Path, PathUse.READ_SECRET]
ReadFolder = Annotated[Path, PathUse.READ_FOLDER]
MadeFile = Annotated[Path, PathUse.MADE_FILE]
MadeFolder = Annotated[Path, PathUse.MADE_FOLDER]
PathElsewhere = Annotated[Path, PathUse.ELSEWHERE]


def file_mistakes(settings: Settings) -> list[str]:
    """Return a line for each file or folder that the settings name and that cannot be used as it has to be.

    Nothing is made or changed. Defaults are named by nobody, and not looked at.
    """
    lines = []
    for key in type(settings).model_fields:
        value = getattr(settings, key)
        sections = [(key, value)] if isinstance(value, Section) else [(f"{key}.{each.name}", each) for each in value]
        for where, section in sections:
            found = list(_mistakes_of(section, where))
            lines += [*found, *_content_mistakes(section, {line.partition(": ")[0] for line in found})]
    return lines


def path_use(annotation: Any, metadata: Sequence[Any] = ()) -> PathUse | None:
    """Return what is done with the paths of a field; none where it holds no path."""
    for each in (*metadata, *getattr(annotation, "__metadata__", ())):
        if isinstance(each, PathUse):
            return each
    return next((use for inner in get_args(annotation) if (use := path_use(inner)) is not None), None)


def _mistakes_of(section: Section, where: str) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        use, path = path_use(field.annotation, field.metadata), getattr(section, name)
        if use is not None and path is not None and name in section.model_fields_set:
            try:
                _open(path, use, f"{where}.{name}")
            except SettingsError as error:
                yield from error.mistakes
            except OSError as error:
                verb = "write" if use in {PathUse.MADE_FILE, PathUse.MADE_FOLDER} else "read"
                yield f"{where}.{name}: cannot {verb} {path}: {error.strerror}"


def _content_mistakes(section: Section, unopened: set[str]) -> Iterator[str]:
    """Yield what is wrong with the content of a section's files, but for those that cannot be opened."""
    for check in section.content_checks():
        try:
            check()
        except SettingsError as error:
            for line in error.mistakes:
                setting = line.partition(": ")[0]  # of several files together: kafka.ssl_*
                if not any(fnmatchcase(name, setting) for name in unopened):
                    yield line


def _open(path: Path, use: PathUse, where: str) -> None:
    """Raise OSError or SettingsError unless a path can be used."""
    match use:
        case PathUse.READ_FILE:
            path.open("rb").close()
        case PathUse.READ_SECRET:
            read_secret_file(path, where=where)
        case PathUse.READ_FOLDER:
            os.scandir(path).close()
        case PathUse.MADE_FILE if path.exists():
            path.open("r+b").close()
        case PathUse.MADE_FILE:
            _require_writable(next(parent for parent in path.absolute().parents if parent.exists()))
        case PathUse.MADE_FOLDER:
            _require_writable(next(each for each in (path.absolute(), *path.absolute().parents) if each.exists()))


def _require_writable(folder: Path) -> None:
    os.scandir(folder).close()
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
