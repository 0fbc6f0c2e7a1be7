"""Every call with each of its allocations failing in turn.

    python tests/stress/faults.py [NAME ...]

Needs a build with -C cmake.define.GS_FAULTS=ON: there pygostop._core._fail makes the allocations of the core
and those of Python's allocators fail by one counter. A call succeeds or raises MemoryError, alone or
in what carries the failures of tasks, and the runtime goes on working. How many blocks of Python's allocator each
further round left is printed and limited; some are what a call that failed half way goes on holding, such as a timer.

One fails at a time: with none succeeding any more CPython 3.11 runs in a circle, in any frame that
handles an exception. The core alone stands that too: tests/c/test-fault.c.
"""

from __future__ import annotations

import array
import functools
import gc
import itertools
import sys
from collections.abc import Callable
from typing import Any

import pygostop as gs
from pygostop import _core

MOST = 3000  # allocations of one call; none has as many
WAIT = 30.0
NO_MEMORY = -6  # GS_ENOMEM
ROUNDS = 3
LEFT_MOST = 20  # blocks after a further round; a leak is one a failure
# CPython 3.11 leaves the cells of a function whose frame it had no memory to fill.
LEAVE_MORE = {"tasks_with_a_thread", "a_library_that_is_compiled"}

CALLS: dict[str, Callable[[], Any]] = {}
STEPS: dict[str, int] = {}  # of those that take long: how many allocations are passed over in each round


def call(function: Callable[[], Any], step: int = 1) -> Callable[[], Any]:
    CALLS[function.__name__] = function
    STEPS[function.__name__] = step
    return function


# ---- the calls ----


@call
def channels() -> None:
    for kind, value in ((object, [1]), (int, 5), (float, 0.5), (bool, True), (str, "text"), (bytes, b"octets")):
        ch: gs.Chan[Any] = gs.Chan(3, kind, name="a channel")
        ch.send(value)
        ch.send_nowait(value)
        ch.sender().send(value, timeout=WAIT)
        ch.recv()
        ch.recv_nowait()
        repr(ch), repr(ch.sender()), repr(ch.receiver())
        ch.receiver().recv_ok()
        with ch:
            pass
        list(ch)


@call
def records() -> None:
    ch: gs.Chan[Any] = gs.Chan(3, "<iq")
    ch.send((1, 2))
    assert ch.recv() == (1, 2)
    ch.send_many([(1, 2), (3, 4)])
    ch.recv_many(2)


@call
def batches() -> None:
    ch: gs.Chan[int] = gs.Chan(8, int)
    ch.send_many(range(1000, 1008))
    assert ch.recv_many(8) == list(range(1000, 1008))
    ch.send_many(array.array("q", range(8)))
    ch.recv_many(8, into=array.array("q", bytes(64)))
    things: gs.Chan[Any] = gs.Chan(8)
    things.send_many([object() for _ in range(8)])
    things.recv_many(8)


@call
def waits_that_end() -> None:
    ch: gs.Chan[Any] = gs.Chan()
    for wait in (
        lambda: ch.recv(timeout=0.0001),
        lambda: ch.send(1, timeout=0.0001),
        lambda: gs.select(ch, (ch, 1), timeout=0.0001),
        lambda: gs.select(*[gs.Chan() for _ in range(40)], timeout=0.0001),
    ):
        try:
            wait()
        except TimeoutError:
            pass


@call
def selects() -> None:
    ch: gs.Chan[Any] = gs.Chan(1)
    assert gs.select((ch, 1)).index == 0
    assert gs.select(ch, None) == (0, 1, True)
    assert gs.select(ch, nowait=True).index == -1
    ctx, cancel = gs.with_cancel(gs.background())
    cancel()
    assert isinstance(gs.select(ctx).value, gs.Cancelled)
    ch.close()
    assert not gs.select(ch).ok


@call
def contexts() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    timed, cancel_timed = gs.with_timeout(ctx, 1000)
    valued = gs.with_value(timed, "key", object())
    merged, _ = gs.merge(valued, ctx)
    free = gs.without_cancel(merged)
    valued.value("key"), merged.value("key"), timed.remaining(), timed.deadline, repr(merged)
    ran: gs.Chan[int] = gs.Chan(1)
    stop = gs.after_func(merged, int)
    done = merged.done
    cancel("a cause")
    assert gs.select(done).index == 0
    assert merged.err() is not None and merged.cause() is not None and free.err() is None
    stop(), cancel_timed(), ran.close()
    try:
        merged.check()
    except gs.Cancelled:
        pass


@call
def scopes() -> None:
    with gs.timeout(1000), gs.shield(), gs.cancel_scope() as scope:
        gs.checkpoint()
        with gs.move_on_after(0.0001):
            gs.sleep(None)
        scope.cancel()
        gs.sleep(None)


@call
def clocks() -> None:
    gs.after(0.0001).recv()
    with gs.Ticker(0.0001) as ticker:
        ticker.chan.recv()
    gs.sleep(0.0001)


@call
def python_tasks() -> None:
    task = gs.go(lambda value: [value], 3, name="a task with a name of its own")
    assert task.result() == [3]
    repr(task), task.name, task.state, gs.all_tasks()
    asked = gs.go(gs.sleep, None)
    asked.cancel("enough")
    assert asked.wait() is True


