"""Scopes: `with ctx:`, timeout, move_on_after, cancel_scope, shield."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import math
import threading
import time
import weakref
from collections.abc import Generator
from typing import Any

import pytest
from support import eventually

import pygostop as gs

SOON = 20.0  # an upper bound for what happens at once


# ---- with ctx ----


def test_a_blocking_call_observes_the_context_in_force() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    why = ValueError("why")
    cancel(why)
    with ctx:
        with pytest.raises(gs.Cancelled) as caught:
            gs.sleep(SOON)
    assert caught.value.__cause__ is why
    gs.sleep(0)


def test_cancelled_is_raised_again_by_each_call_and_comes_before_what_is_ready() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    ch: gs.Chan[int] = gs.Chan(2)
    ch.send(1)
    cancel()
    with ctx:
        for _ in range(3):
            with pytest.raises(gs.Cancelled):
                ch.recv()
            with pytest.raises(gs.Cancelled):
                ch.send(2)
            with pytest.raises(gs.Cancelled):
                gs.select(ch)
            with pytest.raises(gs.Cancelled):
                gs.checkpoint()
        assert ch.recv_nowait() == 1
    assert len(ch) == 0


def test_a_wait_ends_when_the_context_in_force_is_cancelled() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    threading.Timer(0.05, cancel).start()
    with ctx, pytest.raises(gs.Cancelled):
        gs.Chan().recv(timeout=SOON)


def test_what_was_in_force_goes_on_to_hold_under_an_unrelated_context() -> None:
    outer, cancel_outer = gs.with_cancel(gs.background())
    inner, cancel_inner = gs.with_cancel(gs.with_value(gs.background(), "k", 1))
    with outer, inner:
        gs.checkpoint()
        cancel_outer("outer")
        with pytest.raises(gs.Cancelled) as caught:
            gs.sleep(SOON)
        assert str(caught.value.__cause__) == "outer"
    assert inner.err() is None
    outer, cancel_outer = gs.with_cancel(gs.background())
    with outer:
        with inner:
            cancel_inner("inner")
            with pytest.raises(gs.Cancelled) as caught:
                gs.sleep(SOON)
            assert str(caught.value.__cause__) == "inner"
        gs.checkpoint()


def test_a_detached_context_in_force_does_not_lift_the_scope_outside() -> None:
    outer, cancel = gs.with_cancel(gs.background())
    cancel()
    with outer, gs.without_cancel(outer), pytest.raises(gs.Cancelled):
        gs.checkpoint()


def test_a_context_can_be_entered_again_and_by_many_threads_at_once() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    other, _ = gs.with_cancel(gs.background())
    with ctx, other, ctx, ctx:
        gs.checkpoint()
    entered, leave = threading.Barrier(5), threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with ctx, ctx:
                entered.wait()
                leave.wait()
                with pytest.raises(gs.Cancelled):
                    gs.checkpoint()
            gs.checkpoint()
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    entered.wait()
    cancel()
    leave.set()
    for thread in threads:
        thread.join()
    assert not failures
    gs.checkpoint()


def test_leaving_in_the_wrong_order_is_a_runtime_error_and_changes_nothing() -> None:
    first, cancel_first = gs.with_cancel(gs.background())
    second, cancel_second = gs.with_cancel(gs.background())
    first.__enter__()
    second.__enter__()
    with pytest.raises(RuntimeError, match="innermost"):
        first.__exit__(None, None, None)
    cancel_second()
    with pytest.raises(gs.Cancelled):
        gs.checkpoint()
    second.__exit__(None, None, None)
    gs.checkpoint()
    first.__exit__(None, None, None)
    with pytest.raises(RuntimeError, match="innermost"):
        first.__exit__(None, None, None)
    cancel_first()
    gs.checkpoint()


def test_leaving_on_another_thread_is_a_runtime_error() -> None:
    ctx, _ = gs.with_cancel(gs.background())
    seen: list[type[BaseException]] = []

    def run() -> None:
        try:
            ctx.__exit__(None, None, None)
        except RuntimeError as e:
            seen.append(type(e))

    with ctx:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert seen == [RuntimeError]


def test_each_thread_has_a_scope_of_its_own_and_copy_context_carries_it() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    seen: list[str] = []

    def probe() -> None:
        try:
            gs.checkpoint()
            seen.append("free")
        except gs.Cancelled:
            seen.append("cancelled")

    with ctx:
        cancel()
        copied = contextvars.copy_context()
        thread = threading.Thread(target=lambda: contextvars.Context().run(probe))
        thread.start()
        thread.join()
    for target in (lambda: copied.run(probe), probe):
        thread = threading.Thread(target=lambda target=target: contextvars.Context().run(target))
        thread.start()
        thread.join()
    assert seen == ["free", "cancelled", "free"]


def test_garbage_in_the_context_variable_is_no_scope() -> None:
    with gs.cancel_scope():
        (variable,) = [v for v in contextvars.copy_context() if v.name == "pygostop.scope"]

    def run() -> None:
        for garbage in (None, 5, gs.background(), gs.cancel_scope()):
            variable.set(garbage)
            gs.checkpoint()
            with gs.move_on_after(SOON):
                gs.checkpoint()

    contextvars.copy_context().run(run)


def test_an_exception_passes_through_a_context_block() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    with pytest.raises(ZeroDivisionError), ctx:
        raise ZeroDivisionError
    cancel()
    with pytest.raises(gs.Cancelled), ctx:
        gs.checkpoint()


# ---- timeout ----


def test_timeout_turns_its_own_end_into_deadline_exceeded() -> None:
    start = time.monotonic()
    with pytest.raises(gs.DeadlineExceeded) as caught:
        with gs.timeout(0.05) as scope:
            gs.sleep(SOON)
    assert 0.05 <= time.monotonic() - start < SOON
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value.__cause__, gs.Cancelled)
    assert scope.cancelled and "0.05 s" in str(caught.value)


def test_a_block_that_ends_in_time_raises_nothing() -> None:
    with gs.timeout(SOON) as scope:
        gs.checkpoint()
    assert not scope.cancelled
    with gs.timeout(0.01) as scope:
        time.sleep(0.05)
    assert eventually(lambda: scope.ctx.err() is not None)
    assert not scope.cancelled


def test_timeout_of_zero_ends_at_the_first_blocking_call() -> None:
    with pytest.raises(gs.DeadlineExceeded), gs.timeout(0):
        gs.checkpoint()


def test_timeout_of_none_has_no_limit() -> None:
    for never in (None, math.inf):
        with gs.timeout(never) as scope:
            gs.checkpoint()
        assert scope.deadline is None


@pytest.mark.parametrize("block", [gs.timeout, gs.move_on_after])
@pytest.mark.parametrize("seconds", [-1, math.nan, "1", b"", [], object()])
def test_a_bad_limit_is_refused_at_once(block: Any, seconds: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="seconds"):
        block(seconds)
    gs.checkpoint()


def test_deadline_is_on_the_monotonic_clock() -> None:
    with gs.timeout(100) as scope:
        assert scope.deadline is not None
        assert 0 < scope.deadline - time.monotonic() <= 100.001
        assert scope.ctx.deadline == scope.deadline


# ---- move_on_after, cancel_scope ----


def test_move_on_after_swallows_its_own_end() -> None:
    reached = False
    with gs.move_on_after(0.02) as scope:
        gs.sleep(SOON)
        reached = True
    assert scope.cancelled and not reached


def test_cancel_scope_is_ended_from_another_thread() -> None:
    with gs.cancel_scope() as scope:
        threading.Timer(0.05, scope.cancel, ["enough"]).start()
        gs.sleep(SOON)
    assert scope.cancelled
    assert str(scope.ctx.cause()) == "enough"


def test_a_scope_cancelled_before_it_was_entered_ends_at_its_first_blocking_call() -> None:
    scope = gs.cancel_scope()
    scope.cancel(cause=ValueError())
    reached = False
    with scope:
        reached = True
        gs.checkpoint()
        raise AssertionError
    assert reached and scope.cancelled


def test_timeout_that_was_cancelled_and_not_out_of_time_just_ends() -> None:
    with gs.timeout(SOON) as scope:
        scope.cancel()
        gs.checkpoint()
    assert scope.cancelled


def test_scopes_swallow_no_other_exception() -> None:
    for block in (gs.timeout(0), gs.move_on_after(0), gs.cancel_scope(), gs.shield()):
        block.cancel()
        with pytest.raises(ZeroDivisionError), block:
            raise ZeroDivisionError
        assert not block.cancelled
    with pytest.raises(gs.Cancelled), gs.cancel_scope():
        raise gs.Cancelled("nobody cancelled this one")


def test_a_scope_is_for_one_block() -> None:
    scope = gs.move_on_after(SOON)
    with scope:
        with pytest.raises(RuntimeError, match="entered before"):
            scope.__enter__()
    with pytest.raises(RuntimeError, match="entered before"):
        scope.__enter__()
    gs.checkpoint()


def test_leaving_a_scope_that_is_not_the_innermost_is_a_runtime_error() -> None:
    scope = gs.cancel_scope()
    with pytest.raises(RuntimeError, match="innermost"):
        scope.__exit__(None, None, None)
    with scope:
        with gs.cancel_scope():
            with pytest.raises(RuntimeError, match="innermost"):
                scope.__exit__(None, None, None)
        with gs.background():
            with pytest.raises(RuntimeError, match="innermost"):
                scope.__exit__(None, None, None)


# ---- nested ----


def test_the_end_of_an_outer_scope_passes_the_inner_ones() -> None:
    with gs.move_on_after(0.02) as outer:
        with gs.timeout(SOON) as inner:
            with gs.cancel_scope() as innermost:
                gs.sleep(SOON)
        raise AssertionError
    assert outer.cancelled and not inner.cancelled and not innermost.cancelled


def test_the_end_of_an_inner_scope_stays_inside() -> None:
    with gs.timeout(SOON) as outer:
        with gs.move_on_after(0.02) as inner:
            gs.sleep(SOON)
        gs.checkpoint()
    assert inner.cancelled and not outer.cancelled


def test_of_two_that_end_together_the_outer_one_decides() -> None:
    for _ in range(20):
        with gs.move_on_after(0.002) as outer:
            with gs.timeout(0.002):
                with gs.timeout(0.002):
                    gs.sleep(SOON)
        assert outer.cancelled
    with gs.cancel_scope() as outer:
        with gs.cancel_scope() as inner:
            inner.cancel()
            outer.cancel()
            gs.checkpoint()
        raise AssertionError
    assert outer.cancelled and not inner.cancelled


def test_an_outer_scope_that_ends_while_the_inner_one_unwinds_decides() -> None:
    with gs.cancel_scope() as outer:
        with gs.cancel_scope() as inner:
            inner.cancel()
            try:
                gs.checkpoint()
            finally:
                outer.cancel()
        raise AssertionError
    assert outer.cancelled and not inner.cancelled


def test_a_context_cancelled_inside_a_timeout_is_not_the_timeouts() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    cancel("why")
    with pytest.raises(gs.Cancelled) as caught:
        with gs.timeout(SOON) as scope, ctx:
            gs.sleep(SOON)
    assert str(caught.value.__cause__) == "why" and not scope.cancelled


def test_an_inner_timeout_keeps_its_error_under_an_outer_one() -> None:
    with pytest.raises(gs.DeadlineExceeded, match="0.01 s"), gs.timeout(SOON):
        with gs.timeout(0.01):
            gs.sleep(SOON)


# ---- shield ----


def test_shield_hides_the_scopes_around_it() -> None:
    ch: gs.Chan[int] = gs.Chan(1)
    with gs.cancel_scope() as scope:
        scope.cancel()
        try:
            gs.checkpoint()
        finally:
            with gs.shield() as shielded:
                ch.send(1)
                assert ch.recv() == 1
                assert shielded.deadline is None
            with pytest.raises(gs.Cancelled):
                gs.checkpoint()
    assert scope.cancelled


def test_limits_inside_a_shield_hold() -> None:
    with gs.cancel_scope() as scope:
        scope.cancel()
        with gs.shield():
            with gs.move_on_after(0.01) as inner:
                gs.sleep(SOON)
            with pytest.raises(gs.DeadlineExceeded), gs.timeout(0.01):
                gs.sleep(SOON)
    assert inner.cancelled


def test_shield_keeps_the_values() -> None:
    with gs.with_value(gs.background(), "k", 1), gs.shield() as scope:
        assert scope.ctx.value("k") == 1


# ---- asyncio, generators, memory ----


def test_scopes_work_in_asyncio_and_each_task_has_its_own() -> None:
    async def limited(seconds: float) -> str:
        ch: gs.Chan[int] = gs.Chan()
        try:
            with gs.timeout(seconds):
                await asyncio.sleep(0)
                await ch.recv_async()
        except gs.DeadlineExceeded:
            return "deadline"
        raise AssertionError

    async def quiet() -> str:
        with gs.move_on_after(0.01) as scope:
            await gs.select_async(timeout=SOON)
        return str(scope.cancelled)

    async def main() -> list[str]:
        return list(await asyncio.gather(limited(0.03), limited(0.01), quiet(), limited(0)))

    assert asyncio.run(main()) == ["deadline", "deadline", "True", "deadline"]


def test_a_scope_left_open_in_an_asyncio_task_does_not_reach_others() -> None:
    async def main() -> None:
        with gs.cancel_scope() as scope:
            inside = asyncio.create_task(gs.Chan().recv_async())
            await asyncio.sleep(0)
            scope.cancel()
            with pytest.raises(gs.Cancelled):
                await inside
        await gs.select_async(gs.after(0))

    asyncio.run(main())


def test_a_generator_that_ends_out_of_order_is_told() -> None:
    def generator() -> Generator[int, None, None]:
        with gs.cancel_scope():
            yield 1

    def close_early() -> None:
        running = generator()
        next(running)
        other, _ = gs.with_cancel(gs.background())
        with other:
            with pytest.raises(RuntimeError, match="innermost"):
                running.close()

    # The scope of the generator is the innermost again, and nobody can leave it: not for the tests to come.
    contextvars.copy_context().run(close_early)


def test_scopes_are_freed() -> None:
    class Value:
        pass

    value = Value()
    gone = weakref.ref(value)
    with gs.with_value(gs.background(), "k", value):
        del value
        with gs.timeout(SOON), gs.cancel_scope(), gs.shield():
            gs.checkpoint()
    gc.collect()
    assert gone() is None


def test_a_thousand_nested_scopes_are_left_and_freed() -> None:
    scopes = [gs.cancel_scope() for _ in range(1000)]
    for scope in scopes:
        scope.__enter__()
    scopes[0].cancel()
    with pytest.raises(gs.Cancelled):
        gs.checkpoint()
    for scope in reversed(scopes):
        scope.__exit__(None, None, None)
    gs.checkpoint()


def test_an_interrupt_on_its_way_out_takes_off_blocks_that_another_left_open() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    cancel()
    with pytest.raises(KeyboardInterrupt):
        with gs.cancel_scope() as outer:
            with ctx:
                pass
            ctx.__enter__()  # as one whose __exit__ a signal's handler has cut short
            gs.shield().__enter__()
            raise KeyboardInterrupt
    assert not outer.cancelled
    gs.sleep(0)  # nothing of them is in force
    with pytest.raises(KeyboardInterrupt):
        with ctx:
            gs.cancel_scope().__enter__()
            raise KeyboardInterrupt
    gs.sleep(0)


def test_the_scope_that_a_task_begins_with_is_its_context() -> None:
    def task() -> tuple[str, bool]:
        scope = next(value for key, value in contextvars.copy_context().items()
                     if key.name == "pygostop.scope")
        with pytest.raises(RuntimeError, match="was entered before"):
            scope.__enter__()
        assert scope.deadline is None and not scope.cancelled
        assert scope.ctx is gs.current_task().ctx is scope.ctx
        scope.cancel("enough")
        with pytest.raises(gs.Cancelled):
            gs.checkpoint()
        return repr(scope), gc.is_tracked(scope)

    assert gs.go(task).result() == ("<Scope task of <Context task 'task' cancelled>>", False)


def test_a_copied_context_keeps_the_scope_of_a_task_that_has_ended() -> None:
    def task() -> contextvars.Context:
        return contextvars.copy_context()

    started = gs.go(task)
    copy = started.result()
    copy.run(gs.checkpoint)
    ctx = started.ctx
    del started
    gc.collect()
    copy.run(gs.checkpoint)
    assert ctx.err() is None
