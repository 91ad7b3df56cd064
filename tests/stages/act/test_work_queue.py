import asyncio
import threading

import pytest

from pipeline.stages.act.work_queue import BlockingCalls, Lane


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


def test_a_lane_does_one_after_the_other_and_takes_so_many() -> None:
    async def run() -> None:
        done: list[int] = []
        begins, goes_on, is_done = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def do(number: int) -> None:
            begins.set()
            await goes_on.wait()
            done.append(number)
            if number == 3:
                is_done.set()

        lane = Lane("test", do, 2, lambda error: pytest.fail(repr(error)))
        assert lane.put(1)
        await begins.wait()
        assert [lane.put(2), lane.put(3), lane.put(4)] == [True, True, False]
        assert done == []
        goes_on.set()
        await is_done.wait()
        assert done == [1, 2, 3]
        await lane.close()

    asyncio.run(run())


def test_a_bug_is_told_and_ends_the_lane() -> None:
    async def run() -> list[BaseException]:
        told: list[BaseException] = []
        is_told = asyncio.Event()

        async def do(_: int) -> None:
            raise KeyError("bug")

        def on_failure(error: BaseException) -> None:
            told.append(error)
            is_told.set()

        lane = Lane("test", do, 2, on_failure)
        lane.put(1)
        lane.put(2)
        await is_told.wait()
        await lane.close()
        return told

    assert [repr(error) for error in asyncio.run(run())] == ["KeyError('bug')"]
