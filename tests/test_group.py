"""Group: a block that ends when its tasks have, and whose first failure cancels the rest."""

from __future__ import annotations

import concurrent.futures
import gc
import pathlib
import pickle
import random
import threading
import time
import weakref

import pytest

import pygostop as gs
from support import WAIT, Probe, eventually


def forever(started: gs.Chan[int] | None = None, ended: list[str] | None = None) -> None:
    try:
        if started is not None:
            started.send(1)
        gs.Chan().recv()
    finally:
        if ended is not None:
            ended.append(gs.current_task().name)


def fail(error: BaseException) -> None:
    raise error


# ---- ends, results ----


def test_the_block_ends_when_all_its_tasks_have() -> None:
    ended = []
    with gs.Group() as group:
        tasks = [group.go(lambda n=n: (gs.sleep(0.001 * n), ended.append(n), n)[2]) for n in range(9)]
    assert sorted(ended) == list(range(9))
    assert [task.result(0) for task in tasks] == list(range(9))


def test_an_empty_group_ends_at_once() -> None:
    with gs.Group() as group:
        assert repr(group) == "<Group of 0 running tasks>"
    assert repr(group) == "<Group left>"


def test_a_task_of_the_group_may_start_others_while_the_block_waits() -> None:
    counted = []

    def spread(group: gs.Group, depth: int) -> None:
        gs.sleep(0.001)
        counted.append(depth)
        if depth:
            group.go(spread, group, depth - 1)
            group.go(spread, group, depth - 1)

    with gs.Group() as group:
        group.go(spread, group, 5)
    assert len(counted) == 63


def test_python_tasks_c_tasks_and_threads_are_members_alike(probe: Probe) -> None:
    with gs.Group() as group:
        tasks = [
            group.go(int, "7"),
            group.go(probe.add, 2, 3),
            group.go(lambda: (time.sleep(0.01), 3)[1], thread=True, name="sleeper"),
        ]
    assert [task.result(0) for task in tasks] == [7, 5, 3]
    assert tasks[2].name == "sleeper"


def test_groups_nest() -> None:
    ended: list[str] = []

    def inner() -> None:
        with gs.Group() as group:
            group.go(forever, started, ended, name="deep")
            started.recv()
            group.go(fail, KeyError("inner"))

    started = gs.Chan()
    with pytest.raises(ExceptionGroup) as caught, gs.Group() as group:
        group.go(forever, started, ended, name="outer")
        started.recv()
        group.go(inner)
    (failure,) = caught.value.exceptions
    assert isinstance(failure, ExceptionGroup)
    assert isinstance(failure.exceptions[0], KeyError)
    assert sorted(ended) == ["deep", "outer"]


# ---- failures ----


def test_the_first_failure_cancels_the_rest_with_that_failure_as_cause() -> None:
    error, started = ValueError("first"), gs.Chan()
    with pytest.raises(ExceptionGroup) as caught, gs.Group() as group:
        victim = group.go(forever, started)
        started.recv()
        group.go(fail, error)
    assert caught.value.exceptions == (error,)
    assert victim.cancelled()
    with pytest.raises(concurrent.futures.CancelledError) as cancelled:
        victim.result(0)
    assert cancelled.value.__cause__ is error
    assert group.ctx.cause() is error


def test_a_c_tasks_failure_cancels_the_rest_and_is_its_taskfailed(probe: Probe) -> None:
    with pytest.raises(ExceptionGroup) as caught, gs.Group() as group:
        victim = group.go(forever)
        group.go(probe.fail_with, 42, "no luck")
    (failure,) = caught.value.exceptions
    assert isinstance(failure, gs.TaskFailed) and failure.code == 42
    assert victim.cancelled()
    assert group.ctx.cause() is failure


def test_c_tasks_whose_failures_nobody_fetched_are_reported_and_gone(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda args: reported.append(str(args.exc_value)))
    with pytest.raises(SystemExit), gs.Group() as group:
        task = group.go(probe.fail_with, 42, "no luck")
        with gs.shield():
            group.ctx.done.recv_ok()
        raise SystemExit
    del group, task
    gc.collect()
    assert eventually(lambda: reported == ["task 'fail_with' failed with code 42: no luck"])


def test_all_failures_are_in_the_one_group_in_the_order_in_which_they_came() -> None:
    started = gs.Chan()

    def late() -> None:
        try:
            started.send(1)
            gs.Chan().recv()
        finally:
            raise KeyError("in cleanup")

    with pytest.raises(ExceptionGroup) as caught, gs.Group() as group:
        for _ in range(2):
            group.go(late)
            started.recv()
        group.go(fail, ValueError("first"))
    assert [type(e) for e in caught.value.exceptions] == [ValueError, KeyError, KeyError]
    assert str(caught.value) == "failures in a Group (3 sub-exceptions)"


