"""Routes of actions: what was done about alerts, and the approvals of scripts."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from pipeline.control.actions import ActionFilter, ActionQueries, NotWaitingError
from pipeline.control.auth.access import Admin, Viewer
from pipeline.control.documents import MissingError
from pipeline.control.routes.alerts import ALERT_ID, TEXT
from pipeline.control.routes.answers import problems
from pipeline.control.routes.paging import CursorQuery, LimitQuery, NsIdQuery, Page, cursor_of, cursor_values
from pipeline.control.routes.problems import ProblemError
from schemas.action import Action, Outcome
from schemas.script import Approval

KeyPath = Annotated[str, Path(pattern=ALERT_ID, description="The key of the run's action.")]


class ActionPage(Page):
    """Actions, the newest first."""

    items: list[Action]


class GivenApproval(BaseModel):
    """An answer to a script that waits."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"approved": True, "comment": "as agreed"}]}
    )

    approved: bool = Field(strict=True, description="Whether it may be run.")
    comment: str = Field("", max_length=2000, pattern=TEXT, description="Why.")


def action_router(actions: ActionQueries) -> APIRouter:
    """Return the routes of actions.

    Parameters
    ----------
    actions
        Where they are.
    """
    router = APIRouter(prefix="/v1/actions", tags=["Actions"])

    @router.get("", summary="The history of actions", response_model=ActionPage, responses=problems())
    def list_actions(
        principal: Viewer,
        alert_id: Annotated[str | None, Query(pattern=ALERT_ID, description="Those about this alert alone.")] = None,
        ns_id: NsIdQuery = None,
        outcome: Annotated[Outcome | None, Query(description="Those that came to this alone.")] = None,
        limit: LimitQuery = 100,
        cursor: CursorQuery = None,
    ) -> Response:
        wanted = ActionFilter(alert_id, ns_id, None if outcome is None else outcome.value)
        (before,) = cursor_values(cursor, int) or (None,)
        found = actions.page(principal.tenants, wanted, before=before, limit=limit + 1)
        following = cursor_of(found[limit - 1][0]) if len(found) > limit else None
        return JSONResponse({"items": [record for _, record in found[:limit]], "next_cursor": following})

    @router.put(
        "/{key}/approval",
        summary="Answer a script that waits",
        response_model=Approval,
        responses=problems(400, 404, 409, 413),
    )
    def approve(principal: Admin, key: KeyPath, given: GivenApproval) -> Response:
        def answer(now_ms: int) -> Approval:
            time = datetime.fromtimestamp(now_ms / 1000, UTC)
            return Approval(id=key, approved=given.approved, time=time, author=principal.name, comment=given.comment)

        try:
            approval = actions.approve(key, principal.tenants, answer)
        except MissingError as error:
            raise ProblemError(HTTPStatus.NOT_FOUND, "there is no run of this key") from error
        except NotWaitingError as error:
            raise ProblemError(HTTPStatus.CONFLICT, "the run does not wait for an approval") from error
        return JSONResponse(approval.model_dump(mode="json"))

    return router
