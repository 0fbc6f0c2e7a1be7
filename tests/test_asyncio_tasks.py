"""Tasks in asyncio and anyio: awaiting them, from one loop and several, and stopping from either side."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest

import pygostop as gs
from pygostop import tasks
from support import WAIT, Probe, eventually

Run = Callable[[str], subprocess.CompletedProcess[str]]
Start = Callable[[], gs.Task]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """asyncio.run with a limit, so that a hang is a failure."""

    async def limited() -> Any:
        async with asyncio.timeout(WAIT):
            return await main

    return asyncio.run(limited())


@pytest.fixture(params=["C task", "Python task", "task with a thread"])
def endless(request: pytest.FixtureRequest) -> Start:
    """Starts a task that ends when it is asked to."""
    return {
        "C task": lambda: gs.go(tasks.spin, 100.0),
        "Python task": lambda: gs.go(gs.sleep, 100),
        "task with a thread": lambda: gs.go(gs.sleep, 100, thread=True),
    }[str(request.param)]


@pytest.fixture(params=["C task", "Python task", "task with a thread"])
def gated(request: pytest.FixtureRequest, probe: Probe) -> Callable[[gs.Chan[int]], gs.Task]:
    """Starts a task that gives the int that comes on a channel."""
    return {
        "C task": lambda gate: gs.go(probe.recv_one, gate),
        "Python task": lambda gate: gs.go(gate.recv),
        "task with a thread": lambda gate: gs.go(gate.recv, thread=True),
    }[str(request.param)]


async def waiting(awaitable: Awaitable[Any]) -> asyncio.Task[Any]:
    """An asyncio task that waits in it."""
    task = asyncio.ensure_future(awaitable)
    for _ in range(3):
        await asyncio.sleep(0)
    return task


async def await_it(task: gs.Task) -> Any:
    return await task


def cleans_up(begun: gs.Chan[None], ended: list[str]) -> None:
    """Takes its time to end when it is asked to."""
    try:
        begun.send(None)
        gs.sleep(100)
    finally:
        with gs.shield():
            gs.sleep(0.03)
        ended.append("cleaned up")


# ---- await ----


def test_await_gives_the_result_also_of_a_task_that_has_ended(probe: Probe) -> None:
    async def main() -> None:
        for task in (gs.go(probe.add, 1, 2), gs.go(len, "abc"), gs.go(len, "abc", thread=True)):
            assert await task == 3
            assert await task == 3

    run(main())


def test_await_raises_the_failure_with_its_traceback(probe: Probe) -> None:
    def fails() -> None:
        raise ValueError("broken")

    async def main() -> None:
        with pytest.raises(ValueError, match="broken") as caught:
            await gs.go(fails)
        assert caught.traceback[-1].name == "fails"
        with pytest.raises(gs.TaskFailed):
            await gs.go(probe.fail_with, 3, "no disk")

    run(main())


def test_await_of_a_cancelled_task_is_asyncios_cancelled_error(endless: Start) -> None:
    async def main() -> None:
        task = endless()
        awaiter = await waiting(await_it(task))
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError) as caught:
            await awaiter
        assert isinstance(caught.value.__cause__, gs.Error)
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_a_failure_that_is_a_cancelled_error_of_something_else_stays_that() -> None:
    """A task that failed because a future it waited for was cancelled was not cancelled itself."""

    def fails() -> None:
        raise concurrent.futures.CancelledError

    async def main() -> None:
        with pytest.raises(concurrent.futures.CancelledError):
            await gs.go(fails)

    run(main())


def test_many_coroutines_await_one_task(gated: Callable[[gs.Chan[int]], gs.Task]) -> None:
    async def main() -> None:
        gate: gs.Chan[int] = gs.Chan(0, int)
        task = gated(gate)
        awaiters = [await waiting(await_it(task)) for _ in range(20)]
        await gate.send_async(7)
        assert await asyncio.gather(*awaiters) == [7] * 20

    run(main())


def test_several_loops_await_one_task(gated: Callable[[gs.Chan[int]], gs.Task]) -> None:
    gate: gs.Chan[int] = gs.Chan(0, int)
    task = gated(gate)
    results: list[int] = []
    ready = threading.Barrier(5)

    async def main() -> None:
        awaiter = await waiting(await_it(task))
        ready.wait(WAIT)
        results.append(await awaiter)

    threads = [threading.Thread(target=run, args=(main(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    ready.wait(WAIT)
    gate.send(7)
    for thread in threads:
        thread.join(WAIT)
    assert results == [7] * 4


def test_a_loop_of_a_task_with_a_thread_awaits_other_tasks(probe: Probe) -> None:
    """And is stopped with its task: the scope reaches into the loop."""

    async def inner() -> int:
        return int(await gs.go(probe.add, 1, 2)) + int(await gs.go(len, "abc"))

    async def endless() -> None:
        with pytest.raises(gs.Cancelled):
            await gs.Chan().recv_async()
        raise ValueError("heard it")

    assert gs.go(asyncio.run, inner(), thread=True).result(WAIT) == 6
    task = gs.go(asyncio.run, endless(), thread=True)
    assert not task.wait(0.05)
    task.cancel()
    with pytest.raises(ValueError, match="heard it"):
        task.result(WAIT)


# ---- stopping ----


def test_cancelling_the_awaiter_stops_the_task_and_waits_for_its_end() -> None:
    async def main() -> None:
        ended: list[str] = []
        begun: gs.Chan[None] = gs.Chan()
        task = gs.go(cleans_up, begun, ended)
        await begun.recv_async()
        awaiter = await waiting(await_it(task))
        awaiter.cancel()
        await asyncio.sleep(0)
        awaiter.cancel()  # once more, while it cleans up
        with pytest.raises(asyncio.CancelledError):
            await awaiter
        assert ended == ["cleaned up"] and task.cancelled()
        with pytest.raises(concurrent.futures.CancelledError) as caught:
            task.result()
        assert str(caught.value.__cause__) == "the coroutine that awaited it was cancelled"

    run(main())


def test_timeout_wait_for_and_gather_stop_what_they_wait_for(endless: Start) -> None:
    async def main() -> None:
        task = endless()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await task
        assert task.cancelled()
        task = endless()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task, 0.02)
        assert task.cancelled()
        several = [endless() for _ in range(3)]
        gathered = await waiting(asyncio.gather(*several))
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered  # gather goes on at the first that ended
        assert all(task.ctx.err() for task in several)
        for task in several:
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())


def test_shield_lets_the_task_go_on(gated: Callable[[gs.Chan[int]], gs.Task]) -> None:
    async def main() -> None:
        gate: gs.Chan[int] = gs.Chan(0, int)
        task = gated(gate)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(await_it(task)), 0.02)
        await gate.send_async(7)
        assert await task == 7

    run(main())


def test_a_task_group_that_fails_stops_its_tasks(endless: Start) -> None:
    async def main() -> None:
        several = [endless() for _ in range(3)]
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                for task in several:
                    group.create_task(await_it(task))
                await asyncio.sleep(0)
                raise ValueError("broken")
        assert [type(error) for error in caught.value.exceptions] == [ValueError]
        assert all(task.cancelled() for task in several)

    run(main())


def test_a_task_group_is_stopped_by_a_task_that_fails(probe: Probe, endless: Start) -> None:
    async def main() -> None:
        task = endless()
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(await_it(task))
                group.create_task(await_it(gs.go(probe.fail_with, 3, "no disk")))
        assert [type(error) for error in caught.value.exceptions] == [gs.TaskFailed]
        assert task.cancelled()

    run(main())


def test_a_task_that_goes_on_to_its_end_gives_its_result_to_the_cancelled_awaiter(probe: Probe) -> None:
    """As a coroutine does that catches its CancelledError."""

    async def main() -> None:
        task = gs.go(probe.finish_anyway)
        while task.state != "parked":
            await asyncio.sleep(0.001)
        awaiter = await waiting(await_it(task))
        awaiter.cancel()
        assert await awaiter == 42

    run(main())


def test_a_cancel_after_the_end_is_not_swallowed(gated: Callable[[gs.Chan[int]], gs.Task]) -> None:
    """The task had ended, its coroutine had not gone on: as with a future, the cancel comes first."""

    async def main() -> None:
        gate: gs.Chan[int] = gs.Chan(0, int)
        task = gated(gate)
        awaiter = await waiting(await_it(task))
        gate.send(7)
        task.wait(WAIT)  # the loop stands still meanwhile
        awaiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await awaiter
        assert await task == 7

    run(main())


def test_a_done_scope_ends_the_await_and_leaves_the_task(endless: Start) -> None:
    async def main() -> None:
        task = endless()
        ctx, cancel = gs.with_cancel(gs.background())
        cancel()
        with ctx, pytest.raises(gs.Cancelled):
            await task
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_ctrl_c_in_asyncio_run_stops_the_awaited_tasks_and_waits_for_them(run_python: Run) -> None:
    done = run_python(
        """
        import asyncio, os, pygostop as gs, signal, threading
        from pygostop import tasks

        begun, ended = gs.Chan(), []
        def work():
            try:
                begun.send(1)
                gs.sleep(100)
            finally:
                with gs.shield():
                    gs.sleep(0.05)
                ended.append("cleaned up")

        async def main():
            async with asyncio.TaskGroup() as group:
                for task in (gs.go(work), gs.go(tasks.spin, 100.0), gs.go(work, thread=True)):
                    group.create_task(wait(task))
                await begun.recv_async()
                await begun.recv_async()
                threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()

        async def wait(task):
            await task

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted", ended, gs.all_tasks())
        """
    )
    assert (done.stdout, done.stderr) == ("interrupted ['cleaned up', 'cleaned up'] []\n", "")


def test_ctrl_c_in_asyncio_run_leaves_tasks_that_nobody_awaits_to_the_end(run_python: Run) -> None:
    done = run_python(
        """
        import asyncio, os, pygostop as gs, signal, threading
        from pygostop import tasks

        async def main():
            task = gs.go(gs.sleep, 100), gs.go(tasks.spin, 100.0)
            threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
            await asyncio.sleep(100)

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted", len(gs.all_tasks()))
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted 2\n", "")


