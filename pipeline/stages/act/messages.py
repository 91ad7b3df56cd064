"""Messages to channels: each channel on its own, with attempts that are bounded, counted and recorded."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from pipeline.channels.base import NotDelivered
from pipeline.channels.compose import AlertGroup, compose
from pipeline.channels.factory import OpenSecret, open_channel
from pipeline.core.actions.decisions import Message
from pipeline.settings.act import ActSettings
from pipeline.stages.act.records import Attempt, now_ms
from pipeline.stages.act.work_queue import Lane, known
from schemas.action import ActionReason, Outcome
from schemas.channel import Channel

__all__ = ["ChannelMessages"]

GIVEN_UP_AFTER: Final = 3
"""How many of a channel's time-outs a whole attempt may take: for the connection, for each answer."""
LONGER_EACH: Final = 3


class ChannelMessages:
    """Sends messages; one channel that is slow or dead holds up no other.

    While a channel fails, its first message is tried again and the others wait, each time longer.

    Parameters
    ----------
    act
        The settings.
    channels
        Gives the channels as they are now, by id.
    secret
        Opens their secrets.
    may_send
        Returns once the worker may send: it may not while its lease is in doubt.
    on_attempt, on_finished
        Told of each attempt, and of each message that nothing more is done about.
    on_failure
        Told of a bug.
    """

    def __init__(
        self,
        act: ActSettings,
        channels: Callable[[], Mapping[str, Channel]],
        secret: OpenSecret,
        *,
        may_send: Callable[[], Awaitable[None]],
        on_attempt: Callable[[Message, Attempt], None],
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
        self._lanes: dict[str, Lane[tuple[int, Message]]] = {}

    def send(self, message: Message, decided_ms: int) -> None:
        """Send a message when its channel's turn comes."""
        lane = self._lanes.get(message.channel)
        if lane is None:
            do = partial(self._deliver, message.channel)
            lane = Lane(message.channel, do, self._act.queue_messages, self._on_failure)
            self._lanes[message.channel] = lane
        if not lane.put((decided_ms, message)):
            text = f"{self._act.queue_messages} messages wait for the channel already"
            self._end(message, Outcome.FAILED, ActionReason.UNAVAILABLE, text)

    async def close(self) -> None:
        """Give up what waits: it stays undone, for the next owner."""
        for lane in self._lanes.values():
            await lane.close()
        self._lanes = {}

    async def _deliver(self, name: str, waiting: tuple[int, Message]) -> None:
        decided_ms, message = waiting
        lane = self._lanes[name]
        channel = await known(self._channels, name, decided_ms)
        if channel is None:
            self._end(message, Outcome.FAILED, ActionReason.UNKNOWN, f"there is no channel {name}")
        elif not channel.enabled:
            self._end(message, Outcome.SUPPRESSED, ActionReason.DISABLED, f"channel {name} is disabled")
        elif now_ms() - decided_ms > self._act.tell_within_ms:
            self._end(message, Outcome.FAILED, ActionReason.TIMEOUT, "it has waited longer than act.tell_within_s")
        else:
            await self._try(lane, message, channel)

    async def _try(self, lane: Lane[tuple[int, Message]], message: Message, channel: Channel) -> None:
        await asyncio.sleep(self._pause_s(lane))
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, NotDelivered) and error.can_retry),
            stop=stop_after_attempt(channel.attempts),
            wait=partial(self._wait_s, lane),
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    await self._attempt(lane, message, channel, attempt.retry_state.attempt_number)
        except NotDelivered:
            pass  # each attempt is recorded where it failed
        self._on_finished(message.key)

    async def _attempt(self, lane: Lane[tuple[int, Message]], message: Message, channel: Channel, number: int) -> None:
        await self._may_send()
        begun_ms, begun_s = now_ms(), time.monotonic()

        def attempt(outcome: Outcome, reason: ActionReason, text: str, *, retry: bool = False) -> Attempt:
            duration_ms = round(1000 * (time.monotonic() - begun_s))
            return Attempt(outcome, reason, begun_ms, text, number, retry, duration_ms)

        try:
            said = await self._sent(lane, message, self._channels().get(channel.id, channel))
        except NotDelivered as error:
            lane.failures = lane.failures + 1 if error.can_retry else 0
            retry = error.can_retry and number < channel.attempts
            self._on_attempt(message, attempt(Outcome.FAILED, error.reason, error.text, retry=retry))
            raise
        lane.failures = 0
        self._on_attempt(message, attempt(Outcome.SENT, message.items[0].reason, said))

    async def _sent(self, lane: Lane[tuple[int, Message]], message: Message, channel: Channel) -> str:
        """Send a message; return what there is to say about it."""
        announcement = AlertGroup(
            key=message.key,
            alerts=tuple(item.event for item in message.items),
            is_repeated=all(item.reason is ActionReason.REPEATED for item in message.items),
            recipients=message.to,
        )

        def send() -> str:
            words, note = compose(announcement, channel)
            said = open_channel(channel, self._secret, self._act.ssl_ca_file).send(words)
            return "; ".join(part for part in (said, note) if part)

        try:
            return await lane.calls.call(send, GIVEN_UP_AFTER * channel.timeout.total_seconds())
        except TimeoutError:
            text = "it took too long, and is waited for no more"
            raise NotDelivered(ActionReason.TIMEOUT, text, can_retry=True) from None

    def _end(self, message: Message, outcome: Outcome, reason: ActionReason, text: str) -> None:
        self._on_attempt(message, Attempt(outcome, reason, now_ms(), text))
        self._on_finished(message.key)

    def _wait_s(self, lane: Lane[tuple[int, Message]], state: RetryCallState) -> float:
        """Return how long to wait: longer each time, or as long as the server asked."""
        error = state.outcome.exception() if state.outcome is not None else None
        asked_s = (error.retry_after_s if isinstance(error, NotDelivered) else None) or 0.0
        return max(asked_s, self._pause_s(lane))

    def _pause_s(self, lane: Lane[tuple[int, Message]]) -> float:
        if not lane.failures:
            return 0.0
        longer = float(LONGER_EACH ** min(lane.failures - 1, 10))
        return min(self._act.first_retry_s * longer, self._act.longest_retry_s)
