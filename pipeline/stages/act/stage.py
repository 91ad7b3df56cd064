"""``alerts`` and ``policies`` → channels, scripts and ``actions``: one worker at a time acts, the others stand by.

Silences, inhibition, grouping and the guards of scripts look across all alerts, of which there are few. So one worker
follows all partitions of ``alerts``: the one that the consumer group gave the only partition of ``policies``, which is
the stage's source topic for that reason. What it decides is saved before it is begun: a crash repeats it with the same
key, and loses nothing.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from pydantic import ValidationError

import topics
from pipeline.core.actions.attempts import Turn, is_too_old
from pipeline.core.actions.decisions import ActionRules, Decision, Notification, ScriptRun, Skip
from pipeline.core.actions.pending import STATE_VERSION, ActState, ActStateError
from pipeline.core.actions.suppression import SuppressionRules
from pipeline.core.policies import policy_of
from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.runtime.engine.stage import StageContext
from pipeline.runtime.kafka.alert_table import AlertTable
from pipeline.runtime.kafka.finished_actions import finished_keys
from pipeline.runtime.kafka.policy_table import PolicyTable
from pipeline.runtime.kafka.producer import RecordProducer
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.tailer import TailedRecord
from pipeline.runtime.kafka.topic_identity import topic_id
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.secrets.channel_secrets import Secrets
from pipeline.runtime.state.snapshots import Snapshot, SnapshotStore
from pipeline.settings.model import Settings
from pipeline.stages.act.metrics import ActFamilies
from pipeline.stages.act.notifications import NotificationQueues
from pipeline.stages.act.records import Attempt, notification_record, now_ms, script_run_record, skip_record
from pipeline.stages.act.scripts import ScriptQueues, Scripts
from pipeline.stages.act.settings import ActSettings
from pipeline.stages.dead_letters import DeadLetterWriter
from schemas.action import Action
from schemas.alert import AlertEvent
from schemas.reasons import DeadLetterReason

__all__ = ["ActStage"]

logger = logging.getLogger(__name__)

STAGE: Final = "act"
LEASE: Final = 0
"""The only partition of ``policies``."""
KINDS: Final = (
    "acknowledgement", "approval", "channel", "inhibition", "maintenance", "scenario", "script", "silence", "trigger",
)  # fmt: skip
READ_TIMEOUT_S: Final = 30.0
SAVE_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 5.0
LOOK_EVERY_S: Final = 0.2
IDLE_SHARE: Final = 10
"""Deciding, and making the state ready to be saved, take one part in so many of the time at most."""
CLOCKS_DIFFER_MS: Final = 60_000
MOST_TAKEN: Final = 1000
"""Alerts at a time: other stages of the process have their turns between."""
FORGET_AFTER_MS: Final = 24 * 3_600_000
"""Events of an alert that is over do not come again after this."""
_STATE: Final = "state"


@dataclass(slots=True)
class _Lease:
    """What the worker has while it is the one that acts."""

    state: ActState
    alerts: AlertTable
    notifications: NotificationQueues
    scripts: ScriptQueues
    change: int
    """Number of the newest change of the state."""
    saved_change: int
    finished: set[str]
    """Keys of what was finished after the state was saved that this worker began with."""
    decided: list[tuple[int, int, Notification | ScriptRun]] = field(default_factory=list)
    """Change, time, and what is begun once that change is saved."""
    next_look_s: float = 0.0
    next_save_s: float = 0.0


class ActStage:
    """Notifies people and runs scripts, as scenarios say.

    Parameters
    ----------
    settings, metrics
        Of the process.

    Raises
    ------
    SettingsError
        When the key file of secrets cannot be used.
    """

    name = STAGE
    source_topic = topics.POLICIES

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.group = settings[KafkaSettings].group(STAGE)
        self._settings = settings
        self._act = settings[ActSettings]
        self._families = ActFamilies(metrics)
        self._secrets = Secrets(secrets_dir=self._act.secrets_dir, secrets_key_file=self._act.secrets_key_file)
        self._producer = RecordProducer(settings[KafkaSettings])
        self._snapshots = SnapshotStore(STAGE, STATE_VERSION, settings, metrics, results=self._producer, interval_s=0.0)
        self._policies = PolicyTable(
            settings[KafkaSettings], metrics, STAGE, {kind: partial(policy_of, kind) for kind in KINDS}
        )
        self._dead_letters = DeadLetterWriter(STAGE, topics.ALERTS, self._producer, metrics)
        self._lease: _Lease | None = None
        self._lagging: set[int] = set()
        """Partitions of ``alerts`` whose lag is shown: another worker's is right once the lease is its."""
        self._failure: BaseException | None = None
        self._context: StageContext | None = None

    async def start(self, context: StageContext) -> None:
        """Keep the runtime's context, and read all policies before anything is decided."""
        self._context = context
        await asyncio.to_thread(self._policies.start, READ_TIMEOUT_S)

    async def assigned(self, partitions: frozenset[int]) -> Mapping[int, int]:
        """Become the worker that acts, where the lease is among the partitions; begin again what was not finished."""
        await self._release()
        if LEASE not in partitions:
            return {}
        log_id = await asyncio.to_thread(topic_id, self._settings[KafkaSettings], topics.ALERTS, READ_TIMEOUT_S)
        snapshot = (await self._snapshots.read({LEASE}))[LEASE]
        state = _restored(snapshot, log_id)
        finished: set[str] = set()
        if state.saved_ms:
            since_ms = state.saved_ms - CLOCKS_DIFFER_MS
            finished = await asyncio.to_thread(finished_keys, self._settings[KafkaSettings], since_ms, READ_TIMEOUT_S)
        for key in finished:
            state.pending.finish(key)
        alerts = AlertTable(self._settings[KafkaSettings], STAGE)
        await asyncio.to_thread(alerts.start, state.next_offsets, READ_TIMEOUT_S)
        change = 0 if snapshot is None else snapshot.offset
        notifications, scripts = self._notification_queues(), self._script_queues(state)
        self._lease = _Lease(state, alerts, notifications, scripts, change, change, finished)
        for decided_ms, notification in state.pending.notifications:
            self._begin(self._lease, decided_ms, notification)
        for decided_ms, script_run in state.pending.script_runs:
            self._begin(self._lease, decided_ms, script_run)
        logger.info("this worker acts: %d alerts are open", len(state.actions.alerts))
        return {}

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Save where it stands, and let another worker act."""
        lease = self._lease
        await self._release()
        if lease is not None:
            await self._snapshots.save({LEASE: _snapshot(lease)}, SAVE_TIMEOUT_S)

    async def process(self, columns: RecordColumns) -> None:
        """Note how far ``policies`` was read; what stands there is followed by a thread."""
        if self._context is not None:
            await self._context.commit({columns.partition: columns.next_offset})

    async def tick(self, now_ms: int) -> None:
        """Take alerts, decide what is due, save it, and begin what is saved."""
        if self._failure is not None:
            raise self._failure
        lease = self._lease
        if lease is None:
            return
        if self._take(lease, now_ms) or time.monotonic() >= lease.next_look_s:
            self._look(lease, now_ms)
        lease.scripts.look_at_approvals()
        await self._save(lease)
        self._begin_saved(lease)
        self._families.active_alerts.labels(STAGE).set(len(lease.state.actions.alerts))
        self._families.pending_actions.labels(STAGE).set(len(lease.state.pending))
        for partition, waiting in lease.alerts.waiting(lease.state.next_offsets).items():
            self._lagging.add(partition)
            self._families.common.lag_records.labels(STAGE, topics.ALERTS, str(partition)).set(waiting)

    async def stop(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._policies.close)
        await self._snapshots.close()
        await asyncio.to_thread(self._producer.close, CLOSE_TIMEOUT_S)

    def _take(self, lease: _Lease, now_ms: int) -> bool:
        """Take what has come; return whether there was anything.

        Between two events of one alert everything is decided that was due before the second, so that what happens while
        nobody acts is notified as it would have been; what is too old for that is passed over.
        """
        records = lease.alerts.take(MOST_TAKEN)
        seen: set[str] = set()
        rules = self._rules()
        for record in records:
            lease.state.next_offsets[record.partition] = record.offset + 1
            event = self._event(record)
            if event is None:
                continue
            time_ms = min(record.time_ms, now_ms)
            if event.alert_id in seen and not is_too_old(Turn(time_ms, now_ms), self._act.notify_within_ms):
                self._decide(lease, lease.state.actions.due(rules, time_ms), rules, time_ms)
                seen.clear()
            seen.add(event.alert_id)
            self._decide(lease, lease.state.actions.take(event, rules, time_ms), rules, time_ms)
        lease.change += bool(records)
        return bool(records)

    def _event(self, record: TailedRecord) -> AlertEvent | None:
        try:
            return AlertEvent.model_validate_json(record.value)
        except ValidationError as error:
            text = f"is no alert: {error.errors(include_url=False, include_input=False)[0]['msg']}"
            reason = DeadLetterReason.PARSE_SYNTAX
            self._dead_letters.reject(record.partition, record.offset, reason, text, record.value)
            return None

    def _look(self, lease: _Lease, now_ms: int) -> None:
        """Decide what is due by the clock, unless alerts of the past are still to come."""
        if not lease.alerts.is_caught_up:
            return
        begun_s = time.monotonic()
        rules = self._rules()
        self._decide(lease, lease.state.actions.due(rules, now_ms), rules, now_ms)
        lease.state.actions.alerts.forget(now_ms - FORGET_AFTER_MS)
        took_s = time.monotonic() - begun_s
        lease.next_look_s = time.monotonic() + max(LOOK_EVERY_S, IDLE_SHARE * took_s)

    def _decide(self, lease: _Lease, decisions: "list[Decision] | list[Skip]", rules: ActionRules, now_ms: int) -> None:
        if not decisions:
            return
        lease.change += 1
        for decision in decisions:
            if isinstance(decision, Skip):
                self._write(skip_record(decision, rules, now_ms), "none")
            elif decision.key not in lease.finished:
                lease.state.pending.add(decision, now_ms)
                lease.decided.append((lease.change, now_ms, decision))

    async def _save(self, lease: _Lease) -> None:
        """Begin to save the state if it has changed, and note what is saved."""
        lease.saved_change = self._snapshots.saved().get(LEASE, lease.saved_change)
        begun_s = time.monotonic()
        if begun_s >= lease.next_save_s and self._snapshots.due({LEASE: lease.change}) is not None:
            snapshot = _snapshot(lease)
            lease.next_save_s = begun_s + IDLE_SHARE * (time.monotonic() - begun_s)
            await self._snapshots.begin(LEASE, snapshot)

    def _begin_saved(self, lease: _Lease) -> None:
        waiting = lease.decided
        lease.decided = [each for each in waiting if each[0] > lease.saved_change]
        for change, decided_ms, decision in waiting:
            if change <= lease.saved_change:
                self._begin(lease, decided_ms, decision)

    def _begin(self, lease: _Lease, decided_ms: int, decision: Notification | ScriptRun) -> None:
        if isinstance(decision, Notification):
            lease.notifications.send(decision, decided_ms)
        else:
            lease.scripts.run(decision, decided_ms)

    async def _release(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            await lease.notifications.close()
            await lease.scripts.close()
            await asyncio.to_thread(lease.alerts.close)
        self._families.common.forget_partitions(STAGE, topics.ALERTS, self._lagging)
        self._lagging = set()

    def _finish(self, key: str) -> None:
        if self._lease is not None:
            self._lease.state.pending.finish(key)
            self._lease.change += 1

    def _rules(self) -> ActionRules:
        of = self._policies.policies
        suppression = SuppressionRules(
            silences=list(of("silence").values()),
            maintenance=list(of("maintenance").values()),
            inhibitions=list(of("inhibition").values()),
            acknowledgements=of("acknowledgement"),
        )
        return ActionRules(of("trigger"), of("scenario"), suppression)

    def _notification_queues(self) -> NotificationQueues:
        return NotificationQueues(
            self._act,
            partial(self._policies.policies, "channel"),
            self._secrets.value,
            may_send=self._lease_is_sure,
            on_attempt=lambda notification, attempt: self._note(notification_record(notification, attempt), attempt),
            on_finished=self._finish,
            on_failure=self._fail,
        )

    def _script_queues(self, state: ActState) -> ScriptQueues:
        def scripts() -> Scripts:
            return Scripts(self._policies.policies("script"), self._policies.policies("approval"))

        return ScriptQueues(
            self._act,
            state.guards,
            scripts,
            is_open=lambda alert_id: state.actions.alerts.get(alert_id) is not None,
            may_run=self._lease_is_sure,
            on_attempt=lambda run, attempt: self._note(script_run_record(run, attempt), attempt),
            on_finished=self._finish,
            on_failure=self._fail,
        )

    async def _lease_is_sure(self) -> None:
        """Return when the worker is surely the one that acts."""
        while self._context is None or not self._context.owns_partitions():  # noqa: ASYNC110  there is no event to wait for
            await asyncio.sleep(LOOK_EVERY_S)

    def _fail(self, error: BaseException) -> None:
        self._failure = error

    def _note(self, action: Action, attempt: Attempt) -> None:
        channel = self._policies.policies("channel").get(action.channel or "")
        kind = "script" if action.script is not None else "none" if channel is None else channel.type
        if attempt.number:
            self._families.action_seconds.labels(STAGE).observe(attempt.duration_ms / 1000)
        self._write(action, kind)

    def _write(self, action: Action, kind: str) -> None:
        self._families.actions.labels(STAGE, kind, action.outcome.value, action.reason.value).inc()
        self._producer.produce(topics.ACTIONS, key=action.resource.encode(), value=action.to_json())


def _snapshot(lease: _Lease) -> Snapshot:
    return Snapshot(lease.change, records={_STATE: lease.state.to_bytes(now_ms())})


def _restored(snapshot: Snapshot | None, log_id: str) -> ActState:
    """Return the state to go on with; one that is of another log of ``alerts`` is not used."""
    if snapshot is None:
        return ActState(log_id=log_id)
    try:
        state = ActState.from_bytes(snapshot.records.get(_STATE, b""))
    except ActStateError as error:
        logger.error("%s; open alerts are found again from the earliest record there is", error)  # noqa: TRY400
        return ActState(log_id=log_id)
    if state.log_id and log_id and state.log_id != log_id:
        logger.error("%s was made anew since the state was saved: it is begun again", topics.ALERTS)
        return ActState(log_id=log_id)
    return state
