"""What becomes of a run whose turn has come: the first that keeps it from being begun counts."""

from typing import Any

import pytest

from pipeline.core.actions.attempts import Turn, notification_result, script_result
from pipeline.core.actions.decisions import Item, ScriptRun
from pipeline.core.actions.script_guards import PastScriptRun, ScriptGuards
from schemas.action import ActionReason
from schemas.channel import Channel
from schemas.script import Approval, Script
from tests.support.channels.alerts import alert_event

RUN = ScriptRun("restart", Item("k1", alert_event(), "ops", 0, ActionReason.DUE))
RAN_BEFORE = ScriptGuards([PastScriptRun("restart", alert_event().resource, 0)])
REFUSED = Approval.model_validate({"id": "k1", "approved": False, "author": "me", "time": "2026-01-01T00:00:00Z"})
APPROVED = REFUSED.model_copy(update={"approved": True})


@pytest.mark.parametrize(
    ("script", "changes", "outcome", "reason"),
    [
        ({"enabled": False}, {"is_open": False}, "skipped", "DISABLED"),
        ({}, {"is_open": False}, "skipped", "SUPERSEDED"),
        ({"dry_run": True, "approval": True}, {}, "dry_run", "DUE"),
        ({"approval": True}, {}, "awaiting_approval", "APPROVAL"),
        ({"approval": True}, {"turn": Turn(0, 1001)}, "denied", "APPROVAL"),
        ({"approval": True}, {"turn": Turn(0, 1001), "approval": REFUSED}, "denied", "APPROVAL"),
        ({}, {"approval": REFUSED, "guards": RAN_BEFORE}, "rate_limited", "RATE"),
        ({"approval": True}, {"approval": APPROVED, "guards": RAN_BEFORE}, "rate_limited", "RATE"),
        ({"approval": True}, {"turn": Turn(0, 1001), "approval": APPROVED}, None, None),
        ({}, {}, None, None),
    ],
)
def test_a_run_is_begun_when_nothing_keeps_it(
    script: dict[str, Any], changes: dict[str, Any], outcome: str | None, reason: str | None
) -> None:
    limits = {"rate": {"count": 1, "within": "1h"}, "dry_run": False}
    asked = {
        "turn": Turn(0, 1000),
        "arguments": ["a"],
        "is_open": True,
        "approval": None,
        "approve_within_ms": 1000,
        "guards": ScriptGuards(),
    } | changes
    turn = asked.pop("turn")

    found = script_result(
        Script.model_validate({"id": "restart", "file": "restart"} | limits | script), RUN, turn, **asked
    )

    assert (found and (found.outcome.value, found.reason.value)) == (outcome and (outcome, reason))


@pytest.mark.parametrize(
    ("changes", "now_ms", "outcome", "reason"),
    [
        ({}, 1000, None, None),
        ({}, 1001, "failed", "TIMEOUT"),
        ({"enabled": False}, 1001, "skipped", "DISABLED"),
    ],
)
def test_a_notification_is_sent_while_it_is_news(
    changes: dict[str, Any], now_ms: int, outcome: str | None, reason: str | None
) -> None:
    channel = Channel.model_validate({"id": "hook", "webhook": {"url": {"file": "url"}}} | changes)

    found = notification_result("hook", channel, Turn(0, now_ms), 1000)

    assert (found and (found.outcome.value, found.reason.value)) == (outcome and (outcome, reason))
