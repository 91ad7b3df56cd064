"""What the stage act does about alerts: who is notified, with which key, whatever happens to the worker."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import topics
from schemas.action import Action
from schemas.alert import AlertEvent, AlertReason, AlertState
from tests.support.channels.alerts import alert_event
from tests.support.channels.folders import open_folder
from tests.support.channels.receivers import HttpReceiver, http_receiver, mail_server
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.stages.brokers import Broker, Raw, pipeline_topics, produce, read_topic, topics_of
from tests.support.stages.streams import settings_of
from tests.support.stages.worker import Worker, running
from tests.support.waiting import wait_until

USED = topics_of("act")
TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def broker(module_embedded_broker: EmbeddedBroker) -> Iterator[Broker]:
    with pipeline_topics(module_embedded_broker, partitions=2, names=USED) as found:
        yield found


@pytest.fixture(scope="module")
def acting(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Setting"]:
    """A worker that acts; each test has alerts, policies and channels of its own."""
    with open_folder() as scripts:
        setting = Setting(broker, tmp_path_factory.mktemp("acting"), scripts)
        with running(setting.worker()) as worker:
            setting.running = worker.ready()
            yield setting


@pytest.fixture
def hook() -> Iterator[HttpReceiver]:
    with http_receiver() as server:
        yield server


class Setting:
    """A worker with a folder of secrets and one of scripts, and what it writes."""

    def __init__(self, broker: Broker, directory: Path, scripts: Path | None = None, **act: Any) -> None:
        self.broker = broker
        self.secrets = directory / "secrets"
        self.secrets.mkdir()
        self.scripts = scripts or directory
        self._act = {
            "secrets_dir": str(self.secrets),
            "scripts_dir": str(self.scripts),
            "first_retry_s": 0.2,
            "longest_retry_s": 0.5,
        } | act
        self._directory = directory
        self.policy = ""
        self.running: Worker | None = None
        self._scenarios = 0

    def worker(self, name: str = "worker") -> Worker:
        settings = settings_of(self.broker, act=self._act)
        return Worker(self._directory / name, settings, stages="act")

    def apply(self, kind: str, **document: Any) -> None:
        value = orjson.dumps({"kind": kind} | document)
        produce(self.broker, [Raw(value, f"{kind}/{document['id']}".encode())], topics.POLICIES)

    def webhook(self, name: str, address: str, **changes: Any) -> None:
        """Apply a channel that posts to an address."""
        (self.secrets / name).write_text(f"http://{address}/{name}")
        self.apply("channel", id=name, webhook={"url": {"file": name}}, timeout="5s", **changes)

    def scenario(self, name: str, *steps: dict[str, Any]) -> None:
        """Apply a policy of that name whose critical alerts have these steps."""
        self.policy = name
        self.apply("scenario", id=name, levels={"critical": list(steps)}, group_window="0s")
        self.apply("trigger", id=name, levels={"critical": {"fire": 80}}, scenario=name)
        self._scenarios += 1
        if self.running is not None:
            count = self._scenarios
            self.running.wait_for(lambda now: now.total("policies", kind="trigger") == count, "the policy in force")

    def alert(self, **changes: Any) -> AlertEvent:
        """Write an alert of the policy that was applied last."""
        own = {"time_ms": now_ms(), "policy": self.policy, "alert_id": f"{self.policy}-1", "id": f"{self.policy}-1-1"}
        event = alert_event(**(own | changes))
        produce(self.broker, [Raw(event.to_json(), event.resource.encode())], topics.ALERTS)
        return event

    def over(self, **changes: Any) -> AlertEvent:
        """Write that the alert is over."""
        recovered = {
            "id": f"{self.policy}-1-2",
            "sequence": 2,
            "state": AlertState.OK,
            "previous_state": AlertState.FIRING,
            "level": None,
            "previous_level": "critical",
            "reason": AlertReason.RECOVERED,
            "text": "CPU is fine again",
        }
        return self.alert(**(recovered | changes))

    def actions(self) -> list[Action]:
        """Return the actions of the policy that was applied last, in the order of their time."""
        records = read_topic(self.broker, topics.ACTIONS)
        found = [Action.model_validate_json(record.value) for record in records]
        mine = [action for action in found if action.alerts[0].policy == self.policy]
        return sorted(mine, key=lambda action: action.time_ms + action.duration_ms)

    def until(self, met: Callable[[list[Action]], bool], what: str) -> list[Action]:
        """Return the actions once they are as they should be."""
        seen: list[Action] = []

        def look() -> bool:
            seen[:] = self.actions()
            return met(seen)

        try:
            wait_until(look, timeout_s=TIMEOUT_S, what=what, every_s=0.2)
        except TimeoutError as error:
            raise AssertionError("\n".join([str(error), *map(repr, seen)])) from error
        return seen


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def outcomes(actions: list[Action]) -> list[str]:
    return [action.outcome.value for action in actions]


def keys(receiver: HttpReceiver) -> list[str]:
    return [request.headers["Idempotency-Key"] for request in receiver.requests]


def requested(receiver: HttpReceiver, count: int) -> None:
    wait_until(lambda: len(receiver.requests) >= count, timeout_s=TIMEOUT_S, what=f"request {count}")


def test_a_dead_channel_holds_up_no_other(acting: Setting, hook: HttpReceiver) -> None:
    with http_receiver() as dead, mail_server() as mails:
        dead.hangs = threading.Event()
        acting.webhook("dead", dead.address)
        acting.webhook("alive", hook.address)
        acting.webhook("wrong", hook.address)
        (acting.secrets / "wrong").unlink()
        smtp = {"host": "127.0.0.1", "port": mails.port, "security": "none", "sender": "a@b", "recipients": ["c@d"]}
        acting.apply("channel", id="mail", smtp=smtp)
        channels = ["dead", "nowhere", "wrong", "alive", "mail"]
        acting.scenario("several", {"notify": channels}, {"notify": "mail", "to": ["boss@d"]})
        for number in range(5):
            acting.alert(alert_id=f"several-{number}", id=f"several-{number}-1", resource=f"ns/mci/web-{number}")
        found = acting.until(
            lambda found: outcomes(found).count("sent") == 15 and outcomes(found).count("failed") == 10,
            "messages of the others",
        )
        assert len(dead.requests) == 1
        dead.hangs.set()
        acting.until(lambda found: outcomes(found).count("sent") == 20, "messages of the channel that hung")
    assert len(set(keys(hook))) == len(keys(hook)) == 5
    assert sorted(to for each in mails.recipients for to in each) == ["boss@d"] * 5 + ["c@d"] * 5
    failed = {(action.channel, action.reason.value, action.retry) for action in found if action.outcome == "failed"}
    assert failed == {("nowhere", "UNKNOWN", False), ("wrong", "CONFIGURATION", False)}


def test_what_is_silenced_is_sent_when_the_silence_is_over_and_what_is_acknowledged_is_not(
    acting: Setting, hook: HttpReceiver
) -> None:
    acting.webhook("first", hook.address)
    acting.webhook("later", hook.address)
    acting.scenario("silenced", {"notify": "first"}, {"after": "4s", "notify": "later"})
    always = {"starts": "2020-01-01T00:00:00Z", "ends": "2100-01-01T00:00:00Z"}
    acting.apply("silence", id="s1", alerts={"policies": ["silen*"]}, **always)
    acting.alert()
    acting.until(lambda found: len(found) == 1, "the silence")
    assert not hook.requests
    produce(acting.broker, [Raw(None, b"silence/s1")], topics.POLICIES)
    requested(hook, 1)
    acting.apply("acknowledgement", id="silenced-1", sequence=1, time="2026-01-01T00:00:00Z", author="me")
    acting.until(lambda found: len(found) == 3, "the acknowledgement")
    acting.over()
    found = acting.until(lambda found: len(found) == 4, "the end")
    assert [(action.channel, action.outcome.value, action.reason.value) for action in found] == [
        ("first", "suppressed", "SILENCED"),
        ("first", "sent", "DUE"),
        ("later", "suppressed", "ACKNOWLEDGED"),
        ("first", "sent", "RECOVERED"),
    ]
    assert {request.path for request in hook.requests} == {"/first"}


def test_scripts_are_dry_runs_guarded_and_approved(acting: Setting) -> None:
    script = acting.scripts / "show"
    script.write_text('#!/bin/sh\necho "$1" for $CINNAMON_KEY\n')
    script.chmod(0o755)
    acting.apply("script", id="dry", file="show", arguments=["{resource}"])
    acting.apply("script", id="real", file="show", arguments=["{tags.host}; $(id)"], dry_run=False)
    acting.apply("script", id="asked", file="show", dry_run=False, approval=True)
    acting.scenario("scripts", {"run": "dry"}, {"run": "real"}, {"run": "asked"}, {"run": "nothing"})
    acting.alert()
    found = acting.until(lambda found: len(found) == 4, "the first alert's scripts")
    by_script = {action.script: action for action in found}
    assert by_script["dry"].message == "would run show with ['ns/mci/web-1']"
    assert by_script["real"].output == f"web-1; $(id) for {by_script['real'].key}\n"
    assert {name: action.outcome.value for name, action in by_script.items()} == {
        "dry": "dry_run",
        "real": "ran",
        "asked": "awaiting_approval",
        "nothing": "failed",
    }
    acting.apply("approval", id=by_script["asked"].key, approved=True, time="2026-01-01T00:00:00Z")
    acting.until(lambda found: len(found) == 5, "the approved run")
    acting.alert(alert_id="scripts-2", id="scripts-2-1", resource="ns/mci/web-2")
    found = acting.until(lambda found: len(found) == 9, "the second alert's scripts")
    second = {action.script: action for action in found if action.resource == "ns/mci/web-2"}
    acting.apply("approval", id=second["asked"].key, approved=False, time="2026-01-01T00:00:00Z", author="me")
    found = acting.until(lambda found: len(found) == 10, "the refused run")
    assert (second["real"].outcome.value, second["real"].reason.value) == ("rate_limited", "BLAST_RADIUS")
    of_asked = [(action.resource[-1], action.outcome.value) for action in found if action.script == "asked"]
    assert of_asked == [("1", "awaiting_approval"), ("1", "ran"), ("2", "awaiting_approval"), ("2", "denied")]


def test_what_is_no_alert_goes_to_the_dead_letters(acting: Setting, hook: HttpReceiver) -> None:
    acting.webhook("letters", hook.address)
    acting.scenario("letters", {"notify": "letters"})
    produce(acting.broker, [Raw(b"{nonsense"), Raw(b"{}"), Raw(None)], topics.ALERTS)
    acting.alert()
    requested(hook, 1)
    wait_until(lambda: len(read_topic(acting.broker, topics.DEAD_LETTERS)) == 3, timeout_s=TIMEOUT_S, what="letters")
    dead_letters = [orjson.loads(record.value) for record in read_topic(acting.broker, topics.DEAD_LETTERS)]
    assert [(dead_letter["topic"], dead_letter["stage"], dead_letter["reason"]) for dead_letter in dead_letters] == [
        ("alerts", "act", "PARSE_SYNTAX")
    ] * 3
    assert acting.running is not None
    shown = acting.running.wait_for(lambda now: now.total("lag_records", topic=topics.ALERTS) == 0, "all taken")
    lags = [
        sample.labels["partition"]
        for sample in shown.samples["cinnamon_lag_records"]
        if sample.labels["topic"] == topics.ALERTS
    ]
    assert sorted(lags) == ["0", "1"]


def who_acts_and_who_stands_by(first: Worker, second: Worker) -> tuple[Worker, Worker]:
    """Start two workers; return them once the group has settled."""
    first.start().ready()
    second.start()

    def times_taken(worker: Worker) -> int:
        return worker.log().count("this worker acts")

    both = (first, second)
    wait_until(lambda: sum(map(times_taken, both)) == 2, timeout_s=TIMEOUT_S, what="the group with both workers")
    return (first, second) if times_taken(first) == 2 else (second, first)


def test_what_a_killed_worker_had_decided_is_sent_by_the_next_one_with_the_same_key(
    own_embedded_broker: EmbeddedBroker, tmp_path: Path, hook: HttpReceiver
) -> None:
    with pipeline_topics(own_embedded_broker, partitions=2, names=USED) as broker, http_receiver() as hung:
        setting = Setting(broker, tmp_path, first_retry_s=60, longest_retry_s=60)
        setting.webhook("hung", hung.address)
        setting.webhook("hook", hook.address)
        setting.webhook("quick", hung.address)
        setting.webhook("before", hung.address)
        setting.scenario("before", {"notify": "before"}, {"after": "1h", "notify": "before"})
        setting.alert()
        setting.over()
        setting.scenario("killed", {"notify": ["quick", "hung", "hook"]})
        hook.status = 503
        workers = [setting.worker("first"), setting.worker("second")]
        try:
            first, second = who_acts_and_who_stands_by(*workers)
            hung.hangs = threading.Event()
            hung.hanging_path = "/hung"
            setting.alert()
            wait_until(
                lambda: any(each.path == "/hung" for each in hung.requests), timeout_s=TIMEOUT_S, what="a request"
            )
            setting.until(lambda found: sorted(outcomes(found)) == ["failed", "sent"], "the first attempts")
            first.kill()
            hung.hangs.set()
            hook.status = 200
            setting.until(lambda found: len(found) == 4, "the attempts of the other worker")
            setting.over()
            found = setting.until(lambda found: len(found) == 7, "the end")
            second.wait_for(lambda scrape: scrape.total("pending_actions") == 0, "nothing waits")
            second.stop()
            setting.policy = "before"
            before = setting.actions()
        finally:
            for worker in workers:
                worker.discard()
    # an alert that was over before anybody acted: both are sent, and nothing that was not due in between
    assert [(action.outcome.value, action.alerts[0].level) for action in before] == [
        ("sent", "critical"),
        ("sent", None),
    ]
    of_channel = {
        name: [(action.outcome.value, action.reason.value) for action in found if action.channel == name]
        for name in ("quick", "hung", "hook")
    }
    assert of_channel == {
        "quick": [("sent", "DUE"), ("sent", "RECOVERED")],
        "hung": [("sent", "DUE"), ("sent", "RECOVERED")],
        "hook": [("failed", "UNAVAILABLE"), ("sent", "DUE"), ("sent", "RECOVERED")],
    }
    for name, receiver, attempts in (("quick", hung, 1), ("hung", hung, 2), ("hook", hook, 2)):
        mine = zip(receiver.requests, keys(receiver), strict=True)
        *first_keys, end = (key for request, key in mine if request.path == f"/{name}")
        assert len(first_keys) == attempts
        assert {action.key for action in found if action.channel == name} == {first_keys[0], end} == {*first_keys, end}
