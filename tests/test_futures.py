"""Task.future(): a concurrent.futures.Future that ends as its task does."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import math
import pickle
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import pygostop as gs
from pygostop import tasks
from support import WAIT, Probe, eventually

Start = Callable[[], gs.Task]


@pytest.fixture(params=["C task", "Python task", "task with a thread"])
def endless(request: pytest.FixtureRequest) -> Start:
    """Starts a task that ends when it is asked to."""
    return {
        "C task": lambda: gs.go(tasks.spin, 100.0),
        "Python task": lambda: gs.go(gs.sleep, 100),
        "task with a thread": lambda: gs.go(gs.sleep, 100, thread=True),
    }[str(request.param)]


def fails() -> None:
    raise ValueError("broken")


# ---- what it says ----


def test_it_gives_what_the_task_gave(probe: Probe) -> None:
    assert gs.go(probe.add, 1, 2).future().result(WAIT) == 3
    assert gs.go(len, "abc").future().result(WAIT) == 3
    future = gs.go(len, "abc").future()
    assert future.exception(WAIT) is None
    assert isinstance(future, concurrent.futures.Future)


def test_it_raises_what_the_task_raised_and_breaks_no_traceback(probe: Probe) -> None:
    future = gs.go(fails).future()
    with pytest.raises(ValueError, match="broken") as caught:
        future.result(WAIT)
    assert caught.traceback[-1].name == "fails"
    assert future.exception() is caught.value
    c_future = gs.go(probe.fail_with, 7, "no disk").future()
    with pytest.raises(gs.TaskFailed) as failed:
        c_future.result(WAIT)
    assert failed.value.code == 7
    assert isinstance(c_future.exception(), gs.TaskFailed)


def test_it_runs_until_the_task_has_ended(endless: Start) -> None:
    future = endless().future()
    assert (future.running(), future.done(), future.cancelled()) == (True, False, False)
    with pytest.raises(TimeoutError, match="spin|sleep"):
        future.result(0.01)
    with pytest.raises(TimeoutError):
        future.exception(0)
    assert future.cancel() is True
    with pytest.raises(concurrent.futures.CancelledError) as caught:
        future.result(WAIT)
    assert str(caught.value.__cause__) == "its future was cancelled"
    with pytest.raises(concurrent.futures.CancelledError):
        future.exception()
    assert (future.running(), future.done(), future.cancelled()) == (False, True, True)


def test_cancel_is_true_where_it_asked_and_where_it_was_cancelled(endless: Start) -> None:
    future = endless().future()
    assert future.cancel() is True
    assert future.cancel() is True
    assert concurrent.futures.wait([future], WAIT).done == {future}
    assert future.cancel() is True  # as concurrent.futures has it
    done = gs.go(len, "abc").future()
    done.result(WAIT)
    assert done.cancel() is False


def test_a_task_that_goes_on_to_its_end_is_not_cancelled(probe: Probe) -> None:
    begun, gate = gs.Chan(), gs.Chan()

    def stubborn() -> str:
        begun.send(None)
        try:
            gate.recv()
        except gs.Cancelled:
            pass
        return "done all the same"

    future = gs.go(stubborn).future()
    begun.recv(WAIT)
    assert future.cancel() is True
    assert future.result(WAIT) == "done all the same"
    assert not future.cancelled()
    task = gs.go(probe.finish_anyway)
    c_future = task.future()
    assert eventually(lambda: task.state == "parked")
    assert c_future.cancel() is True
    assert c_future.result(WAIT) == 42


def test_a_task_cancelled_by_others_cancels_its_future(endless: Start) -> None:
    with gs.cancel_scope() as scope:
        future = endless().future()
        scope.cancel(ValueError("enough"))
    with pytest.raises(concurrent.futures.CancelledError) as caught:
        future.result(WAIT)
    assert isinstance(caught.value.__cause__, ValueError)


def test_the_future_is_the_same_one_each_time(probe: Probe) -> None:
    gate: gs.Chan[None] = gs.Chan()
    task = gs.go(gate.recv)
    future = task.future()
    assert task.future() is future
    assert future.task is task
    reference = weakref.ref(future)
    del future
    gc.collect()
    assert task.future() is reference()  # the task keeps it while it runs
    gate.send(None)
    task.result(WAIT)
    assert eventually(lambda: reference() is None)
    assert task.future().result() is None  # a new one, of a task that has ended


def test_futures_of_tasks_that_have_ended_are_done_at_once(probe: Probe) -> None:
    for task in (gs.go(probe.add, 1, 2), gs.go(len, "abc")):
        task.wait(WAIT)
        future = task.future()
        assert concurrent.futures.wait([future], timeout=0).done == {future}
        assert future.result(0) == 3


def test_what_its_calls_say_agrees() -> None:
    """Once one of them has seen the end all of them do, whether callbacks have run or not."""
    for _ in range(200):
        future = gs.go(len, "abc").future()
        future.result(WAIT)
        assert concurrent.futures.wait([future], timeout=0).done == {future}
        assert future.done() and not future.running()
        looked = gs.go(len, "abc").future()
        while not looked.done():
            pass
        assert concurrent.futures.wait([looked], timeout=0).done == {looked}


# ---- failures that nobody fetched ----


@pytest.mark.parametrize("fetch", ["result", "exception", "snapshot", "wrap"])
def test_a_failure_fetched_through_the_future_counts_as_fetched(
    fetch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)
    future = gs.go(fails).future()
    if fetch == "result":
        with pytest.raises(ValueError):
            future.result(WAIT)
    elif fetch == "exception":
        assert isinstance(future.exception(WAIT), ValueError)
    elif fetch == "snapshot":
        concurrent.futures.wait([future], WAIT)
        done, cancelled, result, error = future._get_snapshot()
        assert (done, cancelled, result) == (True, False, None) and isinstance(error, ValueError)
        del error
    else:

        async def wrap() -> None:
            with pytest.raises(ValueError):
                await asyncio.wrap_future(future)

        asyncio.run(wrap())
    del future
    gc.collect()
    gs.go(int).result(WAIT)
    assert reports == []


def test_a_failure_that_nobody_fetched_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)
    future = gs.go(fails).future()
    concurrent.futures.wait([future], WAIT)
    assert future.done() and "failed" in repr(future)  # looking is not fetching
    del future
    assert eventually(lambda: reports)
    assert [type(report.exc_value) for report in reports] == [ValueError]


def test_a_failure_makes_no_cycle() -> None:
    def fail(thing: object) -> None:
        raise ValueError

    class Thing:
        pass

    gc.collect()
    gc.disable()
    try:
        thing = Thing()
        reference = weakref.ref(thing)
        future = gs.go(fail, thing).future()
        del thing
        try:
            future.result(WAIT)
        except ValueError:
            pass
        del future
        assert eventually(lambda: reference() is None)
    finally:
        gc.enable()


# ---- what knows only concurrent.futures ----


def test_wait_sees_the_first_that_completes_and_the_first_that_fails(probe: Probe, endless: Start) -> None:
    running, done = endless().future(), gs.go(probe.add, 1, 2).future()
    first = concurrent.futures.wait([running, done], WAIT, concurrent.futures.FIRST_COMPLETED)
    assert first == ({done}, {running})
    gate: gs.Chan[None] = gs.Chan()

    def fail_later() -> None:
        gate.recv()
        raise ValueError("broken")

    failing = gs.go(fail_later).future()
    threading.Timer(0.02, gate.send, [None]).start()
    first = concurrent.futures.wait([running, failing], WAIT, concurrent.futures.FIRST_EXCEPTION)
    assert first == ({failing}, {running})
    assert isinstance(failing.exception(), ValueError)
    running.cancel()
    every = concurrent.futures.wait([running, done, failing], WAIT)
    assert every == ({running, done, failing}, set())


def test_as_completed_gives_them_as_they_end(probe: Probe) -> None:
    gates: list[gs.Chan[int]] = [gs.Chan() for _ in range(3)]
    futures = [gs.go(gate.recv).future() for gate in gates]
    futures.append(gs.go(probe.add, 20, 3).future())
    seen = []
    for future in concurrent.futures.as_completed(futures, WAIT):
        seen.append(future.result())
        if gates:
            gates.pop().send(len(gates))
    assert seen == [23, 2, 1, 0]


def test_as_completed_gives_cancelled_ones(endless: Start) -> None:
    futures = [endless().future() for _ in range(3)]
    for future in futures:
        future.cancel()
    done = list(concurrent.futures.as_completed(futures, WAIT))
    assert set(done) == set(futures) and all(future.cancelled() for future in done)


def test_they_mix_with_the_futures_of_other_executors(probe: Probe) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        mixed: list[concurrent.futures.Future[int]] = [
            pool.submit(len, "ab"),
            gs.go(probe.add, 1, 2).future(),
            gs.go(len, "abcd").future(),
        ]
        done = concurrent.futures.as_completed(mixed, WAIT)
        assert sorted(future.result() for future in done) == [2, 3, 4]


def test_wrap_future_carries_result_failure_and_cancel(probe: Probe, endless: Start) -> None:
    async def main() -> None:
        assert await asyncio.wrap_future(gs.go(probe.add, 1, 2).future()) == 3
        with pytest.raises(gs.TaskFailed):
            await asyncio.wrap_future(gs.go(probe.fail_with, 7, "x").future())
        task = endless()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(task.future()), 0.02)
        while not task.done():
            await asyncio.sleep(0.001)
        assert task.cancelled()
        task = endless()
        wrapped = asyncio.wrap_future(task.future())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped

    asyncio.run(main())


def test_a_snapshot_is_what_the_calls_say(endless: Start) -> None:
    """What asyncio asks for, from Python 3.14 on."""
    future = endless().future()
    assert future._get_snapshot() == (False, False, None, None)
    future.cancel()
    concurrent.futures.wait([future], WAIT)
    assert future._get_snapshot() == (True, True, None, None)
    done = gs.go(len, "abc").future()
    concurrent.futures.wait([done], WAIT)
    ctx, cancel = gs.with_cancel(gs.background())
    cancel()
    with ctx:  # it is no checkpoint
        assert done._get_snapshot() == (True, False, 3, None)


# ---- callbacks ----


def test_callbacks_run_once_each_in_order_with_the_future(endless: Start) -> None:
    seen: list[Any] = []
    future = endless().future()
    for n in range(3):
        future.add_done_callback(lambda f, n=n: seen.append((n, f, f.done(), f.cancelled())))  # type: ignore[misc]
    future.cancel()
    assert eventually(lambda: len(seen) == 3)
    future.add_done_callback(lambda f: seen.append(f))
    assert seen == [(n, future, True, True) for n in range(3)] + [future]


def test_callbacks_run_once_each_however_the_end_is_noticed() -> None:
    """By the thread of callbacks, and by whoever looks, at the same time."""
    counts = [0] * 300
    futures = []

    def count(n: int) -> Callable[[object], None]:
        def callback(_: object) -> None:
            counts[n] += 1

        return callback

    for n in range(len(counts)):
        future = gs.go(int).future()
        future.add_done_callback(count(n))
        future.result(WAIT)
        futures.append(future)
    assert eventually(lambda: sum(counts) >= len(counts))
    assert counts == [1] * len(counts)


def test_a_callback_that_raises_keeps_no_other_from_running(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[object] = []
    gate: gs.Chan[None] = gs.Chan()
    future = gs.go(gate.recv).future()
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(seen.append)
    gate.send(None)
    assert eventually(lambda: seen)
    assert "ZeroDivisionError" in caplog.text


def test_no_thread_is_made_for_a_future() -> None:
    gs.go(int).future().result(WAIT)
    before = threading.active_count()
    gate: gs.Chan[None] = gs.Chan()
    futures = [gs.go(gate.recv).future() for _ in range(200)]
    assert threading.active_count() <= before + 1
    gate.close()
    concurrent.futures.wait(futures, WAIT)
    assert all(isinstance(future.exception(), gs.ChannelClosed) for future in futures)


# ---- waiting ----


def test_a_task_that_waits_for_a_future_parks() -> None:
    """Were the worker's thread blocked, the ones that it waits for could not go on there."""
    gate: gs.Chan[int] = gs.Chan()

    def chain(depth: int) -> int:
        if depth == 0:
            return gate.recv()
        return 1 + int(gs.go(chain, depth - 1).future().result())

    top = gs.go(chain, 200).future()
    time.sleep(0.02)
    gate.send(0)
    assert top.result(WAIT) == 200


