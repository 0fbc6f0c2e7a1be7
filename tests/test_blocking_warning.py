"""BlockingWarning: a Python task that keeps its thread while others wait for it, and the line it is at."""

from __future__ import annotations

import math
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pygostop as gs
from pygostop import _late
from support import WAIT, eventually

LIMIT = 0.05  # seconds


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    gs.configure(blocking_warning=LIMIT)
    yield
    gs.configure(blocking_warning=math.inf)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[warnings.WarningMessage]:
    """What was warned of, by any thread."""
    messages: list[warnings.WarningMessage] = []

    def show(message: Any, category: Any, filename: str, lineno: int, *rest: Any) -> None:
        messages.append(warnings.WarningMessage(message, category, filename, lineno, *rest))

    monkeypatch.setattr(warnings, "showwarning", show)
    monkeypatch.setattr(warnings, "filters", [("always", None, gs.BlockingWarning, None, 0)])
    warnings._filters_mutated() if hasattr(warnings, "_filters_mutated") else None  # type: ignore[attr-defined]
    return messages


def beside_a_waiting_task(block: Callable[[], object], done: Callable[[], bool]) -> None:
    """Runs block() in a task, on a worker where another one has begun, is ready and waits."""
    begun: gs.Chan[None] = gs.Chan()
    wake: gs.Chan[None] = gs.Chan(1)

    def waits() -> None:
        begun.send(None)
        wake.recv()

    def blocks() -> None:
        begun.send(None)
        gs.checkpoint()
        wake.send(None)
        block()

    with gs.Group() as group:
        group.go(waits)
        begun.recv(WAIT)
        group.go(blocks, name="the blocker")
        begun.recv(WAIT)
    assert eventually(done)


def test_a_frame_between_two_lines_is_named_by_its_functions_first(said: list[warnings.WarningMessage]) -> None:
    code = (lambda: sys._getframe()).__code__.replace(co_linetable=b"")
    frame = types.FunctionType(code, globals())()
    assert frame.f_lineno is None
    task = gs.go(int)
    task.result()
    _late.warn(frame, task)
    assert [one.lineno for one in said] == [code.co_firstlineno]


def test_it_names_the_line_and_the_task(said: list[warnings.WarningMessage]) -> None:
    def block() -> None:
        time.sleep(10 * LIMIT)  # this line

    beside_a_waiting_task(block, lambda: len(said) > 0)
    (message,) = said
    assert message.category is gs.BlockingWarning
    assert "task 'the blocker' keeps its thread" in str(message.message)
    assert (message.filename, message.lineno) == (__file__, block.__code__.co_firstlineno + 1)


def test_it_is_said_of_what_computes_too(said: list[warnings.WarningMessage]) -> None:
    def compute() -> None:
        end = time.monotonic() + 20 * LIMIT
        while time.monotonic() < end:
            pass

    beside_a_waiting_task(compute, lambda: len(said) > 0)
    (message,) = said
    first = compute.__code__.co_firstlineno
    assert message.filename == __file__ and first < message.lineno <= first + 3


def test_it_is_not_said_where_nobody_waits(said: list[warnings.WarningMessage]) -> None:
    gs.go(time.sleep, 10 * LIMIT).result(WAIT)
    assert said == []


def test_it_is_not_said_of_tasks_that_have_not_begun(said: list[warnings.WarningMessage]) -> None:
    """Another worker is started for those."""
    blocker = gs.go(time.sleep, 10 * LIMIT)
    gs.sleep(0.01)
    assert gs.go(int, "3").result(WAIT) == 3
    blocker.result(WAIT)
    assert said == []


def test_what_parks_or_has_a_thread_is_not_warned_of(said: list[warnings.WarningMessage]) -> None:
    beside_a_waiting_task(lambda: gs.sleep(4 * LIMIT), lambda: True)
    beside_a_waiting_task(lambda: gs.blocking(time.sleep, 4 * LIMIT), lambda: True)
    beside_a_waiting_task(lambda: gs.go(time.sleep, 4 * LIMIT, thread=True).result(), lambda: True)
    assert said == []


def test_it_can_be_turned_off(said: list[warnings.WarningMessage]) -> None:
    gs.configure(blocking_warning=math.inf)
    beside_a_waiting_task(lambda: time.sleep(5 * LIMIT), lambda: True)
    assert said == []
    for bad, error in ((-1, ValueError), (math.nan, ValueError), ("1", TypeError)):
        with pytest.raises(error, match="blocking_warning"):
            gs.configure(blocking_warning=bad)  # type: ignore[arg-type]


def test_a_filter_that_makes_an_error_of_it_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: unraisable.append(args.exc_type))
    beside_a_waiting_task(lambda: time.sleep(10 * LIMIT), lambda: len(unraisable) > 0)  # "error" in the tests
    assert unraisable == [gs.BlockingWarning]
    ended: list[gs.Task] = []
    gs.go(int).add_done_callback(ended.append)
    assert eventually(lambda: ended)


def test_it_is_shown_by_default_and_once_for_each_line(run_python: Callable[..., Any]) -> None:
    done = run_python("""
        import time, warnings
        warnings.resetwarnings()
        warnings.simplefilter("default")
        import pygostop as gs

        def ticks():
            for _ in range(200):
                gs.sleep(0.005)

        def blocks():
            for _ in range(2):
                gs.sleep(0.05)
                time.sleep(0.6)

        with gs.Group() as group:
            group.go(ticks)
            group.go(blocks)
    """)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("BlockingWarning: task 'blocks' keeps its thread") == 1