def test_a_third_ctrl_c_leaves_a_task_that_does_not_stop(run_python: Run) -> None:
    begun = time.monotonic()
    done = run_python(
        """
        import asyncio, os, pygostop as gs, signal, threading, time
        from pygostop import tasks
        gs.configure(grace=0)

        async def main():
            task = gs.go(tasks.hog, 1000.0)
            threading.Thread(target=interrupt).start()
            await task

        def interrupt():
            for _ in range(3):
                time.sleep(0.4)
                os.kill(os.getpid(), signal.SIGINT)

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    assert time.monotonic() - begun < WAIT
    assert done.stdout == "interrupted\n"
    assert "pygostop: 1 task did not stop within 0 s: 'hog' (running)" in done.stderr


# ---- loops that close ----


def test_a_loop_that_closes_leaves_the_task_to_others(gated: Callable[[gs.Chan[int]], gs.Task]) -> None:
    gate: gs.Chan[int] = gs.Chan(0, int)
    task = gated(gate)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending!"
    awaiter = loop.create_task(await_it(task))
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    assert not awaiter.done()
    del awaiter, loop
    gc.collect()
    assert not task.done()
    gate.send(7)
    assert run(await_it(task)) == 7


def test_awaiting_in_a_loop_that_is_closed_is_a_runtime_error(probe: Probe) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    task = gs.go(probe.add, 1, 2)
    coroutine = await_it(task)
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_until_complete(coroutine)
    coroutine.close()
    assert task.result(WAIT) == 3


def test_awaiting_without_a_loop_is_a_runtime_error(endless: Start) -> None:
    task = endless()
    with pytest.raises(RuntimeError, match="loop"):
        await_it(task).send(None)
    task.cancel()
    assert task.wait(WAIT)
    with pytest.raises(asyncio.CancelledError):
        await_it(task).send(None)  # it has ended: nothing to wait for


def test_a_coroutine_that_is_dropped_leaves_the_task(endless: Start) -> None:
    async def main() -> None:
        task = endless()
        coroutine = await_it(task)
        coroutine.send(None)
        coroutine.close()
        await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


# ---- done callbacks ----


def test_done_callbacks_reach_a_loop_with_call_soon_threadsafe(
    gated: Callable[[gs.Chan[int]], gs.Task],
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        here, done = threading.get_ident(), loop.create_future()
        gate: gs.Chan[int] = gs.Chan(0, int)
        task = gated(gate)

        def on_loop(ended: gs.Task) -> None:
            done.set_result((ended.result(), threading.get_ident()))

        task.add_done_callback(lambda ended: loop.call_soon_threadsafe(on_loop, ended) and None)
        await gate.send_async(7)
        assert await done == (7, here)

    run(main())


def test_a_done_callback_for_a_loop_that_closed_is_reported(
    gated: Callable[[gs.Chan[int]], gs.Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)
    loop = asyncio.new_event_loop()
    gate: gs.Chan[int] = gs.Chan(0, int)
    task = gated(gate)
    task.add_done_callback(lambda ended: loop.call_soon_threadsafe(print, ended) and None)
    loop.close()
    gate.send(7)
    assert task.result(WAIT) == 7
    assert eventually(lambda: reports)
    assert "closed" in str(reports[0].exc_value)


# ---- channels of tasks ----


def test_coroutines_and_tasks_share_channels(probe: Probe) -> None:
    async def main() -> None:
        numbers, doubled, shifted = gs.Chan(0, int), gs.Chan(2, int), gs.Chan(0, int)

        def shift() -> None:
            with shifted:
                for n in doubled:
                    shifted.send(n + 1)

        gs.go(probe.double_ints, numbers, doubled)
        python = gs.go(shift)

        async def feed() -> None:
            for n in range(300):
                await numbers.send_async(n)
            numbers.close()

        feeder = asyncio.ensure_future(feed())
        assert [n async for n in shifted.receiver()] == [2 * n + 1 for n in range(300)]
        await feeder
        await python

    run(main())


def test_select_async_sees_tasks_contexts_and_channels(endless: Start) -> None:
    async def main() -> None:
        task, ch = endless(), gs.Chan(1)
        with pytest.raises(TimeoutError):
            await gs.select_async(ch, task, timeout=0.01)
        ch.send("x")
        assert await gs.select_async(ch, task) == (0, "x", True)
        selecting = await waiting(gs.select_async(ch, task))
        selecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await selecting
        assert not task.done()  # a select looks; it is not the awaiter
        task.cancel()
        assert await gs.select_async(ch, task) == (1, task, True)
        assert (await gs.select_async(ch, task.ctx)).index == 1

    run(main())


def test_nothing_is_lost_between_coroutines_that_are_cancelled_and_tasks(probe: Probe) -> None:
    async def main() -> None:
        numbers: gs.Chan[int] = gs.Chan(0, int)
        got: list[int] = []

        def produce(first: int) -> None:
            for n in range(first, first + 300):
                numbers.send(n)

        async def consume() -> None:
            while len(got) < 900:
                try:
                    async with asyncio.timeout(0.001):
                        while True:
                            got.append(await numbers.recv_async())
                except TimeoutError:
                    pass

        producers = [gs.go(produce, 0), gs.go(produce, 300), gs.go(produce, 600, thread=True)]
        await consume()
        assert sorted(got) == list(range(900))
        await asyncio.gather(*producers)

    run(main())


def test_awaiting_makes_no_thread() -> None:
    async def main() -> None:
        several = [gs.go(gs.sleep, 100) for _ in range(50)]
        threads = threading.active_count()
        awaiters = [await waiting(await_it(task)) for task in several]
        assert threading.active_count() <= threads
        for awaiter in awaiters:
            awaiter.cancel()
        await asyncio.gather(*awaiters, return_exceptions=True)

    run(main())


# ---- anyio on asyncio ----


def test_anyio_move_on_after_stops_the_task() -> None:
    async def main() -> None:
        ended: list[str] = []
        begun: gs.Chan[None] = gs.Chan()
        task = gs.go(cleans_up, begun, ended)
        await begun.recv_async()
        with anyio.move_on_after(0.02) as scope:
            await task
        assert scope.cancelled_caught
        assert task.cancelled() and ended == ["cleaned up"]

    anyio.run(main)


def test_anyio_task_groups_stop_tasks_and_are_stopped_by_them(probe: Probe, endless: Start) -> None:
    async def main() -> None:
        several = [endless() for _ in range(3)]
        async with anyio.create_task_group() as group:
            for task in several:
                group.start_soon(await_it, task)
            await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        assert all(task.cancelled() for task in several)
        task = endless()
        with pytest.raises(ExceptionGroup) as caught:
            async with anyio.create_task_group() as group:
                group.start_soon(await_it, task)
                group.start_soon(await_it, gs.go(probe.fail_with, 3, "no disk"))
        assert caught.group_contains(gs.TaskFailed)
        assert task.cancelled()

    anyio.run(main)


def test_anyio_shields_and_channels_work_with_tasks(probe: Probe) -> None:
    async def main() -> None:
        numbers, doubled = gs.Chan(0, int), gs.Chan(0, int)
        task = gs.go(probe.double_ints, numbers, doubled)
        with anyio.move_on_after(0.01) as scope:
            with anyio.CancelScope(shield=True):
                await numbers.send_async(4)
                await anyio.sleep(0.03)
                assert await doubled.recv_async() == 8
            await anyio.sleep(1)
        assert scope.cancelled_caught and not task.done()
        with anyio.fail_after(WAIT):
            selected = await gs.select_async(doubled, task, (numbers, 5))
            assert selected.index == 2
            assert await doubled.recv_async() == 10
            numbers.close()
            await task

    anyio.run(main)


def test_a_task_that_is_slow_to_stop_holds_up_no_other_coroutine() -> None:
    async def main() -> None:
        ended: list[str] = []
        begun: gs.Chan[None] = gs.Chan()
        task = gs.go(cleans_up, begun, ended)
        await begun.recv_async()
        awaiter = await waiting(await_it(task))
        awaiter.cancel()
        steps, end = 0, time.monotonic() + WAIT
        while not awaiter.done() and time.monotonic() < end:
            await asyncio.sleep(0.001)
            steps += 1
        assert steps > 3 and ended

    run(main())
