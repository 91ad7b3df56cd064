"""Routes for whoever runs the service: alive, ready, metrics. They need no key."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, Field

from pipeline.control.database import Database, DatabaseError


class State(BaseModel):
    """How the service is."""

    status: str = Field(description="What it is.", examples=["alive", "ready"])


_NOT_NOW: dict[int | str, dict[str, Any]] = {503: {"description": "It is not.", "model": State}}


def health_router(database: Database, registry: CollectorRegistry, is_alive: Callable[[], bool]) -> APIRouter:
    """Return the routes.

    Parameters
    ----------
    database
        What must answer.
    registry
        The metrics.
    is_alive
        Whether the work beside the API goes on.
    """
    router = APIRouter(tags=["Health"])

    @router.get("/healthz", summary="Whether it is alive", response_model=State, responses=_NOT_NOW)
    def show_alive() -> Response:
        fine = is_alive()
        return JSONResponse({"status": "alive" if fine else "a part has ended"}, 200 if fine else 503)

    @router.get("/readyz", summary="Whether it can answer", response_model=State, responses=_NOT_NOW)
    def show_ready() -> Response:
        try:
            database.ping()
        except DatabaseError as error:
            return JSONResponse({"status": str(error)}, 503)
        return JSONResponse({"status": "ready"})

    @router.get(
        "/metrics",
        summary="For Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Its metrics."}},
    )
    def show_metrics() -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router
