"""How far a task says it is: watching it, and a bar."""

from __future__ import annotations

import importlib
import time
from typing import Any, NamedTuple

from pygostop import _core
from pygostop._aio import select_async

_SETTLES = 0.001  # seconds: GS__PROGRESS_SETTLES of csrc/core/progress.h, which says why


class Progress(NamedTuple):
    """How far a task says it is; ``total`` is 0 where it does not know."""

    done: int
    total: int


Progress.__module__ = "pygostop"


class Watch:
    """What ``Task.watch`` gives: an iterator, and an asynchronous one. For one user at a time."""

    __slots__ = ("_task", "_interval", "_version", "_not_before", "_changed")

    def __init__(self, task: _core.Task, interval: float = 0.1) -> None:
        self._task = task
        self._interval = interval
        self._version = 0  # of what was given last
        self._not_before = 0.0  # the monotonic time of the next
        self._changed: _core.RecvChan[Any] | None = None  # closed when there is news

    def _look(self) -> Progress | tuple[tuple[Any, ...], float | None] | None:
        """The next Progress; or what to wait for, and how long; or None at the end."""
        task = self._task
        ended = task.done()  # before looking: what it says last, it says before
        left = self._not_before - time.monotonic()
        if left > 0 and not ended:
            return (task,), left
        news = task._progress_since(self._version)
        if news is not None:
            self._version, progress = news
            self._not_before = time.monotonic() + self._interval
            return progress
        if ended:
            return None
        if self._changed is None or self._changed.closed:
            self._changed = task._progress_changed()
            return (self._changed, task), _SETTLES
        return (self._changed, task), None

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> Progress:
        _core.checkpoint()
        while True:
            found = self._look()
            if found is None:
                raise StopIteration
            if isinstance(found, Progress):
                return found
            cases, timeout = found
            try:
                _core.select(*cases, timeout=timeout)
            except TimeoutError:
                pass

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Progress:
        _core.checkpoint()
        while True:
            found = self._look()
            if found is None:
                raise StopAsyncIteration
            if isinstance(found, Progress):
                return found
            cases, timeout = found
            try:
                await select_async(*cases, timeout=timeout)
            except TimeoutError:
                pass

    def __repr__(self) -> str:
        return f"<Watch of {self._task!r}>"


def progress_bar(task: _core.Task, desc: str | None = None, **tqdm_kwargs: Any) -> Any:
    """Show a bar of the task's progress until it has ended, and give ``task.result()``.

    The bar is tqdm's, in a terminal as in a notebook; ``desc`` stands before it, by default the task's
    name, and the rest are arguments of ``tqdm``, such as ``unit``, ``leave``, ``file``, ``mininterval``
    (seconds between two states of the bar, by default 0.1). Waits and raises as ``result`` does; where
    the wait is broken off, by Ctrl-C for one, the task goes on. ImportError without tqdm, which the
    extra ``pygostop[progress]`` brings.
    """
    try:
        tqdm = importlib.import_module("tqdm.auto").tqdm
    except ImportError as error:
        raise ImportError(
            "progress_bar() needs tqdm: install the extra, pip install 'pygostop[progress]'", name="tqdm"
        ) from error
    options = {"desc": task.name if desc is None else desc, "mininterval": 0.1, **tqdm_kwargs}
    with tqdm(**options) as bar:
        for progress in task.watch(interval=options["mininterval"]):
            if progress.total and progress.total != bar.total:
                _set_total(bar, progress.total)
            bar.n = progress.done
            bar.refresh()  # the watch paces it
    return task.result()


def _set_total(bar: Any, total: int) -> None:
    """As ``bar.reset(total)``, which a notebook's bar needs, but the time goes on."""
    start = getattr(bar, "start_t", None)  # a disabled bar has none
    bar.reset(total)
    if start is not None:
        bar.start_t = start


progress_bar.__module__ = "pygostop"
Watch.__module__ = "pygostop"
