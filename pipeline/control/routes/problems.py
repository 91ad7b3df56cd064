"""What an answer says when something is wrong: problem details (RFC 9457), with each field that is."""

import logging
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
MOST_MISTAKES: Final = 100
_NAMED: Final = re.compile(r"([a-z_]+(?:\.[a-z_]+|\[[0-9]+\])*): (.*)", re.DOTALL)


class Mistake(BaseModel):
    """One thing that is wrong with a request."""

    field: str = Field(description="Where: body, query, path or header, and the field.", examples=["body.levels.warn"])
    message: str = Field(description="What is wrong, and what is allowed.")


class Problem(BaseModel):
    """What is wrong."""

    type: str = Field("about:blank", description="The kind of problem; about:blank: as its status says.")
    title: str = Field(description="The status in words.", examples=["Not Found"])
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str | None = Field(None, description="What is wrong this time.")
    errors: list[Mistake] | None = Field(None, description="Every mistake, where it is one of the request's content.")


class ProblemError(Exception):
    """Ends a request with a problem.

    Parameters
    ----------
    status, detail
        What is answered.
    errors
        The mistakes in the request, if that is what is wrong.
    headers
        Further headers of the answer.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: Sequence[Mistake] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers


def problem_answer(
    status: int,
    detail: str | None = None,
    errors: Sequence[Mistake] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Return a problem as an answer."""
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, errors=None if errors is None else list(errors)
    )
    return JSONResponse(problem.model_dump(exclude_none=True), status, headers, MEDIA_TYPE)


def mistakes_of(found: Sequence[Any]) -> list[Mistake]:
    """Return the mistakes that pydantic found, without what it found there: that may be a secret."""
    mistakes = []
    for details in found[:MOST_MISTAKES]:
        message = details["msg"].removeprefix("Value error, ").replace("Input should", "should")
        if details["type"] == "extra_forbidden":
            message = "unknown key"
        place = [str(part) for part in details["loc"]]
        if details["type"] == "value_error" and (named := _NAMED.match(message)) is not None:
            place += re.findall(r"\w+", named[1])  # what a model says of its parts together
            message = named[2]
        mistakes.append(Mistake(field=_safe(".".join(place)), message=_safe(message)))
    return mistakes


def handle_problems(app: FastAPI) -> None:
    """Make all errors of an app answers of one form."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_bug)


def _safe(text: str) -> str:
    """Return a text that can be encoded: JSON may name half a character."""
    return text.encode("utf-8", "backslashreplace").decode()[:500]


async def _on_problem(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, ProblemError):
        raise error
    return problem_answer(error.status, error.detail, error.errors, error.headers)


async def _on_invalid(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    return problem_answer(422, "the request is not valid", mistakes_of(error.errors()))


async def _on_http(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    return problem_answer(error.status_code, str(error.detail), headers=dict(error.headers or {}))


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed: %s", request.method, request.scope.get("path"), type(error).__name__)
    return problem_answer(500, "something went wrong here; the log says what")
