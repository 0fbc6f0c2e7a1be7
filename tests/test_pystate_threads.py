"""Execution states, threads, the GIL, fork and exit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import pygostop as gs
from pygostop import _core
from support import WAIT, eventually


def test_a_task_never_changes_threads_once_it_began() -> None:
    """Also not while other workers stand in for a blocked one."""
    gate: gs.Chan[None] = gs.Chan()

    def note(idents: set[int]) -> set[int]:
        for _ in range(20):
            idents.add(threading.get_ident())
            gs.checkpoint()
        gate.recv_ok()
        idents.add(threading.get_ident())
        return idents

    tasks = [gs.go(note, set()) for _ in range(20)]
    blocker = gs.go(time.sleep, 0.1)
    tasks += [gs.go(note, set()) for _ in range(20)]
    blocker.result(WAIT)
    gate.close()
    for task in tasks:
        assert len(task.result(WAIT)) == 1


def test_threads_that_wait_for_tasks_that_wait_for_threads() -> None:
    """Whoever waits lets the others have the GIL."""
    ch: gs.Chan[int] = gs.Chan()

    def task() -> int:
        thread = threading.Thread(target=lambda: ch.send(gs.go(int, "5").result(WAIT)))
        thread.start()
        value = ch.recv(timeout=WAIT)
        thread.join()
        return value

    tasks = [gs.go(task) for _ in range(10)]
    assert [t.result(WAIT) for t in tasks] == [5] * 10


@pytest.mark.skipif(
    _core._execution_states == "swap" and (3, 12) <= sys.version_info < (3, 15),
    reason="a swap gives up the GIL on these versions, which is why exchange is their way",
)
def test_a_switch_between_tasks_keeps_the_gil() -> None:
    steps = 0
    stop = False

    def busy() -> None:
        nonlocal steps
        while not stop:
            steps += 1

    def turns() -> None:
        for _ in range(500):
            gs.checkpoint()

    def measure() -> int:
        before = steps
        tasks = [gs.go(turns) for _ in range(4)]
        for task in tasks:
            task.result()
        return steps - before

    thread = threading.Thread(target=busy)
    interval = sys.getswitchinterval()
    thread.start()
    try:
        assert eventually(lambda: steps > 0)
        # Longer than all the switches take, once at least; each change between threads takes as long.
        sys.setswitchinterval(0.3)
        kept = any(gs.go(measure).result(10 * WAIT) == 0 for _ in range(10))
    finally:
        sys.setswitchinterval(interval)
        stop = True
        thread.join()
    assert kept


def test_two_busy_sides_both_get_on() -> None:
    """A thread and tasks that are busy in Python share the GIL."""
    steps = 0
    stop = False

    def busy() -> None:
        nonlocal steps
        while not stop:
            steps += 1

    def turns() -> int:
        n = 0
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            n += 1
            gs.checkpoint()
        return n

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        tasks = [gs.go(turns) for _ in range(3)]
        assert all(task.result(WAIT) > 10 for task in tasks)
    finally:
        stop = True
        thread.join()
    assert steps > 0


def test_a_child_of_fork_starts_afresh(run_python: Callable[..., Any]) -> None:
    done = run_python("""
        import os, threading, time
        import pygostop as gs

        gate = gs.Chan()
        parked = [gs.go(gate.recv) for _ in range(100)]
        while any(t.state != "parked" for t in parked):
            time.sleep(0.001)
        for _ in range(5):
            pid = os.fork()
            if pid == 0:
                try:
                    try:
                        parked[0].result()
                    except RuntimeError as error:
                        assert "fork" in str(error)
                    else:
                        os._exit(2)
                    ch = gs.Chan()
                    tasks = [gs.go(ch.send, n) for n in range(100)]
                    got = sorted(ch.recv() for _ in range(100))
                    assert got == list(range(100))
                    for t in tasks:
                        t.result(10)
                    os._exit(0)
                except BaseException:
                    import traceback
                    traceback.print_exc()
                    os._exit(1)
            _, status = os.waitpid(pid, 0)
            assert status == 0, status
        gate.close()
        for t in parked:
            try:
                t.result(10)
            except gs.ChannelClosed:
                pass
        print("fine")
    """)
    assert done.stdout.strip() == "fine", done.stderr[-2000:]


def test_a_task_may_fork_and_exec() -> None:
    def child() -> str:
        gs.checkpoint()
        done = subprocess.run([sys.executable, "-c", "print('child')"], capture_output=True, text=True)
        return done.stdout.strip()

    assert gs.go(child).result(WAIT) == "child"


def test_a_task_may_fork_a_child_that_exits_at_once() -> None:
    def fork() -> int:
        pid = os.fork()
        if pid == 0:
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert gs.go(fork).result(WAIT) == 7


def test_leaving_cancels_tasks_and_runs_their_cleanup(run_python: Callable[..., Any]) -> None:
    done = run_python("""
        import pygostop as gs

        started = gs.Chan()

        def wait(n):
            try:
                started.send(n)
                gs.sleep(None)
            finally:
                print("cleaned", n)

        for n in range(3):
            gs.go(wait, n)
        for _ in range(3):
            started.recv()
    """)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["0", "1", "2", "cleaned", "cleaned", "cleaned"]
    assert done.stderr == ""


@pytest.mark.parametrize(
    "what", ["while True: pass", "time.sleep(60)", "stubborn()"], ids=["busy", "blocked", "parked"]
)
def test_leaving_does_not_hang_on_a_task_that_ignores_its_cancel(
    what: str, run_python: Callable[..., Any]
) -> None:
    begun = time.monotonic()
    done = run_python(f"""
import time
import pygostop as gs

gs.configure(grace=0.2)
started = gs.Chan()

def stubborn():
    with gs.shield():
        gs.sleep(None)

def ignores():
    started.send(1)
    {what}

gs.go(ignores)
started.recv()
""")
    assert done.returncode == 0, done.stderr
    assert "'ignores'" in done.stderr
    assert time.monotonic() - begun < 30
