"""Documents to models, and what is wrong with one: a line for each mistake that names the field, never a secret."""

import difflib
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

__all__ = ["PolicyError", "model_of"]

Model = TypeVar("Model", bound=BaseModel)

MOST_SHOWN = 80


class PolicyError(ValueError):
    """A document that is no policy.

    Parameters
    ----------
    mistakes
        One readable line for each mistake: the key, what is allowed, what was found.
    """

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


def model_of(model: type[Model], document: Any) -> Model:
    """Return the model that a decoded document describes.

    Raises
    ------
    PolicyError
        If it is none: with every mistake, and without the values of secrets.
    """
    if not isinstance(document, dict):
        raise PolicyError([f"must be a mapping of keys to values, got {type(document).__name__}"])
    try:
        return model.model_validate(document)
    except ValidationError as error:
        mistakes = [_line(details, model) for details in error.errors(include_url=False, include_context=False)]
        raise PolicyError(mistakes) from None  # the original carries what was found, which may be a secret


def _line(details: ErrorDetails, model: type[BaseModel]) -> str:
    location = details["loc"]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
    prefix = f"{where}: " if where else ""
    if details["type"] == "extra_forbidden":
        return f"{prefix}unknown key{_did_you_mean(str(location[-1]), _model_at(model, location[:-1]))}"
    if details["type"] == "missing":
        return f"{prefix}is required"
    message = (
        details["msg"]
        .removeprefix("Value error, ")
        .replace("Input should", "should")
        .replace("String should", "should")
    )
    found = details["input"]
    is_shown = isinstance(found, str | int | float) and not _is_secret(model, location)
    return f"{prefix}{message}; got {repr(found)[:MOST_SHOWN]}" if is_shown else f"{prefix}{message}"


def _is_secret(model: type[BaseModel], location: tuple[int | str, ...]) -> bool:
    """Return whether a location lies in a model that says so of itself."""
    places = (_model_at(model, location[:depth]) for depth in range(len(location) + 1))
    return any(getattr(place, "is_secret", False) for place in places)


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the innermost model around a location: indexes and keys of mappings are passed over."""
    for part in location:
        field = model.model_fields.get(str(part))
        model = (field and _model_in(field.annotation)) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    annotation = getattr(annotation, "__bound__", annotation)  # of a type variable
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner)) is not None), None)


def _did_you_mean(name: str, model: type[BaseModel]) -> str:
    known = list(model.model_fields)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
