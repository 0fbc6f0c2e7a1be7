"""concurrent.futures: the Future of a task, and an Executor whose calls are tasks.

What always holds:
 - A TaskFuture is PENDING while its executor's limit holds its call back, and has no task then;
   RUNNING from then on, and ended as its task did: cancelled only where the task ended by having
   been asked.
 - The task decides. It is followed by a done callback, on the one thread that runs those, which
   settles the future and runs its callbacks. Whoever finds the task ended before that settles the
   future too, so that what done(), result() and concurrent.futures.wait() say never disagrees; the
   callbacks are left to that thread.
 - What the task left stays with the task: a failure counts as fetched once somebody took it from
   here, and is reported as any task's where nobody did.
 - The condition that concurrent.futures guards a future with is held for a few bytecodes and never
   across a call into pygostop: a Python task may give way in one, to another on its thread that
   wants the same.
 - An executor has no lock. Its queue, its set of open futures and its channel of places are each
   changed by one atomic call; the order of those calls, which the methods give, does the rest.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import operator
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, ParamSpec, TypeVar, overload

from pygostop._core import Chan, CTask, Task, _task_var, checkpoint, current_task, go, shield
from pygostop._errors import WouldBlock

T = TypeVar("T")
P = ParamSpec("P")


class TaskFuture(concurrent.futures.Future[T]):
    """The concurrent.futures.Future of a task: ``Task.future()`` and ``Executor.submit()`` make it.

    ``cancel()`` asks the task to stop; ``result()`` and ``exception()`` wait as those of Task do: a
    task that calls them parks, a scope that is done and Ctrl-C end the wait. It is running() until
    the task has ended. Callbacks run one after the other on one thread, so they must not wait.
    """

    def __init__(self, task: Task | None = None, /) -> None:
        super().__init__()
        self._task: Task | None = None
        self._asked = False
        # Of a call that may be held back: closed once it has a task, or never will.
        self._decided: Chan[None] | None = Chan() if task is None else None
        # Its executor is about to start it, and goes on by itself with the next.
        self._starting = False
        if task is not None:
            self._state = RUNNING
            self._follow(task)

    @property
    def task(self) -> Task | None:
        """The task; None while the limit of the executor holds it back, or where it never began."""
        return self._task

    # ---- how it begins ----

    def _begin(self) -> bool:
        """False where it was cancelled meanwhile. Else _follow() or _fail() comes next."""
        with self._condition:
            if self._state != PENDING:
                return False
            self._state = RUNNING
        self._starting = True
        return True

    def _follow(self, task: Task) -> None:
        self._task = task
        if self._asked:  # before it was to be seen here
            task.cancel("its future was cancelled")
        task.add_done_callback(self._on_end)
        if self._decided is not None:
            self._decided.close()

    def _fail(self, error: BaseException) -> None:
        self._task = None
        super().set_exception(error)
        if self._decided is not None:
            self._decided.close()

    # ---- how it ends ----

    def _settle(self, before: str, state: str, told: str) -> bool:
        """Whether this call ended it. Its waiters are told by the method named."""
        with self._condition:
            if self._state != before:
                return False
            self._state = state
            for waiter in self._waiters:
                getattr(waiter, told)(self)
        return True

    def _look(self) -> None:
        """Settles it where its task has ended."""
        task = self._task
        if self._state != RUNNING or task is None or not task.done():
            return
        if task.cancelled():
            self._settle(RUNNING, CANCELLED_AND_NOTIFIED, "add_cancelled")
        else:
            told = "add_exception" if task.state == "failed" else "add_result"
            self._settle(RUNNING, FINISHED, told)

    def _on_end(self, _: Task) -> None:
        self._look()
        self._invoke_callbacks()  # type: ignore[attr-defined]

    def cancel(self) -> bool:
        """Ask the task to stop; True where it had not ended, or had been cancelled.

        The future is cancelled once the task has ended by it, and done as ever where the task went
        on to its end. A call that the limit of its executor holds back is cancelled at once.
        """
        return self._cancel("its future was cancelled")

    def _cancel(self, cause: str) -> bool:
        if self._settle(PENDING, CANCELLED_AND_NOTIFIED, "add_cancelled"):
            if self._decided is not None:
                self._decided.close()
            self._invoke_callbacks()  # type: ignore[attr-defined]
            return True
        self._asked = True
        task = self._task
        if task is not None and task.cancel(cause):
            return True
        return self._state != FINISHED and (task is None or task.cancelled())

    # ---- waiting and looking ----

    def _wait(self, timeout: float | None) -> bool:
        """Waits until it has ended; a checkpoint. False where the seconds ran out."""
        if timeout is not None and timeout < 0:
            timeout = 0  # concurrent.futures' own calls give what is left of a limit
        if self._task is None and self._decided is not None:
            began = time.monotonic()
            try:
                self._decided.recv_ok(timeout)
            except TimeoutError:
                return False
            if timeout is not None:
                timeout = max(0.0, timeout - (time.monotonic() - began))
        if self._task is not None:
            if not self._task.wait(timeout):
                return False
            self._look()
        return True

    def result(self, timeout: float | None = None) -> T:
        """Wait for the end and return the result, or raise the failure.

        timeout is in seconds. Raises TimeoutError when it ran out,
        concurrent.futures.CancelledError for a task that was cancelled, and Cancelled where the
        caller's own scope is done.
        """
        if not self._wait(timeout):
            raise TimeoutError(f"{self!r} has not ended within the timeout")
        task = self._task
        try:
            return super().result() if task is None else task.result()
        finally:
            del self, task  # no cycle through a failure's traceback and this frame

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end and return the failure, or None. Raises as result() does otherwise."""
        if not self._wait(timeout):
            raise TimeoutError(f"{self!r} has not ended within the timeout")
        return super().exception() if self._task is None else self._task.exception()

    def done(self) -> bool:
        """Whether the task has ended, however it did."""
        self._look()
        return super().done()

    def cancelled(self) -> bool:
        """Whether the task ended because it was asked to stop."""
        self._look()
        return super().cancelled()

    def running(self) -> bool:
        """Whether it was started and has not ended."""
        self._look()
        return super().running()

    def _get_snapshot(self) -> tuple[bool, bool, T | None, BaseException | None]:
        """(done, cancelled, result, failure): what asyncio asks for, after 3.13; no checkpoint."""
        if not self.done() or self.cancelled():
            return self.done(), self.cancelled(), None, None
        error = result = None
        with shield():
            if (error := self.exception()) is None:
                result = self.result()
        return True, False, result, error

    # ---- what others are not to do ----

    def set_running_or_notify_cancel(self) -> NoReturn:
        """RuntimeError: the task alone begins and ends its future."""
        raise RuntimeError(f"{self!r} begins and ends with its task: make a Future of your own")

    def set_result(self, result: T) -> NoReturn:
        """InvalidStateError: the task alone begins and ends its future."""
        self._refuse()

    def set_exception(self, exception: BaseException | None) -> NoReturn:
        """InvalidStateError: the task alone begins and ends its future."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise concurrent.futures.InvalidStateError(
            f"{self!r} begins and ends with its task: make a Future of your own"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"cannot pickle {self!r}: a task lives in its process; send its result instead"
        )

    def __repr__(self) -> str:
        if self._task is not None:
            return f"<TaskFuture of {self._task!r}>"
        return f"<TaskFuture {'held back' if self._state == PENDING else self._state.lower()}>"


class _Call(NamedTuple):
    """What submit() was given, and the context variables that it was given with."""

    future: TaskFuture[Any]
    fn: Callable[..., Any] | CTask
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    context: contextvars.Context


def _is_run_of_context(fn: Any) -> bool:
    return isinstance(getattr(fn, "__self__", None), contextvars.Context) and fn.__name__ == "run"


def _run_in(context: contextvars.Context, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """In a task: context.run(fn, ...), in whose scope the task's own is in force all the same.

    asyncio.to_thread calls through a context of its own, in which nothing would reach fn.
    """
    task = current_task()
    assert task is not None
    ctx = task.ctx

    def inside() -> T:
        token = _task_var.set(task)
        try:
            with ctx:
                return fn(*args, **kwargs)
        finally:
            _task_var.reset(token)

    return context.run(inside)


def _name_of(fn: Any) -> str:
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) else type(fn).__name__


class Executor(concurrent.futures.ThreadPoolExecutor):
    """A concurrent.futures.Executor that runs callables and CTasks as tasks.

    ``limit``: how many run at once; the others wait in order. None: as many as a
    ThreadPoolExecutor runs, and with ``thread=False`` all of them.

    ``name``: goes before the callable's own in the names of the tasks, as in "name/fn".

    ``thread``: callables run in a thread each, as they may block, or wait while they hold a lock of
    ``threading``: what is written for other executors does. ``thread=False`` runs them on the
    Python workers, thousands at once: for callables that wait in pygostop's calls. C tasks run on
    the C workers either way.

    A call runs in a copy of the context variables of submit()'s caller, and below its scope, as
    with go(). A future's ``cancel()`` reaches the running task. It is a ThreadPoolExecutor because
    asyncio takes nothing else as a default executor; it has no threads of its own.
    """

    def __init__(
        self, limit: int | None = None, *, name: str | None = None, thread: bool = True
    ) -> None:
        if limit is not None:
            try:
                limit = operator.index(limit)
            except TypeError:
                raise TypeError(
                    f"Executor() limit must be an int or None, not {type(limit).__name__}"
                ) from None
            if limit < 1:
                raise ValueError(f"Executor() limit must be 1 or more, not {limit}")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"Executor() name must be a str or None, not {type(name).__name__}")
        super().__init__(limit)
        self._name = name
        self._thread = bool(thread)
        if limit is None and thread:
            limit = self._max_workers
        # A value for each call that runs; None: no limit.
        self._places: Chan[bool] | None = None if limit is None else Chan(limit, bool)
        self._queue: deque[_Call] = deque()
        self._open: set[TaskFuture[Any]] = set()

    # ---- starting ----

    @overload
    def submit(self, fn: CTask, /, *args: Any) -> TaskFuture[Any]: ...
    @overload
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[T]: ...
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> TaskFuture[Any]:
        """Run fn(*args, **kwargs) as a task and return its TaskFuture; never waits.

        Whatever else is wrong with the call is the future's failure. RuntimeError after shutdown().
        """
        if not callable(fn):
            raise TypeError(f"submit() needs a callable or a CTask, not {type(fn).__name__}")
        if kwargs and isinstance(fn, CTask):
            raise TypeError(
                f"submit() of {fn!r} takes no keyword arguments, as no CTask does; "
                f"got {', '.join(kwargs)}"
            )
        future: TaskFuture[Any] = TaskFuture()
        call = _Call(future, fn, args, kwargs, contextvars.copy_context())
        # Before the look: so that a shutdown() that comes between the two finds it.
        self._open.add(future)
        if self._shutdown:
            future.cancel()
            self._open.discard(future)
            raise RuntimeError(f"{self!r} was shut down: it takes no more calls")
        try:
            future.add_done_callback(self._on_end)  # type: ignore[arg-type]
            if self._places is None:
                self._start(call)
            else:
                self._queue.append(call)
                self._start_queued(self._places)
        except BaseException:  # without memory: nobody has it, and shutdown() must not wait for it
            self._open.discard(future)
            future.cancel()
            raise
        return future

    def _go(self, call: _Call) -> Task:
        # A partial of a partial is one.
        called = functools.partial(call.fn, *call.args, **call.kwargs)
        named: Any = called.func
        if _is_run_of_context(named) and called.args:
            context, named = named.__self__, called.args[0]
            called = functools.partial(_run_in, context, *called.args, **called.keywords)
        name = _name_of(named) if self._name is None else f"{self._name}/{_name_of(named)}"
        if isinstance(call.fn, CTask):
            return go(call.fn, *call.args, name=name)
        return go(called, name=name, thread=self._thread)

    def _start(self, call: _Call) -> bool:
        """False where it was cancelled in the queue."""
        future = call.future
        if not future._begin():
            return False
        try:
            task = call.context.run(self._go, call)
        except BaseException as error:
            future._fail(error)
        else:
            try:
                future._follow(task)
            except BaseException as error:
                task.cancel("its end could not be followed")
                future._fail(error)
        future._starting = False
        return True

    def _start_queued(self, places: Chan[bool]) -> None:
        """Starts what there is a place for: after a call was queued, or a place given back."""
        while self._queue:
            try:
                places.send_nowait(True)
            except WouldBlock:
                return
            try:
                started = self._start(self._queue.popleft())
            except IndexError:
                started = False  # taken by another thread
            if not started:
                places.recv_nowait()

    def _on_end(self, future: TaskFuture[Any]) -> None:
        """The first of its callbacks."""
        self._open.discard(future)
        if self._places is None or (future._task is None and future.cancelled()):
            return  # it had no place
        self._places.recv_nowait()
        # Not where its start brought its end: _start_queued is on the stack, and goes on.
        if not future._starting:
            self._start_queued(self._places)

    # ---- ending ----

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and with ``wait`` wait until all have ended; a checkpoint.

        ``cancel_futures`` cancels those held back and asks the running ones to stop, as
        ``cancel()`` of each does. Where Ctrl-C or the caller's scope ends the wait, it asks them
        too, waits until they have stopped, and raises that; a second Ctrl-C raises at once.
        RuntimeError in a task of its own, which would wait for itself.
        """
        self._shutdown = True
        if cancel_futures:
            self._cancel_all()
        if not wait:
            return
        task = current_task()
        if task is not None and any(future._task == task for future in list(self._open)):
            raise RuntimeError(
                f"shutdown() of {self!r} in {task!r}, which is one of its own, would never end"
            )
        try:
            checkpoint()  # also where nobody is left to wait for
            self._join()
        except BaseException:
            self._stop()
            raise

    def _cancel_all(self) -> None:
        for future in list(self._open):
            future._cancel("its executor was shut down")

    def _join(self) -> None:
        for future in list(self._open):
            future._wait(None)
            self._open.discard(future)  # its callbacks may come later

    def _stop(self) -> None:
        self._cancel_all()
        with shield():
            self._join()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """As shutdown(). What tells the block to stop - Ctrl-C, Cancelled - stops its calls too."""
        if exc_type is None or issubclass(exc_type, Exception):
            self.shutdown()
        else:
            self._shutdown = True
            self._stop()

    def __repr__(self) -> str:
        queued = len(self._queue)
        counts = f"{len(self._open) - queued} running, {queued} held back"
        name = "" if self._name is None else f" {self._name!r}"
        return f"<Executor{name} {counts}{', shut down' if self._shutdown else ''}>"


for _public in (TaskFuture, Executor):
    _public.__module__ = "pygostop"
