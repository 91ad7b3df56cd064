"""The HTTP API put together."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pipeline import __version__
from pipeline.control.actions import ActionQueries
from pipeline.control.alerts import AlertQueries
from pipeline.control.auth.access import Access
from pipeline.control.documents import Documents
from pipeline.control.families import FAMILIES
from pipeline.control.routes.actions import action_router
from pipeline.control.routes.alerts import alert_router
from pipeline.control.routes.backtest import backtest_router
from pipeline.control.routes.body_limit import BodyLimit
from pipeline.control.routes.documents import document_router
from pipeline.control.routes.problems import Mistake, Problem, handle_problems, problem_answer
from pipeline.runtime.secrets.sealing import SecretBox

DESCRIPTION: Final = """What fires, who is notified, and which notifications were sent.

Changes reach all workers within a second. Edits need `If-Match` with the ETag of what is edited. Lists come in pages:
go on with `cursor=next_cursor`. Errors are problem details (RFC 9457); `errors` names each field that is wrong."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API is made of."""

    documents: Documents
    alerts: AlertQueries
    actions: ActionQueries
    access: Access
    box: SecretBox
    health: APIRouter
    max_body_bytes: int


def make_app(parts: Parts) -> FastAPI:
    """Return the API over its parts."""
    app = FastAPI(
        title="Cinnamon control",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # a page that loads its code from elsewhere
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.access = parts.access
    app.add_middleware(BodyLimit, max_bytes=parts.max_body_bytes)
    handle_problems(app)
    app.add_exception_handler(OperationalError, _on_outage)
    app.add_exception_handler(PoolTimeoutError, _on_outage)
    for family in FAMILIES:
        app.include_router(document_router(family, parts.documents, parts.box))
    app.include_router(alert_router(parts.alerts))
    app.include_router(action_router(parts.actions))
    app.include_router(backtest_router())
    app.include_router(parts.health)
    _describe_problems(app)
    return app


async def _on_outage(_request: Request, _error: Exception) -> JSONResponse:
    return problem_answer(HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer")


def _describe_problems(app: FastAPI) -> None:
    """Put the model of problems into the OpenAPI document, in place of FastAPI's own form of errors."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        document = plain()
        schemas = document["components"]["schemas"]
        for model in (Problem, Mistake):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            schemas[model.__name__] = schema
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        return document

    app.openapi = described  # type: ignore[method-assign]  # as FastAPI's manual has it
