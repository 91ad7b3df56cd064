"""Scripts: what may be run about an alert, and the guards around it."""

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from schemas.selection import Part
from schemas.trigger_policy import Duration, Id, Name

__all__ = ["PLACEHOLDER", "PLACEHOLDERS", "Approval", "Limit", "Script"]

PLACEHOLDERS = frozenset(
    (
        "alert_id",
        "field",
        "level",
        "measurement",
        "policy",
        "reason",
        "resource",
        "state",
        "threshold",
        "time_ms",
        "value",
    )
)
"""What of an alert may stand in an argument, as ``{resource}``; besides ``{tags.NAME}``."""
PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
MOST_ARGUMENTS = 50
LONGEST_TIMEOUT = timedelta(hours=1)


def _known_placeholders(argument: str) -> str:
    if "\x00" in argument:
        raise ValueError("must not contain a zero byte")
    for found in PLACEHOLDER.finditer(argument):
        name = found[1]
        if found[0] in {"{", "}"}:
            raise ValueError("a brace that is meant as one is written twice, as {{")
        is_tag = name is not None and name.startswith("tags.") and len(name) > len("tags.")
        if name is not None and name not in PLACEHOLDERS and not is_tag:
            raise ValueError(
                f"unknown placeholder {{{name[:50]}}}; known: {', '.join(sorted(PLACEHOLDERS))}, tags.NAME"
            )
    return argument


Argument = Annotated[str, Field(max_length=4000), AfterValidator(_known_placeholders)]


class Limit(Part):
    """How much of something within a time."""

    count: int = Field(strict=True, ge=1, le=10_000, description="How many at most.")
    within: Duration = Field(description="In any span of this length.")

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.within <= timedelta(0):
            raise ValueError("within: must be above 0")
        return self


class Script(Part):
    """One script: the value of ``policies`` under the key ``script/ID``."""

    kind: Literal["script"] = Field("script", description="Tells scripts from other policies.")
    id: Id = Field(description="Unique among scripts.")
    title: Name | None = Field(None, description="What it is for, for a reader.")
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")] = Field(
        description="The name of an executable file in the folder act.scripts_dir of the worker."
    )
    arguments: tuple[Argument, ...] = Field(
        (), max_length=MOST_ARGUMENTS, description="Its arguments; {resource}, {tags.host} … stand for the alert's."
    )
    timeout: Duration = Field(timedelta(seconds=60), description="How long it may run before it is killed.")
    dry_run: bool = Field(default=True, strict=True, description="Whether it is only noted what would have been run.")
    approval: bool = Field(default=False, strict=True, description="Whether somebody must approve of each run.")
    rate: Limit = Field(
        Limit(count=10, within=timedelta(hours=1)), description="How many runs there may be, of all resources."
    )
    blast_radius: Limit = Field(
        Limit(count=1, within=timedelta(minutes=10)), description="How many different resources it may be run for."
    )
    enabled: bool = Field(default=True, strict=True, description="Whether it is run.")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not timedelta(milliseconds=100) <= self.timeout <= LONGEST_TIMEOUT:
            raise ValueError("timeout: must be 100ms to 1h")
        return self


class Approval(Part):
    """An answer to a script that waits for one: the value of ``policies`` under the key ``approval/ID``."""

    kind: Literal["approval"] = Field("approval", description="Tells approvals from other policies.")
    id: Id = Field(description="The run's idempotency key, as its record on actions has it.")
    approved: bool = Field(strict=True, description="Whether it may be run.")
    time: AwareDatetime = Field(description="When it was decided.")
    author: Name | None = Field(None, description="Who decided.")
    comment: Annotated[str, Field(max_length=2000)] = Field("", description="Why.")
