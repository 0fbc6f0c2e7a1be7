"""The threads of blocking() and thread=True: used again, begun as new ones, and gone when idle."""

from __future__ import annotations

import gc
import subprocess
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

import pygostop as gs
from pygostop import _blocking
from support import eventually

Run = Callable[[str], subprocess.CompletedProcess[str]]


def ours() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("pygostop-blocking")}


def test_one_call_after_the_other_takes_one_thread() -> None:
    assert len({gs.blocking(threading.get_native_id) for _ in range(100)}) == 1


def test_calls_at_once_have_a_thread_each() -> None:
    barrier = threading.Barrier(20)  # would not be passed otherwise
    several = [gs.go(barrier.wait, 20, thread=True) for _ in range(20)]
    assert sorted(task.result(20) for task in several) == list(range(20))


def test_a_thread_is_named_for_what_it_runs() -> None:
    def work() -> str:
        return threading.current_thread().name

    assert gs.blocking(work) == "pygostop-blocking-work"


def test_idle_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_blocking, "_IDLE_SECONDS", 0.01)
    before = ours()
    several = [gs.go(time.sleep, 0.01, thread=True) for _ in range(10)]
    for task in several:
        task.result()
    assert eventually(lambda: ours() <= before)


def test_a_call_that_comes_as_a_thread_is_about_to_end_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_blocking, "_IDLE_SECONDS", 0.0005)
    for n in range(300):
        assert gs.blocking(abs, -n) == n
        time.sleep(0.0005)


def test_nothing_of_a_call_stays_with_its_thread() -> None:
    class Thing:
        pass

    def use(thing: Thing) -> Thing:
        return thing

    def fail(thing: Thing) -> None:
        raise ValueError

    thing = Thing()
    reference = weakref.ref(thing)
    gc.collect()
    gc.disable()
    try:
        assert gs.blocking(use, thing) is thing
        with pytest.raises(ValueError) as caught:
            gs.blocking(fail, thing)
        del caught, thing
        assert eventually(lambda: reference() is None)
    finally:
        gc.enable()


def test_each_call_begins_with_the_hooks_of_threading() -> None:
    gs.blocking(int)  # there is a thread already
    seen: list[str] = []

    def trace(frame: FrameType, event: str, arg: Any) -> None:
        seen.append(frame.f_code.co_name)

    def traced() -> None:
        pass

    before = threading.gettrace()
    threading.settrace(trace)
    try:
        gs.blocking(traced)
    finally:
        threading.settrace(before)
    assert "traced" in seen
    seen.clear()
    gs.blocking(traced)
    assert "traced" not in seen


def test_a_forked_child_has_threads_of_its_own(run_python: Run) -> None:
    done = run_python(
        """
        import os, pygostop as gs
        gs.blocking(int)
        if (child := os.fork()) == 0:
            os._exit(gs.blocking(int, "7"))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    )
    assert (done.stdout, done.stderr) == ("7\n", "")


def test_a_thread_without_memory_runs_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise MemoryError

    monkeypatch.setattr(threading, "gettrace", fail)
    assert gs.blocking(lambda: 3) == 3
