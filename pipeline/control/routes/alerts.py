"""Routes of alerts: which are open, what became of them, and what people say of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from pipeline.control.alerts import AlertFilter, AlertQueries, NotFiringError
from pipeline.control.auth.access import Operator, Viewer
from pipeline.control.documents import MissingError
from pipeline.control.routes.answers import problems
from pipeline.control.routes.paging import CursorQuery, LimitQuery, NsIdQuery, Page, cursor_of, cursor_values
from pipeline.control.routes.problems import ProblemError
from schemas.alert import AlertEvent, AlertState
from schemas.severity import LevelName
from schemas.silence import Acknowledgement

ALERT_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
TEXT: Final = r"^[^\x00]*$"

AlertIdPath = Annotated[str, Path(pattern=ALERT_ID, description="The alert_id of its events.")]


class Alert(BaseModel):
    """An alert: one policy and one series."""

    alert_id: str = Field(description="Identifies it.")
    policy: str = Field(description="The policy's id.")
    ns_id: str | None = Field(description="The series' namespace; null without one.")
    resource: str = Field(description="Whose the series is.")
    level: LevelName | None = Field(description="How serious it is; null when it is over.")
    state: AlertState = Field(description="What it is now.")
    is_open: bool = Field(description="Whether it is not over.")
    opened_ms: int = Field(description="When it began, or was last begun: event time in milliseconds.")
    changed_ms: int = Field(description="When it last changed: event time in milliseconds.")
    event: AlertEvent = Field(description="Its newest event.")
    acknowledgement: Acknowledgement | None = Field(description="Who looks after it; null: nobody.")


class AlertPage(Page):
    """Alerts, that which changed last first."""

    items: list[Alert]


class NumberedEvent(BaseModel):
    """An event and its place in the history."""

    number: int
    event: AlertEvent


class EventPage(Page):
    """An alert's events, the newest first."""

    items: list[NumberedEvent]


class SaidComment(BaseModel):
    """What somebody said of an alert."""

    number: int = Field(description="Its place among all.")
    author: str = Field(description="Who.")
    time_ms: int = Field(description="When: milliseconds since 1970-01-01T00:00:00Z.")
    text: str = Field(description="What.")


class CommentPage(Page):
    """Comments, the oldest first."""

    items: list[SaidComment]


class GivenComment(BaseModel):
    """What is to be said."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "a disk is being replaced"}]})

    text: str = Field(min_length=1, max_length=2000, pattern=TEXT, description="What is said.")


class GivenAcknowledgement(BaseModel):
    """That somebody looks after an alert."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"comment": "on it"}]})

    comment: str = Field("", max_length=2000, pattern=TEXT, description="What is said with it.")


def alert_router(alerts: AlertQueries) -> APIRouter:
    """Return the routes of alerts.

    Parameters
    ----------
    alerts
        Where they are.
    """
    router = APIRouter(prefix="/v1/alerts", tags=["Alerts"])

    @router.get("", summary="List alerts", response_model=AlertPage, responses=problems())
    def list_alerts(
        principal: Viewer,
        state: Annotated[Literal["open", "over", "all"], Query(description="Which.")] = "open",
        level: Annotated[LevelName | None, Query(description="Those of this level alone.")] = None,
        policy: Annotated[str | None, Query(pattern=ALERT_ID, description="Those of this policy alone.")] = None,
        ns_id: NsIdQuery = None,
        resource: Annotated[
            str | None, Query(max_length=1000, pattern=TEXT, description="Those of this resource alone.")
        ] = None,
        acknowledged: Annotated[bool | None, Query(description="Whether somebody looks after it.")] = None,
        limit: LimitQuery = 100,
        cursor: CursorQuery = None,
    ) -> Response:
        is_open = None if state == "all" else state == "open"
        wanted = AlertFilter(is_open, level, policy, ns_id, resource, acknowledged)
        after = cursor_values(cursor, int, str)
        found = alerts.page(
            principal.tenants, wanted, after=None if after is None else (after[0], after[1]), limit=limit + 1
        )
        last = found[limit - 1] if len(found) > limit else None
        following = None if last is None else cursor_of(last["changed_ms"], last["alert_id"])
        return JSONResponse({"items": found[:limit], "next_cursor": following})

    @router.get("/{alert_id}", summary="Read an alert", response_model=Alert, responses=problems(404))
    def read_alert(principal: Viewer, alert_id: AlertIdPath) -> Response:
        with _found():
            return JSONResponse(alerts.get(alert_id, principal.tenants))

    @router.get("/{alert_id}/events", summary="Its history", response_model=EventPage, responses=problems(404))
    def list_events(
        principal: Viewer, alert_id: AlertIdPath, limit: LimitQuery = 100, cursor: CursorQuery = None
    ) -> Response:
        (before,) = cursor_values(cursor, int) or (None,)
        with _found():
            found = alerts.events(alert_id, principal.tenants, before=before, limit=limit + 1)
        following = cursor_of(found[limit - 1]["number"]) if len(found) > limit else None
        return JSONResponse({"items": found[:limit], "next_cursor": following})

    @router.put(
        "/{alert_id}/acknowledgement",
        summary="Look after an alert",
        response_model=Alert,
        responses=problems(400, 404, 409, 413),
    )
    def acknowledge(principal: Operator, alert_id: AlertIdPath, given: GivenAcknowledgement) -> Response:
        """Its further steps are not taken; it counts until the alert is over."""

        def record(sequence: int, now_ms: int) -> Acknowledgement:
            time = datetime.fromtimestamp(now_ms / 1000, UTC)
            return Acknowledgement(
                id=alert_id, sequence=sequence, time=time, author=principal.name, comment=given.comment
            )

        with _found():
            try:
                return JSONResponse(alerts.acknowledge(alert_id, principal.tenants, record))
            except NotFiringError as error:
                raise ProblemError(HTTPStatus.CONFLICT, "the alert is over") from error

    @router.delete(
        "/{alert_id}/acknowledgement", summary="Look after it no more", status_code=204, responses=problems(404)
    )
    def withdraw(principal: Operator, alert_id: AlertIdPath) -> Response:
        with _found():
            alerts.withdraw(alert_id, principal.tenants)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @router.get("/{alert_id}/comments", summary="What was said", response_model=CommentPage, responses=problems(404))
    def list_comments(
        principal: Viewer, alert_id: AlertIdPath, limit: LimitQuery = 100, cursor: CursorQuery = None
    ) -> Response:
        (after,) = cursor_values(cursor, int) or (None,)
        with _found():
            found = alerts.comments(alert_id, principal.tenants, after=after, limit=limit + 1)
        following = cursor_of(found[limit - 1]["number"]) if len(found) > limit else None
        return JSONResponse({"items": found[:limit], "next_cursor": following})

    @router.post(
        "/{alert_id}/comments",
        summary="Say something",
        status_code=201,
        response_model=SaidComment,
        responses=problems(400, 404, 413),
    )
    def comment(principal: Operator, alert_id: AlertIdPath, given: GivenComment) -> Response:
        with _found():
            said = alerts.comment(alert_id, principal.tenants, author=principal.name, text=given.text)
        return JSONResponse(said, HTTPStatus.CREATED)

    return router


@contextmanager
def _found() -> Iterator[None]:
    try:
        yield
    except MissingError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, "there is no alert of this id") from error
