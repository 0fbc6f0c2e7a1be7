"""What goes wrong in Python tasks: a clear error or the documented behaviour, nothing lost, no hang."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

import pygostop as gs
from support import WAIT, eventually


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The exceptions that sys.unraisablehook was told of."""
    exceptions: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: exceptions.append(repr(args.exc_value)))
    return exceptions


def fail(error: BaseException) -> None:
    raise error


def parked(fn: Callable[..., Any], *args: Any) -> gs.Task:
    """A task of it that waits."""
    task = gs.go(fn, *args)
    assert eventually(lambda: task.state == "parked")
    return task


# ---- exceptions ----


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), ValueError()])
def test_whatever_a_call_raises_elsewhere_is_raised_by_the_wait(error: BaseException) -> None:
    """Of a task with a thread, and of blocking()."""
    for wait in (gs.go(fail, error, thread=True).result, lambda: gs.blocking(fail, error)):
        with pytest.raises(type(error)) as caught:
            wait()
        assert caught.value is error


@pytest.mark.parametrize("thread", [False, True])
def test_arguments_that_do_not_fit_are_a_failure_in_the_group(thread: bool) -> None:
    with pytest.raises(ExceptionGroup) as caught, gs.Group() as group:
        group.go(len, 1, 2, thread=thread)
    assert str(caught.value.exceptions[0]) == "len() takes exactly one argument (2 given)"


@pytest.mark.parametrize("error", [KeyError("cleanup"), SystemExit(4), KeyboardInterrupt()])
def test_an_exception_in_a_finally_during_a_cancel_is_the_tasks_failure(
    error: BaseException, reported: list[str]
) -> None:
    def clean_up_badly() -> None:
        try:
            gs.sleep(None)
        finally:
            raise error

    task = parked(clean_up_badly)
    task.cancel("why")
    with pytest.raises(type(error)) as caught:
        task.result(WAIT)
    assert caught.value is error and not task.cancelled() and task.state == "failed"
    cancelled = error.__context__  # what it was cleaning up after is told too
    assert isinstance(cancelled, gs.Cancelled) and str(cancelled.__cause__) == "why"
    assert reported == []


def test_what_a_task_returns_in_spite_of_a_cancel_is_the_result() -> None:
    def insist() -> str:
        try:
            gs.sleep(None)
        except gs.Cancelled:
            pass
        return "result"

    task = parked(insist)
    task.cancel()
    assert task.result(WAIT) == "result" and not task.cancelled()


# ---- callbacks ----


def test_callbacks_that_raise_are_reported_and_keep_no_other_from_running(reported: list[str]) -> None:
    seen: list[gs.Task] = []
    gate: gs.Chan[None] = gs.Chan()
    task = parked(gate.recv_ok)
    for error in (ValueError("v"), SystemExit(1), KeyboardInterrupt()):
        task.add_done_callback(lambda _, error=error: fail(error))
    task.add_done_callback(seen.append)
    gate.close()
    assert eventually(lambda: seen == [task])
    task.add_done_callback(lambda _: fail(ValueError("late")))  # on this thread
    assert reported == ["ValueError('v')", "SystemExit(1)", "KeyboardInterrupt()", "ValueError('late')"]
    assert task.result() == (None, False)


def test_a_callback_may_cancel_its_task_and_wait_for_it() -> None:
    """It has ended: there is nothing to stop, and the first cause stays."""
    seen: list[Any] = []

    def callback(task: gs.Task) -> None:
        seen.append((task.cancel("too late"), task.wait(), task.cancelled()))

    gate: gs.Chan[None] = gs.Chan()
    ends = parked(gate.recv_ok)
    stops = parked(gs.sleep, None)
    for task in (ends, stops):
        task.add_done_callback(callback)
    stops.cancel("first")
    gate.close()
    assert eventually(lambda: len(seen) == 2)
    assert sorted(seen) == [(False, True, False), (False, True, True)]
    assert ends.result() == (None, False)
    with pytest.raises(BaseException) as caught:
        stops.result()
    assert str(caught.value.__cause__) == "first"


def test_what_runs_after_a_context_is_done_may_cancel_its_task_again() -> None:
    seen: list[bool] = []
    task = parked(gs.sleep, None)
    gs.after_func(task.ctx, lambda: seen.append(task.cancel("again") or task.wait(WAIT)))
    task.cancel("first")
    assert eventually(lambda: seen == [True])
    assert task.cancelled() and str(task.ctx.cause()) == "first"


# ---- values that are left ----


class Fragile:
    """Its destructor raises."""

    gone = 0

    def __del__(self) -> None:
        Fragile.gone += 1
        raise ValueError("in __del__")


@pytest.fixture
def fragile(reported: list[str]) -> type[Fragile]:
    Fragile.gone = 0
    return Fragile


def test_destructors_of_values_left_in_a_channel_all_run_and_are_reported(
    fragile: type[Fragile], reported: list[str]
) -> None:
    def leave_behind() -> str:
        ch: gs.Chan[Fragile] = gs.Chan(5)
        for _ in range(5):
            ch.send(fragile())
        return "went on"

    leave_behind()
    assert fragile.gone == 5
    assert gs.go(leave_behind).result(WAIT) == "went on"
    assert eventually(lambda: gs.checkpoint() or fragile.gone == 10)
    assert eventually(lambda: reported == ["ValueError('in __del__')"] * 10)


def test_destructors_of_values_that_were_not_sent_run(fragile: type[Fragile], reported: list[str]) -> None:
    ch: gs.Chan[Fragile] = gs.Chan()
    cancelled, refused = parked(lambda: ch.send(fragile())), parked(lambda: ch.send(fragile()))
    cancelled.cancel()
    assert cancelled.wait(WAIT) and cancelled.cancelled()
    ch.close()
    assert isinstance(refused.exception(WAIT), gs.ChannelClosed)
    del refused
    assert eventually(lambda: gc.collect() >= 0 and fragile.gone == 2)
    assert eventually(lambda: reported == ["ValueError('in __del__')"] * 2)


def test_a_destructor_that_uses_its_channel_finds_it_whole() -> None:
    """It sends on, receives from and closes the channel that the value was in."""
    other: gs.Chan[str] = gs.Chan(10)

    class Uses:
        def __init__(self, ch: gs.Chan[Any]) -> None:
            self.ch = ch

        def __del__(self) -> None:
            other.send_nowait(repr(self.ch.recv_ok()))
            self.ch.close()

    ch: gs.Chan[Any] = gs.Chan(3)
    for _ in range(3):
        ch.send(Uses(ch))
    first = ch.recv()
    ch.close()
    del first  # receives the second, whose destructor receives the third
    assert eventually(lambda: len(other) == 3)
    assert ch.recv_ok() == (None, False)
    assert other.recv() == "(None, False)"  # the third found nothing


# ---- waits that could not end ----


def test_a_task_that_waits_for_its_own_end_is_refused() -> None:
    def wait(how: str) -> None:
        getattr(gs.current_task(), how)()

    for how in ("result", "exception", "wait"):
        task = gs.go(wait, how, name="ouroboros")
        with pytest.raises(gs.Error, match="task 'ouroboros' would wait for its own end"):
            task.result(WAIT)
