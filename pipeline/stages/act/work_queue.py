"""The work queue of a channel or script: calls that block, one at a time, each in a thread that holds up nobody."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

from pipeline.stages.act.records import now_ms

__all__ = ["BlockingCalls", "WorkQueue", "known"]

T = TypeVar("T")

KNOWN_AFTER_MS: Final = 2000
LOOK_EVERY_S: Final = 0.2


async def known(documents: Callable[[], Mapping[str, T]], name: str, decided_ms: int) -> T | None:
    """Return the document of a name; for a decision of just now one is waited for, as it may just have been applied."""
    while (found := documents().get(name)) is None and now_ms() < decided_ms + KNOWN_AFTER_MS:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_EVERY_S)
    return found


class BlockingCalls:
    """Makes blocking calls, the next one only when the one before has ended, also one that timed out."""

    def __init__(self) -> None:
        self._last: asyncio.Future[Any] | None = None

    async def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Return what a function returns, called in a thread.

        Raises
        ------
        TimeoutError
            When it has not ended in time, or the one before has not; it goes on, and nobody waits for it.
        """
        async with asyncio.timeout(timeout_s):
            if self._last is not None:
                await asyncio.wait({self._last})
            self._last = _in_thread(function)
            return await asyncio.shield(self._last)


def _in_thread(function: Callable[[], T]) -> "asyncio.Future[T]":
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may wait for it any more

    def run() -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001  it is raised where the call is waited for
            _hand_over(loop, future.set_exception, error)
        else:
            _hand_over(loop, future.set_result, result)

    threading.Thread(target=run, name="act-call", daemon=True).start()
    return future


def _hand_over(loop: asyncio.AbstractEventLoop, take: Callable[[Any], None], value: object) -> None:
    with suppress(RuntimeError):  # the loop is closed: the worker ends
        loop.call_soon_threadsafe(take, value)


class WorkQueue(Generic[T]):
    """What waits for one channel or script, in order; a task takes one after the other.

    Parameters
    ----------
    name
        For the task.
    do
        Does one.
    most
        How many may wait.
    on_failure
        Called with the error of a bug in ``do``; nothing more is done then.
    """

    def __init__(
        self, name: str, do: Callable[[T], Awaitable[None]], most: int, on_failure: Callable[[BaseException], None]
    ) -> None:
        self.calls = BlockingCalls()
        self.failures = 0
        """How often the last attempts have failed, one after the other."""
        self._do = do
        self._on_failure = on_failure
        self._waiting: asyncio.Queue[T] = asyncio.Queue(most)
        self._task = asyncio.create_task(self._work(), name=f"act-{name}")

    def put(self, each: T) -> bool:
        """Add one; return False when as many wait as may."""
        try:
            self._waiting.put_nowait(each)
        except asyncio.QueueFull:
            return False
        return True

    async def close(self) -> None:
        """End the task, whatever it waits for."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _work(self) -> None:
        while True:
            each = await self._waiting.get()
            try:
                await self._do(each)
            except Exception as error:  # noqa: BLE001  the supervisor of this task: the stage ends the process
                self._on_failure(error)
                return
