"""Python tasks: what they give, how they stop, what they see."""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import gc
import os
import sys
import threading
import time
import weakref
from typing import Any

import pytest

import pygostop as gs
from support import WAIT, eventually

# ---- start and end ----


@pytest.mark.parametrize("length", [1, 22, 23, 24, 25, 300])
def test_a_name_of_any_length_is_kept(length: int) -> None:
    name = "é" + "n" * (length - 2) if length > 1 else "n"
    task = gs.go(gs.checkpoint, name=name)
    assert task.name == name
    task.result()
    assert task.name == name


def test_a_callable_of_any_kind_runs_as_a_task() -> None:
    class Callable:
        def __call__(self, n: int) -> int:
            return n + 1

        def method(self, n: int) -> int:
            return n + 2

    assert gs.go(lambda n: n, 1).result(WAIT) == 1
    assert gs.go(Callable(), 1).result(WAIT) == 2
    assert gs.go(Callable().method, 1).result(WAIT) == 3
    assert gs.go(functools.partial(pow, 2), 3).result(WAIT) == 8
    assert gs.go(len, [1, 2]).result(WAIT) == 2


def test_a_task_is_named_for_its_callable_or_as_told() -> None:
    def worker() -> None:
        pass

    for task, name in (
        (gs.go(worker), "worker"),
        (gs.go(worker, name="digest"), "digest"),
        (gs.go(len, []), "len"),
        (gs.go(functools.partial(worker)), "functools.partial"),
    ):
        task.wait(WAIT)
        assert task.name == name


def test_arguments_that_do_not_fit_are_the_tasks_failure() -> None:
    task = gs.go(len, 1, 2)
    with pytest.raises(TypeError, match="exactly one argument"):
        task.result(WAIT)


def test_what_a_task_raises_crosses_result_with_its_traceback() -> None:
    def inner() -> None:
        raise ValueError("broken")

    def outer() -> None:
        inner()

    task = gs.go(outer)
    with pytest.raises(ValueError, match="broken") as caught:
        task.result(WAIT)
    names = [entry.name for entry in caught.traceback]
    assert names[-2:] == ["outer", "inner"]
    assert task.exception() is caught.value
    assert task.state == "failed"


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_base_exceptions_are_the_tasks_failure_and_the_process_goes_on(error: type[BaseException]) -> None:
    def leave() -> None:
        raise error("no")

    with pytest.raises(error):
        gs.go(leave).result(WAIT)
    assert gs.go(int, "3").result(WAIT) == 3


def test_a_failure_that_nobody_fetched_is_reported_once_with_the_tasks_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)

    def forgotten() -> None:
        raise ValueError("lost")

    task = gs.go(forgotten)
    assert task.wait(WAIT)
    del task
    assert eventually(lambda: gs.checkpoint() or reports)
    assert len(reports) == 1
    assert isinstance(reports[0].exc_value, ValueError)
    assert reports[0].exc_value.__traceback__ is not None
    assert "forgotten" in repr(reports[0].object)


def test_failures_are_reported_one_by_one_also_where_handles_take_the_place_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reports.append(str(args.exc_value)))

    def forgotten(n: int) -> None:
        raise ValueError(n)

    for n in range(100):
        task = gs.go(forgotten, n)
        assert task.wait(WAIT)
        del task
        assert gs.go(int, "3").result(WAIT) == 3
        assert eventually(lambda: gs.checkpoint() or len(reports) > n)
    assert reports == [str(n) for n in range(100)]


def test_a_weak_reference_dies_with_the_handle_and_is_not_another_ones() -> None:
    for _ in range(100):
        task = gs.go(int, "3")
        assert task.result(WAIT) == 3
        seen = weakref.ref(task)
        assert seen() is task
        del task
        others = [gs.go(int, "4") for _ in range(3)]
        assert seen() is None
        assert [other.result(WAIT) for other in others] == [4, 4, 4]
        assert weakref.getweakrefcount(others[0]) == 0


def test_done_callbacks_run_once_each() -> None:
    seen: list[gs.Task] = []
    gate: gs.Chan[None] = gs.Chan()
    task = gs.go(gate.recv)
    task.add_done_callback(seen.append)
    gate.send(None)
    assert eventually(lambda: seen)
    task.add_done_callback(seen.append)
    assert seen == [task, task]


def test_current_task_is_the_one_handle() -> None:
    found: list[gs.Task | None] = []
    task = gs.go(lambda: found.append(gs.current_task()))
    task.result(WAIT)
    assert found[0] is task
    assert gs.current_task() is None


