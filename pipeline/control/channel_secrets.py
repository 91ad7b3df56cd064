"""Secrets of channels on their way through the API: given once, sealed, and never shown."""

import copy
from collections.abc import Iterator
from typing import Annotated, Any, Final, Self, cast

from pydantic import ConfigDict, Field, SecretStr, model_validator

from pipeline.runtime.secrets.sealing import SecretBox
from schemas.channel import Channel, Secret

__all__ = ["GivenChannel", "KeptSecretError", "files_of", "given_mistake", "seal_secrets", "without_secrets"]

KEPT: Final = {"kept": True}
"""What stands for a secret that is there, in answers; and in a new version, for the one that is there."""
Path = tuple[str, ...]
"""Where a secret stands, as ``("smtp", "password")``."""


class GivenSecret(Secret):
    """A secret: its value, or kept for the one that is there, or a file of the worker's."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"value": "…"}, {"kept": True}, {"file": "slack-url"}]})

    sealed: None = Field(None, description="Not taken here: give the value.")
    value: Annotated[SecretStr, Field(min_length=1, max_length=10_000)] | None = Field(
        None, description="The secret, to be encrypted; no answer has it.", json_schema_extra={"writeOnly": True}
    )
    kept: bool = Field(default=False, strict=True, description="The secret that is there already.")

    @model_validator(mode="before")
    @classmethod
    def _no_plain_text(cls, document: object) -> object:
        if isinstance(document, str):
            raise ValueError('must be an object, as {"value": "…"}')  # noqa: TRY004  pydantic makes a mistake of it
        return document

    @model_validator(mode="after")
    def _kept_somewhere(self) -> Self:
        if (self.file is not None) + (self.value is not None) + self.kept != 1:
            raise ValueError("needs exactly one of value, kept, file")
        return self


class GivenChannel(Channel[GivenSecret]):
    """A channel; its secrets are write-only."""


class KeptSecretError(ValueError):
    """A secret cannot be kept.

    Parameters
    ----------
    field
        Which, as ``smtp.password``.
    why
        Why not.
    """

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class _ElsewhereError(Exception):
    """A secret's value is not at hand."""


def given_mistake(channel: Channel[GivenSecret]) -> str | None:
    """Return why a channel cannot be opened with the secrets that were given; nothing of them is in the text.

    None where it can, and where one of its secrets is kept or in a file of the worker's: the worker finds out then.
    """
    from pipeline.channels.base import NotDelivered  # noqa: PLC0415  half a second that most requests never need
    from pipeline.channels.factory import open_channel  # noqa: PLC0415

    def value_of(secret: Secret) -> str:
        if not isinstance(secret, GivenSecret) or secret.value is None:
            raise _ElsewhereError
        return secret.value.get_secret_value()

    try:
        open_channel(cast("Channel", channel), value_of)
    except NotDelivered as error:
        return error.text
    except _ElsewhereError:
        return None
    return None


def seal_secrets(channel: Channel[GivenSecret], before: dict[str, Any] | None, box: SecretBox) -> dict[str, Any]:
    """Return a channel as it is stored and published: every secret sealed.

    Parameters
    ----------
    channel
        As it was given.
    before
        What is stored of it; none for a new one.
    box
        What seals.

    Raises
    ------
    KeptSecretError
        If a secret is to be kept that is not there, or that would be sent somewhere else than before.
    """
    model = type(channel)
    document = channel.model_dump(mode="json", exclude_unset=True)
    # whoever may edit a channel does not know its secrets, and must not have them sent to a server of their own
    is_moved = before is None or _destination(document, model) != _destination(before, model)
    stored = dict(_secrets_in(before or {}, model))
    for path, given in _secrets_in(document, model):
        secret = _secret_at(channel, path)
        if secret.value is not None:
            sealed: dict[str, Any] = {"sealed": box.seal(secret.value.get_secret_value())}
        elif secret.kept:
            sealed = _kept(stored.get(path), ".".join(path), is_moved=is_moved)
        else:
            continue
        given.clear()
        given.update(sealed)
    return document


def without_secrets(document: dict[str, Any], model: type[Channel[Any]] = Channel) -> dict[str, Any]:
    """Return a stored channel as it may be shown."""
    shown = copy.deepcopy(document)
    for _, secret in _secrets_in(shown, model):
        if "file" not in secret:
            secret.clear()
            secret.update(KEPT)
    return shown


def files_of(channel: Channel[GivenSecret]) -> list[str]:
    """Return which secrets of a channel are files of the worker's, as ``smtp.password``."""
    document = channel.model_dump(mode="json", exclude_unset=True)
    return [".".join(path) for path, secret in _secrets_in(document, type(channel)) if secret.get("file") is not None]


def _secrets_in(document: dict[str, Any], model: type[Channel[Any]]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield where a channel's secrets stand, and what stands there."""
    for kind, section in model.sections().items():
        for path in section.secret_fields():
            yield from _at(document.get(kind), path, (kind,))


def _at(found: dict[str, Any] | None, path: Path, before: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield what stands at a path below another, where ``*`` is every key."""
    if found is None:
        return
    if not path:
        yield before, found
        return
    for name in found if path[0] == "*" else path[:1]:
        yield from _at(found.get(name), path[1:], (*before, name))


def _secret_at(channel: Channel[GivenSecret], path: Path) -> GivenSecret:
    found: Any = channel
    for part in path:
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    if not isinstance(found, GivenSecret):
        raise TypeError(f"{'.'.join(path)} is no secret")
    return found


def _kept(stored: dict[str, Any] | None, field: str, *, is_moved: bool) -> dict[str, Any]:
    if stored is None:
        raise KeptSecretError(field, "there is none that could be kept: give its value")
    if is_moved:
        raise KeptSecretError(field, "must be given again, since where it is sent to is another")
    return dict(stored)


def _destination(document: dict[str, Any], model: type[Channel[Any]]) -> list[Any]:
    """Return what decides who gets to see the secrets, of a channel as it was given or as it is stored."""
    return [
        _place((document.get(kind) or {}).get(name))
        for kind, section in model.sections().items()
        for name in section.destination
    ]


def _place(found: Any) -> Any:
    """Return a field's value; of a secret which file it is, or whether it is given anew."""
    if not isinstance(found, dict):
        return found
    return found.get("file") or ("new" if "value" in found else "as it was")
