"""Alerts as a message: by the channel's own templates, or the usual words where it has none or they do not work."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from pipeline.channels.base import ChannelMessage
from pipeline.channels.templates import MOST_ITEMS, RenderError, TemplateRefused, check_template, render
from schemas.alert import AlertEvent, AlertReason, AlertState
from schemas.channel import Channel
from schemas.severity import LevelName, greatest

__all__ = ["VARIABLES", "AlertGroup", "check_templates", "compose", "trial_group"]

LONGEST_SUBJECT: Final = 200
SUBJECT: Final = (
    "[{{ level|upper }}] {{ resource }}: {{ policy }}{% if count > 1 %} and {{ count - 1 }} more{% endif %}"
)
TEXT: Final = """\
{% for alert in alerts %}{{ alert.text }}
  {{ alert.time }} {{ alert.state }} ({{ alert.reason }})
{% endfor %}ref {{ key }}"""
_OF_ALERT: Final = (
    "alert_id", "field", "measurement", "policy", "previous_level", "reason", "state", "tags", "text", "threshold",
    "time", "value",
)  # fmt: skip
VARIABLES: Final = frozenset(("alerts", "count", "is_repeated", "key", "level", "resource", *_OF_ALERT))
"""What a template may use: of the first alert what ``alerts`` has of each, and of all together the rest."""


@dataclass(frozen=True, slots=True)
class AlertGroup:
    """What somebody is to be notified of: alerts of one resource.

    Parameters
    ----------
    key
        The idempotency key.
    alerts
        At least one; the newest event of each.
    is_repeated
        Whether somebody was notified of it before, and it lasts.
    recipients
        Addresses instead of the channel's own.
    """

    key: str
    alerts: tuple[AlertEvent, ...]
    is_repeated: bool = False
    recipients: tuple[str, ...] = ()

    @property
    def level(self) -> LevelName | None:
        """The most serious level; None when all are over."""
        present = [alert.level for alert in self.alerts if alert.level is not None]
        return greatest(present)


def compose(group: AlertGroup, channel: Channel) -> tuple[ChannelMessage, str]:
    """Return the message for a channel, and what is to be said about it: why a template was not used, or nothing.

    A template that does not work keeps nobody from being notified.
    """
    template = channel.template
    values = _values(group)
    notes: list[str] = []
    subject = _filled("subject", template.subject, values, notes) or render(SUBJECT, values)
    text = _filled("text", template.text, values, notes)
    html = _filled("html", template.html, values, notes, is_html=True)
    document = _document(text if channel.section.sends_document else None, values, notes)
    message = ChannelMessage(
        key=group.key,
        subject=" ".join(subject.split())[:LONGEST_SUBJECT],
        text=text or render(TEXT, values),
        html=html,
        document=document,
        level=group.level,
        recipients=group.recipients,
    )
    return message, "; ".join(notes)


def trial_group() -> AlertGroup:
    """Return what a channel is tried out with: it says so."""
    now_ms = time.time_ns() // 1_000_000
    event = AlertEvent(
        id="test",
        alert_id="test",
        sequence=1,
        policy="test",
        policy_hash="test",
        measurement="test",
        field="test",
        tags={"host": "test"},
        resource="test",
        state=AlertState.FIRING,
        previous_state=AlertState.OK,
        level="info",
        previous_level=None,
        reason=AlertReason.FIRST_BREACH,
        notify=True,
        time_ms=now_ms,
        value=None,
        threshold=None,
        repeat=0,
        evidence=None,
        text="This is a test of the channel: nothing is wrong.",
    )
    return AlertGroup(uuid4().hex, (event,))


def check_templates(channel: Channel) -> list[str]:
    """Return a line for each template of a channel that may not be used: which one, where and why."""
    mistakes = []
    for name, source in channel.template:
        if source is not None:
            try:
                check_template(source, VARIABLES)
            except TemplateRefused as error:
                mistakes.append(f"template.{name}: {error}")
    return mistakes


def _filled(
    name: str, source: str | None, values: Mapping[str, Any], notes: list[str], *, is_html: bool = False
) -> str | None:
    """Return a template filled; None where there is none, or it does not work."""
    if source is None:
        return None
    try:
        return render(source, values, is_html=is_html)
    except (TemplateRefused, RenderError) as error:
        notes.append(f"template.{name} was not used: {error}")
        return None


def _document(text: str | None, values: Mapping[str, Any], notes: list[str]) -> bytes:
    """Return the JSON document for programs: what a webhook's template came to, or the usual one."""
    if text is not None:
        try:
            return json.dumps(json.loads(text)).encode()
        except (ValueError, RecursionError):
            notes.append("template.text was not used: it came to no JSON")
    usual = {name: values[name] for name in ("key", "resource", "level", "is_repeated", "alerts")}
    return json.dumps({"version": 1, **usual}).encode()


def _values(group: AlertGroup) -> dict[str, Any]:
    alerts = [_alert(alert) for alert in group.alerts[:MOST_ITEMS]]
    return {
        **{name: alerts[0][name] for name in _OF_ALERT},
        "key": group.key,
        "resource": group.alerts[0].resource,
        "level": group.level or "ok",
        "count": len(group.alerts),
        "is_repeated": group.is_repeated,
        "alerts": alerts,
    }


def _alert(event: AlertEvent) -> dict[str, Any]:
    found = event.model_dump(mode="json", include={*_OF_ALERT, "level", "id", "sequence", "time_ms"})
    moment = datetime.fromtimestamp(event.time_ms / 1000, UTC)
    return {**found, "level": event.level or "ok", "time": moment.isoformat(timespec="milliseconds")}
