"""Alerts and actions through the API, on SQLite and PostgreSQL, filled with the records that their topics have."""

import json
from typing import Any

import pytest

from pipeline.control.actions import forget_actions
from pipeline.control.alerts import forget_alerts
from pipeline.control.auth.principal import Role
from schemas.alert import AlertEvent
from schemas.silence import Acknowledgement
from tests.support.control.api import Api, fields
from tests.support.control.history import FIRING, OK, PENDING, action, event, feed


def ids(api: Api, *tenants: str, **asked: Any) -> list[str]:
    page = api.as_(Role.VIEWER, *tenants).get("/v1/alerts", params=asked).json()
    return [item["alert_id"] for item in page["items"]]


def test_an_alert_opens_changes_and_is_over(api: Api) -> None:
    feed(api, event("one", 1, PENDING))
    assert ids(api) == []
    feed(api, event("one", 2, FIRING), event("one", 3, FIRING, level="critical"))

    (alert,) = api.as_(Role.VIEWER).get("/v1/alerts").json()["items"]
    assert (alert["level"], alert["opened_ms"], alert["changed_ms"]) == (
        "critical",
        1_790_000_000_002,
        1_790_000_000_003,
    )
    assert AlertEvent.model_validate_json(json.dumps(alert["event"])) == event("one", 3, FIRING, level="critical")

    feed(api, event("one", 4, OK))
    assert ids(api) == []
    assert ids(api, state="over") == ["one"]
    history = api.as_(Role.VIEWER).get("/v1/alerts/one/events").json()
    assert [item["event"]["sequence"] for item in history["items"]] == [4, 3, 2, 1]


def test_events_that_are_written_again_change_nothing(api: Api) -> None:
    feed(api, event("one", 1, FIRING), event("one", 2, OK))

    assert feed(api, event("one", 1, FIRING), event("one", 2, OK)) == [False, False]

    assert ids(api) == []
    assert len(api.as_(Role.VIEWER).get("/v1/alerts/one/events").json()["items"]) == 2