def test_the_bodys_failure_cancels_the_tasks_and_is_in_the_group() -> None:
    ended: list[str] = []
    error = ValueError("body")
    with pytest.raises(ExceptionGroup) as caught, gs.Group() as group:
        started = gs.Chan()
        group.go(forever, started, ended, name="t")
        started.recv()
        raise error
    assert caught.value.exceptions == (error,)
    assert caught.value.__suppress_context__
    assert ended == ["t"]


def test_a_failure_ends_a_body_that_waits() -> None:
    with pytest.raises(ExceptionGroup) as caught, gs.Group() as group:
        group.go(fail, ValueError("x"))
        gs.Chan().recv()
        pytest.fail("the body went on")
    assert isinstance(caught.value.exceptions[0], ValueError)


def test_failures_that_are_no_exceptions_make_a_base_exception_group() -> None:
    with pytest.raises(BaseExceptionGroup) as caught, gs.Group() as group:
        group.go(fail, SystemExit(3))
    assert not isinstance(caught.value, ExceptionGroup)
    assert caught.value.exceptions[0].code == 3


def test_a_task_that_was_cancelled_by_itself_is_no_failure() -> None:
    with gs.Group() as group:
        started = gs.Chan()
        victim = group.go(forever, started)
        other = group.go(started.recv)
        other.result()
        victim.cancel()
        assert group.go(int, "5").result() == 5
    assert victim.cancelled()


def test_except_star_takes_the_failures_apart() -> None:
    seen = []
    try:
        with gs.Group() as group:
            group.go(fail, KeyError("k"))
    except* KeyError as group_of:
        seen.extend(group_of.exceptions)
    assert [str(e) for e in seen] == ["'k'"]


def test_a_failure_in_the_group_is_reported_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", reported.append)
    with pytest.raises(ExceptionGroup), gs.Group() as group:
        group.go(fail, ValueError())
    del group
    gc.collect()
    assert reported == []


# ---- cancel ----


def test_cancel_ends_tasks_and_body_and_the_block_just_ends() -> None:
    ended: list[str] = []
    with gs.Group() as group:
        tasks = [group.go(forever, None, ended, name=f"t{n}") for n in range(20)]
        gs.checkpoint()
        group.cancel("enough")
        gs.Chan().recv()
        pytest.fail("the body went on")
    assert all(task.cancelled() for task in tasks)
    assert str(group.ctx.cause()) == "enough"


def test_cancelled_from_outside_it_waits_and_passes_that_on_alone() -> None:
    ended: list[str] = []
    started = gs.Chan()
    with gs.move_on_after(None) as scope:
        with gs.Group() as group:
            group.go(forever, started, ended, name="t")
            started.recv()
            scope.cancel()
            gs.Chan().recv()
    assert scope.cancelled and ended == ["t"]


def test_a_cancel_from_outside_reaches_a_block_that_waits_already() -> None:
    ended: list[str] = []
    with gs.cancel_scope() as scope:
        gs.go(lambda: (gs.sleep(0.01), scope.cancel()), ctx=gs.background())
        with gs.Group() as group:
            group.go(forever, None, ended, name="t")
        pytest.fail("the block passed nothing on")
    assert scope.cancelled and ended == ["t"]


def test_a_timeout_around_the_group_is_deadline_exceeded() -> None:
    with pytest.raises(gs.DeadlineExceeded), gs.timeout(0.02), gs.Group() as group:
        group.go(forever)


def test_failures_beside_a_cancel_from_outside_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda args: reported.append(args.exc_value))

    started = gs.Chan()

    def stubborn() -> None:
        try:
            started.send(1)
            gs.Chan().recv()
        finally:
            raise ValueError("in cleanup")

    with gs.cancel_scope() as scope:
        with gs.Group() as group:
            group.go(stubborn)
            started.recv()
            scope.cancel()
    del group
    gc.collect()
    assert eventually(lambda: len(reported) == 1)
    assert str(reported[0]) == "in cleanup"


def test_a_task_started_in_a_cancelled_group_never_runs() -> None:
    ran: list[int] = []
    with gs.Group() as group:
        group.cancel()
        task = group.go(ran.append, 1)
    assert task.cancelled() and ran == []


def test_other_exceptions_that_are_no_failures_pass_alone() -> None:
    ended: list[str] = []
    started = gs.Chan()
    with pytest.raises(SystemExit), gs.Group() as group:
        group.go(forever, started, ended, name="t")
        started.recv()
        raise SystemExit(1)
    assert ended == ["t"]


