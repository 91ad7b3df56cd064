"""The route of backtests: a policy and samples in, notifications that would have been sent out."""

import threading
from http import HTTPStatus
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.control.auth.access import Operator
from pipeline.control.backtest import backtest
from pipeline.control.routes.answers import problems
from pipeline.control.routes.problems import ProblemError
from schemas.alert import AlertEvent
from schemas.trigger_policy import TriggerPolicy

MOST_SERIES: Final = 100
MOST_POINTS: Final = 20_000
MOST_EVENTS: Final = 10_000
LATEST_MS: Final = 9_000_000_000_000

Name = Annotated[str, Field(min_length=1, max_length=200)]
TimeMs = Annotated[int, Field(strict=True, ge=0, le=LATEST_MS)]
Value = Annotated[float, Field(allow_inf_nan=False)]

_EXAMPLE: Final[dict[str, Any]] = {
    "policy": {"id": "cpu-high", "levels": {"warn": {"fire": 70, "reset": 60}}},
    "series": [{"measurement": "cpu", "field": "usage_active", "points": [[1780000000000, 65], [1780000010000, 75.5]]}],
}


class History(BaseModel):
    """A series and what happened to it."""

    model_config = ConfigDict(extra="forbid")

    measurement: Name = Field(description="Its measurement.")
    field: Name = Field(description="Its field.")
    tags: dict[Name, Name] = Field({}, max_length=50, description="Its tags.")
    points: list[tuple[TimeMs, Value]] = Field(
        max_length=MOST_POINTS, description="Event time in milliseconds since 1970-01-01T00:00:00Z, and value."
    )


class BacktestRequest(BaseModel):
    """A policy, and what it is tried on: at most 20,000 samples."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    policy: TriggerPolicy = Field(description="As it would be created; it is not stored.")
    series: list[History] = Field(min_length=1, max_length=MOST_SERIES, description="What happened.")
    every_s: int = Field(60, strict=True, ge=1, le=600, description="Size of windows in seconds, for on: window.")
    everything: bool = Field(default=False, description="Whether to answer what would notify nobody, too.")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        count = sum(len(history.points) for history in self.series)
        if count > MOST_POINTS:
            raise ValueError(f"series: must have at most {MOST_POINTS} points together, got {count}")
        if self.policy.on == "anomaly":
            raise ValueError(f"policy.on: {self.policy.on} cannot be tried on samples")
        return self


class BacktestAnswer(BaseModel):
    """What somebody would have been notified of."""

    events: list[AlertEvent] = Field(description="By time; at most 10,000.")
    told: int = Field(description="How often somebody would have been notified.")
    is_cut: bool = Field(description="Whether there were more events.")


def backtest_router() -> APIRouter:
    """Return the route of backtests."""
    router = APIRouter(prefix="/v1/backtest", tags=["Backtest"])
    one_at_a_time = threading.Lock()

    @router.post("", summary="Try a policy", response_model=BacktestAnswer, responses=problems(400, 413))
    def try_policy(_principal: Operator, request: BacktestRequest) -> Response:
        series = [(each.measurement, each.field, each.tags, each.points) for each in request.series]
        if not one_at_a_time.acquire(timeout=10):
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "others try policies now: come again")
        try:
            events = backtest(request.policy, series, request.every_s * 1000)
        finally:
            one_at_a_time.release()
        told = sum(event.notify for event in events)
        shown = [event for event in events if event.notify or request.everything]
        return JSONResponse(
            {
                "events": [event.model_dump(mode="json") for event in shown[:MOST_EVENTS]],
                "told": told,
                "is_cut": len(shown) > MOST_EVENTS,
            }
        )

    return router