def test_waiting_is_a_checkpoint(endless: Start) -> None:
    future = endless().future()
    with gs.move_on_after(0.02) as scope:
        future.result()
    assert scope.cancelled
    with gs.move_on_after(0.02) as scope:
        future.exception()
    assert scope.cancelled
    assert future.running()
    future.cancel()
    future.task and future.task.wait(WAIT)


def test_a_time_that_ran_out_already_is_no_error(endless: Start) -> None:
    """As concurrent.futures itself gives what is left of a limit."""
    future = endless().future()
    with pytest.raises(TimeoutError):
        future.result(-1)
    future.cancel()
    assert concurrent.futures.wait([future], WAIT).done
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(-1)


@pytest.mark.parametrize("timeout, error", [("1", TypeError), (math.nan, ValueError)])
def test_a_timeout_that_is_none_is_refused(timeout: Any, error: type[Exception]) -> None:
    future = gs.go(int).future()
    for call in (future.result, future.exception):
        with pytest.raises(error):
            call(timeout)
    future.result(WAIT)


def test_ctrl_c_ends_the_wait(run_python: Any) -> None:
    done = run_python(
        """
        import os, pygostop as gs, signal, threading
        from pygostop import tasks
        future = gs.go(tasks.spin, 100.0).future()
        try:
            threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
            future.result()
        except KeyboardInterrupt:
            print("interrupted", future.running(), future.cancel())
        """
    )
    assert (done.stdout, done.stderr) == ("interrupted True True\n", "")