def test_the_groups_context_is_in_force_in_the_body_and_in_the_tasks() -> None:
    with gs.Group() as group:
        task = group.go(gs.checkpoint)
        assert task.ctx is not group.ctx
        group.cancel()
        with pytest.raises(gs.Cancelled):
            gs.checkpoint()
        with gs.shield():
            gs.checkpoint()
    gs.checkpoint()


def test_ten_thousand_tasks_are_cancelled_by_one_failure() -> None:
    ended: list[str] = []
    with pytest.raises(ExceptionGroup) as caught, gs.Group() as group:
        for n in range(10_000):
            group.go(forever, None, ended, name="t")
        while sum(task.state == "parked" for task in gs.all_tasks()) < 10_000:
            gs.sleep(0.01)
        group.go(fail, ValueError())
    assert len(ended) == 10_000 and len(caught.value.exceptions) == 1


# ---- limit ----


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_than_limit_tasks_run_at_once(limit: int) -> None:
    running = most = 0

    def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        gs.sleep(0.001)
        running -= 1

    with gs.Group(limit=limit) as group:
        for _ in range(20):
            group.go(work)
    assert most == limit


def test_a_go_that_waits_for_a_place_is_a_checkpoint() -> None:
    ran: list[int] = []
    with gs.Group(1) as group:
        group.go(forever)
        with gs.move_on_after(0.01) as scope:
            group.go(ran.append, 1)
        assert scope.cancelled
        group.cancel()
    assert ran == []


def test_a_go_that_failed_gives_its_place_back() -> None:
    with gs.Group(1) as group:
        for bad in (None, 3, "x"):
            with pytest.raises(TypeError, match="go.. needs a callable or a CTask"):
                group.go(bad)  # type: ignore[arg-type]
        assert group.go(int, "4").result() == 4


def test_the_block_waits_for_a_go_that_waits_for_a_place() -> None:
    done: list[int] = []
    gate = gs.Chan()
    entered = threading.Event()

    def outsider() -> None:
        entered.set()
        group.go(done.append, 2)

    with gs.Group(1) as group:
        group.go(gate.recv)
        thread = threading.Thread(target=outsider)
        thread.start()
        entered.wait(WAIT)
        assert eventually(lambda: repr(group) == "<Group of 2 running tasks>")
        gs.go(lambda: (gs.sleep(0.01), gate.send(1)), ctx=gs.background())
    thread.join()
    assert done == [2]


@pytest.mark.parametrize("bad, error", [(0, ValueError), (-1, ValueError), ("3", TypeError), (1.5, TypeError)])
def test_a_limit_that_is_none_is_refused(bad: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="limit"):
        gs.Group(bad)  # type: ignore[arg-type]


# ---- misuse ----


def test_a_group_is_entered_once() -> None:
    group = gs.Group()
    with group:
        with pytest.raises(RuntimeError, match="entered before"), group:
            pass
    with pytest.raises(RuntimeError, match="entered before"), group:
        pass


def test_a_group_starts_tasks_between_its_begin_and_its_end_only() -> None:
    group = gs.Group()
    with pytest.raises(RuntimeError, match="inside its `with` block"):
        group.go(int)
    with pytest.raises(RuntimeError, match="has not begun"):
        group.cancel()
    with pytest.raises(RuntimeError, match="has not begun"):
        group.ctx  # noqa: B018
    with group:
        pass
    with pytest.raises(RuntimeError, match="was left"):
        group.go(int)
    with pytest.raises(RuntimeError, match="was left"):
        group.__exit__(None, None, None)
    group.cancel()  # of what is over, harmless as everywhere


def test_leaving_without_having_entered_is_refused() -> None:
    with pytest.raises(RuntimeError, match="inside its `with` block"):
        gs.Group().__exit__(None, None, None)


def test_leaving_in_the_wrong_order_is_refused_and_changes_nothing() -> None:
    group = gs.Group()
    group.__enter__()
    scope = gs.cancel_scope()
    scope.__enter__()
    with pytest.raises(RuntimeError, match="not the innermost"):
        group.__exit__(None, None, None)
    scope.__exit__(None, None, None)
    group.go(int)
    group.__exit__(None, None, None)


def test_a_group_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(gs.Group())


