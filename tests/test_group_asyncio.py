"""``async with Group()``: the group in asyncio, and in anyio on asyncio."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading

import anyio
import pytest

import pygostop as gs
from support import WAIT


def forever(ended: list[str]) -> None:
    try:
        gs.Chan().recv()
    finally:
        ended.append("t")


def fail(error: BaseException) -> None:
    raise error


def test_async_with_waits_without_holding_up_the_loop() -> None:
    async def main() -> tuple[int, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticker = asyncio.ensure_future(tick())
        async with gs.Group() as group:
            task = group.go(lambda: (gs.sleep(0.05), 7)[1])
        ticker.cancel()
        return task.result(0), ticks

    result, ticks = asyncio.run(main())
    assert result == 7 and ticks > 2


def test_a_failure_ends_an_async_body_that_awaits_something_of_asyncios() -> None:
    async def main() -> None:
        async with gs.Group() as group:
            group.go(lambda: (gs.sleep(0.01), fail(ValueError("x"))))
            await asyncio.sleep(WAIT)
            pytest.fail("the body went on")

    async def around() -> int:
        with pytest.raises(ExceptionGroup) as caught:
            await main()
        assert isinstance(caught.value.exceptions[0], ValueError)
        await asyncio.sleep(0)  # no cancel is left over
        return asyncio.current_task().cancelling()

    assert asyncio.run(around()) == 0


def test_a_failure_whose_cancel_was_not_delivered_leaves_none_behind() -> None:
    async def main() -> int:
        failed = threading.Event()
        with pytest.raises(ExceptionGroup):
            async with gs.Group() as group:
                group.go(fail, ValueError("x")).add_done_callback(lambda _: failed.set())
                await asyncio.sleep(0)
                failed.wait(WAIT)
        await asyncio.sleep(0.01)
        return asyncio.current_task().cancelling()

    assert asyncio.run(main()) == 0


def test_a_cancel_of_the_asyncio_task_stops_the_tasks_and_passes_alone() -> None:
    ended: list[str] = []

    async def body() -> None:
        async with gs.Group() as group:
            group.go(forever, ended)
            await asyncio.sleep(WAIT)

    async def main() -> None:
        task = asyncio.ensure_future(body())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(main())
    assert ended == ["t"]


@pytest.mark.parametrize("times", [1, 3])
def test_a_cancel_while_the_async_block_waits_still_waits_for_the_tasks(times: int) -> None:
    ended: list[int] = []

    def slow() -> None:
        try:
            gs.Chan().recv()
        finally:
            with gs.shield():
                gs.sleep(0.02)
            ended.append(1)

    async def body() -> None:
        async with gs.Group() as group:
            group.go(slow)

    async def main() -> None:
        task = asyncio.ensure_future(body())
        await asyncio.sleep(0.01)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [1]

    asyncio.run(main())


def test_asyncio_timeout_around_a_group() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02), gs.Group() as group:
                group.go(forever, [])

    asyncio.run(main())


def test_a_scope_of_pygostop_around_an_async_group() -> None:
    async def main() -> None:
        with gs.move_on_after(0.02) as scope:
            async with gs.Group() as group:
                group.go(forever, [])
                await asyncio.sleep(WAIT)
        assert scope.cancelled
        await asyncio.sleep(0)
        assert asyncio.current_task().cancelling() == 0

    asyncio.run(main())


def test_group_cancel_ends_an_async_block_quietly() -> None:
    async def main() -> None:
        async with gs.Group() as group:
            group.go(forever, [])
            asyncio.get_running_loop().call_later(0.01, group.cancel)
            await asyncio.sleep(WAIT)
            pytest.fail("the body went on")
        await asyncio.sleep(0)

    asyncio.run(main())


def test_a_group_between_an_asyncio_task_group_and_its_tasks() -> None:
    ended: list[str] = []

    async def worker() -> None:
        async with gs.Group() as group:
            group.go(forever, ended)

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker())
            await asyncio.sleep(0.01)
            raise ValueError("body")

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert [type(e) for e in caught.value.exceptions] == [ValueError]
    assert ended == ["t"]


def test_go_async_waits_for_a_place_without_holding_up_the_loop() -> None:
    async def main() -> list[int]:
        async with gs.Group(limit=1) as group:
            # Each needs the loop to go on: a go that blocked it would never end.
            loop = asyncio.get_running_loop()

            def work(n: int) -> int:
                return asyncio.run_coroutine_threadsafe(asyncio.sleep(0, n), loop).result()

            return [await (await group.go_async(work, n, thread=True)) for n in range(5)]

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


def test_a_go_async_that_is_cancelled_takes_no_place() -> None:
    async def main() -> None:
        gate = gs.Chan()
        async with gs.Group(1) as group:
            group.go(gate.recv)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await group.go_async(int)
            await gate.send_async(1)
            assert await (await group.go_async(int, "6")) == 6

    asyncio.run(main())


def test_an_async_leave_of_a_plain_group_is_refused() -> None:
    async def main() -> None:
        with gs.Group() as group:
            with pytest.raises(RuntimeError, match="async with"):
                await group.__aexit__(None, None, None)

    asyncio.run(main())


def test_leaving_out_of_order_or_elsewhere_is_refused_and_changes_nothing() -> None:
    """With a scope still open, in another asyncio task, in another loop."""
    gate: gs.Chan[int] = gs.Chan(1)
    group = gs.Group()

    async def leave() -> None:
        with pytest.raises(RuntimeError, match="not the innermost scope here"):
            await group.__aexit__(None, None, None)

    async def main() -> gs.Task:
        await group.__aenter__()
        task = group.go(gate.recv)
        with gs.cancel_scope():
            await leave()
        await asyncio.create_task(leave(), context=contextvars.Context())
        await asyncio.to_thread(contextvars.Context().run, asyncio.run, leave())
        gate.send_nowait(3)
        await group.__aexit__(None, None, None)
        return task

    assert asyncio.run(main()).result() == 3


def test_a_failure_still_ends_the_body_after_a_leave_that_was_refused() -> None:
    async def main() -> None:
        async with gs.Group() as group:
            with gs.cancel_scope(), pytest.raises(RuntimeError):
                await group.__aexit__(None, None, None)
            group.go(fail, ValueError("x"))
            await asyncio.sleep(10 * WAIT)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert [repr(error) for error in caught.value.exceptions] == ["ValueError('x')"]


def test_ctrl_c_in_asyncio_run_stops_the_groups_tasks() -> None:
    ended: list[str] = []

    async def main() -> None:
        async with gs.Group() as group:
            group.go(forever, ended)
            asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
            await asyncio.sleep(WAIT)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert ended == ["t"]


def test_anyio_cancels_a_group() -> None:
    ended: list[str] = []

    async def main() -> None:
        with anyio.move_on_after(0.02) as scope:
            async with gs.Group() as group:
                group.go(forever, ended)
                await anyio.sleep(WAIT)
        assert scope.cancelled_caught

    anyio.run(main, backend="asyncio")
    assert ended == ["t"]