def test_all_tasks_names_parked_python_tasks() -> None:
    gate: gs.Chan[None] = gs.Chan()
    tasks = [gs.go(gate.recv) for _ in range(10)]
    assert eventually(lambda: all(t.state == "parked" for t in tasks))
    assert {id(t) for t in gs.all_tasks()} == {id(t) for t in tasks}
    assert "recv" in str(tasks[0].waiting_on)
    gate.close()
    for task in tasks:
        with pytest.raises(gs.ChannelClosed):
            task.result(WAIT)


def test_ten_thousand_tasks_that_start_tasks() -> None:
    def tree(depth: int) -> int:
        if depth == 0:
            return 1
        left, right = gs.go(tree, depth - 1), gs.go(tree, depth - 1)
        return left.result() + right.result() + 1

    assert gs.go(tree, 12).result(WAIT) == 2**13 - 1


# ---- channels, select and C tasks ----


def test_python_tasks_and_threads_meet_on_channels() -> None:
    ch: gs.Chan[int] = gs.Chan()

    def produce() -> None:
        with ch:
            for n in range(1000):
                ch.send(n)

    task = gs.go(produce)
    assert list(ch) == list(range(1000))
    task.result(WAIT)


def test_a_c_task_feeds_a_python_task_feeds_a_c_task() -> None:
    numbers, squares = gs.Chan(4, int), gs.Chan(4, int)

    def square() -> None:
        with squares:
            for n in numbers:
                squares.send(n * n)

    source = gs.go(gs.tasks.count, numbers, 0, 1000, 1)
    middle = gs.go(square)
    assert list(squares) == [n * n for n in range(1000)]
    middle.result(WAIT)
    source.result(WAIT)


def test_a_python_task_calls_a_c_task_and_others_run_meanwhile() -> None:
    def call() -> None:
        gs.tasks.spin(0.2)

    task = gs.go(call)
    steps = 0
    while not gs.go(task.done).result(WAIT):
        steps += 1
    assert steps > 0


def test_select_in_a_task() -> None:
    a, b = gs.Chan(), gs.Chan()

    def choose() -> list[int]:
        return [gs.select(a, b).index for _ in range(2)]

    task = gs.go(choose)
    b.send(1)
    a.send(1)
    assert task.result(WAIT) == [1, 0]

    def run_out() -> None:
        gs.select(a, b, timeout=0.01)

    with pytest.raises(TimeoutError):
        gs.go(run_out).result(WAIT)


def test_tasks_on_one_worker_take_turns_at_each_checkpoint() -> None:
    order: list[str] = []

    def turns(name: str) -> None:
        for _ in range(3):
            order.append(name)
            gs.checkpoint()

    def both() -> None:
        first, second = gs.go(turns, "a"), gs.go(turns, "b")
        first.result()
        second.result()

    gs.go(both).result(WAIT)
    assert sorted(order) == ["a"] * 3 + ["b"] * 3
    assert order != sorted(order)


def test_sleeping_tasks_sleep_side_by_side() -> None:
    start = time.monotonic()
    tasks = [gs.go(gs.sleep, 0.2) for _ in range(200)]
    for task in tasks:
        task.result(WAIT)
    assert 0.2 <= time.monotonic() - start < 10


# ---- stopping ----


def test_cancel_raises_in_the_blocking_call_and_finally_runs() -> None:
    log: list[str] = []

    def wait() -> None:
        try:
            gs.sleep(None)
        except Exception:
            log.append("except Exception")
        finally:
            log.append("finally")

    task = gs.go(wait)
    assert eventually(lambda: task.state == "parked")
    assert task.cancel("enough")
    assert task.wait(WAIT)
    assert log == ["finally"]
    assert task.cancelled()
    with pytest.raises(concurrent.futures.CancelledError) as caught:
        task.result()
    assert "enough" in str(caught.value.__cause__)
    assert not task.cancel()


def test_cancelled_is_raised_again_at_each_further_call() -> None:
    raised = 0

    def stubborn() -> str:
        nonlocal raised
        for _ in range(3):
            try:
                gs.sleep(WAIT)
            except gs.Cancelled:
                raised += 1
        return "done"

    task = gs.go(stubborn)
    assert eventually(lambda: task.state == "parked")
    task.cancel()
    assert task.result(WAIT) == "done"
    assert raised == 3
    assert not task.cancelled()


