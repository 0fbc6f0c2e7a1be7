"""Context variables of Python tasks: as the maker's were, and none of another task's."""

from __future__ import annotations

import contextvars
import gc
import weakref
from typing import Any

import pytest
from support import eventually

import pygostop as gs

WAIT = 30.0
var: contextvars.ContextVar[Any] = contextvars.ContextVar("var", default=None)


class Thing:
    pass


def scope_here() -> Any:
    return next(value for key, value in contextvars.copy_context().items() if key.name == "pygostop.scope")


def in_a_task(fn: Any, *args: Any) -> Any:
    """From a task, as tasks of one maker on one worker follow each other."""
    return gs.go(fn, *args).result(WAIT)


def others(n: int = 100) -> None:
    for task in [gs.go(int) for _ in range(n)]:
        task.result(WAIT)


def test_a_task_begins_with_what_its_maker_had_when_it_made_it() -> None:
    def maker() -> list[Any]:
        tasks = []
        for n in range(10):
            var.set(n)
            tasks += [gs.go(var.get), gs.go(var.get)]
        var.set("later")
        return [task.result(WAIT) for task in tasks]

    assert in_a_task(maker) == [n for n in range(10) for _ in range(2)]


def test_what_a_task_sets_is_not_seen_by_the_next() -> None:
    def task(n: int) -> Any:
        before = var.get()
        var.set(n)
        if n % 3 == 0:
            gs.checkpoint()
        return before, var.get()

    def maker() -> list[Any]:
        tasks = [gs.go(task, n) for n in range(200)]
        return [task.result(WAIT) for task in tasks]

    assert in_a_task(maker) == [(None, n) for n in range(200)]


def test_a_scope_and_a_copied_context_stay_those_of_their_task() -> None:
    def maker() -> None:
        scoped, copied = gs.go(scope_here), gs.go(contextvars.copy_context)
        scope, copy = scoped.result(WAIT), copied.result(WAIT)
        others()
        assert scope.ctx is scoped.ctx and copy.run(scope_here).ctx is copied.ctx
        scoped.ctx.check()
        scope.cancel("enough")
        copy.run(scope_here).cancel("enough")
        with pytest.raises(gs.Cancelled):
            copy.run(gs.checkpoint)
        others()
        gs.checkpoint()

    in_a_task(maker)


def test_each_task_is_under_its_own_scope_also_after_one_that_was_cancelled() -> None:
    def probe() -> Any:
        gs.checkpoint()
        return gs.current_task(), scope_here().ctx

    def maker() -> None:
        for n in range(100):
            task = gs.go(probe)
            if n % 2:
                task.cancel()
                assert task.wait(WAIT) and task.cancelled()
            else:
                assert task.result(WAIT) == (task, task.ctx)

    in_a_task(maker)


def test_a_token_of_one_task_is_refused_in_the_next() -> None:
    def reset(token: contextvars.Token[Any]) -> None:
        with pytest.raises(ValueError, match="different Context"):
            var.reset(token)

    def maker() -> None:
        token = gs.go(var.set, 1).result(WAIT)
        others()
        gs.go(reset, token).result(WAIT)

    in_a_task(maker)


def test_tasks_that_park_at_once_do_not_share_their_variables() -> None:
    def task(n: int) -> Any:
        gs.checkpoint()
        scope = scope_here().ctx
        var.set(n)
        gs.checkpoint()
        return scope is gs.current_task().ctx and var.get()  # type: ignore[union-attr]

    def maker() -> list[Any]:
        return [t.result(WAIT) for _ in range(3) for t in [gs.go(task, n) for n in range(1, 200)]]

    assert in_a_task(maker) == list(range(1, 200)) * 3


def test_a_value_is_kept_no_longer_than_the_tasks_that_see_it() -> None:
    thing = Thing()
    gone = weakref.ref(thing)
    context = contextvars.copy_context()
    context.run(var.set, thing)
    context.run(others)
    del thing, context
    assert eventually(lambda: gc.collect() is None or gone() is None)
    assert eventually(lambda: gone() is None)


def test_a_ring_through_a_result_an_argument_and_a_failure_is_collected() -> None:
    class Keeps(list[Any]):
        pass

    def fails(kept: Keeps) -> None:
        raise ValueError(kept)

    refs = []
    for fn in (lambda kept: kept, fails):
        kept = Keeps()
        kept.append(gs.go(fn, kept))
        kept[0].wait(WAIT)
        kept[0].exception()
        refs.append(weakref.ref(kept))
    kept = Keeps()
    with gs.cancel_scope() as scope:
        scope.cancel()
        kept.append(gs.go(list, kept))  # never begins
    refs.append(weakref.ref(kept))
    with gs.shield():
        kept[0].wait(WAIT)
    del kept
    assert eventually(lambda: gc.collect() is None or not any(ref() for ref in refs))
    assert not any(ref() for ref in refs)