@call
def tasks_that_fail() -> None:
    def fail() -> None:
        raise KeyError(1)

    task = gs.go(fail)
    called: gs.Chan[Any] = gs.Chan(1)
    task.add_done_callback(lambda _: called.close())
    error = task.exception()
    if isinstance(error, MemoryError):
        raise error
    assert isinstance(error, KeyError)


# With the thread that all_is_well left: threading.Thread.start waits for ever for one that had no memory to begin.
@call
def tasks_with_a_thread() -> None:
    assert gs.go(lambda: 1, thread=True).result() == 1
    assert gs.blocking(lambda: 2) == 2


@call
def c_tasks() -> None:
    out: gs.Chan[int] = gs.Chan(16, int)
    task = gs.go(gs.tasks.count, out, 0, 8)
    task.result()
    assert out.recv_many(16) == list(range(8))
    gs.tasks.spin(0.0001)
    repr(gs.tasks.count), task.progress
    words: gs.Chan[str] = gs.Chan(4, str)
    repeating = gs.go(gs.tasks.repeat, words, "a word", 0.0)
    try:
        words.recv()
    except gs.ChannelClosed:
        repeating.result()  # why there was no word
        raise
    repeating.cancel()
    repeating.wait()


@call
def groups() -> None:
    with gs.Group(limit=2) as group:
        for _ in range(3):
            group.go(int, name="a member")
    with gs.Group() as group:
        group.go(gs.sleep, None)
        group.cancel("that is all")


@call
def locks() -> None:
    lock, places, count = gs.Lock(), gs.Semaphore(2), gs.WaitGroup()
    with lock, places:
        repr(lock), repr(places)
    count.add(1)
    count.done()
    count.wait()


SOURCE = """
#include <pygostop.h>
GS_TASK(double_it) { return gs_return_int(call, 2 * gs_arg_int(call, 0)); }
GS_EXPORT(double_it);
"""


# A process each time, that preprocesses the source; then the library is found in the cache.
@functools.partial(call, step=7)
def a_library_that_is_compiled() -> None:
    library = gs.compile(SOURCE)
    assert gs.go(library.double_it, 21).result() == 42
    assert list(library) == ["double_it"]


@functools.cache
def path_of_a_library() -> str:
    return gs.compile(SOURCE).path


@call
def a_library_that_is_loaded() -> None:
    library = gs.load(path_of_a_library())
    assert library.double_it(4) == 8


# ---- in turn ----


def about_memory(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(about_memory(one) for one in error.exceptions)
    if isinstance(error, gs.TaskFailed):  # a C task may give it as its own
        return error.code == NO_MEMORY
    if isinstance(error, TypeError):  # in place of MemoryError, by CPython's os
        return str(error).endswith("should be string, bytes, os.PathLike or integer, not PosixPath")
    if isinstance(error, RuntimeError):  # the same, by its threading
        return str(error) in ("can't allocate lock", "can't allocate read lock", "can't start new thread")
    if isinstance(error, SystemError):  # so does CPython 3.11 where a call that raised is left
        return sys.version_info < (3, 12) and str(error) == "error return without exception set"
    return isinstance(error, MemoryError)


def all_is_well() -> None:
    """The runtime goes on: without failures everything works, and nothing runs any more."""
    with gs.Group() as group:
        out: gs.Chan[int] = gs.Chan(2, int)
        group.go(gs.tasks.count, out, 0, 10)
        assert group.go(list, out).result(WAIT) == list(range(10))
        with gs.move_on_after(0.0001):
            gs.Chan().recv()
    assert gs.blocking(int) == 0
    assert not gs.all_tasks(), gs.all_tasks()


def fail_each(name: str, function: Callable[[], Any], first: int) -> int:
    for n in range(first, MOST, STEPS[name]):
        left, error = _core._fail(function, n)  # type: ignore[attr-defined]
        gs.checkpoint()
        if error is not None and not about_memory(error):
            raise AssertionError(f"{name}: failure {n} became {error!r}") from error
        del error
        try:
            for task in gs.all_tasks():  # of a call that failed half way
                task.cancel()
                task.wait(WAIT)
            all_is_well()
        except BaseException:
            print(f"faults: after failure {n} of {name}", file=sys.stderr)
            raise
        if left > 0:
            return n
    raise AssertionError(f"{name} allocates without end")


def main() -> int:
    if not hasattr(_core, "_fail"):
        print("faults: this build of pygostop has no GS_FAULTS", file=sys.stderr)
        return 2
    sys.unraisablehook = lambda _: None  # the failures of tasks that nobody asked for
    for name in sys.argv[1:] or CALLS:
        function = CALLS[name]
        function()
        blocks = []
        for n in range(ROUNDS):
            failures = fail_each(name, function, n % STEPS[name])
            sys._clear_type_cache()  # which keeps names
            gc.collect()
            blocks.append(sys.getallocatedblocks())
        growth = [after - before for before, after in itertools.pairwise(blocks)]
        print(f"faults: {name}: {failures} failures, {growth} blocks", flush=True)
        if min(growth) > LEFT_MOST and name not in LEAVE_MORE:
            raise AssertionError(f"{name}: each round leaves {growth} blocks, at most {LEFT_MOST} expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
