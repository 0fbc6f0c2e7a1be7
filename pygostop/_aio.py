"""The asyncio forms: receives, sends, selects, tasks and groups that a coroutine awaits.

One descriptor a loop, no thread and no polling: an operation that cannot happen at once is left
with the channels; whoever completes it, in C and without the GIL, makes the descriptor readable,
and the loop resumes the coroutine. Only ``add_reader`` and futures of the loop are used.

What always holds: an operation under way is in its home's ``pending``. The loop alone keeps the
home alive, through the reader that it registered. So a loop that closes lets go of the home, and
the home undoes what is still under way: a closed loop eats no values, and keeps no descriptor.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import weakref
from typing import Any

from pygostop._core import AsyncOp, Completions, Group, Lock, Semaphore, Task, WaitGroup
from pygostop._errors import ChannelClosed
from pygostop._select import Selected


class _Home:
    """Where the operations of one loop arrive. Used by the loop's own thread only."""

    __slots__ = ("completions", "pending", "__weakref__")

    def __init__(self) -> None:
        self.completions = Completions()
        self.pending: dict[AsyncOp, asyncio.Future[None]] = {}

    def drain(self) -> None:
        for op in self.completions.drain():
            future = self.pending.pop(op, None)
            if future is not None and not future.done():
                future.set_result(None)

    def __del__(self) -> None:
        for op in self.pending:
            op.abandon()


# Loops of several threads use it, each for its own key alone: no lock is needed.
_homes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[_Home]]
_homes = weakref.WeakKeyDictionary()


def _home_of(loop: asyncio.AbstractEventLoop) -> _Home:
    reference = _homes.get(loop)
    home = None if reference is None else reference()
    if home is None:
        home = _Home()
        loop.add_reader(home.completions.fileno(), home.drain)
        _homes[loop] = weakref.ref(home)
    return home


async def _run(op: AsyncOp) -> Selected:
    if op.poll():
        return op.result()
    loop = asyncio.get_running_loop()
    home = _home_of(loop)
    pending = home.pending
    if op.start(home.completions):
        return op.result()
    del home  # a coroutine that waits must not keep it alive
    pending[op] = future = loop.create_future()
    try:
        await future
    except BaseException as error:
        pending.pop(op, None)
        if op.abandon():
            raise
        # It has happened and cannot be undone: a value was sent.
        if isinstance(error, asyncio.CancelledError):
            _cancel_next_await(loop)
    return op.result()


def _cancel_next_await(loop: asyncio.AbstractEventLoop) -> None:
    """Has the cancel that came too late for one await reach the asyncio task at its next one.

    Unless it has ended by then, or whoever cancelled it took that back: the block of a timeout, once
    it was left.
    """
    task = asyncio.current_task(loop)
    if task is None:
        return
    asked = task.cancelling()

    def again() -> None:
        if not task.done() and task.cancelling() >= asked:
            task.cancel()
            task.uncancel()  # it was counted when it was asked

    loop.call_soon(again)


async def recv(chan: Any) -> Any:
    """The body of ``recv_async``."""
    selected = await _run(AsyncOp("recv_async", (chan,)))
    if not selected.ok:
        raise ChannelClosed(f"recv_async: {chan!r} is closed")
    return selected.value


async def next_value(chan: Any) -> Any:
    """The body of ``__anext__``."""
    selected = await _run(AsyncOp("recv_async", (chan,)))
    if not selected.ok:
        raise StopAsyncIteration
    return selected.value


async def send(chan: Any, value: Any) -> None:
    """The body of ``send_async``."""
    await _run(AsyncOp("send_async", ((chan, value),)))


async def select_async(*cases: Any, timeout: float | None = None, nowait: bool = False) -> Selected:
    """As ``select``, for asyncio: waits without holding up the loop.

    Cancelled, none of the cases has happened: a value that was already received is put back in
    front. Where a value was already sent, it returns instead.
    """
    return await _run(AsyncOp("select_async", cases, timeout=timeout, nowait=nowait))


async def wait_case(case: Any, *, checkpoint: bool = True) -> Selected:
    """Waits until one case of a select happens; a Context or a Task, that is, until it is done.

    With ``checkpoint=False`` the scope in force is not looked at.
    """
    return await _run(AsyncOp("await", (case,), checkpoint=checkpoint))


