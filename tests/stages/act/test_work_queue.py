import asyncio
import threading

import pytest

from pipeline.stages.act.work_queue import BlockingCalls, WorkQueue


def test_a_call_that_was_given_up_is_waited_for_before_the_next() -> None:
    goes_on = threading.Event()
    running: list[int] = []

    def slow() -> str:
        running.append(1)
        goes_on.wait(10)
        running.remove(1)
        return "late"

    async def run() -> str:
        calls = BlockingCalls()
        with pytest.raises(TimeoutError):
            await calls.call(slow, 0.05)
        with pytest.raises(TimeoutError):
            await calls.call(lambda: "never begun", 0.05)
        assert running == [1]
        goes_on.set()
        return await calls.call(lambda: f"{len(running)} others run", 10)

    assert asyncio.run(run()) == "0 others run"


def test_an_error_of_a_call_is_its_own() -> None:
    def wrong() -> None:
        raise ValueError("wrong")

    async def run() -> None:
        calls = BlockingCalls()
        with pytest.raises(ValueError, match="wrong"):
            await calls.call(wrong, 10)
        assert await calls.call(lambda: 1, 10) == 1

    asyncio.run(run())


def test_a_work_queue_does_one_after_the_other_and_takes_so_many() -> None:
    async def run() -> None:
        done: list[int] = []
        begins, goes_on, is_done = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def do(number: int) -> None:
            begins.set()
            await goes_on.wait()
            done.append(number)
            if number == 3:
                is_done.set()

        queue = WorkQueue("test", do, 2, lambda error: pytest.fail(repr(error)))
        assert queue.put(1)
        await begins.wait()
        assert [queue.put(2), queue.put(3), queue.put(4)] == [True, True, False]
        assert done == []
        goes_on.set()
        await is_done.wait()
        assert done == [1, 2, 3]
        await queue.close()

    asyncio.run(run())


def test_a_bug_is_reported_and_ends_the_work_queue() -> None:
    async def run() -> list[BaseException]:
        reported: list[BaseException] = []
        is_reported = asyncio.Event()

        async def do(_: int) -> None:
            raise KeyError("bug")

        def on_failure(error: BaseException) -> None:
            reported.append(error)
            is_reported.set()

        queue = WorkQueue("test", do, 2, on_failure)
        queue.put(1)
        queue.put(2)
        await is_reported.wait()
        await queue.close()
        return reported

    assert [repr(error) for error in asyncio.run(run())] == ["KeyError('bug')"]
