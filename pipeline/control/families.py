"""The families of documents that the API serves: their models, who edits them, and what they name of others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from pipeline.control.auth.principal import Role
from pipeline.control.channel_secrets import GivenChannel
from pipeline.control.documents import Link
from schemas.detection_rule import DetectionRule
from schemas.scenario import Scenario, Step
from schemas.script import Script
from schemas.selection import Target
from schemas.severity import LEVELS
from schemas.silence import Inhibition, Maintenance, Silence
from schemas.trigger_policy import TriggerPolicy

__all__ = ["CHANNEL", "FAMILIES", "SCENARIO", "SCRIPT", "Family"]

CHANNEL: Final = "channel"
SCENARIO: Final = "scenario"
SCRIPT: Final = "script"

Targets = Sequence[tuple[str, Sequence[Any]]]
"""Where in a document targets stand, and which."""


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of documents."""

    kind: str
    path: str
    title: str
    model: type[BaseModel]
    role: Role
    example: dict[str, Any]
    targets: Callable[[Any], Targets] = lambda _: ()
    links: Callable[[Any], list[Link]] = lambda _: []


def _own_targets(document: TriggerPolicy | DetectionRule) -> Targets:
    return [("targets", document.targets)]


def _alert_targets(document: Silence | Maintenance) -> Targets:
    return [("alerts.targets", document.alerts.targets)]


def _inhibition_targets(document: Inhibition) -> Targets:
    return [("source.targets", document.source.targets), ("targets.targets", document.targets.targets)]


def _policy_links(policy: TriggerPolicy) -> list[Link]:
    links = [Link(f"channels.{number}", CHANNEL, name) for number, name in enumerate(policy.channels)]
    if policy.scenario is not None:
        links.append(Link("scenario", SCENARIO, policy.scenario))
    return links


def steps_of(scenario: Scenario) -> list[tuple[str, Step]]:
    """Return a scenario's steps, and where each stands."""
    return [
        (f"levels.{level}.{number}", step) for level in LEVELS for number, step in enumerate(scenario.levels.of(level))
    ]


def _scenario_links(scenario: Scenario) -> list[Link]:
    links = []
    for place, step in steps_of(scenario):
        links += [Link(f"{place}.notify.{number}", CHANNEL, name) for number, name in enumerate(step.notify)]
        if step.run is not None:
            links.append(Link(f"{place}.run", SCRIPT, step.run))
    return links


_TARGETS: Final = [Target(ns_id="prod").model_dump(mode="json", exclude_unset=True)]

FAMILIES: Final = (
    Family(
        "trigger",
        "policies",
        "Trigger policies",
        TriggerPolicy,
        Role.OPERATOR,
        {
            "id": "cpu-high",
            "title": "CPU too high",
            "where": {"measurement": "cpu", "field": "usage_active", "tags": {"cpu": "cpu-total"}},
            "targets": _TARGETS,
            "levels": {"warn": {"fire": 70, "reset": 60}, "critical": {"fire": 80, "reset": 70}},
            "pending": "30s",
            "repeat": "1h",
        },
        _own_targets,
        _policy_links,
    ),
    Family(
        "detection",
        "detection-rules",
        "Detection rules",
        DetectionRule,
        Role.OPERATOR,
        {"id": "quiet-disks", "title": "Disks are noisy", "where": {"measurement": "disk*"}, "targets": _TARGETS},
        _own_targets,
    ),
    Family(
        SCENARIO,
        "scenarios",
        "Scenarios",
        Scenario,
        Role.OPERATOR,
        {"id": "ops-default", "levels": {"warn": [{"after": "0s", "notify": "ops-mail"}]}},
        links=_scenario_links,
    ),
    Family(
        CHANNEL,
        "channels",
        "Channels",
        GivenChannel,
        Role.ADMIN,
        {
            "id": "ops-mail",
            "smtp": {
                "host": "smtp.example.org",
                "username": "cinnamon",
                "password": {"value": "…"},
                "sender": "cinnamon@example.org",
                "recipients": ["ops@example.org"],
            },
        },
    ),
    Family(
        SCRIPT,
        "scripts",
        "Scripts",
        Script,
        Role.ADMIN,
        {"id": "restart-service", "file": "restart.sh", "arguments": ["{resource}"], "approval": True},
    ),
    Family(
        "silence",
        "silences",
        "Silences",
        Silence,
        Role.OPERATOR,
        {
            "id": "move-2026-12",
            "alerts": {"policies": ["cpu-*"], "targets": _TARGETS},
            "starts": "2026-12-01T02:00:00Z",
            "ends": "2026-12-01T04:00:00Z",
            "comment": "racks are moved",
        },
        _alert_targets,
    ),
    Family(
        "maintenance",
        "maintenance",
        "Maintenance windows",
        Maintenance,
        Role.OPERATOR,
        {
            "id": "patch-sunday",
            "alerts": {"targets": _TARGETS},
            "days": ["sun"],
            "start": "02:00",
            "duration": "2h",
            "zone": "Asia/Seoul",
        },
        _alert_targets,
    ),
    Family(
        "inhibition",
        "inhibitions",
        "Inhibitions",
        Inhibition,
        Role.OPERATOR,
        {
            "id": "host-down",
            "source": {"policies": ["host-silent"], "targets": _TARGETS},
            "targets": {"policies": ["*"], "targets": _TARGETS},
            "equal": ["ns_id", "infra_id", "node_id"],
        },
        _inhibition_targets,
    ),
)
