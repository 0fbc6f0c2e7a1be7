"""Task: a handle on a task that runs: waiting for it, stopping it, looking at it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import logging
import pickle
import sys
import threading
import time
import types
import weakref

import pytest

import pygostop as gs
from support import WAIT, Probe, eventually

# ---- starting ----


def test_go_starts_nothing_that_cannot_be_called() -> None:
    for wrong in (3, None, "add"):
        with pytest.raises(TypeError, match="needs a callable or a CTask"):
            gs.go(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="first argument"):
        gs.go()  # type: ignore[call-arg]


def test_options_are_checked(probe: Probe) -> None:
    with pytest.raises(TypeError, match="ctx must be a Context"):
        gs.go(probe.add, 1, 2, ctx=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="name must be a str"):
        gs.go(probe.add, 1, 2, name=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword"):
        gs.go(probe.add, 1, 2, nmae="x")  # type: ignore[call-arg]


def test_a_thousand_at_once(probe: Probe) -> None:
    tasks = [gs.go(probe.add, n, n) for n in range(1000)]
    assert [task.result(WAIT) for task in tasks] == [2 * n for n in range(1000)]


def test_tasks_start_tasks(probe: Probe) -> None:
    assert gs.go(probe.fibonacci, 15).result(WAIT) == 610


def test_its_context_is_a_child_of_the_scope(probe: Probe) -> None:
    with gs.cancel_scope() as scope:
        task = gs.go(probe.sleep_long)
        scope.cancel("enough")
    assert eventually(task.cancelled)


def test_its_context_is_a_child_of_ctx(probe: Probe) -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    task = gs.go(probe.sleep_long, ctx=ctx)
    cancel()
    assert task.wait(WAIT)
    assert task.cancelled()
    assert ctx.err() is not None and task.ctx.err() is not None


def test_cancelled_before_it_began_it_never_runs(probe: Probe) -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    cancel()
    ch = gs.Chan(1, int)
    ch.send(1)
    task = gs.go(probe.recv_one, ch, ctx=ctx)
    with pytest.raises(concurrent.futures.CancelledError):
        task.result(WAIT)
    assert len(ch) == 1


# ---- the end ----


def test_result_exception_and_wait(probe: Probe) -> None:
    task = gs.go(probe.add, 1, 2)
    assert task.result(WAIT) == 3 and task.result(0) == 3
    assert task.exception() is None
    assert task.wait(0) is True
    assert task.done() and not task.cancelled()
    failed = gs.go(probe.fail_with, 1, "no")
    error = failed.exception(WAIT)
    assert isinstance(error, gs.TaskFailed)
    with pytest.raises(gs.TaskFailed) as raised:
        failed.result()
    assert raised.value is error


def test_a_timeout_leaves_it_running(probe: Probe) -> None:
    task = gs.go(probe.sleep_long)
    assert task.wait(0) is False and task.wait(0.02) is False
    with pytest.raises(TimeoutError, match="'sleep_long' has not ended"):
        task.result(timeout=0.02)
    with pytest.raises(TimeoutError):
        task.exception(0)
    assert not task.done()
    assert task.cancel()
    assert task.wait(WAIT)


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1"])
def test_a_timeout_that_is_none_is_refused(probe: Probe, timeout: object) -> None:
    task = gs.go(probe.add, 1, 2)
    with pytest.raises((ValueError, TypeError)):
        task.result(timeout)  # type: ignore[arg-type]
    assert task.result(WAIT) == 3


def test_waiting_is_a_checkpoint(probe: Probe) -> None:
    task = gs.go(probe.sleep_long, ctx=gs.background())
    with gs.move_on_after(0.02) as scope:
        task.result()
    assert scope.cancelled and not task.done()
    task.cancel()
    assert task.wait(WAIT)


@pytest.mark.parametrize("name", ["sleep_long", "busy", "poll_flag", "poll_fd", "poll_hook"])
def test_cancel_stops_it_and_the_cause_arrives(probe: Probe, name: str) -> None:
    task = gs.go(getattr(probe, name))
    assert eventually(lambda: task.state in ("running", "parked"))
    cause = KeyError("because")
    assert task.cancel(cause) is True
    with pytest.raises(concurrent.futures.CancelledError) as cancelled:
        task.result(WAIT)
    assert cancelled.value.__cause__ is cause
    assert task.cancelled() and task.state == "cancelled"
    assert task.cancel() is False


def test_the_first_cause_counts(probe: Probe) -> None:
    task = gs.go(probe.clean_up_slowly, started := gs.Chan(2, int), 20)
    assert started.recv(WAIT) == 1
    assert task.cancel("first") and task.cancel("second")
    with pytest.raises(concurrent.futures.CancelledError) as cancelled:
        task.result(WAIT)
    assert isinstance(cancelled.value.__cause__, gs.Error)
    assert str(cancelled.value.__cause__) == "first"


@pytest.mark.parametrize("cause", [3, object(), KeyError])
def test_a_cause_that_is_none_is_refused(probe: Probe, cause: object) -> None:
    task = gs.go(probe.sleep_long)
    with pytest.raises(TypeError, match="cause must be"):
        task.cancel(cause)  # type: ignore[arg-type]
    assert task.ctx.err() is None
    task.cancel()
    task.wait(WAIT)


def test_it_cleans_up_under_a_shield(probe: Probe) -> None:
    out = gs.Chan(2, int)
    task = gs.go(probe.clean_up_slowly, out, 50)
    assert out.recv(WAIT) == 1
    task.cancel()
    assert out.recv(WAIT) == 2
    assert task.wait(WAIT) and task.cancelled()


def test_what_it_returned_counts_although_it_was_asked(probe: Probe) -> None:
    task = gs.go(probe.finish_anyway)
    task.cancel()
    if not task.wait(WAIT) or task.cancelled():
        return  # it was asked before it began
    assert task.result() == 42


def test_a_tasks_end_leaves_its_children_alone(probe: Probe) -> None:
    parent = gs.go(probe.start_sleeper)
    assert parent.result(WAIT) is None
    child = [task for task in gs.all_tasks() if task.name == "sleep_long"]
    assert len(child) == 1 and not child[0].done()
    parent.ctx  # the child is found through it
    child[0].cancel()
    assert child[0].wait(WAIT)


def test_a_parents_cancel_reaches_the_children_of_an_ended_task(probe: Probe) -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    gs.go(probe.start_sleeper, ctx=ctx).result(WAIT)
    assert len(gs.all_tasks()) == 1
    cancel()
    assert eventually(lambda: not gs.all_tasks())


# ---- callbacks, reports ----


def test_done_callbacks_run_once_each(probe: Probe) -> None:
    go_on = gs.Chan(0, int)
    task = gs.go(probe.recv_one, go_on)
    seen: list[object] = []
    task.add_done_callback(seen.append)
    task.add_done_callback(lambda t: seen.append(t.result()))
    go_on.send(4)
    assert eventually(lambda: len(seen) == 2)
    assert seen == [task, 4]
    task.add_done_callback(lambda t: seen.append(threading.current_thread()))
    assert seen[2] is threading.current_thread()


def test_a_callback_runs_whichever_handle_it_was_added_to(probe: Probe) -> None:
    ran: list[gs.Task] = []
    go_on = gs.Chan(0, int)
    task = gs.go(probe.recv_one, go_on)
    (other,) = gs.all_tasks()
    other.add_done_callback(ran.append)
    other.add_done_callback(ran.append)
    del other
    go_on.send(1)
    assert eventually(lambda: ran == [task, task])


def test_a_callback_that_raises_is_reported(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda u: reports.append(u.exc_value))
    task = gs.go(probe.add, 1, 2)
    task.wait(WAIT)
    task.add_done_callback(lambda t: 1 / 0)
    go_on = gs.Chan(0, int)
    other = gs.go(probe.recv_one, go_on)
    other.add_done_callback(lambda t: [][1])
    go_on.send(1)
    assert eventually(lambda: len(reports) == 2)
    assert [type(r) for r in reports] == [ZeroDivisionError, IndexError]
    with pytest.raises(TypeError, match="callable"):
        task.add_done_callback(3)  # type: ignore[arg-type]


def test_a_callback_runs_in_a_scope_of_its_own(probe: Probe) -> None:
    seen: list[gs.Task] = []

    def callback(task: gs.Task) -> None:
        gs.checkpoint()
        seen.append(task)

    with gs.cancel_scope() as scope:
        task = gs.go(probe.add, 1, 2)
        task.wait(WAIT)
        scope.cancel()
        task.add_done_callback(callback)
    assert seen == [task]


def test_a_failure_is_one_object_also_for_who_asks_while_it_is_made(probe: Probe) -> None:
    task = gs.go(probe.fail_with, 3, "once")
    task.wait(WAIT)
    inner: list[BaseException | None] = []

    def trace(frame: types.FrameType, event: str, arg: object) -> None:
        if frame.f_code is gs.TaskFailed.__init__.__code__ and not inner:
            inner.append(None)
            inner.append(task.exception())

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        outer = task.exception()
    finally:
        sys.settrace(before)
    assert outer is not None and inner == [None, outer]


def test_a_failure_nobody_fetched_is_reported_once(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda u: reports.append(str(u.exc_value)))
    gs.go(probe.fail_with, 3, "unseen")
    assert eventually(lambda: reports)
    fetched = gs.go(probe.fail_with, 3, "seen")
    fetched.exception(WAIT)
    cancelled = gs.go(probe.sleep_long)
    cancelled.cancel()
    cancelled.wait(WAIT)
    del fetched, cancelled
    gc.collect()
    gs.sleep(0.02)
    assert reports == ["task 'fail_with' failed with code 3: unseen"]


# ---- looking ----


def test_it_says_how_it_is(probe: Probe) -> None:
    ch = gs.Chan(0, int)
    task = gs.go(probe.recv_one, ch, name="reader")
    assert eventually(lambda: task.state == "parked")
    assert task.name == "reader" and task.id > 0
    assert task.waiting_on is not None and task.waiting_on.startswith("recv on chan ")
    assert repr(task) == f"<Task 'reader' #{task.id} parked, in {task.waiting_on}>"
    ch.send(1)
    assert task.wait(WAIT)
    assert task.waiting_on is None
    assert repr(task) == f"<Task 'reader' #{task.id} done>"


def test_progress_and_log(probe: Probe, caplog: pytest.LogCaptureFixture) -> None:
    go_on = gs.Chan(0, int)
    with caplog.at_level(logging.INFO, logger="pygostop.task"):
        task = gs.go(probe.say_progress, go_on)
        assert eventually(lambda: task.progress is not None)
        assert task.progress == (3, 10)
        assert task.progress.done == 3 and task.progress.total == 10
        go_on.send(1)
        task.result(WAIT)
        assert task.progress == (10, 10)
        assert eventually(lambda: "said 10 of 10" in caplog.text)
    assert gs.go(probe.nothing).progress is None


def test_tasks_are_listed_while_they_run(probe: Probe) -> None:
    task = gs.go(probe.sleep_long, name="one")
    assert gs.all_tasks() == [task]
    task.cancel()
    task.wait(WAIT)
    assert gs.all_tasks() == []


def test_it_cannot_be_pickled_or_made(probe: Probe) -> None:
    task = gs.go(probe.add, 1, 2)
    with pytest.raises(TypeError, match="send its result instead"):
        pickle.dumps(task)
    with pytest.raises(TypeError):
        gs.Task()
    task.wait(WAIT)


def test_handles_leak_nothing(probe: Probe) -> None:
    def rounds(n: int) -> int:
        for _ in range(n):
            gs.go(probe.echo_bytes, b"x" * 100).result(WAIT)
        gc.collect()
        return len(gc.get_objects())

    rounds(100)
    before = rounds(10)
    assert rounds(500) - before < 50


def test_a_handle_that_is_dropped_goes(probe: Probe) -> None:
    task = gs.go(probe.add, 1, 2)
    gone = weakref.ref(task)
    task.wait(WAIT)
    del task
    assert eventually(lambda: gone() is None)


# ---- asyncio ----


def test_await_gives_the_result(probe: Probe) -> None:
    async def main() -> tuple[int, list[int]]:
        first = await gs.go(probe.add, 1, 2)
        many = await asyncio.gather(*(gs.go(probe.add, n, 1) for n in range(50)))
        return first, many

    assert asyncio.run(main()) == (3, list(range(1, 51)))


def test_await_raises_the_failure(probe: Probe) -> None:
    async def main() -> None:
        with pytest.raises(gs.TaskFailed, match="no"):
            await gs.go(probe.fail_with, 1, "no")
        cancelled = gs.go(probe.sleep_long)
        cancelled.cancel("enough")
        with pytest.raises(asyncio.CancelledError) as error:
            await cancelled
        assert str(error.value.__cause__) == "enough"

    asyncio.run(main())


def test_cancelling_the_awaiter_cancels_the_task_and_waits_for_it(probe: Probe) -> None:
    out = gs.Chan(2, int)

    async def main() -> gs.Task:
        task = gs.go(probe.clean_up_slowly, out, 50)

        async def waiter() -> None:
            await task

        awaiter = asyncio.create_task(waiter())
        assert await out.recv_async() == 1
        await asyncio.sleep(0)  # the awaiter begins
        awaiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await awaiter
        assert task.done()
        return task

    assert asyncio.run(main()).cancelled()
    assert out.recv(0) == 2


def test_several_loops_may_await_one_task(probe: Probe) -> None:
    go_on = gs.Chan(0, int)
    task = gs.go(probe.recv_one, go_on)
    results: list[int] = []

    async def main() -> None:
        results.append(await task)

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    go_on.send(8)
    for thread in threads:
        thread.join(WAIT)
    assert results == [8, 8, 8]


# ---- channels between C tasks and threads ----


def test_a_c_task_between_two_channels(probe: Probe) -> None:
    source, doubled = gs.Chan(0, int), gs.Chan(0, int)
    task = gs.go(probe.double_ints, source, doubled)

    def feed() -> None:
        for n in range(1000):
            source.send(n)
        source.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    assert list(doubled) == [2 * n for n in range(1000)]
    feeder.join(WAIT)
    assert task.result(WAIT) is None


def test_objects_pass_through_c_untouched(probe: Probe) -> None:
    source, to = gs.Chan(4), gs.Chan(4)
    task = gs.go(probe.pass_objects, source, to)
    thing = object()
    source.send(thing)
    source.send(None)
    assert to.recv(WAIT) is thing
    assert to.recv(WAIT) is None
    source.close()
    task.result(WAIT)


def test_a_string_that_a_task_keeps_is_released(probe: Probe) -> None:
    ch = gs.Chan(1, str)
    ch.send("kept" * 1000)
    assert probe.keep_str(ch) == 4000