def test_a_task_cancelled_before_it_began_never_runs() -> None:
    ran: list[int] = []

    def spawn() -> gs.Task:
        task = gs.go(ran.append, 1)
        task.cancel()
        return task

    task = gs.go(spawn).result(WAIT)
    assert task.wait(WAIT)
    assert task.cancelled()
    assert ran == []


def test_cleanup_waits_under_a_shield() -> None:
    done: gs.Chan[str] = gs.Chan(1)

    def clean() -> None:
        try:
            gs.sleep(None)
        finally:
            with gs.shield():
                gs.sleep(0.01)
                done.send("cleaned")

    task = gs.go(clean)
    assert eventually(lambda: task.state == "parked")
    task.cancel()
    assert done.recv(timeout=WAIT) == "cleaned"
    assert task.wait(WAIT)
    assert task.cancelled()


def test_a_childs_context_is_below_its_makers_and_outlives_its_end() -> None:
    def parent() -> gs.Task:
        return gs.go(gs.sleep, None)

    child = gs.go(parent).result(WAIT)
    assert eventually(lambda: child.state == "parked")
    assert child.cancel()
    assert child.wait(WAIT)

    children: list[gs.Task] = []

    def parent_that_waits() -> None:
        children.append(gs.go(gs.sleep, None))
        gs.sleep(None)

    task = gs.go(parent_that_waits)
    assert eventually(lambda: children and children[0].state == "parked")
    task.cancel()
    assert children[0].wait(WAIT)
    assert children[0].cancelled()


def test_a_cancelled_of_the_tasks_own_making_is_a_failure() -> None:
    def invent() -> None:
        raise gs.Cancelled("not asked")

    task = gs.go(invent)
    with pytest.raises(gs.Cancelled, match="not asked"):
        task.result(WAIT)
    assert not task.cancelled()


def test_a_timeout_in_a_task_ends_its_block_alone() -> None:
    def limited() -> str:
        with pytest.raises(gs.DeadlineExceeded), gs.timeout(0.01):
            gs.sleep(None)
        with gs.move_on_after(0.01) as scope:
            gs.sleep(None)
        gs.checkpoint()
        return "on" if scope.cancelled else "?"

    assert gs.go(limited).result(WAIT) == "on"


def test_the_scope_of_the_caller_stops_the_task() -> None:
    with gs.cancel_scope() as scope:
        task = gs.go(gs.sleep, None)
        assert eventually(lambda: task.state == "parked")
        scope.cancel()
    assert task.wait(WAIT)
    assert task.cancelled()


def test_a_context_given_to_go_stops_the_task() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    tasks = [gs.go(gs.sleep, None, ctx=ctx) for _ in range(100)]
    cancel()
    for task in tasks:
        assert task.wait(WAIT)
        assert task.cancelled()


def test_a_task_may_cancel_itself() -> None:
    def stop() -> None:
        task = gs.current_task()
        assert task is not None
        task.cancel()
        gs.checkpoint()

    task = gs.go(stop)
    assert task.wait(WAIT)
    assert task.cancelled()


# AddressSanitizer's shadow of so many stacks is larger than memory.
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="under AddressSanitizer")
def test_a_hundred_thousand_parked_tasks_are_cancelled_by_one_call_and_clean_up() -> None:
    count, ended = 100_000, 0
    gate: gs.Chan[None] = gs.Chan()

    def wait() -> None:
        nonlocal ended
        try:
            gate.recv()
        finally:
            ended += 1

    def start() -> list[gs.Task]:
        return [gs.go(wait, ctx=ctx) for _ in range(count)]

    ctx, cancel = gs.with_cancel(gs.background())
    tasks = gs.go(start).result(6 * WAIT)
    assert eventually(lambda: all(task.state == "parked" for task in tasks), 6 * WAIT)
    cancel()
    for task in tasks:
        assert task.wait(6 * WAIT)
    assert all(task.cancelled() for task in tasks)
    assert ended == count


def test_a_task_that_only_polls_starves_nobody() -> None:
    """What it calls gives way for it, whatever call that is."""
    stop: gs.Chan[None] = gs.Chan(1)

    def poll() -> int:
        n = 0
        while gs.select(stop, nowait=True).index < 0:
            n += 1
        return n

    def both() -> int:
        def turns() -> None:
            for _ in range(5):
                gs.checkpoint()
            stop.send(None)

        other = gs.go(turns)
        gs.checkpoint()
        polls = poll()
        other.result()
        return polls

    assert gs.go(both).result(WAIT) > 0


# ---- what a task sees ----


