"""What the routes' answers have in common: the problems that may come, and entity tags."""

import re
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Header

from pipeline.control.routes.problems import MEDIA_TYPE, Problem, ProblemError

__all__ = ["IfMatch", "etag", "problems", "required_revision"]

_TEXTS: Final = {
    400: "The body cannot be read.",
    401: "No valid API key or token.",
    403: "The role, or a tenant's bounds, do not allow it.",
    404: "There is none, or it is not yours.",
    409: "The id is taken, or others need it.",
    412: "It has changed: get it again.",
    413: "The body is too large.",
    422: "The request is not valid; errors names each field.",
    428: "If-Match is required.",
    429: "Too many wrong keys.",
    503: "The database or the OIDC issuer does not answer.",
}

IfMatch = Annotated[
    str | None,
    Header(description="The ETag of the version that is edited, or * for any.", examples=['"1780000000000"']),
]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what the OpenAPI document says of a route's problems, those of every route included."""
    schema = {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}
    return {
        status: {"description": _TEXTS[status], "content": {MEDIA_TYPE: schema}}
        for status in sorted({401, 403, 422, 429, 503, *statuses})
    }


def etag(revision: int) -> str:
    """Return a revision as an entity tag."""
    return f'"{revision}"'


def required_revision(if_match: str | None) -> int | None:
    """Return the revision that an edit is of; None for any.

    Raises
    ------
    ProblemError
        With 428 without one, 412 for what is no ETag of ours.
    """
    if if_match is None:
        raise ProblemError(HTTPStatus.PRECONDITION_REQUIRED, "If-Match is required: the ETag, or *")
    if if_match.strip() == "*":
        return None
    found = re.fullmatch(r'"([0-9]{1,18})"', if_match.strip())
    if found is None:
        raise ProblemError(HTTPStatus.PRECONDITION_FAILED, "If-Match is not its ETag")
    return int(found[1])
