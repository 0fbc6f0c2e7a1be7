"""Python code that blocks: in a thread of its own, on behalf of a task.

The thread is in the task's scope, so what asks the task to stop reaches the blocking calls of pygostop
that its code makes. Other code cannot be stopped: who waits for it waits for its end.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from pygostop import _core

T = TypeVar("T")


def blocking(fn: Callable[..., T], /, *args: Any) -> T:
    """Call ``fn(*args)`` in a thread and wait for it, parking only the task that calls.

    For code that blocks its thread: ``time.sleep``, ``requests.get``, a long computation in C. It runs in
    a copy of the caller's context variables. Gives what fn gives and raises what it raises; Cancelled
    where the caller's scope is done before it begins. Once it has begun it is waited for.
    """
    _core.checkpoint()
    done = _core.Chan(1)
    context = contextvars.copy_context()
    context.run(_core._task_var.set, _core.current_task())

    def run() -> None:
        try:
            done.send_nowait((context.run(fn, *args), None))
        except BaseException as error:
            done.send_nowait((None, error))

    # At exit nobody waits for the thread but the task, which is named where it does not end.
    threading.Thread(target=run, name=f"pygostop-blocking-{getattr(fn, '__name__', fn)}", daemon=True).start()
    with _core.shield():
        value, error = done.recv()
    if error is None:
        return value  # type: ignore[no-any-return]
    try:
        raise error
    finally:
        del error  # no cycle through this frame


blocking.__module__ = "pygostop"