def test_a_task_runs_in_a_copy_of_its_makers_context() -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="none")
    var.set("maker")

    def change() -> tuple[str, str]:
        before = var.get()
        var.set("task")
        gs.checkpoint()
        return before, var.get()

    assert gs.go(change).result(WAIT) == ("maker", "task")
    assert var.get() == "maker"


def test_a_task_that_blocks_its_thread_does_not_hold_up_those_that_have_not_begun() -> None:
    release = threading.Event()
    blocked = gs.go(release.wait, WAIT)
    assert eventually(lambda: blocked.state == "running")
    try:
        assert gs.go(threading.get_ident).result(WAIT) != 0
        assert not blocked.done()
    finally:
        release.set()
    assert blocked.result(WAIT) is True


# ---- code that blocks ----


def test_blocking_parks_only_its_task() -> None:
    release = threading.Event()

    def blocked() -> bool:
        return gs.blocking(release.wait, WAIT)

    def others() -> int:
        return sum(gs.go(int, "1").result() for _ in range(10))

    task = gs.go(blocked)
    assert gs.go(others).result(WAIT) == 10
    assert not task.done()
    release.set()
    assert task.result(WAIT) is True


def test_blocking_gives_and_raises_what_the_function_does() -> None:
    assert gs.blocking(int, "3") == 3
    with pytest.raises(ValueError, match="invalid literal"):
        gs.go(gs.blocking, int, "x").result(WAIT)
    began: list[int] = []
    with gs.cancel_scope() as scope:
        scope.cancel()
        gs.blocking(began.append, 1)
    assert scope.cancelled
    assert began == []


def test_a_task_with_a_thread_of_its_own() -> None:
    def ident() -> tuple[int, gs.Task | None]:
        return threading.get_ident(), gs.current_task()

    tasks = [gs.go(ident, thread=True) for _ in range(5)]
    worker = gs.go(ident).result(WAIT)[0]
    for task in tasks:
        found, current = task.result(WAIT)
        assert found not in (worker, threading.get_ident())
        assert current is task
        assert task.name == "ident"
    with pytest.raises(TypeError, match="thread=True"):
        gs.go(gs.tasks.spin, 1.0, thread=True)


def test_a_task_with_a_thread_of_its_own_is_stopped_in_its_blocking_calls() -> None:
    started: gs.Chan[None] = gs.Chan()
    log: list[str] = []

    def wait() -> None:
        started.send(None)
        try:
            gs.sleep(None)
        finally:
            log.append("finally")

    task = gs.go(wait, thread=True)
    started.recv(timeout=WAIT)
    task.cancel()
    assert task.wait(WAIT)
    assert task.cancelled()
    assert log == ["finally"]


# ---- nothing is left behind ----


def test_ended_tasks_release_what_they_were_given_and_gave() -> None:
    class Thing:
        pass

    refs: list[weakref.ref[Thing]] = []

    def keep(thing: Thing) -> Thing:
        refs.append(weakref.ref(thing))
        other = Thing()
        refs.append(weakref.ref(other))
        gs.checkpoint()
        return other

    def stopped(thing: Thing) -> None:
        refs.append(weakref.ref(thing))
        gs.sleep(None)

    task = gs.go(keep, Thing())
    assert task.result(WAIT) is not None
    parked = gs.go(stopped, Thing())
    assert eventually(lambda: parked.state == "parked")
    parked.cancel()
    assert parked.wait(WAIT)
    del task, parked
    assert eventually(lambda: gs.checkpoint() or gc.collect() is None or not any(r() for r in refs))


def test_a_stop_is_heard_in_a_context_of_anothers_making() -> None:
    """As libraries do that run a callback by a Context of their own, or an empty one."""
    import contextvars

    outside = contextvars.copy_context()
    started: gs.Chan[None] = gs.Chan()

    def wait() -> None:
        with gs.cancel_scope():
            started.send(None)
            gs.sleep(None)

    for context in (outside, contextvars.Context()):
        task = gs.go(context.run, wait)
        started.recv(WAIT)
        task.cancel()
        assert task.wait(WAIT) and task.cancelled()


def test_a_done_callback_added_by_a_task_runs_outside_its_scope() -> None:
    ended = gs.go(int)
    ended.wait()
    seen: list[bool] = []

    def add() -> None:
        gs.current_task().cancel()  # type: ignore[union-attr]
        ended.add_done_callback(lambda _: seen.append(gs.after(0) is not None and gs.checkpoint() is None))

    gs.go(add).wait(WAIT)
    assert seen == [True]
