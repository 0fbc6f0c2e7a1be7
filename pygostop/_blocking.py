"""Python code that blocks: in a thread of its own, on behalf of a task.

The thread is in the task's scope, so what asks the task to stop reaches the blocking calls of pygostop
that its code makes. Other code cannot be stopped: who waits for it waits for its end.

A thread that is through waits a while for the next call, as starting one takes longer than most
calls. What always holds: the queue of a thread that waits, or is about to, is in ``_idle``; who takes
it from there, by one atomic call, puts one job into it, and a thread that takes its own away ends.
"""

from __future__ import annotations

import contextvars
import functools
import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from pygostop import _core

T = TypeVar("T")

# What a thread is to run; it calls what it is given when it has no more use of the thread.
_Job: TypeAlias = Callable[[Callable[[], None]], None]
_Jobs: TypeAlias = "queue.SimpleQueue[_Job]"

_IDLE_SECONDS = 10.0
_idle: deque[_Jobs] = deque()  # who waits longest is first, and gets to its end
os.register_at_fork(after_in_child=_idle.clear)


def _next_job(jobs: _Jobs) -> _Job | None:
    try:
        return jobs.get(timeout=_IDLE_SECONDS)
    except (queue.Empty, MemoryError):
        try:
            _idle.remove(jobs)
        except ValueError:
            return jobs.get()  # somebody has taken it, and is about to give it one
        return None


# A job that was put is run, without memory too: who put it waits for it.
def _run_jobs(jobs: _Jobs, release: Callable[[], None]) -> None:
    while (job := _next_job(jobs)) is not None:
        try:  # as a new thread begins
            sys.settrace(threading.gettrace())
            sys.setprofile(threading.getprofile())
        except MemoryError:
            pass
        job(release)
        del job


def in_a_thread(job: _Job) -> None:
    """Has a thread run job, one that waits for the next or a new one. It names the thread as it likes."""
    try:
        jobs = _idle.pop()
    except IndexError:
        jobs = queue.SimpleQueue()
        args = jobs, functools.partial(_idle.append, jobs)
        # At exit nobody waits for the thread but the task, which is named where it does not end.
        threading.Thread(target=_run_jobs, args=args, daemon=True).start()
    jobs.put(job)


def blocking(fn: Callable[..., T], /, *args: Any) -> T:
    """Call ``fn(*args)`` in a thread and wait for it, parking only the task that calls.

    For code that blocks its thread: ``time.sleep``, ``requests.get``, a long computation in C. It runs in
    a copy of the caller's context variables. Gives what fn gives and raises what it raises; Cancelled
    where the caller's scope is done before it begins. Once it has begun it is waited for.
    """
    _core.checkpoint()
    done = _core.Chan()
    context = contextvars.copy_context()
    context.run(_core._task_var.set, _core.current_task())

    outcome: list[Any] = [None, None]  # the value, the exception

    def run(release: Callable[[], None]) -> None:
        try:
            threading.current_thread().name = f"pygostop-blocking-{getattr(fn, '__name__', fn)}"
            outcome[0] = context.run(fn, *args)
        except BaseException as raised:
            outcome[1] = raised
        try:
            release()
        finally:
            done.close()

    in_a_thread(run)
    with _core.shield():
        done.recv_ok()
    error, value = outcome.pop(), outcome.pop()  # so that there is no cycle through run's frame
    if error is None:
        return value  # type: ignore[no-any-return]
    try:
        raise error
    finally:
        del error  # no cycle through this frame


blocking.__module__ = "pygostop"