def test_alerts_come_in_pages_and_are_filtered(api: Api) -> None:
    for number in range(5):
        feed(api, event(f"alert-{number}", 1, FIRING, time_ms=1_790_000_000_000 + number // 2))
    feed(api, event("mem", 1, FIRING, policy="mem", level="critical", resource="a/i/o'clock", time_ms=1))
    viewer = api.as_(Role.VIEWER)

    first = viewer.get("/v1/alerts", params={"limit": 3}).json()
    rest = viewer.get("/v1/alerts", params={"limit": 3, "cursor": first["next_cursor"]}).json()

    found = [item["alert_id"] for page in (first, rest) for item in page["items"]]
    assert found == ["alert-4", "alert-2", "alert-3", "alert-0", "alert-1", "mem"]
    assert rest["next_cursor"] is None
    assert ids(api, level="critical") == ids(api, policy="mem") == ids(api, resource="a/i/o'clock") == ["mem"]
    assert fields(viewer.get("/v1/alerts", params={"level": "bad", "resource": "\x00"})) == [
        "query.level",
        "query.resource",
    ]


def test_another_tenants_alerts_and_actions_are_not_there(api: Api) -> None:
    feed(api, event("one", 1, FIRING), action("run", 1, outcome="awaiting_approval", reason="APPROVAL"))
    other = api.as_(Role.ADMIN, "b")

    assert ids(api, "b", state="all") == []
    assert other.get("/v1/actions").json()["items"] == []
    for method, path in (
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/comments"),
        ("POST", "/comments"),
        ("PUT", "/acknowledgement"),
        ("DELETE", "/acknowledgement"),
    ):
        body = {"text": "x"} if method == "POST" else {}
        assert other.request(method, f"/v1/alerts/one{path}", json=body).status_code == 404, path
    assert other.put("/v1/actions/run/approval", json={"approved": True}).status_code == 404
    assert api.outbox() == []
    assert ids(api, "a") == ["one"]


def test_an_acknowledgement_reaches_the_workers_and_ends_with_the_alert(api: Api) -> None:
    feed(api, event("one", 7, FIRING))
    operator = api.as_(Role.OPERATOR, "a")

    answer = operator.put("/v1/alerts/one/acknowledgement", json={"comment": "on it"})
    assert answer.json()["acknowledgement"]["author"] == "key:operator-a"
    ((key, value),) = api.outbox()
    assert key == "acknowledgement/one"
    record = Acknowledgement.model_validate_json(value or "")
    assert (record.id, record.sequence, record.comment) == ("one", 7, "on it")
    assert (ids(api, acknowledged=True), ids(api, acknowledged=False)) == (["one"], [])

    feed(api, event("one", 8, OK))
    assert api.outbox()[1:] == [("acknowledgement/one", None)]
    assert operator.put("/v1/alerts/one/acknowledgement", json={}).status_code == 409


def test_an_acknowledgement_can_be_taken_back(api: Api) -> None:
    feed(api, event("one", 1, FIRING))
    operator = api.as_(Role.OPERATOR)
    operator.put("/v1/alerts/one/acknowledgement", json={})

    assert operator.delete("/v1/alerts/one/acknowledgement").status_code == 204
    assert operator.delete("/v1/alerts/one/acknowledgement").status_code == 204

    assert [value is None for _, value in api.outbox()] == [False, True]
    assert operator.get("/v1/alerts/one").json()["acknowledgement"] is None


def test_comments_are_kept_in_order_as_they_are(api: Api) -> None:
    feed(api, event("one", 1, FIRING))
    operator = api.as_(Role.OPERATOR)
    said = ["first", "'; DROP TABLE alerts; --", "{{ 7 * 7 }} <b>"]

    for text in said:
        assert operator.post("/v1/alerts/one/comments", json={"text": text}).status_code == 201
    first = operator.get("/v1/alerts/one/comments", params={"limit": 2}).json()
    rest = operator.get("/v1/alerts/one/comments", params={"cursor": first["next_cursor"]}).json()

    assert [item["text"] for page in (first, rest) for item in page["items"]] == said
    assert fields(operator.post("/v1/alerts/one/comments", json={"text": "a\x00b"})) == ["body.text"]
    assert operator.post("/v1/alerts/one/comments", json={"text": "x" * 2001}).status_code == 422
    assert api.as_(Role.VIEWER).post("/v1/alerts/one/comments", json={"text": "x"}).status_code == 403


def test_the_history_of_actions_is_filtered(api: Api) -> None:
    failed = {"outcome": "failed", "reason": "TIMEOUT", "retry": True}
    about_two = {"alerts": [{"alert_id": "two", "event_id": "e", "policy": "p", "level": None}]}
    feed(api, action("run", 1, **failed), action("run", 2), action("else", 1, **about_two))
    viewer = api.as_(Role.VIEWER, "a")

    def keys(**asked: Any) -> list[tuple[str, int]]:
        return [(item["key"], item["attempt"]) for item in viewer.get("/v1/actions", params=asked).json()["items"]]

    assert feed(api, action("run", 2)) == [False]
    assert keys() == [("else", 1), ("run", 2), ("run", 1)]
    assert keys(alert_id="one") == [("run", 2), ("run", 1)]
    assert keys(outcome="failed") == [("run", 1)]
    page = viewer.get("/v1/actions", params={"limit": 2}).json()
    assert keys(cursor=page["next_cursor"]) == [("run", 1)]


def test_a_script_that_waits_is_answered_once(api: Api) -> None:
    feed(api, action("run", 0, outcome="awaiting_approval", reason="APPROVAL"))
    admin = api.as_(Role.ADMIN, "a")

    assert api.as_(Role.OPERATOR, "a").put("/v1/actions/run/approval", json={"approved": True}).status_code == 403
    assert fields(admin.put("/v1/actions/run/approval", json={"approved": "yes"})) == ["body.approved"]
    answer = admin.put("/v1/actions/run/approval", json={"approved": True, "comment": "go"})

    assert (answer.status_code, answer.json()["author"]) == (200, "key:admin-a")
    ((key, value),) = api.outbox()
    assert key == "approval/run"
    assert json.loads(value or "")["approved"] is True
    feed(api, action("run", 1, outcome="ran"))
    assert admin.put("/v1/actions/run/approval", json={"approved": False}).status_code == 409


def test_what_is_over_is_forgotten_after_a_while(api: Api) -> None:
    feed(api, event("old", 1, FIRING), event("old", 2, OK), event("open", 1, FIRING), action("run", 1))
    api.as_(Role.OPERATOR).post("/v1/alerts/old/comments", json={"text": "x"})

    with api.database.writing() as connection:
        forget_alerts(connection, 1_790_000_000_100)
        forget_actions(connection, 1_790_000_000_100)

    assert ids(api, state="all") == ["open"]
    assert api.as_(Role.VIEWER).get("/v1/actions").json()["items"] == []


def test_an_event_with_bytes_that_postgresql_does_not_take_is_kept(api: Api) -> None:
    odd = {"tags": {"ns_id": "a\x00b" + "x" * 300}, "resource": "r\x00", "policy": "p" * 300}

    assert feed(api, event("odd", 1, FIRING, **odd)) == [True]

    assert ids(api) == ["odd"]


@pytest.mark.parametrize("more", [{}, {"on": "window", "function": "max"}, {"enabled": False}])
def test_a_policy_is_tried_on_samples(sqlite_api: Api, more: dict[str, Any]) -> None:
    levels = {
        "info": {"fire": 60, "reset": 50},
        "warn": {"fire": 70, "reset": 60},
        "critical": {"fire": 80, "reset": 70},
    }
    values = [61, 73, 64, 85, 62, 56, 47]
    points = [[1_790_000_000_000 + 60_000 * number, value] for number, value in enumerate(values)]
    series = [{"measurement": "cpu", "field": "usage", "points": points}]

    answer = sqlite_api.as_(Role.OPERATOR).post(
        "/v1/backtest", json={"policy": {"id": "cpu", "levels": levels, **more}, "series": series}
    )

    assert answer.status_code == 200, answer.text
    assert [event["level"] for event in answer.json()["events"]] == ["info", "warn", "critical", "info", None]
    assert answer.json()["told"] == 5
    assert sqlite_api.outbox() == []


def test_a_backtest_is_bounded(sqlite_api: Api) -> None:
    policy = {"id": "cpu", "levels": {"warn": {"fire": 70}}}
    series = {"measurement": "cpu", "field": "usage", "points": [[0, 1]] * 10_001}
    operator = sqlite_api.as_(Role.OPERATOR)

    assert fields(operator.post("/v1/backtest", json={"policy": policy, "series": [series] * 2})) == ["body.series"]
    wrong = {"policy": policy | {"on": "anomaly"}, "series": [series]}
    assert operator.post("/v1/backtest", json=wrong).status_code == 422