async def await_task(task: Any) -> Any:
    """The body of ``Task.__await__``: as awaiting an asyncio task.

    Cancelling the awaiter asks the task to stop, and waits until it has. The awaiter is cancelled
    then, but where the task went on to a result or a failure of its own: that counts. What a task
    left that had ended before the cancel does not.
    """
    try:
        await wait_case(task)
    except asyncio.CancelledError:
        if not task.cancel("the coroutine that awaited it was cancelled"):
            raise
        while not task.done():
            try:
                await wait_case(task, checkpoint=False)
            except asyncio.CancelledError:
                continue  # asked again
        if task.cancelled():
            raise
    try:
        return task._outcome()
    except concurrent.futures.CancelledError as error:
        if not task.cancelled():
            raise  # its own failure, of something that it waited for
        raise asyncio.CancelledError(*error.args) from error.__cause__


class _Watch:
    """Cancels the asyncio task that runs the body of an ``async with Group()`` once the group is done.

    Nothing else would wake a body that awaits something of asyncio's own.
    """

    __slots__ = ("body", "before", "asked", "ended", "op", "pending")

    def __init__(self, group: Group) -> None:
        body = asyncio.current_task()
        if body is None:
            raise RuntimeError("async with Group() works inside a task of asyncio only")
        loop = asyncio.get_running_loop()
        home = _home_of(loop)
        self.body = body
        self.before = body.cancelling()
        self.asked = self.ended = False
        self.op = AsyncOp("Group", (group.ctx,), checkpoint=False)
        self.pending = home.pending
        if self.op.poll() or self.op.start(home.completions):
            self.ask(None)
        else:
            self.pending[self.op] = future = loop.create_future()
            future.add_done_callback(self.ask)

    def ask(self, _: asyncio.Future[None] | None) -> None:
        if not self.ended:
            self.asked = True
            self.body.cancel()

    def raised_by_body(self, raised: BaseException | None) -> BaseException | None:
        """The same, or None for a cancel that came from here alone."""
        if self.asked and isinstance(raised, asyncio.CancelledError) and not self.is_cancelled():
            return None
        return raised

    def end(self) -> None:
        """The body has ended."""
        self.pending.pop(self.op, None)
        self.op.abandon()
        if self.asked:
            self.body.uncancel()
        self.ended = True

    def is_cancelled(self) -> bool:
        """Whether somebody else cancelled the asyncio task since."""
        own = self.asked and not self.ended
        return self.body.cancelling() > self.before + own


async def enter_group(group: Group) -> Group:
    """The body of ``Group.__aenter__``."""
    group._begin()
    try:
        group._watch = _Watch(group)
    except BaseException:
        group._close_body(None)
        group._finish(None, False)
        raise
    return group


async def exit_group(group: Group, raised: BaseException | None) -> bool:
    """The body of ``Group.__aexit__``: waits for the tasks, also where it is cancelled meanwhile."""
    watch = group._watch
    if watch is None:
        raise RuntimeError(f"{group!r} was not entered by `async with`, or was left")
    raised = watch.raised_by_body(raised)
    group._close_body(raised)  # refused out of order: then nothing has changed
    group._watch = None
    watch.end()
    cancelled: asyncio.CancelledError | None = None
    to_deliver = watch.asked  # the cancel from there, where the body did not await any more
    while to_deliver or group._busy:
        try:
            if to_deliver:
                to_deliver = False
                await asyncio.sleep(0)
            else:
                await wait_case(group._idle, checkpoint=False)
        except asyncio.CancelledError as error:
            if watch.is_cancelled():
                cancelled = error
                group.cancel(error)
    swallowed = group._finish(raised, cancelled is not None)
    if cancelled is not None:
        raise cancelled
    return swallowed


async def go_in_group(group: Group, given: tuple[tuple[Any, ...], dict[str, Any]]) -> Task:
    """The body of ``Group.go_async``."""
    args, kwargs = given
    places = group._places
    if places is not None:
        await wait_case(places)
    return group._go_placed(*args, **kwargs)


async def acquire(semaphore: Lock | Semaphore) -> None:
    """The body of ``acquire_async``."""
    await wait_case(semaphore._tokens)


async def enter_semaphore(semaphore: Lock | Semaphore) -> Lock | Semaphore:
    """The body of ``Lock.__aenter__`` and ``Semaphore.__aenter__``."""
    await wait_case(semaphore._tokens)
    return semaphore


async def exit_semaphore(semaphore: Lock | Semaphore) -> None:
    """The body of ``Lock.__aexit__`` and ``Semaphore.__aexit__``."""
    semaphore.release()


async def wait_for_zero(group: WaitGroup) -> None:
    """The body of ``WaitGroup.wait_async``."""
    await wait_case(group._zero)
