"""Contexts: the cancel tree, causes, deadlines, values, merge, after_func."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import math
import pickle
import re
import sys
import threading
import time
import weakref
from fractions import Fraction
from typing import Any

import pytest

import pygostop as gs

SOON = 20.0  # an upper bound for what happens at once


def wait_until(condition: Any) -> None:
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


# ---- the root, identity ----


def test_the_root_is_one_object_that_is_never_done() -> None:
    root = gs.background()
    assert root is gs.background()
    assert root.err() is None and root.cause() is None
    assert root.deadline is None and root.remaining() is None
    assert not root.done.closed
    root.check()


def test_a_context_is_made_by_functions_only() -> None:
    for made_by_function in (gs.Context, gs.Cancel, gs.Stop, gs.Scope):
        with pytest.raises(TypeError):
            made_by_function()


# ---- cancel ----


def test_cancel_marks_the_context_and_all_below_before_it_returns() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    child, _ = gs.with_cancel(ctx)
    grandchild = gs.with_value(child, "key", 1)
    cancel()
    for done in (ctx, child, grandchild):
        assert isinstance(done.err(), gs.Cancelled)
        assert done.done.closed


def test_cancel_leaves_parents_and_siblings_alone() -> None:
    ctx, _ = gs.with_cancel(gs.background())
    child, cancel = gs.with_cancel(ctx)
    sibling, _ = gs.with_cancel(ctx)
    cancel()
    assert child.err() is not None
    assert ctx.err() is None and sibling.err() is None


def test_the_first_cancel_counts() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    first = ValueError("first")
    cancel(first)
    cancel(KeyError("second"))
    cancel()
    assert ctx.cause() is first


def test_a_child_of_a_done_parent_is_done_with_its_cause() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    why = ValueError("why")
    cancel(cause=why)
    child, _ = gs.with_cancel(ctx)
    assert isinstance(child.err(), gs.Cancelled)
    assert child.cause() is why


def test_a_cause_given_as_text_becomes_an_error() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    cancel("no longer wanted")
    cause = ctx.cause()
    assert type(cause) is gs.Error and str(cause) == "no longer wanted"


def test_without_a_cause_the_cause_is_the_error() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    cancel()
    assert isinstance(ctx.cause(), gs.Cancelled)


def test_check_raises_cancelled_from_the_cause() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    ctx.check()
    why = ValueError("why")
    cancel(why)
    with pytest.raises(gs.Cancelled) as caught:
        ctx.check()
    assert caught.value.__cause__ is why


def test_check_raises_cancelled_where_the_deadline_passed_too() -> None:
    ctx, _ = gs.with_timeout(gs.background(), 0)
    with pytest.raises(gs.Cancelled) as caught:
        ctx.check()
    assert isinstance(caught.value.__cause__, gs.DeadlineExceeded)


@pytest.mark.parametrize("cause", [5, b"bytes", ValueError, object()])
def test_a_cause_of_another_kind_is_a_type_error_and_cancels_nothing(cause: Any) -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    with pytest.raises(TypeError, match="cause"):
        cancel(cause)
    assert ctx.err() is None


def test_cancel_takes_one_argument() -> None:
    _, cancel = gs.with_cancel(gs.background())
    with pytest.raises(TypeError):
        cancel(None, None)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        cancel(reason="no such name")  # type: ignore[call-arg]


def test_cancel_from_another_thread_ends_a_wait() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    threading.Timer(0.05, cancel, ["enough"]).start()
    selected = gs.select(ctx, timeout=SOON)
    assert isinstance(selected.value, gs.Cancelled)
    assert str(ctx.cause()) == "enough"


def test_many_threads_cancel_at_once_and_one_cause_wins() -> None:
    for _ in range(50):
        ctx, cancel = gs.with_cancel(gs.background())
        children = [gs.with_cancel(ctx)[0] for _ in range(5)]
        barrier = threading.Barrier(4)

        def run(n: int) -> None:
            barrier.wait()
            cancel(str(n))
            assert all(child.err() is not None for child in children)

        threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {str(child.cause()) for child in children} == {str(ctx.cause())}


def test_a_deep_tree_is_cancelled_and_freed_without_recursion() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    leaf = ctx
    for _ in range(20_000):
        leaf = gs.with_value(leaf, "key", None)
    cancel()
    assert leaf.err() is not None
    del leaf


# ---- done ----


def test_done_is_a_channel_that_can_only_be_received_from() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    done = ctx.done
    assert isinstance(done, gs.RecvChan)
    assert gs.select(done, nowait=True).index == -1
    cancel()
    assert done.closed
    value, ok = done.recv_ok()
    assert value is None and not ok
    assert gs.select(done, nowait=True) == (0, None, False)


def test_done_outlives_its_context() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    done = ctx.done
    del ctx
    cancel()
    del cancel
    gc.collect()
    assert done.closed


# ---- deadlines ----


def test_a_timeout_ends_the_context_and_not_early() -> None:
    start = time.monotonic()
    ctx, _ = gs.with_timeout(gs.background(), 0.05)
    gs.select(ctx, timeout=SOON)
    assert time.monotonic() - start >= 0.05
    assert isinstance(ctx.err(), gs.DeadlineExceeded)
    assert isinstance(ctx.err(), TimeoutError)
    assert isinstance(ctx.cause(), gs.DeadlineExceeded)
    assert ctx.remaining() == 0.0


def test_deadline_and_remaining_are_seconds_of_the_monotonic_clock() -> None:
    before = time.monotonic()
    ctx, _ = gs.with_timeout(gs.background(), 100)
    after = time.monotonic()
    assert ctx.deadline is not None and before + 100 <= ctx.deadline + 1e-6 <= after + 100.001
    remaining = ctx.remaining()
    assert remaining is not None and 0 < remaining <= 100
    other, _ = gs.with_deadline(gs.background(), ctx.deadline)
    assert other.deadline == pytest.approx(ctx.deadline, abs=1e-6)


def test_the_closest_deadline_on_the_way_to_the_root_counts() -> None:
    near, _ = gs.with_timeout(gs.background(), 10)
    far, _ = gs.with_timeout(near, 1000)
    assert far.deadline == near.deadline
    nearer, _ = gs.with_timeout(far, 1)
    assert nearer.deadline is not None and near.deadline is not None
    assert nearer.deadline < near.deadline


def test_a_deadline_in_the_past_is_done_at_once() -> None:
    for past in (time.monotonic() - 1, 0, -5, -5.5, -math.inf):
        ctx, _ = gs.with_deadline(gs.background(), past)
        assert isinstance(ctx.err(), gs.DeadlineExceeded)
    ctx, _ = gs.with_timeout(gs.background(), 0)
    assert isinstance(ctx.err(), gs.DeadlineExceeded)


@pytest.mark.parametrize("never", [None, math.inf, 10**400, 1e300])
def test_none_and_what_no_clock_reaches_never_end(never: Any) -> None:
    for make in (gs.with_timeout, gs.with_deadline):
        ctx, cancel = make(gs.background(), never)
        assert ctx.deadline is None and ctx.remaining() is None and ctx.err() is None
        cancel()
        assert isinstance(ctx.err(), gs.Cancelled)


def test_times_may_be_numbers_of_any_kind() -> None:
    numbers: list[Any] = [5, 5.5, True, Fraction(11, 2)]
    for seconds in numbers:
        ctx, _ = gs.with_timeout(gs.background(), seconds)
        remaining = ctx.remaining()
        assert remaining is not None and 0 < remaining <= 5.5


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, -math.inf, -(10**400)])
def test_a_negative_timeout_or_nan_is_a_value_error(seconds: Any) -> None:
    with pytest.raises(ValueError):
        gs.with_timeout(gs.background(), seconds)


@pytest.mark.parametrize("make", [gs.with_timeout, gs.with_deadline])
@pytest.mark.parametrize("seconds", ["1", b"1", [], object(), 1j])
def test_a_time_that_is_no_number_is_a_type_error(make: Any, seconds: Any) -> None:
    with pytest.raises(TypeError):
        make(gs.background(), seconds)


def test_what_a_deadlines_own_code_raises_passes_unchanged():
    class Once:
        raised = False

        def __float__(self):
            if not self.raised:
                self.raised = True
                raise KeyboardInterrupt
            return 1e9

    with pytest.raises(KeyboardInterrupt):
        gs.with_deadline(gs.background(), Once())


def test_a_deadline_of_nan_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        gs.with_deadline(gs.background(), math.nan)


def test_cancel_beats_the_deadline_and_the_reason_stays() -> None:
    ctx, cancel = gs.with_timeout(gs.background(), 0.02)
    cancel("first")
    time.sleep(0.05)
    assert isinstance(ctx.err(), gs.Cancelled) and not isinstance(ctx.err(), gs.DeadlineExceeded)


# ---- parents ----


@pytest.mark.parametrize("parent", [None, 5, "background", object()])
def test_a_parent_that_is_no_context_is_a_type_error(parent: Any) -> None:
    with pytest.raises(TypeError, match="Context"):
        gs.with_cancel(parent)
    with pytest.raises(TypeError, match="Context"):
        gs.with_timeout(parent, 1)
    with pytest.raises(TypeError, match="Context"):
        gs.with_deadline(parent, 1)
    with pytest.raises(TypeError, match="Context"):
        gs.with_value(parent, "key", "value")
    with pytest.raises(TypeError, match="Context"):
        gs.without_cancel(parent)
    with pytest.raises(TypeError, match="Context"):
        gs.merge(gs.background(), parent)
    with pytest.raises(TypeError, match="Context"):
        gs.after_func(parent, print)


# ---- values ----


def test_a_value_is_found_in_the_closest_ancestor() -> None:
    outer = gs.with_value(gs.background(), "user", "a")
    inner = gs.with_value(gs.with_cancel(outer)[0], "user", "b")
    other = gs.with_value(inner, "language", None)
    assert outer.value("user") == "a"
    assert other.value("user") == "b"
    assert other.value("language", default=5) is None
    assert other.value("missing") is None
    assert other.value("missing", 7) == 7
    assert gs.background().value("user") is None


def test_keys_are_compared_as_dict_keys_are_and_need_no_hash() -> None:
    key = [1, 2]
    ctx = gs.with_value(gs.background(), key, "list")
    assert ctx.value([1, 2]) == "list"

    class Never:
        def __eq__(self, other: object) -> bool:
            return False

    never = Never()
    ctx = gs.with_value(ctx, never, "same object")
    assert ctx.value(never) == "same object"

    class Fails:
        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ctx.value(Fails())


def test_without_cancel_keeps_values_and_nothing_else() -> None:
    parent, cancel = gs.with_timeout(gs.with_value(gs.background(), "k", 1), 100)
    ctx = gs.without_cancel(parent)
    cancel()
    assert ctx.err() is None and ctx.deadline is None and ctx.value("k") == 1
    child, cancel_child = gs.with_cancel(ctx)
    assert child.err() is None
    cancel_child()
    assert ctx.err() is None


# ---- merge ----


def test_merge_is_done_when_any_parent_is_with_its_cause() -> None:
    for which in range(3):
        parents = [gs.with_cancel(gs.background()) for _ in range(3)]
        ctx, _ = gs.merge(*(parent for parent, _ in parents))
        assert ctx.err() is None
        why = ValueError(which)
        parents[which][1](why)
        gs.select(ctx, timeout=SOON)
        assert ctx.cause() is why
        assert [parent.err() is None for parent, _ in parents].count(True) == 2


def test_merge_takes_the_values_of_its_first_parent() -> None:
    first = gs.with_value(gs.background(), "k", 1)
    second = gs.with_value(gs.with_value(gs.background(), "k", 2), "other", 3)
    ctx, _ = gs.merge(first, second)
    assert ctx.value("k") == 1 and ctx.value("other") is None


def test_merge_has_the_closest_deadline_of_its_parents() -> None:
    far, _ = gs.with_timeout(gs.background(), 1000)
    near, _ = gs.with_timeout(gs.background(), 10)
    ctx, cancel = gs.merge(far, near)
    assert ctx.deadline == near.deadline
    cancel()
    assert near.err() is None and isinstance(ctx.err(), gs.Cancelled)


def test_merge_of_a_done_parent_is_done() -> None:
    done, cancel = gs.with_cancel(gs.background())
    cancel("why")
    ctx, _ = gs.merge(gs.background(), done)
    assert str(ctx.cause()) == "why"


def test_merge_needs_a_parent() -> None:
    with pytest.raises(TypeError):
        gs.merge()


# ---- after_func ----


def test_after_func_runs_once_the_context_is_done_in_a_scope_of_its_own() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    ran: gs.Chan[Any] = gs.Chan(10)
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    def f() -> None:
        ran.send((threading.current_thread(), variable.get()))

    with ctx:
        variable.set(5)
        stop = gs.after_func(ctx, f)
        time.sleep(0.01)
        assert len(ran) == 0
        cancel()
    thread, seen = ran.recv(timeout=SOON)
    assert thread is not threading.current_thread() and seen == 0
    assert stop() is False
    time.sleep(0.01)
    assert len(ran) == 0


def test_after_func_of_a_done_context_runs_at_once() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    cancel()
    ran: gs.Chan[int] = gs.Chan(1)
    gs.after_func(ctx, lambda: ran.send(1))
    assert ran.recv(timeout=SOON) == 1


def test_stop_is_true_only_when_it_prevented_the_call() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    ran: gs.Chan[int] = gs.Chan(1)
    stop = gs.after_func(ctx, lambda: ran.send(1))
    assert stop() is True
    assert stop() is False
    cancel()
    flushed: gs.Chan[int] = gs.Chan(1)
    gs.after_func(ctx, lambda: flushed.send(1))
    flushed.recv(timeout=SOON)
    assert len(ran) == 0


def test_stop_and_cancel_at_once_agree() -> None:
    for _ in range(200):
        ctx, cancel = gs.with_cancel(gs.background())
        ran: gs.Chan[int] = gs.Chan(1)
        stop = gs.after_func(ctx, lambda ran=ran: ran.send(1))  # type: ignore[misc]
        thread = threading.Thread(target=cancel)
        thread.start()
        prevented = stop()
        thread.join()
        if prevented:
            flushed: gs.Chan[int] = gs.Chan(1)
            gs.after_func(ctx, lambda flushed=flushed: flushed.send(1))  # type: ignore[misc]
            flushed.recv(timeout=SOON)
            assert len(ran) == 0
        else:
            assert ran.recv(timeout=SOON) == 1


def test_after_func_is_reached_through_a_parent_when_nobody_holds_the_context() -> None:
    parent, cancel = gs.with_cancel(gs.background())
    ran: gs.Chan[int] = gs.Chan(1)
    gs.after_func(gs.with_cancel(parent)[0], lambda: ran.send(1))
    gc.collect()
    cancel()
    assert ran.recv(timeout=SOON) == 1


def test_what_after_func_raises_goes_to_unraisablehook(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: gs.Chan[Any] = gs.Chan(1)
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.send(args.exc_type))

    def fails() -> None:
        raise ZeroDivisionError

    ctx, cancel = gs.with_cancel(gs.background())
    gs.after_func(ctx, fails)
    cancel()
    assert seen.recv(timeout=SOON) is ZeroDivisionError


def test_after_func_lets_go_of_its_function() -> None:
    class F:
        def __call__(self) -> None:
            pass

    ctx, cancel = gs.with_cancel(gs.background())
    f = F()
    gone = weakref.ref(f)
    stop = gs.after_func(ctx, f)
    stop()
    del f
    assert gone() is None
    f = F()
    gone = weakref.ref(f)
    gs.after_func(ctx, f)
    del f
    assert gone() is not None
    cancel()
    wait_until(lambda: gone() is None)


def test_after_func_wants_a_callable() -> None:
    with pytest.raises(TypeError, match="callable"):
        gs.after_func(gs.background(), 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        gs.after_func(gs.background())  # type: ignore[call-arg]


# ---- handles ----


def test_reprs_show_the_state() -> None:
    assert repr(gs.background()) == "<Context background active>"
    ctx, cancel = gs.with_cancel(gs.background())
    assert repr(ctx) == "<Context with_cancel active>"
    assert repr(ctx) in repr(cancel)
    cancel()
    assert repr(ctx) == "<Context with_cancel cancelled>"
    timed, _ = gs.with_timeout(gs.background(), 100)
    assert re.fullmatch(r"<Context with_deadline (100|99)\.\d{3} s left>", repr(timed))
    assert "left" in repr(gs.with_value(timed, "k", "v"))
    assert repr(gs.with_timeout(gs.background(), 0)[0]) == "<Context with_deadline deadline exceeded>"
    assert "waiting" in repr(gs.after_func(timed, print))


def test_handles_can_be_neither_pickled_nor_copied_and_say_what_to_do() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    for handle in (ctx, cancel, gs.after_func(ctx, print), gs.cancel_scope(), gs.Ticker(100)):
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            pickle.dumps(handle)
        with pytest.raises(TypeError):
            copy.copy(handle)
        with pytest.raises(TypeError):
            copy.deepcopy(handle)


def test_handles_can_be_referenced_weakly_and_die_at_once() -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    gone = weakref.ref(ctx)
    del ctx, cancel
    assert gone() is None


def test_contexts_in_a_cycle_with_their_cause_are_collected() -> None:
    class Error(Exception):
        pass

    def cycle() -> weakref.ref[Any]:
        ctx, cancel = gs.with_cancel(gs.background())
        try:
            raise Error(ctx)
        except Error as e:
            cancel(e)
            return weakref.ref(e)

    gone = cycle()
    gc.collect()
    assert gone() is None


def test_a_cause_that_others_hold_survives_a_collection() -> None:
    class Error(Exception):
        pass

    ctx, cancel = gs.with_cancel(gs.background())
    child, _ = gs.with_cancel(ctx)
    why = Error(ctx)
    cancel(why)
    del ctx, cancel, why
    gc.collect()
    assert isinstance(child.cause(), Error)
    assert isinstance(child.cause().args[0].cause(), Error)  # type: ignore[union-attr]


def test_values_are_released_with_their_context() -> None:
    class Value:
        pass

    value = Value()
    gone = weakref.ref(value)
    ctx = gs.with_value(gs.background(), "k", value)
    child = gs.with_value(ctx, "other", None)
    del value, ctx
    assert gone() is not None
    del child
    assert gone() is None


def test_ten_thousand_dropped_contexts_leave_no_memory_behind() -> None:
    parent, _ = gs.with_cancel(gs.background())

    def make() -> None:
        for _ in range(2_000):
            ctx, cancel = gs.with_timeout(gs.with_value(parent, "k", object()), 1000)
            gs.merge(ctx, parent)
            gs.after_func(ctx, int)()
            cancel(ValueError())

    make()
    gc.collect()
    before = len(gc.get_objects())
    blocks = sys.getallocatedblocks()
    for _ in range(5):
        make()
    gc.collect()
    assert len(gc.get_objects()) - before < 200
    assert sys.getallocatedblocks() - blocks < 2_000


def test_a_module_imported_again_has_contexts_of_its_own(run_python: Any) -> None:
    done = run_python(
        """
        import sys, pygostop as first
        root = first.background()
        for name in [name for name in sys.modules if name.startswith("pygostop")]:
            del sys.modules[name]
        import pygostop as second
        assert type(second.background()) is second.Context
        second.with_cancel(second.background())
        del root
        first.with_cancel(first.background())
        assert second.background() is second.background()
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_contexts_work_across_threads_and_event_loops_at_once() -> None:
    ctx, cancel = gs.with_cancel(gs.background())

    def waiter(out: list[Any]) -> None:
        out.append(type(gs.select(ctx, timeout=SOON).value))

    async def main() -> Any:
        return (await gs.select_async(ctx, timeout=SOON)).value

    out: list[Any] = []
    threads = [threading.Thread(target=waiter, args=(out,)) for _ in range(4)]
    threads.append(threading.Thread(target=lambda: out.append(type(asyncio.run(main())))))
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    cancel()
    for thread in threads:
        thread.join()
    assert out == [gs.Cancelled] * 5


def test_a_time_that_has_run_out_at_once_is_a_deadline_too():
    before = time.monotonic()
    ctx, _ = gs.with_timeout(gs.background(), 0)
    with gs.timeout(0) as scope:
        deadlines = ctx.deadline, scope.deadline
    assert all(before <= deadline <= time.monotonic() for deadline in deadlines)
