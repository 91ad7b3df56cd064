"""Lists in pages: a limit, and where the next page goes on."""

import base64
import binascii
import json
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field

from pipeline.control.routes.problems import Mistake, ProblemError

__all__ = ["CursorQuery", "LimitQuery", "NsIdQuery", "Page", "cursor_of", "cursor_values"]

LimitQuery = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
CursorQuery = Annotated[
    str | None,
    Query(pattern=r"^[A-Za-z0-9_-]{1,2000}$", description="Where to go on: next_cursor of the page before."),
]
NsIdQuery = Annotated[
    str | None, Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Those of this namespace alone.")
]


class Page(BaseModel):
    """What all pages have."""

    next_cursor: str | None = Field(description="Where the next page goes on; null on the last one.")


def cursor_of(*values: str | int) -> str:
    """Return a place in a list as text that nobody needs to read."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def cursor_values(cursor: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """Return the values of a place; none without a cursor.

    Raises
    ------
    ProblemError
        If it is no cursor with such values.
    """
    if cursor is None:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        values = None
    is_right = isinstance(values, list) and len(values) == len(kinds)
    if not is_right or not all(_is_of(value, kind) for value, kind in zip(values, kinds, strict=True)):
        wrong = Mistake(field="query.cursor", message="is no next_cursor of this list")
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "the request is not valid", [wrong])
    return tuple(values)


def _is_of(value: Any, kind: type) -> bool:
    if kind is int:
        return type(value) is int and abs(value) < 1 << 63
    return isinstance(value, str) and value.isprintable()
