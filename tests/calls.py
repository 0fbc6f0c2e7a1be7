"""Every public call of the package, made so that it can go on at once, and so that it has to wait.

docs/guarantees.md has a row for each, which tests/test_guarantees.py holds against what the call does.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
from collections.abc import Callable
from typing import Any

import pygostop as gs
from pygostop import tasks

Call = Callable[[], object]


def ready_chan() -> gs.Chan[int]:
    ch: gs.Chan[int] = gs.Chan(1, int)
    ch.send_nowait(1)
    return ch


def ended() -> gs.Task:
    """A task that is over; what a scope is done for, its own is not."""
    with gs.shield():
        task = gs.go(len, "four")
        assert task.wait(20)
        return task


def endless() -> gs.Task:
    """A task that the scope of the caller does not stop."""
    with gs.shield():
        return gs.go(tasks.spin, 1e9)


def held(lock: Any) -> Any:
    with gs.shield():
        lock.acquire()
    return lock


def counting() -> gs.WaitGroup:
    group = gs.WaitGroup()
    group.add(1)
    return group


def within(manager: Any, body: Callable[[Any], object] = lambda _: None) -> None:
    with manager as value:
        body(value)


def in_group(use: Callable[[gs.Group], object], limit: int | None = None) -> None:
    """The use alone is in the scope of the caller, not the group around it."""
    here = contextvars.copy_context()
    with gs.shield(), gs.Group(limit) as group:
        here.run(use, group)


def with_executor(use: Callable[[gs.Executor], object]) -> None:
    executor = gs.Executor()
    try:
        use(executor)
    finally:
        with gs.shield():
            executor.shutdown(cancel_futures=True)


async def async_within(manager: Any, body: Callable[[Any], Any] = lambda _: None) -> None:
    async with manager as value:
        result = body(value)
        if asyncio.iscoroutine(result):
            await result


async def in_async_group(use: Callable[[gs.Group], Any], limit: int | None = None) -> None:
    here = contextvars.copy_context()
    with gs.shield():
        async with gs.Group(limit) as group:
            await asyncio.create_task(use(group), context=here)


async def first(values: Any) -> None:
    async for _ in values:
        break


async def awaited(thing: Any) -> object:
    return await thing


def signals() -> None:
    _, stop = gs.notify_signals(signal.SIGUSR2)
    stop()


CODE = """#include <pygostop.h>
GS_TASK(nothing) { return GS_OK; }
GS_EXPORT(nothing);
"""


def library() -> str:
    with gs.shield():
        return gs.compile(CODE).path


# With all that it needs at hand.
READY: dict[str, Call] = {
    "Chan": lambda: gs.Chan(3, int, name="jobs"),
    "Chan.send": lambda: gs.Chan(1).send(1),
    "Chan.send_nowait": lambda: gs.Chan(1).send_nowait(1),
    "Chan.send_many": lambda: gs.Chan(1).send_many([1]),
    "Chan.recv": lambda: ready_chan().recv(),
    "Chan.recv_ok": lambda: ready_chan().recv_ok(),
    "Chan.recv_nowait": lambda: ready_chan().recv_nowait(),
    "Chan.recv_many": lambda: ready_chan().recv_many(1),
    "Chan.close": lambda: gs.Chan().close(),
    "Chan.sender": lambda: gs.Chan().sender(),
    "Chan.receiver": lambda: gs.Chan().receiver(),
    "for v in chan": lambda: next(iter(ready_chan())),
    "with chan": lambda: within(gs.Chan()),
    "len(chan)": lambda: len(gs.Chan()),
    "select": lambda: gs.select((gs.Chan(1), 1)),
    "select(nowait=True)": lambda: gs.select((gs.Chan(1), 1), nowait=True),
    "background": gs.background,
    "with_cancel": lambda: gs.with_cancel(gs.background()),
    "with_timeout": lambda: gs.with_timeout(gs.background(), 1000)[1](),
    "with_deadline": lambda: gs.with_deadline(gs.background(), 1e9)[1](),
    "with_value": lambda: gs.with_value(gs.background(), 1, 2),
    "without_cancel": lambda: gs.without_cancel(gs.background()),
    "merge": lambda: gs.merge(gs.background())[1](),
    "after_func": lambda: gs.after_func(gs.with_cancel(gs.background())[0], print)(),
    "Cancel": lambda: gs.with_cancel(gs.background())[1]("why"),
    "Stop": lambda: gs.after_func(gs.with_cancel(gs.background())[0], print)(),
    "Context.err": lambda: gs.background().err(),
    "Context.cause": lambda: gs.background().cause(),
    "Context.check": lambda: gs.background().check(),
    "Context.remaining": lambda: gs.background().remaining(),
    "Context.value": lambda: gs.background().value(1),
    "with context": lambda: within(gs.background()),
    "timeout": lambda: within(gs.timeout(1000)),
    "move_on_after": lambda: within(gs.move_on_after(1000)),
    "cancel_scope": lambda: within(gs.cancel_scope()),
    "shield": lambda: within(gs.shield()),
    "Scope.cancel": lambda: gs.cancel_scope().cancel(),
    "sleep": lambda: gs.sleep(0),
    "checkpoint": gs.checkpoint,
    "after": lambda: gs.after(1000),
    "Ticker": lambda: gs.Ticker(1000).stop(),
    "Ticker.stop": lambda: gs.Ticker(1000).stop(),
    "with ticker": lambda: within(gs.Ticker(1000)),
    "for now in ticker": lambda: within(gs.Ticker(0.001), lambda ticker: next(iter(ticker))),
    "go": lambda: gs.go(len, ""),
    "current_task": gs.current_task,
    "all_tasks": gs.all_tasks,
    "Task.add_done_callback": lambda: ended().add_done_callback(lambda _: None),
    "Task.cancel": lambda: endless().cancel(),
    "Task.cancelled": lambda: ended().cancelled(),
    "Task.done": lambda: ended().done(),
    "Task.exception": lambda: ended().exception(),
    "Task.future": lambda: ended().future(),
    "Task.result": lambda: ended().result(),
    "Task.wait": lambda: ended().wait(),
    "Task.watch": lambda: ended().watch(),
    "for progress in watch": lambda: list(ended().watch()),
    "progress_bar": lambda: gs.progress_bar(ended(), disable=True),
    "TaskFuture.add_done_callback": lambda: ended().future().add_done_callback(lambda _: None),
    "TaskFuture.cancel": lambda: endless().future().cancel(),
    "TaskFuture.cancelled": lambda: ended().future().cancelled(),
    "TaskFuture.done": lambda: ended().future().done(),
    "TaskFuture.running": lambda: ended().future().running(),
    "TaskFuture.exception": lambda: ended().future().exception(),
    "TaskFuture.result": lambda: ended().future().result(),
    "Group": lambda: gs.Group(3),
    "with group": lambda: within(gs.Group()),
    "Group.go": lambda: in_group(lambda group: group.go(len, "")),
    "Group(limit).go": lambda: in_group(lambda group: group.go(len, ""), limit=1),
    "Group.cancel": lambda: in_group(lambda group: group.cancel()),
    "Lock": gs.Lock,
    "Lock.acquire": lambda: gs.Lock().acquire(),
    "Lock.acquire_nowait": lambda: gs.Lock().acquire_nowait(),
    "Lock.release": lambda: held(gs.Lock()).release(),
    "Lock.locked": lambda: gs.Lock().locked(),
    "with lock": lambda: within(gs.Lock()),
    "Semaphore": lambda: gs.Semaphore(2),
    "Semaphore.acquire": lambda: gs.Semaphore(1).acquire(),
    "Semaphore.acquire_nowait": lambda: gs.Semaphore(1).acquire_nowait(),
    "Semaphore.release": lambda: held(gs.Semaphore(1)).release(),
    "Semaphore.locked": lambda: gs.Semaphore(1).locked(),
    "with semaphore": lambda: within(gs.Semaphore(1)),
    "WaitGroup": gs.WaitGroup,
    "WaitGroup.add": lambda: gs.WaitGroup().add(),
    "WaitGroup.done": lambda: counting().done(),
    "WaitGroup.go": lambda: gs.WaitGroup().go(len, ""),
    "WaitGroup.wait": lambda: gs.WaitGroup().wait(),
    "CTask": lambda: gs.CTask(tasks.spin),
    "ctask(...)": lambda: tasks.spin(0),
    "blocking": lambda: gs.blocking(len, ""),
    "compile": lambda: gs.compile(CODE),
    "load": lambda: gs.load(library()),
    "configure": gs.configure,
    "Executor": lambda: with_executor(lambda executor: None),
    "Executor.submit": lambda: with_executor(lambda executor: executor.submit(len, "")),
    "Executor.map": lambda: with_executor(lambda executor: executor.map(len, [])),
    "Executor.shutdown": lambda: gs.Executor().shutdown(),
    "with executor": lambda: within(gs.Executor()),
    "get_include": gs.get_include,
    "notify_signals": signals,
}


# The same, of those that give something to await.
READY_ASYNC: dict[str, Callable[[], Any]] = {
    "Chan.send_async": lambda: gs.Chan(1).send_async(1),
    "Chan.recv_async": lambda: ready_chan().recv_async(),
    "async for v in chan": lambda: first(ready_chan()),
    "select_async": lambda: gs.select_async(ready_chan()),
    "await task": lambda: awaited(ended()),
    "async for progress in watch": lambda: first(ended().watch()),
    "Group.go_async": lambda: in_async_group(lambda group: group.go_async(len, "")),
    "Group(limit).go_async": lambda: in_async_group(lambda group: group.go_async(len, ""), limit=1),
    "async with group": lambda: async_within(gs.Group()),
    "Lock.acquire_async": lambda: gs.Lock().acquire_async(),
    "async with lock": lambda: async_within(gs.Lock()),
    "Semaphore.acquire_async": lambda: gs.Semaphore(1).acquire_async(),
    "async with semaphore": lambda: async_within(gs.Semaphore(1)),
    "WaitGroup.wait_async": lambda: gs.WaitGroup().wait_async(),
}


# ---- so that they wait ----


def taken(lock: Any) -> Any:
    lock.acquire_nowait()
    return lock


def hanging_compiler() -> None:
    os.environ["CC"] = "sh -c 'exec sleep 1000' cc"
    try:
        gs.compile(CODE)
    finally:
        del os.environ["CC"]


# What never comes.
WAITS: dict[str, Call] = {
    "Chan.send": lambda: gs.Chan().send(1),
    "Chan.send_many": lambda: gs.Chan().send_many([1]),
    "Chan.recv": lambda: gs.Chan().recv(),
    "Chan.recv_ok": lambda: gs.Chan().recv_ok(),
    "Chan.recv_many": lambda: gs.Chan().recv_many(1),
    "for v in chan": lambda: next(iter(gs.Chan())),
    "select": lambda: gs.select(gs.Chan()),
    "sleep": lambda: gs.sleep(None),
    "for now in ticker": lambda: within(gs.Ticker(1e9), lambda ticker: next(iter(ticker))),
    "Task.exception": lambda: endless().exception(),
    "Task.result": lambda: endless().result(),
    "Task.wait": lambda: endless().wait(),
    "for progress in watch": lambda: list(endless().watch()),
    "progress_bar": lambda: gs.progress_bar(endless(), disable=True),
    "TaskFuture.exception": lambda: endless().future().exception(),
    "TaskFuture.result": lambda: endless().future().result(),
    "with group": lambda: within(gs.Group(), lambda group: group.go(tasks.spin, 1e9)),
    "Group(limit).go": lambda: in_group(lambda g: (g.go(tasks.spin, 1e9), g.go(len, "")), limit=1),
    "Lock.acquire": lambda: taken(gs.Lock()).acquire(),
    "with lock": lambda: within(taken(gs.Lock())),
    "Semaphore.acquire": lambda: taken(gs.Semaphore(1)).acquire(),
    "with semaphore": lambda: within(taken(gs.Semaphore(1))),
    "WaitGroup.wait": lambda: counting().wait(),
    "ctask(...)": lambda: tasks.spin(1e9),
    "blocking": lambda: gs.blocking(gs.sleep, None),
    "compile": hanging_compiler,
    "Executor.shutdown": lambda: with_executor(lambda e: (e.submit(tasks.spin, 1e9), e.shutdown())),
    "with executor": lambda: within(gs.Executor(), lambda e: e.submit(tasks.spin, 1e9)),
}


WAITS_ASYNC: dict[str, Callable[[], Any]] = {
    "Chan.send_async": lambda: gs.Chan().send_async(1),
    "Chan.recv_async": lambda: gs.Chan().recv_async(),
    "async for v in chan": lambda: first(gs.Chan()),
    "select_async": lambda: gs.select_async(gs.Chan()),
    "await task": lambda: awaited(endless()),
    "async for progress in watch": lambda: first(endless().watch()),
    "Group(limit).go_async": lambda: in_async_group(go_twice, limit=1),
    "async with group": lambda: async_within(gs.Group(), lambda g: g.go(tasks.spin, 1e9) and None),
    "Lock.acquire_async": lambda: taken(gs.Lock()).acquire_async(),
    "async with lock": lambda: async_within(taken(gs.Lock())),
    "Semaphore.acquire_async": lambda: taken(gs.Semaphore(1)).acquire_async(),
    "async with semaphore": lambda: async_within(taken(gs.Semaphore(1))),
    "WaitGroup.wait_async": lambda: counting().wait_async(),
}


async def go_twice(group: gs.Group) -> None:
    group.go(tasks.spin, 1e9)
    await group.go_async(len, "")
