"""Tasks in a trio program: each wait in a thread of trio's, and its cancel carried to the task."""

from __future__ import annotations

import concurrent.futures
import re
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio

import pygostop as gs
from pygostop import tasks
from support import HERE, WAIT, Probe

Run = Callable[[str], subprocess.CompletedProcess[str]]
Start = Callable[[], gs.Task]


GUIDE = (HERE.parent / "docs" / "event-loops.md").read_text()
RECIPE = re.findall(r"^async def result_of\(.*?(?=^\S)", GUIDE, re.MULTILINE | re.DOTALL)[0]


async def result_of(task: gs.Task) -> Any:
    """The recipe of docs/event-loops.md."""
    names: dict[str, Any] = {"trio": trio}
    exec(RECIPE, names)
    return await names["result_of"](task)


def run(main: Callable[[], Any]) -> Any:
    """trio.run with a limit, so that a hang is a failure."""

    async def limited() -> Any:
        with trio.fail_after(WAIT):
            return await main()

    return trio.run(limited)


@pytest.fixture(params=["C task", "Python task", "task with a thread"])
def endless(request: pytest.FixtureRequest) -> Start:
    """Starts a task that ends when it is asked to."""
    return {
        "C task": lambda: gs.go(tasks.spin, 100.0),
        "Python task": lambda: gs.go(gs.sleep, 100),
        "task with a thread": lambda: gs.go(gs.sleep, 100, thread=True),
    }[str(request.param)]


def test_to_thread_gives_the_result_and_the_failure(probe: Probe) -> None:
    async def main() -> None:
        assert await trio.to_thread.run_sync(gs.go(probe.add, 1, 2).result) == 3
        assert await trio.to_thread.run_sync(gs.go(len, "abc").result) == 3
        with pytest.raises(gs.TaskFailed):
            await trio.to_thread.run_sync(gs.go(probe.fail_with, 3, "no disk").result)
        cancelled = gs.go(probe.sleep_long)
        cancelled.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            await trio.to_thread.run_sync(cancelled.result)

    run(main)


def test_without_the_recipe_trio_waits_for_the_end_of_the_task(probe: Probe) -> None:
    """What to_thread promises of a thread that it may not abandon."""

    async def main() -> None:
        task = gs.go(gs.sleep, 0.1)
        with trio.move_on_after(0.01):
            await trio.to_thread.run_sync(task.result)
        assert task.done()

    run(main)


def test_an_abandoned_wait_leaves_the_task(endless: Start) -> None:
    async def main() -> None:
        task = endless()
        with trio.move_on_after(0.02) as scope:
            await trio.to_thread.run_sync(task.result, abandon_on_cancel=True)
        assert scope.cancelled_caught and not task.done()
        task.cancel()
        await trio.to_thread.run_sync(task.wait)

    run(main)


def test_the_recipe_stops_the_task_and_waits_for_its_end() -> None:
    ended: list[str] = []

    def work(begun: gs.Chan[None]) -> None:
        try:
            begun.send(None)
            gs.sleep(100)
        finally:
            with gs.shield():
                gs.sleep(0.03)
            ended.append("cleaned up")

    async def main() -> None:
        begun: gs.Chan[None] = gs.Chan()
        task = gs.go(work, begun)
        await trio.to_thread.run_sync(begun.recv)
        with trio.move_on_after(0.02) as scope:
            await result_of(task)
        assert scope.cancelled_caught and task.cancelled()
        assert ended == ["cleaned up"]

    run(main)


def test_a_nursery_that_fails_stops_tasks_of_all_kinds(probe: Probe, endless: Start) -> None:
    async def main() -> None:
        several = [endless() for _ in range(3)]
        with pytest.raises(ExceptionGroup) as caught:
            async with trio.open_nursery() as nursery:
                for task in several:
                    nursery.start_soon(result_of, task)
                nursery.start_soon(result_of, gs.go(probe.fail_with, 3, "no disk"))
        assert caught.group_contains(gs.TaskFailed)
        assert all(task.cancelled() for task in several)

    run(main)


def test_the_recipe_gives_what_the_task_gave(probe: Probe) -> None:
    async def main() -> None:
        assert await result_of(gs.go(probe.add, 1, 2)) == 3
        with pytest.raises(gs.TaskFailed):
            await result_of(gs.go(probe.fail_with, 3, "no disk"))

    run(main)


def test_a_scope_in_the_thread_stops_a_wait_too(endless: Start) -> None:
    """The context variables of the trio task, and so its scope, come with the call to the thread."""

    async def main() -> None:
        ctx, cancel = gs.with_cancel(gs.background())
        task = endless()
        with ctx:
            threading.Timer(0.02, cancel).start()
            with pytest.raises(gs.Cancelled):
                await trio.to_thread.run_sync(task.result)
        await trio.to_thread.run_sync(ctx.err)
        assert not task.done()
        task.cancel()
        await trio.to_thread.run_sync(task.wait)

    run(main)


def test_channels_carry_values_between_a_trio_program_and_tasks(probe: Probe) -> None:
    async def main() -> None:
        numbers, doubled = gs.Chan(0, int), gs.Chan(0, int)
        gs.go(probe.double_ints, numbers, doubled)
        for n in range(20):
            await trio.to_thread.run_sync(numbers.send, n)
            assert await trio.to_thread.run_sync(doubled.recv) == 2 * n
        numbers.close()

    run(main)


def test_a_done_callback_reaches_trio_without_a_thread(endless: Start) -> None:
    async def main() -> None:
        task, token, ended = endless(), trio.lowlevel.current_trio_token(), trio.Event()
        task.add_done_callback(lambda _: token.run_sync_soon(ended.set))
        threads = threading.active_count()
        with trio.move_on_after(0.02):
            await ended.wait()
        assert not ended.is_set() and threading.active_count() <= threads + 1  # the task's own
        task.cancel()
        await ended.wait()
        assert task.cancelled()

    run(main)


def test_what_a_task_gave_although_it_was_asked_counts(probe: Probe) -> None:
    async def main() -> None:
        task = gs.go(probe.finish_anyway)
        while task.state != "parked":
            await trio.sleep(0.001)
        with trio.move_on_after(0.01) as scope:
            assert await result_of(task) == 42
            await trio.lowlevel.checkpoint()
            raise AssertionError("trio cancels again")
        assert scope.cancelled_caught

    run(main)


def test_ctrl_c_in_trio_run_stops_the_tasks_that_are_waited_for(run_python: Run) -> None:
    done = run_python(
        "import os, pygostop as gs, signal, threading, trio\nfrom pygostop import tasks\n"
        + RECIPE
        + """
async def main():
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
    async with trio.open_nursery() as nursery:
        for task in (gs.go(gs.sleep, 100), gs.go(tasks.spin, 100.0)):
            nursery.start_soon(result_of, task)

try:
    trio.run(main)
except* KeyboardInterrupt:
    print("interrupted", gs.all_tasks())
"""
    )
    assert (done.stdout, done.stderr) == ("interrupted []\n", "")


def test_an_abandoned_wait_gives_its_place_among_trios_threads_back(endless: Start) -> None:
    async def main() -> None:
        limiter = trio.to_thread.current_default_thread_limiter()
        for _ in range(3):
            with trio.move_on_after(0.02):
                await result_of(endless())
        while limiter.borrowed_tokens:
            await trio.sleep(0.001)

    run(main)