# ---- bad use, ends ----


def test_only_the_task_ends_it(endless: Start) -> None:
    future = endless().future()
    with pytest.raises(concurrent.futures.InvalidStateError, match="task"):
        future.set_result(1)
    with pytest.raises(concurrent.futures.InvalidStateError, match="task"):
        future.set_exception(ValueError())
    with pytest.raises(RuntimeError, match="task"):
        future.set_running_or_notify_cancel()
    with pytest.raises(TypeError, match="cannot pickle .* send its result"):
        pickle.dumps(future)
    future.cancel()
    assert concurrent.futures.wait([future], WAIT).done


def test_it_says_which_task_it_is_of(endless: Start) -> None:
    future = endless().future()
    assert repr(future).startswith("<TaskFuture of <Task '")
    future.cancel()
    concurrent.futures.wait([future], WAIT)
    assert repr(future).endswith("cancelled>>")


def test_a_future_of_the_parent_says_fork_in_the_child(run_python: Any) -> None:
    done = run_python(
        """
        import os, pygostop as gs
        future = gs.go(gs.sleep, 100).future()
        gs.sleep(0.2)  # a fork while threads allocate stops a sanitizer
        if (child := os.fork()) == 0:
            for call in (future.result, future.done, future.cancel, future.running):
                try:
                    call()
                except RuntimeError as error:
                    assert "fork" in str(error), error
                else:
                    os._exit(1)
            assert gs.go(len, "abc").future().result(10) == 3
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), future.cancel())
        """
    )
    assert (done.stdout, done.stderr) == ("0 True\n", "")


def test_futures_leak_nothing(probe: Probe) -> None:
    def round() -> None:
        futures = [gs.go(probe.add, 1, 2).future() for _ in range(50)]
        futures += [gs.go(len, "abc").future() for _ in range(50)]
        assert [future.result(WAIT) for future in futures] == [3] * 100

    def count() -> int:
        gc.collect()
        return sum(type(thing) in (gs.TaskFuture, gs.Task) for thing in gc.get_objects())

    before = count()  # of tests that failed, whose tracebacks are kept
    for _ in range(20):
        round()
    assert eventually(lambda: count() <= before)
