"""Notifications to channels: each channel on its own, with attempts that are bounded, counted and recorded."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from pipeline.channels.base import NotDelivered, OpenSecret
from pipeline.channels.compose import AlertGroup, compose
from pipeline.channels.factory import open_channel
from pipeline.core.actions.attempts import Result, Turn, notification_result, pause_s
from pipeline.core.actions.decisions import Notification
from pipeline.stages.act.records import Attempt, now_ms
from pipeline.stages.act.settings import ActSettings
from pipeline.stages.act.work_queue import WorkQueue, known
from schemas.action import ActionReason, Outcome
from schemas.channel import Channel

__all__ = ["NotificationQueues"]

GIVEN_UP_AFTER: Final = 3
"""How many of a channel's time-outs a whole attempt may take: for the connection, for each answer."""


class NotificationQueues:
    """Sends notifications; one channel that is slow or dead holds up no other.

    While a channel fails, its first notification is tried again and the others wait, each time longer.

    Parameters
    ----------
    act
        The settings.
    channels
        Returns the channels as they are now, by id.
    secret
        Opens their secrets.
    may_send
        Returns once the worker may send: it may not while its lease is in doubt.
    on_attempt, on_finished
        Called with each attempt, and with the key of each notification that nothing more is done about.
    on_failure
        Called with the error of a bug.
    """

    def __init__(
        self,
        act: ActSettings,
        channels: Callable[[], Mapping[str, Channel]],
        secret: OpenSecret,
        *,
        may_send: Callable[[], Awaitable[None]],
        on_attempt: Callable[[Notification, Attempt], None],
        on_finished: Callable[[str], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._act = act
        self._channels = channels
        self._secret = secret
        self._may_send = may_send
        self._on_attempt = on_attempt
        self._on_finished = on_finished
        self._on_failure = on_failure
        self._queues: dict[str, WorkQueue[tuple[int, Notification]]] = {}

    def send(self, notification: Notification, decided_ms: int) -> None:
        """Send a notification when its channel's turn comes."""
        queue = self._queues.get(notification.channel)
        if queue is None:
            do = partial(self._deliver, notification.channel)
            queue = WorkQueue(notification.channel, do, self._act.queue_messages, self._on_failure)
            self._queues[notification.channel] = queue
        if not queue.put((decided_ms, notification)):
            text = f"{self._act.queue_messages} notifications wait for the channel already"
            self._end(notification, Result(Outcome.FAILED, ActionReason.UNAVAILABLE, text))

    async def close(self) -> None:
        """Release what waits: it stays undone, for the next owner."""
        for queue in self._queues.values():
            await queue.close()
        self._queues = {}

    async def _deliver(self, name: str, waiting: tuple[int, Notification]) -> None:
        decided_ms, notification = waiting
        queue = self._queues[name]
        channel = await known(self._channels, name, decided_ms)
        result = notification_result(name, channel, Turn(decided_ms, now_ms()), self._act.notify_within_ms)
        if result is not None:
            self._end(notification, result)
        elif channel is not None:
            await self._try(queue, notification, channel)

    async def _try(
        self, queue: WorkQueue[tuple[int, Notification]], notification: Notification, channel: Channel
    ) -> None:
        await asyncio.sleep(self._pause_s(queue))
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, NotDelivered) and error.can_retry),
            stop=stop_after_attempt(channel.attempts),
            wait=partial(self._wait_s, queue),
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    await self._attempt(queue, notification, channel, attempt.retry_state.attempt_number)
        except NotDelivered:
            pass  # each attempt is recorded where it failed
        self._on_finished(notification.key)

    async def _attempt(
        self, queue: WorkQueue[tuple[int, Notification]], notification: Notification, channel: Channel, number: int
    ) -> None:
        await self._may_send()
        begun_ms, begun_s = now_ms(), time.monotonic()

        def attempt(outcome: Outcome, reason: ActionReason, text: str, *, retry: bool = False) -> Attempt:
            duration_ms = round(1000 * (time.monotonic() - begun_s))
            return Attempt(outcome, reason, begun_ms, text, number, retry, duration_ms)

        try:
            said = await self._sent(queue, notification, self._channels().get(channel.id, channel))
        except NotDelivered as error:
            queue.failures = queue.failures + 1 if error.can_retry else 0
            retry = error.can_retry and number < channel.attempts
            self._on_attempt(notification, attempt(Outcome.FAILED, error.reason, error.text, retry=retry))
            raise
        queue.failures = 0
        self._on_attempt(notification, attempt(Outcome.SENT, notification.items[0].reason, said))

    async def _sent(
        self, queue: WorkQueue[tuple[int, Notification]], notification: Notification, channel: Channel
    ) -> str:
        """Send a notification; return what there is to say about it."""
        alerts = AlertGroup(
            key=notification.key,
            alerts=tuple(item.event for item in notification.items),
            is_repeated=all(item.reason is ActionReason.REPEATED for item in notification.items),
            recipients=notification.to,
        )

        def send() -> str:
            words, note = compose(alerts, channel)
            said = open_channel(channel, self._secret, self._act.ssl_ca_file).send(words)
            return "; ".join(part for part in (said, note) if part)

        try:
            return await queue.calls.call(send, GIVEN_UP_AFTER * channel.timeout.total_seconds())
        except TimeoutError:
            text = "it took too long, and is waited for no more"
            raise NotDelivered(ActionReason.TIMEOUT, text, can_retry=True) from None

    def _end(self, notification: Notification, result: Result) -> None:
        outcome, reason, text = result
        self._on_attempt(notification, Attempt(outcome, reason, now_ms(), text))
        self._on_finished(notification.key)

    def _wait_s(self, queue: WorkQueue[tuple[int, Notification]], state: RetryCallState) -> float:
        """Return how long to wait: longer each time, or as long as the server asked."""
        error = state.outcome.exception() if state.outcome is not None else None
        asked_s = (error.retry_after_s if isinstance(error, NotDelivered) else None) or 0.0
        return max(asked_s, self._pause_s(queue))

    def _pause_s(self, queue: WorkQueue[tuple[int, Notification]]) -> float:
        return pause_s(queue.failures, first_s=self._act.first_retry_s, longest_s=self._act.longest_retry_s)