def test_a_group_in_a_forked_child_is_refused(run_python) -> None:
    done = run_python("""
        import os
        import pygostop as gs
        with gs.Group() as group:
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    group.go(int)
                except RuntimeError as error:
                    code = 0 if "fork" in str(error) else 2
                os._exit(code)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)


def test_a_group_that_is_dropped_unleft_lets_its_tasks_go_on() -> None:
    gate = gs.Chan(1)

    def half() -> gs.Task:
        group = gs.Group()
        group.__enter__()
        return group.go(gate.recv)

    task = gs.go(half).result()
    gc.collect()
    gate.send(3)
    assert task.result() == 3


def test_groups_leave_nothing_behind() -> None:
    class Thing:
        pass

    things = [Thing() for _ in range(3)]
    refs = [weakref.ref(thing) for thing in things]

    def keep(thing: Thing) -> Thing:
        return thing

    def raise_it(thing: Thing) -> None:
        raise ValueError(thing)

    with pytest.raises(ExceptionGroup), gs.Group() as group:
        group.go(keep, things[0])
        group.go(forever, gs.Chan(1))
        group.go(raise_it, things[1])
    del things, group
    gc.collect()
    assert eventually(lambda: gc.collect() >= 0 and all(ref() is None for ref in refs))


# ---- Ctrl-C ----

INTERRUPTED = """
    import ctypes, os, signal, sys, threading, time
    import pygostop as gs

    ended, deferred = [], [bytearray(4) for _ in range(10)]
    sleep_with_defer = gs.CTask(ctypes.CDLL({probe!r}).sleep_with_defer)

    def task(n):
        try:
            gs.Chan().recv()
        finally:
            with gs.shield():
                gs.sleep(0.01)
            ended.append(n)

    def interrupt():
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    raised = 0
    try:
        with gs.Group() as group:
            waiting = [group.go(task, n) for n in range(50)]
            waiting += [group.go(sleep_with_defer, count) for count in deferred]
            group.go(gs.tasks.spin, 1000.0)
            while any(task.state != "parked" for task in waiting):
                gs.sleep(0.001)
            threading.Thread(target=interrupt).start()
            {body}
    except KeyboardInterrupt as error:
        raised += 1
        assert error.__cause__ is None
    gs.sleep(0.05)
    print(raised, len(ended), [count[0] for count in deferred] == [1] * 10, gs.all_tasks())
"""


@pytest.mark.parametrize("body", ["gs.Chan().recv()", "pass", "\n            while True: pass"])
def test_ctrl_c_cancels_lets_every_finally_and_defer_run_and_raises_once(
    run_python, probe_path: pathlib.Path, body: str
) -> None:
    done = run_python(INTERRUPTED.format(body=body, probe=str(probe_path)))
    assert (done.stdout, done.stderr) == ("1 50 True []\n", "")


def test_a_second_ctrl_c_names_the_tasks_that_still_run_and_raises_at_once(run_python) -> None:
    done = run_python("""
        import os, signal, threading, time
        import pygostop as gs

        release = gs.Chan()

        def deaf():
            with gs.shield():
                try:
                    release.recv()
                except gs.ChannelClosed:
                    pass

        def interrupt():
            for _ in range(2):
                time.sleep(0.3)
                os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        try:
            with gs.Group() as group:
                group.go(deaf, name="deaf one")
        except KeyboardInterrupt:
            print("interrupted", group)
        release.close()
    """)
    assert done.stdout == "interrupted <Group left>\n"
    assert "1 task still ran: 'deaf one'" in done.stderr


# ---- stress ----


def test_groups_that_fail_and_are_cancelled_at_random_account_for_every_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[object] = []  # failures beside a cancel from outside
    monkeypatch.setattr("sys.unraisablehook", lambda args: reported.append(args.exc_value))
    rng = random.Random(7)
    for _ in range(200):
        raised: list[BaseException] = []
        seen: list[BaseException] = []
        begun: list[int] = []
        ended: list[int] = []
        fails = rng.random() < 0.5

        def work(n: int, after: float, bad: bool) -> None:
            begun.append(n)
            try:
                gs.sleep(after)
                if bad:
                    raised.append(error := ValueError(n))
                    raise error
            finally:
                ended.append(n)

        try:
            with gs.move_on_after(rng.choice([None, 0.0, 0.001, 0.003])):
                with gs.Group(rng.choice([None, 2, 5])) as group:
                    for n in range(20):
                        group.go(work, n, rng.random() * 0.002, fails and rng.random() < 0.1)
                        if rng.random() < 0.02:
                            group.cancel()
        except ExceptionGroup as group_of:
            seen.extend(group_of.exceptions)
        del group
        gc.collect()
        assert sorted(begun) == sorted(ended)
        assert {*map(id, raised)} == {*map(id, seen), *map(id, reported)}
        reported.clear()
